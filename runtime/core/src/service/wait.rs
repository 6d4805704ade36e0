//! WAIT: `(none) -START-> STARTED -timer-> SUCCEEDED | -CANCEL-> CANCELLED`.

use super::draft::Draft;
use super::execution::{Execution, IllegalTransition, Place};
use super::operation::{begun, recorded_sub_type};
use super::refusal::{INVALID_ACTION, Refusal, check_room, check_seconds, check_update};
use crate::protocol::{Event, OperationAction, OperationStatus, OperationType, OperationUpdate};

/// Applies a WAIT's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Cancelled, Started, Succeeded};
    const WAIT: OperationType = OperationType::Wait;
    match event {
        Event::WaitStarted { id, parent, name, sub_type, seconds } => {
            let mut wait = begun(place, WAIT, id, parent, name, sub_type);
            wait.seconds = Some(*seconds);
            wait.due_at = Some(place.at.plus_seconds(*seconds));
            execution.begin_operation(place, wait)
        }
        Event::WaitSucceeded { id } => execution.change(place, id, WAIT, &[Started], |wait| wait.status = Succeeded),
        Event::WaitCancelled { id } => execution.change(place, id, WAIT, &[Started], |wait| wait.status = Cancelled),
        _ => Ok(()),
    }
}

/// Records a WAIT's update.
pub(super) fn record(execution: &mut Execution, draft: &mut Draft, update: OperationUpdate) -> Result<(), Refusal> {
    let status = check_update(execution, &update)?.map(|wait| wait.status);
    let event = match update.action {
        OperationAction::Start => {
            let Some(seconds) = update.seconds else {
                return Err("Update for WAIT operation requires WaitOptions.".into());
            };
            let seconds = check_seconds("WaitOptions.WaitSeconds", seconds)?;
            if status.is_some() {
                return Err("Cannot start a WAIT that already exist.".into());
            }
            check_room(execution)?;
            let sub_type = recorded_sub_type(OperationType::Wait, update.sub_type);
            Event::WaitStarted { id: update.id, parent: update.parent_id, name: update.name, sub_type, seconds }
        }
        OperationAction::Cancel => {
            if status != Some(OperationStatus::Started) {
                return Err("Cannot cancel a WAIT that does not exist or has already completed.".into());
            }
            Event::WaitCancelled { id: update.id }
        }
        OperationAction::Succeed | OperationAction::Fail | OperationAction::Retry => return Err(INVALID_ACTION.into()),
    };
    Ok(draft.record(execution, event)?)
}
