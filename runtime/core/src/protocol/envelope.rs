//! What passes between the durable service and a worker: an invocation, its checkpoints, its end.

use super::{ErrorObject, ExecutionArn, Journal, Operation, OperationUpdate, Timestamp};
use std::sync::Arc;

/// The durable envelope: one invocation of one execution.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Which execution.
    pub arn: ExecutionArn,
    /// Opaque; good for one checkpoint.
    pub checkpoint_token: String,
    /// Everything that is frozen for the execution's life.
    pub started: Arc<super::ExecutionStarted>,
    /// When the execution started: where its virtual clock begins.
    pub started_at: Timestamp,
    /// All operations begun so far, in start order, without the EXECUTION operation; shared with the service's state.
    pub operations: Vec<Arc<Operation>>,
    /// The guest's host calls at each checkpoint so far, in log order: what replay compares.
    pub journals: Vec<Journal>,
    /// Identifies this invocation in history and logs.
    pub request_id: String,
}

/// AWS's `CheckpointDurableExecution`, request.
#[derive(Clone, Debug, Default)]
pub struct CheckpointRequest {
    /// The newest token.
    pub checkpoint_token: String,
    /// Applied in order, all or none. Empty: a mere refresh.
    pub updates: Vec<OperationUpdate>,
    /// With the token, makes a repeated request answer as the first did.
    pub client_token: Option<String>,
    /// Where the guest stands.
    pub journal: Option<Journal>,
}

/// AWS's `CheckpointDurableExecution`, response.
#[derive(Clone, Debug, Default)]
pub struct CheckpointResponse {
    /// The token for the next checkpoint. None: the invocation is over (closed or revoked), stop cleanly.
    pub checkpoint_token: Option<String>,
    /// Every operation that changed since the worker last saw state, whole, in the order of their last change.
    pub changed: Vec<Arc<Operation>>,
}

/// What an invocation reports (AWS: `{"Status": ...}`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationOutput {
    /// The workflow finished.
    Succeeded(Option<String>),
    /// The workflow failed; no retry.
    Failed(ErrorObject),
    /// Suspended until something it waits for changes.
    Pending,
}

/// An invocation that ended without reporting: a fault of guest or host that is no outcome of the workflow. The
/// service invokes again, a bounded number of times at one log position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationError {
    /// `ErrorType` is one of AWS's: `Runtime.ExitError`, `Sandbox.Timedout`, ...
    pub error: ErrorObject,
}
