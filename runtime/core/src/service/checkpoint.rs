//! `CheckpointDurableExecution`: a worker reports what happened, and learns what changed.

use super::draft::Draft;
use super::execution::Execution;
use super::live::{Held, Running};
use super::refusal::{Refusal, check_batch, check_written};
use super::token::Token;
use super::{DurableService, callback, chained_invoke, context, ending, step, timers, wait, warnings};
use crate::protocol::{
    Cause, CheckpointRequest, CheckpointResponse, ExecutionArn, ExecutionStatus, OperationType, OperationUpdate,
    ServiceError, Warning,
};

impl DurableService {
    /// Records a batch of updates, all or none, in order, and answers with every operation that changed since the
    /// worker last saw state, timers that have just come due included. Consumes the token.
    ///
    /// Once this returned `Ok`, the updates survive power loss. After a refusal
    /// ([`ServiceError::InvalidParameterValue`]) nothing has changed and the token is still good; after
    /// [`ServiceError::Store`] the updates may or may not be durable: repeat the request with the same client token,
    /// or end the invocation.
    pub fn checkpoint(
        &self,
        arn: &ExecutionArn,
        request: CheckpointRequest,
    ) -> Result<CheckpointResponse, ServiceError> {
        let token = self.read_token(&request.checkpoint_token)?;
        let chains = request.updates.iter().any(|update| update.chained_invoke.is_some());
        match self.if_live(arn, |held| self.checkpoint_held(held, token, request))? {
            Some(response) => {
                if chains {
                    // The checkpoint is durable whatever comes of this; what fails is done by the next call.
                    let _ = self.chained(arn);
                }
                Ok(response)
            }
            None => {
                let summary = self.summary(arn)?;
                if summary.key != token.key { Err(foreign_token()) } else { Err(stale_token()) }
            }
        }
    }

    fn checkpoint_held(
        &self,
        held: &mut Held<'_>,
        token: Token,
        request: CheckpointRequest,
    ) -> Result<CheckpointResponse, ServiceError> {
        let slot = &mut *held.slot;
        if token.key != slot.key {
            return Err(foreign_token());
        }
        check_client_token(request.client_token.as_deref())?;
        let (Some(running), Some(execution)) = (&mut slot.running, &mut slot.execution) else {
            return Err(stale_token());
        };
        if let (Some(previous), Some(client_token)) = (&running.previous, &request.client_token)
            && previous.inbound == token
            && previous.client_token == *client_token
        {
            return Ok(previous.response.clone());
        }
        if running.token != token || execution.status().is_terminal() {
            return Err(stale_token());
        }
        check_batch(&request.updates)?;

        let now = self.now(execution.latest);
        let mut draft = Draft::new(execution, now);
        timers::fire(execution, &mut draft)?;
        if execution.status() == ExecutionStatus::TimedOut {
            self.commit(slot, draft, Cause::Timer, None, None)?;
            self.forget(held);
            return Err(ServiceError::InvalidParameterValue(format!(
                "{}: the execution has timed out, nothing more is recorded",
                ServiceError::INVALID_TOKEN
            )));
        }
        for update in request.updates {
            if let Err(refusal) = self.record(execution, &mut draft, running, update) {
                if !draft.events.is_empty() {
                    // What was applied so far is not in the log, and must not be believed.
                    slot.execution = None;
                }
                return Err(refusal.into());
            }
        }

        // An end is recorded in any case: nothing follows it.
        let grows = !draft.events.is_empty() && !execution.status().is_terminal();
        if grows && let Err(refusal) = check_written(execution) {
            slot.execution = None;
            return Err(refusal.into());
        }
        let response = running.answer(execution, &draft.events);
        let seen = execution.changes;
        let closed = execution.status().is_terminal();
        if !draft.events.is_empty() {
            self.commit(slot, draft, Cause::Checkpoint, request.journal, request.client_token.clone())?;
        }
        if closed {
            self.forget(held);
        } else if let Some(running) = &mut slot.running {
            let kept = if request.client_token.is_some() { response.clone() } else { CheckpointResponse::default() };
            running.advance(seen, request.client_token, kept);
        }
        Ok(response)
    }

    fn record(
        &self,
        execution: &mut Execution,
        draft: &mut Draft,
        running: &Running,
        update: OperationUpdate,
    ) -> Result<(), Refusal> {
        let large = warnings::is_large(update.payload.as_deref()).then(|| update.id.clone());
        match update.operation_type {
            OperationType::Execution => ending::record(execution, draft, running, update)?,
            OperationType::Context => context::record(execution, draft, update)?,
            OperationType::Step => step::record(execution, draft, update)?,
            OperationType::Wait => wait::record(execution, draft, update)?,
            OperationType::Callback => callback::record(execution, draft, update, &*self.entropy)?,
            OperationType::ChainedInvoke => chained_invoke::record(execution, draft, update, &*self.functions)?,
        }
        match large {
            Some(id) => Ok(draft.warn(execution, Warning::LargePayload, Some(&id))?),
            None => Ok(()),
        }
    }

    /// A token that this owner of the store wrote; whether it is the newest is another question.
    pub(super) fn read_token(&self, text: &str) -> Result<Token, ServiceError> {
        Token::read(text).filter(|token| token.epoch == self.epoch).ok_or_else(stale_token)
    }
}

pub(super) fn stale_token() -> ServiceError {
    ServiceError::InvalidParameterValue(ServiceError::INVALID_TOKEN.into())
}

pub(super) fn foreign_token() -> ServiceError {
    ServiceError::InvalidParameterValue("Checkpoint token is not valid for the durable execution ARN".into())
}

fn check_client_token(token: Option<&str>) -> Result<(), ServiceError> {
    let fits = |token: &str| (1..=64).contains(&token.len()) && token.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if token.is_none_or(fits) {
        return Ok(());
    }
    Err(ServiceError::InvalidParameterValue("Invalid ClientToken: give 1..64 characters of [\\x21-\\x7E].".into()))
}
