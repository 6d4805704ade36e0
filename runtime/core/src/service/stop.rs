//! `StopDurableExecution`.

use super::DurableService;
use super::draft::Draft;
use super::live::Held;
use super::refusal::check_error;
use crate::protocol::limits;
use crate::protocol::{Cause, ErrorObject, Event, ExecutionArn, ServiceError, Timestamp};

impl DurableService {
    /// Closes an execution as STOPPED and answers when; for a closed one, when it was closed. A running invocation is
    /// not killed: its next checkpoint is refused. Open operations stay as they are.
    pub fn stop(&self, arn: &ExecutionArn, error: Option<ErrorObject>) -> Result<Timestamp, ServiceError> {
        let error = error.unwrap_or_default();
        check_error(&error, limits::ERROR_BYTES as u64)?;
        match self.if_open(arn, |held| self.stop_held(held, &error))? {
            Ok(at) => Ok(at),
            Err(summary) => Ok(summary.ended_at.unwrap_or(summary.started_at)),
        }
    }

    fn stop_held(&self, held: &mut Held<'_>, error: &ErrorObject) -> Result<Timestamp, ServiceError> {
        let slot = &mut *held.slot;
        let at = match &mut slot.execution {
            None => Timestamp::default(),
            Some(execution) if execution.status().is_terminal() => execution.ended_at.unwrap_or(execution.latest),
            Some(execution) => {
                let at = self.now(execution.latest);
                let mut draft = Draft::new(execution, at);
                draft.record(execution, Event::ExecutionStopped { error: error.clone() })?;
                self.commit(slot, draft, Cause::Stop, None, None)?;
                at
            }
        };
        self.forget(held);
        Ok(at)
    }
}
