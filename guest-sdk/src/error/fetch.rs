//! How an HTTP request fails.

use super::OperationErrorKind;
use crate::wire::{ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// An HTTP request that got no answer. An answer, whatever its status, is no error.
    ///
    /// ```
    /// use everstep_sdk::{FetchError, FetchErrorKind};
    ///
    /// fn is_not_allowed(error: &FetchError) -> bool {
    ///     matches!(error.kind(), FetchErrorKind::Denied { .. })
    /// }
    /// ```
    FetchError, FetchErrorKind
}

/// How an HTTP request failed. Which of wasi:http's error codes it was stands in the
/// [recorded data](WireError::error_data).
///
/// ```
/// # fn example(error: &everstep_sdk::FetchError) {
/// use everstep_sdk::FetchErrorKind;
///
/// match error.kind() {
///     FetchErrorKind::Denied { .. } => println!("start the process with --allow-http for this host"),
///     _ => println!("no answer"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// It is not on the allow list, and was not sent.
    #[non_exhaustive]
    Denied,
    /// There was no answer that could be used: its address was not found or not reached, the request was malformed, the
    /// time was over, the connection broke, or the answer was too long. It may have arrived.
    #[non_exhaustive]
    NoAnswer,
}

impl fmt::Display for FetchErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied",
            Self::NoAnswer => "no answer",
        })
    }
}

impl OperationErrorKind {
    pub(crate) fn fetch(wire: WireError) -> Self {
        let kind = match wire.error_data().unwrap_or_default() {
            data if data.contains(r#""code":"HTTP-request-denied""#) => FetchErrorKind::Denied,
            data if data.contains(r#""code":"destination-IP-prohibited""#) => FetchErrorKind::Denied,
            _ => FetchErrorKind::NoAnswer,
        };
        Self::Fetch(FetchError::new(kind, Some(ReplayedFailure::new(wire).into())))
    }
}
