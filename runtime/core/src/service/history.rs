//! `GetDurableExecutionHistory`: the log as a flat list of events.

use super::execution::operation_id;
use super::operation::shown_sub_type;
use crate::protocol::{Event, OperationId, OperationType, Timestamp, Transition, Warning};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One event of an execution's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// 1, 2, 3... without gaps.
    pub event_id: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// What it happened to; the log says it only where that began. None: an invocation.
    pub subject: Option<Arc<Subject>>,
}

/// Something that an execution warned of. No event of AWS's history: it is told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warned {
    /// When.
    pub at: Timestamp,
    /// Of what; its text says what to do about it.
    pub warning: Warning,
    /// The operation that gave reason for it, if one did.
    pub subject: Option<Arc<Subject>>,
}

impl std::fmt::Display for Warned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "{}: ", subject.name.as_ref().unwrap_or(&subject.id))?;
        }
        self.warning.fmt(f)
    }
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The operation's id; for an execution's events the last segment of its ARN.
    pub id: String,
    /// The operation's or execution's name.
    pub name: Option<String>,
    /// The operation's `SubType`.
    pub sub_type: Option<String>,
    /// The operation's CONTEXT.
    pub parent_id: Option<OperationId>,
    /// A WAIT's length, seconds.
    pub seconds: Option<u32>,
}

/// The history that a log tells, in order.
pub fn history_of(log: &[Transition]) -> Vec<HistoryEvent> {
    told(log, Event::in_history)
}

/// What the execution of a log warned of, each once, in order.
pub fn warnings_of(log: &[Transition]) -> Vec<Warned> {
    let warned = told(log, |event| matches!(event, Event::Warned { .. })).into_iter();
    let warned = warned.filter_map(|HistoryEvent { at, event, subject, .. }| match event {
        Event::Warned { warning, operation } => {
            Some(Warned { at, warning, subject: subject.filter(|_| operation.is_some()) })
        }
        _ => None,
    });
    warned.collect()
}

/// The wanted events of a log, with what each is about.
fn told(log: &[Transition], wanted: impl Fn(&Event) -> bool) -> Vec<HistoryEvent> {
    let mut history = Vec::new();
    let mut operations: BTreeMap<&OperationId, Arc<Subject>> = BTreeMap::new();
    let mut execution = None;
    for row in log {
        let mut event_id = row.first_event;
        for event in &row.events {
            let subject = match operation_id(event) {
                Some(id) => Some(operations.entry(id).or_insert_with(|| Arc::new(Subject::begun(event))).clone()),
                None => match event {
                    Event::InvocationCompleted { .. } => None,
                    Event::ExecutionStarted(started) => {
                        let (id, name) = (started.arn().id().to_owned(), Some(started.name.clone()));
                        execution = Some(Arc::new(Subject { id, name, ..Subject::default() }));
                        execution.clone()
                    }
                    _ => execution.clone(),
                },
            };
            if wanted(event) {
                history.push(HistoryEvent { event_id, at: row.at, event: event.clone(), subject });
            }
            event_id += u64::from(event.in_history());
        }
    }
    history
}

impl Subject {
    /// The operation that this START begins.
    fn begun(event: &Event) -> Self {
        let id = operation_id(event).map(|id| id.as_str().to_owned()).unwrap_or_default();
        let (operation_type, parent, name, sub_type, seconds) = match event {
            Event::ContextStarted { parent, name, sub_type, .. } => {
                (OperationType::Context, parent, name, sub_type, None)
            }
            Event::StepStarted { parent, name, sub_type, .. } => (OperationType::Step, parent, name, sub_type, None),
            Event::WaitStarted { parent, name, sub_type, seconds, .. } => {
                (OperationType::Wait, parent, name, sub_type, Some(*seconds))
            }
            Event::CallbackStarted { parent, name, sub_type, .. } => {
                (OperationType::Callback, parent, name, sub_type, None)
            }
            Event::ChainedInvokeStarted { parent, name, sub_type, .. } => {
                (OperationType::ChainedInvoke, parent, name, sub_type, None)
            }
            // The log does not fold; its history is shown as far as it goes.
            _ => return Self { id, ..Self::default() },
        };
        Self {
            id,
            name: name.clone(),
            sub_type: shown_sub_type(operation_type, sub_type.as_deref()),
            parent_id: parent.clone(),
            seconds,
        }
    }
}

impl HistoryEvent {
    /// AWS's `EventType`.
    pub fn event_type(&self) -> &'static str {
        event_type(&self.event)
    }
}

/// AWS's `EventType`; for events that AWS's history does not have, our name.
pub(super) fn event_type(event: &Event) -> &'static str {
    match event {
        Event::ExecutionStarted(_) => "ExecutionStarted",
        Event::ExecutionSucceeded { .. } => "ExecutionSucceeded",
        Event::ExecutionFailed { .. } => "ExecutionFailed",
        Event::ExecutionTimedOut { .. } => "ExecutionTimedOut",
        Event::ExecutionStopped { .. } => "ExecutionStopped",
        Event::ExecutionPaused { .. } => "ExecutionPaused",
        Event::ExecutionResumed { .. } => "ExecutionResumed",
        Event::InvocationCompleted { .. } => "InvocationCompleted",
        Event::ContextStarted { .. } => "ContextStarted",
        Event::ContextSucceeded { .. } => "ContextSucceeded",
        Event::ContextFailed { .. } => "ContextFailed",
        Event::StepStarted { .. } => "StepStarted",
        Event::StepSucceeded { .. } | Event::StepRetried { state: Some(_), error: None, .. } => "StepSucceeded",
        Event::StepFailed { .. } | Event::StepRetried { .. } => "StepFailed",
        Event::StepReady { .. } => "StepReady",
        Event::CallbackHeartbeat { .. } => "CallbackHeartbeat",
        Event::Warned { .. } => "Warned",
        Event::WaitStarted { .. } => "WaitStarted",
        Event::WaitSucceeded { .. } => "WaitSucceeded",
        Event::WaitCancelled { .. } => "WaitCancelled",
        Event::CallbackStarted { .. } => "CallbackStarted",
        Event::CallbackSucceeded { .. } => "CallbackSucceeded",
        Event::CallbackFailed { .. } => "CallbackFailed",
        Event::CallbackTimedOut { .. } => "CallbackTimedOut",
        Event::ChainedInvokeStarted { .. } => "ChainedInvokeStarted",
        Event::ChainedInvokeSucceeded { .. } => "ChainedInvokeSucceeded",
        Event::ChainedInvokeFailed { .. } => "ChainedInvokeFailed",
        Event::ChainedInvokeTimedOut { .. } => "ChainedInvokeTimedOut",
        Event::ChainedInvokeStopped { .. } => "ChainedInvokeStopped",
    }
}
