//! Structured log lines.

use crate::bindings::{self, LogLevel};
use std::fmt::Display;

/// Writes log lines that belong to an operation: those of [`DurableContext::logger`](crate::DurableContext::logger) and
/// [`StepContext::logger`](crate::StepContext::logger).
///
/// Workflow code logs as if it ran once: what a replay repeats, the host drops. Lines are not recorded; one that was
/// written just before the process died may be written again.
///
/// ```no_run
/// # fn example(ctx: &everstep_sdk::DurableContext) {
/// let log = ctx.logger().with("order", 42);
/// log.info("order accepted");
/// log.warn("the customer has no phone number");
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

    /// Adds a field to every line written by the logger that this gives. A key that is given twice is written twice.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// let log = ctx.logger().with("customer", "c-17").with("amount", 12.99);
    /// log.info("charging");
    /// # }
    /// ```
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Display) -> Self {
        self.fields.push((key.into(), value.to_string()));
        self
    }

    /// Writes a line of level TRACE.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// ctx.logger().trace("entering the loop");
    /// # }
    /// ```
    pub fn trace(&self, message: impl Display) {
        self.write(LogLevel::Trace, &message);
    }

    /// Writes a line of level DEBUG.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// # let items = [1, 2, 3];
    /// ctx.logger().debug(format_args!("{} items left", items.len()));
    /// # }
    /// ```
    pub fn debug(&self, message: impl Display) {
        self.write(LogLevel::Debug, &message);
    }

    /// Writes a line of level INFO.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// ctx.logger().with("order", 42).info("shipped");
    /// # }
    /// ```
    pub fn info(&self, message: impl Display) {
        self.write(LogLevel::Info, &message);
    }

    /// Writes a line of level WARN.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// ctx.logger().warn("the warehouse is slow today");
    /// # }
    /// ```
    pub fn warn(&self, message: impl Display) {
        self.write(LogLevel::Warn, &message);
    }

    /// Writes a line of level ERROR. It fails nothing.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// if let Err(error) = ctx.fetch("https://api.example.com/audit").await {
    ///     ctx.logger().error(format_args!("not audited: {error:#}"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn error(&self, message: impl Display) {
        self.write(LogLevel::Error, &message);
    }

    fn write(&self, level: LogLevel, message: &dyn Display) {
        bindings::log(self.operation, level, &message.to_string(), &self.fields);
    }
}
