//! An invocation begins, if there is something to do.

use super::DurableService;
use super::children::Chained;
use super::draft::Draft;
use super::execution::Execution;
use super::invocations::{Phase, lost_error, lost_request_id};
use super::live::{Held, Running};
use super::token::Token;
use super::{timers, uuid};
use crate::protocol::{
    Cause, Event, ExecutionArn, ExecutionStatus, Invocation, Operation, OperationType, ServiceError, Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is to be done with an execution.
#[derive(Clone, Debug)]
pub enum Invoked {
    /// Run this invocation, and report its end.
    Run(Box<Invocation>),
    /// Nothing, for now.
    Waiting(Waiting),
    /// Nothing, ever: it is closed.
    Closed(ExecutionStatus),
}

/// What an execution at rest waits for.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Ask again then. None: until an outside event.
    pub until: Option<Timestamp>,
    /// Its open CHAINED_INVOKEs, which have to be seen to: see [`chained`](DurableService::chained).
    pub invokes: Vec<Chained>,
    /// Its open CALLBACKs, which somebody outside completes.
    pub callbacks: Vec<Arc<Operation>>,
}

impl DurableService {
    /// Begins an invocation, after it recorded what has come due, the ends of chained invokes that a crash kept from
    /// it, and, in a process that has not seen the execution before, an invocation that was lost with its host. A
    /// running invocation is superseded: its token dies.
    ///
    /// The beginning itself is not recorded, so a crash after this call makes the invocation a lost one.
    pub fn invoke(&self, arn: &ExecutionArn) -> Result<Invoked, ServiceError> {
        let chains = |held: &mut Held<'_>| {
            Ok(held.slot.execution.as_ref().is_some_and(|it| it.open(OperationType::ChainedInvoke).next().is_some()))
        };
        let invokes = if self.if_open(arn, chains)?.unwrap_or(false) { self.chained(arn)? } else { Vec::new() };
        match self.if_open(arn, |held| self.invoke_held(held))? {
            Ok(Invoked::Waiting(waiting)) => Ok(Invoked::Waiting(Waiting { invokes, ..waiting })),
            Ok(invoked) => Ok(invoked),
            Err(summary) => Ok(Invoked::Closed(summary.status)),
        }
    }

    fn invoke_held(&self, held: &mut Held<'_>) -> Result<Invoked, ServiceError> {
        self.bury_lost(held)?;
        let slot = &mut *held.slot;
        if let Some(execution) = &mut slot.execution {
            let now = self.now(execution.latest);
            let mut draft = Draft::new(execution, now);
            // An invocation that was lost goes on as it would have gone on: what came due meanwhile is recorded with
            // its next checkpoint.
            if execution.invocations.phase != Phase::Lost || execution.timeout_at() <= now {
                timers::fire(execution, &mut draft)?;
            }
            if !draft.events.is_empty() {
                self.commit(slot, draft, Cause::Timer, None, None)?;
            }
        }
        let Some(execution) = &slot.execution else { return Ok(Invoked::Waiting(Waiting::default())) };
        let status = execution.status();
        if status.is_terminal() {
            self.forget(held);
            return Ok(Invoked::Closed(status));
        }
        let now = self.now(execution.latest);
        let until = match execution.invocations.phase {
            Phase::Suspended => Some(execution.next_change_at()),
            Phase::Failed { retry_at } if now < retry_at => Some(retry_at.min(execution.next_change_at())),
            _ => None,
        };
        if until.is_some() && slot.running.is_none() {
            let callbacks = execution.open(OperationType::Callback).cloned().collect();
            self.forget(held);
            return Ok(Invoked::Waiting(Waiting { until, callbacks, ..Waiting::default() }));
        }
        let invocation = self.run(arn_of(execution), execution, now);
        slot.running = Some(invocation.1);
        Ok(Invoked::Run(Box::new(invocation.0)))
    }

    fn run(&self, arn: ExecutionArn, execution: &Execution, now: Timestamp) -> (Invocation, Running) {
        let token = Token {
            epoch: self.epoch,
            key: execution.key,
            invocation: self.invocations.fetch_add(1, Ordering::Relaxed),
            serial: 0,
        };
        let request_id = uuid(self.entropy.bytes());
        let invocation = Invocation {
            arn,
            checkpoint_token: token.write(),
            started: execution.started.clone(),
            started_at: execution.started_at,
            operations: execution.operations().to_vec(),
            journals: execution.journals.clone(),
            request_id: request_id.clone(),
        };
        let running =
            Running { token, request_id, started_at: now, seen: execution.changes, previous: None, in_doubt: None };
        (invocation, running)
    }

    /// Records the invocation that a dead host was running, once per execution and process. Its timestamp is that of
    /// the latest row: it does not advance the execution's time, so a workflow cannot tell that it was crashed.
    fn bury_lost(&self, held: &mut Held<'_>) -> Result<(), ServiceError> {
        let slot = &mut *held.slot;
        if slot.examined {
            return Ok(());
        }
        if let Some(execution) = &mut slot.execution
            && execution.invocations.may_be_under_way()
            // One death is recorded once, also if the store failed after it had recorded it.
            && slot.lost_row.is_none_or(|row| execution.next_sequence <= row)
        {
            slot.lost_row = Some(execution.next_sequence);
            let at = execution.latest;
            let mut draft = Draft::new(execution, at);
            let request_id = lost_request_id(execution.next_sequence);
            let end = execution.given_up(&lost_error(), true);
            draft.record(
                execution,
                Event::InvocationCompleted { started_at: at, request_id, error: Some(lost_error()) },
            )?;
            if let Some(error) = end {
                draft.record(execution, Event::ExecutionFailed { error })?;
            }
            self.commit(slot, draft, Cause::InvocationEnd, None, None)?;
        }
        held.slot.examined = true;
        Ok(())
    }
}

fn arn_of(execution: &Execution) -> ExecutionArn {
    execution.started.arn()
}
