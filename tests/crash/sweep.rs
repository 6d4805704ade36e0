//! The examples, and workflow code that logs, killed at every operation.

use crate::process::{Case, POINTS, Until};
use crate::story::{Story, every_operation, oracle, sweep};
use everstep::worker::{ReplayError, Silent};
use everstep_core::protocol::{Event, Transition};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn order() -> Case {
    Case::new("order", &["--input", r#"{"orderId":"42","amount":99.5}"#])
}

#[test]
fn an_order_is_killed_at_every_operation() {
    let (_, seen) = sweep(&order());
    assert!(seen.kills.into_inner() >= 30, "the failpoints are not reached any more");
    assert!(seen.suspended_in_a_wait.into_inner() > 0, "none was killed while it waits");
}

#[test]
fn a_program_that_knows_nothing_of_everstep_is_killed_at_every_operation() {
    let (_, seen) = sweep(&Case::new("sleepy", &[]));
    assert!(seen.kills.into_inner() >= 10, "the failpoints are not reached any more");
}

#[test]
fn an_etl_is_killed_at_every_operation() {
    let sales = crate::support::root().join("examples/etl/sales.csv");
    let (_, seen) = sweep(&Case::new("etl", &["--text", &format!("@{}", sales.display())]));
    assert!(seen.kills.into_inner() >= 60, "the failpoints are not reached any more");
    assert!(seen.between_attempts.into_inner() > 0, "none was killed between two attempts");
}

#[test]
fn an_approval_that_nobody_gives_is_killed_at_every_operation() {
    let input = r#"{"purpose":"a boat","amount":12}"#;
    let (oracle, seen) = sweep(&Case::new("approval", &["--execution-timeout", "2592000", "--input", input]));
    assert_eq!(oracle.last().result().as_deref(), Some(r#"{"status":"expired","by":null,"reminders":1}"#));
    assert!(seen.kills.into_inner() >= 25, "the failpoints are not reached any more");
}

#[test]
fn a_saga_that_has_to_be_undone_is_killed_at_every_operation() {
    let input = r#"{"traveller":"Ann","parts":["flight","hotel","car"],"amount":90,"sold_out":["car"]}"#;
    let (_, seen) = sweep(&Case::new("saga", &["--input", input]));
    assert!(seen.kills.into_inner() >= 25, "the failpoints are not reached any more");
}

#[test]
fn a_map_with_failures_is_killed_at_every_operation() {
    let (_, seen) = sweep(&Case::new("fanout", &["--input", r#"{"images":8,"brokenEvery":8}"#]));
    assert!(seen.kills.into_inner() >= 30, "the failpoints are not reached any more");
}

#[test]
fn what_another_workflow_invoked_is_killed_at_every_operation() {
    let order = crate::support::component("order");
    let function = format!("order={}", order.display());
    let input = r#"{"orderId":"7","amount":5,"payment":"order:$LATEST","shipping":"nobody:1"}"#;
    let (_, seen) = sweep(&Case::new("orchestrate", &["--input", input, "--function", &function]));
    assert!(seen.kills.into_inner() >= 50, "the failpoints are not reached any more");
}

#[test]
fn workflow_code_that_works_on_files_is_killed_at_every_operation() {
    let (_, seen) = sweep(&Case::new("guest-files", &["--input", r#"{"case":"world"}"#]));
    assert!(seen.kills.into_inner() >= 12, "the failpoints are not reached any more");
}

#[test]
fn workflow_code_that_logs_between_operations_is_killed_at_every_operation() {
    let (_, seen) = sweep(&Case::new("guest-faults", &["--input", r#"{"case":"log"}"#]));
    assert!(seen.kills.into_inner() >= 8, "the failpoints are not reached any more");
}

/// What the sweeps compare with would notice: a log in which anything was changed does not replay.
#[test]
fn a_log_that_was_changed_does_not_replay() {
    let log = Story::of(&order(), &[]).last().clone();
    type Change = fn(&mut Transition);
    let changes: [(&str, Change); 4] = [
        ("a step's result", |row| {
            for event in &mut row.events {
                if let Event::StepSucceeded { result: Some(result), .. } = event {
                    *result = result.replace("42", "43").replace("99", "98");
                }
            }
        }),
        ("the execution's result", |row| {
            for event in &mut row.events {
                if let Event::ExecutionSucceeded { result: Some(result) } = event {
                    *result = result.replace("42", "43");
                }
            }
        }),
        ("a name", |row| {
            for event in &mut row.events {
                if let Event::StepStarted { name: Some(name), .. } = event {
                    name.push('?');
                }
            }
        }),
        ("a place in the guest", |row| row.journal.iter_mut().for_each(|journal| journal.digest ^= 1)),
    ];
    for (what, change) in changes {
        let mut changed = 0;
        for row in 0..log.0.len() {
            let mut other = log.clone();
            change(&mut other.0[row]);
            if other != log {
                changed += 1;
                let replayed = other.try_replay("order", Arc::new(Silent));
                assert!(matches!(replayed, Err(ReplayError::Diverged(_))), "{what} in row {row}: {replayed:?}");
            }
        }
        assert!(changed > 0, "no row has {what}");
    }
}

/// The resumed process dies as well, at the first place of each kind that it comes to.
#[test]
fn an_order_is_killed_twice_in_a_row() {
    let case = order();
    let (oracle, kills) = (oracle(&case), AtomicU32::new(0));
    every_operation(|point, count| {
        let stories = POINTS.map(|second| Story::of(&case, &[Until::HeldAt(point, count), Until::HeldAt(second, 1)]));
        for story in &stories {
            story.check_against(&oracle);
            kills.fetch_add(story.kills() as u32, Ordering::Relaxed);
        }
        stories.iter().any(|story| story.lives[0].life.killed)
    });
    println!("order, twice in a row: {} kills", kills.load(Ordering::Relaxed));
    assert!(kills.into_inner() >= 200, "the failpoints are not reached any more");
}
