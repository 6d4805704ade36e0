//! A child context.

use crate::context::DurableContext;
use crate::error::{ChildContextError, ChildContextErrorKind, OperationError, OperationErrorKind};
use crate::future::DurableFuture;
use crate::serdes::{JsonSerdes, Serdes, SerdesContext};
use crate::wire::{self, WireError};
use crate::{BoxError, bindings, executor};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;

/// The sub-type of a context that a workflow asked for, and of the combinators'.
pub(crate) const RUN_IN_CHILD_CONTEXT: &str = "RunInChildContext";

/// A child context to be: made by [`DurableContext::run_in_child_context`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::serdes::TextSerdes;
///
/// let parcel: String = ctx
///     .run_in_child_context(|ctx| async move { Ok(ctx.step(|_| async { Ok("p-17".to_owned()) }).await?) })
///     .name("packing")
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct ChildBuilder<O, F, Fut, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
    is_virtual: bool,
    serdes: S,
    body: F,
    output: PhantomData<fn() -> (O, Fut)>,
}

impl<O, F, Fut, S> fmt::Debug for ChildBuilder<O, F, Fut, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<O, F, Fut> ChildBuilder<O, F, Fut> {
    pub(crate) fn new(context: DurableContext, body: F) -> Self {
        Self { context, name: None, is_virtual: false, serdes: JsonSerdes, body, output: PhantomData }
    }
}

impl<O, F, Fut, S> ChildBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
{
    /// Names the context in the history: 1 to 256 printable ASCII characters. Any other name fails the execution, with
    /// type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// ctx.run_in_child_context(|ctx| async move { Ok(ctx.logger().info("packing")) }).name("packing").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Leaves the context out of the history: its operations appear in the nearest context that is recorded, and have
    /// ids of their own all the same. Result and error are those of a recorded context; the name is not used.
    ///
    /// Saves two events where the grouping matters to the code and not to the reader.
    ///
    /// ```no_run
    /// # use everstep_sdk as durable;
    /// # async fn handler(_: (), ctx: durable::DurableContext) -> Result<(), durable::BoxError> {
    /// let total: u32 = ctx
    ///     .run_in_child_context(|ctx| async move { Ok(ctx.step(|_| async { Ok(1) }).await? + 1) })
    ///     .virtual_context()
    ///     .await?;
    /// # let _ = total; Ok(()) }
    /// ```
    pub fn virtual_context(mut self) -> Self {
        self.is_virtual = true;
        self
    }

    /// Serializes the result with `serdes` instead of as JSON. Where it fails, the context does, of kind
    /// [`Internal`](ChildContextErrorKind::Internal).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::from_fn;
    ///
    /// let hours = from_fn(|hours: u64| Ok(format!("{hours} h")), |text| Ok(text.trim_end_matches(" h").parse()?));
    /// let spent: u64 = ctx.run_in_child_context(|_| async { Ok(3) }).serdes(hours).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<S2: Serdes<O>>(self, serdes: S2) -> ChildBuilder<O, F, Fut, S2> {
        ChildBuilder {
            context: self.context,
            name: self.name,
            is_virtual: self.is_virtual,
            serdes,
            body: self.body,
            output: PhantomData,
        }
    }

    /// The context as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let invoice = ctx.run_in_child_context(|ctx| async move { Ok(ctx.step(|_| async { Ok(1) }).await?) }).future();
    /// let parcel = ctx.run_in_child_context(|ctx| async move { Ok(ctx.step(|_| async { Ok(2) }).await?) }).future();
    /// let numbers: Vec<u32> = ctx.try_join_all([invoice, parcel]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        DurableFuture::new(async move {
            let child = self.begin();
            self.run(child).await
        })
    }

    /// Begins the context now and runs its body in the background. Dropping the future drops the body.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use std::time::Duration;
    ///
    /// let reminders = ctx
    ///     .run_in_child_context(|ctx| async move {
    ///         ctx.wait(Duration::from_secs(24 * 3_600)).await?;
    ///         Ok(ctx.step(|_| async { Ok(println!("a day has passed")) }).await?)
    ///     })
    ///     .spawn();
    /// let answer: String = ctx.create_callback().await?.result().await?;
    /// drop(reminders);
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        let child = self.begin();
        DurableFuture::spawned(self.run(child))
    }

    fn begin(&self) -> Child {
        if self.is_virtual {
            Child::begin_virtual(&self.context)
        } else {
            Child::begin(&self.context, self.name.as_deref(), RUN_IN_CHILD_CONTEXT)
        }
    }

    async fn run(self, child: Child) -> Result<O, OperationError>
    where
        S: Serdes<O>,
    {
        let body = (self.body)(child.context().clone());
        child.run(body, &self.serdes).await
    }
}

impl<O, F, Fut, S> IntoFuture for ChildBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
    S: Serdes<O>,
{
    type Output = Result<O, OperationError>;
    type IntoFuture = DurableFuture<O>;

    fn into_future(self) -> DurableFuture<O> {
        self.future()
    }
}

/// A child context that began. One that is dropped before its end stays open in the log.
pub(crate) struct Child {
    context: DurableContext,
    recorded: bool,
}

impl Child {
    pub(crate) fn begin(parent: &DurableContext, name: Option<&str>, sub_type: &str) -> Self {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let operation = bindings::begin_context(parent.operation(), name, sub_type);
        Self { context: parent.child(operation), recorded: true }
    }

    pub(crate) fn begin_virtual(parent: &DurableContext) -> Self {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let operation = bindings::begin_virtual_context(parent.operation());
        Self { context: parent.child(operation), recorded: false }
    }

    pub(crate) fn context(&self) -> &DurableContext {
        &self.context
    }

    /// Runs `body` and ends the context with its result. The result goes through its recorded form, as that of a step
    /// does, whether it is recorded or not.
    pub(crate) async fn run<O, S: Serdes<O>>(
        self,
        body: impl Future<Output = Result<O, BoxError>>,
        serdes: &S,
    ) -> Result<O, OperationError> {
        let serdes_context = SerdesContext::of(self.context.operation(), self.context.arn());
        let outcome = match body.await {
            Ok(value) => (serdes.serialize(value, serdes_context.clone()).await)
                .map_err(|error| WireError::of(&*error, wire::SERIALIZATION_ERROR)),
            Err(error) => Err(WireError::of(&*error, wire::CHILD_ERROR)),
        };
        match outcome {
            Ok(payload) => {
                self.end(Ok(&payload));
                serdes.deserialize(payload, serdes_context).await.map_err(|error| {
                    let error = ChildContextError::new(ChildContextErrorKind::Internal, Some(error));
                    OperationError::from_kind(OperationErrorKind::ChildContext(error))
                })
            }
            Err(wire) => Err(self.fail(OperationErrorKind::child(wire.clone()), wire)),
        }
    }

    /// Ends the context FAILED.
    pub(crate) fn fail(self, kind: OperationErrorKind, wire: WireError) -> OperationError {
        self.end(Err(&wire));
        let id = bindings::operation_id(self.context.operation());
        OperationError::from_record(kind, wire, "FAILED", Some(id))
    }

    pub(crate) fn end(&self, outcome: Result<&str, &WireError>) {
        if !self.recorded {
            return;
        }
        let operation = self.context.operation();
        match outcome {
            Ok(payload) => bindings::end_context(operation, Ok(Some(payload))),
            Err(wire) => bindings::end_context(operation, Err(&wire.clone().into_error_object())),
        }
    }
}
