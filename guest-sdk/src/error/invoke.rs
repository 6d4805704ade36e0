//! How an invoked function fails.

use super::{OperationError, OperationErrorKind};
use crate::BoxError;
use crate::wire::{self, Outcome, ReplayedFailure, WireError};
use std::fmt;

operation_error! {
    /// An invoked function that did not return a result.
    ///
    /// ```
    /// use everstep_sdk::{InvokeError, InvokeErrorKind};
    ///
    /// fn missing_function(error: &InvokeError) -> Option<&str> {
    ///     match error.kind() {
    ///         InvokeErrorKind::FunctionNotFound(details) => Some(details.function_id()),
    ///         _ => None,
    ///     }
    /// }
    /// ```
    InvokeError, InvokeErrorKind
}

/// How an invoked function failed.
///
/// ```
/// # fn example(error: &everstep_sdk::InvokeError) {
/// use everstep_sdk::InvokeErrorKind;
///
/// let worth_another_try = matches!(error.kind(), InvokeErrorKind::TimedOut { .. });
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvokeErrorKind {
    /// The function returned an error: type, message and data are those that it failed with.
    #[non_exhaustive]
    FunctionFailed,
    /// There is no such function, version or alias (recorded type `ResourceNotFoundException`).
    FunctionNotFound(FunctionNotFound),
    /// The function's execution timed out.
    #[non_exhaustive]
    TimedOut,
    /// Somebody stopped the function's execution.
    #[non_exhaustive]
    Stopped,
    /// The input could not be serialized (then nothing began), or the result not be read.
    #[non_exhaustive]
    SerializationFailed,
}

impl fmt::Display for InvokeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FunctionFailed => f.write_str("function failed"),
            Self::FunctionNotFound(details) => write!(f, "function not found: {}", details.function_id),
            Self::TimedOut => f.write_str("function timed out"),
            Self::Stopped => f.write_str("function stopped"),
            Self::SerializationFailed => f.write_str("serialization failed"),
        }
    }
}

/// Details of [`InvokeErrorKind::FunctionNotFound`].
///
/// ```
/// fn report(details: &everstep_sdk::FunctionNotFound) {
///     println!("deploy {} first", details.function_id());
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionNotFound {
    function_id: String,
}

impl FunctionNotFound {
    /// What the workflow asked for: a name or an ARN.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::FunctionNotFound) {
    /// let is_alias = error.function_id().ends_with(":live");
    /// # }
    /// ```
    #[must_use]
    pub fn function_id(&self) -> &str {
        &self.function_id
    }
}

impl OperationErrorKind {
    /// What `outcome`, a failed one, says about a function; still to be given the record.
    pub(crate) fn invoke(outcome: &Outcome, function: &str) -> impl FnOnce(WireError) -> Self + use<> {
        let kind = match outcome {
            Outcome::TimedOut(_) => InvokeErrorKind::TimedOut,
            Outcome::Stopped(_) => InvokeErrorKind::Stopped,
            // The function's own errors may be of that type, too: only the service names the function that is not
            // there.
            Outcome::Failed(wire)
                if wire.error_type() == Some(wire::RESOURCE_NOT_FOUND)
                    && wire.error_message().is_some_and(|message| message.ends_with(&format!(": {function}"))) =>
            {
                InvokeErrorKind::FunctionNotFound(FunctionNotFound { function_id: function.to_owned() })
            }
            Outcome::Failed(_) | Outcome::Succeeded(_) => InvokeErrorKind::FunctionFailed,
        };
        move |wire| Self::Invoke(InvokeError::new(kind, Some(ReplayedFailure::new(wire).into())))
    }
}

impl OperationError {
    /// An input or a result that could not be converted.
    pub(crate) fn invoke_serialization(source: BoxError) -> Self {
        let error = InvokeError::new(InvokeErrorKind::SerializationFailed, Some(source));
        Self::from_kind(OperationErrorKind::Invoke(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_decides_the_kind() {
        let wire = |error_type: &str| WireError::new(Some(error_type), Some("why"));
        let missing = WireError::new(Some("ResourceNotFoundException"), Some("Function not found: charge"));
        let not_found = FunctionNotFound { function_id: "charge".to_owned() };
        for (outcome, expected) in [
            (Outcome::Failed(wire("CardDeclined")), InvokeErrorKind::FunctionFailed),
            (Outcome::Failed(wire("ResourceNotFoundException")), InvokeErrorKind::FunctionFailed),
            (Outcome::Failed(missing), InvokeErrorKind::FunctionNotFound(not_found)),
            (Outcome::TimedOut(wire("ChainedInvoke.Timeout")), InvokeErrorKind::TimedOut),
            (Outcome::Stopped(wire("Stopped")), InvokeErrorKind::Stopped),
        ] {
            let kind = OperationErrorKind::invoke(&outcome, "charge");
            let OperationErrorKind::Invoke(error) = kind(wire("any")) else { panic!("not of an invoke") };
            assert_eq!(*error.kind(), expected, "{outcome:?}");
        }
    }
}
