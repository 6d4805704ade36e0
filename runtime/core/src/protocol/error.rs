//! Errors: those a workflow records, and those the service answers.

use serde::{Deserialize, Serialize};

/// AWS's `ErrorObject`: an error as the log keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// What kind of error it is, such as `StepInterruptedError`.
    pub error_type: Option<String>,
    /// Human-readable text.
    pub message: Option<String>,
    /// Anything machine-readable.
    pub data: Option<String>,
    /// Innermost frame first.
    pub stack_trace: Vec<String>,
}

impl ErrorObject {
    /// An error with a type and a message.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: Some(error_type.into()), message: Some(message.into()), ..Self::default() }
    }

    /// AWS's JSON shape: members that are not there are left out.
    pub fn to_json(&self) -> serde_json::Value {
        let mut out = serde_json::Map::new();
        let members = [("ErrorType", &self.error_type), ("ErrorMessage", &self.message), ("ErrorData", &self.data)];
        for (member, value) in members {
            if let Some(value) = value {
                out.insert(member.to_owned(), serde_json::json!(value));
            }
        }
        if !self.stack_trace.is_empty() {
            out.insert("StackTrace".to_owned(), serde_json::json!(self.stack_trace));
        }
        serde_json::Value::Object(out)
    }

    /// Bytes of all fields together: what [`limits::ERROR_BYTES`](super::limits::ERROR_BYTES) bounds.
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        text(&self.error_type)
            + text(&self.message)
            + text(&self.data)
            + self.stack_trace.iter().map(String::len).sum::<usize>()
    }
}

impl std::fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.error_type.as_deref().unwrap_or("Error");
        match self.message.as_deref() {
            Some(message) if !message.is_empty() => write!(f, "{kind}: {message}"),
            _ => f.write_str(kind),
        }
    }
}

/// What the durable service answers when it refuses. Kinds are the Lambda API's; each tells the caller what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// 400: the request is wrong and will stay wrong. Fix it. Nothing was changed.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// 404: there is no such execution or component.
    #[error("{0}")]
    ResourceNotFound(String),
    /// 409: the name is in use by an execution with another input or version.
    #[error("Execution already started: {arn}")]
    ExecutionAlreadyStarted {
        /// The execution that has the name.
        arn: String,
    },
    /// 400, `CallbackTimeoutException`: the callback is closed, or it is another execution's. Nothing was changed by
    /// this request, and none about this callback ever will.
    #[error("The callback is either timed out or already completed")]
    CallbackTimeout,
    /// 500: the log could not be written or read. What was not acknowledged may or may not be durable; ask again.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl ServiceError {
    /// The message with which a stale or foreign token is refused (AWS's SDKs recognise it by this prefix).
    pub const INVALID_TOKEN: &'static str = "Invalid Checkpoint Token";

    /// Whether this refusal means "this invocation was superseded": the worker stops and records nothing.
    pub fn is_invalid_token(&self) -> bool {
        matches!(self, Self::InvalidParameterValue(message) if message.starts_with(Self::INVALID_TOKEN))
    }
}
