//! What this process holds of an execution that it is at work on, and how that is kept in step with the log.

use super::children::{self, Ended};
use super::draft::Draft;
use super::execution::Execution;
use super::token::Token;
use super::{DurableService, warnings};
use crate::protocol::{
    Cause, CheckpointResponse, ExecutionArn, InvokedBy, Journal, ServiceError, Timestamp, Transition,
};
use crate::store::{Append, ExecutionKey, ExecutionSummary, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One execution in this process.
pub(super) struct Slot {
    pub(super) key: ExecutionKey,
    /// The fold of its log; none: it is not known whether memory and log agree, read the log.
    pub(super) execution: Option<Execution>,
    /// The invocation that runs in this process, if one does.
    pub(super) running: Option<Running>,
    /// Whether an invocation of a dead host was looked for.
    pub(super) examined: bool,
    /// Where in the log that invocation's end was being recorded when the store failed.
    pub(super) lost_row: Option<u64>,
    /// Out of the map: look it up again.
    pub(super) dropped: bool,
}

/// The invocation that runs.
pub(super) struct Running {
    pub(super) token: Token,
    pub(super) request_id: String,
    pub(super) started_at: Timestamp,
    /// Changes of operations that the worker has seen, counted as the fold counts them.
    pub(super) seen: u64,
    /// The previous checkpoint, if it may be repeated.
    pub(super) previous: Option<Answered>,
    /// An append of which it is not known whether it is durable.
    pub(super) in_doubt: Option<InDoubt>,
}

/// A checkpoint that was recorded, and its answer.
pub(super) struct Answered {
    pub(super) client_token: String,
    pub(super) inbound: Token,
    pub(super) response: CheckpointResponse,
}

/// What was being appended when the store failed.
pub(super) struct InDoubt {
    sequence: u64,
    cause: Cause,
    client_token: Option<String>,
}

impl Slot {
    pub(super) fn new(key: ExecutionKey, execution: Option<Execution>, examined: bool) -> Self {
        Self { key, execution, running: None, examined, lost_row: None, dropped: false }
    }

    /// Takes in what the log says about an append that was in doubt: if it is there, it counts as done.
    fn settle(&mut self) {
        let (Some(execution), Some(running)) = (&self.execution, &mut self.running) else { return };
        let Some(doubt) = running.in_doubt.take() else { return };
        if execution.next_sequence <= doubt.sequence {
            return;
        }
        match doubt.cause {
            Cause::Checkpoint => {
                let response = running.answer(execution, &[]);
                running.advance(execution.changes, doubt.client_token, response);
            }
            Cause::InvocationEnd => self.running = None,
            _ => {}
        }
    }
}

impl Running {
    /// The answer to a checkpoint after which the execution is as given; `row`: the checkpoint's events, if there are
    /// no other changes.
    pub(super) fn answer(&self, execution: &Execution, row: &[crate::protocol::Event]) -> CheckpointResponse {
        let next = Token { serial: self.token.serial + 1, ..self.token };
        CheckpointResponse {
            checkpoint_token: (!execution.status().is_terminal()).then(|| next.write()),
            changed: execution.changed_since(self.seen, row),
        }
    }

    /// Consumes the token. A repeatable checkpoint's answer is kept.
    pub(super) fn advance(&mut self, seen: u64, client_token: Option<String>, response: CheckpointResponse) {
        self.previous = client_token.map(|client_token| Answered { client_token, inbound: self.token, response });
        self.token.serial += 1;
        self.seen = seen;
    }
}

/// An execution, locked, with its state in step with the log.
pub(super) struct Held<'a> {
    pub(super) arn: &'a ExecutionArn,
    pub(super) slot: MutexGuard<'a, Slot>,
}

impl Held<'_> {
    /// Who waits for the execution's end, if that is durable now.
    fn ended_for(&self) -> Option<(InvokedBy, Ended)> {
        let execution = self.slot.execution.as_ref()?;
        let by = execution.started.invoked_by.as_ref()?;
        Some((by.clone(), children::end_of_child(execution)?))
    }
}

impl DurableService {
    pub(super) fn summary(&self, arn: &ExecutionArn) -> Result<ExecutionSummary, ServiceError> {
        self.store.find_arn(arn)?.ok_or_else(|| {
            ServiceError::ResourceNotFound(format!(
                "durable execution {arn} does not exist: check the ARN, or whether its retention has passed"
            ))
        })
    }

    fn map(&self) -> MutexGuard<'_, std::collections::BTreeMap<ExecutionArn, Arc<Mutex<Slot>>>> {
        // Each change of the map is one call, so a panic elsewhere cannot have left it half done.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an execution, with this first row, and keeps it in memory. Whoever finds it in the store at once waits
    /// here for it, and does not take it for one whose host has died.
    ///
    /// [`StoreError::Conflict`]: its name is taken.
    pub(super) fn create_held(&self, first: &Transition, mut execution: Execution) -> Result<(), StoreError> {
        let arn = execution.started.arn();
        let shared = Arc::new(Mutex::new(Slot::new(execution.key, None, true)));
        let mut slot = shared.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut map = self.map();
            let Some(other) = map.get(&arn).cloned() else {
                map.insert(arn.clone(), shared.clone());
                break;
            };
            drop(map);
            // Somebody is just creating it, or has; unless that failed, or it was forgotten since.
            if !other.lock().unwrap_or_else(PoisonError::into_inner).dropped {
                return Err(StoreError::Conflict(format!("{arn} exists")));
            }
        }
        let created = self.store.create(first, execution.projection());
        match created {
            Ok(key) => {
                execution.key = key;
                (slot.key, slot.execution) = (key, Some(execution));
                Ok(())
            }
            Err(error) => {
                slot.dropped = true;
                self.map().remove(&arn);
                Err(error)
            }
        }
    }

    /// Runs `work` on the execution if this process holds it; its state is as the log has it. If that was its end, it
    /// is reported to who invoked it, once the lock is free.
    pub(super) fn if_live<T>(
        &self,
        arn: &ExecutionArn,
        work: impl FnOnce(&mut Held<'_>) -> Result<T, ServiceError>,
    ) -> Result<Option<T>, ServiceError> {
        loop {
            let Some(shared) = self.map().get(arn).cloned() else { return Ok(None) };
            let mut slot = match shared.lock() {
                Ok(slot) => slot,
                Err(poisoned) => {
                    // A call panicked half-way: what it left in memory is worth nothing, the log is.
                    let mut slot = poisoned.into_inner();
                    slot.execution = None;
                    shared.clear_poison();
                    slot
                }
            };
            if slot.dropped {
                continue;
            }
            if slot.execution.is_none() {
                slot.execution = Some(self.fold(slot.key)?);
                slot.settle();
            }
            let mut held = Held { arn, slot };
            let done = work(&mut held);
            let ended = held.ended_for();
            drop(held);
            if let Some((by, ended)) = ended {
                self.tell_parent(arn, &by, ended);
            }
            return done.map(Some);
        }
    }

    /// Runs `work` on the execution, which is brought into memory if it is not there. `None`: it is closed.
    pub(super) fn if_open<T>(
        &self,
        arn: &ExecutionArn,
        mut work: impl FnMut(&mut Held<'_>) -> Result<T, ServiceError>,
    ) -> Result<Result<T, ExecutionSummary>, ServiceError> {
        loop {
            if let Some(done) = self.if_live(arn, &mut work)? {
                return Ok(Ok(done));
            }
            let summary = self.summary(arn)?;
            if summary.status.is_terminal() {
                return Ok(Err(summary));
            }
            self.map().entry(arn.clone()).or_insert_with(|| Arc::new(Mutex::new(Slot::new(summary.key, None, false))));
        }
    }

    /// Reads the log.
    pub(super) fn fold(&self, key: ExecutionKey) -> Result<Execution, ServiceError> {
        Ok(Execution::fold(key, &self.store.load(key)?)?)
    }

    /// Forgets an execution that nothing runs; whoever waits for its lock looks it up again.
    pub(super) fn forget(&self, held: &mut Held<'_>) {
        held.slot.dropped = true;
        self.map().remove(held.arn);
    }

    /// Makes a draft durable as one transition. On an error the state in memory is forgotten: whether the log has
    /// the transition is found out when it is next read.
    pub(super) fn commit(
        &self,
        slot: &mut Slot,
        mut draft: Draft,
        cause: Cause,
        journal: Option<Journal>,
        client_token: Option<String>,
    ) -> Result<(), StoreError> {
        let Some(execution) = &mut slot.execution else {
            return Err(StoreError::Unavailable("the execution's log has to be read again: repeat the call".into()));
        };
        let sequence = execution.next_sequence;
        warnings::of_growth(execution, &mut draft)?;
        execution.close_row(draft.at, cause, journal);
        let after = execution.projection();
        let repeatable = client_token.clone();
        let appended = self.store.append(Append {
            execution: slot.key,
            sequence,
            transition: Transition {
                at: draft.at,
                cause,
                first_event: draft.first_event,
                events: draft.events,
                journal,
                client_token,
            },
            projection: (after != draft.before).then_some(after),
        });
        if appended.is_err() {
            slot.execution = None;
            if let Some(running) = &mut slot.running {
                running.in_doubt = Some(InDoubt { sequence, cause, client_token: repeatable });
            }
        }
        appended
    }
}
