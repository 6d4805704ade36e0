//! A polled condition.

pub use super::wait_strategy::{WaitDecision, WaitStrategy, WaitStrategyBuilder};

use super::body::Embodied;
use crate::context::{DurableContext, StepContext};
use crate::error::{MaxChecksExceeded, OperationError, OperationErrorKind, result_of};
use crate::executor;
use crate::future::DurableFuture;
use crate::retry::{delay_seconds, random_fraction};
use crate::seal::{Run, StepEnd};
use crate::serdes::{self, JsonSerdes, Serdes, SerdesContext};
use crate::wire::{self, WireError};
use crate::{BoxError, bindings};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::sync::Arc;

/// A condition to be polled: made by [`DurableContext::wait_for_condition`].
///
/// Without a strategy there is one check, and the state it returns is the result.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::builders::WaitStrategy;
/// use everstep_sdk::serdes::TextSerdes;
///
/// let strategy = WaitStrategy::builder(|state: &String| state == "done").max_attempts(20).build();
/// let state = ctx
///     .wait_for_condition(|_step, _last| async { Ok(std::fs::read_to_string("state")?) }, String::new())
///     .name("job-is-done")
///     .wait_strategy(strategy)
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct WaitForConditionBuilder<T, F, Fut, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
    environment: Environment<T, F, S>,
    future: PhantomData<fn() -> Fut>,
}

/// Everything that a check's scope needs.
struct Environment<T, F, S> {
    check: F,
    initial_state: T,
    strategy: Option<Box<Strategy<T>>>,
    serdes: S,
    arn: Arc<str>,
}

type Strategy<T> = dyn Fn(T, u32) -> WaitDecision;

impl<T, F, Fut, S> fmt::Debug for WaitForConditionBuilder<T, F, Fut, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitForConditionBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T, F, Fut> WaitForConditionBuilder<T, F, Fut> {
    pub(crate) fn new(context: DurableContext, check: F, initial_state: T) -> Self {
        let arn = Arc::clone(context.arn());
        let environment = Environment { check, initial_state, strategy: None, serdes: JsonSerdes, arn };
        Self { context, name: None, environment, future: PhantomData }
    }
}

impl<T, F, Fut, S> WaitForConditionBuilder<T, F, Fut, S>
where
    T: 'static,
    F: FnOnce(StepContext, T) -> Fut + 'static,
    Fut: Future<Output = Result<T, BoxError>> + 'static,
{
    /// Names the operation in the history: 1 to 256 printable ASCII characters. Any other name fails the execution,
    /// with type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.wait_for_condition(|_, _| async { Ok(std::fs::exists("ready")?) }, false).name("file is there").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Decides by a predicate, a number of checks and a schedule. The last call of this and
    /// [`wait_strategy_fn`](Self::wait_strategy_fn) counts.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::builders::WaitStrategy;
    ///
    /// ctx.wait_for_condition(|_, _| async { Ok(std::fs::exists("ready")?) }, false)
    ///     .wait_strategy(WaitStrategy::builder(|ready: &bool| *ready).build())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_strategy(self, strategy: WaitStrategy<T>) -> Self {
        self.wait_strategy_fn(move |state, attempt| strategy.decide(&state, attempt, random_fraction))
    }

    /// Decides after each check (the state it returned, and its number from 1) whether there is another. It should give
    /// up some time: nothing else does.
    ///
    /// Asked inside the check's scope: like the check, it may use real time and randomness, and what it changes is
    /// forgotten.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// use durable::builders::WaitDecision;
    /// # use std::time::Duration;
    /// # async fn example(ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// ctx.wait_for_condition(|_step, _ready| async { Ok(std::fs::exists("ready")?) }, false)
    ///     .wait_strategy_fn(|ready, checks| match ready {
    ///         true => WaitDecision::complete(),
    ///         false if checks >= 100 => WaitDecision::exhausted("nobody wrote the file"),
    ///         false => WaitDecision::continue_with(Duration::from_secs(30)),
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_strategy_fn(mut self, strategy: impl Fn(T, u32) -> WaitDecision + 'static) -> Self {
        self.environment.strategy = Some(Box::new(strategy));
        self
    }

    /// Serializes the states with `serdes` instead of as JSON. Where it fails, the operation does, of kind
    /// [`SerializationFailed`](crate::WaitForConditionErrorKind::SerializationFailed).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let read = ctx.wait_for_condition(|_, _| async { Ok(std::fs::read_to_string("state")?) }, String::new());
    /// let state = read.serdes(TextSerdes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S2: Serdes<T>>(self, serdes: S2) -> WaitForConditionBuilder<T, F, Fut, S2> {
        let Environment { check, initial_state, strategy, arn, .. } = self.environment;
        WaitForConditionBuilder {
            context: self.context,
            name: self.name,
            environment: Environment { check, initial_state, strategy, serdes, arn },
            future: PhantomData,
        }
    }

    /// The operation as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let files = ["a", "b"].map(|file| {
    ///     ctx.wait_for_condition(move |_, _| async move { Ok(std::fs::exists(file)?) }, false).name(file).future()
    /// });
    /// ctx.try_join_all(files).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<T>
    where
        S: Serdes<T>,
    {
        DurableFuture::new(async move { finish(self.begin()).await })
    }

    /// Begins the operation now. Its first check runs when the workflow next has nothing else to do. Dropping the
    /// future cancels it.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let ready = ctx.wait_for_condition(|_, _| async { Ok(std::fs::exists("ready")?) }, false).spawn();
    /// ctx.step(|_| async { Ok(println!("start the job")) }).await?;
    /// ready.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<T>
    where
        S: Serdes<T>,
    {
        DurableFuture::new(finish(self.begin()))
    }

    fn begin(self) -> Embodied<Environment<T, F, S>>
    where
        S: Serdes<T>,
    {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let id = bindings::begin_condition(self.context.operation(), self.name.as_deref());
        Embodied::register(id, self.environment, run::<T, F, Fut, S>)
    }
}

impl<T, F, Fut, S> IntoFuture for WaitForConditionBuilder<T, F, Fut, S>
where
    T: 'static,
    F: FnOnce(StepContext, T) -> Fut + 'static,
    Fut: Future<Output = Result<T, BoxError>> + 'static,
    S: Serdes<T>,
{
    type Output = Result<T, OperationError>;
    type IntoFuture = DurableFuture<T>;

    fn into_future(self) -> DurableFuture<T> {
        self.future()
    }
}

async fn finish<T, F, S: Serdes<T>>(begun: Embodied<Environment<T, F, S>>) -> Result<T, OperationError> {
    let id = begun.id();
    // What the check captured is dropped here.
    let (outcome, Environment { serdes, arn, .. }) = begun.outcome().await;
    let payload = result_of(outcome, id, OperationErrorKind::condition)?;
    serdes::read(&serdes, payload, SerdesContext::of(id, &arn))
        .await
        .map_err(|error| OperationError::from_kind(OperationErrorKind::unreadable_state(error)))
}

/// A check's scope, type-erased.
///
/// # Safety
///
/// `environment` is the live `Environment<T, F, S>` of this operation; whatever is moved out of it is put back by the
/// host's roll-back.
unsafe fn run<T, F, Fut, S>(environment: *mut u8, run: Run) -> StepEnd
where
    F: FnOnce(StepContext, T) -> Fut,
    Fut: Future<Output = Result<T, BoxError>>,
    S: Serdes<T>,
{
    // A check whose process died runs again; this one trapped, and might do so for ever.
    if run.interrupted {
        return StepEnd::Fail(WireError::interrupted(run.attempt));
    }
    let environment = environment.cast::<Environment<T, F, S>>();
    // SAFETY: shared borrows of fields that are not moved out below.
    let (strategy, serdes, arn) = unsafe { (&(*environment).strategy, &(*environment).serdes, &(*environment).arn) };
    let context = SerdesContext::of(run.operation, arn);
    let state = match run.state {
        Some(state) => match executor::block_on(serdes.deserialize(state, context.clone())) {
            Ok(state) => state,
            Err(error) => return StepEnd::Fail(WireError::of(&*error, wire::SERIALIZATION_ERROR)),
        },
        // SAFETY: the environment is not dropped or read again before the roll-back.
        None => unsafe { std::ptr::read(&raw const (*environment).initial_state) },
    };
    // SAFETY: likewise.
    let check = unsafe { std::ptr::read(&raw const (*environment).check) };
    match executor::block_on(check(StepContext::new(run.operation, run.attempt), state)) {
        Ok(state) => after_check(state, run.attempt, strategy.as_deref(), serdes, &context),
        Err(error) => StepEnd::Fail(WireError::of(&*error, wire::CONDITION_ERROR)),
    }
}

/// The strategy sees the state as the next check would: through its recorded form.
fn after_check<T, S: Serdes<T>>(
    state: T,
    attempt: u32,
    strategy: Option<&Strategy<T>>,
    serdes: &S,
    context: &SerdesContext,
) -> StepEnd {
    let round_trip = executor::block_on(async {
        let text = serdes.serialize(state, context.clone()).await?;
        let state = serdes.deserialize(text.clone(), context.clone()).await?;
        Ok::<_, BoxError>((text, state))
    });
    let (text, state) = match round_trip {
        Ok(pair) => pair,
        Err(error) => return StepEnd::Fail(WireError::of(&*error, wire::SERIALIZATION_ERROR)),
    };
    match strategy.map_or(WaitDecision::Complete, |strategy| strategy(state, attempt)) {
        WaitDecision::Complete => StepEnd::Succeed(text),
        WaitDecision::Continue { delay } => StepEnd::Again { delay_seconds: delay_seconds(delay), state: text },
        WaitDecision::Exhausted { reason } => StepEnd::Fail(MaxChecksExceeded::record(attempt, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serdes::from_fn;
    use std::future::ready;
    use std::mem::ManuallyDrop;
    use std::time::Duration;

    /// Runs one check as the host would, in an environment that is left behind as the roll-back would leave it.
    fn check<T, F, Fut, S>(environment: Environment<T, F, S>, attempt: u32, state: Option<&str>) -> StepEnd
    where
        F: FnOnce(StepContext, T) -> Fut,
        Fut: Future<Output = Result<T, BoxError>>,
        S: Serdes<T>,
    {
        let mut environment = ManuallyDrop::new(environment);
        let state = state.map(str::to_owned);
        let attempt = Run { operation: 1, attempt, interrupted: false, state };
        // SAFETY: the environment is this body's, and is neither dropped nor used afterwards.
        unsafe { run::<T, F, Fut, S>((&raw mut environment).cast(), attempt) }
    }

    fn environment<T, F, S: Serdes<T>>(
        check: F,
        initial_state: T,
        strategy: WaitStrategy<T>,
        serdes: S,
    ) -> Environment<T, F, S>
    where
        T: 'static,
    {
        let strategy: Box<Strategy<T>> = Box::new(move |state, attempt| strategy.decide(&state, attempt, || 0.5));
        Environment { check, initial_state, strategy: Some(strategy), serdes, arn: "arn".into() }
    }

    fn until(target: u32) -> WaitStrategy<u32> {
        let strategy = WaitStrategy::builder(move |state: &u32| *state >= target).max_attempts(3);
        strategy.initial_delay(Duration::from_secs(10)).build()
    }

    fn count(_: StepContext, state: u32) -> impl Future<Output = Result<u32, BoxError>> {
        ready(Ok(state + 1))
    }

    #[test]
    fn each_check_goes_on_from_the_state_that_the_last_one_left() {
        let counting = || environment(count, 4, until(7), JsonSerdes);
        assert_eq!(check(counting(), 1, None), StepEnd::Again { delay_seconds: 5, state: "5".to_owned() });
        assert_eq!(check(counting(), 2, Some("5")), StepEnd::Again { delay_seconds: 8, state: "6".to_owned() });
        assert_eq!(check(counting(), 3, Some("6")), StepEnd::Succeed("7".to_owned()));
        let given_up = MaxChecksExceeded::record(3, "not met after 3 checks (max_attempts = 3)".to_owned());
        assert_eq!(check(counting(), 3, Some("0")), StepEnd::Fail(given_up));
    }

    #[test]
    fn without_a_strategy_there_is_one_check() {
        let once = Environment { strategy: None, ..environment(count, 0, until(7), JsonSerdes) };
        assert_eq!(check(once, 1, None), StepEnd::Succeed("1".to_owned()));
    }

    #[test]
    fn a_custom_serdes_writes_and_reads_the_states() {
        let append = |_: StepContext, state: String| ready(Ok::<_, BoxError>(state + "x"));
        let two = || WaitStrategy::builder(|state: &String| state.len() == 2).build();
        let quoted = || {
            from_fn(
                |state: String| Ok(format!("<{state}>")),
                |text: String| Ok(text.trim_matches(['<', '>']).to_owned()),
            )
        };
        let first = check(environment(append, String::new(), two(), quoted()), 1, None);
        assert!(matches!(&first, StepEnd::Again { state, .. } if state == "<x>"), "{first:?}");
        let second = check(environment(append, String::new(), two(), quoted()), 2, Some("<x>"));
        assert_eq!(second, StepEnd::Succeed("<xx>".to_owned()));
    }

    #[test]
    fn failures_end_the_operation_and_say_what_failed() {
        let kind = |end: StepEnd| match end {
            StepEnd::Fail(wire) => wire.error_type().map(str::to_owned),
            other => panic!("not a failure: {other:?}"),
        };
        let failing = |_: StepContext, _: u32| ready(Err::<u32, BoxError>("no answer".into()));
        assert_eq!(
            kind(check(environment(failing, 0, until(1), JsonSerdes), 1, None)).as_deref(),
            Some("WaitForConditionError")
        );
        let unreadable = check(environment(count, 0, until(1), JsonSerdes), 2, Some("?"));
        assert_eq!(kind(unreadable).as_deref(), Some("SerializationError"));
        let refusing = from_fn(|_: u32| Err("not this".into()), |_: String| Ok(0));
        let unwritable = check(environment(count, 0, until(1), refusing), 1, None);
        assert_eq!(kind(unwritable).as_deref(), Some("SerializationError"));
    }

    #[test]
    fn a_check_that_trapped_fails_without_running_again() {
        let interrupted = Run { operation: 1, attempt: 2, interrupted: true, state: None };
        // SAFETY: an interrupted run does not touch its environment.
        let end = unsafe {
            run::<u32, fn(StepContext, u32) -> std::future::Ready<Result<u32, BoxError>>, _, JsonSerdes>(
                std::ptr::null_mut(),
                interrupted,
            )
        };
        assert_eq!(end, StepEnd::Fail(WireError::interrupted(2)));
    }
}
