//! Errors of durable operations, under AWS's names.
//!
//! An [`OperationError`] is always built from what the log recorded, so an execution that replays sees the error that
//! it saw live. `Display` writes one frame; `{:#}` writes the chain of causes. Match on [`OperationError::kind`]; for
//! what the failing code said, see [`OperationError::wire`].

/// The error of one family: its kind, and what was recorded as the source.
macro_rules! operation_error {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $name {
            kind: $kind,
            source: Option<$crate::BoxError>,
        }

        impl $name {
            pub(crate) fn new(kind: $kind, source: Option<$crate::BoxError>) -> Self {
                Self { kind, source }
            }

            /// What happened.
            ///
            /// ```
            #[doc = concat!("fn report(error: &everstep_sdk::", stringify!($name), ") {")]
            ///     println!("{}", error.kind());
            /// }
            /// ```
            #[must_use]
            pub fn kind(&self) -> &$kind {
                &self.kind
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::wire::write_frame(f, &self.kind, std::error::Error::source(self))
            }
        }

        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.source.as_deref().map(|error| error as _)
            }
        }
    };
}

mod callback;
mod child;
mod combinator;
mod condition;
mod fetch;
mod invoke;
mod step;
mod wait;

pub use callback::{CallbackError, CallbackErrorKind};
pub use child::{ChildContextError, ChildContextErrorKind};
pub use combinator::{CombinatorError, CombinatorErrorKind, JoinFailed};
pub use condition::{MaxChecksExceeded, WaitForConditionError, WaitForConditionErrorKind};
pub use fetch::{FetchError, FetchErrorKind};
pub use invoke::{FunctionNotFound, InvokeError, InvokeErrorKind};
pub use step::{RetriesExhausted, StepError, StepErrorKind};
pub use wait::{WaitError, WaitErrorKind};

use crate::wire::{Outcome, WireError, write_frame};
use std::error::Error;
use std::fmt;

/// A durable operation that did not succeed.
///
/// Match on its [`kind`](Self::kind) to decide, and print it with `{:#}` to tell.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{FetchErrorKind, OperationErrorKind};
///
/// if let Err(error) = ctx.fetch("https://api.example.com/orders/7").await {
///     let OperationErrorKind::Fetch(fetch) = error.kind() else { return Err(error.into()) };
///     let denied = matches!(fetch.kind(), FetchErrorKind::Denied { .. });
///     println!("{error:#} (denied: {denied})");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct OperationError {
    kind: OperationErrorKind,
    // Boxed: this type is the error half of every durable result.
    record: Option<Box<Record>>,
}

#[derive(Debug)]
struct Record {
    // None for an item of a batch: what is read back of a batch does not say.
    operation_id: Option<String>,
    status: &'static str,
    wire: WireError,
}

impl OperationError {
    pub(crate) fn from_kind(kind: OperationErrorKind) -> Self {
        Self { kind, record: None }
    }

    pub(crate) fn from_outcome(
        kind: impl FnOnce(WireError) -> OperationErrorKind,
        wire: WireError,
        status: &'static str,
        operation_id: String,
    ) -> Self {
        Self::from_record(kind(wire.clone()), wire, status, Some(operation_id))
    }

    pub(crate) fn from_record(
        kind: OperationErrorKind,
        wire: WireError,
        status: &'static str,
        operation_id: Option<String>,
    ) -> Self {
        Self { kind, record: Some(Box::new(Record { operation_id, status, wire })) }
    }

    /// Which kind of operation failed, and how.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// use everstep_sdk::OperationErrorKind;
    ///
    /// let may_be_asked_again = matches!(error.kind(), OperationErrorKind::Callback(_));
    /// # }
    /// ```
    #[must_use]
    pub fn kind(&self) -> &OperationErrorKind {
        &self.kind
    }

    /// The operation's id in the log, 1 to 64 characters of `[a-zA-Z0-9-_]`; none if the operation never began, if it
    /// did not fail but its result could not be read, and of a batch's item.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// println!("operation {} failed", error.operation_id().unwrap_or("(never begun)"));
    /// # }
    /// ```
    #[must_use]
    pub fn operation_id(&self) -> Option<&str> {
        self.record.as_ref().and_then(|record| record.operation_id.as_deref())
    }

    /// The operation's status in the log: `FAILED`, `TIMED_OUT` or `STOPPED`; none if it never began, or did not fail
    /// but its result could not be read.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// let too_slow = error.status() == Some("TIMED_OUT");
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.record.as_ref().map(|record| record.status)
    }

    /// What was recorded of the failure; none if the operation never began, or did not fail but its result could not be
    /// read.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// let declined = error.wire().is_some_and(|wire| wire.error_type() == Some("CardDeclined"));
    /// # }
    /// ```
    #[must_use]
    pub fn wire(&self) -> Option<&WireError> {
        self.record.as_ref().map(|record| &record.wire)
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frame(f, &format_args!("operation error: {}", self.kind.family()), self.source())
    }
}

impl Error for OperationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match &self.kind {
            OperationErrorKind::Step(error) => error,
            OperationErrorKind::Wait(error) => error,
            OperationErrorKind::ChildContext(error) => error,
            OperationErrorKind::Fetch(error) => error,
            OperationErrorKind::Combinator(error) => error,
            OperationErrorKind::Callback(error) => error,
            OperationErrorKind::Invoke(error) => error,
            OperationErrorKind::WaitForCondition(error) => error,
        })
    }
}

/// Which kind of operation failed, with the error of its family.
///
/// ```
/// use everstep_sdk::{OperationError, OperationErrorKind, StepErrorKind};
///
/// fn interrupted(error: &OperationError) -> bool {
///     let OperationErrorKind::Step(step) = error.kind() else { return false };
///     matches!(step.kind(), StepErrorKind::Interrupted { .. })
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum OperationErrorKind {
    /// A step: see [`DurableContext::step`](crate::DurableContext::step).
    Step(StepError),
    /// A wait: see [`DurableContext::wait`](crate::DurableContext::wait).
    Wait(WaitError),
    /// A child context, a retried block, a `map` or a `parallel`.
    ChildContext(ChildContextError),
    /// An HTTP request: see [`DurableContext::fetch`](crate::DurableContext::fetch).
    Fetch(FetchError),
    /// One of `try_join_all`, `join_all`, `select_ok` and `race`.
    Combinator(CombinatorError),
    /// A callback, created or waited for.
    Callback(CallbackError),
    /// An invoked function: see [`DurableContext::invoke`](crate::DurableContext::invoke).
    Invoke(InvokeError),
    /// A polled condition: see [`DurableContext::wait_for_condition`](crate::DurableContext::wait_for_condition).
    WaitForCondition(WaitForConditionError),
}

impl OperationErrorKind {
    pub(crate) fn wire_type_name(&self) -> &'static str {
        match self {
            Self::Step(_) => "StepError",
            Self::Wait(_) => "WaitError",
            Self::ChildContext(_) => "ChildContextError",
            Self::Fetch(_) => "FetchError",
            Self::Combinator(_) => "PromiseCombinatorError",
            Self::Callback(_) => "CallbackError",
            Self::Invoke(_) => "InvokeError",
            Self::WaitForCondition(_) => "WaitForConditionError",
        }
    }

    fn family(&self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Wait(_) => "wait",
            Self::ChildContext(_) => "child_context",
            Self::Fetch(_) => "fetch",
            Self::Combinator(_) => "combinator",
            Self::Callback(_) => "callback",
            Self::Invoke(_) => "invoke",
            Self::WaitForCondition(_) => "wait_for_condition",
        }
    }
}

impl fmt::Display for OperationErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(error) => write!(f, "step: {error}"),
            Self::Wait(error) => write!(f, "wait: {error}"),
            Self::ChildContext(error) => write!(f, "child_context: {error}"),
            Self::Fetch(error) => write!(f, "fetch: {error}"),
            Self::Combinator(error) => write!(f, "combinator: {error}"),
            Self::Callback(error) => write!(f, "callback: {error}"),
            Self::Invoke(error) => write!(f, "invoke: {error}"),
            Self::WaitForCondition(error) => write!(f, "wait_for_condition: {error}"),
        }
    }
}

/// An outcome's result, or its error with `kind` and the operation's id.
pub(crate) fn result_of(
    outcome: Outcome,
    operation: u64,
    kind: impl FnOnce(WireError) -> OperationErrorKind,
) -> Result<Option<String>, OperationError> {
    let (wire, status) = match outcome {
        Outcome::Succeeded(payload) => return Ok(payload),
        Outcome::Failed(wire) => (wire, "FAILED"),
        Outcome::TimedOut(wire) => (wire, "TIMED_OUT"),
        Outcome::Stopped(wire) => (wire, "STOPPED"),
    };
    Err(OperationError::from_outcome(kind, wire, status, crate::bindings::operation_id(operation)))
}

const _: () = {
    const fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<OperationError>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ReplayedFailure;

    fn step(error_type: &str) -> OperationError {
        let wire = WireError::new(Some(error_type), Some("no funds"));
        OperationError::from_outcome(OperationErrorKind::step, wire, "FAILED", "op-1".to_owned())
    }

    #[test]
    fn the_recorded_type_decides_the_kind() {
        for (error_type, expected) in [
            ("CardDeclined", StepErrorKind::RetriesExhausted(RetriesExhausted(()))),
            ("StepInterruptedError", StepErrorKind::Interrupted),
            ("SerializationError", StepErrorKind::SerializationFailed),
        ] {
            let error = step(error_type);
            let OperationErrorKind::Step(step) = error.kind() else { panic!("not a step error: {error:?}") };
            assert_eq!(*step.kind(), expected, "{error_type}");
        }
    }

    #[test]
    fn display_is_one_frame_and_alternate_the_chain() {
        let error = step("CardDeclined");
        assert_eq!(error.to_string(), "operation error: step");
        assert_eq!(format!("{error:#}"), "operation error: step: retries exhausted: no funds");
        assert_eq!((error.operation_id(), error.status()), (Some("op-1"), Some("FAILED")));
    }

    #[test]
    fn the_source_is_the_record() {
        let error = step("CardDeclined");
        let source = error.source().and_then(Error::source).expect("a step error has a source");
        let failure = source.downcast_ref::<ReplayedFailure>().expect("the source is the record");
        assert_eq!(Some(failure.wire()), error.wire());
    }
}
