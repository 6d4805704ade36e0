//! What an execution warns of, each once: functions of its log, so that they are the same whenever they are asked for.

use super::draft::Draft;
use super::execution::{Execution, IllegalTransition};
use crate::protocol::Warning;
use crate::protocol::limits;

/// What its start gives reason for; recorded before the first event after it.
pub(super) fn of_start(execution: &Execution) -> impl Iterator<Item = Warning> + use<> {
    let started = &execution.started;
    let latest = started.version == "$LATEST";
    let waits = started.config.synchronous && started.config.execution_timeout_seconds > limits::SYNCHRONOUS_SECONDS;
    latest.then_some(Warning::Latest).into_iter().chain(waits.then_some(Warning::SynchronousStart))
}

/// What has grown with the row so far.
pub(super) fn of_growth(execution: &mut Execution, draft: &mut Draft) -> Result<(), IllegalTransition> {
    let config = &execution.started.config;
    let begun = execution.operations().len() as u64 * 5 >= u64::from(config.max_operations) * 4;
    let written = execution.written >= config.log_bytes / 5 * 4;
    if begun {
        draft.warn(execution, Warning::Operations, None)?;
    }
    if written {
        draft.warn(execution, Warning::Written, None)?;
    }
    Ok(())
}

/// Whether an operation's payload is one to warn of.
pub(super) fn is_large(payload: Option<&str>) -> bool {
    payload.is_some_and(|payload| payload.len() > limits::LARGE_PAYLOAD_BYTES)
}
