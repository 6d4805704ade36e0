//! An execution as the fold of its log: the only place where state comes from, live as after a crash.

use super::history::event_type;
use super::invocations::Invocations;
use super::{callback, chained_invoke, context, step, wait};
use crate::protocol::{
    Cause, ErrorObject, Event, ExecutionStarted, ExecutionStatus, Journal, Operation, OperationId, OperationStatus,
    OperationType, Timestamp, Transition, Warning,
};
use crate::store::{ExecutionKey, Projection};
use rustc_hash::FxBuildHasher;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Looked up, never iterated; the hasher has no key, hence no chance in it.
type Index = HashMap<OperationId, u32, FxBuildHasher>;

/// The state of one execution: [`Execution::apply`] over every event of its log, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub(super) key: ExecutionKey,
    pub(super) started: Arc<ExecutionStarted>,
    pub(super) started_at: Timestamp,
    /// Of the newest row: time never goes back before it.
    pub(super) latest: Timestamp,
    pub(super) next_event: u64,
    pub(super) next_sequence: u64,
    pub(super) status: ExecutionStatus,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) result: Option<String>,
    pub(super) error: Option<ErrorObject>,
    pub(super) invocations: Invocations,
    pub(super) journals: Vec<Journal>,
    /// In start order. Invocations and answers share them: one that changes while it is shared is copied first.
    pub(super) operations: Vec<Arc<Operation>>,
    /// When each was last changed, counted in changes; parallel to `operations`.
    changed: Vec<u64>,
    /// Changes of operations so far.
    pub(super) changes: u64,
    /// Those of them that the rows before this one made.
    changes_before: u64,
    index: Index,
    timers: BTreeSet<(Timestamp, u32)>,
    /// Operations that will change without the worker's doing.
    pub(super) outstanding: u32,
    /// Bytes that the log has of what was written, as [`Event::written_bytes`] counts them.
    pub(super) written: u64,
    /// What it was warned of.
    pub(super) warned: BTreeSet<Warning>,
}

/// An event that cannot follow what is recorded. In a stored log it means that the log was damaged or written by
/// other rules; nothing of the event was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event_id}, {asked} of {subject}, cannot follow: {found}")]
pub struct IllegalTransition {
    /// The event's id.
    pub event_id: u64,
    /// The event's type.
    pub asked: &'static str,
    /// The operation, or `the execution`.
    pub subject: String,
    /// What stands in its way.
    pub found: Found,
}

/// What an [`IllegalTransition`] met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Found {
    /// The execution's status does not allow it.
    #[error("the execution is {}", .0.as_str())]
    Execution(ExecutionStatus),
    /// The log has to begin with ExecutionStarted, and only there it may stand.
    #[error("ExecutionStarted is the first event of a log, and of no other place")]
    NotTheBeginning,
    /// The operation does not exist.
    #[error("there is no such operation")]
    NoOperation,
    /// The parent does not exist or is no CONTEXT.
    #[error("its parent is no CONTEXT of this execution")]
    NoParent,
    /// The operation is something else, or elsewhere in its life.
    #[error("the operation is a {} that is {}", .0.as_str(), .1.as_str())]
    Operation(OperationType, OperationStatus),
    /// Attempts are counted without gaps.
    #[error("{0} attempts have ended so far")]
    Attempt(u32),
    /// Event ids have no gaps.
    #[error("the next event id is {0}")]
    NextEvent(u64),
    /// Time never goes back.
    #[error("the latest event was recorded at {0} ms, after this one")]
    Later(i64),
    /// In the vocabulary, but not in this build.
    #[error("this build cannot pause executions: use a newer everstep")]
    Unsupported,
}

/// Where an event stands, for the operation types' files.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) at: Timestamp,
    pub(super) event_id: u64,
    pub(super) asked: &'static str,
}

impl Place {
    pub(super) fn illegal(self, id: Option<&OperationId>, found: Found) -> IllegalTransition {
        let subject = id.map_or_else(|| "the execution".to_owned(), |id| format!("operation {id}"));
        IllegalTransition { event_id: self.event_id, asked: self.asked, subject, found }
    }
}

impl Execution {
    /// The state after the first row of a log.
    pub fn begin(key: ExecutionKey, row: &Transition) -> Result<Self, IllegalTransition> {
        let [Event::ExecutionStarted(started)] = row.events.as_slice() else {
            let asked = row.events.first().map_or("nothing", event_type);
            let place = Place { at: row.at, event_id: row.first_event, asked };
            return Err(place.illegal(None, Found::NotTheBeginning));
        };
        Ok(Self {
            key,
            started: started.clone(),
            started_at: row.at,
            latest: row.at,
            next_event: 2,
            next_sequence: 1,
            status: ExecutionStatus::Running,
            ended_at: None,
            result: None,
            error: None,
            invocations: Invocations::default(),
            journals: row.journal.into_iter().collect(),
            operations: Vec::new(),
            changed: Vec::new(),
            changes: 0,
            changes_before: 0,
            index: Index::default(),
            timers: BTreeSet::new(),
            outstanding: 0,
            written: row.events[0].written_bytes(),
            warned: BTreeSet::new(),
        })
    }

    /// The state after all of a log.
    pub fn fold(key: ExecutionKey, log: &[Transition]) -> Result<Self, IllegalTransition> {
        let Some((first, rest)) = log.split_first() else {
            let place = Place { at: Timestamp(0), event_id: 1, asked: "nothing" };
            return Err(place.illegal(None, Found::NotTheBeginning));
        };
        let mut execution = Self::begin(key, first)?;
        for row in rest {
            let mut event_id = row.first_event;
            for event in &row.events {
                execution.apply(row.at, event_id, event)?;
                event_id += u64::from(event.in_history());
            }
            execution.close_row(row.at, row.cause, row.journal);
        }
        Ok(execution)
    }

    /// Applies one event. An event that takes no id (`StepReady`) is given the id of the one after it.
    pub fn apply(&mut self, at: Timestamp, event_id: u64, event: &Event) -> Result<(), IllegalTransition> {
        let place = Place { at, event_id, asked: event_type(event) };
        let subject = operation_id(event);
        if self.status.is_terminal() {
            return Err(place.illegal(subject, Found::Execution(self.status)));
        }
        if event_id != self.next_event {
            return Err(place.illegal(subject, Found::NextEvent(self.next_event)));
        }
        if at < self.latest {
            return Err(place.illegal(subject, Found::Later(self.latest.0)));
        }
        match event {
            Event::ExecutionStarted(_) => return Err(place.illegal(None, Found::NotTheBeginning)),
            Event::ExecutionPaused { .. } | Event::ExecutionResumed { .. } => {
                return Err(place.illegal(None, Found::Unsupported));
            }
            Event::ExecutionSucceeded { result } => {
                self.result.clone_from(result);
                self.end(at, ExecutionStatus::Succeeded, None);
            }
            Event::ExecutionFailed { error } => self.end(at, ExecutionStatus::Failed, Some(error)),
            Event::ExecutionTimedOut { error } => self.end(at, ExecutionStatus::TimedOut, error.as_ref()),
            Event::ExecutionStopped { error } => self.end(at, ExecutionStatus::Stopped, Some(error)),
            Event::InvocationCompleted { started_at, request_id, error } => {
                self.invocations.completed(at, *started_at, request_id, error.as_ref());
            }
            Event::ContextStarted { .. } | Event::ContextSucceeded { .. } | Event::ContextFailed { .. } => {
                context::apply(self, place, event)?;
            }
            Event::StepStarted { .. }
            | Event::StepSucceeded { .. }
            | Event::StepFailed { .. }
            | Event::StepRetried { .. }
            | Event::StepReady { .. } => step::apply(self, place, event)?,
            Event::WaitStarted { .. } | Event::WaitSucceeded { .. } | Event::WaitCancelled { .. } => {
                wait::apply(self, place, event)?;
            }
            Event::CallbackStarted { .. }
            | Event::CallbackHeartbeat { .. }
            | Event::CallbackSucceeded { .. }
            | Event::CallbackFailed { .. }
            | Event::CallbackTimedOut { .. } => callback::apply(self, place, event)?,
            Event::ChainedInvokeStarted { .. }
            | Event::ChainedInvokeSucceeded { .. }
            | Event::ChainedInvokeFailed { .. }
            | Event::ChainedInvokeTimedOut { .. }
            | Event::ChainedInvokeStopped { .. } => chained_invoke::apply(self, place, event)?,
            Event::Warned { warning, .. } => {
                self.warned.insert(*warning);
            }
        }
        self.next_event += u64::from(event.in_history());
        self.latest = at;
        self.written = self.written.saturating_add(event.written_bytes());
        Ok(())
    }

    /// What a row as a whole says, once its events are applied.
    pub(super) fn close_row(&mut self, at: Timestamp, cause: Cause, journal: Option<Journal>) {
        self.next_sequence += 1;
        self.latest = at;
        self.journals.extend(journal);
        self.invocations.row_closed(at, cause, self.changes > self.changes_before);
        self.changes_before = self.changes;
    }

    fn end(&mut self, at: Timestamp, status: ExecutionStatus, error: Option<&ErrorObject>) {
        self.status = status;
        self.ended_at = Some(at);
        self.error = error.cloned();
    }

    /// The operation's place in [`Execution::operations`].
    pub(super) fn find(&self, id: &OperationId) -> Option<u32> {
        self.index.get(id).copied()
    }

    /// The operation of that id.
    pub fn operation(&self, id: &OperationId) -> Option<&Operation> {
        self.find(id).map(|index| &*self.operations[index as usize])
    }

    /// All operations begun so far, in start order.
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// Operations of a type that have not ended and are ended from outside, in start order; of a closed execution those
    /// that it left behind.
    pub(super) fn open(&self, operation_type: OperationType) -> impl Iterator<Item = &Arc<Operation>> {
        let operations: &[_] = if self.outstanding == 0 { &[] } else { &self.operations };
        operations.iter().filter(move |operation| {
            operation.operation_type == operation_type && operation.status == OperationStatus::Started
        })
    }

    /// Where the execution stands.
    pub fn status(&self) -> ExecutionStatus {
        self.status
    }

    /// Adds an operation that was just begun.
    pub(super) fn begin_operation(&mut self, place: Place, operation: Operation) -> Result<(), IllegalTransition> {
        if let Some(there) = self.operation(&operation.id) {
            let found = Found::Operation(there.operation_type, there.status);
            return Err(place.illegal(Some(&operation.id), found));
        }
        if let Some(parent) = &operation.parent_id
            && !self.operation(parent).is_some_and(|parent| parent.operation_type == OperationType::Context)
        {
            return Err(place.illegal(Some(&operation.id), Found::NoParent));
        }
        let index = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        self.index.insert(operation.id.clone(), index);
        self.operations.push(Arc::new(operation));
        self.changed.push(0);
        self.track(index);
        self.stamp(index);
        Ok(())
    }

    /// Changes an operation of that type whose status is one of `from`; the worker will be told.
    pub(super) fn change(
        &mut self,
        place: Place,
        id: &OperationId,
        operation_type: OperationType,
        from: &[OperationStatus],
        change: impl FnOnce(&mut Operation),
    ) -> Result<(), IllegalTransition> {
        let index = self.alter(place, id, operation_type, from, change)?;
        self.stamp(index);
        Ok(())
    }

    /// As [`change`](Self::change), where it is none of the worker's business. Answers the operation's place.
    pub(super) fn alter(
        &mut self,
        place: Place,
        id: &OperationId,
        operation_type: OperationType,
        from: &[OperationStatus],
        change: impl FnOnce(&mut Operation),
    ) -> Result<u32, IllegalTransition> {
        let Some(index) = self.find(id) else { return Err(place.illegal(Some(id), Found::NoOperation)) };
        let operation = &mut self.operations[index as usize];
        if operation.operation_type != operation_type || !from.contains(&operation.status) {
            let found = Found::Operation(operation.operation_type, operation.status);
            return Err(place.illegal(Some(id), found));
        }
        if let Some(due) = timer_of(operation) {
            self.timers.remove(&(due, index));
        }
        self.outstanding -= u32::from(is_outstanding(operation));
        let operation = Arc::make_mut(operation);
        change(operation);
        if operation.status.is_terminal() {
            operation.ended_at = Some(place.at);
            operation.ended_event = Some(place.event_id);
        }
        self.track(index);
        Ok(index)
    }

    fn track(&mut self, index: u32) {
        let operation = &self.operations[index as usize];
        if let Some(due) = timer_of(operation) {
            self.timers.insert((due, index));
        }
        self.outstanding += u32::from(is_outstanding(operation));
    }

    fn stamp(&mut self, index: u32) {
        self.changes += 1;
        self.changed[index as usize] = self.changes;
    }

    /// The operation whose timer is the earliest.
    pub(super) fn earliest_timer(&self) -> Option<(Timestamp, &Operation)> {
        self.timers.first().map(|&(due, index)| (due, &*self.operations[index as usize]))
    }

    /// When the execution is TIMED_OUT.
    pub fn timeout_at(&self) -> Timestamp {
        self.started_at.plus_seconds(self.started.config.execution_timeout_seconds)
    }

    /// The earliest timer of any kind: when something changes without anybody's doing.
    pub(super) fn next_change_at(&self) -> Timestamp {
        self.earliest_timer().map_or(self.timeout_at(), |(due, _)| due.min(self.timeout_at()))
    }

    /// The summary's moving part. `wake_at` is a function of how the newest row left the execution:
    ///
    /// * closed: none;
    /// * at rest, since its last invocation returned PENDING and has seen everything: the earliest timer;
    /// * an invocation failed: when the next is due, or the earliest timer, if that comes first;
    /// * else an invocation may be under way or is due now: the execution's start, so that whoever opens the store
    ///   after a crash finds it, and so that no checkpoint during an invocation touches the summary.
    pub fn projection(&self) -> Projection {
        let wake_at = if self.status.is_terminal() {
            None
        } else {
            Some(match self.invocations.resting_until() {
                None => self.started_at,
                Some(None) => self.next_change_at(),
                Some(Some(retry_at)) => retry_at.min(self.next_change_at()),
            })
        };
        Projection { status: self.status, ended_at: self.ended_at, wake_at }
    }

    /// The operation that changed last.
    pub(super) fn last_changed(&self) -> Option<&Operation> {
        let index = self.changed.iter().position(|&stamp| stamp == self.changes)?;
        self.operations.get(index).map(|operation| &**operation)
    }

    /// Operations that changed after the first `seen` changes, whole, in the order of their last change. `row`: the
    /// events of the newest row, which usually made all of those changes; then no other operation is looked at.
    pub(super) fn changed_since(&self, seen: u64, row: &[Event]) -> Vec<Arc<Operation>> {
        let changes = |event: &&Event| !matches!(event, Event::Warned { .. } | Event::CallbackHeartbeat { .. });
        let of_row = || row.iter().filter(changes).filter_map(operation_id);
        let mut indexes: Vec<u32> = if self.changes - seen == of_row().count() as u64 {
            of_row().filter_map(|id| self.find(id)).collect()
        } else {
            (0..self.operations.len() as u32).filter(|&index| self.changed[index as usize] > seen).collect()
        };
        indexes.sort_by_key(|&index| self.changed[index as usize]);
        indexes.dedup();
        indexes.into_iter().map(|index| self.operations[index as usize].clone()).collect()
    }
}

fn timer_of(operation: &Operation) -> Option<Timestamp> {
    let runs = matches!(
        (operation.operation_type, operation.status),
        (OperationType::Step, OperationStatus::Pending)
            | (OperationType::Wait | OperationType::Callback, OperationStatus::Started)
    );
    operation.due_at.filter(|_| runs)
}

fn is_outstanding(operation: &Operation) -> bool {
    matches!(
        (operation.operation_type, operation.status),
        (OperationType::Step, OperationStatus::Pending)
            | (OperationType::Wait | OperationType::Callback | OperationType::ChainedInvoke, OperationStatus::Started)
    )
}

/// The operation that an event is about; none: the execution or an invocation.
pub(super) fn operation_id(event: &Event) -> Option<&OperationId> {
    match event {
        Event::ExecutionStarted(_)
        | Event::ExecutionSucceeded { .. }
        | Event::ExecutionFailed { .. }
        | Event::ExecutionTimedOut { .. }
        | Event::ExecutionStopped { .. }
        | Event::ExecutionPaused { .. }
        | Event::ExecutionResumed { .. }
        | Event::InvocationCompleted { .. } => None,
        Event::Warned { operation, .. } => operation.as_ref(),
        Event::ContextStarted { id, .. }
        | Event::ContextSucceeded { id, .. }
        | Event::ContextFailed { id, .. }
        | Event::StepStarted { id, .. }
        | Event::StepSucceeded { id, .. }
        | Event::StepFailed { id, .. }
        | Event::StepRetried { id, .. }
        | Event::StepReady { id }
        | Event::WaitStarted { id, .. }
        | Event::WaitSucceeded { id }
        | Event::WaitCancelled { id }
        | Event::CallbackStarted { id, .. }
        | Event::CallbackHeartbeat { id }
        | Event::CallbackSucceeded { id, .. }
        | Event::CallbackFailed { id, .. }
        | Event::CallbackTimedOut { id, .. }
        | Event::ChainedInvokeStarted { id, .. }
        | Event::ChainedInvokeSucceeded { id, .. }
        | Event::ChainedInvokeFailed { id, .. }
        | Event::ChainedInvokeTimedOut { id, .. }
        | Event::ChainedInvokeStopped { id, .. } => Some(id),
    }
}
