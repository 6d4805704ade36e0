//! Two fixed logs that the renderings are tested with.

use super::Record;
use everstep_core::protocol::{
    Cause, ComponentDigest, ErrorObject, Event, ExecutionArn, ExecutionConfig, ExecutionStarted, OperationId, Seed,
    Timestamp, Transition,
};
use everstep_core::store::ExecutionKey;
use std::sync::Arc;

pub(super) const EPOCH: i64 = 1_790_000_000_000;

/// Hostile in HTML, in a terminal and in diagrams.
pub(super) const INPUT: &str = "{\"item\":\"<script>alert(1)</script> & 'tea'\u{1b}[2J\"}";

/// The log of rows that are each recorded so many milliseconds after the start.
fn rows(events: Vec<(i64, Vec<Event>)>) -> Vec<Transition> {
    let mut first_event = 1;
    let row = |(after, events)| {
        let at = Timestamp(EPOCH + after);
        let row = Transition { at, cause: Cause::Checkpoint, first_event, events, journal: None, client_token: None };
        first_event += row.event_ids();
        row
    };
    events.into_iter().map(row).collect()
}

fn id(text: &str) -> OperationId {
    OperationId::try_from(text).unwrap()
}

fn parent(of: &str) -> Option<OperationId> {
    of.rsplit_once('-').map(|(parent, _)| id(parent))
}

fn started() -> Event {
    Event::ExecutionStarted(Arc::new(ExecutionStarted {
        arn: ExecutionArn::local("order", "$LATEST", "order-42", "6f3c").as_str().into(),
        function: "order".into(),
        version: "$LATEST".into(),
        name: "order-42".into(),
        input: Some(INPUT.into()),
        component: ComponentDigest([7; 32]),
        seed: Seed([7; 32]),
        config: ExecutionConfig { execution_timeout_seconds: 3600, ..ExecutionConfig::default() },
        invoked_by: None,
    }))
}

fn step(of: &str, name: &str) -> Event {
    Event::StepStarted { id: id(of), parent: parent(of), name: Some(name.into()), sub_type: None, rerun: false }
}

fn done(of: &str, attempt: u32, result: &str) -> Event {
    Event::StepSucceeded { id: id(of), attempt, result: Some(result.into()) }
}

fn context(of: &str, name: &str) -> Event {
    Event::ContextStarted { id: id(of), parent: parent(of), name: Some(name.into()), sub_type: None }
}

fn wait(of: &str, name: Option<&str>, seconds: u32) -> Event {
    Event::WaitStarted { id: id(of), parent: parent(of), name: name.map(str::to_owned), sub_type: None, seconds }
}

fn invocation(after: i64) -> Event {
    Event::InvocationCompleted { started_at: Timestamp(EPOCH + after), request_id: "r".into(), error: None }
}

/// A step; a step that is retried; contexts with a step and a wait; a cancelled wait; a step that fails it all.
pub(super) fn log() -> Vec<Transition> {
    let declined = ErrorObject::new("CardError", "declined: try again; <later>");
    let fatal = ErrorObject::new("StepError", "no courier\n<b>today</b>");
    rows(vec![
        (0, vec![started()]),
        (40, vec![step("1", "validate"), done("1", 1, "\"order <42> is fine\"")]),
        (60, vec![step("2", "charge: card #1; <b>")]),
        (560, vec![Event::StepRetried { id: id("2"), attempt: 1, seconds: 2, error: Some(declined), state: None }]),
        (561, vec![invocation(0)]),
        (2560, vec![Event::StepReady { id: id("2") }]),
        (2600, vec![step("2", "charge: card #1; <b>")]),
        (3100, vec![done("2", 2, &format!("{{\"receipt\":\"{}\"}}", "x".repeat(200)))]),
        (3110, vec![context("3", "deliver"), step("3-1", "pack"), done("3-1", 1, "null")]),
        (3120, vec![context("3-2", "courier"), wait("3-2-1", Some("pick-up"), 5), invocation(2600)]),
        (8120, vec![Event::WaitSucceeded { id: id("3-2-1") }]),
        (
            8130,
            vec![
                Event::ContextSucceeded { id: id("3-2"), result: None, replay_children: true, result_omitted: false },
                Event::ContextSucceeded {
                    id: id("3"),
                    result: Some("2".into()),
                    replay_children: true,
                    result_omitted: false,
                },
                wait("4", None, 60),
            ],
        ),
        (8200, vec![Event::WaitCancelled { id: id("4") }, step("5", "notify")]),
        (8300, vec![Event::StepFailed { id: id("5"), attempt: 1, error: fatal.clone() }]),
        (8310, vec![invocation(8120), Event::ExecutionFailed { error: fatal }]),
    ])
}

pub(super) fn record() -> Record {
    Record::of(ExecutionKey(1), &log()).unwrap()
}

/// An execution that is suspended.
pub(super) fn waiting() -> Record {
    let log = rows(vec![
        (0, vec![started()]),
        (40, vec![step("1", "validate"), done("1", 1, "1")]),
        (50, vec![wait("2", Some("cooling-off"), 600), invocation(0)]),
    ]);
    Record::of(ExecutionKey(1), &log).unwrap()
}
