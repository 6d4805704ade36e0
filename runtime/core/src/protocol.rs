//! AWS's vocabulary of durable executions: pure data.
//!
//! Shapes, patterns and bounds are those of the Lambda API model of 2025-12-01; field names are ours where Rust's
//! conventions differ. Nothing here imports anything else of ours.

mod arn;
mod envelope;
mod error;
mod event;
mod function_name;
mod identifiers;
pub mod limits;
mod operation;
mod time;
mod transition;
mod update;
mod warning;

pub use arn::{ExecutionArn, InvalidArn};
pub use envelope::{CheckpointRequest, CheckpointResponse, Invocation, InvocationError, InvocationOutput};
pub use error::{ErrorObject, ServiceError};
pub use event::{DirectoryConfig, Event, ExecutionConfig, ExecutionStarted, FilesConfig, InvokedBy};
pub use function_name::FunctionName;
pub(crate) use identifiers::is_plain;
pub use identifiers::{ComponentDigest, InvalidName, OperationId, Seed};
pub use operation::{
    CallbackDetails, ChainedInvokeDetails, ExecutionStatus, Operation, OperationStatus, OperationType,
};
pub use time::Timestamp;
pub use transition::{Cause, Journal, Transition, TransitionFormatError};
pub use update::{CallbackOptions, ChainedInvokeOptions, OperationAction, OperationUpdate};
pub use warning::Warning;
