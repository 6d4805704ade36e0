//! Plain programs: stdin in, stdout out, nothing of Everstep in them.

use crate::log::{Log, compiled};
use crate::process::{Case, Until};
use crate::server::Server;
use crate::story::{Story, oracle, sweep};
use crate::support::Place;
use serde_json::Value;
use std::collections::BTreeSet;

fn reminders(guest: &'static str) -> Case {
    Case::new(guest, &["--input", r#"["call mum","water the plants"]"#])
}

/// The tasks and ids that a result names, and when it says that the last was due.
fn tasks(log: &Log) -> (BTreeSet<String>, BTreeSet<String>, f64) {
    let result: Value = serde_json::from_str(&log.result().expect("a result")).expect("JSON");
    let reminders = result.as_array().expect("an array").clone();
    let all = |key: &str| reminders.iter().map(|reminder| reminder[key].as_str().expect("text").to_owned()).collect();
    (all("task"), all("id"), reminders.last().expect("one")["after"].as_f64().expect("a number"))
}

/// Runs in real time, twice in simulated time, and killed at every operation in simulated time.
fn runs_and_replays(guest: &'static str, least_kills: u32) {
    compiled(guest);
    let case = reminders(guest);
    let place = Place::new();
    case.live_in(&place, Until::TheEnd, &[]);
    let live = Log::of(&place, guest);
    live.replay(guest);
    let (named, ids, after) = tasks(&live);
    assert_eq!(named, ["call mum".to_owned(), "water the plants".to_owned()].into());
    assert_eq!(ids.len(), 2, "{ids:?}");
    // Seconds in two languages, milliseconds in the third.
    assert!(after >= 2.0, "two reminders, each after a second, took {after}");

    let (one, other) = (oracle(&case), oracle(&case));
    one.check_against(&other);
    let (_, simulated, _) = tasks(one.last());
    assert!(ids.is_disjoint(&simulated), "another execution draws other ids");
    let journals = |story: &Story| story.last().0.iter().map(|row| row.journal).collect::<Vec<_>>();
    assert_eq!(journals(&one), journals(&other), "where the program stood at each checkpoint");

    let (_, seen) = sweep(&case);
    assert!(seen.kills.into_inner() >= least_kills, "the failpoints are not reached any more");
    assert!(seen.suspended_in_a_wait.into_inner() > 0, "none was killed while it slept");
}

#[test]
fn a_c_program() {
    runs_and_replays("languages/c/reminders", 8);
}

#[test]
fn a_python_program() {
    runs_and_replays("languages/python/reminders", 8);
}

#[test]
fn a_javascript_program() {
    runs_and_replays("languages/javascript/reminders", 8);
}

/// JavaScript's own `fetch`, several at once: each is a step, recorded and replayed.
#[test]
fn a_javascript_program_that_fetches() {
    let guest = "languages/steps/fetch";
    compiled(guest);
    let server = Server::start();
    let case = Case::new(guest, &["--allow-http", &server.authority(), "--", &server.url()]);
    let place = Place::new();
    case.live_in(&place, Until::TheEnd, &[]);
    let live = Log::of(&place, guest);
    live.replay(guest);
    let result: Value = serde_json::from_str(&live.result().expect("a result")).expect("JSON");
    assert_eq!(result["all"][1], serde_json::json!([200, 100_000]));
    assert_eq!(result["order"].as_array().map(Vec::len), Some(3));
    let again = result["again"].as_str().expect("text");
    assert_eq!(server.hits(&format!("GET {again}")), 1, "a replay asks nobody");

    let (_, seen) = sweep(&case);
    assert!(seen.kills.into_inner() >= 8, "the failpoints are not reached any more");
}
