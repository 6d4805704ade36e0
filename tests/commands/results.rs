//! What runs well: results, progress as JSON, suspension and resumption, and what is frozen at the start.

use super::record::{content, event_types, history};
use crate::support::{Place, Ran, guest, root};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const ORDER: &str = r#"{"orderId":"42","amount":12.5}"#;
const CONFIRMED: &str = concat!(
    r#"{"orderId":"42","transactionId":"be77e7a7-834d-4dd2-85a9-f917c85755a2","status":"confirmed","steps":"#,
    r#"["validated 42","charged 12.50 as be77e7a7-834d-4dd2-85a9-f917c85755a2","confirmed 42"]}"#,
    "\n",
);

fn path(guest_name: &str) -> String {
    guest(guest_name).to_str().expect("the path is text").to_owned()
}

/// What `--json` printed: every line is an object with an `event`.
fn events(ran: &Ran) -> Vec<Value> {
    let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let events: Vec<Value> = ran.stdout.lines().map(parse).collect();
    assert!(events.iter().all(|event| event["event"].is_string()), "{}", ran.stdout);
    events
}

#[test]
fn the_examples_print_their_results() {
    let place = Place::new();
    let order = place.run(&["run", &path("order"), "--input", ORDER, "--name", "o", "--simulate", "7"]).exits(0);
    assert_eq!(order.stdout, CONFIRMED);

    let sales = format!("@{}", root().join("examples/etl/sales.csv").display());
    let etl = place.run(&["run", &path("etl"), "--text", &sales, "--name", "e", "--simulate", "7"]).exits(0);
    let report: Value = serde_json::from_str(&etl.stdout).unwrap();
    assert_eq!(report["totals"], json!({ "sales": 60, "units": 722, "revenue": 31664.2 }));
    let region = json!({
        "region": "Central", "sales": 12, "units": 133, "revenue": 4810.85, "bestSeller": "kettle",
    });
    assert_eq!((&report["regions"][0], report["regions"].as_array().map(Vec::len)), (&region, Some(5)));
    assert_eq!(etl.stderr.matches("attempt 1 failed, will retry").count(), 5, "{}", etl.stderr);

    assert_eq!(etl.stderr.matches("parsed regions=5").count(), 1, "a replay repeats nothing: {}", etl.stderr);

    let sleepy = place.run(&["run", &path("sleepy"), "--name", "s", "--simulate", "7"]).exits(0);
    let expected = "{\"started\":1767225600000,\"slept_ms\":2307,\"naps\":[\"long\",\"short\"]}\n";
    assert_eq!(sleepy.stdout, expected);
}

#[test]
fn json_progress_is_an_object_a_line_and_ends_with_the_result() {
    let place = Place::new();
    let ran = place.run(&["run", &path("order"), "--input", ORDER, "--name", "o", "--simulate", "7", "--json"]);
    let events = events(&ran.exits(0));
    let kinds = |wanted: &str| events.iter().filter(|event| event["event"] == wanted).cloned().collect::<Vec<_>>();
    assert_eq!(events[0], json!({ "event": "execution", "name": "o" }));
    let running = |id: &str, name: &str| json!({ "event": "running", "id": id, "name": name, "attempt": 1 });
    assert_eq!(kinds("running"), [running("1", "validate"), running("2", "charge"), running("4", "confirm")]);
    let changed = |id: &str, name: &str, kind: &str, status: &str| json!({ "event": "operation", "id": id, "name": name, "type": kind, "status": status });
    let expected = [
        changed("1", "validate", "STEP", "SUCCEEDED"),
        changed("2", "charge", "STEP", "SUCCEEDED"),
        changed("3", "cooling-off", "WAIT", "STARTED"),
        changed("4", "confirm", "STEP", "SUCCEEDED"),
    ];
    assert_eq!(kinds("operation"), expected);
    assert_eq!(kinds("waiting"), [json!({ "event": "waiting", "until": "2026-01-01T00:00:10.021Z" })]);
    let text: String = kinds("output").iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(text, "validate 42\ncharge 12.50\nconfirm 42\n");
    assert_eq!(kinds("output").len(), 3, "an event for each thing written, and no more");
    assert_eq!(kinds("log").len(), 3);
    let result: Value = serde_json::from_str(CONFIRMED).unwrap();
    assert_eq!(events.last(), Some(&json!({ "event": "ended", "status": "SUCCEEDED", "result": result })));
}

#[test]
fn a_finished_execution_answers_its_result_and_runs_nothing() {
    let place = Place::new();
    let component = path("order");
    let run = ["run", &component, "--name", "o", "--simulate", "7"];
    place.run(&[&run[..], &["--input", ORDER]].concat()).exits(0);
    let before = content(&place);
    let again = place.run(&[&run[..], &["--input", ORDER]].concat()).exits(0);
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), (CONFIRMED, "execution o\n"));
    let again = place.run(&run).exits(0);
    assert_eq!(again.stdout, CONFIRMED);
    let events = events(&place.run(&[&run[..], &["--json"]].concat()).exits(0));
    let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["execution", "ended"]);
    assert_eq!(content(&place), before);

    // Other functions have names of their own, and a failure is remembered like a result.
    let faults = path("guest-faults");
    let run = ["run", faults.as_str(), "--name", "o", "--simulate", "7"];
    let failed = place.run(&[&run[..], &["--input", r#"{"case":"handler_error"}"#]].concat()).exits(1);
    assert_eq!(failed.stderr, "execution o\nFAILED: HandlerError: the handler gave up\n");
    let before = content(&place);
    assert_eq!(place.run(&run).exits(1).stderr, failed.stderr);
    assert_eq!(content(&place), before);
}

#[test]
fn a_long_wait_leaves_it_suspended_and_the_printed_command_resumes_it() {
    let place = Place::new();
    // A path that a shell would take apart.
    let directory = place.path().join("my work's");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(guest("order"), directory.join("order.wasm")).unwrap();
    let run = ["run", "my work's/order.wasm", "--data", "my work's/runs.db", "--name", "o", "--input", ORDER];
    let suspended = place.run(&[&run[..], &["--detach-after", "1s"]].concat()).exits(3);
    assert_eq!(suspended.stdout, "");
    let (before, command) = suspended.stderr.split_once("; go on with:\n  ").expect("the command is printed");
    assert!(before.contains("\n  · wait cooling-off 10 s\nsuspended until 20"), "{before}");
    let command = command.trim_end();
    assert_eq!(command, r"everstep run 'my work'\''s/order.wasm' --name o --data 'my work'\''s/runs.db'");

    // Suspended still; where there is nobody to wait, not even simulated time passes.
    let again = place.run(&[&run[..], &["--simulate", "7", "--detach-after", "0s", "--json"]].concat()).exits(3);
    let last = events(&again).pop().unwrap();
    assert_eq!((&last["event"], &last["resume"]), (&json!("suspended"), &json!(command)));

    let everstep = place.everstep(&[]);
    let mut shell = Command::new("sh");
    shell
        .current_dir(place.path())
        .args(["-c", &format!("everstep() {{ \"$EVERSTEP\" \"$@\"; }}; {command} --simulate 7")]);
    shell.env("EVERSTEP", everstep.get_program());
    shell.envs(everstep.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let resumed = Ran::from(shell.output().unwrap()).exits(0);
    assert!(resumed.stdout.starts_with(r#"{"orderId":"42""#), "{}", resumed.stdout);
    assert!(resumed.stderr.contains("confirm 42") && !resumed.stderr.contains("validate"), "{}", resumed.stderr);
}

#[test]
fn surroundings_reach_the_guest_and_are_frozen() {
    let place = Place::new();
    let component = path("guest-faults");
    let run =
        |more: &[&str]| place.run(&[&["run", component.as_str(), "--name", "s", "--simulate", "7"], more].concat());
    let input = r#"{"case":"surroundings"}"#;
    let first =
        ["--input", input, "--env", "COLOUR=green", "--env", "EMPTY=", "--detach-after", "0s", "--", "-v", "a b"];
    run(&first).exits(3);
    // The environment of this process is not the guest's.
    let mut resumed = place.everstep(&["run", &component, "--name", "s", "--simulate", "7", "--env", "COLOUR=red"]);
    let resumed =
        Ran::from(resumed.args(["--memory", "1", "--", "other"]).env("EMPTY", "full").output().unwrap()).exits(0);
    let surroundings = json!({
        "environment": BTreeMap::from([("COLOUR", "green"), ("EMPTY", "")]),
        "arguments": ["guest-faults", "-v", "a b"],
    });
    let expected = json!({ "stdin": input, "before": surroundings, "after": surroundings });
    assert_eq!(serde_json::from_str::<Value>(&resumed.stdout).unwrap(), expected);
}

#[test]
fn a_crate_is_built_and_run() {
    let place = Place::new();
    let order = root().join("examples/order");
    let mut run = place.everstep(&["run", order.to_str().unwrap(), "--input", ORDER, "--name", "o", "--simulate", "7"]);
    let ran = Ran::from(run.env("CARGO_TARGET_DIR", super::verbs::crates_target()).output().unwrap()).exits(0);
    assert_eq!(ran.stdout, CONFIRMED);
    let history = history(&place, "order", "o");
    assert_eq!(event_types(&history).last(), Some(&"ExecutionSucceeded"));
}
