//! Sales are loaded region by region, each at the second attempt, and added up.

use everstep_test::{ErrorObject, Execution, ExecutionStatus, Runner, Workflow, crash_everywhere};
use serde_json::{Value, json};

const SALES: &str = include_str!("../sales.csv");

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

fn sales(runner: Runner) -> Execution {
    runner.input(json!({ "csv": SALES })).run()
}

#[test]
fn every_region_is_loaded_and_added_up() {
    let execution = sales(Runner::new(&workflow()));
    let report: Value = execution.result();
    let regions: Vec<&str> =
        report["regions"].as_array().into_iter().flatten().filter_map(|it| it["region"].as_str()).collect();
    assert!(regions.len() > 1 && regions.is_sorted(), "{regions:?}");
    for region in &regions {
        execution.operation(&format!("load-{}", region.to_lowercase())).assert_succeeded().assert_attempts(2);
    }
    let revenue = execution.operation("revenue");
    revenue.assert_result(report["totals"]["revenue"].clone());
    assert_eq!(revenue.parent().and_then(|parent| parent.name().map(str::to_owned)).as_deref(), Some("totals"));
}

#[test]
fn a_warehouse_that_stays_full_fails_it() {
    let full = ErrorObject::new("Full", "no room");
    let first = sales(Runner::new(&workflow())).operation_by_index(0).title();
    let execution = sales(Runner::new(&workflow()).on_step(&first).fail(full));
    execution.assert_status(ExecutionStatus::Failed);
    execution.operation(&first).assert_failed("Full", "no room").assert_attempts(3);
    assert!(execution.find("totals").is_none());
}

#[test]
fn replays_and_crashes_make_no_difference() {
    let (plain, replayed) = (sales(Runner::new(&workflow())), sales(Runner::new(&workflow()).replay_everything()));
    assert_eq!(plain.history_json(), replayed.history_json());
    crash_everywhere(&workflow(), sales);
}
