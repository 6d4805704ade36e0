//! CONTEXT: `(none) -START-> STARTED -SUCCEED-> SUCCEEDED | -FAIL-> FAILED`.

use super::draft::Draft;
use super::execution::{Execution, IllegalTransition, Place};
use super::operation::{begun, recorded_sub_type};
use super::refusal::{INVALID_ACTION, Refusal, check_close, check_room, check_update};
use crate::protocol::{Event, OperationAction, OperationStatus, OperationType, OperationUpdate};

/// Applies a CONTEXT's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Failed, Started, Succeeded};
    const CONTEXT: OperationType = OperationType::Context;
    match event {
        Event::ContextStarted { id, parent, name, sub_type } => {
            execution.begin_operation(place, begun(place, CONTEXT, id, parent, name, sub_type))
        }
        Event::ContextSucceeded { id, result, result_omitted, .. } => {
            execution.change(place, id, CONTEXT, &[Started], |context| {
                context.status = Succeeded;
                context.result.clone_from(result);
                context.result_omitted = *result_omitted;
            })
        }
        Event::ContextFailed { id, error, .. } => execution.change(place, id, CONTEXT, &[Started], |context| {
            context.status = Failed;
            context.error = Some(error.clone());
        }),
        _ => Ok(()),
    }
}

/// Records a CONTEXT's update.
pub(super) fn record(execution: &mut Execution, draft: &mut Draft, mut update: OperationUpdate) -> Result<(), Refusal> {
    let status = check_update(execution, &update)?.map(|context| context.status);
    if update.result_omitted {
        update.payload = None;
    }
    match update.action {
        OperationAction::Start if status.is_some() => return Err("Cannot start a CONTEXT that already exist.".into()),
        OperationAction::Start => {}
        OperationAction::Succeed | OperationAction::Fail => {
            check_close(&update)?;
            if !matches!(status, None | Some(OperationStatus::Started)) {
                return Err("Invalid current CONTEXT state to close.".into());
            }
        }
        OperationAction::Retry | OperationAction::Cancel => return Err(INVALID_ACTION.into()),
    }
    if status.is_none() {
        check_room(execution)?;
        let sub_type = recorded_sub_type(OperationType::Context, update.sub_type.take());
        let (parent, name) = (update.parent_id.take(), update.name.take());
        draft.record(execution, Event::ContextStarted { id: update.id.clone(), parent, name, sub_type })?;
    }
    let (id, replay_children) = (update.id, update.replay_children);
    let event = match update.action {
        OperationAction::Succeed => {
            let result_omitted = update.result_omitted;
            Event::ContextSucceeded { id, result: update.payload, replay_children, result_omitted }
        }
        OperationAction::Fail => Event::ContextFailed { id, error: update.error.unwrap_or_default(), replay_children },
        _ => return Ok(()),
    };
    Ok(draft.record(execution, event)?)
}
