//! STEP: `(none) -START-> STARTED -SUCCEED-> SUCCEEDED | -FAIL-> FAILED | -RETRY-> PENDING -timer-> READY -START-> STARTED`.

use super::draft::Draft;
use super::execution::{Execution, Found, IllegalTransition, Place};
use super::operation::{begun, recorded_sub_type};
use super::refusal::{INVALID_ACTION, Refusal, check_close, check_room, check_seconds, check_update};
use crate::protocol::{
    Event, Operation, OperationAction, OperationId, OperationStatus, OperationType, OperationUpdate,
};

/// Applies a STEP's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Failed, Pending, Ready, Started, Succeeded};
    const STEP: OperationType = OperationType::Step;
    match event {
        Event::StepStarted { id, parent, name, sub_type, rerun } => {
            if execution.find(id).is_none() {
                let step = Operation { rerun: *rerun, ..begun(place, STEP, id, parent, name, sub_type) };
                return execution.begin_operation(place, step);
            }
            // The result stays: it is the state that the attempt starts from.
            execution.change(place, id, STEP, &[Ready], |step| {
                step.status = Started;
                step.rerun = *rerun;
                step.due_at = None;
            })
        }
        Event::StepSucceeded { id, attempt, result } => {
            expect_attempt(execution, place, id, *attempt)?;
            execution.change(place, id, STEP, &[Started], |step| {
                step.status = Succeeded;
                step.attempt = *attempt;
                step.result.clone_from(result);
                step.error = None;
            })
        }
        Event::StepFailed { id, attempt, error } => {
            expect_attempt(execution, place, id, *attempt)?;
            execution.change(place, id, STEP, &[Started], |step| {
                step.status = Failed;
                step.attempt = *attempt;
                step.result = None;
                step.error = Some(error.clone());
            })
        }
        Event::StepRetried { id, attempt, seconds, error, state } => {
            expect_attempt(execution, place, id, *attempt)?;
            execution.change(place, id, STEP, &[Started], |step| {
                step.status = Pending;
                step.attempt = *attempt;
                step.due_at = Some(place.at.plus_seconds(*seconds));
                // An attempt that failed leaves no state behind: the next one starts from the same as it did.
                if state.is_some() || error.is_none() {
                    step.result.clone_from(state);
                }
                step.error.clone_from(error);
            })
        }
        Event::StepReady { id } => execution.change(place, id, STEP, &[Pending], |step| step.status = Ready),
        _ => Ok(()),
    }
}

fn expect_attempt(
    execution: &Execution,
    place: Place,
    id: &OperationId,
    attempt: u32,
) -> Result<(), IllegalTransition> {
    match execution.operation(id) {
        Some(step) if step.attempt + 1 != attempt => Err(place.illegal(Some(id), Found::Attempt(step.attempt))),
        _ => Ok(()),
    }
}

/// Records a STEP's update. Timers that are due have fired before, so a PENDING step is one that still has to wait.
pub(super) fn record(execution: &mut Execution, draft: &mut Draft, update: OperationUpdate) -> Result<(), Refusal> {
    use OperationStatus::{Ready, Started};
    let step = check_update(execution, &update)?;
    let status = step.map(|step| step.status);
    let attempt = step.map_or(0, |step| step.attempt) + 1;
    if (update.action == OperationAction::Retry) != update.seconds.is_some() {
        return Err("Invalid StepOptions for the given action.".into());
    }
    match update.action {
        OperationAction::Start => {
            if !matches!(status, None | Some(Ready)) {
                return Err("Invalid current STEP state to start.".into());
            }
            return start(execution, draft, status.is_none(), update).map(drop);
        }
        OperationAction::Succeed | OperationAction::Fail => {
            check_close(&update)?;
            if !matches!(status, None | Some(Started | Ready)) {
                return Err("Invalid current STEP state to close.".into());
            }
        }
        OperationAction::Retry => {
            check_seconds("StepOptions.NextAttemptDelaySeconds", update.seconds.unwrap_or(0))?;
            if update.error.is_some() && update.payload.is_some() {
                return Err("Cannot provide both error and payload to RETRY a STEP.".into());
            }
            if !matches!(status, None | Some(Started | Ready)) {
                return Err("Invalid current STEP state to re-attempt.".into());
            }
        }
        OperationAction::Cancel => return Err(INVALID_ACTION.into()),
    }
    // The START may be left out: it is implied, and recorded all the same.
    let update = if status == Some(Started) { update } else { start(execution, draft, status.is_none(), update)? };
    let event = match update.action {
        OperationAction::Succeed => Event::StepSucceeded { id: update.id, attempt, result: update.payload },
        OperationAction::Fail => Event::StepFailed { id: update.id, attempt, error: update.error.unwrap_or_default() },
        _ => Event::StepRetried {
            id: update.id,
            attempt,
            seconds: update.seconds.unwrap_or(1),
            error: update.error,
            state: update.payload,
        },
    };
    Ok(draft.record(execution, event)?)
}

/// Records the START of an attempt; gives back what is left of the update.
fn start(
    execution: &mut Execution,
    draft: &mut Draft,
    first: bool,
    mut update: OperationUpdate,
) -> Result<OperationUpdate, Refusal> {
    let (id, rerun) = (update.id.clone(), update.rerun);
    let event = if first {
        check_room(execution)?;
        let sub_type = recorded_sub_type(OperationType::Step, update.sub_type.take());
        Event::StepStarted { id, parent: update.parent_id.take(), name: update.name.take(), sub_type, rerun }
    } else {
        Event::StepStarted { id, parent: None, name: None, sub_type: None, rerun }
    };
    draft.record(execution, event)?;
    Ok(update)
}
