//! What a worker asks the service to record.

use super::{ErrorObject, OperationId, OperationType};

/// AWS's `OperationAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationAction {
    Start,
    Succeed,
    Fail,
    Retry,
    Cancel,
}

impl OperationAction {
    /// AWS's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Succeed => "SUCCEED",
            Self::Fail => "FAIL",
            Self::Retry => "RETRY",
            Self::Cancel => "CANCEL",
        }
    }
}

/// AWS's `OperationUpdate`, with the options of the types we begin flattened in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationUpdate {
    /// The operation.
    pub id: OperationId,
    /// Its CONTEXT; none: the root.
    pub parent_id: Option<OperationId>,
    /// 1..256 characters of `[\x20-\x7E]`.
    pub name: Option<String>,
    /// Must match what is recorded.
    pub operation_type: OperationType,
    /// 1..32 characters of `[a-zA-Z0-9-_]`.
    pub sub_type: Option<String>,
    /// What happened to it.
    pub action: OperationAction,
    /// SUCCEED's result; RETRY's state.
    pub payload: Option<String>,
    /// FAIL's and RETRY's error.
    pub error: Option<ErrorObject>,
    /// `WaitOptions.WaitSeconds` of a WAIT's START, `StepOptions.NextAttemptDelaySeconds` of a RETRY: 1..31,622,400.
    pub seconds: Option<u32>,
    /// `ContextOptions.ReplayChildren` of a CONTEXT's end. Ours always say true: context bodies re-execute.
    pub replay_children: bool,
    /// A CONTEXT's result that was too large to be worth recording is left out: its body re-executes, and the journal's
    /// digest covers what it returned.
    pub result_omitted: bool,
    /// Of a STEP's START that follows its body: that exited, and the step's semantics have it run again as the same
    /// attempt. Without it, an attempt that started and did not end is an interrupted one.
    pub rerun: bool,
    /// `CallbackOptions` of a CALLBACK's START.
    pub callback: Option<CallbackOptions>,
    /// `ChainedInvokeOptions` of a CHAINED_INVOKE's START.
    pub chained_invoke: Option<Box<ChainedInvokeOptions>>,
}

/// AWS's `CallbackOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallbackOptions {
    /// Seconds from START until the callback is TIMED_OUT: 0..99,999,999; 0: never.
    pub timeout_seconds: u32,
    /// Seconds without a heartbeat until it is TIMED_OUT: 0..99,999,999; 0: no heartbeat is asked for.
    pub heartbeat_seconds: u32,
}

/// AWS's `ChainedInvokeOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainedInvokeOptions {
    /// `NamespacedFunctionName`: a name or an ARN, with or without a qualifier; 1..256 characters.
    pub function_name: String,
    /// 1..256 characters of `[a-zA-Z0-9\._:\/=+\-@ ]`.
    pub tenant_id: Option<String>,
}

impl OperationUpdate {
    /// An update with nothing but the required members.
    pub fn new(id: OperationId, operation_type: OperationType, action: OperationAction) -> Self {
        Self {
            id,
            parent_id: None,
            name: None,
            operation_type,
            sub_type: None,
            action,
            payload: None,
            error: None,
            seconds: None,
            replay_children: false,
            result_omitted: false,
            rerun: false,
            callback: None,
            chained_invoke: None,
        }
    }
}
