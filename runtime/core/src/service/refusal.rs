//! Why a checkpoint is refused, and the rules that hold for updates of every type. Texts in quotes are AWS's.

use super::execution::{Execution, IllegalTransition};
use crate::protocol::limits;
use crate::protocol::{
    ErrorObject, Operation, OperationAction, OperationType, OperationUpdate, ServiceError, is_plain,
};
use crate::store::StoreError;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A batch, or one update of it, that cannot be recorded.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The worker asked for what the protocol does not allow.
    Invalid(Cow<'static, str>),
    /// The validation let pass what the fold does not allow: a fault of ours.
    Illegal(IllegalTransition),
}

impl From<&'static str> for Refusal {
    fn from(message: &'static str) -> Self {
        Self::Invalid(Cow::Borrowed(message))
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Invalid(Cow::Owned(message))
    }
}

impl From<IllegalTransition> for Refusal {
    fn from(illegal: IllegalTransition) -> Self {
        Self::Illegal(illegal)
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(message) => Self::InvalidParameterValue(message.into_owned()),
            Refusal::Illegal(illegal) => illegal.into(),
        }
    }
}

impl From<IllegalTransition> for StoreError {
    fn from(illegal: IllegalTransition) -> Self {
        Self::Corrupt(format!("{illegal}; restore the database from a copy, or report this"))
    }
}

impl From<IllegalTransition> for ServiceError {
    fn from(illegal: IllegalTransition) -> Self {
        Self::Store(illegal.into())
    }
}

pub(super) const INVALID_ACTION: &str = "Invalid action for the given operation type.";

/// Rules about the batch as a whole.
pub(super) fn check_batch(updates: &[OperationUpdate]) -> Result<(), Refusal> {
    let ends = updates.iter().filter(|update| update.operation_type == OperationType::Execution).count();
    if ends > 1 {
        return Err("Cannot checkpoint multiple EXECUTION updates.".into());
    }
    if ends == 1 && updates.last().is_some_and(|last| last.operation_type != OperationType::Execution) {
        return Err("EXECUTION checkpoint must be the last update.".into());
    }
    if updates.len() < 2 {
        return Ok(());
    }
    use OperationAction::{Fail, Retry, Start, Succeed};
    let mut before = BTreeMap::new();
    for update in updates {
        let second = matches!(
            (update.operation_type, update.action),
            (OperationType::Step, Succeed | Fail | Retry) | (OperationType::Context, Succeed | Fail)
        );
        match before.insert(&update.id, update.action) {
            None => {}
            Some(Start) if second => {}
            Some(_) => return Err("Cannot checkpoint multiple operations with the same ID.".into()),
        }
    }
    Ok(())
}

/// Rules about one update, whatever its type; gives the operation if it exists.
pub(super) fn check_update<'a>(
    execution: &'a Execution,
    update: &OperationUpdate,
) -> Result<Option<&'a Operation>, Refusal> {
    check_fields(execution, update)?;
    let Some(recorded) = execution.operation(&update.id) else {
        check_parent(execution, update)?;
        return Ok(None);
    };
    // A member that is absent claims nothing.
    let differs = |given: &Option<_>, recorded: &Option<_>| given.is_some() && given != recorded;
    if update.operation_type != recorded.operation_type {
        return Err("Inconsistent operation type.".into());
    }
    if differs(&update.sub_type, &recorded.sub_type) {
        return Err("Inconsistent operation subtype.".into());
    }
    if differs(&update.name, &recorded.name) {
        return Err("Inconsistent operation name.".into());
    }
    if update.parent_id.is_some() && update.parent_id != recorded.parent_id {
        return Err("Inconsistent parent operation id.".into());
    }
    Ok(Some(recorded))
}

fn check_parent(execution: &Execution, update: &OperationUpdate) -> Result<(), Refusal> {
    let Some(parent) = &update.parent_id else { return Ok(()) };
    match execution.operation(parent) {
        Some(parent) if parent.operation_type == OperationType::Context => Ok(()),
        _ => Err("Invalid parent operation id.".into()),
    }
}

fn check_fields(execution: &Execution, update: &OperationUpdate) -> Result<(), Refusal> {
    if let Some(name) = &update.name
        && !((1..=limits::OPERATION_NAME).contains(&name.len()) && name.bytes().all(|b| (0x20..=0x7e).contains(&b)))
    {
        let name: String = name.chars().take(80).collect();
        return Err(format!(
            "Invalid operation name {name:?}: give 1..{} characters of [\\x20-\\x7E].",
            limits::OPERATION_NAME
        )
        .into());
    }
    if let Some(sub_type) = &update.sub_type
        && !is_plain(sub_type, 32)
    {
        let sub_type: String = sub_type.chars().take(80).collect();
        return Err(format!("Invalid operation subtype {sub_type:?}: give 1..32 characters of [a-zA-Z0-9-_].").into());
    }
    let config = &execution.started.config;
    if let Some(payload) = &update.payload {
        let bound = match update.operation_type {
            OperationType::Execution => limits::EXECUTION_PAYLOAD_BYTES as u64,
            OperationType::Step | OperationType::Context => config.payload_bytes,
            OperationType::Wait | OperationType::Callback | OperationType::ChainedInvoke => {
                limits::OPERATION_PAYLOAD_BYTES as u64
            }
        };
        if payload.len() as u64 > bound {
            let kind = update.operation_type.as_str();
            let input = if update.operation_type == OperationType::ChainedInvoke { " input" } else { "" };
            return Err(format!("{kind}{input} payload size must be less than or equal to {bound} bytes.").into());
        }
    }
    update.error.as_ref().map_or(Ok(()), |error| check_error(error, config.error_bytes))
}

/// The bound on errors, wherever one comes in.
pub(super) fn check_error(error: &ErrorObject, most: u64) -> Result<(), Refusal> {
    if error.size() as u64 > most {
        return Err(format!("Error object size must be less than or equal to {most} bytes.").into());
    }
    Ok(())
}

/// What FAIL and SUCCEED may not carry.
pub(super) fn check_close(update: &OperationUpdate) -> Result<(), Refusal> {
    match update.action {
        OperationAction::Fail if update.payload.is_some() => Err("Cannot provide a Payload for FAIL action.".into()),
        OperationAction::Succeed if update.error.is_some() => Err("Cannot provide an Error for SUCCEED action.".into()),
        _ => Ok(()),
    }
}

/// A WAIT's length or a RETRY's delay.
pub(super) fn check_seconds(member: &str, seconds: u32) -> Result<u32, Refusal> {
    if (1..=limits::MAX_SECONDS).contains(&seconds) {
        return Ok(seconds);
    }
    Err(format!("{member} is {seconds}: give 1..{} seconds.", limits::MAX_SECONDS).into())
}

/// Whether one more operation may begin.
pub(super) fn check_room(execution: &Execution) -> Result<(), Refusal> {
    let (begun, most) = (execution.operations().len(), execution.started.config.max_operations);
    if begun < most as usize {
        return Ok(());
    }
    Err(format!(
        "Operation limit exceeded: the execution has begun {begun} operations and may begin {most}; \
         split the work into several executions, or start it with a higher limit."
    )
    .into())
}

/// The log may not grow for ever: what has been written so far, this checkpoint included, is within the bound.
pub(super) fn check_written(execution: &Execution) -> Result<(), Refusal> {
    let (written, most) = (execution.written, execution.started.config.log_bytes);
    if written <= most {
        return Ok(());
    }
    Err(format!(
        "Storage limit exceeded: with this checkpoint the execution has written {written} bytes and may write {most}; \
         store large data in a step and return references."
    )
    .into())
}
