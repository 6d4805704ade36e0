//! The exact histories of whole workflows, by AWS's rules.

use super::record::{held, history, lines};
use crate::support::{Place, guest};
use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpListener;

/// Runs it to its end under `--simulate`, and reads back what was recorded.
fn ran(guest_name: &str, input: &Value, options: &[&str]) -> Vec<Value> {
    let place = Place::new();
    let (component, input) = (guest(guest_name), input.to_string());
    let run = ["run", component.to_str().unwrap(), "--name", "h", "--input", &input, "--simulate", "7"];
    place.run(&[&run[..], options].concat()).exits(0);
    history(&place, guest_name, "h")
}

fn case(name: &str) -> Vec<Value> {
    ran("guest-faults", &json!({ "case": name }), &[])
}

#[test]
fn steps_and_a_wait() {
    let history = ran("order", &json!({ "orderId": "42", "amount": 12.5 }), &[]);
    let expected = [
        "ExecutionStarted",
        "StepStarted 1 validate",
        "StepSucceeded 1 validate attempt 1",
        "StepStarted 2 charge",
        "StepSucceeded 2 charge attempt 1",
        "WaitStarted 3 cooling-off 10 s",
        "InvocationCompleted",
        "WaitSucceeded 3 cooling-off 10 s",
        "StepStarted 4 confirm",
        "StepSucceeded 4 confirm attempt 1",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&history), expected);
    // AWS's members, whole; a transition every 7 ms from the simulated clock's beginning.
    let start = 1_767_225_600.0;
    assert_eq!(
        history[2],
        json!({
            "EventType": "StepSucceeded", "EventId": 3, "EventTimestamp": start + 0.007,
            "Id": "1", "Name": "validate", "SubType": "Step",
            "StepSucceededDetails": {
                "Result": { "Payload": "\"validated 42\"", "Truncated": false },
                "RetryDetails": { "CurrentAttempt": 1 },
            },
        })
    );
    assert_eq!(
        history[5],
        json!({
            "EventType": "WaitStarted", "EventId": 6, "EventTimestamp": start + 0.021,
            "Id": "3", "Name": "cooling-off", "SubType": "Wait",
            "WaitStartedDetails": { "Duration": 10, "ScheduledEndTimestamp": start + 10.021 },
        })
    );
    assert_eq!(history[0]["ExecutionStartedDetails"]["Input"]["Payload"], r#"{"amount":12.5,"orderId":"42"}"#);
}

#[test]
fn an_attempt_that_is_retried_and_a_child_context() {
    let csv = "date,region,product,units,price\n2026-01-01,North,kettle,2,10.5\n";
    let history = ran("etl", &json!({ "csv": csv }), &[]);
    let expected = [
        "ExecutionStarted",
        "StepStarted 1 load-north",
        "StepFailed 1 load-north Error attempt 1, next in 1 s",
        "InvocationCompleted",
        "StepStarted 1 load-north",
        "StepSucceeded 1 load-north attempt 2",
        "ContextStarted 2 totals",
        "StepStarted 2-1 in 2 revenue",
        "StepSucceeded 2-1 in 2 revenue attempt 1",
        "ContextSucceeded 2 totals",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&history), expected);
    assert_eq!((&history[6]["SubType"], &history[7]["SubType"]), (&json!("RunInChildContext"), &json!("Step")));
}

#[test]
fn attempts_that_are_used_up() {
    let expected = [
        "ExecutionStarted",
        "StepStarted 1 busy",
        "StepFailed 1 busy Busy attempt 1, next in 1 s",
        "InvocationCompleted",
        "StepStarted 1 busy",
        "StepFailed 1 busy Busy attempt 2, next in 1 s",
        "InvocationCompleted",
        "StepStarted 1 busy",
        "StepFailed 1 busy Busy attempt 3",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&case("retries_exhausted")), expected);
}

#[test]
fn contexts_within_contexts_and_one_that_fails() {
    let expected = [
        "ExecutionStarted",
        "StepStarted 1 step-3",
        "StepSucceeded 1 step-3 attempt 1",
        "ContextStarted 2 depth-3",
        "StepStarted 2-1 in 2 step-2",
        "StepSucceeded 2-1 in 2 step-2 attempt 1",
        "ContextStarted 2-2 in 2 depth-2",
        "StepStarted 2-2-1 in 2-2 step-1",
        "StepSucceeded 2-2-1 in 2-2 step-1 attempt 1",
        "ContextStarted 2-2-2 in 2-2 depth-1",
        "StepStarted 2-2-2-1 in 2-2-2 step-0",
        "StepSucceeded 2-2-2-1 in 2-2-2 step-0 attempt 1",
        "ContextSucceeded 2-2-2 in 2-2 depth-1",
        "ContextSucceeded 2-2 in 2 depth-2",
        "ContextSucceeded 2 depth-3",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&case("children")), expected);
    let expected = [
        "ExecutionStarted",
        "ContextStarted 1 failing",
        "WaitStarted 1-1 in 1 1 s",
        "InvocationCompleted",
        "WaitSucceeded 1-1 in 1 1 s",
        "ContextFailed 1 failing ChildFnError",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&case("child_fails")), expected);
}

#[test]
fn the_loser_of_a_select_is_cancelled() {
    let expected = [
        "ExecutionStarted",
        "WaitStarted 1 wait-3600 3600 s",
        "StepStarted 2 step-21",
        "StepSucceeded 2 step-21 attempt 1",
        "WaitCancelled 1 wait-3600",
        "StepStarted 3 step-1",
        "StepSucceeded 3 step-1 attempt 1",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&case("select")), expected);
}

#[test]
fn an_at_most_once_step_that_dies_after_its_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let input = json!({ "case": "at_most_once_then_panic", "address": address });
    let history = ran("guest-faults", &input, &["--allow-net", &address]);
    let expected = [
        "ExecutionStarted",
        "StepStarted 1 effect",
        "InvocationCompleted Runtime.ExitError",
        "StepFailed 1 effect StepInterruptedError attempt 1",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(lines(&history), expected);
    assert_eq!(effects(&listener), 1, "its body ran twice");
}

#[test]
fn an_at_most_once_step_whose_process_dies_after_its_effect() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (component, input) = (guest("guest-faults"), json!({ "case": "at_most_once", "address": address }).to_string());
    let run = ["run", component.to_str().unwrap(), "--name", "h", "--input", &input, "--simulate", "7"];
    let run = [&run[..], &["--allow-net", &address]].concat();
    let mut killed = held(&place, &run, "in-body:1");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = place.run(&run).exits(0);
    assert_eq!(serde_json::from_str::<Value>(&resumed.stdout).unwrap()["kind"], "interrupted");
    let expected = [
        "ExecutionStarted",
        "StepStarted 1 effect",
        "InvocationCompleted Runtime.ExitError",
        "StepFailed 1 effect StepInterruptedError attempt 1",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    let history = history(&place, "guest-faults", "h");
    assert_eq!(lines(&history), expected);
    assert_eq!(effects(&listener), 1, "its body ran twice");
}

/// How many attempts told this listener of themselves.
fn effects(listener: &TcpListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    let mut effects = 0;
    while let Ok((mut connection, _)) = listener.accept() {
        let mut effect = String::new();
        connection.set_nonblocking(false).unwrap();
        connection.read_to_string(&mut effect).unwrap();
        assert!(effect.starts_with("attempt 1 key ") && effect.lines().count() == 1, "{effect}");
        effects += 1;
    }
    effects
}
