//! How a polled condition fails.

use super::OperationErrorKind;
use crate::BoxError;
use crate::wire::{self, ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// A condition that was not met.
    ///
    /// ```
    /// use everstep_sdk::{WaitForConditionError, WaitForConditionErrorKind};
    ///
    /// fn checks(error: &WaitForConditionError) -> Option<u32> {
    ///     match error.kind() {
    ///         WaitForConditionErrorKind::MaxChecksExceeded(details) => Some(details.checks()),
    ///         _ => None,
    ///     }
    /// }
    /// ```
    WaitForConditionError, WaitForConditionErrorKind
}

/// How a polled condition failed.
///
/// ```
/// # fn example(error: &everstep_sdk::WaitForConditionError) {
/// use everstep_sdk::WaitForConditionErrorKind;
///
/// let gave_up = matches!(error.kind(), WaitForConditionErrorKind::MaxChecksExceeded(_));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitForConditionErrorKind {
    /// A check returned an error. There is no further check.
    #[non_exhaustive]
    CheckFailed,
    /// The wait strategy gave up (recorded type `WaitForCondition.MaxChecksExceeded`).
    MaxChecksExceeded(MaxChecksExceeded),
    /// A check panicked or took longer than it was given, and nobody knows how far it came (recorded type
    /// `StepInterruptedError`). One that exited or whose process died runs again instead.
    #[non_exhaustive]
    Interrupted,
    /// A state could not be serialized, or a recorded one not be read.
    #[non_exhaustive]
    SerializationFailed,
}

impl fmt::Display for WaitForConditionErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckFailed => f.write_str("check failed"),
            Self::MaxChecksExceeded(details) => write!(f, "max checks exceeded: {}", details.checks),
            Self::Interrupted => f.write_str("interrupted"),
            Self::SerializationFailed => f.write_str("serialization failed"),
        }
    }
}

/// Details of [`WaitForConditionErrorKind::MaxChecksExceeded`].
///
/// ```
/// fn report(details: everstep_sdk::MaxChecksExceeded) {
///     println!("not done after {} checks", details.checks());
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaxChecksExceeded {
    checks: u32,
}

impl MaxChecksExceeded {
    /// How many checks there were, from 1.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::MaxChecksExceeded) {
    /// let at_first_sight = error.checks() == 1;
    /// # }
    /// ```
    #[must_use]
    pub fn checks(&self) -> u32 {
        self.checks
    }

    /// What is recorded when the wait strategy gives up after `checks` checks.
    pub(crate) fn record(checks: u32, reason: String) -> WireError {
        WireError::new(Some(wire::MAX_CHECKS_EXCEEDED), Some(reason)).with_error_data(Some(checks.to_string()))
    }

    fn recorded_in(wire: &WireError) -> Self {
        Self { checks: wire.error_data().and_then(|data| data.parse().ok()).unwrap_or_default() }
    }
}

impl OperationErrorKind {
    pub(crate) fn condition(wire: WireError) -> Self {
        let kind = match wire.error_type() {
            Some(wire::MAX_CHECKS_EXCEEDED) => {
                WaitForConditionErrorKind::MaxChecksExceeded(MaxChecksExceeded::recorded_in(&wire))
            }
            Some(wire::STEP_INTERRUPTED_ERROR) => WaitForConditionErrorKind::Interrupted,
            Some(wire::SERIALIZATION_ERROR) => WaitForConditionErrorKind::SerializationFailed,
            _ => WaitForConditionErrorKind::CheckFailed,
        };
        Self::WaitForCondition(WaitForConditionError::new(kind, Some(ReplayedFailure::new(wire).into())))
    }

    /// A final state that was recorded and cannot be read.
    pub(crate) fn unreadable_state(error: BoxError) -> Self {
        let kind = WaitForConditionErrorKind::SerializationFailed;
        Self::WaitForCondition(WaitForConditionError::new(kind, Some(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_type_decides_the_kind() {
        let of = |error_type: &str| WireError::new(Some(error_type), Some("why"));
        for (wire, expected) in [
            (of("TeapotError"), WaitForConditionErrorKind::CheckFailed),
            (of("WaitForConditionError"), WaitForConditionErrorKind::CheckFailed),
            (of("StepInterruptedError"), WaitForConditionErrorKind::Interrupted),
            (of("SerializationError"), WaitForConditionErrorKind::SerializationFailed),
            (
                MaxChecksExceeded::record(3, "three is enough".to_owned()),
                WaitForConditionErrorKind::MaxChecksExceeded(MaxChecksExceeded { checks: 3 }),
            ),
        ] {
            let OperationErrorKind::WaitForCondition(error) = OperationErrorKind::condition(wire.clone()) else {
                panic!("not of a condition")
            };
            assert_eq!(*error.kind(), expected, "{wire:?}");
        }
    }
}
