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

const SUB_TYPE: &str = "RunInChildContext";

/// A child context to be: made by [`DurableContext::run_in_child_context`].
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct ChildBuilder<O, F, Fut, S = JsonSerdes> {
    context: DurableContext,
    name: Option<String>,
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
        Self { context, name: None, serdes: JsonSerdes, body, output: PhantomData }
    }
}

impl<O, F, Fut, S> ChildBuilder<O, F, Fut, S>
where
    O: 'static,
    F: FnOnce(DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>> + 'static,
{
    /// Names the context in the history: 1 to 256 printable ASCII characters.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Serializes the result with `serdes` instead of as JSON.
    pub fn serdes<S2: Serdes<O>>(self, serdes: S2) -> ChildBuilder<O, F, Fut, S2> {
        ChildBuilder { context: self.context, name: self.name, serdes, body: self.body, output: PhantomData }
    }

    /// The context as a future; it begins when that is first polled.
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
    pub fn spawn(self) -> DurableFuture<O>
    where
        S: Serdes<O>,
    {
        let child = self.begin();
        DurableFuture::spawned(self.run(child))
    }

    fn begin(&self) -> DurableContext {
        executor::refuse_in_body("begun");
        let parent = self.context.operation();
        self.context.child(bindings::begin_context(parent, self.name.as_deref(), SUB_TYPE))
    }

    /// The result goes through its recorded form, as that of a step does.
    async fn run(self, child: DurableContext) -> Result<O, OperationError>
    where
        S: Serdes<O>,
    {
        let operation = child.operation();
        let serdes_context = SerdesContext::of(operation, child.arn());
        let outcome = match (self.body)(child).await {
            Ok(value) => (self.serdes.serialize(value, serdes_context.clone()).await)
                .map_err(|error| WireError::of(&*error, wire::SERIALIZATION_ERROR)),
            Err(error) => Err(WireError::of(&*error, wire::CHILD_ERROR)),
        };
        match outcome {
            Ok(payload) => {
                bindings::end_context(operation, Ok(Some(&payload)));
                self.serdes.deserialize(payload, serdes_context).await.map_err(|error| {
                    let error = ChildContextError::new(ChildContextErrorKind::Internal, Some(error));
                    OperationError::from_kind(OperationErrorKind::ChildContext(error))
                })
            }
            Err(wire) => {
                bindings::end_context(operation, Err(&wire.clone().into_error_object()));
                let id = bindings::operation_id(operation);
                Err(OperationError::from_outcome(OperationErrorKind::child, wire, "FAILED", id))
            }
        }
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
