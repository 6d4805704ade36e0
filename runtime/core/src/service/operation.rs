//! What the START of every operation type has in common.

use super::execution::Place;
use crate::protocol::{Operation, OperationId, OperationStatus, OperationType};

/// `SubType` as it is recorded: absent where it is the type's own.
pub(super) fn recorded_sub_type(operation_type: OperationType, given: Option<String>) -> Option<String> {
    given.filter(|given| Some(given.as_str()) != own_sub_type(operation_type))
}

/// `SubType` as it is shown.
pub(super) fn shown_sub_type(operation_type: OperationType, recorded: Option<&str>) -> Option<String> {
    recorded.or(own_sub_type(operation_type)).map(str::to_owned)
}

const fn own_sub_type(operation_type: OperationType) -> Option<&'static str> {
    match operation_type {
        OperationType::Execution => None,
        OperationType::Context => Some("RunInChildContext"),
        OperationType::Step => Some("Step"),
        OperationType::Wait => Some("Wait"),
        OperationType::Callback => Some("Callback"),
        OperationType::ChainedInvoke => Some("ChainedInvoke"),
    }
}

/// An operation that was just begun.
pub(super) fn begun(
    place: Place,
    operation_type: OperationType,
    id: &OperationId,
    parent: &Option<OperationId>,
    name: &Option<String>,
    sub_type: &Option<String>,
) -> Operation {
    Operation {
        id: id.clone(),
        parent_id: parent.clone(),
        name: name.clone(),
        operation_type,
        sub_type: shown_sub_type(operation_type, sub_type.as_deref()),
        status: OperationStatus::Started,
        started_at: place.at,
        ended_at: None,
        attempt: 0,
        due_at: None,
        seconds: None,
        result: None,
        result_omitted: false,
        rerun: false,
        error: None,
        started_event: place.event_id,
        ended_event: None,
        callback: None,
        chained_invoke: None,
    }
}
