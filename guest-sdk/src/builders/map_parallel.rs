//! `map` and `parallel`: many child contexts at once, and what they came to.

mod completion;
pub(crate) mod engine;
pub(crate) mod policy;
pub(crate) mod result;

pub use completion::{
    BatchStats, CompletionConfig, CompletionConfigBuilder, CompletionConfigValidationError, CompletionReason,
    SettledOutcome,
};
pub use result::{BatchError, BatchItem, BatchItemStatus, BatchResult, BatchStatus};

use super::child::Child;
use crate::BoxError;
use crate::context::DurableContext;
use crate::error::{ChildContextError, ChildContextErrorKind, OperationError, OperationErrorKind};
use crate::future::DurableFuture;
use crate::serdes::{JsonSerdes, Serdes};
use crate::wire::{self, WireError};
use engine::LocalBoxFuture;
use policy::Progress;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::rc::Rc;

impl DurableContext {
    /// Runs `body` for each of `items`, each in a child context of its own and many at once; `body` is given that
    /// context, the item and its index, from 0.
    ///
    /// Awaited it gives the results of the items that succeeded, in the order of the input, and
    /// [`await_batch`](BatchBuilder::await_batch) gives all there is to know. Items start in the order of the input;
    /// how many at once is [`max_concurrency`](BatchBuilder::max_concurrency), and when to stop early is
    /// [`completion`](BatchBuilder::completion): by default at the first failure.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// async fn handler(names: Vec<String>, ctx: durable::DurableContext) -> Result<Vec<String>, durable::BoxError> {
    ///     let greetings = ctx
    ///         .map(names, |ctx, name, _index| async move {
    ///             Ok(ctx.step(move |_| async move { Ok(format!("Hello, {name}!")) }).name("greet").await?)
    ///         })
    ///         .name("greet-all")
    ///         .max_concurrency(10)
    ///         .await?;
    ///     Ok(greetings)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`ChildContextError`]: of kind [`ChildFailed`](ChildContextErrorKind::ChildFailed) if more items failed than
    /// are tolerated, with the failure of the first of them; of kind
    /// [`InvalidConfiguration`](ChildContextErrorKind::InvalidConfiguration) for settings that make no sense; of kind
    /// [`Internal`](ChildContextErrorKind::Internal) if what the batch came to could not be converted.
    pub fn map<Items, I, O, F, Fut>(&self, items: Items, body: F) -> MapBuilder<O>
    where
        Items: IntoIterator<Item = I>,
        I: 'static,
        O: 'static,
        F: Fn(DurableContext, I, usize) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        let body = Rc::new(body);
        let item = |(index, item)| Branch {
            name: String::new(),
            body: {
                let body = Rc::clone(&body);
                Box::new(move |context| Box::pin(async move { body(context, item, index).await }))
            },
        };
        BatchBuilder::new(self.clone(), items.into_iter().enumerate().map(item).collect())
    }

    /// Runs `branches`, each in a child context of its own and many at once.
    ///
    /// Otherwise as [`map`](Self::map). Branches have results of one type; where theirs differ, let each give an enum
    /// of yours or a `serde_json::Value`.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// use durable::Branch;
    ///
    /// async fn handler(_: (), ctx: durable::DurableContext) -> Result<Vec<u32>, durable::BoxError> {
    ///     let branches = vec![
    ///         Branch::new("stock", |ctx: durable::DurableContext| async move { Ok(ctx.step(|_| async { Ok(1) }).await?) }),
    ///         Branch::new("price", |_| async { Ok(2) }),
    ///     ];
    ///     Ok(ctx.parallel(branches).name("look-up").await?)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn parallel<Branches, O>(&self, branches: Branches) -> ParallelBuilder<O>
    where
        Branches: IntoIterator<Item = Branch<O>>,
        O: 'static,
    {
        BatchBuilder::new(self.clone(), branches.into_iter().collect())
    }
}

type Body<O> = Box<dyn FnOnce(DurableContext) -> LocalBoxFuture<Result<O, BoxError>>>;

/// A branch of [`DurableContext::parallel`]: a name, and workflow code.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{Branch, DurableContext};
///
/// let branches = ["eu", "us"].map(|region| {
///     Branch::new(region, move |ctx: DurableContext| async move { Ok(ctx.invoke::<u32, _>(region, 7).await?) })
/// });
/// let counts = ctx.parallel(branches).await?;
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub struct Branch<O> {
    name: String,
    body: Body<O>,
}

impl<O: 'static> Branch<O> {
    /// A branch that is shown in the history as `name`: 1 to 256 printable ASCII characters, or empty for none. `body`
    /// runs when the branch starts.
    ///
    /// ```
    /// use everstep_sdk::{Branch, DurableContext};
    ///
    /// let branch = Branch::new("answer", |_ctx: DurableContext| async { Ok(42) });
    /// assert_eq!(branch.name(), "answer");
    /// ```
    pub fn new<F, Fut>(name: impl Into<String>, body: F) -> Self
    where
        F: FnOnce(DurableContext) -> Fut + 'static,
        Fut: Future<Output = Result<O, BoxError>> + 'static,
    {
        Self { name: name.into(), body: Box::new(move |context| Box::pin(async move { body(context).await })) }
    }

    /// Its name; empty if it has none.
    ///
    /// ```
    /// let branch = everstep_sdk::Branch::new("", |_| async { Ok(()) });
    /// assert!(branch.name().is_empty());
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<O> fmt::Debug for Branch<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether items have contexts in the history.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::builders::map_parallel::NestingMode;
///
/// let squares = ctx.map(1..=500, |_, n: u32, _| async move { Ok(n * n) }).nesting(NestingMode::Flat).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NestingMode {
    /// Each item is a child context, with its name, result and error (AWS's NESTED).
    #[default]
    Normal,
    /// Items are [virtual contexts](super::ChildBuilder::virtual_context): their operations appear directly in the
    /// batch's context, their results in its result alone (AWS's FLAT). Two events less for each item.
    Flat,
}

/// What a [`BatchBuilder`] makes: a [`Map`] or a [`Parallel`].
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchBuilder, BatchKind};
///
/// fn gently<K: BatchKind + 'static, O: 'static>(batch: BatchBuilder<K, O>) -> BatchBuilder<K, O> {
///     batch.max_concurrency(3)
/// }
/// ```
pub trait BatchKind: sealed::Sealed {
    #[doc(hidden)]
    const SUB_TYPE: &'static str;
    #[doc(hidden)]
    const ITEM_SUB_TYPE: &'static str;
}

/// [`DurableContext::map`]'s.
///
/// ```
/// use everstep_sdk::builders::{MapBuilder, map_parallel::{BatchBuilder, Map}};
///
/// fn same(builder: MapBuilder<u32>) -> BatchBuilder<Map, u32> { builder }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Map {}

/// [`DurableContext::parallel`]'s.
///
/// ```
/// use everstep_sdk::builders::{ParallelBuilder, map_parallel::{BatchBuilder, Parallel}};
///
/// fn same(builder: ParallelBuilder<u32>) -> BatchBuilder<Parallel, u32> { builder }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Parallel {}

impl BatchKind for Map {
    const SUB_TYPE: &'static str = "Map";
    const ITEM_SUB_TYPE: &'static str = "MapIteration";
}

impl BatchKind for Parallel {
    const SUB_TYPE: &'static str = "Parallel";
    const ITEM_SUB_TYPE: &'static str = "ParallelBranch";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Map {}
    impl Sealed for super::Parallel {}
}

/// A `map` to be: made by [`DurableContext::map`].
///
/// ```
/// use everstep_sdk::{DurableContext, builders::MapBuilder};
///
/// fn probes(ctx: &DurableContext) -> MapBuilder<bool> {
///     ctx.map(["eu", "us"], |ctx, region, _| async move { Ok(ctx.invoke(region, ()).await?) }).name("probes")
/// }
/// ```
pub type MapBuilder<O, IS = JsonSerdes, RS = JsonSerdes> = BatchBuilder<Map, O, IS, RS>;

/// A `parallel` to be: made by [`DurableContext::parallel`].
///
/// ```
/// use everstep_sdk::{Branch, DurableContext, builders::ParallelBuilder};
///
/// fn prices(ctx: &DurableContext) -> ParallelBuilder<u32> {
///     ctx.parallel([Branch::new("net", |_| async { Ok(100) }), Branch::new("tax", |_| async { Ok(19) })])
/// }
/// ```
pub type ParallelBuilder<O, IS = JsonSerdes, RS = JsonSerdes> = BatchBuilder<Parallel, O, IS, RS>;

/// A `map` or `parallel` to be.
///
/// In the history it is a context (sub-type `Map` or `Parallel`) that holds one context for each item that started
/// (`MapIteration`, `ParallelBranch`). The context succeeds even if items failed; whether that is an error is for the
/// workflow to say.
///
/// When the batch is over early, items in flight are dropped on the spot: waits and steps of theirs are cancelled, and
/// nothing of them is recorded any more. A panic in an item fails the execution, as one anywhere outside steps does.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::JsonSerdes;
/// use everstep_sdk::builders::map_parallel::{CompletionConfig, NestingMode};
///
/// let receipts: Vec<u32> = ctx
///     .map([1299, 450, 80], |ctx, cents, _| async move { Ok(ctx.invoke("charge", cents).await?) })
///     .name("charge-all")
///     .item_namer(|index| format!("order-{index}"))
///     .max_concurrency(2)
///     .completion(CompletionConfig::with_tolerated_failure_count(1))
///     .nesting(NestingMode::Normal)
///     .serdes(JsonSerdes)
///     .result_serdes(JsonSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct BatchBuilder<K, O, IS = JsonSerdes, RS = JsonSerdes> {
    context: DurableContext,
    items: Vec<Branch<O>>,
    settings: Settings,
    serdes: IS,
    result_serdes: RS,
    kind: PhantomData<fn() -> K>,
}

#[derive(Debug, Default)]
struct Settings {
    name: Option<String>,
    max_concurrency: Option<usize>,
    completion: CompletionConfig,
    nesting: NestingMode,
}

impl Settings {
    fn validate(&self) -> Result<(), BoxError> {
        if self.max_concurrency == Some(0) {
            return Err("max_concurrency is 0: no item could start; set at least 1, or nothing for no limit".into());
        }
        Ok(self.completion.validate()?)
    }
}

impl<K, O, IS, RS> fmt::Debug for BatchBuilder<K, O, IS, RS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<K, O> BatchBuilder<K, O> {
    fn new(context: DurableContext, items: Vec<Branch<O>>) -> Self {
        let settings = Settings::default();
        Self { context, items, settings, serdes: JsonSerdes, result_serdes: JsonSerdes, kind: PhantomData }
    }
}

impl<O, IS, RS> BatchBuilder<Map, O, IS, RS> {
    /// Names the items in the history, by their index: 1 to 256 printable ASCII characters each, or empty for none.
    /// Without this they have no names.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<Vec<u32>, durable::BoxError> {
    /// Ok(ctx.map([1, 2], |_, n, _| async move { Ok(n * 10) }).item_namer(|index| format!("item-{index}")).await?)
    /// # }
    /// ```
    pub fn item_namer(mut self, namer: impl Fn(usize) -> String + 'static) -> Self {
        for (index, item) in self.items.iter_mut().enumerate() {
            item.name = namer(index);
        }
        self
    }
}

impl<K: BatchKind + 'static, O: 'static, IS, RS> BatchBuilder<K, O, IS, RS> {
    /// Names the operation in the history: 1 to 256 printable ASCII characters. Any other name fails the execution,
    /// with type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.map([1, 2], |_, n, _| async move { Ok(n * 10) }).name("times-ten").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// How many items may be in flight at once, at least 1; without this, all. One that waits for anything is in
    /// flight.
    ///
    /// 0 is an error of kind [`ChildContextErrorKind::InvalidConfiguration`], and nothing is recorded.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let pages = (1..=100).collect::<Vec<u32>>();
    /// let sizes = ctx.map(pages, |ctx, page, _| async move { Ok(ctx.invoke::<u32, _>("page", page).await?) });
    /// let sizes = sizes.max_concurrency(8).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_concurrency(mut self, max: usize) -> Self {
        self.settings.max_concurrency = Some(max);
        self
    }

    /// When to stop early. Criteria that make no sense are an error of kind
    /// [`ChildContextErrorKind::InvalidConfiguration`], and nothing is recorded.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::builders::map_parallel::CompletionConfig;
    ///
    /// let quotes = ctx.map(["a", "b", "c"], |ctx, shop, _| async move { Ok(ctx.invoke::<u32, _>(shop, 7).await?) });
    /// let two = quotes.completion(CompletionConfig::with_min_successful(2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn completion(mut self, config: CompletionConfig) -> Self {
        self.settings.completion = config;
        self
    }

    /// Whether items have contexts in the history; without this they have.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::builders::map_parallel::NestingMode;
    ///
    /// let lines = ctx.map(1..=200, |ctx, line: u32, _| async move { Ok(ctx.invoke::<u32, _>("line", line).await?) });
    /// let sums = lines.nesting(NestingMode::Flat).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn nesting(mut self, mode: NestingMode) -> Self {
        self.settings.nesting = mode;
        self
    }

    /// Serializes each item's result with `serdes` instead of as JSON. Where it fails, the item does.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let shout = ctx.map(["x", "y"], |_, item, _| async move { Ok(item.to_uppercase()) });
    /// let letters: Vec<String> = shout.serdes(TextSerdes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S: Serdes<O>>(self, serdes: S) -> BatchBuilder<K, O, S, RS> {
        BatchBuilder {
            context: self.context,
            items: self.items,
            settings: self.settings,
            serdes,
            result_serdes: self.result_serdes,
            kind: PhantomData,
        }
    }

    /// Serializes what the batch came to with `serdes` instead of as JSON. The context's recorded result is exactly
    /// what that writes, and what the workflow gets is what it reads back, live as on replay.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// use durable::builders::map_parallel::{BatchItem, BatchItemStatus, BatchResult, CompletionReason};
    /// use durable::serdes::SerdesContext;
    ///
    /// struct Joined;
    ///
    /// impl durable::Serdes<BatchResult<String>> for Joined {
    ///     async fn serialize(&self, batch: BatchResult<String>, _: SerdesContext) -> Result<String, durable::BoxError> {
    ///         Ok(batch.into_results().join(","))
    ///     }
    ///
    ///     async fn deserialize(&self, text: String, _: SerdesContext) -> Result<BatchResult<String>, durable::BoxError> {
    ///         let items = text.split(',').enumerate().map(|(index, part)| {
    ///             BatchItem::new(index, String::new(), BatchItemStatus::Succeeded, Some(part.to_owned()), None, None)
    ///         });
    ///         Ok(BatchResult::new(items.collect(), CompletionReason::AllCompleted))
    ///     }
    /// }
    ///
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<Vec<String>, durable::BoxError> {
    /// Ok(ctx.map(["x", "y"], |_, item, _| async move { Ok(item.to_uppercase()) }).result_serdes(Joined).await?)
    /// # }
    /// ```
    pub fn result_serdes<S: Serdes<BatchResult<O>>>(self, serdes: S) -> BatchBuilder<K, O, IS, S> {
        BatchBuilder {
            context: self.context,
            items: self.items,
            settings: self.settings,
            serdes: self.serdes,
            result_serdes: serdes,
            kind: PhantomData,
        }
    }
}

impl<K: BatchKind + 'static, O: 'static, IS: Serdes<O>, RS: Serdes<BatchResult<O>>> BatchBuilder<K, O, IS, RS> {
    /// The batch with the end of every item, as a future; it begins when that is first polled.
    ///
    /// Items that failed are no error here; what is: settings that make no sense, and a result that cannot be
    /// serialized or read.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// use durable::builders::map_parallel::CompletionConfig;
    ///
    /// # async fn handler(orders: Vec<u32>, ctx: durable::DurableContext) -> Result<usize, durable::BoxError> {
    /// let batch = ctx
    ///     .map(orders, |_, order, _| async move { if order > 0 { Ok(order) } else { Err("no such order".into()) } })
    ///     .completion(CompletionConfig::with_tolerated_failure_percentage(10))
    ///     .await_batch()
    ///     .await?;
    /// for error in batch.errors() {
    ///     println!("order {} failed: {}", error.index, error.message);
    /// }
    /// batch.throw_if_error()?;
    /// # Ok(batch.success_count()) }
    /// ```
    pub fn await_batch(self) -> DurableFuture<BatchResult<O>> {
        DurableFuture::new(async move {
            let child = self.begin()?;
            self.run(child).await
        })
    }

    /// The results of the items that succeeded, as a future; the batch begins when that is first polled. Failures that
    /// are tolerated are left out.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let small = ctx.map([1, 2], |_, n: u32, _| async move { Ok(n) }).future();
    /// let large = ctx.map([10, 20], |_, n: u32, _| async move { Ok(n) }).future();
    /// let both = ctx.try_join_all([small, large]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An error of [`await_batch`](Self::await_batch), or, if more items failed than are tolerated, the first of
    /// theirs, in the order of the input.
    pub fn future(self) -> DurableFuture<Vec<O>> {
        DurableFuture::new(async move {
            let child = self.begin()?;
            tolerated(self.run(child).await?)
        })
    }

    /// Begins the batch now and runs it in the background; gives what [`future`](Self::future) gives. Dropping the
    /// future drops the items.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let mails = ctx.map(["ann", "bob"], |ctx, name, _| async move {
    ///     Ok(ctx.step(move |_| async move { Ok(println!("mail to {name}")) }).await?)
    /// });
    /// let mails = mails.spawn();
    /// ctx.step(|_| async { Ok(println!("meanwhile")) }).await?;
    /// mails.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<Vec<O>> {
        let begun = self.begin();
        DurableFuture::spawned(async move { tolerated(self.run(begun?).await?) })
    }

    fn begin(&self) -> Result<Child, OperationError> {
        self.settings.validate().map_err(|error| {
            let error = ChildContextError::new(ChildContextErrorKind::InvalidConfiguration, Some(error));
            OperationError::from_kind(OperationErrorKind::ChildContext(error))
        })?;
        Ok(Child::begin(&self.context, self.settings.name.as_deref(), K::SUB_TYPE))
    }

    async fn run(self, child: Child) -> Result<BatchResult<O>, OperationError> {
        let Self { items, settings, serdes, result_serdes, .. } = self;
        let limit = settings.max_concurrency.unwrap_or(items.len());
        let progress = Progress::new(items.len(), limit, settings.completion);
        let names: Vec<Option<String>> =
            items.iter().map(|item| Some(item.name.clone()).filter(|name| !name.is_empty())).collect();

        let batch = child.context().clone();
        let serdes = Rc::new(serdes);
        let named = names.clone().into_iter().zip(items);
        let items = named.map(move |(name, item)| -> LocalBoxFuture<Result<O, WireError>> {
            let child = match settings.nesting {
                NestingMode::Normal => Child::begin(&batch, name.as_deref(), K::ITEM_SUB_TYPE),
                NestingMode::Flat => Child::begin_virtual(&batch),
            };
            let serdes = Rc::clone(&serdes);
            Box::pin(async move {
                let body = (item.body)(child.context().clone());
                child.run(body, &*serdes).await.map_err(|error| recorded(&error))
            })
        });
        let body = async move { Ok(BatchResult::from_ended(engine::run(progress, items).await, &names)) };
        child.run(body, &result_serdes).await
    }
}

impl<K: BatchKind + 'static, O: 'static, IS: Serdes<O>, RS: Serdes<BatchResult<O>>> IntoFuture
    for BatchBuilder<K, O, IS, RS>
{
    type Output = Result<Vec<O>, OperationError>;
    type IntoFuture = DurableFuture<Vec<O>>;

    fn into_future(self) -> DurableFuture<Vec<O>> {
        self.future()
    }
}

/// What is recorded of an item's failure, or, if it succeeded and its result could not be read, what that says.
fn recorded(error: &OperationError) -> WireError {
    match error.wire() {
        Some(wire) => wire.clone(),
        None => WireError::new(Some(wire::SERIALIZATION_ERROR), Some(format!("{error:#}"))),
    }
}

fn tolerated<O>(batch: BatchResult<O>) -> Result<Vec<O>, OperationError> {
    if batch.reason == CompletionReason::FailureToleranceExceeded {
        batch.throw_if_error()?;
        // A result serdes need not keep the items' errors.
        let error = "more items failed than are tolerated, and what is recorded of the batch does not say which".into();
        let error = ChildContextError::new(ChildContextErrorKind::ChildFailed, Some(error));
        return Err(OperationError::from_kind(OperationErrorKind::ChildContext(error)));
    }
    Ok(batch.into_results())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        assert!(Settings::default().validate().is_ok());
        let none = Settings { max_concurrency: Some(0), ..Settings::default() };
        assert!(none.validate().is_err_and(|error| error.to_string().contains("max_concurrency is 0")));
        let never = Settings { completion: CompletionConfig::with_min_successful(0), ..Settings::default() };
        assert!(never.validate().is_err());
    }

    #[test]
    fn a_failure_is_an_error_only_beyond_the_tolerance() {
        let failed = || BatchItem::new(1, String::new(), BatchItemStatus::Failed, None, Some("late".into()), None);
        let done = || BatchItem::new(0, String::new(), BatchItemStatus::Succeeded, Some(5), None, None);
        let batch = |reason| BatchResult::new(vec![done(), failed()], reason);
        assert_eq!(tolerated(batch(CompletionReason::AllCompleted)).expect("tolerated"), [5]);
        let error = tolerated(batch(CompletionReason::FailureToleranceExceeded)).expect_err("not tolerated");
        assert_eq!(error.wire().and_then(WireError::error_message), Some("late"));
        let forgotten = BatchResult::<u32>::new(Vec::new(), CompletionReason::FailureToleranceExceeded);
        assert!(tolerated(forgotten).is_err());
    }
}
