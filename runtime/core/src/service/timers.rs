//! Timers: waits that end, retry delays that are over, callbacks and executions that time out.

use super::callback;
use super::draft::Draft;
use super::execution::{Execution, IllegalTransition};
use crate::protocol::{Event, OperationType};

/// Records every timer that is due at the draft's time, in the order of their due times. An execution that timed out
/// is closed by the last of them: later timers do not fire any more.
pub(super) fn fire(execution: &mut Execution, draft: &mut Draft) -> Result<(), IllegalTransition> {
    if execution.status().is_terminal() {
        return Ok(());
    }
    let timeout = execution.timeout_at();
    while let Some((due, operation)) = execution.earliest_timer() {
        if due > draft.at.min(timeout) {
            break;
        }
        let event = match operation.operation_type {
            OperationType::Wait => Event::WaitSucceeded { id: operation.id.clone() },
            OperationType::Callback => callback::timed_out(operation),
            _ => Event::StepReady { id: operation.id.clone() },
        };
        draft.record(execution, event)?;
    }
    if timeout <= draft.at {
        draft.record(execution, Event::ExecutionTimedOut { error: None })?;
    }
    Ok(())
}
