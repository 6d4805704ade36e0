//! Errors as the log holds them.

use crate::BoxError;
use crate::bindings;
use std::error::Error;
use std::fmt;

/// An error type given where the body's error carries no name of its own.
pub(crate) const UNNAMED_ERROR: &str = "Error";
pub(crate) const CHILD_ERROR: &str = "ChildFnError";
pub(crate) const HANDLER_ERROR: &str = "HandlerError";
pub(crate) const SERIALIZATION_ERROR: &str = "SerializationError";
pub(crate) const STEP_INTERRUPTED_ERROR: &str = "StepInterruptedError";
pub(crate) const CALLBACK_HEARTBEAT: &str = "Callback.Heartbeat";
pub(crate) const DESERIALIZATION_ERROR: &str = "DeserializationError";
pub(crate) const RESOURCE_NOT_FOUND: &str = "ResourceNotFoundException";
pub(crate) const CONDITION_ERROR: &str = "WaitForConditionError";
pub(crate) const MAX_CHECKS_EXCEEDED: &str = "WaitForCondition.MaxChecksExceeded";

/// How many links of a source chain are searched for a name or a payload.
const CHAIN_LIMIT: usize = 10;

/// How an operation ended, still serialized.
#[derive(Debug)]
pub(crate) enum Outcome {
    Succeeded(Option<String>),
    Failed(WireError),
    TimedOut(WireError),
    Stopped(WireError),
}

/// What is recorded of a failure (AWS's `ErrorObject`): all of it together at most 1 MiB; data and stack trace of a
/// larger one are dropped, and its texts cut.
///
/// ```
/// # fn example(error: &everstep_sdk::OperationError) {
/// if let Some(wire) = error.wire() {
///     println!("{:?}: {:?}", wire.error_type(), wire.error_message());
/// }
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireError {
    error_type: Option<String>,
    error_message: Option<String>,
    error_data: Option<String>,
    stack_trace: Vec<String>,
}

impl WireError {
    pub(crate) fn new(error_type: Option<impl Into<String>>, error_message: Option<impl Into<String>>) -> Self {
        Self { error_type: error_type.map(Into::into), error_message: error_message.map(Into::into), ..Self::default() }
    }

    /// An attempt of which nobody knows how far it came.
    pub(crate) fn interrupted(attempt: u32) -> Self {
        let message = format!("attempt {attempt} was interrupted before its outcome was recorded");
        Self::new(Some(STEP_INTERRUPTED_ERROR), Some(message))
    }

    pub(crate) fn with_error_data(mut self, data: Option<String>) -> Self {
        self.error_data = data;
        self
    }

    pub(crate) fn with_stack_trace(mut self, frames: Vec<String>) -> Self {
        self.stack_trace = frames;
        self
    }

    /// Records `error`: its whole chain as the message; as the type, the name that it or a cause of it carries (a
    /// [`TypedError`], or a failure that was recorded before), else `fallback`.
    pub(crate) fn of(error: &(dyn Error + 'static), fallback: &str) -> Self {
        let recorded = chain(error).take(CHAIN_LIMIT).filter_map(recorded_in);
        let data = recorded.clone().find_map(|wire| wire.error_data.clone());
        let frames = recorded.clone().map(WireError::stack_trace).find(|frames| !frames.is_empty());
        let error_type = recorded_in(error)
            .and_then(|wire| wire.error_type.clone())
            .or_else(|| chain(error).take(CHAIN_LIMIT).find_map(name_of))
            .unwrap_or_else(|| match error.downcast_ref::<crate::OperationError>() {
                Some(operation) => operation.kind().wire_type_name().to_owned(),
                None => fallback.to_owned(),
            });
        Self::new(Some(error_type), Some(chain_text(error)))
            .with_error_data(data)
            .with_stack_trace(frames.unwrap_or_default().to_vec())
    }

    /// The recorded error type: see [`TypedError`] for how an error gets one.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// let declined = error.wire().and_then(|wire| wire.error_type()) == Some("CardDeclined");
    /// # }
    /// ```
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        self.error_type.as_deref()
    }

    /// The recorded message. Of an error of the workflow's: its `Display` and that of every cause, joined by `": "`.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// let why = error.wire().and_then(|wire| wire.error_message()).unwrap_or("for no reason given");
    /// # }
    /// ```
    #[must_use]
    pub fn error_message(&self) -> Option<&str> {
        self.error_message.as_deref()
    }

    /// The recorded payload, if the failure carries one. What came from the failing code, the SDK passes on and never
    /// interprets.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// // What a person who rejects an approval sends along.
    /// let comment = error.wire().and_then(|wire| wire.error_data());
    /// # }
    /// ```
    #[must_use]
    pub fn error_data(&self) -> Option<&str> {
        self.error_data.as_deref()
    }

    /// The recorded stack trace, innermost frame first; often empty.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::OperationError) {
    /// for frame in error.wire().map(|wire| wire.stack_trace()).unwrap_or_default() {
    ///     println!("  at {frame}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn stack_trace(&self) -> &[String] {
        &self.stack_trace
    }

    pub(crate) fn into_error_object(self) -> bindings::ErrorObject {
        bindings::ErrorObject {
            message: self.error_message.unwrap_or_default(),
            error_type: self.error_type.unwrap_or_default(),
            data: self.error_data,
            stack_trace: self.stack_trace,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.error_type(), self.error_message()) {
            (Some(kind), Some(message)) => write!(f, "{kind}: {message}"),
            (Some(text), None) | (None, Some(text)) => f.write_str(text),
            (None, None) => f.write_str("unknown error"),
        }
    }
}

/// A failure read from the log: the source of an operation's error, live as on replay. `Display` is the recorded
/// message.
///
/// ```
/// use everstep_sdk::{ReplayedFailure, StepError};
/// use std::error::Error;
///
/// fn recorded(error: &StepError) -> Option<&ReplayedFailure> {
///     error.source()?.downcast_ref()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayedFailure {
    wire: WireError,
}

impl ReplayedFailure {
    pub(crate) fn new(wire: WireError) -> Self {
        Self { wire }
    }

    /// The recorded error type: that of [`wire`](Self::wire).
    ///
    /// ```
    /// fn may_pass(failure: &everstep_sdk::ReplayedFailure) -> bool {
    ///     matches!(failure.error_type(), Some("Throttled" | "Timeout"))
    /// }
    /// ```
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        self.wire.error_type()
    }

    /// The whole record.
    ///
    /// ```
    /// fn payload(failure: &everstep_sdk::ReplayedFailure) -> Option<&str> {
    ///     failure.wire().error_data()
    /// }
    /// ```
    #[must_use]
    pub fn wire(&self) -> &WireError {
        &self.wire
    }
}

impl fmt::Display for ReplayedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire.error_message().or(self.wire.error_type()).unwrap_or("unknown error"))
    }
}

impl Error for ReplayedFailure {}

/// Gives an error a name in the log.
///
/// `?` turns an error into a [`BoxError`] and forgets its type, so a step that fails with one records the type
/// `"Error"`. Where the name matters (to whoever reads the history, or to code that decides by it), wrap the error
/// while its type is known:
///
/// ```
/// # use everstep_sdk as durable;
/// # #[derive(Debug)] struct CardDeclined;
/// # impl std::fmt::Display for CardDeclined {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("no funds") }
/// # }
/// # impl std::error::Error for CardDeclined {}
/// let error = durable::TypedError::new(CardDeclined);
/// assert_eq!(error.error_type(), "CardDeclined");
/// assert_eq!(format!("{error:#}"), "CardDeclined: no funds");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TypedError {
    error_type: String,
    inner: BoxError,
}

impl TypedError {
    /// Names `error` after its type, without module paths.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::TypedError;
    ///
    /// // Recorded under the type "ParseIntError"; a file that is missing, which nothing names, under "Error".
    /// let seats: u32 = ctx
    ///     .step(|_| async { Ok(std::fs::read_to_string("seats")?.trim().parse().map_err(TypedError::new)?) })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new<E: Error + Send + Sync + 'static>(error: E) -> Self {
        Self { error_type: without_paths(std::any::type_name::<E>()), inner: Box::new(error) }
    }

    /// Gives `error` the name `error_type`.
    ///
    /// ```
    /// use everstep_sdk::TypedError;
    ///
    /// let error = TypedError::with_type("OutOfStock", "no more of article 7");
    /// assert_eq!(error.error_type(), "OutOfStock");
    /// ```
    #[must_use]
    pub fn with_type(error_type: impl Into<String>, error: impl Into<BoxError>) -> Self {
        Self { error_type: error_type.into(), inner: error.into() }
    }

    /// The name that is recorded.
    ///
    /// ```
    /// let error = everstep_sdk::TypedError::new(std::fmt::Error);
    /// assert_eq!(error.error_type(), "Error");
    /// ```
    #[must_use]
    pub fn error_type(&self) -> &str {
        &self.error_type
    }

    /// The error itself.
    ///
    /// ```
    /// let error = everstep_sdk::TypedError::with_type("Throttled", "try again");
    /// assert_eq!(error.inner().to_string(), "try again");
    /// ```
    #[must_use]
    pub fn inner(&self) -> &(dyn Error + 'static) {
        &*self.inner
    }
}

impl fmt::Display for TypedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frame(f, &self.error_type, self.source())
    }
}

impl Error for TypedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.inner)
    }
}

/// `frame` alone, or with `{:#}` the whole chain below it.
pub(crate) fn write_frame(
    f: &mut fmt::Formatter<'_>,
    frame: &dyn fmt::Display,
    source: Option<&(dyn Error + 'static)>,
) -> fmt::Result {
    write!(f, "{frame}")?;
    if f.alternate() {
        for cause in source.into_iter().flat_map(chain) {
            write!(f, ": {cause}")?;
        }
    }
    Ok(())
}

fn chain_text(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> + Clone {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn recorded_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a WireError> {
    match error.downcast_ref::<crate::OperationError>() {
        Some(operation) => operation.wire(),
        None => error.downcast_ref::<ReplayedFailure>().map(ReplayedFailure::wire),
    }
}

fn name_of(error: &(dyn Error + 'static)) -> Option<String> {
    error.downcast_ref::<TypedError>().map(|typed| typed.error_type.clone())
}

/// `a::B<c::D>` as `B<D>`.
fn without_paths(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut segment_start = 0;
    for character in name.chars() {
        match character {
            ':' => short.truncate(segment_start),
            _ => {
                short.push(character);
                if !character.is_alphanumeric() && character != '_' {
                    segment_start = short.len();
                }
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OperationError, OperationErrorKind};

    #[derive(Debug)]
    struct Layer(&'static str, Option<BoxError>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|error| error as _)
        }
    }

    fn recorded() -> WireError {
        WireError::new(Some("CardDeclined"), Some("no funds"))
            .with_error_data(Some("{\"code\":51}".to_owned()))
            .with_stack_trace(vec!["charge".to_owned()])
    }

    #[test]
    fn message_is_the_whole_chain_and_type_the_fallback() {
        let error = Layer("charging", Some(Layer("connecting", Some("refused".into())).into()));
        let wire = WireError::of(&error, "Error");
        assert_eq!(wire, WireError::new(Some("Error"), Some("charging: connecting: refused")));
    }

    #[test]
    fn a_typed_cause_names_the_failure() {
        let error = Layer("charging", Some(TypedError::new(Layer("declined", None)).into()));
        let wire = WireError::of(&error, "Error");
        assert_eq!(wire, WireError::new(Some("Layer"), Some("charging: Layer: declined")));
    }

    #[test]
    fn a_recorded_failure_keeps_its_identity_across_boundaries() {
        let failed = OperationError::from_outcome(OperationErrorKind::step, recorded(), "FAILED", "op-1".to_owned());
        let wire = WireError::of(&failed, "ChildFnError");
        assert_eq!(wire.error_type(), Some("CardDeclined"));
        assert_eq!(wire.error_message(), Some("operation error: step: retries exhausted: no funds"));
        assert_eq!(wire.error_data(), Some("{\"code\":51}"));
        assert_eq!(wire.stack_trace(), ["charge"]);

        let wrapped = Layer("order 7", Some(failed.into()));
        let wire = WireError::of(&wrapped, "HandlerError");
        assert_eq!(wire.error_type(), Some("HandlerError"), "a wrapped failure is the wrapper's failure");
        assert_eq!(wire.error_data(), Some("{\"code\":51}"), "but the payload comes through");
    }

    #[test]
    fn type_names_lose_their_paths() {
        assert_eq!(without_paths("std::io::Error"), "Error");
        assert_eq!(without_paths("a::B<c::d::E, (f::G, &h::I)>"), "B<E, (G, &I)>");
    }
}
