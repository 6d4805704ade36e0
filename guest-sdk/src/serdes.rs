//! How values become text in the log.

use crate::BoxError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::{Arc, OnceLock};

/// Turns an operation's result into the text that is recorded, and back.
///
/// A step's result is serialized inside the step, with real time, randomness and the step's I/O; it is read outside,
/// where the same bytes must give the same value on every replay.
pub trait Serdes<T>: 'static {
    /// The text to record. An error fails the operation with type `SerializationError`, without a retry.
    fn serialize(&self, value: T, context: SerdesContext) -> impl Future<Output = Result<String, BoxError>>;

    /// The value of a recorded text.
    fn deserialize(&self, wire: String, context: SerdesContext) -> impl Future<Output = Result<T, BoxError>>;
}

impl<T, S: Serdes<T>> Serdes<T> for Arc<S> {
    fn serialize(&self, value: T, context: SerdesContext) -> impl Future<Output = Result<String, BoxError>> {
        S::serialize(self, value, context)
    }

    fn deserialize(&self, wire: String, context: SerdesContext) -> impl Future<Output = Result<T, BoxError>> {
        S::deserialize(self, wire, context)
    }
}

/// Compact JSON: the default.
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

/// Which value is serialized.
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

    /// The operation's id in the log, the same on every replay.
    #[must_use]
    pub fn operation_id(&self) -> &str {
        self.operation_id.get_or_init(|| crate::bindings::operation_id(self.operation))
    }

    /// The execution's ARN.
    #[must_use]
    pub fn durable_execution_arn(&self) -> &str {
        &self.durable_execution_arn
    }
}
