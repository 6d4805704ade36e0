//! How values become text in the log.

use crate::BoxError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

/// Turns an operation's result into the text that is recorded, and back. [`JsonSerdes`] is the default; [`TextSerdes`]
/// and [`from_fn`] serve most other needs.
///
/// A step's result is serialized inside the step, with real time, randomness and the step's I/O; it is read outside,
/// where the same bytes must give the same value on every replay.
///
/// ```
/// use everstep_sdk::{BoxError, Serdes, serdes::SerdesContext};
///
/// /// Amounts as `12.99`.
/// struct Cents;
///
/// impl Serdes<u64> for Cents {
///     async fn serialize(&self, cents: u64, _: SerdesContext) -> Result<String, BoxError> {
///         Ok(format!("{}.{:02}", cents / 100, cents % 100))
///     }
///
///     async fn deserialize(&self, text: String, _: SerdesContext) -> Result<u64, BoxError> {
///         Ok(text.replace('.', "").parse()?)
///     }
/// }
/// ```
pub trait Serdes<T>: 'static {
    /// The text to record.
    ///
    /// # Errors
    ///
    /// Whatever the value has no text for. The operation fails with type `SerializationError`, without a retry.
    ///
    /// ```no_run
    /// # use everstep_sdk::{BoxError, Serdes, serdes::SerdesContext};
    /// async fn text_of(serdes: impl Serdes<u64>) -> Result<String, BoxError> {
    ///     serdes.serialize(1299, SerdesContext::new("op-1", "arn")).await
    /// }
    /// ```
    fn serialize(&self, value: T, context: SerdesContext) -> impl Future<Output = Result<String, BoxError>>;

    /// The value of a recorded text.
    ///
    /// # Errors
    ///
    /// Whatever the text has no value for. The operation fails, with the kind of its family that says so:
    /// [`StepErrorKind::SerializationFailed`](crate::StepErrorKind::SerializationFailed) for a step.
    ///
    /// ```no_run
    /// # use everstep_sdk::{BoxError, Serdes, serdes::SerdesContext};
    /// async fn value_of(serdes: impl Serdes<u64>) -> Result<u64, BoxError> {
    ///     serdes.deserialize("12.99".to_owned(), SerdesContext::new("op-1", "arn")).await
    /// }
    /// ```
    fn deserialize(&self, wire: String, context: SerdesContext) -> impl Future<Output = Result<T, BoxError>>;

    /// The value of a result without a text: a callback that was completed without a payload, a function that returned
    /// nothing. Unless a serdes says otherwise, that of `null`.
    ///
    /// # Errors
    ///
    /// As [`deserialize`](Self::deserialize).
    ///
    /// ```no_run
    /// # use everstep_sdk::{BoxError, Serdes, serdes::SerdesContext};
    /// async fn nothing(serdes: impl Serdes<Option<u64>>) -> Result<Option<u64>, BoxError> {
    ///     serdes.absent(SerdesContext::new("op-1", "arn")).await
    /// }
    /// ```
    fn absent(&self, context: SerdesContext) -> impl Future<Output = Result<T, BoxError>> {
        self.deserialize("null".to_owned(), context)
    }
}

/// The value of an operation's result.
pub(crate) async fn read<T, S: Serdes<T>>(
    serdes: &S,
    payload: Option<String>,
    context: SerdesContext,
) -> Result<T, BoxError> {
    match payload {
        Some(payload) => serdes.deserialize(payload, context).await,
        None => serdes.absent(context).await,
    }
}

impl<T, S: Serdes<T>> Serdes<T> for Arc<S> {
    fn serialize(&self, value: T, context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        S::serialize(self, value, context)
    }

    fn deserialize(&self, wire: String, context: SerdesContext) -> impl Future<Output = Result<T, BoxError>> {
        S::deserialize(self, wire, context)
    }

    fn absent(&self, context: SerdesContext) -> impl Future<Output = Result<T, BoxError>> {
        S::absent(self, context)
    }
}

/// Compact JSON: the default.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::JsonSerdes;
///
/// let total: u64 = ctx.step(|_| async { Ok(1299) }).serdes(JsonSerdes).await?; // as without
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonSerdes;

impl<T: Serialize + DeserializeOwned> Serdes<T> for JsonSerdes {
    fn serialize(&self, value: T, _context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        std::future::ready(serde_json::to_string(&value).map_err(Into::into))
    }

    fn deserialize(&self, wire: String, _context: SerdesContext) -> impl Future<Output = Result<T, BoxError>> {
        std::future::ready(serde_json::from_str(&wire).map_err(Into::into))
    }
}

/// Text as it is: neither quoted nor parsed. For callbacks that are completed with plain text, and functions that take
/// or return it. What is absent is the empty text, or `None` for an `Option<String>`; a `None` is written as the empty
/// text.
///
/// ```no_run
/// # use everstep_sdk as durable;
/// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
/// let callback = ctx.create_callback::<String>().serdes(durable::serdes::TextSerdes).await?;
/// let text: String = callback.result().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextSerdes;

impl Serdes<String> for TextSerdes {
    fn serialize(&self, value: String, _context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        std::future::ready(Ok(value))
    }

    fn deserialize(&self, wire: String, _context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        std::future::ready(Ok(wire))
    }

    fn absent(&self, _context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        std::future::ready(Ok(String::new()))
    }
}

impl Serdes<Option<String>> for TextSerdes {
    fn serialize(
        &self,
        value: Option<String>,
        _context: SerdesContext,
    ) -> impl Future<Output = Result<String, BoxError>> {
        std::future::ready(Ok(value.unwrap_or_default()))
    }

    fn deserialize(
        &self,
        wire: String,
        _context: SerdesContext,
    ) -> impl Future<Output = Result<Option<String>, BoxError>> {
        std::future::ready(Ok(Some(wire)))
    }

    fn absent(&self, _context: SerdesContext) -> impl Future<Output = Result<Option<String>, BoxError>> {
        std::future::ready(Ok(None))
    }
}

/// Two functions as a serdes: made by [`from_fn`].
///
/// ```
/// use everstep_sdk::{Serdes, serdes::from_fn};
///
/// fn flags() -> impl Serdes<bool> {
///     from_fn(|flag| Ok(if flag { "yes" } else { "no" }.to_owned()), |text| Ok(text == "yes"))
/// }
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct FnSerdes<W, R> {
    write: W,
    read: R,
}

impl<W, R> fmt::Debug for FnSerdes<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnSerdes").finish_non_exhaustive()
    }
}

/// A serdes of two functions: `write` gives the text of a value, `read` the value of a text (`null` if there is none).
/// An error of either fails the operation as [`Serdes`] says.
///
/// ```
/// use everstep_sdk::serdes::from_fn;
///
/// let hexadecimal = from_fn(
///     |number: u64| Ok(format!("{number:x}")),
///     |text: String| Ok(u64::from_str_radix(&text, 16)?),
/// );
/// # fn check(ctx: everstep_sdk::DurableContext, serdes: impl everstep_sdk::Serdes<u64>) {
/// ctx.step(|_| async { Ok(255) }).serdes(serdes);
/// # }
/// # let _ = |ctx| check(ctx, hexadecimal);
/// ```
pub fn from_fn<T, W, R>(write: W, read: R) -> FnSerdes<W, R>
where
    W: Fn(T) -> Result<String, BoxError> + 'static,
    R: Fn(String) -> Result<T, BoxError> + 'static,
{
    FnSerdes { write, read }
}

impl<T, W, R> Serdes<T> for FnSerdes<W, R>
where
    W: Fn(T) -> Result<String, BoxError> + 'static,
    R: Fn(String) -> Result<T, BoxError> + 'static,
{
    fn serialize(&self, value: T, _context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        std::future::ready((self.write)(value))
    }

    fn deserialize(&self, wire: String, _context: SerdesContext) -> impl Future<Output = Result<T, BoxError>> {
        std::future::ready((self.read)(wire))
    }
}

/// Which value is serialized: to choose a key, say, or a place to keep what is too large for the log.
///
/// ```
/// use everstep_sdk::serdes::SerdesContext;
///
/// fn object_key(context: &SerdesContext) -> String {
///     format!("{}/{}", context.durable_execution_arn(), context.operation_id())
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SerdesContext {
    operation: u64,
    // Asked of the host only by the serdes that want it.
    operation_id: OnceLock<String>,
    durable_execution_arn: Arc<str>,
}

impl SerdesContext {
    /// A context for tests of a serdes; operations make their own.
    ///
    /// ```
    /// let context = everstep_sdk::serdes::SerdesContext::new("op-1", "arn:test");
    /// assert_eq!(context.operation_id(), "op-1");
    /// ```
    #[must_use]
    pub fn new(operation_id: impl Into<String>, durable_execution_arn: impl Into<String>) -> Self {
        Self {
            operation: 0,
            operation_id: OnceLock::from(operation_id.into()),
            durable_execution_arn: durable_execution_arn.into().into(),
        }
    }

    pub(crate) fn of(operation: u64, arn: &Arc<str>) -> Self {
        Self { operation, operation_id: OnceLock::new(), durable_execution_arn: Arc::clone(arn) }
    }

    /// The operation's id in the log, the same on every replay: 1 to 64 characters of `[a-zA-Z0-9-_]`.
    ///
    /// ```
    /// # let context = everstep_sdk::serdes::SerdesContext::new("op-1", "arn:test");
    /// let file = format!("results/{}.json", context.operation_id());
    /// ```
    #[must_use]
    pub fn operation_id(&self) -> &str {
        self.operation_id.get_or_init(|| crate::bindings::operation_id(self.operation))
    }

    /// The execution's ARN.
    ///
    /// ```
    /// # let context = everstep_sdk::serdes::SerdesContext::new("op-1", "arn:test");
    /// let prefix = context.durable_execution_arn().replace(':', "-");
    /// ```
    #[must_use]
    pub fn durable_execution_arn(&self) -> &str {
        &self.durable_execution_arn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;

    fn context() -> SerdesContext {
        SerdesContext::new("op-1", "arn")
    }

    fn value<T>(serdes: &impl Serdes<T>, payload: Option<&str>) -> Result<T, String> {
        block_on(read(serdes, payload.map(str::to_owned), context())).map_err(|error| error.to_string())
    }

    #[test]
    fn json_parses_what_was_sent_and_absence_is_null() {
        assert_eq!(value(&JsonSerdes, Some(r#""yes""#)), Ok("yes".to_owned()));
        assert_eq!(value(&JsonSerdes, None), Ok(None::<String>));
        assert_eq!(value(&JsonSerdes, None), Ok(()));
        assert!(value::<String>(&JsonSerdes, Some("yes")).is_err(), "plain text is not JSON");
        assert!(value::<String>(&JsonSerdes, None).is_err());
    }

    #[test]
    fn text_is_passed_through_as_it_was_sent() {
        assert_eq!(value(&TextSerdes, Some(r#""yes""#)), Ok(r#""yes""#.to_owned()));
        assert_eq!(value(&TextSerdes, None), Ok(String::new()));
        assert_eq!(value(&TextSerdes, Some("null")), Ok(Some("null".to_owned())));
        assert_eq!(value(&TextSerdes, None), Ok(None::<String>));
        assert_eq!(value(&Arc::new(TextSerdes), None), Ok(None::<String>), "behind an Arc as well");
    }

    #[test]
    fn functions_make_a_serdes() {
        let serdes = from_fn(|n: u32| Ok(format!("<{n}>")), |text: String| Ok(text.trim_matches(['<', '>']).parse()?));
        let text = block_on(serdes.serialize(42, context())).expect("a number is written");
        assert_eq!(text, "<42>");
        assert_eq!(value(&serdes, Some(&text)), Ok(42));
        assert_eq!(value(&serdes, Some("<x>")), Err("invalid digit found in string".to_owned()));
    }
}
