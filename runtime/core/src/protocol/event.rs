//! What can happen to an execution: the alphabet of the checkpoint log.
//!
//! Each variant for which [`Event::in_history`] holds is one event of AWS's history. Encoded as MessagePack arrays with
//! one- or two-letter tags: *fields are only ever appended, with a default; tags are never reused.*

use super::{ComponentDigest, ErrorObject, ExecutionArn, OperationId, Seed, Timestamp, Warning};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything that is frozen when an execution starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionStarted {
    /// The execution's ARN, as text.
    pub arn: String,
    /// The function.
    pub function: String,
    /// The version it is pinned to: a number or `$LATEST`.
    pub version: String,
    /// The name: unique within the function.
    pub name: String,
    /// The input payload.
    pub input: Option<String>,
    /// The code it runs, for its whole life.
    pub component: ComponentDigest,
    /// What its randomness is derived from.
    pub seed: Seed,
    /// Environment, arguments and limits.
    #[serde(with = "named")]
    pub config: ExecutionConfig,
    /// The CHAINED_INVOKE that started it, if one did.
    #[serde(default)]
    pub invoked_by: Option<InvokedBy>,
}

/// A CHAINED_INVOKE, seen from the execution that it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvokedBy {
    /// The execution that invoked.
    pub arn: String,
    /// Its CHAINED_INVOKE.
    pub operation: OperationId,
    /// AWS's `TenantId`.
    pub tenant_id: Option<String>,
    /// How many CHAINED_INVOKEs lead here: 1 for one that an execution of its own invoked.
    #[serde(default)]
    pub depth: u32,
}

impl ExecutionStarted {
    /// The ARN; it was checked when the execution started.
    pub fn arn(&self) -> ExecutionArn {
        ExecutionArn::try_from(self.arn.as_str())
            .unwrap_or_else(|_| ExecutionArn::local(&self.function, &self.version, &self.name, "unreadable"))
    }
}

/// Settings that can change what a workflow sees, hence frozen at its start. Encoded with field names, so that any
/// field may be added later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutionConfig {
    /// Environment variables, in the order the guest sees them.
    pub environment: Vec<(String, String)>,
    /// Command-line arguments, without the program's name.
    pub arguments: Vec<String>,
    /// Bound of the guest's linear memory, bytes. `memory.grow` beyond it fails, on every replay alike.
    pub memory_bytes: u64,
    /// Seconds from start until the execution is TIMED_OUT.
    pub execution_timeout_seconds: u32,
    /// Operations the execution may begin.
    pub max_operations: u32,
    /// Bytes that workflow code may write to stdout, stderr and the logger in all, and again each step's body.
    pub output_bytes: u64,
    /// What a log line counts for among them beyond its text. Executions that do not say so started when it was 0.
    #[serde(default)]
    pub log_line_bytes: u32,
    /// Bytes that the execution may write to its log: see [`Event::written_bytes`]. Executions that do not say so
    /// started when there was no bound.
    #[serde(default = "unbounded")]
    pub log_bytes: u64,
    /// Bytes of the payload of one STEP or CONTEXT, a condition's state included. Executions that do not say so started
    /// when it was 1 MiB.
    #[serde(default = "operation_payload")]
    pub payload_bytes: u64,
    /// Bytes of one error, all its fields together.
    pub error_bytes: u64,
    /// Its caller waits for its end. Changes nothing that the workflow sees, only what it is warned of.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub synchronous: bool,
    /// The guest's world has files, and these in it. None: nothing is preopened, as it was before there were files;
    /// what was started then goes on in that world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesConfig>,
}

/// What a guest sees of files at its start, beside an empty root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesConfig {
    /// The archive of the files under `/bundle`, kept beside the components.
    pub bundle: Option<ComponentDigest>,
    /// Directories for step bodies, in the order the guest sees them. Which directories of the host they are, only
    /// whoever runs the execution says, each time.
    pub directories: Vec<DirectoryConfig>,
}

/// A directory for step bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirectoryConfig {
    /// Absolute, in the guest.
    pub path: String,
    /// Bodies may change what is in it.
    pub writable: bool,
}

const fn unbounded() -> u64 {
    u64::MAX
}

const fn operation_payload() -> u64 {
    super::limits::OPERATION_PAYLOAD_BYTES as u64
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            environment: Vec::new(),
            arguments: Vec::new(),
            memory_bytes: 256 << 20,
            execution_timeout_seconds: super::limits::DEFAULT_EXECUTION_TIMEOUT,
            max_operations: super::limits::MAX_OPERATIONS,
            output_bytes: 16 << 20,
            log_line_bytes: 64,
            log_bytes: super::limits::LOG_BYTES,
            // As much as the log may hold: only its bound counts.
            payload_bytes: super::limits::LOG_BYTES,
            error_bytes: super::limits::ERROR_BYTES as u64,
            synchronous: false,
            files: None,
        }
    }
}

mod named {
    //! A struct as a MessagePack map inside an array-encoded one.
    use serde::{Deserialize, Deserializer, Serializer, de::DeserializeOwned, de::Error as _, ser::Error as _};

    pub(super) fn serialize<T: serde::Serialize, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(&rmp_serde::to_vec_named(value).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(input: D) -> Result<T, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(input)?;
        rmp_serde::from_slice(&bytes).map_err(D::Error::custom)
    }
}

/// One event. `id`s are operations'; `parent`, `name` and `sub_type` stand only in START events, since the service has
/// checked that every later update agrees with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    #[serde(rename = "x")]
    ExecutionStarted(Arc<ExecutionStarted>),
    #[serde(rename = "xs")]
    ExecutionSucceeded { result: Option<String> },
    #[serde(rename = "xf")]
    ExecutionFailed { error: ErrorObject },
    #[serde(rename = "xt")]
    ExecutionTimedOut { error: Option<ErrorObject> },
    #[serde(rename = "xx")]
    ExecutionStopped { error: ErrorObject },
    #[serde(rename = "xp")]
    ExecutionPaused { reason: Option<String>, timeout_paused: bool },
    #[serde(rename = "xr")]
    ExecutionResumed { reason: Option<String> },

    /// An invocation ended; `error` says that it did so without reporting.
    #[serde(rename = "i")]
    InvocationCompleted { started_at: Timestamp, request_id: String, error: Option<ErrorObject> },

    #[serde(rename = "c")]
    ContextStarted { id: OperationId, parent: Option<OperationId>, name: Option<String>, sub_type: Option<String> },
    #[serde(rename = "cs")]
    ContextSucceeded {
        id: OperationId,
        result: Option<String>,
        replay_children: bool,
        #[serde(default)]
        result_omitted: bool,
    },
    #[serde(rename = "cf")]
    ContextFailed { id: OperationId, error: ErrorObject, replay_children: bool },

    /// An attempt started. Repeated for each attempt; `parent`, `name` and `sub_type` only with the first. `rerun`: its
    /// body exited, and runs again as the same attempt.
    #[serde(rename = "s")]
    StepStarted {
        id: OperationId,
        parent: Option<OperationId>,
        name: Option<String>,
        sub_type: Option<String>,
        #[serde(default)]
        rerun: bool,
    },
    #[serde(rename = "ss")]
    StepSucceeded { id: OperationId, attempt: u32, result: Option<String> },
    #[serde(rename = "sf")]
    StepFailed { id: OperationId, attempt: u32, error: ErrorObject },
    /// RETRY: AWS's history shows it as StepFailed, or as StepSucceeded if it carries state instead of an error.
    #[serde(rename = "sr")]
    StepRetried { id: OperationId, attempt: u32, seconds: u32, error: Option<ErrorObject>, state: Option<String> },
    /// A retry delay is over. Not an event of AWS's history: takes no event id.
    #[serde(rename = "sy")]
    StepReady { id: OperationId },

    #[serde(rename = "w")]
    WaitStarted {
        id: OperationId,
        parent: Option<OperationId>,
        name: Option<String>,
        sub_type: Option<String>,
        seconds: u32,
    },
    #[serde(rename = "ws")]
    WaitSucceeded { id: OperationId },
    #[serde(rename = "wc")]
    WaitCancelled { id: OperationId },

    #[serde(rename = "b")]
    CallbackStarted {
        id: OperationId,
        parent: Option<OperationId>,
        name: Option<String>,
        sub_type: Option<String>,
        callback_id: String,
        timeout_seconds: u32,
        heartbeat_seconds: u32,
    },
    /// Not an event of AWS's history: takes no event id.
    #[serde(rename = "bh")]
    CallbackHeartbeat { id: OperationId },
    #[serde(rename = "bs")]
    CallbackSucceeded { id: OperationId, result: Option<String> },
    #[serde(rename = "bf")]
    CallbackFailed { id: OperationId, error: ErrorObject },
    #[serde(rename = "bt")]
    CallbackTimedOut { id: OperationId, error: ErrorObject },

    #[serde(rename = "v")]
    ChainedInvokeStarted {
        id: OperationId,
        parent: Option<OperationId>,
        name: Option<String>,
        sub_type: Option<String>,
        function: String,
        tenant_id: Option<String>,
        input: Option<String>,
        executed_version: Option<String>,
        child_arn: Option<String>,
    },
    #[serde(rename = "vs")]
    ChainedInvokeSucceeded { id: OperationId, result: Option<String> },
    #[serde(rename = "vf")]
    ChainedInvokeFailed { id: OperationId, error: ErrorObject },
    #[serde(rename = "vt")]
    ChainedInvokeTimedOut { id: OperationId, error: ErrorObject },
    #[serde(rename = "vx")]
    ChainedInvokeStopped { id: OperationId, error: ErrorObject },

    /// Something that the workflow's author should know; each kind once an execution. Not an event of AWS's history:
    /// takes no event id.
    #[serde(rename = "n")]
    Warned { warning: Warning, operation: Option<OperationId> },
}

impl Event {
    /// Whether AWS's history shows it, that is, whether it takes an event id.
    pub const fn in_history(&self) -> bool {
        !matches!(self, Self::StepReady { .. } | Self::CallbackHeartbeat { .. } | Self::Warned { .. })
    }

    /// What it counts for among the bytes that an execution may write (AWS's `DurableExecutionStorageWrittenBytes`):
    /// its payload, error or state, and 64 bytes for the event itself; warnings and heartbeats count for nothing. A
    /// function of the event alone, so that the count is the same whenever the log is read.
    pub fn written_bytes(&self) -> u64 {
        let payload = match self {
            // Whoever is outside must not be able to use up what the workflow may write.
            Self::Warned { .. } | Self::CallbackHeartbeat { .. } => return 0,
            Self::ExecutionStarted(started) => started.input.as_ref().map_or(0, String::len),
            Self::ExecutionSucceeded { result }
            | Self::ContextSucceeded { result, .. }
            | Self::StepSucceeded { result, .. }
            | Self::CallbackSucceeded { result, .. }
            | Self::ChainedInvokeSucceeded { result, .. } => result.as_ref().map_or(0, String::len),
            Self::StepRetried { error, state, .. } => {
                error.as_ref().map_or(0, ErrorObject::size) + state.as_ref().map_or(0, String::len)
            }
            Self::ChainedInvokeStarted { input, .. } => input.as_ref().map_or(0, String::len),
            Self::ExecutionFailed { error }
            | Self::ExecutionStopped { error }
            | Self::ContextFailed { error, .. }
            | Self::StepFailed { error, .. }
            | Self::CallbackFailed { error, .. }
            | Self::CallbackTimedOut { error, .. }
            | Self::ChainedInvokeFailed { error, .. }
            | Self::ChainedInvokeTimedOut { error, .. }
            | Self::ChainedInvokeStopped { error, .. } => error.size(),
            Self::ExecutionTimedOut { error } | Self::InvocationCompleted { error, .. } => {
                error.as_ref().map_or(0, ErrorObject::size)
            }
            Self::ExecutionPaused { .. }
            | Self::ExecutionResumed { .. }
            | Self::ContextStarted { .. }
            | Self::StepStarted { .. }
            | Self::StepReady { .. }
            | Self::WaitStarted { .. }
            | Self::WaitSucceeded { .. }
            | Self::WaitCancelled { .. }
            | Self::CallbackStarted { .. } => 0,
        };
        payload as u64 + 64
    }
}
