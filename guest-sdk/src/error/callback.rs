//! How a callback fails.

use super::{OperationError, OperationErrorKind};
use crate::BoxError;
use crate::wire::{self, Outcome, ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// A callback that was not completed with a result.
    ///
    /// What whoever completed it said is in [`OperationError::wire`].
    ///
    /// ```
    /// use everstep_sdk::{CallbackErrorKind, OperationError, OperationErrorKind};
    ///
    /// fn nobody_answered(error: &OperationError) -> bool {
    ///     let OperationErrorKind::Callback(callback) = error.kind() else { return false };
    ///     matches!(callback.kind(), CallbackErrorKind::TimedOut { .. } | CallbackErrorKind::HeartbeatTimedOut { .. })
    /// }
    /// ```
    CallbackError, CallbackErrorKind
}

/// How a callback failed.
///
/// ```
/// # fn example(error: &everstep_sdk::CallbackError) {
/// use everstep_sdk::CallbackErrorKind;
///
/// match error.kind() {
///     CallbackErrorKind::TimedOut { .. } => println!("nobody answered in time"),
///     CallbackErrorKind::ExternalFailure { .. } => println!("somebody said no"),
///     other => println!("{other}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackErrorKind {
    /// Nobody completed it within its timeout (recorded type `Callback.Timeout`).
    #[non_exhaustive]
    TimedOut,
    /// No heartbeat came within the heartbeat interval (recorded type `Callback.Heartbeat`).
    #[non_exhaustive]
    HeartbeatTimedOut,
    /// It was completed with a failure.
    #[non_exhaustive]
    ExternalFailure,
    /// What it was completed with is not what the workflow expects: the serdes could not read it.
    #[non_exhaustive]
    DeserializationFailed,
    /// The submitter of `wait_for_callback` failed, and its retry strategy stopped. The callback was not awaited.
    #[non_exhaustive]
    SubmitterFailed,
    /// A timeout or heartbeat interval longer than 99,999,999 seconds. Nothing began.
    #[non_exhaustive]
    TimeoutTooLong,
}

impl fmt::Display for CallbackErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "callback timed out",
            Self::HeartbeatTimedOut => "callback heartbeat timed out",
            Self::ExternalFailure => "external failure",
            Self::DeserializationFailed => "deserialization failed",
            Self::SubmitterFailed => "submitter failed",
            Self::TimeoutTooLong => "timeout or heartbeat longer than 99,999,999 seconds: give a shorter one, or none",
        })
    }
}

impl OperationErrorKind {
    /// Of a callback that ended so: its outcome says whether the service timed it out or somebody failed it, who may
    /// name his error as he likes.
    pub(crate) fn callback(outcome: &Outcome) -> fn(WireError) -> Self {
        match outcome {
            Outcome::TimedOut(wire) if wire.error_type() == Some(wire::CALLBACK_HEARTBEAT) => {
                |wire| Self::recorded_callback(CallbackErrorKind::HeartbeatTimedOut, wire)
            }
            Outcome::TimedOut(_) => |wire| Self::recorded_callback(CallbackErrorKind::TimedOut, wire),
            _ => |wire| Self::recorded_callback(CallbackErrorKind::ExternalFailure, wire),
        }
    }

    pub(crate) fn submitter(wire: WireError) -> Self {
        Self::recorded_callback(CallbackErrorKind::SubmitterFailed, wire)
    }

    /// A result that was recorded as unreadable.
    pub(crate) fn unreadable_callback(wire: WireError) -> Self {
        Self::recorded_callback(CallbackErrorKind::DeserializationFailed, wire)
    }

    fn recorded_callback(kind: CallbackErrorKind, wire: WireError) -> Self {
        Self::Callback(CallbackError::new(kind, Some(ReplayedFailure::new(wire).into())))
    }
}

impl OperationError {
    /// A failure of a callback that is not in the log.
    pub(crate) fn callback(kind: CallbackErrorKind, source: Option<BoxError>) -> Self {
        Self::from_kind(OperationErrorKind::Callback(CallbackError::new(kind, source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_tells_a_timeout_from_a_failure() {
        let wire = |error_type: &str| WireError::new(Some(error_type), Some("not approved"));
        for (outcome, expected) in [
            (Outcome::TimedOut(wire("Callback.Timeout")), CallbackErrorKind::TimedOut),
            (Outcome::TimedOut(wire("Callback.Heartbeat")), CallbackErrorKind::HeartbeatTimedOut),
            (Outcome::Failed(wire("RejectedError")), CallbackErrorKind::ExternalFailure),
            (Outcome::Failed(wire("Callback.Timeout")), CallbackErrorKind::ExternalFailure),
        ] {
            let kind = OperationErrorKind::callback(&outcome);
            let error = OperationError::from_outcome(kind, wire("any"), "FAILED", "op-1".to_owned());
            let OperationErrorKind::Callback(callback) = error.kind() else { panic!("not of a callback: {error:?}") };
            assert_eq!(*callback.kind(), expected, "{outcome:?}");
            assert_eq!(error.wire().and_then(WireError::error_type), Some("any"), "passed on as it was sent");
        }
    }

    #[test]
    fn a_failure_reads_as_a_chain() {
        let wire = WireError::new(Some("RejectedError"), Some("not approved"));
        let error = OperationError::from_outcome(
            OperationErrorKind::callback(&Outcome::Failed(wire.clone())),
            wire,
            "FAILED",
            "op-1".to_owned(),
        );
        assert_eq!(format!("{error:#}"), "operation error: callback: external failure: not approved");
    }
}
