//! An HTTP request.

use crate::StepSemantics;
use crate::bindings;
use crate::context::DurableContext;
use crate::error::{OperationError, OperationErrorKind, result_of};
use crate::executor::{self, Operation};
use crate::future::DurableFuture;
use crate::http::{Request, Response};
use crate::retry::RetryStrategyConfig;
use std::future::IntoFuture;
use std::time::Duration;

/// Redirects that are followed unless the workflow says otherwise.
const REDIRECTS: u32 = 10;

/// A durable HTTP request to be: made by [`DurableContext::fetch`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{RetryStrategyConfig, StepSemantics, http::Request};
/// use std::time::Duration;
///
/// let answer = ctx
///     .fetch(Request::post("https://api.example.com/reports"))
///     .name("report")
///     .semantics(StepSemantics::AtLeastOncePerRetry)
///     .timeout(Duration::from_secs(300))
///     .redirects(0)
///     .retry_strategy_config(RetryStrategyConfig::transient())
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct FetchBuilder {
    context: DurableContext,
    request: Request,
    name: Option<String>,
    semantics: Option<StepSemantics>,
    timeout: Option<Duration>,
    redirects: u32,
    retry: Option<RetryStrategyConfig>,
}

impl FetchBuilder {
    pub(crate) fn new(context: DurableContext, request: Request) -> Self {
        Self { context, request, name: None, semantics: None, timeout: None, redirects: REDIRECTS, retry: None }
    }

    /// Names the request in the history: 1 to 256 printable ASCII characters; any other name fails the execution, with
    /// type `WorkflowError`. Without a name: method, host and path.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.fetch("https://api.example.com/rates").name("exchange rates").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What happens to an attempt whose process died. By default a request is sent at least once if its method says
    /// that this is safe or it has an [idempotency key](Request::idempotency_key), and at most once (per retry) if not.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::{StepSemantics, http::Request};
    ///
    /// // A POST that is only a question.
    /// let search = Request::post("https://api.example.com/search").body("pencils");
    /// ctx.fetch(search).semantics(StepSemantics::AtLeastOncePerRetry).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn semantics(mut self, semantics: StepSemantics) -> Self {
        self.semantics = Some(semantics);
        self
    }

    /// How long one attempt may take, from its start to the last byte of the answer: 1 ms to 15 minutes, by default a
    /// minute. Cut to whole milliseconds, at least 1; more than 15 minutes fails the execution, with type
    /// `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// ctx.fetch("https://api.example.com/slow-report").timeout(Duration::from_secs(600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many redirects are followed, each checked like a request of its own: 0 to 20, by default 10; more fail the
    /// execution, with type `WorkflowError`. With 0 a redirect is the answer.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let answer = ctx.fetch("https://sho.rt/x").redirects(0).await?;
    /// println!("leads to {:?}", answer.header("location"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn redirects(mut self, redirects: u32) -> Self {
        self.redirects = redirects;
        self
    }

    /// Retries on a schedule when there is no answer, and when the answer is 408, 429, 500, 502, 503 or 504; a
    /// `retry-after` in it is honoured. When the schedule ends, such an answer is the result.
    ///
    /// Without this: on the [default one](RetryStrategyConfig) what may be sent more than once, anything else never.
    ///
    /// Of the configuration, a filter of errors and an increment are not used.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    ///
    /// let status = ctx.fetch("https://api.example.com/jobs/7");
    /// status.retry_strategy_config(RetryStrategyConfig::critical()).await?.error_for_status()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_strategy_config(mut self, config: RetryStrategyConfig) -> Self {
        self.retry = Some(config);
        self
    }

    /// The request as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let first = ctx.fetch("https://a.example.com").future();
    /// let second = ctx.fetch("https://b.example.com").future();
    /// let (first, second) = (first.await?, second.await?); // one after the other
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<Response> {
        DurableFuture::new(async move { finish(self.begin()).await })
    }

    /// Begins the request now. Dropping the future aborts it; what the server did of it is not known then.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let answers = ["eu", "us"].map(|region| ctx.fetch(format!("https://{region}.example.com/stock")).spawn());
    /// for answer in answers {
    ///     println!("{}", answer.await?.text()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<Response> {
        let begun = self.begin();
        DurableFuture::new(finish(begun))
    }

    fn begin(self) -> Operation {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let again = match self.semantics {
            Some(semantics) => semantics == StepSemantics::AtLeastOncePerRetry,
            None => self.request.is_idempotent(),
        };
        let retry = self.retry.or_else(|| again.then(RetryStrategyConfig::default));
        let options = bindings::FetchOptions {
            name: self.name,
            semantics: self.semantics.map(Into::into),
            timeout_milliseconds: self
                .timeout
                .map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1)),
            redirects: self.redirects,
            retry: retry.map(|retry| retry.schedule()),
        };
        let id = bindings::begin_fetch(self.context.operation(), &self.request.into(), &options);
        Operation::register(id, None)
    }
}

async fn finish(mut operation: Operation) -> Result<Response, OperationError> {
    let outcome = operation.outcome().await;
    result_of(outcome, operation.id(), OperationErrorKind::fetch)?;
    Ok(bindings::response(operation.id()).into())
}

impl IntoFuture for FetchBuilder {
    type Output = Result<Response, OperationError>;
    type IntoFuture = DurableFuture<Response>;

    fn into_future(self) -> DurableFuture<Response> {
        self.future()
    }
}
