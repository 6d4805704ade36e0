//! How a child context fails.

use super::OperationErrorKind;
use crate::wire::{self, ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// A child context that failed; also a retried block, a `map` or a `parallel`.
    ///
    /// ```
    /// use everstep_sdk::{ChildContextError, ChildContextErrorKind};
    ///
    /// fn is_my_mistake(error: &ChildContextError) -> bool {
    ///     matches!(error.kind(), ChildContextErrorKind::InvalidConfiguration { .. })
    /// }
    /// ```
    ChildContextError, ChildContextErrorKind
}

/// How a child context failed.
///
/// ```
/// # fn example(error: &everstep_sdk::ChildContextError) {
/// use everstep_sdk::ChildContextErrorKind;
///
/// let of_the_body = matches!(error.kind(), ChildContextErrorKind::ChildFailed { .. });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildContextErrorKind {
    /// Its body returned an error.
    #[non_exhaustive]
    ChildFailed,
    /// Its result could not be serialized or read.
    #[non_exhaustive]
    Internal,
    /// It was asked for with settings that cannot be met, a `map` with room for no item, say; the source says which.
    /// Nothing began.
    #[non_exhaustive]
    InvalidConfiguration,
}

impl fmt::Display for ChildContextErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChildFailed => "child failed",
            Self::Internal => "internal error",
            Self::InvalidConfiguration => "invalid configuration",
        })
    }
}

impl OperationErrorKind {
    pub(crate) fn child(wire: WireError) -> Self {
        let kind = match wire.error_type() {
            Some(wire::SERIALIZATION_ERROR) => ChildContextErrorKind::Internal,
            _ => ChildContextErrorKind::ChildFailed,
        };
        Self::ChildContext(ChildContextError::new(kind, Some(ReplayedFailure::new(wire).into())))
    }
}
