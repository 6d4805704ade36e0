//! Callbacks: something outside completes them.

use super::step::StepBuilder;
use crate::context::{DurableContext, StepContext};
use crate::error::{CallbackErrorKind, OperationError, OperationErrorKind, StepError, result_of};
use crate::executor::{self, Operation};
use crate::future::DurableFuture;
use crate::retry::{RetryDecision, RetryStrategy, RetryStrategyConfig, whole_seconds};
use crate::serdes::{self, JsonSerdes, Serdes, SerdesContext};
use crate::wire::{self, Outcome, WireError};
use crate::{BoxError, bindings};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

const SUB_TYPE: &str = "WaitForCallback";

/// The longest timeout the log can hold: a little over three years.
const LONGEST_SECONDS: u32 = 99_999_999;

/// When a callback times out by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Timeouts {
    timeout: Option<Duration>,
    heartbeat: Option<Duration>,
}

impl Timeouts {
    /// In whole seconds, rounded up; 0 is none.
    fn seconds(self) -> Result<[u32; 2], OperationError> {
        let seconds = [self.timeout, self.heartbeat]
            .map(|duration| duration.filter(|duration| !duration.is_zero()).map_or(0, whole_seconds));
        match seconds.iter().any(|seconds| *seconds > LONGEST_SECONDS) {
            true => Err(OperationError::callback(CallbackErrorKind::TimeoutTooLong, None)),
            false => Ok(seconds),
        }
    }
}

fn begin_callback(context: &DurableContext, name: Option<String>, [timeout, heartbeat]: [u32; 2]) -> Operation {
    let options = bindings::CallbackOptions { name, timeout_seconds: timeout, heartbeat_seconds: heartbeat };
    Operation::register(bindings::begin_callback(context.operation(), &options), None)
}

/// A callback that was created: its id, to be given away, and its result, to be awaited.
///
/// Dropping it, or the future of its result, stops waiting; the callback itself stays open for whoever has the id.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// let payment = ctx.create_callback::<u64>().name("payment").await?;
/// println!("pay with reference {}", payment.id());
/// let cents = payment.result().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a callback gives up waiting for it"]
#[non_exhaustive]
pub struct Callback<O> {
    id: String,
    result: DurableFuture<O>,
}

impl<O> Callback<O> {
    /// What the outside completes the callback with (`SendDurableExecutionCallbackSuccess`, `-Failure`, `-Heartbeat`).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let signed = ctx.create_callback::<bool>().await?;
    /// let id = signed.id().to_owned();
    /// ctx.step(move |_| async move { Ok(std::fs::write("callback-id", id)?) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same as [`id`](Self::id), under the name that AWS's other SDKs give it.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let callback = ctx.create_callback::<bool>().await?;
    /// assert_eq!(callback.callback_id(), callback.id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn callback_id(&self) -> &str {
        &self.id
    }

    /// What the callback is completed with.
    ///
    /// # Errors
    ///
    /// The future fails with a [`CallbackError`](crate::CallbackError): timed out, no heartbeat, completed with a
    /// failure, or with something that the callback's serdes cannot read.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::OperationErrorKind;
    ///
    /// let review = ctx.create_callback::<String>().name("review").await?;
    /// let verdict = match review.result().await {
    ///     Err(error) if matches!(error.kind(), OperationErrorKind::Callback(_)) => "not reviewed".to_owned(),
    ///     other => other?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    pub fn result(self) -> DurableFuture<O> {
        self.result
    }
}

impl<O> fmt::Debug for Callback<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A callback to be: made by [`DurableContext::create_callback`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::serdes::TextSerdes;
/// use std::time::Duration;
///
/// let comment = ctx
///     .create_callback::<String>()
///     .name("comment")
///     .timeout(Duration::from_secs(7 * 24 * 3_600))
///     .heartbeat(Duration::from_secs(24 * 3_600))
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct CreateCallbackBuilder<O, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
    timeouts: Timeouts,
    serdes: S,
    output: PhantomData<fn() -> O>,
}

impl<O, S> fmt::Debug for CreateCallbackBuilder<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateCallbackBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<O> CreateCallbackBuilder<O> {
    pub(crate) fn new(context: DurableContext) -> Self {
        Self { context, name: None, timeouts: Timeouts::default(), serdes: JsonSerdes, output: PhantomData }
    }
}

impl<O: 'static, S> CreateCallbackBuilder<O, S> {
    /// Names the callback in the history: 1 to 256 printable ASCII characters. Any other name fails the execution, with
    /// type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let signature = ctx.create_callback::<bool>().name("signature").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How long the callback may take, from its creation: rounded up to whole seconds, at most 99,999,999; zero, as
    /// without this: for ever. More is an error of kind [`TimeoutTooLong`](CallbackErrorKind::TimeoutTooLong), and
    /// nothing begins.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// let signature = ctx.create_callback::<bool>().timeout(Duration::from_secs(48 * 3_600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.timeout = Some(timeout);
        self
    }

    /// How long it may be without a heartbeat: rounded up to whole seconds, at most 99,999,999; zero, as without this:
    /// no heartbeat is asked for. More is an error of kind [`TimeoutTooLong`](CallbackErrorKind::TimeoutTooLong), and
    /// nothing begins.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// let transcoded = ctx.create_callback::<String>().heartbeat(Duration::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.timeouts.heartbeat = Some(interval);
        self
    }

    /// Reads what the callback is completed with by `serdes` instead of as JSON. It only reads: what is sent is written
    /// by others. Where it fails, the result does, of kind
    /// [`DeserializationFailed`](CallbackErrorKind::DeserializationFailed).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let code = ctx.create_callback::<String>().serdes(TextSerdes).await?.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S2: Serdes<O>>(self, serdes: S2) -> CreateCallbackBuilder<O, S2> {
        let Self { context, name, timeouts, .. } = self;
        CreateCallbackBuilder { context, name, timeouts, serdes, output: PhantomData }
    }

    /// The callback's creation as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let creation = ctx.create_callback::<u32>().name("votes").future();
    /// let votes = creation.await?.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<Callback<O>>
    where
        S: Serdes<O>,
    {
        DurableFuture::new(async move { self.begin()?.started().await })
    }

    /// Creates the callback now.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let [legal, sales] = ["legal", "sales"].map(|team| ctx.create_callback::<bool>().name(team).spawn());
    /// let (legal, sales) = (legal.await?, sales.await?);
    /// let agreed = legal.result().await? && sales.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<Callback<O>>
    where
        S: Serdes<O>,
    {
        let begun = self.begin();
        DurableFuture::new(async move { begun?.started().await })
    }

    fn begin(self) -> Result<Begun<O, S>, OperationError> {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let seconds = self.timeouts.seconds()?;
        let operation = begin_callback(&self.context, self.name, seconds);
        Ok(Begun { operation, serdes: self.serdes, arn: Arc::clone(self.context.arn()), output: PhantomData })
    }
}

impl<O: 'static, S: Serdes<O>> IntoFuture for CreateCallbackBuilder<O, S> {
    type Output = Result<Callback<O>, OperationError>;
    type IntoFuture = DurableFuture<Callback<O>>;

    fn into_future(self) -> DurableFuture<Callback<O>> {
        self.future()
    }
}

struct Begun<O, S> {
    operation: Operation,
    serdes: S,
    arn: Arc<str>,
    output: PhantomData<fn() -> O>,
}

impl<O: 'static, S: Serdes<O>> Begun<O, S> {
    async fn started(mut self) -> Result<Callback<O>, OperationError> {
        let id = self.operation.started().await;
        Ok(Callback { id, result: DurableFuture::new(self.result()) })
    }

    async fn result(mut self) -> Result<O, OperationError> {
        let outcome = self.operation.outcome().await;
        let kind = OperationErrorKind::callback(&outcome);
        let payload = result_of(outcome, self.operation.id(), kind)?;
        let context = SerdesContext::of(self.operation.id(), &self.arn);
        serdes::read(&self.serdes, payload, context)
            .await
            .map_err(|error| OperationError::callback(CallbackErrorKind::DeserializationFailed, Some(error)))
    }
}

/// A callback to be handed out and awaited: made by [`DurableContext::wait_for_callback`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{RetryStrategyConfig, serdes::TextSerdes};
/// use std::time::Duration;
///
/// let verdict: String = ctx
///     .wait_for_callback(|_step, id| async move { Ok(println!("please review: {id}")) })
///     .name("review")
///     .timeout(Duration::from_secs(7 * 24 * 3_600))
///     .heartbeat(Duration::from_secs(24 * 3_600))
///     .submitter_retry_config(RetryStrategyConfig::critical())
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct WaitForCallbackBuilder<O, F, Fut, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
    timeouts: Timeouts,
    submitter: F,
    strategy: RetryStrategy,
    serdes: S,
    output: PhantomData<fn() -> (O, Fut)>,
}

impl<O, F, Fut, S> fmt::Debug for WaitForCallbackBuilder<O, F, Fut, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitForCallbackBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<O, F, Fut> WaitForCallbackBuilder<O, F, Fut> {
    pub(crate) fn new(context: DurableContext, submitter: F) -> Self {
        Self {
            context,
            name: None,
            timeouts: Timeouts::default(),
            submitter,
            strategy: RetryStrategy::default(),
            serdes: JsonSerdes,
            output: PhantomData,
        }
    }
}

impl<O, F, Fut, S> WaitForCallbackBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(StepContext, String) -> Fut + 'static,
    Fut: Future<Output = Result<(), BoxError>> + 'static,
{
    /// Names the operation in the history: 1 to 256 printable ASCII characters; any other name fails the execution,
    /// with type `WorkflowError`. The callback and the submitter's step in it have no names.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let approval = ctx.wait_for_callback(|_step, id| async move { Ok(println!("approve {id}")) });
    /// let approved: bool = approval.name("approval").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Decides after each failed attempt of the submitter (its error, and its number from 1) whether there is another,
    /// as [`StepBuilder::retry_strategy`] does.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let answer: Option<String> = ctx
    ///     .wait_for_callback(|_step, id| async move { Ok(std::fs::write("callback-id", id)?) })
    ///     .submitter_retry(|_error, _attempt| durable::RetryDecision::Stop)
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn submitter_retry(mut self, strategy: impl Fn(&StepError, u32) -> RetryDecision + 'static) -> Self {
        self.strategy = RetryStrategy::Closure(Box::new(strategy));
        self
    }

    /// Retries the submitter on a schedule; without this, on the [default one](RetryStrategyConfig).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    ///
    /// let approval = ctx.wait_for_callback(|_step, id| async move { Ok(std::fs::write("approve", id)?) });
    /// let approved: bool = approval.submitter_retry_config(RetryStrategyConfig::linear()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn submitter_retry_config(mut self, config: RetryStrategyConfig) -> Self {
        self.strategy = RetryStrategy::Schedule(config);
        self
    }

    /// How long the callback may take, from its creation (the submitter's time included): rounded up to whole seconds,
    /// at most 99,999,999; zero, as without this: for ever. More is an error of kind
    /// [`TimeoutTooLong`](CallbackErrorKind::TimeoutTooLong), and nothing begins.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// let approval = ctx.wait_for_callback(|_step, id| async move { Ok(println!("approve {id}")) });
    /// let approved: bool = approval.timeout(Duration::from_secs(24 * 3_600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.timeout = Some(timeout);
        self
    }

    /// How long it may be without a heartbeat: rounded up to whole seconds, at most 99,999,999; zero, as without this:
    /// no heartbeat is asked for. More is an error of kind [`TimeoutTooLong`](CallbackErrorKind::TimeoutTooLong), and
    /// nothing begins.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// let training = ctx.wait_for_callback(|_step, id| async move { Ok(println!("train, and report to {id}")) });
    /// let accuracy: f64 = training.heartbeat(Duration::from_secs(300)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.timeouts.heartbeat = Some(interval);
        self
    }

    /// Reads what the callback is completed with by `serdes` instead of as JSON. It only reads: the operation's result
    /// is recorded as it was sent. Where it fails, the operation does, of kind
    /// [`DeserializationFailed`](CallbackErrorKind::DeserializationFailed).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let question = ctx.wait_for_callback(|_step, id| async move { Ok(println!("your name? {id}")) });
    /// let name: String = question.serdes(TextSerdes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S2: Serdes<O>>(self, serdes: S2) -> WaitForCallbackBuilder<O, F, Fut, S2> {
        let Self { context, name, timeouts, submitter, strategy, .. } = self;
        WaitForCallbackBuilder { context, name, timeouts, submitter, strategy, serdes, output: PhantomData }
    }

    /// The operation as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let votes = ["ann", "bob"].map(|who| {
    ///     ctx.wait_for_callback::<bool, _, _>(move |_, id| async move { Ok(println!("{who}: {id}")) }).future()
    /// });
    /// let first: bool = ctx.select_ok(votes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        DurableFuture::new(async move {
            let (context, seconds) = self.begin()?;
            self.run(context, seconds).await
        })
    }

    /// Begins the operation now; its submitter runs in the background. Dropping the future gives up waiting.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let approval = ctx.wait_for_callback::<bool, _, _>(|_, id| async move { Ok(println!("approve {id}")) }).spawn();
    /// ctx.step(|_| async { Ok(println!("prepare meanwhile")) }).await?;
    /// let approved = approval.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        match self.begin() {
            Ok((context, seconds)) => DurableFuture::spawned(self.run(context, seconds)),
            Err(error) => DurableFuture::new(std::future::ready(Err(error))),
        }
    }

    fn begin(&self) -> Result<(DurableContext, [u32; 2]), OperationError> {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let seconds = self.timeouts.seconds()?;
        let parent = self.context.operation();
        Ok((self.context.child(bindings::begin_context(parent, self.name.as_deref(), SUB_TYPE)), seconds))
    }

    /// The context ends with the payload that was sent, or with the failure as it was recorded inside it.
    async fn run(self, context: DurableContext, seconds: [u32; 2]) -> Result<O, OperationError>
    where
        S: Serdes<O>,
    {
        let operation = context.operation();
        match self.body(context, seconds).await {
            Ok((payload, value)) => {
                bindings::end_context(operation, Ok(payload.as_deref()));
                Ok(value)
            }
            Err((kind, wire)) => {
                bindings::end_context(operation, Err(&wire.clone().into_error_object()));
                Err(OperationError::from_outcome(kind, wire, "FAILED", bindings::operation_id(operation)))
            }
        }
    }

    async fn body(self, context: DurableContext, seconds: [u32; 2]) -> Result<(Option<String>, O), Failure>
    where
        S: Serdes<O>,
    {
        let mut callback = begin_callback(&context, None, seconds);
        let id = callback.started().await;
        let submitter = self.submitter;
        let step = StepBuilder::new(context.clone(), move |step| submitter(step, id)).strategy(self.strategy);
        if let Err(error) = step.await {
            return Err((OperationErrorKind::submitter, WireError::of(&error, wire::CHILD_ERROR)));
        }
        let outcome = callback.outcome().await;
        let kind = OperationErrorKind::callback(&outcome);
        let payload = match outcome {
            Outcome::Succeeded(payload) => payload,
            Outcome::Failed(wire) | Outcome::TimedOut(wire) | Outcome::Stopped(wire) => {
                return Err((kind, wire));
            }
        };
        match serdes::read(&self.serdes, payload.clone(), SerdesContext::of(callback.id(), context.arn())).await {
            Ok(value) => Ok((payload, value)),
            Err(error) => {
                let wire = WireError::of(&*error, wire::DESERIALIZATION_ERROR);
                Err((OperationErrorKind::unreadable_callback, wire))
            }
        }
    }
}

type Failure = (fn(WireError) -> OperationErrorKind, WireError);

impl<O, F, Fut, S> IntoFuture for WaitForCallbackBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(StepContext, String) -> Fut + 'static,
    Fut: Future<Output = Result<(), BoxError>> + 'static,
    S: Serdes<O>,
{
    type Output = Result<O, OperationError>;
    type IntoFuture = DurableFuture<O>;

    fn into_future(self) -> DurableFuture<O> {
        self.future()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;

    #[test]
    fn timeouts_are_whole_seconds_and_zero_is_none() {
        let seconds = |timeout, heartbeat| Timeouts { timeout, heartbeat }.seconds().ok();
        let ms = |milliseconds| Some(Duration::from_millis(milliseconds));
        assert_eq!(seconds(None, None), Some([0, 0]));
        assert_eq!(seconds(ms(0), ms(1)), Some([0, 1]));
        assert_eq!(seconds(ms(1001), ms(3000)), Some([2, 3]));
        assert_eq!(seconds(ms(99_999_999_000), None), Some([99_999_999, 0]));
    }

    #[test]
    fn a_timeout_out_of_range_is_an_error_and_nothing_begins() {
        fn refused<O>(result: Result<O, OperationError>) {
            let Err(error) = result else { panic!("accepted") };
            let OperationErrorKind::Callback(callback) = error.kind() else { panic!("not of a callback: {error:?}") };
            assert_eq!(*callback.kind(), CallbackErrorKind::TimeoutTooLong);
            assert_eq!(error.operation_id(), None);
        }
        let context = DurableContext::for_tests();
        let too_long = Duration::from_millis(99_999_999_001);
        let created = || context.create_callback::<String>();
        refused(block_on(created().timeout(too_long).future()));
        refused(block_on(created().heartbeat(Duration::MAX).spawn()));
        let awaited = || context.wait_for_callback::<String, _, _>(|_, _| std::future::ready(Ok(())));
        refused(block_on(awaited().heartbeat(too_long).future()));
        refused(block_on(awaited().timeout(Duration::MAX).spawn()));
    }
}
