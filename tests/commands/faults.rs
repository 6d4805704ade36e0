//! Every way in which a guest can go wrong: how it ends, in which words, and that it ends at all.

use super::record::{event_types, history};
use crate::support::{Place, guest};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};

/// How a case of `guest-faults` ends.
struct Ends<'a> {
    place: &'a Place,
    component: String,
}

/// The execution's error, or its result, with the number of its invocations.
type End = (Result<Value, (String, String)>, usize);

impl<'a> Ends<'a> {
    fn new(place: &'a Place) -> Self {
        Self { place, component: guest("guest-faults").to_str().expect("the path is text").to_owned() }
    }

    fn of(&self, case: &str) -> End {
        self.with(case, None, &[])
    }

    /// Runs the case; its address, if it has one, is reachable from step bodies.
    fn with(&self, case: &str, address: Option<SocketAddr>, options: &[&str]) -> End {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        let input = json!({ "case": case, "address": address }).to_string();
        let mut arguments = vec!["run", &self.component, "--name", case, "--input", &input, "--simulate", "7"];
        arguments.extend(options);
        if !address.is_empty() {
            arguments.extend(["--allow-net", &address]);
        }
        let ran = self.place.run(&arguments);
        let history = history(self.place, "guest-faults", case);
        let invocations = event_types(&history).iter().filter(|event| **event == "InvocationCompleted").count();
        let last = history.last().expect("an execution has a history");
        match last["EventType"].as_str() {
            Some("ExecutionSucceeded") => {
                let result = ran.exits(0).stdout;
                (Ok(serde_json::from_str(&result).expect("the result is JSON")), invocations)
            }
            Some("ExecutionFailed") => {
                let ran = ran.exits(1);
                let error = &last["ExecutionFailedDetails"]["Error"]["Payload"];
                let text = |member: &str| error[member].as_str().expect("a type and a message").to_owned();
                let (kind, message) = (text("ErrorType"), text("ErrorMessage"));
                assert!(ran.stderr.contains(&format!("FAILED: {kind}: {message}")), "{}", ran.stderr);
                assert_eq!(ran.stdout, "", "a failure has no result");
                (Err((kind, message)), invocations)
            }
            other => panic!("{case} ends with {other:?}:\n{}", ran.stderr),
        }
    }
}

#[track_caller]
fn fails((end, invocations): End, kind: &str, words: &[&str], expected: usize) {
    let (found, message) = end.expect_err("it fails");
    assert_eq!(found, kind, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    assert_eq!(invocations, expected, "invocations");
}

#[track_caller]
fn sees((end, invocations): End, result: &Value, expected: usize) {
    assert_eq!(end.as_ref(), Ok(result));
    assert_eq!(invocations, expected, "invocations");
}

fn interrupted(attempt: u32) -> Value {
    json!({
        "kind": "interrupted", "type": "StepInterruptedError",
        "message": format!("attempt {attempt} was interrupted before its outcome was recorded"),
    })
}

fn exhausted(kind: &str, message: &str) -> Value {
    json!({ "kind": "retries exhausted", "type": kind, "message": message })
}

/// Nobody knows whether it would happen on every replay, so it is tried three times; for the rest it is known.
#[test]
fn a_fault_outside_a_step_fails_the_execution() {
    let place = Place::new();
    let ends = Ends::new(&place);
    let place_of_panic = ["the workflow died", "a panic outside a step", "faults.rs"];
    fails(ends.of("panic"), "WorkflowPanicked", &place_of_panic, 1);
    fails(ends.of("exit"), "WorkflowExited", &["the workflow exited with status 1"], 1);
    fails(ends.of("allocation"), "WorkflowPanicked", &["memory allocation of 1048576 bytes failed"], 1);
    fails(ends.of("output"), "WorkflowError", &["more than 16777216 bytes of output", "inside a step"], 1);
    fails(ends.of("pending"), "WorkflowError", &["waits for ever", "await durable operations"], 1);
    fails(ends.of("recursion"), "WorkflowPanicked", &["recursion without an end"], 1);
    let spins = ends.with("spin", None, &["--timeout", "1s"]);
    let words = ["3 invocations failed at event 1 of the log", "time limit", "start it anew under another name"];
    fails(spins, "Sandbox.Timedout", &words, 3);
}

#[test]
fn a_handler_s_error_is_the_execution_s() {
    let place = Place::new();
    let ends = Ends::new(&place);
    fails(ends.of("handler_error"), "HandlerError", &["the handler gave up"], 1);
    fails(ends.of("typed_handler_error"), "OrderNotFound", &["no such order"], 1);
    fails(ends.of("step_error_escapes"), "Error", &["refused by the bank"], 1);
    fails(ends.of("no_such_case"), "HandlerError", &["no case `no_such_case`"], 1);
    let words = ["memory minimum size of 17 pages exceeds memory limits", "start it anew under another name"];
    fails(ends.with("nothing", None, &["--memory", "1"]), "Sandbox.Failure", &words, 3);
}

#[test]
fn a_fault_in_a_step_is_an_interrupted_attempt() {
    let place = Place::new();
    let ends = Ends::new(&place);
    // The lost attempt, the one that records its retry, and the one that succeeds.
    sees(ends.of("panic_in_step_once"), &json!({ "attempt": 2 }), 3);
    sees(ends.of("exit_in_step_once"), &json!({ "attempt": 2 }), 3);
    sees(ends.with("spin_in_step_once", None, &["--timeout", "1s"]), &json!({ "attempt": 2 }), 3);
    sees(ends.of("panic_in_step_always"), &interrupted(3), 6);
    sees(ends.of("recursion_in_step_always"), &interrupted(3), 6);
    sees(ends.of("allocation_in_step_always"), &interrupted(3), 6);
    sees(ends.of("stuck_step"), &interrupted(1), 2);
}

/// Each at the call that is wrong, in words that say what to do; nothing of it is retried.
#[test]
fn misuse_is_an_error_that_says_so() {
    let place = Place::new();
    let ends = Ends::new(&place);
    let refused = |case: &str, words: &[&str]| fails(ends.of(case), "WorkflowError", words, 1);
    let nesting = "inside a step's body: durable operations do not nest in steps; use run_in_child_context";
    refused("operation_in_step", &["`begin-wait` was called", nesting]);
    refused("step_in_step", &["`begin-step` was called", nesting]);
    refused("future_in_step", &[nesting]);
    refused("name_too_long", &["operation name \"nnn", "give 1..256 printable ASCII characters"]);
    refused("name_not_printable", &["operation name \"caf\u{e9}\"", "give 1..256 printable ASCII characters"]);
    refused("after_its_context", &["context 1 has ended: nothing can be begun in it", "before its body returns"]);
    refused("input_too_large", &["the input for function \"f:1\" has 1048579 bytes and may have 1048576"]);
    refused(
        "no_function_s_name",
        &["function name \"no name\" is not allowed: give NAME, ACCOUNT:function:NAME or an ARN"],
    );
    let after = ["a durable operation was begun after the workflow's end", "before the handler returns"];
    fails(ends.of("after_the_end"), "WorkflowPanicked", &after, 2);

    let seen = |case: &str, kind: &str| {
        let (end, invocations) = ends.of(case);
        assert_eq!(
            (end.as_ref().map(|seen| seen["kind"].as_str()), invocations),
            (Ok(Some(kind)), 1),
            "{case}: {end:?}"
        );
    };
    seen("wait_of_zero", "of no time at all: give at least a second, or leave the wait out");
    seen("wait_of_two_years", "longer than 366 days (31,622,400 seconds): wait several times");
    seen("unserializable_input", "serialization failed");
    seen("nobody_at_once", "invalid configuration");
}

#[test]
fn a_step_s_error_reaches_the_workflow_when_its_retries_are_spent() {
    let place = Place::new();
    let ends = Ends::new(&place);
    sees(ends.of("retries_exhausted"), &exhausted("Busy", "Busy: busy at attempt 3"), 3);
    let unserializable = json!({
        "kind": "serialization failed", "type": "SerializationError", "message": "key must be a string",
    });
    sees(ends.of("unserializable_result"), &unserializable, 1);
}

#[test]
fn sockets_are_for_steps_and_only_where_allowed() {
    let place = Place::new();
    let ends = Ends::new(&place);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (outside, _) = ends.with("socket_outside_step", Some(address), &[]);
    let refused = outside.unwrap()["refused"].as_str().expect("it is refused").to_lowercase();
    assert!(refused.contains("denied") || refused.contains("permission"), "{refused}");
    // A handle that a body leaves behind cannot be put back: what follows runs in another instance.
    let (leaked, invocations) = ends.with("leaked_handle", Some(address), &[]);
    assert_eq!((leaked.unwrap()["kind"].as_str(), invocations), (None, 1));

    let input = json!({ "case": "at_most_once", "address": address.to_string() }).to_string();
    let component = ends.component.as_str();
    let run = ["run", component, "--name", "elsewhere", "--input", &input, "--simulate", "7"];
    let elsewhere = place.run(&[&run[..], &["--allow-net", "127.0.0.2:1"]].concat()).exits(0);
    let outcome: Value = serde_json::from_str(&elsewhere.stdout).unwrap();
    assert_eq!(outcome["kind"], "retries exhausted", "{outcome}");
    listener.set_nonblocking(true).unwrap();
    let mut connections = 0;
    while listener.accept().is_ok() {
        connections += 1;
    }
    assert_eq!(connections, 1, "only the body that leaked its handle got through");
}
