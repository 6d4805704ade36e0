//! A block of operations that is retried as a whole.

use crate::BoxError;
use crate::builders::ChildBuilder;
use crate::context::DurableContext;
use crate::error::{OperationError, StepError, StepErrorKind};
use crate::future::DurableFuture;
use crate::retry::{RetryDecision, RetryStrategy, RetryStrategyConfig};
use crate::serdes::{JsonSerdes, Serdes};
use crate::wire::{self, ReplayedFailure, WireError};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What the log holds of a name.
const NAME_CHARACTERS: usize = 256;

/// A retried block to be: made by [`DurableContext::with_retry`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{RetryStrategyConfig, serdes::TextSerdes};
///
/// let ticket: String = ctx
///     .with_retry(|ctx| async move { Ok(ctx.step(|_| async { Ok("t-17".to_owned()) }).name("reserve").await?) })
///     .name("booking")
///     .retry_strategy_config(RetryStrategyConfig::linear())
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct WithRetryBuilder<O, F, Fut, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
    strategy: RetryStrategy,
    serdes: S,
    body: F,
    output: PhantomData<fn() -> (O, Fut)>,
}

impl<O, F, Fut, S> fmt::Debug for WithRetryBuilder<O, F, Fut, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithRetryBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<O, F, Fut> WithRetryBuilder<O, F, Fut> {
    pub(crate) fn new(context: DurableContext, body: F) -> Self {
        let strategy = RetryStrategy::default();
        Self { context, name: None, strategy, serdes: JsonSerdes, body, output: PhantomData }
    }
}

type Attempts<O> = Pin<Box<dyn Future<Output = Result<O, BoxError>>>>;

impl<O, F, Fut, S> WithRetryBuilder<O, F, Fut, S>
where
    O: 'static,
    F: Fn(DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
{
    /// Names the block in the history: 1 to 256 printable ASCII characters; any other name fails the execution, with
    /// type `WorkflowError`. The waits between its attempts are named after it.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let block = ctx.with_retry(|ctx| async move { Ok(ctx.invoke::<u32, _>("quote", 7).await?) });
    /// let cents = block.name("quote").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Decides after each failed attempt (its error, and its number from 1) whether there is another.
    ///
    /// Unlike a step's, it is workflow code, and asked again on every replay: about the recorded error (a
    /// [`ReplayedFailure`]), with the execution's own time and randomness.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryDecision;
    /// use std::time::Duration;
    ///
    /// ctx.with_retry(|ctx| async move { Ok(ctx.invoke::<u32, _>("quote", 7).await?) })
    ///     .retry_strategy(|_error, attempt| match attempt {
    ///         1 | 2 => RetryDecision::Retry { delay: Duration::from_secs(3_600) },
    ///         _ => RetryDecision::Stop,
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_strategy(mut self, strategy: impl Fn(&StepError, u32) -> RetryDecision + 'static) -> Self {
        self.strategy = RetryStrategy::Closure(Box::new(strategy));
        self
    }

    /// Retries on a schedule; without this, on the [default one](RetryStrategyConfig).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    /// use std::time::Duration;
    ///
    /// let block = ctx.with_retry(|ctx| async move { Ok(ctx.invoke::<u32, _>("quote", 7).await?) });
    /// block.retry_strategy_config(RetryStrategyConfig::fixed(Duration::from_secs(600))).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_strategy_config(mut self, config: RetryStrategyConfig) -> Self {
        self.strategy = RetryStrategy::Schedule(config);
        self
    }

    /// Serializes the result, that of each attempt and that of the block, with `serdes` instead of as JSON.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let block = ctx.with_retry(|ctx| async move { Ok(ctx.step(|_| async { Ok("done".to_owned()) }).await?) });
    /// let text: String = block.serdes(TextSerdes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S2: Serdes<O>>(self, serdes: S2) -> WithRetryBuilder<O, F, Fut, S2> {
        let Self { context, name, strategy, body, .. } = self;
        WithRetryBuilder { context, name, strategy, serdes, body, output: PhantomData }
    }

    /// The block as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let carriers = ["post", "courier"].map(|carrier| {
    ///     ctx.with_retry(move |ctx| async move { Ok(ctx.invoke::<u32, _>(carrier, 7).await?) }).name(carrier).future()
    /// });
    /// let prices = ctx.try_join_all(carriers).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        self.block().future()
    }

    /// Begins the block now and runs it in the background. Dropping the future drops it.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let invoice = ctx.with_retry(|ctx| async move { Ok(ctx.invoke::<String, _>("invoice", 42).await?) }).spawn();
    /// ctx.step(|_| async { Ok(println!("pack")) }).await?;
    /// let number = invoice.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        self.block().spawn()
    }

    fn block(self) -> ChildBuilder<O, impl FnOnce(DurableContext) -> Attempts<O> + 'static, Attempts<O>, Arc<S>>
    where
        S: Serdes<O>,
    {
        let Self { context, name, strategy, serdes, body, .. } = self;
        let serdes = Arc::new(serdes);
        let (block_serdes, block_name) = (Arc::clone(&serdes), name.clone());
        let attempts = move |block: DurableContext| -> Attempts<O> {
            Box::pin(async move { attempts(&block, name.as_deref(), &strategy, &serdes, body).await })
        };
        let block = context.run_in_child_context(attempts).serdes(block_serdes);
        match block_name {
            Some(name) => block.name(name),
            None => block,
        }
    }
}

impl<O, F, Fut, S> IntoFuture for WithRetryBuilder<O, F, Fut, S>
where
    O: 'static,
    F: Fn(DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
    S: Serdes<O>,
{
    type Output = Result<O, OperationError>;
    type IntoFuture = DurableFuture<O>;

    fn into_future(self) -> DurableFuture<O> {
        self.future()
    }
}

/// Each attempt is a context of its own, so that nothing recorded in one is taken for the next.
async fn attempts<O, F, Fut, S>(
    block: &DurableContext,
    name: Option<&str>,
    strategy: &RetryStrategy,
    serdes: &Arc<S>,
    body: F,
) -> Result<O, BoxError>
where
    O: 'static,
    F: Fn(DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
    S: Serdes<O>,
{
    let body = Arc::new(body);
    let mut attempt = 1_u32;
    loop {
        let body = Arc::clone(&body);
        let result = block
            .run_in_child_context(move |context| body(context))
            .name(format!("attempt-{attempt}"))
            .serdes(Arc::clone(serdes))
            .await;
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(seconds) = strategy.decide(&failed_attempt(&error), attempt) else { return Err(error.into()) };
        block.wait(Duration::from_secs(seconds.into())).name(backoff_name(name, attempt)).await?;
        attempt = attempt.saturating_add(1);
    }
}

/// What the strategy is asked about: the recorded failure of the attempt.
fn failed_attempt(error: &OperationError) -> StepError {
    let wire = error.wire().cloned().unwrap_or_else(|| WireError::of(error, wire::CHILD_ERROR));
    StepError::new(StepErrorKind::ExecutionFailed, Some(ReplayedFailure::new(wire).into()))
}

/// A long name is cut, so that what is derived from it is one as well.
fn backoff_name(name: Option<&str>, attempt: u32) -> String {
    let Some(name) = name else { return format!("backoff-{attempt}") };
    let suffix = format!("-backoff-{attempt}");
    name.chars().take(NAME_CHARACTERS - suffix.len()).chain(suffix.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperationErrorKind;
    use std::error::Error as _;

    #[test]
    fn waits_are_named_after_the_block() {
        assert_eq!(backoff_name(Some("charge"), 2), "charge-backoff-2");
        assert_eq!(backoff_name(None, 1), "backoff-1");
        let long = backoff_name(Some(&"x".repeat(256)), u32::MAX);
        assert_eq!(long.len(), 256);
        assert!(long.ends_with("x-backoff-4294967295"), "{long}");
    }

    #[test]
    fn a_strategy_is_asked_about_the_recorded_failure() {
        let wire = WireError::new(Some("CardDeclined"), Some("no funds"));
        let attempt =
            OperationError::from_outcome(OperationErrorKind::child, wire.clone(), "FAILED", "op-1".to_owned());
        let error = failed_attempt(&attempt);
        let recorded = error.source().and_then(|source| source.downcast_ref::<ReplayedFailure>());
        assert_eq!(recorded.map(ReplayedFailure::wire), Some(&wire));

        let only = RetryStrategyConfig::builder().retryable_error_types(["CardDeclined"]).build();
        assert!(RetryStrategy::Schedule(only).decide(&error, 1).is_some());
        let other = RetryStrategyConfig::builder().retryable_error_types(["Throttled"]).build();
        assert_eq!(RetryStrategy::Schedule(other).decide(&error, 1), None);
    }
}
