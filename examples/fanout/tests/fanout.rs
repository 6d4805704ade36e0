//! Five hundred images, at most twenty-five at a time, a few of them broken.

use everstep_test::{Execution, Runner, Workflow, crash_everywhere};
use serde_json::json;

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

fn eight(runner: Runner) -> Execution {
    runner.input(json!({ "images": 8, "brokenEvery": 8 })).run()
}

#[test]
fn a_few_failures_of_five_hundred_are_tolerated() {
    let execution = Runner::new(&workflow()).input(json!({ "images": 500, "brokenEvery": 50 })).run();
    execution.assert_result(json!({
        "made": 490, "failed": [49, 99, 149, 199, 249, 299, 349, 399, 449, 499], "total": 500,
        "reason": "ALL_COMPLETED", "largest": 70,
    }));
    let items = execution.operation("thumbnails").children();
    assert_eq!(items.len(), 500);
    assert_eq!(items[499].name(), Some("image-499"));
    items[49].assert_failed("Error", "image 49 cannot be read");
}

/// Open items never exceed the limit: counted over the history's events.
#[test]
fn no_more_than_twenty_five_are_open_at_a_time() {
    let execution = Runner::new(&workflow()).input(json!({ "images": 120 })).run();
    let events = execution.history_json();
    let (mut open, mut most) = (0, 0);
    for event in events.as_array().expect("a list of events") {
        match (event["SubType"].as_str(), event["EventType"].as_str()) {
            (Some("MapIteration"), Some("ContextStarted")) => open += 1,
            (Some("MapIteration"), Some("ContextSucceeded" | "ContextFailed")) => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert_eq!((open, most), (0, 25));
}

#[test]
fn too_many_failures_end_it_early() {
    let execution = Runner::new(&workflow()).input(json!({ "images": 500, "brokenEvery": 2 })).run();
    let result = execution.result::<serde_json::Value>();
    assert_eq!(result["reason"], "FAILURE_TOLERANCE_EXCEEDED");
    let total = result["total"].as_u64().expect("a number");
    assert!(total < 100, "5 % of 500 is 25, and then it stops: {total} were begun");
}

#[test]
fn a_crash_makes_no_difference() {
    crash_everywhere(&workflow(), eight);
}

#[test]
fn replays_after_every_delivery_make_no_difference() {
    let plain = eight(Runner::new(&workflow()));
    let replayed = eight(Runner::new(&workflow()).replay_everything());
    assert_eq!(plain.history_json(), replayed.history_json());
    assert!(replayed.instances() > plain.instances());
}
