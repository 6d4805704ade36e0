//! The EXECUTION operation's updates: a workflow's end, reported through a checkpoint since its result is too large for
//! an invocation's output.

use super::draft::Draft;
use super::execution::Execution;
use super::live::Running;
use super::refusal::{INVALID_ACTION, Refusal, check_close, check_update};
use crate::protocol::{Event, OperationAction, OperationUpdate};

/// Records the end. No token follows it, so the invocation has nothing more to say: it is recorded as completed
/// right here, before the end, as AWS's history has it, and what it reports afterwards changes nothing. A crash after
/// this checkpoint loses nothing.
pub(super) fn record(
    execution: &mut Execution,
    draft: &mut Draft,
    running: &Running,
    update: OperationUpdate,
) -> Result<(), Refusal> {
    check_update(execution, &update)?;
    check_close(&update)?;
    let end = match update.action {
        OperationAction::Succeed => Event::ExecutionSucceeded { result: update.payload },
        OperationAction::Fail => Event::ExecutionFailed { error: update.error.unwrap_or_default() },
        OperationAction::Start | OperationAction::Retry | OperationAction::Cancel => return Err(INVALID_ACTION.into()),
    };
    draft.record(execution, running.completed(None))?;
    Ok(draft.record(execution, end)?)
}
