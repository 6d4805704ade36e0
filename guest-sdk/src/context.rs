//! What a handler and a step's body are given.

use crate::builders::{ChildBuilder, FetchBuilder, StepBuilder, WaitBuilder};
use crate::builders::{
    CreateCallbackBuilder, InvokeBuilder, WaitForCallbackBuilder, WaitForConditionBuilder, WithRetryBuilder,
};
use crate::http;
use crate::logger::Logger;
use crate::{BoxError, bindings};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Makes durable operations, in the execution itself or in a child context. Cheap to clone.
///
/// Every operation is a builder that does nothing by itself: see [`builders`](crate::builders).
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use std::time::Duration;
///
/// let parcel: u32 = ctx.step(|_| async { Ok(17) }).name("pack").await?;
/// ctx.wait(Duration::from_secs(60)).await?;
/// ctx.step(move |_| async move { Ok(println!("parcel {parcel} is out")) }).name("ship").await?;
/// # Ok(())
/// # }
/// ```
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
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// println!("aws lambda get-durable-execution --durable-execution-arn {}", ctx.execution_arn());
    /// # }
    /// ```
    #[must_use]
    pub fn execution_arn(&self) -> &str {
        &self.execution.arn
    }

    /// The durable execution's name: chosen by whoever started it, unique within the function; 1 to 64 characters of
    /// `[a-zA-Z0-9-_]`.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// let report = format!("reports/{}.pdf", ctx.execution_name());
    /// # }
    /// ```
    #[must_use]
    pub fn execution_name(&self) -> &str {
        &self.execution.name
    }

    /// The function's name.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// ctx.logger().with("function", ctx.function_name()).info("started");
    /// # }
    /// ```
    #[must_use]
    pub fn function_name(&self) -> &str {
        &self.execution.function_name
    }

    /// The version of the function that the execution is pinned to.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// ctx.logger().with("version", ctx.function_version()).info("started");
    /// # }
    /// ```
    #[must_use]
    pub fn function_version(&self) -> &str {
        &self.execution.function_version
    }

    /// Always false. A workflow cannot tell a replay from a live run, so it cannot behave differently in one; it has
    /// no need to, since logs and output that a replay repeats are dropped by the host.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// assert!(!ctx.is_replaying());
    /// # }
    /// ```
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        false
    }

    /// Writes log lines that belong to this context.
    ///
    /// ```no_run
    /// # fn example(ctx: &everstep_sdk::DurableContext) {
    /// ctx.logger().with("customer", "c-17").info("order accepted");
    /// # }
    /// ```
    #[must_use]
    pub fn logger(&self) -> Logger {
        Logger::new(self.operation)
    }

    /// A step: the place for effects. Its body runs once for each attempt, its result is recorded, and a replay takes
    /// the record.
    ///
    /// The body runs alone, to its end, while everything else stands still, and only its result survives: see the
    /// [crate's documentation](crate#steps).
    ///
    /// The result is recorded as JSON, unless there is a [serdes](StepBuilder::serdes); an error is retried by the
    /// [default schedule](crate::RetryStrategyConfig), unless there is [another](StepBuilder::retry_strategy_config).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let booking: String = ctx
    ///     .step(|step| async move { Ok(format!("booked with key {}", step.idempotency_key())) })
    ///     .name("book")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`StepError`](crate::StepError): the body failed and the retry strategy stopped, the last attempt was
    /// interrupted, or the result could not be converted.
    pub fn step<O, F, Fut>(&self, body: F) -> StepBuilder<O, F, Fut>
    where
        F: FnOnce(StepContext) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        StepBuilder::new(self.clone(), body)
    }

    /// An HTTP request as a step of its own, performed by the host while the workflow goes on: many at once, each
    /// recorded with its answer, which may have 8 MiB.
    ///
    /// `request` is a [`http::Request`], or a URL to GET. Any status is an answer; see
    /// [`http::Response::error_for_status`].
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::http::Request;
    ///
    /// let stock = ctx.fetch("https://api.example.com/stock/7").spawn();
    /// let charge = Request::post("https://pay.example.com/charges").idempotency_key("order-7");
    /// let receipt = ctx.fetch(charge).name("charge").await?.error_for_status()?;
    /// let left: u32 = stock.await?.json()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`FetchError`](crate::FetchError): the request is not allowed, or there was no answer.
    pub fn fetch(&self, request: impl Into<http::Request>) -> FetchBuilder {
        FetchBuilder::new(self.clone(), request.into())
    }

    /// A durable timer. The process need not live meanwhile.
    ///
    /// `duration` is rounded up to whole seconds: 1 to 31,622,400 (366 days).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// ctx.wait(Duration::from_secs(30 * 24 * 3_600)).name("trial-period").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`WaitError`](crate::WaitError): of kind `Zero` for a wait of no time, of kind `TooLong` for one of more than
    /// 366 days.
    pub fn wait(&self, duration: Duration) -> WaitBuilder {
        WaitBuilder::new(self.clone(), duration)
    }

    /// A child context: a group of operations with a name and a result of its own in the history.
    ///
    /// The body is workflow code. It runs again on every replay, over the recorded results of its operations.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let order: (u32, u32) = ctx
    ///     .run_in_child_context(|ctx| async move {
    ///         let stock = ctx.step(|_| async { Ok(3) }).name("stock").await?;
    ///         let price = ctx.step(|_| async { Ok(1299) }).name("price").await?;
    ///         Ok((stock, price))
    ///     })
    ///     .name("look-up")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`ChildContextError`](crate::ChildContextError): the body failed, or its result could not be converted.
    pub fn run_in_child_context<O, F, Fut>(&self, body: F) -> ChildBuilder<O, F, Fut>
    where
        F: FnOnce(DurableContext) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        ChildBuilder::new(self.clone(), body)
    }
}

/// What a step's body is given: nothing durable, since steps do not nest.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// ctx.step(|step| async move {
///     step.logger().with("attempt", step.attempt()).info("charging");
///     Ok(println!("charge with key {}", step.idempotency_key()))
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
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

    /// Which attempt this is, from 1. An attempt whose process died and that runs again keeps its number.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let text: String = ctx
    ///     .step(|step| async move { Ok(format!("from mirror {}", if step.attempt() > 1 { "b" } else { "a" })) })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A UUID-shaped key, the same for every attempt of this step and different for any other step of any execution:
    /// what a payment API wants as its idempotency key.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::http::Request;
    ///
    /// let charge = ctx.step(|step| async move {
    ///     let request = Request::post("https://pay.example.com/charges").idempotency_key(step.idempotency_key());
    ///     Ok(request.send()?.text()?.to_owned())
    /// });
    /// let receipt = charge.await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        bindings::idempotency_key(self.operation)
    }

    /// The step's id in the log, the same for every attempt: 1 to 64 characters of `[a-zA-Z0-9-_]`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.step(|step| async move { Ok(std::fs::write(format!("out/{}.txt", step.operation_id()), "done")?) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn operation_id(&self) -> String {
        bindings::operation_id(self.operation)
    }

    /// Writes log lines that belong to this step. A replay does not run the body, and repeats none.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.step(|step| async move { Ok(step.logger().info("the body runs")) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn logger(&self) -> Logger {
        Logger::new(self.operation)
    }
}

impl DurableContext {
    /// A callback: something outside completes it, by its id. The process need not live meanwhile.
    ///
    /// Awaiting the builder gives a [`Callback`](crate::builders::Callback) as soon as the callback is durable: its id
    /// may be given away from then on. What is sent is read as JSON, and a completion without a payload as `null`; for
    /// plain text use [`TextSerdes`](crate::serdes::TextSerdes).
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # use std::time::Duration;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let approval =
    ///     ctx.create_callback::<bool>().name("approval").timeout(Duration::from_secs(24 * 3600)).await?;
    /// let id = approval.id().to_owned();
    /// ctx.step(move |_| async move { Ok(println!("curl .../{id}")) }).name("ask").await?;
    /// let approved: bool = approval.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Creation fails if a timeout or heartbeat is longer than 99,999,999 seconds. For the result, see
    /// [`Callback::result`](crate::builders::Callback::result).
    pub fn create_callback<O: 'static>(&self) -> CreateCallbackBuilder<O> {
        CreateCallbackBuilder::new(self.clone())
    }

    /// A callback, the step that gives its id away, and the wait for its result, as one operation.
    ///
    /// `submitter` is a [step](Self::step)'s body that is given the callback's id. What is sent is read as JSON, and a
    /// completion without a payload as `null`; for plain text use [`TextSerdes`](crate::serdes::TextSerdes).
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # use std::time::Duration;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let approved: bool = ctx
    ///     .wait_for_callback(|_step, id| async move { Ok(println!("curl .../{id}")) })
    ///     .name("approval")
    ///     .timeout(Duration::from_secs(24 * 3600))
    ///     .submitter_retry_config(durable::RetryStrategyConfig::transient())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CallbackError`](crate::CallbackError): timed out, no heartbeat, completed with a failure or with something
    /// unreadable, or the submitter failed for good.
    pub fn wait_for_callback<O, F, Fut>(&self, submitter: F) -> WaitForCallbackBuilder<O, F, Fut>
    where
        O: 'static,
        F: FnOnce(StepContext, String) -> Fut + 'static,
        Fut: Future<Output = Result<(), BoxError>> + 'static,
    {
        WaitForCallbackBuilder::new(self.clone(), submitter)
    }

    /// Invokes another function and takes its result. A durable one is started once, as an execution of its own,
    /// however often this one is replayed or its process dies.
    ///
    /// `function_id` is a name or an ARN, with a version or an alias if it is to be pinned: 1 to 256 letters, digits
    /// and any of `-_.:$/`. Input and result are JSON; the input has at most 1 MiB, and a type that owns what it holds
    /// (a `String`, not a `&str`). Another function id or a longer input fails the execution, with type
    /// `WorkflowError`.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let receipt: String = ctx.invoke("charge:live", ("order-7".to_owned(), 1299)).name("charge").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An [`InvokeError`](crate::InvokeError): the function failed, timed out, was stopped or does not exist, or input
    /// or result could not be converted.
    pub fn invoke<O: 'static, I: 'static>(&self, function_id: impl Into<String>, input: I) -> InvokeBuilder<O, I> {
        InvokeBuilder::new(self.clone(), function_id.into(), input)
    }

    /// Polls a condition: calls `check` with the state, first `initial_state`, then what the last check returned, until
    /// the wait strategy says that the condition is met. The process need not live between checks.
    ///
    /// A check is a step's body: it runs alone, with real time and I/O, and only the state it returns survives. One
    /// whose process died runs again.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// use durable::builders::WaitStrategy;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let polls: u32 = ctx
    ///     .wait_for_condition(|_step, polls: u32| async move { Ok(polls + 1) }, 0)
    ///     .name("job is done")
    ///     .wait_strategy(WaitStrategy::builder(|polls: &u32| *polls >= 3).max_attempts(10).build())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`WaitForConditionError`](crate::WaitForConditionError): a check failed (there is no retry) or trapped, the
    /// strategy gave up, or a state could not be converted.
    pub fn wait_for_condition<T, F, Fut>(&self, check: F, initial_state: T) -> WaitForConditionBuilder<T, F, Fut>
    where
        T: 'static,
        F: FnOnce(StepContext, T) -> Fut + 'static,
        Fut: Future<Output = Result<T, BoxError>> + 'static,
    {
        WaitForConditionBuilder::new(self.clone(), check, initial_state)
    }

    /// A block of operations that is retried as a whole: a child context, and in it one for each attempt (`attempt-1`,
    /// ...) with durable waits (`{name}-backoff-1`, ...) in between.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let receipt: String = ctx
    ///     .with_retry(|attempt| async move {
    ///         let quote: u32 = attempt.step(|_| async { Ok(1299) }).name("quote").await?;
    ///         Ok(attempt.invoke("charge", quote).await?)
    ///     })
    ///     .name("purchase")
    ///     .retry_strategy_config(durable::RetryStrategyConfig::linear())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`ChildContextError`](crate::ChildContextError), with the failure of the last attempt, when the strategy
    /// stops.
    pub fn with_retry<O, F, Fut>(&self, body: F) -> WithRetryBuilder<O, F, Fut>
    where
        O: 'static,
        F: Fn(DurableContext) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        WithRetryBuilder::new(self.clone(), body)
    }
}

#[cfg(test)]
impl DurableContext {
    /// The root context of no execution: good for whatever is refused before anything begins.
    pub(crate) fn for_tests() -> Self {
        let execution = Execution {
            arn: "arn".into(),
            name: "execution".to_owned(),
            function_name: "function".to_owned(),
            function_version: "1".to_owned(),
        };
        Self { operation: 0, execution: Arc::new(execution) }
    }
}
