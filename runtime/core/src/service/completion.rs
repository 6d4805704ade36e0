//! An invocation ends: with an outcome, suspended, or without a report.

use super::DurableService;
use super::checkpoint::{foreign_token, stale_token};
use super::draft::Draft;
use super::execution::Execution;
use super::live::{Held, Running};
use super::refusal::check_error;
use super::token::Token;
use crate::protocol::limits;
use crate::protocol::{
    Cause, ErrorObject, Event, ExecutionArn, ExecutionStatus, InvocationError, InvocationOutput, Journal, ServiceError,
};

/// AWS's error type for what is wrong and stays wrong.
pub(super) const INVALID: &str = "InvalidParameterValueException";

impl DurableService {
    /// Records how an invocation ended, and the execution's end with it if that was it. `output`: an error means that
    /// the invocation ended without reporting; it is retried, later and later, and a bounded number of times while
    /// the log does not move. Answers where the execution stands then. `token` is the newest of the invocation.
    ///
    /// For an execution that is closed already, answers its status and changes nothing. After a
    /// [`ServiceError::Store`], the end is recorded or not: invoke again, replay settles it.
    pub fn complete_invocation(
        &self,
        arn: &ExecutionArn,
        token: &str,
        output: Result<InvocationOutput, InvocationError>,
        journal: Option<Journal>,
    ) -> Result<ExecutionStatus, ServiceError> {
        let completed = self.if_live(arn, |held| self.complete_held(held, self.read_token(token)?, output, journal))?;
        if let Some(status) = completed {
            return Ok(status);
        }
        let summary = self.summary(arn)?;
        if summary.status.is_terminal() { Ok(summary.status) } else { Err(stale_token()) }
    }

    fn complete_held(
        &self,
        held: &mut Held<'_>,
        token: Token,
        output: Result<InvocationOutput, InvocationError>,
        journal: Option<Journal>,
    ) -> Result<ExecutionStatus, ServiceError> {
        let slot = &mut *held.slot;
        let Some(execution) = &mut slot.execution else { return Err(stale_token()) };
        if execution.status().is_terminal() {
            let status = execution.status();
            self.forget(held);
            return Ok(status);
        }
        if token.key != slot.key {
            return Err(foreign_token());
        }
        let Some(running) = slot.running.as_ref().filter(|running| running.token == token) else {
            return Err(stale_token());
        };
        let (fault, end) = judge(execution, running, output);
        let completed = running.completed(fault);
        let now = self.now(execution.latest);
        let mut draft = Draft::new(execution, now);
        draft.record(execution, completed)?;
        if let Some(end) = end {
            draft.record(execution, end)?;
        }
        let status = execution.status();
        self.commit(slot, draft, Cause::InvocationEnd, journal, None)?;
        slot.running = None;
        self.forget(held);
        Ok(status)
    }
}

/// The invocation's error, if it has one, and the execution's end, if this is it.
fn judge(
    execution: &Execution,
    running: &Running,
    output: Result<InvocationOutput, InvocationError>,
) -> (Option<ErrorObject>, Option<Event>) {
    let most = execution.started.config.error_bytes;
    let fault = match output {
        Ok(InvocationOutput::Succeeded(result)) => {
            let size = result.as_ref().map_or(0, String::len);
            let end = if size <= limits::EXECUTION_PAYLOAD_BYTES {
                Event::ExecutionSucceeded { result }
            } else {
                let message = format!(
                    "Result payload size must be less than or equal to {} bytes, it is {size}.",
                    limits::EXECUTION_PAYLOAD_BYTES
                );
                Event::ExecutionFailed { error: ErrorObject::new(INVALID, message) }
            };
            return (None, Some(end));
        }
        Ok(InvocationOutput::Failed(error)) => {
            return (None, Some(Event::ExecutionFailed { error: bounded(error, most) }));
        }
        // A change that the worker has not seen is something to come back for.
        Ok(InvocationOutput::Pending) if execution.outstanding > 0 || execution.changes > running.seen => {
            return (None, None);
        }
        Ok(InvocationOutput::Pending) => {
            ErrorObject::new(INVALID, "Cannot return PENDING status with no pending operations.")
        }
        Err(InvocationError { error }) => bounded(error, most),
    };
    let end = execution.given_up(&fault, false).map(|error| Event::ExecutionFailed { error });
    (Some(fault), end)
}

/// The error, within the bound; the text of one that is too large is left out.
pub(super) fn bounded(error: ErrorObject, most: u64) -> ErrorObject {
    if check_error(&error, most).is_ok() {
        return error;
    }
    let message = format!("an error of {} bytes was left out: an error may have {most} bytes", error.size());
    let kind = error.error_type.filter(|kind| kind.len() <= 256).unwrap_or_else(|| "Error".to_owned());
    ErrorObject::new(kind, message)
}

impl Running {
    /// The event of this invocation's end.
    pub(super) fn completed(&self, error: Option<ErrorObject>) -> Event {
        Event::InvocationCompleted { started_at: self.started_at, request_id: self.request_id.clone(), error }
    }
}

impl Execution {
    /// The error that ends the execution, if one more invocation that failed (or was lost) here is one too many.
    pub(super) fn given_up(&self, fault: &ErrorObject, lost: bool) -> Option<ErrorObject> {
        let (before, most, what) = if lost {
            (self.invocations.lost, limits::MAX_LOST_INVOCATIONS, "were lost with their host")
        } else {
            (self.invocations.failures, limits::MAX_INVOCATION_FAILURES, "failed")
        };
        if before + 1 < most {
            return None;
        }
        // The counters are of this row of the log, hence the position is that of the last event that moved it.
        let position = self.next_event - 1 - u64::from(self.invocations.lost + self.invocations.failures);
        let last = self.last_changed().map_or_else(
            || "no operation was begun yet".to_owned(),
            |operation| {
                let name = operation.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
                format!(
                    "last operation: {} {}{name}, {}",
                    operation.operation_type.as_str(),
                    operation.id,
                    operation.status.as_str()
                )
            },
        );
        let message = format!(
            "{most} invocations {what} at event {position} of the log ({last}), the last one with: {}; \
             correct the workflow or its limits and start it anew under another name",
            fault.message.as_deref().unwrap_or("no message")
        );
        let error =
            ErrorObject { error_type: fault.error_type.clone(), message: Some(message), ..ErrorObject::default() };
        Some(bounded(error, self.started.config.error_bytes))
    }
}
