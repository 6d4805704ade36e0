//! AWS's conformance suite: every requirement's handler runs on the embedded service, with time skipped, and the suite's
//! own code decides about the history, the result and the logs.
//!
//! The suite is installed by `tests/conformance/build`. `EVERSTEP_CONFORMANCE_SHOW=3-12` prints what became of a
//! requirement's execution.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[path = "conformance/harness/execution.rs"]
mod execution;
#[path = "deterministic/in_process.rs"]
mod in_process;
#[path = "conformance/harness/not_applicable.rs"]
mod not_applicable;
#[path = "conformance/harness/referee.rs"]
mod referee;

use not_applicable::NotApplicable;
use referee::{Referee, Verdict};
use std::collections::BTreeMap;
use std::io::Write as _;

/// What the table says of a suite.
#[derive(Default)]
struct Row {
    requirements: usize,
    passed: usize,
    not_applicable: usize,
    logs: usize,
    logs_passed: usize,
    logs_not_applicable: usize,
}

#[test]
fn every_requirement_of_awss_suite_is_met() {
    let exceptions = NotApplicable::read();
    let mut referee = Referee::start();
    let cases = referee.cases().to_vec();
    let mut table: BTreeMap<&str, Row> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let verdict = execution::run(case, &mut referee).unwrap_or_else(|error| Verdict::failed(&error));
        let row = table.entry(&case.suite).or_default();
        row.requirements += 1;
        row.logs += usize::from(case.logs);
        let (errors, log_errors) = (verdict.errors.join("\n    "), verdict.log_errors.join("\n    "));
        let met = errors.is_empty() && log_errors.is_empty();
        if exceptions.covers_requirement(&case.id) {
            row.not_applicable += 1;
            row.logs_not_applicable += usize::from(case.logs);
            if met {
                wrong.push(format!("{}: it is met: take it off the list of what is not applicable", case.id));
            }
            continue;
        }
        match errors.is_empty() {
            true => row.passed += 1,
            false => wrong.push(format!("{} {}: {errors}", case.suite, case.id)),
        }
        match (case.logs, log_errors.is_empty(), exceptions.covers_logs(&case.id)) {
            (false, _, false) => {}
            (false, _, true) => wrong.push(format!("{}: it asks for no logs", case.id)),
            (true, true, false) => row.logs_passed += 1,
            (true, false, true) => row.logs_not_applicable += 1,
            (true, false, false) => wrong.push(format!("{} {}: logs: {log_errors}", case.suite, case.id)),
            (true, true, true) => {
                wrong
                    .push(format!("{}: its logs are right: take them off the list of what is not applicable", case.id));
            }
        }
    }
    for id in exceptions.ids().filter(|id| !cases.iter().any(|case| case.id == **id)) {
        wrong.push(format!("{id} is on the list of what is not applicable, and there is no such requirement"));
    }
    // Past the test's captured output, so that it is seen when all is well.
    let _ = writeln!(std::io::stderr(), "\n{}", render(&table));
    let (decided, files) = (table.values().map(|row| row.passed + row.not_applicable).sum::<usize>(), referee.files());
    assert!(wrong.is_empty(), "{} of {files} requirements are dealt with\n  {}", decided, wrong.join("\n  "));
    assert_eq!(decided, files, "every file of the suite is a requirement that is met or listed as not applicable");
}

fn render(table: &BTreeMap<&str, Row>) -> String {
    let mut lines = vec![format!(
        "{:20}{:>8}{:>5}{:>17}   {:>13}{:>17}",
        "suite", "passed", "of", "not applicable", "logs right", "not applicable"
    )];
    let mut sum = Row::default();
    for (suite, row) in table {
        lines.push(line(suite, row));
        sum.requirements += row.requirements;
        sum.passed += row.passed;
        sum.not_applicable += row.not_applicable;
        sum.logs += row.logs;
        sum.logs_passed += row.logs_passed;
        sum.logs_not_applicable += row.logs_not_applicable;
    }
    lines.push(line("", &sum));
    lines.join("\n")
}

fn line(suite: &str, row: &Row) -> String {
    let logs = match row.logs {
        0 => String::new(),
        _ => format!("{:>7} of {:2}{:>17}", row.logs_passed, row.logs, row.logs_not_applicable),
    };
    format!("{suite:20}{:>8}{:>5}{:>17}   {logs}", row.passed, row.requirements, row.not_applicable)
}
