//! How a step fails.

use super::OperationErrorKind;
use crate::wire::{self, ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// A step that failed; also what a retry strategy is asked about.
    ///
    /// For a retry strategy the source is the body's own error, to be inspected with `downcast_ref`. For the workflow
    /// it is a [`ReplayedFailure`].
    StepError, StepErrorKind
}

/// How a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// The body returned an error. Seen by retry strategies only.
    #[non_exhaustive]
    ExecutionFailed,
    /// The body returned an error and the retry strategy stopped, be it after one attempt.
    RetriesExhausted(RetriesExhausted),
    /// The process died during an attempt, or the body trapped, and nobody knows how far it came.
    #[non_exhaustive]
    Interrupted,
    /// The result could not be serialized, or a recorded one not be read.
    #[non_exhaustive]
    SerializationFailed,
}

impl fmt::Display for StepErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExecutionFailed => "execution failed",
            Self::RetriesExhausted(_) => "retries exhausted",
            Self::Interrupted => "interrupted",
            Self::SerializationFailed => "serialization failed",
        })
    }
}

/// Details of [`StepErrorKind::RetriesExhausted`]. How many attempts there were is in the execution's history: a replay
/// reads the outcome alone, and could not tell the workflow the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetriesExhausted(pub(super) ());

impl OperationErrorKind {
    pub(crate) fn step(wire: WireError) -> Self {
        let kind = match wire.error_type() {
            Some(wire::STEP_INTERRUPTED_ERROR) => StepErrorKind::Interrupted,
            Some(wire::SERIALIZATION_ERROR) => StepErrorKind::SerializationFailed,
            _ => StepErrorKind::RetriesExhausted(RetriesExhausted(())),
        };
        Self::Step(StepError::new(kind, Some(ReplayedFailure::new(wire).into())))
    }
}
