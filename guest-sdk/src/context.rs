//! What a handler and a step's body are given.

use crate::builders::{ChildBuilder, FetchBuilder, StepBuilder, WaitBuilder};
use crate::http;
use crate::logger::Logger;
use crate::{BoxError, bindings};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Makes durable operations. Cheap to clone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DurableContext {
    operation: u64,
    execution: Arc<Execution>,
}

#[derive(Debug)]
struct Execution {
    arn: Arc<str>,
    name: String,
    function_name: String,
    function_version: String,
}

impl DurableContext {
    pub(crate) fn root() -> Self {
        let info = bindings::execution();
        let execution = Execution {
            arn: info.arn.into(),
            name: info.name,
            function_name: info.function_name,
            function_version: info.function_version,
        };
        Self { operation: 0, execution: Arc::new(execution) }
    }

    pub(crate) fn child(&self, operation: u64) -> Self {
        Self { operation, execution: Arc::clone(&self.execution) }
    }

    pub(crate) fn operation(&self) -> u64 {
        self.operation
    }

    pub(crate) fn arn(&self) -> &Arc<str> {
        &self.execution.arn
    }

    /// The durable execution's ARN.
    #[must_use]
    pub fn execution_arn(&self) -> &str {
        &self.execution.arn
    }

    /// The durable execution's name: chosen by whoever started it, unique within the function.
    #[must_use]
    pub fn execution_name(&self) -> &str {
        &self.execution.name
    }

    /// The function's name.
    #[must_use]
    pub fn function_name(&self) -> &str {
        &self.execution.function_name
    }

    /// The version of the function that the execution is pinned to.
    #[must_use]
    pub fn function_version(&self) -> &str {
        &self.execution.function_version
    }

    /// Always false. A workflow cannot tell a replay from a live run, so it cannot behave differently in one; it has
    /// no need to, since logs and output that a replay repeats are dropped by the host.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        false
    }

    /// Writes log lines that belong to this context.
    #[must_use]
    pub fn logger(&self) -> Logger {
        Logger::new(self.operation)
    }

    /// A step: the place for effects. Its body runs once for each attempt, its result is recorded, and a replay takes
    /// the record.
    ///
    /// The body runs alone, to its end, while everything else stands still, and only its result survives: see the
    /// [crate's documentation](crate#steps).
    pub fn step<O, F, Fut>(&self, body: F) -> StepBuilder<O, F, Fut>
    where
        F: FnOnce(StepContext) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        StepBuilder::new(self.clone(), body)
    }

    /// An HTTP request as a step of its own, performed by the host while the workflow goes on: many at once, each
    /// recorded with its answer.
    ///
    /// `request` is a [`http::Request`], or a URL to GET. Any status is an answer; see
    /// [`http::Response::error_for_status`].
    pub fn fetch(&self, request: impl Into<http::Request>) -> FetchBuilder {
        FetchBuilder::new(self.clone(), request.into())
    }

    /// A durable timer. The process need not live meanwhile.
    ///
    /// `duration` is rounded up to whole seconds, at least 1; at most 366 days, else the wait fails.
    pub fn wait(&self, duration: Duration) -> WaitBuilder {
        WaitBuilder::new(self.clone(), duration)
    }

    /// A child context: a group of operations with a name and a result of its own in the history.
    ///
    /// The body is workflow code. It runs again on every replay, over the recorded results of its operations.
    pub fn run_in_child_context<O, F, Fut>(&self, body: F) -> ChildBuilder<O, F, Fut>
    where
        F: FnOnce(DurableContext) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        ChildBuilder::new(self.clone(), body)
    }
}

/// What a step's body is given: nothing durable, since steps do not nest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepContext {
    operation: u64,
    attempt: u32,
}

impl StepContext {
    pub(crate) fn new(operation: u64, attempt: u32) -> Self {
        Self { operation, attempt }
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A UUID-shaped key, the same for every attempt of this step and different for any other step of any execution:
    /// what a payment API wants as its idempotency key.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        bindings::idempotency_key(self.operation)
    }

    /// The step's id in the log.
    #[must_use]
    pub fn operation_id(&self) -> String {
        bindings::operation_id(self.operation)
    }

    /// Writes log lines that belong to this step.
    #[must_use]
    pub fn logger(&self) -> Logger {
        Logger::new(self.operation)
    }
}
