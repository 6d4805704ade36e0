//! A process is killed while it sleeps in real time: in a wait, and between two attempts of a step.

use crate::log::Log;
use crate::process::{Case, Until};
use crate::support::{Place, root};
use everstep_core::protocol::{OperationStatus, OperationType};

/// Kills a process that waits; another resumes, for which time flies. Answers the log that the dead one left.
fn killed_while_it_waits(case: &Case) -> Log {
    let place = Place::new();
    assert!(case.live_in(&place, Until::ItWaits, &[]).killed);
    let before = Log::of(&place, case.guest);
    case.live(&place, Until::TheEnd);
    let after = Log::of(&place, case.guest);
    assert!(after.0.starts_with(&before.0));
    after.replay(case.guest);
    // It was at rest: nothing was lost, so nothing is recorded as lost.
    let lost = after.events().filter(|event| format!("{event:?}").contains("lost-")).count();
    assert_eq!(lost, 0, "{:#?}", after.0);
    before
}

fn has(log: &Log, operation_type: OperationType, status: OperationStatus) -> bool {
    let execution = log.fold().expect("it began");
    execution
        .operations()
        .iter()
        .any(|operation| (operation.operation_type, operation.status) == (operation_type, status))
}

#[test]
fn in_a_wait() {
    let case = Case::new("order", &["--input", r#"{"orderId":"42","amount":99.5}"#]);
    let left = killed_while_it_waits(&case);
    assert!(has(&left, OperationType::Wait, OperationStatus::Started));
}

#[test]
fn between_two_attempts() {
    let sales = root().join("examples/etl/sales.csv");
    let left = killed_while_it_waits(&Case::new("etl", &["--text", &format!("@{}", sales.display())]));
    assert!(has(&left, OperationType::Step, OperationStatus::Pending));
}
