//! What is booked is undone if the trip cannot be, last first.

use everstep_test::{Crash, ErrorObject, Execution, Runner, Workflow, crash_everywhere};
use serde_json::{Value, json};

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

fn trip(runner: Runner) -> Runner {
    runner.input(json!({ "traveller": "Ann", "parts": ["flight", "hotel", "car"], "amount": 900 }))
}

fn without_a_car(runner: Runner) -> Execution {
    let sold_out = ErrorObject::new("SoldOut", "no car is to be had");
    let unsteady = [Err(ErrorObject::new("Busy", "call again")), Ok(Value::Null)];
    trip(runner).on_step("book-car").fail(sold_out).on_step("cancel-hotel").attempts(unsteady).run()
}

#[test]
fn a_trip_is_booked_and_paid() {
    let execution = trip(Runner::new(&workflow())).run();
    execution.assert_operations(["step book-flight", "step book-hotel", "step book-car", "step charge"]);
    assert_eq!(execution.result::<Value>()["status"], "booked");
}

#[test]
fn what_was_booked_is_undone_last_first_however_often_it_takes() {
    let execution = without_a_car(Runner::new(&workflow()));
    execution.assert_operations([
        "step book-flight",
        "step book-hotel",
        "step book-car FAILED",
        "step cancel-hotel, attempt 2",
        "step cancel-flight",
    ]);
    execution.operation("cancel-hotel").assert_attempts(2);
    assert_eq!(execution.result::<Value>()["undone"], json!(["hotel", "flight"]));
}

/// The charge is at most once: an attempt that died is not repeated, and what was booked is undone.
#[test]
fn an_interrupted_charge_is_never_repeated() {
    let execution = trip(Runner::new(&workflow())).crash(Crash::in_step("charge")).run();
    assert_eq!(execution.crashes(), 1);
    execution.operation("charge").assert_failed("StepInterruptedError", "interrupted").assert_attempts(1);
    assert_eq!(execution.result::<Value>()["undone"], json!(["car", "hotel", "flight"]));
}

#[test]
fn a_crash_makes_no_difference() {
    crash_everywhere(&workflow(), without_a_car);
}
