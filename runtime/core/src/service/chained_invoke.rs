//! CHAINED_INVOKE: `(none) -START-> STARTED -> SUCCEEDED | FAILED | TIMED_OUT | STOPPED`.

use super::draft::Draft;
use super::execution::{Execution, IllegalTransition, Place};
use super::functions::{self, Functions, Target};
use super::operation::{begun, recorded_sub_type};
use super::refusal::{INVALID_ACTION, Refusal, check_room, check_update};
use super::uuid;
use crate::protocol::limits;
use crate::protocol::{
    ChainedInvokeDetails, ErrorObject, Event, ExecutionArn, FunctionName, OperationAction, OperationId,
    OperationStatus, OperationType, OperationUpdate,
};
use sha2::{Digest, Sha256};

/// What a function that is not durable gets if it is given nothing.
pub(super) const EMPTY_INPUT: &str = "{}";

/// Applies a CHAINED_INVOKE's event.
pub(super) fn apply(execution: &mut Execution, place: Place, event: &Event) -> Result<(), IllegalTransition> {
    use OperationStatus::{Failed, Started, Stopped, Succeeded, TimedOut};
    const INVOKE: OperationType = OperationType::ChainedInvoke;
    let (id, status, result, error) = match event {
        Event::ChainedInvokeStarted {
            id,
            parent,
            name,
            sub_type,
            function,
            tenant_id,
            input,
            executed_version,
            child_arn,
        } => {
            let mut invoke = begun(place, INVOKE, id, parent, name, sub_type);
            invoke.chained_invoke = Some(Box::new(ChainedInvokeDetails {
                function: function.clone(),
                tenant_id: tenant_id.clone(),
                input: input.clone(),
                executed_version: executed_version.clone(),
                child_arn: child_arn.clone(),
            }));
            return execution.begin_operation(place, invoke);
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

/// Records a CHAINED_INVOKE's update, of which a worker's is only the START, and with it what it was resolved to. One
/// that cannot be resolved has started and FAILED.
pub(super) fn record(
    execution: &mut Execution,
    draft: &mut Draft,
    update: OperationUpdate,
    functions: &dyn Functions,
) -> Result<(), Refusal> {
    let exists = check_update(execution, &update)?.is_some();
    if update.action != OperationAction::Start {
        return Err(INVALID_ACTION.into());
    }
    let Some(options) = update.chained_invoke else {
        return Err("Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.".into());
    };
    let name = FunctionName::try_from(options.function_name.as_str()).map_err(|invalid| invalid.to_string())?;
    check_tenant(options.tenant_id.as_deref())?;
    if exists {
        return Err("Cannot start a CHAINED_INVOKE operation that already exists.".into());
    }
    check_room(execution)?;
    let caller = execution.started.arn();
    let resolved = match depth(execution) < limits::INVOKE_DEPTH {
        true => functions::resolve(functions, &caller, &name),
        false => Err(ErrorObject::new(
            "RecursiveInvocationException",
            format!(
                "Cannot invoke {name}: {} CHAINED_INVOKEs lead here already; look for workflows that invoke each other \
                 without an end",
                limits::INVOKE_DEPTH
            ),
        )),
    };
    let (executed_version, child_arn, missing_input, failed) = match resolved {
        Ok(Target::Durable(target)) => {
            let child = child_arn(&caller, &update.id, &target.function, &target.version);
            (Some(target.version), Some(child.as_str().to_owned()), None, None)
        }
        Ok(Target::Plain { version, .. }) => (Some(version), None, Some(EMPTY_INPUT), None),
        Err(error) => (None, None, None, Some(error)),
    };
    let id = update.id.clone();
    draft.record(
        execution,
        Event::ChainedInvokeStarted {
            id: update.id,
            parent: update.parent_id,
            name: update.name,
            sub_type: recorded_sub_type(OperationType::ChainedInvoke, update.sub_type),
            function: options.function_name,
            tenant_id: options.tenant_id,
            input: update.payload.or(missing_input.map(str::to_owned)),
            executed_version,
            child_arn,
        },
    )?;
    match failed {
        Some(error) => Ok(draft.record(execution, Event::ChainedInvokeFailed { id, error })?),
        None => Ok(()),
    }
}

/// How many CHAINED_INVOKEs lead to an execution.
pub(super) fn depth(execution: &Execution) -> u32 {
    execution.started.invoked_by.as_ref().map_or(0, |by| by.depth)
}

/// The execution that a CHAINED_INVOKE is: a function of who invokes, so that starting it is idempotent.
fn child_arn(caller: &ExecutionArn, operation: &OperationId, function: &str, version: &str) -> ExecutionArn {
    let digest = derived(&[caller.as_str().as_bytes(), operation.as_str().as_bytes()]);
    let mut second = digest;
    second.rotate_left(16);
    ExecutionArn::local(function, version, &uuid(digest), &uuid(second))
}

/// 32 bytes that follow from these.
pub(super) fn derived(from: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"everstep chained invoke");
    for part in from {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn check_tenant(tenant: Option<&str>) -> Result<(), Refusal> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/=+-@ ".contains(&b);
    let Some(tenant) = tenant else { return Ok(()) };
    if (1..=limits::FUNCTION_NAME).contains(&tenant.len()) && tenant.bytes().all(allowed) {
        return Ok(());
    }
    let tenant: String = tenant.chars().take(80).collect();
    Err(format!("Invalid tenant id {tenant:?}: give 1..{} characters of [a-zA-Z0-9._:/=+-@ ].", limits::FUNCTION_NAME)
        .into())
}
