//! What a database records, read in process, in forms that a test can write down; and a process that is held.

use crate::support::Place;
use everstep_core::service::{HistoryEvent, history_of};
use everstep_core::store::{Filter, Store};
use everstep_store::SqliteStore;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// The history of one execution, as AWS's `GetDurableExecutionHistory` answers it.
pub(crate) fn history(place: &Place, function: &str, name: &str) -> Vec<Value> {
    let store = SqliteStore::open_read_only(place.database()).expect("the database opens");
    let found = store.find(function, name).expect("the database can be read");
    let summary = found.unwrap_or_else(|| panic!("there is no execution {name} of {function}"));
    let log = store.load(summary.key).expect("the log can be read");
    history_of(&log).iter().map(HistoryEvent::to_json).collect()
}

/// The types of its events, in order.
pub(crate) fn event_types(history: &[Value]) -> Vec<&str> {
    history.iter().map(|event| event["EventType"].as_str().expect("every event has a type")).collect()
}

/// A line for each event: its type, and of an operation the id, `in` its parent, its name and its retry details.
pub(crate) fn lines(history: &[Value]) -> Vec<String> {
    let line = |event: &Value| {
        let text = |member: &str| event[member].as_str();
        let kind = text("EventType").expect("every event has a type");
        let details = &event[format!("{kind}Details")];
        if kind == "InvocationCompleted" {
            return match details["Error"]["Payload"]["ErrorType"].as_str() {
                Some(error) => format!("{kind} {error}"),
                None => kind.to_owned(),
            };
        }
        if kind.starts_with("Execution") {
            return kind.to_owned();
        }
        let mut line = format!("{kind} {}", text("Id").expect("an operation's event has its id"));
        if let Some(parent) = text("ParentId") {
            line += &format!(" in {parent}");
        }
        if let Some(name) = text("Name") {
            line += &format!(" {name}");
        }
        if let Some(error) = details["Error"]["Payload"]["ErrorType"].as_str() {
            line += &format!(" {error}");
        }
        if let Some(retry) = details.get("RetryDetails") {
            line += &format!(" attempt {}", retry["CurrentAttempt"]);
            if let Some(delay) = retry.get("NextAttemptDelaySeconds") {
                line += &format!(", next in {delay} s");
            }
        }
        if let Some(seconds) = details.get("Duration") {
            line += &format!(" {seconds} s");
        }
        line
    };
    let numbered = history.iter().enumerate().all(|(index, event)| event["EventId"] == index + 1);
    assert!(numbered, "event ids are 1, 2, 3... without gaps: {history:#?}");
    history.iter().map(line).collect()
}

/// Everything that the database says of executions; none: there is no database.
pub(crate) fn content(place: &Place) -> Option<String> {
    if !place.database().exists() {
        return None;
    }
    let store = SqliteStore::open_read_only(place.database()).expect("the database opens");
    let executions = store.list(&Filter::default()).expect("the database can be read");
    let logs: Vec<_> = executions.iter().map(|execution| store.load(execution.key).expect("the log reads")).collect();
    Some(format!("{executions:#?}\n{logs:#?}"))
}

/// Runs the binary until it is held at the failpoint.
pub(crate) fn held(place: &Place, arguments: &[&str], failpoint: &str) -> Child {
    let mut command = place.everstep(arguments);
    command.env("EVERSTEP_FAILPOINT", failpoint).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("everstep runs");
    let mut said = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let held = said.any(|line| line.is_ok_and(|line| line.starts_with("everstep: held at failpoint")));
    assert!(held, "it is not held at {failpoint}");
    child
}
