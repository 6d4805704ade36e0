//! Clocks, randomness, hash order and sleeping outside steps follow from the log and the execution's seed alone.

use crate::in_process::{Death, Dying, Ended, embedded, environment, finish, silent, start};
use everstep::worker::Environment;
use everstep_core::store::memory::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs it, and again with the process dying at each append, before and after it is in the log: nobody can tell.
fn everywhere(guest: &str, input: &str, seed: u64) -> Ended {
    let clean = {
        let process = embedded(Arc::new(MemoryStore::new()), 7);
        let arn = start(&process, guest, input, seed).unwrap();
        finish(&process, &arn).unwrap()
    };
    for how in [Death::BeforeCommit, Death::AfterCommit] {
        for append in 1.. {
            let store = Arc::new(MemoryStore::new());
            let dying = Arc::new(Dying::at(store.clone(), append, how));
            let process = embedded(dying.clone(), 7);
            let arn = start(&process, guest, input, seed).unwrap();
            let died = finish(&process, &arn);
            if !dying.is_dead() {
                assert!(append > 2, "{died:?}");
                break;
            }
            store.reopen();
            let resumed = finish(&embedded(store, 7), &arn).unwrap();
            assert_eq!(resumed.result(), clean.result(), "{input}: died at append {append}, {how:?}");
            assert_eq!(resumed.essence(), clean.essence(), "{input}: died at append {append}, {how:?}");
        }
    }
    clean
}

fn seen(ended: &Ended) -> Value {
    serde_json::from_str(ended.result().unwrap()).unwrap()
}

#[test]
fn clocks_and_hash_order_outside_steps_follow_from_the_seed_and_the_log() {
    let input = r#"{"case":"sources"}"#;
    let (one, again, other) = (
        everywhere("guest-faults", input, 1),
        everywhere("guest-faults", input, 1),
        everywhere("guest-faults", input, 2),
    );
    assert_eq!(one.result(), again.result());
    assert_eq!(one.essence(), again.essence());
    let (one, other) = (seen(&one), seen(&other));
    assert_eq!(one["order"].as_array().map(Vec::len), Some(20));
    assert_ne!(one["order"], other["order"], "the hash seed does not follow from the execution's seed");
    let clock = |seen: &Value, name: &str| seen[name].as_u64().unwrap();
    // Started at 2026-01-01, the step recorded 7 ms later; a read moves the clock by a microsecond.
    assert_eq!(clock(&one, "before"), 1_767_225_600_000_001_000);
    assert_eq!(clock(&one, "after"), 1_767_225_600_007_001_000);
}

#[test]
fn random_numbers_outside_steps_follow_from_the_seed() {
    let input = r#"{"orderId":"42","amount":12.5}"#;
    let (one, again, other) =
        (everywhere("order", input, 1), everywhere("order", input, 1), everywhere("order", input, 2));
    assert_eq!(one.result(), again.result());
    assert_ne!(seen(&one)["transactionId"], seen(&other)["transactionId"]);
}

#[test]
fn sleeping_is_durable_outside_steps_and_real_inside() {
    let slept = everywhere("guest-faults", r#"{"case":"sleep"}"#, 1);
    let events: Vec<_> = slept.history.iter().map(|event| event.event_type()).collect();
    let expected = "ExecutionStarted StepStarted StepSucceeded WaitStarted InvocationCompleted WaitSucceeded \
                    InvocationCompleted ExecutionSucceeded";
    assert_eq!(events.join(" "), expected);
    assert_eq!(seen(&slept), json!({"slept_ms": 2_300}));
    let inside = everywhere("guest-faults", r#"{"case":"sleep_in_step"}"#, 1);
    assert_eq!(seen(&inside), json!({"slept": true, "ordered": true, "forward": true}));
}

/// With the machine's own chance inside steps, what is outside is still the same.
#[test]
fn chance_inside_steps_does_not_reach_outside() {
    let run = || {
        let process = embedded(Arc::new(MemoryStore::new()), 7);
        let arn = start(&process, "order", r#"{"orderId":"42","amount":12.5}"#, 1).unwrap();
        let real = Environment { simulated: false, ..environment() };
        process.drive(&arn, &real, &silent(), None).unwrap();
        process.service().describe(&arn).unwrap().result
    };
    assert_eq!(run(), run());
}
