//! CHAINED_INVOKE: `(none) -START-> STARTED -> SUCCEEDED | FAILED | TIMED_OUT | STOPPED`.
//!
//! The log's vocabulary has them, so that what a newer release recorded folds; no worker can begin one yet.

use super::execution::{Execution, IllegalTransition, Place};
use super::operation::begun;
use super::refusal::{Refusal, check_update};
use crate::protocol::{Event, OperationStatus, OperationType, OperationUpdate};

/// Applies a CHAINED_INVOKE's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Failed, Started, Stopped, Succeeded, TimedOut};
    const INVOKE: OperationType = OperationType::ChainedInvoke;
    let (id, status, result, error) = match event {
        Event::ChainedInvokeStarted { id, parent, name, sub_type, .. } => {
            return execution.begin_operation(place, begun(place, INVOKE, id, parent, name, sub_type));
        }
        Event::ChainedInvokeSucceeded { id, result } => (id, Succeeded, result.clone(), None),
        Event::ChainedInvokeFailed { id, error } => (id, Failed, None, Some(error.clone())),
        Event::ChainedInvokeTimedOut { id, error } => (id, TimedOut, None, Some(error.clone())),
        Event::ChainedInvokeStopped { id, error } => (id, Stopped, None, Some(error.clone())),
        _ => return Ok(()),
    };
    execution.change(place, id, INVOKE, &[Started], |invoke| {
        invoke.status = status;
        invoke.result = result;
        invoke.error = error;
    })
}

/// Refuses a CHAINED_INVOKE's update.
pub(super) fn refuse(execution: &Execution, update: &OperationUpdate) -> Result<(), Refusal> {
    check_update(execution, update)?;
    Err("CHAINED_INVOKE operations are not supported by this service yet: \
         start the other execution from a step, or use AWS's service."
        .into())
}
