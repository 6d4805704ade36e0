//! How a step fails.

use super::OperationErrorKind;
use crate::wire::{self, ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// A step that failed; also what a retry strategy is asked about.
    ///
    /// For a retry strategy the source is the body's own error, to be inspected with `downcast_ref`. For the workflow
    /// it is a [`ReplayedFailure`].
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::{RetryDecision, StepError};
    /// use std::{error::Error, io, time::Duration};
    ///
    /// fn strategy(error: &StepError, attempt: u32) -> RetryDecision {
    ///     let io = error.source().is_some_and(|source| source.is::<io::Error>());
    ///     if io && attempt < 5 { RetryDecision::Retry { delay: Duration::from_secs(3) } } else { RetryDecision::Stop }
    /// }
    ///
    /// let order = ctx.step(|_| async { Ok(std::fs::read_to_string("order")?) }).retry_strategy(strategy).await?;
    /// # Ok(())
    /// # }
    /// ```
    StepError, StepErrorKind
}

/// How a step failed.
///
/// ```
/// # fn example(error: &everstep_sdk::StepError) {
/// use everstep_sdk::StepErrorKind;
///
/// if let StepErrorKind::RetriesExhausted(_) = error.kind() {
///     println!("every attempt failed");
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// The body returned an error. Seen by retry strategies only.
    #[non_exhaustive]
    ExecutionFailed,
    /// The body returned an error and the retry strategy stopped, be it after one attempt.
    RetriesExhausted(RetriesExhausted),
    /// An attempt was cut short, and nobody knows how far it came (recorded type `StepInterruptedError`): the body
    /// panicked or took longer than it was given, or, with
    /// [at-most-once semantics](crate::StepSemantics::AtMostOncePerRetry), it exited or its process died.
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
///
/// ```
/// use everstep_sdk::{StepError, StepErrorKind};
///
/// fn has_failed_for_good(error: &StepError) -> bool {
///     matches!(error.kind(), StepErrorKind::RetriesExhausted(..))
/// }
/// ```
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
