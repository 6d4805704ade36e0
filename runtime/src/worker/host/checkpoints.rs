//! Making durable what the guest did, and learning what changed meanwhile.

use super::{Halt, Mode, WorkflowHost};
use crate::failpoint::{Failpoint, hit};
use everstep_core::protocol::{
    CheckpointRequest, Operation, OperationAction, OperationStatus, OperationType, OperationUpdate, ServiceError,
};
use everstep_sandbox::Stop;
use std::sync::Arc;

impl WorkflowHost {
    pub(super) fn update(&self, number: u64, action: OperationAction) -> OperationUpdate {
        let begun = &self.begun[number as usize - 1];
        let mut update = OperationUpdate::new(begun.id.clone(), begun.kind, action);
        if action == OperationAction::Start {
            update.parent_id.clone_from(&begun.parent);
            update.name.clone_from(&begun.name);
            update.sub_type = Some(begun.sub_type.clone().into_owned());
            update.seconds = begun.seconds;
        }
        update
    }

    /// An attempt is about to end: its START goes before, unless the log has it.
    pub(super) fn start_attempt(&mut self, number: u64) {
        if !self.begun[number as usize - 1].start_sent && self.left_open(number).is_none() {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        self.begun[number as usize - 1].start_sent = true;
    }

    /// Whether the batch holds something that must be durable before the guest goes on: contexts and cancellations ride
    /// with whatever is sent next.
    pub(super) fn urgent(&self) -> bool {
        self.batch
            .iter()
            .any(|update| update.operation_type != OperationType::Context && update.action != OperationAction::Cancel)
    }

    /// Makes the batch durable and learns what changed. `Ok(false)`: nothing was to be sent, or nothing may be.
    pub(crate) fn flush(&mut self) -> Result<bool, Stop> {
        if self.batch.is_empty() { Ok(false) } else { self.checkpoint() }
    }

    /// The same, even if there is nothing to make durable: the service says what else has changed.
    pub(super) fn checkpoint(&mut self) -> Result<bool, Stop> {
        let Mode::Live { backend, token } = &mut self.mode else { return Ok(false) };
        hit(Failpoint::BeforeCommit);
        let journal = self.calls.journal();
        let updates = std::mem::take(&mut self.batch);
        self.unsent_inputs = 0;
        let request = |updates| CheckpointRequest {
            checkpoint_token: token.clone(),
            updates,
            client_token: None,
            journal: Some(journal),
        };
        let is_cancel = |update: &OperationUpdate| update.action == OperationAction::Cancel;
        let apart = updates.iter().any(is_cancel).then(|| updates.iter().cloned().partition::<Vec<_>, _>(is_cancel));
        let mut answer = backend.checkpoint(&self.arn, request(updates));
        let mut refused = Vec::new();
        if let (Err(ServiceError::InvalidParameterValue(message)), Some((cancels, others))) = (&answer, apart)
            && message.starts_with("Cannot cancel a WAIT")
        {
            // A timer fired before the guest's cancellation got there: there is nothing left to cancel. The answer says
            // which; the other cancellations follow with the next batch.
            answer = backend.checkpoint(&self.arn, request(others));
            refused = cancels;
        }
        hit(Failpoint::AfterCommit);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_invalid_token() => return Err(self.halt(Halt::Revoked)),
            Err(error) => return Err(self.halt(Halt::Service(error))),
        };
        self.checkpoints.push(journal);
        for operation in answer.changed {
            self.observer.changed(&operation);
            self.learn(operation);
        }
        let open = |update: &OperationUpdate| {
            self.recorded.get(&update.id).is_some_and(|recorded| recorded.status == OperationStatus::Started)
        };
        self.batch = refused.into_iter().filter(open).collect();
        match answer.checkpoint_token {
            Some(new) => {
                if let Mode::Live { token, .. } = &mut self.mode {
                    *token = new;
                }
                Ok(true)
            }
            None => Err(self.halt(Halt::Revoked)),
        }
    }

    pub(super) fn learn(&mut self, operation: Arc<Operation>) {
        let id = operation.id.clone();
        let ready = operation.operation_type == OperationType::Step && operation.status == OperationStatus::Ready;
        self.recorded.update(operation);
        if let Some(number) = self.unrecorded.remove(&id) {
            self.recorded.claim(&id, number);
        }
        if let (true, Some(number)) = (ready, self.recorded.claim_of(&id)) {
            let begun = &mut self.begun[number as usize - 1];
            begun.start_sent = false;
            if begun.cancelled {
                return;
            }
            if begun.fetch.is_some() {
                self.fetches.wait(number);
            } else {
                self.runnable.insert(number);
            }
        }
    }

    /// The body died with its instance: its START becomes durable, so that the next run knows the attempt for lost, or,
    /// if the body `exited` and may run again, for one to be repeated.
    pub(crate) fn flush_interrupted(&mut self, exited: bool) -> Result<(), Stop> {
        if let Some((number, _)) = self.body
            && !self.begun[number as usize - 1].start_sent
            && self.left_open(number).is_none()
        {
            let start = OperationUpdate { rerun: exited, ..self.update(number, OperationAction::Start) };
            self.batch.push(start);
        }
        self.flush().map(drop)
    }
}
