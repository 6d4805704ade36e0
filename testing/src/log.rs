//! What an execution printed and logged.

use everstep::worker::Observer;
use everstep_core::protocol::{ErrorObject, ExecutionArn, Operation, OperationId, Timestamp};
use everstep_sandbox::Stream;
use everstep_sandbox::durable::LogLevel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A line that a workflow, or a step, gave to its logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The execution that it belongs to: the one that is tested, or one that it invoked.
    pub execution: ExecutionArn,
    /// The step's name, or its id; none: the workflow itself.
    pub operation: Option<String>,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub message: String,
    /// In the order they were given.
    pub fields: Vec<(String, String)>,
}

/// Everything that was printed and logged, by all executions of a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Listens to one execution.
pub(crate) struct Listener {
    execution: ExecutionArn,
    said: Arc<Mutex<Said>>,
}

impl Listener {
    pub(crate) fn new(execution: ExecutionArn, said: Arc<Mutex<Said>>) -> Self {
        Self { execution, said }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Listener {
    fn step_running(&self, _: &OperationId, _: Option<&str>, _: u32) {}
    fn changed(&self, _: &Operation) {}
    fn sleeping(&self, _: Duration) {}
    fn output(&self, stream: Stream, bytes: &[u8]) {
        let mut said = self.said();
        match stream {
            Stream::Stdout => said.stdout.extend_from_slice(bytes),
            Stream::Stderr => said.stderr.extend_from_slice(bytes),
        }
    }
    fn waiting(&self, _: Timestamp, _: Duration) {}
    fn invocation_failed(&self, _: &ErrorObject) {}
    fn log(&self, operation: Option<&str>, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        let line = LogLine {
            execution: self.execution.clone(),
            operation: operation.map(str::to_owned),
            level,
            message: message.to_owned(),
            fields: fields.to_vec(),
        };
        self.said().lines.push(line);
    }
    fn invoked(&self, execution: &ExecutionArn) -> Arc<dyn Observer> {
        Arc::new(Self::new(execution.clone(), self.said.clone()))
    }
}
