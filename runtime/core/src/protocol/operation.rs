//! Operations as the service knows them.

use super::{ErrorObject, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

/// AWS's `OperationType`. EXECUTION operations are the HTTP API's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationType {
    Execution,
    Context,
    Step,
    Wait,
    Callback,
    ChainedInvoke,
}

impl OperationType {
    /// AWS's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "EXECUTION",
            Self::Context => "CONTEXT",
            Self::Step => "STEP",
            Self::Wait => "WAIT",
            Self::Callback => "CALLBACK",
            Self::ChainedInvoke => "CHAINED_INVOKE",
        }
    }
}

/// AWS's `OperationStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationStatus {
    Started,
    /// A step between attempts: its retry delay runs.
    Pending,
    /// A step whose retry delay is over: a worker may start the next attempt.
    Ready,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Stopped,
}

impl OperationStatus {
    /// Whether nothing can happen to the operation any more.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Started | Self::Pending | Self::Ready)
    }

    /// AWS's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
        }
    }
}

/// AWS's `ExecutionStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Stopped,
}

impl ExecutionStatus {
    /// Whether the execution is closed.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running)
    }

    /// AWS's spelling; also what the store's `status` column holds.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
        }
    }
}

impl std::str::FromStr for ExecutionStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Stopped]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no execution status: RUNNING, SUCCEEDED, FAILED, TIMED_OUT or STOPPED"))
    }
}

/// One operation as the service's fold of the log has it: AWS's `Operation`, flat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Unique within the execution.
    pub id: OperationId,
    /// The CONTEXT it was begun in; none: the root.
    pub parent_id: Option<OperationId>,
    /// Its name.
    pub name: Option<String>,
    /// What it is.
    pub operation_type: OperationType,
    /// AWS's free `SubType`: `Step`, `Wait`, `RunInChildContext`, ...
    pub sub_type: Option<String>,
    /// Where it stands.
    pub status: OperationStatus,
    /// When it was first started.
    pub started_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// A step's finished attempts: 0 while the first runs (AWS's `StepDetails.Attempt`).
    pub attempt: u32,
    /// When a PENDING step becomes READY, a WAIT ends, a CALLBACK times out.
    pub due_at: Option<Timestamp>,
    /// A WAIT's length, seconds.
    pub seconds: Option<u32>,
    /// The result; for a STEP between attempts the state that the next one starts from.
    pub result: Option<String>,
    /// A CONTEXT's result was too large to be worth recording: see [`OperationUpdate::result_omitted`].
    ///
    /// [`OperationUpdate::result_omitted`]: super::OperationUpdate::result_omitted
    pub result_omitted: bool,
    /// The body of the STARTED attempt of a STEP runs again: see [`OperationUpdate::rerun`].
    ///
    /// [`OperationUpdate::rerun`]: super::OperationUpdate::rerun
    pub rerun: bool,
    /// The error of the end, or of the last attempt.
    pub error: Option<ErrorObject>,
    /// The event id of the first START.
    pub started_event: u64,
    /// The event id of the terminal event: completions are handed to a guest in this order, live as on replay.
    pub ended_event: Option<u64>,
    /// What a CALLBACK has besides.
    pub callback: Option<Box<CallbackDetails>>,
    /// What a CHAINED_INVOKE has besides.
    pub chained_invoke: Option<Box<ChainedInvokeDetails>>,
}

/// What a CALLBACK has besides: its part of AWS's `CallbackDetails`, and its timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackDetails {
    /// What completes it from outside: 1..1024 characters of base64.
    pub callback_id: String,
    /// Seconds from its start until it is TIMED_OUT; 0: never.
    pub timeout_seconds: u32,
    /// Seconds without a heartbeat until it is TIMED_OUT; 0: no heartbeat is asked for.
    pub heartbeat_seconds: u32,
    /// When it was started, or when the last heartbeat came.
    pub heartbeat_at: Timestamp,
}

/// What a CHAINED_INVOKE has besides: as it was asked for, and what it was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedInvokeDetails {
    /// As the workflow named it.
    pub function: String,
    /// AWS's `TenantId`.
    pub tenant_id: Option<String>,
    /// The payload.
    pub input: Option<String>,
    /// The version it was resolved to: a number or `$LATEST`. None: there was nothing to resolve it to.
    pub executed_version: Option<String>,
    /// The execution that it is, for a durable target.
    pub child_arn: Option<String>,
}
