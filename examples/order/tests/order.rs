//! What an order does, and that no crash shows.

use everstep_test::{ErrorObject, Execution, Runner, Workflow, crash_everywhere};
use serde_json::{Value, json};
use std::time::Duration;

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

fn order(runner: Runner) -> Execution {
    runner.input(json!({ "orderId": "42", "amount": 9.5 })).run()
}

#[test]
fn an_order_is_charged_and_confirmed_ten_seconds_later() {
    let execution = order(Runner::new(&workflow()));
    let receipt: Value = execution.result();
    assert_eq!((&receipt["orderId"], &receipt["status"]), (&json!("42"), &json!("confirmed")));
    execution.assert_operations(["step validate", "step charge", "wait cooling-off 10 s", "step confirm"]);
    assert_eq!(execution.operation("cooling-off").duration(), Some(Duration::from_secs(10)));
    assert_eq!(execution.stdout(), "validate 42\ncharge 9.50\nconfirm 42\n");
    execution.assert_history("tests/order.json");
}

#[test]
fn a_card_that_is_declined_is_tried_again() {
    let declined = Err(ErrorObject::new("Declined", "no funds"));
    let execution = order(Runner::new(&workflow()).on_step("charge").attempts([declined, Ok(json!("charged"))]));
    execution.operation("charge").assert_succeeded().assert_attempts(2);
    assert_eq!(execution.result::<Value>()["steps"][1], "charged");
}

#[test]
fn an_order_without_an_amount_fails_and_charges_nothing() {
    let execution = Runner::new(&workflow()).input(json!({ "orderId": "42", "amount": 0 })).run();
    execution.operation("validate").assert_attempts(1);
    assert!(execution.find("charge").is_none());
    execution.assert_operations(["step validate FAILED"]);
}

#[test]
fn a_crash_makes_no_difference() {
    crash_everywhere(&workflow(), order);
}
