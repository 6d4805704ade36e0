//! A program that knows nothing of Everstep is tested like any other.

use everstep_test::{Execution, Runner, Workflow, crash_everywhere};
use serde_json::{Value, json};
use std::time::Duration;

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn it_sleeps_durably_and_as_long_as_it_says() {
    let execution = Runner::new(&workflow()).run();
    let told: Value = execution.result();
    assert_eq!(told["naps"].as_array().map(Vec::len), Some(2));
    assert!((2300..2400).contains(&told["slept_ms"].as_u64().unwrap_or_default()), "{told}");
    let waits = execution.operations().into_iter().filter(|operation| operation.seconds().is_some());
    let long: Vec<_> = waits.map(|wait| wait.duration()).collect();
    assert_eq!(long, [Some(Duration::from_secs(2))]);
}

#[test]
fn its_hash_order_is_one_of_the_seed() {
    let naps = |seed: u64| Runner::new(&workflow()).seed(seed).run().result::<Value>()["naps"].clone();
    assert_eq!(naps(1), naps(1));
    assert!((2..50).any(|seed| naps(seed) != naps(1)), "{}", json!(naps(1)));
}

#[test]
fn a_crash_makes_no_difference() {
    crash_everywhere(&workflow(), |runner: Runner| -> Execution { runner.run() });
}
