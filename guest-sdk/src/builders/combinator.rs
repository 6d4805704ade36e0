//! `try_join_all`, `join_all`, `select_ok` and `race` as operations: batches of futures that were made elsewhere.

use super::child::{Child, RUN_IN_CHILD_CONTEXT};
use super::map_parallel::result::ErrorJson;
use super::map_parallel::{CompletionConfig, engine, policy::Progress};
use crate::context::DurableContext;
use crate::error::{CombinatorError, CombinatorErrorKind, JoinFailed, OperationError, OperationErrorKind};
use crate::future::DurableFuture;
use crate::wire::{self, WireError};
use serde::{Serialize, Serializer};
use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

impl DurableContext {
    /// Waits for all of `futures` and gives their results in order; or, at the first failure, that, and drops the
    /// others.
    ///
    /// In the history this is a child context with the results as its result. That is what it is good for: the
    /// ecosystem's `try_join_all` does the same without. Of no futures it gives nothing, successfully.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<Vec<u32>, durable::BoxError> {
    /// let parts = (1..=3).map(|n| ctx.step(move |_| async move { Ok(n) }).future());
    /// Ok(ctx.try_join_all(parts).name("parts").await?)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CombinatorError`]: of kind [`JoinFailed`](CombinatorErrorKind::JoinFailed) with the first failure, or of
    /// kind [`Internal`](CombinatorErrorKind::Internal) if the results have no JSON form.
    pub fn try_join_all<O: Serialize + 'static>(
        &self,
        futures: impl IntoIterator<Item = DurableFuture<O>>,
    ) -> TryJoinAllBuilder<O> {
        CombinatorBuilder::new(self.clone(), futures)
    }

    /// Waits for all of `futures`, and gives for each how it ended, in order.
    ///
    /// Of no futures it gives nothing. In the history: as [`try_join_all`](Self::try_join_all).
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<usize, durable::BoxError> {
    /// let parts = (1..=3).map(|n| ctx.step(move |_| async move { Ok(n) }).future());
    /// let ends = ctx.join_all(parts).await?;
    /// Ok(ends.iter().filter(|end| matches!(end, durable::Settled::Fulfilled(_))).count())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CombinatorError`] of kind [`Internal`](CombinatorErrorKind::Internal), if the results have no JSON form. A
    /// failure of a future is none.
    pub fn join_all<O: Serialize + 'static>(
        &self,
        futures: impl IntoIterator<Item = DurableFuture<O>>,
    ) -> JoinAllBuilder<O> {
        CombinatorBuilder::new(self.clone(), futures)
    }

    /// Waits for the first of `futures` that succeeds, and drops the others.
    ///
    /// In the history: as [`try_join_all`](Self::try_join_all).
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<String, durable::BoxError> {
    /// let mirrors = ["a", "b"].map(|mirror| ctx.step(move |_| async move { Ok(format!("from {mirror}")) }).future());
    /// Ok(ctx.select_ok(mirrors).await?)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CombinatorError`]: of kind [`AllFailed`](CombinatorErrorKind::AllFailed) with every failure if none
    /// succeeds, of kind [`EmptyInput`](CombinatorErrorKind::EmptyInput) if there are none, and of kind
    /// [`Internal`](CombinatorErrorKind::Internal) if the result has no JSON form.
    pub fn select_ok<O: Serialize + 'static>(
        &self,
        futures: impl IntoIterator<Item = DurableFuture<O>>,
    ) -> SelectOkBuilder<O> {
        CombinatorBuilder::new(self.clone(), futures)
    }

    /// Waits for the first of `futures` that ends, well or not, and drops the others.
    ///
    /// In the history: as [`try_join_all`](Self::try_join_all).
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # use std::time::Duration;
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let work = ctx.run_in_child_context(|ctx| async move { Ok(ctx.wait(Duration::from_secs(60)).await?) }).future();
    /// let limit = ctx.wait(Duration::from_secs(3_600)).future();
    /// Ok(ctx.race([work, limit]).name("within-the-hour").await?)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`CombinatorError`]: of kind [`FirstSettledFailed`](CombinatorErrorKind::FirstSettledFailed) if that failed,
    /// of kind [`EmptyInput`](CombinatorErrorKind::EmptyInput) if there are none, and of kind
    /// [`Internal`](CombinatorErrorKind::Internal) if the result has no JSON form.
    pub fn race<O: Serialize + 'static>(&self, futures: impl IntoIterator<Item = DurableFuture<O>>) -> RaceBuilder<O> {
        CombinatorBuilder::new(self.clone(), futures)
    }
}

/// How a future of [`DurableContext::join_all`] ended.
///
/// As JSON: `{"status":"fulfilled","value":..}` or `{"status":"rejected","reason":{"ErrorType":..}}`.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::Settled;
///
/// let parts = [1, 2].map(|n| ctx.step(move |_| async move { Ok(n) }).future());
/// for end in ctx.join_all(parts).await? {
///     match end {
///         Settled::Fulfilled(part) => println!("part {part} is there"),
///         Settled::Rejected(error) => println!("a part is missing: {error:#}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Settled<O> {
    /// It succeeded.
    Fulfilled(O),
    /// It failed, with this; the very error that awaiting it alone would give, live as on replay.
    Rejected(OperationError),
}

impl<O: Serialize> Serialize for Settled<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "status", rename_all = "lowercase")]
        enum Json<'a, O> {
            Fulfilled { value: &'a O },
            Rejected { reason: ErrorJson },
        }
        match self {
            Self::Fulfilled(value) => Json::Fulfilled { value },
            Self::Rejected(error) => Json::Rejected { reason: (&recorded(error)).into() },
        }
        .serialize(serializer)
    }
}

/// A combinator to be: made by [`DurableContext::try_join_all`] and its siblings.
///
/// Its futures begin, in order, when it does (unless they were spawned). They are operations of whatever context made
/// them.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// let parts = [1, 2].map(|n| ctx.step(move |_| async move { Ok(n) }).future());
/// let joined = ctx.try_join_all(parts).name("parts").spawn();
/// let parts: Vec<u32> = joined.await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct CombinatorBuilder<C, O> {
    context: DurableContext,
    name: Option<String>,
    futures: Vec<DurableFuture<O>>,
    combinator: PhantomData<fn() -> C>,
}

/// A `try_join_all` to be: made by [`DurableContext::try_join_all`].
///
/// ```
/// use everstep_sdk::{DurableContext, builders::TryJoinAllBuilder};
///
/// fn parts(ctx: &DurableContext) -> TryJoinAllBuilder<u32> {
///     ctx.try_join_all([1, 2].map(|n| ctx.step(move |_| async move { Ok(n) }).future())).name("parts")
/// }
/// ```
pub type TryJoinAllBuilder<O> = CombinatorBuilder<TryJoinAll, O>;

/// A `join_all` to be: made by [`DurableContext::join_all`].
///
/// ```
/// use everstep_sdk::{DurableContext, builders::JoinAllBuilder};
///
/// fn probes(ctx: &DurableContext) -> JoinAllBuilder<u32> {
///     ctx.join_all(["eu", "us"].map(|region| ctx.invoke(format!("probe-{region}"), ()).future())).name("probes")
/// }
/// ```
pub type JoinAllBuilder<O> = CombinatorBuilder<JoinAll, O>;

/// A `select_ok` to be: made by [`DurableContext::select_ok`].
///
/// ```
/// use everstep_sdk::{DurableContext, builders::SelectOkBuilder};
///
/// fn fastest_mirror(ctx: &DurableContext) -> SelectOkBuilder<String> {
///     ctx.select_ok(["mirror-a", "mirror-b"].map(|mirror| ctx.invoke(mirror, ()).future()))
/// }
/// ```
pub type SelectOkBuilder<O> = CombinatorBuilder<SelectOk, O>;

/// A `race` to be: made by [`DurableContext::race`].
///
/// ```
/// use everstep_sdk::{DurableContext, builders::RaceBuilder};
/// use std::time::Duration;
///
/// fn first_of(ctx: &DurableContext, seconds: [u64; 2]) -> RaceBuilder<()> {
///     ctx.race(seconds.map(|seconds| ctx.wait(Duration::from_secs(seconds)).future()))
/// }
/// ```
pub type RaceBuilder<O> = CombinatorBuilder<Race, O>;

impl<C, O> fmt::Debug for CombinatorBuilder<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CombinatorBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<C: Combinator<O>, O: Serialize + 'static> CombinatorBuilder<C, O> {
    fn new(context: DurableContext, futures: impl IntoIterator<Item = DurableFuture<O>>) -> Self {
        Self { context, name: None, futures: futures.into_iter().collect(), combinator: PhantomData }
    }

    /// Names the operation in the history: 1 to 256 printable ASCII characters. Any other name fails the execution,
    /// with type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let parts = [1, 2].map(|n| ctx.step(move |_| async move { Ok(n) }).future());
    /// ctx.try_join_all(parts).name("all parts").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The combinator as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let quotes = ["north", "south"].map(|team| ctx.invoke::<u32, _>(team, 7).future());
    /// let quotes = ctx.join_all(quotes).future();
    /// ctx.step(|_| async { Ok(println!("asking for quotes")) }).await?;
    /// println!("{} quotes", quotes.await?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<C::Output> {
        DurableFuture::new(async move {
            let child = self.begin();
            self.run(child).await
        })
    }

    /// Begins the combinator now and runs it in the background. Dropping the future drops the futures.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let mirrors = ["mirror-a", "mirror-b"].map(|mirror| ctx.invoke::<String, _>(mirror, 7).future());
    /// let fastest = ctx.select_ok(mirrors).spawn();
    /// ctx.step(|_| async { Ok(println!("meanwhile")) }).await?;
    /// let file = fastest.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<C::Output> {
        let child = self.begin();
        DurableFuture::spawned(self.run(child))
    }

    fn begin(&self) -> Child {
        Child::begin(&self.context, self.name.as_deref(), RUN_IN_CHILD_CONTEXT)
    }

    async fn run(self, child: Child) -> Result<C::Output, OperationError> {
        let futures = self.futures;
        let progress = Progress::new(futures.len(), futures.len(), C::completion());
        let ended = engine::run(progress, futures.into_iter().map(|future| Box::pin(future) as _)).await;
        let Failure { kind, failures, wire } = match C::conclude(ended.items) {
            Ok(output) => match serde_json::to_string(&output) {
                Ok(payload) => {
                    child.end(Ok(&payload));
                    return Ok(output);
                }
                Err(error) => Failure {
                    kind: CombinatorErrorKind::Internal,
                    wire: WireError::of(&error, wire::SERIALIZATION_ERROR),
                    failures: vec![error.into()],
                },
            },
            Err(failure) => *failure,
        };
        let failures = CombinatorError::new(kind, failures);
        Err(child.fail(OperationErrorKind::Combinator(failures), wire))
    }
}

impl<C: Combinator<O>, O: Serialize + 'static> IntoFuture for CombinatorBuilder<C, O> {
    type Output = Result<C::Output, OperationError>;
    type IntoFuture = DurableFuture<C::Output>;

    fn into_future(self) -> DurableFuture<C::Output> {
        self.future()
    }
}

/// How the inputs ended, in order; none: dropped.
type Ends<O> = Vec<Option<Result<O, OperationError>>>;

/// A combinator that failed, and what is recorded of it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Failure {
    kind: CombinatorErrorKind,
    failures: Vec<crate::BoxError>,
    wire: WireError,
}

/// What a [`CombinatorBuilder`] makes: [`TryJoinAll`], [`JoinAll`], [`SelectOk`] or [`Race`].
///
/// ```
/// use everstep_sdk::builders::combinator::{Combinator, CombinatorBuilder};
/// use serde::Serialize;
///
/// fn named<C: Combinator<O>, O: Serialize + 'static>(combinator: CombinatorBuilder<C, O>) -> CombinatorBuilder<C, O> {
///     combinator.name("look-up")
/// }
/// ```
pub trait Combinator<O>: 'static {
    /// What it gives: all results, all ends, or the one that won.
    type Output: Serialize + 'static;
    #[doc(hidden)]
    fn completion() -> CompletionConfig;
    #[doc(hidden)]
    fn conclude(ends: Ends<O>) -> Result<Self::Output, Box<Failure>>;
}

/// [`DurableContext::try_join_all`]: gives a `Vec` of results.
///
/// ```
/// use everstep_sdk::builders::{TryJoinAllBuilder, combinator::{CombinatorBuilder, TryJoinAll}};
///
/// fn same(builder: TryJoinAllBuilder<u32>) -> CombinatorBuilder<TryJoinAll, u32> { builder }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum TryJoinAll {}

/// [`DurableContext::join_all`]: gives a `Vec` of [`Settled`].
///
/// ```
/// use everstep_sdk::builders::{JoinAllBuilder, combinator::{CombinatorBuilder, JoinAll}};
///
/// fn same(builder: JoinAllBuilder<u32>) -> CombinatorBuilder<JoinAll, u32> { builder }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum JoinAll {}

/// [`DurableContext::select_ok`]: gives one result.
///
/// ```
/// use everstep_sdk::builders::{SelectOkBuilder, combinator::{CombinatorBuilder, SelectOk}};
///
/// fn same(builder: SelectOkBuilder<u32>) -> CombinatorBuilder<SelectOk, u32> { builder }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum SelectOk {}

/// [`DurableContext::race`]: gives one result.
///
/// ```
/// use everstep_sdk::builders::{RaceBuilder, combinator::{CombinatorBuilder, Race}};
///
/// fn same(builder: RaceBuilder<u32>) -> CombinatorBuilder<Race, u32> { builder }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Race {}

impl<O: Serialize + 'static> Combinator<O> for TryJoinAll {
    type Output = Vec<O>;

    fn completion() -> CompletionConfig {
        CompletionConfig::default()
    }

    fn conclude(ends: Ends<O>) -> Result<Vec<O>, Box<Failure>> {
        let mut values = Vec::with_capacity(ends.len());
        let mut failed = None;
        for (index, end) in ends.into_iter().enumerate() {
            match end {
                Some(Ok(value)) => values.push(value),
                Some(Err(error)) => failed = Some((index, error)),
                None => {}
            }
        }
        match failed {
            None => Ok(values),
            Some((index, error)) => {
                let kind = CombinatorErrorKind::JoinFailed(JoinFailed::new(index));
                Err(of_one(kind, format!("CombinatorError.JoinFailed.{index}"), error))
            }
        }
    }
}

impl<O: Serialize + 'static> Combinator<O> for JoinAll {
    type Output = Vec<Settled<O>>;

    fn completion() -> CompletionConfig {
        CompletionConfig::with_tolerated_failure_percentage(100)
    }

    fn conclude(ends: Ends<O>) -> Result<Vec<Settled<O>>, Box<Failure>> {
        let settled = ends.into_iter().flatten().map(|end| match end {
            Ok(value) => Settled::Fulfilled(value),
            Err(error) => Settled::Rejected(error),
        });
        Ok(settled.collect())
    }
}

impl<O: Serialize + 'static> Combinator<O> for SelectOk {
    type Output = O;

    fn completion() -> CompletionConfig {
        CompletionConfig::with_min_successful(1)
    }

    fn conclude(ends: Ends<O>) -> Result<O, Box<Failure>> {
        let mut errors = Vec::with_capacity(ends.len());
        for end in ends.into_iter().flatten() {
            match end {
                Ok(value) => return Ok(value),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Err(of_none("select_ok"));
        }
        let records: Vec<WireError> = errors.iter().map(recorded).collect();
        let messages: Vec<String> =
            records.iter().enumerate().map(|(index, wire)| format!("[{index}] {wire}")).collect();
        let message = format!("all {} inputs failed: {}", errors.len(), messages.join("; "));
        let data: Vec<ErrorJson> = records.iter().map(ErrorJson::from).collect();
        Err(Box::new(Failure {
            kind: CombinatorErrorKind::AllFailed,
            failures: errors.into_iter().map(Into::into).collect(),
            wire: WireError::new(Some("CombinatorError.AllFailed"), Some(message))
                .with_error_data(serde_json::to_string(&data).ok()),
        }))
    }
}

impl<O: Serialize + 'static> Combinator<O> for Race {
    type Output = O;

    fn completion() -> CompletionConfig {
        CompletionConfig::with_completion_predicate(|stats| stats.settled() > 0)
    }

    fn conclude(ends: Ends<O>) -> Result<O, Box<Failure>> {
        match ends.into_iter().flatten().next() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                let kind = CombinatorErrorKind::FirstSettledFailed;
                Err(of_one(kind, "CombinatorError.FirstSettledFailed".to_owned(), error))
            }
            None => Err(of_none("race")),
        }
    }
}

/// One input decided: the record is that of its error, under the combinator's type.
fn of_one(kind: CombinatorErrorKind, error_type: String, error: OperationError) -> Box<Failure> {
    let record = recorded(&error);
    let wire = WireError::new(Some(error_type), record.error_message())
        .with_error_data(record.error_data().map(str::to_owned))
        .with_stack_trace(record.stack_trace().to_vec());
    Box::new(Failure { kind, failures: vec![error.into()], wire })
}

fn of_none(combinator: &str) -> Box<Failure> {
    let message = format!("{combinator} of no futures: there is nothing that could win");
    let wire = WireError::new(Some("CombinatorError.EmptyInput"), Some(message));
    Box::new(Failure { kind: CombinatorErrorKind::EmptyInput, failures: Vec::new(), wire })
}

/// What was recorded of an input's failure, or what it says if nothing was.
fn recorded(error: &OperationError) -> WireError {
    error.wire().cloned().unwrap_or_else(|| WireError::of(error, wire::UNNAMED_ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn declined() -> OperationError {
        let wire = WireError::new(Some("CardDeclined"), Some("no funds"))
            .with_error_data(Some(r#"{"code":51}"#.to_owned()))
            .with_stack_trace(vec!["charge".to_owned()]);
        OperationError::from_outcome(OperationErrorKind::step, wire, "FAILED", "op-1".to_owned())
    }

    async fn end(end: Result<u32, ()>) -> Result<u32, OperationError> {
        end.map_err(|()| declined())
    }

    /// Runs a combinator over inputs that end at once in their order.
    fn combine<C: Combinator<u32>>(ends: &[Result<u32, ()>]) -> Result<C::Output, Box<Failure>> {
        let inputs: Vec<_> = ends.iter().map(|&input| Box::pin(end(input)) as engine::LocalBoxFuture<_>).collect();
        let progress = Progress::new(inputs.len(), inputs.len(), C::completion());
        let ended = crate::executor::drive(engine::run(progress, inputs.into_iter()));
        C::conclude(ended.items)
    }

    fn op_type(failure: &Failure) -> (CombinatorErrorKind, Option<&str>) {
        (failure.kind, failure.wire.error_type())
    }

    #[test]
    fn successes() {
        assert_eq!(combine::<TryJoinAll>(&[Ok(1), Ok(2)]).expect("all succeed"), [1, 2]);
        assert!(combine::<TryJoinAll>(&[]).expect("nothing fails").is_empty());
        assert_eq!(combine::<SelectOk>(&[Err(()), Ok(2), Ok(3)]).expect("one succeeds"), 2);
        assert_eq!(combine::<Race>(&[Ok(1), Err(())]).expect("the first succeeds"), 1);
        let ends = combine::<JoinAll>(&[Ok(1), Err(())]).expect("it never fails");
        assert_eq!(
            serde_json::to_string(&ends).expect("it is JSON"),
            concat!(
                r#"[{"status":"fulfilled","value":1},{"status":"rejected","reason":{"ErrorType":"CardDeclined","#,
                r#""ErrorMessage":"no funds","ErrorData":"{\"code\":51}","StackTrace":["charge"]}}]"#
            )
        );
        let Settled::Rejected(error) = &ends[1] else { panic!("input 1 failed") };
        assert_eq!((error.operation_id(), error.wire()), (Some("op-1"), declined().wire()));
    }

    #[test]
    fn the_input_that_decided_is_the_cause_and_its_record_the_combinators() {
        let join = combine::<TryJoinAll>(&[Ok(1), Err(()), Err(())]).expect_err("input 1 fails");
        let kind = CombinatorErrorKind::JoinFailed(JoinFailed::new(1));
        assert_eq!(op_type(&join), (kind, Some("CombinatorError.JoinFailed.1")));
        let race = combine::<Race>(&[Err(()), Ok(1)]).expect_err("input 0 is first");
        let kind = CombinatorErrorKind::FirstSettledFailed;
        assert_eq!(op_type(&race), (kind, Some("CombinatorError.FirstSettledFailed")));
        for failure in [join, race] {
            assert_eq!((failure.wire.error_message(), failure.failures.len()), (Some("no funds"), 1));
            assert_eq!((failure.wire.error_data(), failure.wire.stack_trace().len()), (Some(r#"{"code":51}"#), 1));
            let error = CombinatorError::new(failure.kind, failure.failures);
            let cause = error.source().and_then(|cause| cause.downcast_ref::<OperationError>());
            assert_eq!(cause.and_then(OperationError::wire), declined().wire());
        }
    }

    #[test]
    fn when_all_fail_none_is_lost() {
        let all = combine::<SelectOk>(&[Err(()), Err(())]).expect_err("all fail");
        assert_eq!(op_type(&all), (CombinatorErrorKind::AllFailed, Some("CombinatorError.AllFailed")));
        assert_eq!(all.failures.len(), 2);
        let message = "all 2 inputs failed: [0] CardDeclined: no funds; [1] CardDeclined: no funds";
        assert_eq!(all.wire.error_message(), Some(message));
        assert_eq!(all.wire.error_data().map(|data| data.matches("CardDeclined").count()), Some(2));
    }

    #[test]
    fn nothing_cannot_win() {
        let empty = (CombinatorErrorKind::EmptyInput, Some("CombinatorError.EmptyInput"));
        assert_eq!(op_type(&combine::<SelectOk>(&[]).expect_err("no inputs")), empty);
        assert_eq!(op_type(&combine::<Race>(&[]).expect_err("no inputs")), empty);
    }
}
