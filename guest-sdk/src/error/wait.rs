//! How a wait fails.

use super::OperationErrorKind;
use crate::wire::{ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// A wait that could not be made, or did not end by itself.
    ///
    /// ```
    /// use everstep_sdk::{WaitError, WaitErrorKind};
    ///
    /// fn never_began(error: &WaitError) -> bool {
    ///     matches!(error.kind(), WaitErrorKind::Zero { .. } | WaitErrorKind::TooLong { .. })
    /// }
    /// ```
    WaitError, WaitErrorKind
}

/// How a wait failed.
///
/// ```
/// # fn example(error: &everstep_sdk::WaitError) {
/// use everstep_sdk::WaitErrorKind;
///
/// let in_pieces = matches!(error.kind(), WaitErrorKind::TooLong { .. });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitErrorKind {
    /// No time at all. Nothing began.
    #[non_exhaustive]
    Zero,
    /// Longer than 366 days (31,622,400 seconds), the longest wait there is. Nothing began.
    #[non_exhaustive]
    TooLong,
    /// The log holds an end other than the timer's.
    #[non_exhaustive]
    UnexpectedStatus,
}

impl fmt::Display for WaitErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "of no time at all: give at least a second, or leave the wait out",
            Self::TooLong => "longer than 366 days (31,622,400 seconds): wait several times",
            Self::UnexpectedStatus => "unexpected status",
        })
    }
}

impl OperationErrorKind {
    pub(crate) fn wait(wire: WireError) -> Self {
        Self::Wait(WaitError::new(WaitErrorKind::UnexpectedStatus, Some(ReplayedFailure::new(wire).into())))
    }
}
