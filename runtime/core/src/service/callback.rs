//! CALLBACK: `(none) -START-> STARTED -api-> SUCCEEDED | FAILED ; -timer-> TIMED_OUT`.
//!
//! The log's vocabulary has them, so that what a newer release recorded folds; no worker can begin one yet.

use super::execution::{Execution, IllegalTransition, Place};
use super::operation::begun;
use super::refusal::{Refusal, check_update};
use crate::protocol::{CallbackDetails, Event, OperationStatus, OperationType, OperationUpdate};

/// Applies a CALLBACK's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Failed, Started, Succeeded, TimedOut};
    const CALLBACK: OperationType = OperationType::Callback;
    let (id, status, result, error) = match event {
        Event::CallbackStarted { id, parent, name, sub_type, callback_id, timeout_seconds, heartbeat_seconds } => {
            let mut callback = begun(place, CALLBACK, id, parent, name, sub_type);
            callback.callback = Some(Box::new(CallbackDetails {
                callback_id: callback_id.clone(),
                timeout_seconds: *timeout_seconds,
                heartbeat_seconds: *heartbeat_seconds,
                heartbeat_at: place.at,
            }));
            // 0: no timeout.
            callback.due_at = [*timeout_seconds, *heartbeat_seconds]
                .into_iter()
                .filter(|&seconds| seconds > 0)
                .min()
                .map(|seconds| place.at.plus_seconds(seconds));
            return execution.begin_operation(place, callback);
        }
        Event::CallbackSucceeded { id, result } => (id, Succeeded, result.clone(), None),
        Event::CallbackFailed { id, error } => (id, Failed, None, Some(error.clone())),
        Event::CallbackTimedOut { id, error } => (id, TimedOut, None, Some(error.clone())),
        _ => return Ok(()),
    };
    execution.change(place, id, CALLBACK, &[Started], |callback| {
        callback.status = status;
        callback.result = result;
        callback.error = error;
    })
}

/// Refuses a CALLBACK's update.
pub(super) fn refuse(execution: &Execution, update: &OperationUpdate) -> Result<(), Refusal> {
    check_update(execution, update)?;
    Err("CALLBACK operations are not supported by this service yet: \
         poll for the outside event in a step with retries, or use AWS's service."
        .into())
}
