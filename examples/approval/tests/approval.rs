//! What an approval does with the answers it gets, and without one.

use everstep_test::{ErrorObject, Execution, ExecutionStatus, OperationStatus, Runner, Workflow, crash_everywhere};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn runner(runner: Runner) -> Runner {
    runner.input(json!({ "purpose": "a boat", "amount": 12 })).timeout(60 * DAY)
}

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

/// Yes, on the twentieth day; somebody looks at it every week.
fn approved_late(plan: Runner) -> Execution {
    let mut plan = runner(plan);
    for week in 1..=2 {
        plan = plan.on_callback("decision").after(week * 7 * DAY).heartbeat();
    }
    plan.on_callback("decision").after(20 * DAY).succeed(json!({ "approved": true, "by": "Ann" })).run()
}

#[test]
fn it_reminds_every_week_until_somebody_decides() {
    let execution = approved_late(Runner::new(&workflow()));
    execution.assert_result(json!({ "status": "approved", "by": "Ann", "reminders": 2 }));
    assert_eq!(execution.operation("decision").duration(), Some(20 * DAY));
    execution.assert_operations([
        "callback decision",
        "step ask",
        "wait patience 604800 s",
        "step remind",
        "wait patience 604800 s",
        "step remind",
        "wait patience 604800 s CANCELLED",
    ]);
}

#[test]
fn a_rejection_is_an_answer_too() {
    let mut execution = runner(Runner::new(&workflow())).start();
    let callback = execution.until_callback();
    assert_eq!(callback.operation().name(), Some("decision"));
    assert!(execution.stdout().contains(callback.id()), "whoever is asked is told the callback's id");
    execution.succeed_callback("decision", json!({ "approved": false, "by": "Bo" }));
    execution.run().assert_result(json!({ "status": "rejected", "by": "Bo", "reminders": 0 }));
}

#[test]
fn what_nobody_touches_for_ten_days_expires() {
    let execution = runner(Runner::new(&workflow())).run();
    execution.assert_result(json!({ "status": "expired", "by": Value::Null, "reminders": 1 }));
    let decision = execution.operation("decision");
    decision.assert_status(OperationStatus::TimedOut);
    assert_eq!(decision.error().and_then(|error| error.error_type.as_deref()), Some("Callback.Heartbeat"));
    assert_eq!(decision.duration(), Some(10 * DAY));
}

#[test]
fn an_error_from_outside_is_the_execution_s() {
    let refused = ErrorObject::new("NoSuchApprover", "who is Ann?");
    let execution = runner(Runner::new(&workflow())).on_callback("decision").fail(refused).run();
    execution.assert_status(ExecutionStatus::Failed).assert_failed("NoSuchApprover", "who is Ann?");
}

#[test]
fn a_crash_makes_no_difference() {
    let tried = crash_everywhere(&workflow(), approved_late);
    assert!(tried > 30, "only {tried} places to crash at");
}
