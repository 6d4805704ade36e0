//! An invoked function.

use crate::bindings;
use crate::context::DurableContext;
use crate::error::{OperationError, OperationErrorKind, result_of};
use crate::executor::{self, Operation};
use crate::future::DurableFuture;
use crate::serdes::{self, JsonSerdes, Serdes, SerdesContext};
use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A function to be invoked: made by [`DurableContext::invoke`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::serdes::TextSerdes;
///
/// let answer: String = ctx
///     .invoke("translate:live", "Guten Morgen".to_owned())
///     .name("translate")
///     .tenant_id("tenant-7")
///     .payload_serdes(TextSerdes)
///     .serdes(TextSerdes)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct InvokeBuilder<O, I, P = JsonSerdes, R = JsonSerdes> {
    context: DurableContext,
    function: String,
    input: I,
    name: Option<String>,
    tenant_id: Option<String>,
    payload_serdes: P,
    serdes: R,
    output: PhantomData<fn() -> O>,
}

impl<O, I, P, R> fmt::Debug for InvokeBuilder<O, I, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvokeBuilder")
            .field("function", &self.function)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<O, I> InvokeBuilder<O, I> {
    pub(crate) fn new(context: DurableContext, function: String, input: I) -> Self {
        Self {
            context,
            function,
            input,
            name: None,
            tenant_id: None,
            payload_serdes: JsonSerdes,
            serdes: JsonSerdes,
            output: PhantomData,
        }
    }
}

impl<O: 'static, I: 'static, P, R> InvokeBuilder<O, I, P, R> {
    /// Names the invoke in the history: 1 to 256 printable ASCII characters. Any other name fails the execution, with
    /// type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let receipt: String = ctx.invoke("charge", 1299).name("charge the card").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Invokes the function for this tenant, if it has tenant isolation: 1 to 256 letters, digits and any of `._:/=+-@`
    /// and space. Anything else fails the execution, with type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let report: String = ctx.invoke("report", 2026).tenant_id("acme").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tenant_id(mut self, tenant_id: impl Into<String>) -> Self {
        self.tenant_id = Some(tenant_id.into());
        self
    }

    /// Serializes the input with `serdes` instead of as JSON. It only writes, and before the invoke has an id: the
    /// [`SerdesContext`] it is given has that of the context around it. It runs again on every replay, where it must
    /// give the same text.
    ///
    /// Where it fails, the invoke does, of kind [`SerializationFailed`](crate::InvokeErrorKind::SerializationFailed),
    /// and nothing begins.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::from_fn;
    ///
    /// let csv = from_fn(|(item, count): (String, u32)| Ok(format!("{item},{count}")), |_| Err("only written".into()));
    /// let stock: u32 = ctx.invoke("stock", ("pencil".to_owned(), 12)).payload_serdes(csv).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn payload_serdes<P2: Serdes<I>>(self, serdes: P2) -> InvokeBuilder<O, I, P2, R> {
        InvokeBuilder {
            context: self.context,
            function: self.function,
            input: self.input,
            name: self.name,
            tenant_id: self.tenant_id,
            payload_serdes: serdes,
            serdes: self.serdes,
            output: PhantomData,
        }
    }

    /// Reads the result with `serdes` instead of as JSON. It only reads: the result is written by the function. Where
    /// it fails, the invoke does, of kind [`SerializationFailed`](crate::InvokeErrorKind::SerializationFailed).
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::serdes::TextSerdes;
    ///
    /// let page: String = ctx.invoke("render", 42).serdes(TextSerdes).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn serdes<R2: Serdes<O>>(self, serdes: R2) -> InvokeBuilder<O, I, P, R2> {
        InvokeBuilder {
            context: self.context,
            function: self.function,
            input: self.input,
            name: self.name,
            tenant_id: self.tenant_id,
            payload_serdes: self.payload_serdes,
            serdes,
            output: PhantomData,
        }
    }

    /// The invoke as a future; it begins when that is first polled.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let warehouses = [1, 2, 3].map(|warehouse| ctx.invoke("stock", warehouse).future());
    /// let stock: Vec<u32> = ctx.try_join_all(warehouses).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<O>
    where
        P: Serdes<I>,
        R: Serdes<O>,
    {
        DurableFuture::new(async move { self.begin().await?.finish().await })
    }

    /// Invokes the function now. If the serdes of its input does not get ready at once: as soon as it does. Dropping
    /// the future stops waiting for the function, not the function.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let thumbnail = ctx.invoke::<String, _>("thumbnail", "cat.png".to_owned()).spawn();
    /// ctx.step(|_| async { Ok(println!("publish")) }).await?;
    /// let url = thumbnail.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<O>
    where
        P: Serdes<I>,
        R: Serdes<O>,
    {
        let mut begin = Box::pin(self.begin());
        match begin.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(begun) => DurableFuture::new(async move { begun?.finish().await }),
            Poll::Pending => DurableFuture::spawned(async move { begin.await?.finish().await }),
        }
    }

    async fn begin(self) -> Result<Begun<O, R>, OperationError>
    where
        P: Serdes<I>,
    {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let parent = self.context.operation();
        let arn = Arc::clone(self.context.arn());
        let payload = (self.payload_serdes.serialize(self.input, SerdesContext::of(parent, &arn)).await)
            .map_err(OperationError::invoke_serialization)?;
        let options = bindings::InvokeOptions {
            name: self.name,
            function: self.function.clone(),
            payload: Some(payload),
            tenant_id: self.tenant_id,
        };
        let operation = Operation::register(bindings::begin_invoke(parent, &options), None);
        Ok(Begun { operation, function: self.function, serdes: self.serdes, arn, output: PhantomData })
    }
}

struct Begun<O, R> {
    operation: Operation,
    function: String,
    serdes: R,
    arn: Arc<str>,
    output: PhantomData<fn() -> O>,
}

impl<O, R: Serdes<O>> Begun<O, R> {
    async fn finish(mut self) -> Result<O, OperationError> {
        let outcome = self.operation.outcome().await;
        let kind = OperationErrorKind::invoke(&outcome, &self.function);
        let payload = result_of(outcome, self.operation.id(), kind)?;
        let context = SerdesContext::of(self.operation.id(), &self.arn);
        serdes::read(&self.serdes, payload, context).await.map_err(OperationError::invoke_serialization)
    }
}

impl<O, I, P, R> IntoFuture for InvokeBuilder<O, I, P, R>
where
    O: 'static,
    I: 'static,
    P: Serdes<I>,
    R: Serdes<O>,
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
    use crate::error::InvokeErrorKind;
    use crate::executor::block_on;
    use crate::serdes::from_fn;

    #[test]
    fn an_input_that_cannot_be_written_is_an_error_and_nothing_begins() {
        let context = DurableContext::for_tests();
        let invoke = || {
            let refusing = from_fn(|_: u32| Err("not this".into()), |_: String| Ok(0));
            context.invoke::<String, u32>("charge", 7).payload_serdes(refusing)
        };
        for future in [invoke().future(), invoke().spawn()] {
            let error = block_on(future).expect_err("the serdes refuses");
            let OperationErrorKind::Invoke(invoke) = error.kind() else { panic!("not of an invoke: {error:?}") };
            assert_eq!(*invoke.kind(), InvokeErrorKind::SerializationFailed);
            assert_eq!(format!("{error:#}"), "operation error: invoke: serialization failed: not this");
            assert_eq!(error.operation_id(), None);
        }
    }
}
