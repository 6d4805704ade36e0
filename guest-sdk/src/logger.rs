//! Structured log lines.

use crate::bindings::{self, LogLevel};
use std::fmt::Display;

/// Writes log lines that belong to an operation.
///
/// Workflow code logs as if it ran once: what a replay repeats, the host drops.
///
/// ```no_run
/// # fn example(ctx: everstep_sdk::DurableContext) {
/// ctx.logger().with("order", 42).info("order accepted");
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Logger {
    operation: u64,
    fields: Vec<(String, String)>,
}

impl Logger {
    pub(crate) fn new(operation: u64) -> Self {
        Self { operation, fields: Vec::new() }
    }

    /// Adds a field to every line written from here on.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Display) -> Self {
        self.fields.push((key.into(), value.to_string()));
        self
    }

    /// Writes a line of level TRACE.
    pub fn trace(&self, message: impl Display) {
        self.write(LogLevel::Trace, &message);
    }

    /// Writes a line of level DEBUG.
    pub fn debug(&self, message: impl Display) {
        self.write(LogLevel::Debug, &message);
    }

    /// Writes a line of level INFO.
    pub fn info(&self, message: impl Display) {
        self.write(LogLevel::Info, &message);
    }

    /// Writes a line of level WARN.
    pub fn warn(&self, message: impl Display) {
        self.write(LogLevel::Warn, &message);
    }

    /// Writes a line of level ERROR.
    pub fn error(&self, message: impl Display) {
        self.write(LogLevel::Error, &message);
    }

    fn write(&self, level: LogLevel, message: &dyn Display) {
        bindings::log(self.operation, level, &message.to_string(), &self.fields);
    }
}
