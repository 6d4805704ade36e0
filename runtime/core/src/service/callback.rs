//! CALLBACK: `(none) -START-> STARTED -api-> SUCCEEDED | FAILED ; -timer-> TIMED_OUT`.

use super::callback_id::CallbackId;
use super::draft::Draft;
use super::execution::{Execution, IllegalTransition, Place};
use super::operation::{begun, recorded_sub_type};
use super::refusal::{INVALID_ACTION, Refusal, check_error, check_room, check_update};
use super::{DurableService, Entropy, warnings};
use crate::protocol::limits;
use crate::protocol::{
    CallbackDetails, Cause, ErrorObject, Event, Operation, OperationAction, OperationId, OperationStatus,
    OperationType, OperationUpdate, ServiceError, Timestamp, Warning,
};

/// Applies a CALLBACK's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Failed, Started, Succeeded, TimedOut};
    const CALLBACK: OperationType = OperationType::Callback;
    let (id, status, result, error) = match event {
        Event::CallbackStarted { id, parent, name, sub_type, callback_id, timeout_seconds, heartbeat_seconds } => {
            let mut callback = begun(place, CALLBACK, id, parent, name, sub_type);
            let details = CallbackDetails {
                callback_id: callback_id.clone(),
                timeout_seconds: *timeout_seconds,
                heartbeat_seconds: *heartbeat_seconds,
                heartbeat_at: place.at,
            };
            callback.due_at = due_at(place.at, &details);
            callback.callback = Some(Box::new(details));
            return execution.begin_operation(place, callback);
        }
        Event::CallbackHeartbeat { id } => {
            let altered = execution.alter(place, id, CALLBACK, &[Started], |callback| {
                let started_at = callback.started_at;
                if let Some(details) = &mut callback.callback {
                    details.heartbeat_at = place.at;
                    callback.due_at = due_at(started_at, details);
                }
            });
            return altered.map(drop);
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

/// When its whole time is over, if it is bounded.
fn timeout_at(started_at: Timestamp, details: &CallbackDetails) -> Option<Timestamp> {
    (details.timeout_seconds > 0).then(|| started_at.plus_seconds(details.timeout_seconds))
}

/// When the first of its timers fires.
fn due_at(started_at: Timestamp, details: &CallbackDetails) -> Option<Timestamp> {
    let heartbeat =
        (details.heartbeat_seconds > 0).then(|| details.heartbeat_at.plus_seconds(details.heartbeat_seconds));
    timeout_at(started_at, details).into_iter().chain(heartbeat).min()
}

/// The event of its timer. If both are due at once it is the timeout's.
pub(super) fn timed_out(callback: &Operation) -> Event {
    let timeout = callback.callback.as_ref().and_then(|details| timeout_at(callback.started_at, details));
    let error = if timeout.is_some() && timeout == callback.due_at {
        ErrorObject::new("Callback.Timeout", "Callback timed out")
    } else {
        ErrorObject::new("Callback.Heartbeat", "Callback timed out on heartbeat")
    };
    Event::CallbackTimedOut { id: callback.id.clone(), error }
}

/// Records a CALLBACK's update. Only its START is a worker's.
pub(super) fn record(
    execution: &mut Execution,
    draft: &mut Draft,
    update: OperationUpdate,
    entropy: &dyn Entropy,
) -> Result<(), Refusal> {
    let exists = check_update(execution, &update)?.is_some();
    if update.action != OperationAction::Start {
        return Err(INVALID_ACTION.into());
    }
    let options = update.callback.unwrap_or_default();
    let timeout_seconds = check_timeout("CallbackOptions.TimeoutSeconds", options.timeout_seconds)?;
    let heartbeat_seconds = check_timeout("CallbackOptions.HeartbeatTimeoutSeconds", options.heartbeat_seconds)?;
    if exists {
        return Err("Cannot start a CALLBACK that already exist.".into());
    }
    check_room(execution)?;
    let callback_id = CallbackId::new(execution.key, update.id.clone(), entropy.bytes()).write();
    let id = update.id.clone();
    draft.record(
        execution,
        Event::CallbackStarted {
            id: update.id,
            parent: update.parent_id,
            name: update.name,
            sub_type: recorded_sub_type(OperationType::Callback, update.sub_type),
            callback_id,
            timeout_seconds,
            heartbeat_seconds,
        },
    )?;
    if timeout_seconds == 0 && heartbeat_seconds == 0 {
        draft.warn(execution, Warning::CallbackWithoutTimeout, Some(&id))?;
    }
    Ok(())
}

fn check_timeout(member: &str, seconds: u32) -> Result<u32, Refusal> {
    if seconds <= limits::MAX_CALLBACK_SECONDS {
        return Ok(seconds);
    }
    Err(format!("{member} is {seconds}: give 0..{} seconds.", limits::MAX_CALLBACK_SECONDS).into())
}

impl DurableService {
    /// `SendDurableExecutionCallbackSuccess` and `SendDurableExecutionCallbackFailure`: completes a callback, which
    /// makes an execution that waits for it due. Once this returned `Ok`, the outcome survives power loss; a worker
    /// that is at it meanwhile learns of it with its next checkpoint.
    ///
    /// # Errors
    /// [`ServiceError::InvalidParameterValue`]: the id is malformed, the result is larger than
    /// [`limits::OPERATION_PAYLOAD_BYTES`] or the error than [`limits::ERROR_BYTES`].
    /// [`ServiceError::ResourceNotFound`]: the execution does not exist any more. [`ServiceError::CallbackTimeout`]:
    /// the callback or its execution is closed, which includes one whose timeout has passed just now. After a
    /// [`ServiceError::Store`] it is completed or not: repeat the call, and take `CallbackTimeout` for "it is".
    pub fn complete_callback(
        &self,
        callback_id: &str,
        outcome: Result<Option<String>, ErrorObject>,
    ) -> Result<(), ServiceError> {
        match &outcome {
            Ok(Some(result)) if result.len() > limits::OPERATION_PAYLOAD_BYTES => {
                return Err(ServiceError::InvalidParameterValue(format!(
                    "CALLBACK result size must be less than or equal to {} bytes.",
                    limits::OPERATION_PAYLOAD_BYTES
                )));
            }
            Err(error) => check_error(error, limits::ERROR_BYTES as u64)?,
            Ok(_) => {}
        }
        let mut outcome = Some(outcome);
        self.at_callback(callback_id, |execution, draft, id| {
            let (large, event) = match outcome.take().unwrap_or(Ok(None)) {
                Ok(result) => {
                    (warnings::is_large(result.as_deref()), Event::CallbackSucceeded { id: id.clone(), result })
                }
                Err(error) => (false, Event::CallbackFailed { id: id.clone(), error }),
            };
            draft.record(execution, event)?;
            if large {
                draft.warn(execution, Warning::LargePayload, Some(id))?;
            }
            Ok(())
        })
    }

    /// `SendDurableExecutionCallbackHeartbeat`: restarts the callback's heartbeat timer, and no other. It is no reason
    /// to invoke the execution. Durable on return; nothing is recorded of a callback that asks for no heartbeat.
    ///
    /// # Errors
    /// As [`complete_callback`](Self::complete_callback).
    pub fn heartbeat_callback(&self, callback_id: &str) -> Result<(), ServiceError> {
        self.at_callback(callback_id, |execution, draft, id| {
            let callback = execution.operation(id).and_then(|operation| operation.callback.as_ref());
            match callback {
                Some(details) if details.heartbeat_seconds > 0 => {
                    draft.record(execution, Event::CallbackHeartbeat { id: id.clone() })
                }
                _ => Ok(()),
            }
        })
    }

    /// Records something about the open callback of that id.
    fn at_callback(
        &self,
        callback_id: &str,
        mut record: impl FnMut(&mut Execution, &mut Draft, &OperationId) -> Result<(), IllegalTransition>,
    ) -> Result<(), ServiceError> {
        let id = CallbackId::read(callback_id)
            .ok_or_else(|| ServiceError::InvalidParameterValue("Invalid callback id".into()))?;
        let summary = self
            .store
            .find_key(id.execution)?
            .ok_or_else(|| ServiceError::ResourceNotFound("Durable Execution does not exist".into()))?;
        let recorded = self.if_open(&summary.arn, |held| {
            self.record_outside(held, Cause::Callback, Timestamp(0), |execution, draft| {
                let open = execution.operation(&id.operation).is_some_and(|operation| {
                    let named = operation.callback.as_ref().is_some_and(|details| details.callback_id == callback_id);
                    named && operation.status == OperationStatus::Started
                });
                if open {
                    record(execution, draft, &id.operation)?;
                }
                Ok(open)
            })
        })?;
        match recorded {
            Ok(Some(true)) => Ok(()),
            _ => Err(ServiceError::CallbackTimeout),
        }
    }
}
