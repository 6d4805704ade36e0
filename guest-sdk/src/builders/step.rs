//! A step.

use super::body::Embodied;
use crate::context::{DurableContext, StepContext};
use crate::error::{OperationError, OperationErrorKind, StepError, StepErrorKind, result_of};
use crate::executor;
use crate::future::DurableFuture;
use crate::retry::{RetryDecision, RetryStrategy, RetryStrategyConfig};
use crate::seal::{Run, StepEnd};
use crate::serdes::{self, JsonSerdes, Serdes, SerdesContext};
use crate::wire::{self, ReplayedFailure, WireError};
use crate::{BoxError, StepSemantics, bindings};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;

/// A step to be: made by [`DurableContext::step`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{RetryStrategyConfig, StepSemantics, serdes::TextSerdes};
///
/// let receipt: String = ctx
///     .step(|step| async move { Ok(format!("charged with key {}", step.idempotency_key())) })
///     .name("charge")
///     .semantics(StepSemantics::AtMostOncePerRetry)
///     .retry_strategy_config(RetryStrategyConfig::transient())
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct StepBuilder<O, F, Fut, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
    semantics: StepSemantics,
    environment: Environment<F, S>,
    output: PhantomData<fn() -> (O, Fut)>,
}

/// Everything that the step's scope needs.
struct Environment<F, S> {
    body: F,
    strategy: RetryStrategy,
    serdes: S,
    arn: Arc<str>,
}

impl<O, F, Fut, S> fmt::Debug for StepBuilder<O, F, Fut, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<O, F, Fut> StepBuilder<O, F, Fut> {
    pub(crate) fn new(context: DurableContext, body: F) -> Self {
        let environment = Environment {
            body,
            strategy: RetryStrategy::default(),
            serdes: JsonSerdes,
            arn: Arc::clone(context.arn()),
        };
        Self { context, name: None, semantics: StepSemantics::default(), environment, output: PhantomData }
    }
}

impl<O, F, Fut, S> StepBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(StepContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
{
    /// Names the step in the history: 1 to 256 printable ASCII characters. Any other name fails the execution, with
    /// type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.step(|_| async { Ok(()) }).name("send-invoice").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Decides after each failed attempt (its error, and its number from 1) whether there is another. The last call of
    /// this and [`retry_strategy_config`](Self::retry_strategy_config) counts.
    ///
    /// Asked inside the step: like the body, it may use real time and randomness, and what it changes is forgotten.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryDecision;
    /// use std::time::Duration;
    ///
    /// ctx.step(|_| async { Ok(std::fs::read_to_string("order")?) })
    ///     .retry_strategy(|_error, attempt| match attempt {
    ///         1..=4 => RetryDecision::Retry { delay: Duration::from_secs(10 * u64::from(attempt)) },
    ///         _ => RetryDecision::Stop,
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_strategy(self, strategy: impl Fn(&StepError, u32) -> RetryDecision + 'static) -> Self {
        self.strategy(RetryStrategy::Closure(Box::new(strategy)))
    }

    pub(crate) fn strategy(mut self, strategy: RetryStrategy) -> Self {
        self.environment.strategy = strategy;
        self
    }

    /// Retries on a schedule. Without this or [`retry_strategy`](Self::retry_strategy), on the
    /// [default one](RetryStrategyConfig).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    ///
    /// let quote = ctx.step(|_| async { Ok(1299) });
    /// let cents: u32 = quote.retry_strategy_config(RetryStrategyConfig::linear()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_strategy_config(self, config: RetryStrategyConfig) -> Self {
        self.strategy(RetryStrategy::Schedule(config))
    }

    /// Serializes the result with `serdes` instead of as JSON. Where it fails, the step does, of kind
    /// [`SerializationFailed`](StepErrorKind::SerializationFailed).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let page: String = ctx.step(|_| async { Ok(std::fs::read_to_string("page.html")?) }).serdes(TextSerdes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S2: Serdes<O>>(self, serdes: S2) -> StepBuilder<O, F, Fut, S2> {
        let Environment { body, strategy, arn, .. } = self.environment;
        StepBuilder {
            context: self.context,
            name: self.name,
            semantics: self.semantics,
            environment: Environment { body, strategy, serdes, arn },
            output: PhantomData,
        }
    }

    /// What happens to an attempt whose process died; by default, its body
    /// [runs again](StepSemantics::AtLeastOncePerRetry).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::{RetryStrategyConfig, StepSemantics};
    ///
    /// // At most once in all.
    /// ctx.step(|_| async { Ok(println!("ring the bell")) })
    ///     .semantics(StepSemantics::AtMostOncePerRetry)
    ///     .retry_strategy_config(RetryStrategyConfig::none())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn semantics(mut self, semantics: StepSemantics) -> Self {
        self.semantics = semantics;
        self
    }

    /// The step as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let [a, b] = [1, 2].map(|n| ctx.step(move |_| async move { Ok(n * 10) }).future());
    /// let total: i32 = a.await? + b.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        DurableFuture::new(async move { self.begin().finish().await })
    }

    /// Begins the step now. Its body runs when the workflow next has nothing else to do. Dropping the future cancels
    /// the step.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let audit = ctx.step(|_| async { Ok(println!("order accepted")) }).spawn();
    /// ctx.step(|_| async { Ok(println!("charge")) }).await?;
    /// audit.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        let begun = self.begin();
        DurableFuture::new(begun.finish())
    }

    fn begin(self) -> Begun<O, F, Fut, S>
    where
        S: Serdes<O>,
    {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let options = bindings::StepOptions { name: self.name, semantics: self.semantics.into() };
        let id = bindings::begin_step(self.context.operation(), &options);
        let begun = Embodied::register(id, self.environment, run::<O, F, Fut, S>);
        Begun { begun, output: PhantomData }
    }
}

impl<O, F, Fut, S> IntoFuture for StepBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(StepContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
    S: Serdes<O>,
{
    type Output = Result<O, OperationError>;
    type IntoFuture = DurableFuture<O>;

    fn into_future(self) -> DurableFuture<O> {
        self.future()
    }
}

/// A step that began.
struct Begun<O, F, Fut, S> {
    begun: Embodied<Environment<F, S>>,
    output: PhantomData<fn() -> (O, Fut)>,
}

impl<O, F, Fut, S: Serdes<O>> Begun<O, F, Fut, S> {
    async fn finish(self) -> Result<O, OperationError> {
        let id = self.begun.id();
        // What the body captured is dropped here.
        let (outcome, Environment { serdes, arn, .. }) = self.begun.outcome().await;
        let payload = result_of(outcome, id, OperationErrorKind::step)?;
        serdes::read(&serdes, payload, SerdesContext::of(id, &arn)).await.map_err(|error| {
            let error = StepError::new(StepErrorKind::SerializationFailed, Some(error));
            OperationError::from_kind(OperationErrorKind::Step(error))
        })
    }
}

/// The step's scope, type-erased: body, serialization, retry strategy.
///
/// # Safety
///
/// `environment` is the live `Environment<F, S>` of this step; whatever is moved out of it is put back by the host's
/// roll-back.
unsafe fn run<O, F, Fut, S>(environment: *mut u8, run: Run) -> StepEnd
where
    F: FnOnce(StepContext) -> Fut,
    Fut: Future<Output = Result<O, BoxError>>,
    S: Serdes<O>,
{
    let environment = environment.cast::<Environment<F, S>>();
    // SAFETY: shared borrows of fields that are not moved out below.
    let (strategy, serdes, arn) = unsafe { (&(*environment).strategy, &(*environment).serdes, &(*environment).arn) };
    if run.interrupted {
        return after_interruption(strategy, run.attempt);
    }
    // SAFETY: the environment is not dropped or read again before the roll-back.
    let body = unsafe { std::ptr::read(&raw const (*environment).body) };
    match executor::block_on(body(StepContext::new(run.operation, run.attempt))) {
        Ok(value) => match executor::block_on(serdes.serialize(value, SerdesContext::of(run.operation, arn))) {
            Ok(payload) => StepEnd::Succeed(payload),
            Err(error) => StepEnd::Fail(WireError::of(&*error, wire::SERIALIZATION_ERROR)),
        },
        Err(error) => after_failure(strategy, run.attempt, error),
    }
}

fn after_failure(strategy: &RetryStrategy, attempt: u32, error: BoxError) -> StepEnd {
    let wire = WireError::of(&*error, wire::UNNAMED_ERROR);
    decide(strategy, attempt, &StepError::new(StepErrorKind::ExecutionFailed, Some(error)), wire)
}

fn after_interruption(strategy: &RetryStrategy, attempt: u32) -> StepEnd {
    let wire = WireError::interrupted(attempt);
    let error = StepError::new(StepErrorKind::Interrupted, Some(ReplayedFailure::new(wire.clone()).into()));
    decide(strategy, attempt, &error, wire)
}

fn decide(strategy: &RetryStrategy, attempt: u32, error: &StepError, wire: WireError) -> StepEnd {
    match strategy.decide(error, attempt) {
        Some(delay_seconds) => StepEnd::Retry { delay_seconds, error: wire },
        None => StepEnd::Fail(wire),
    }
}

impl From<StepSemantics> for bindings::StepSemantics {
    fn from(semantics: StepSemantics) -> Self {
        match semantics {
            StepSemantics::AtLeastOncePerRetry => Self::AtLeastOncePerRetry,
            StepSemantics::AtMostOncePerRetry => Self::AtMostOncePerRetry,
        }
    }
}
