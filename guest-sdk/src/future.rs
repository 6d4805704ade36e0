//! [`DurableFuture`]: a durable operation to be awaited.

use crate::error::OperationError;
use crate::executor;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A durable operation: made by a builder's `.await`, `.future()` or `.spawn()`.
///
/// It is an ordinary future. `join!`, `select!`, `FuturesUnordered` and whatever else the ecosystem has for futures may
/// be used on it; which of several is ready first is recorded, and the same on replay.
///
/// Dropping it before it is done cancels the operation, spawned ones too.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::{DurableFuture, http::Response};
///
/// let stock: DurableFuture<Response> = ctx.fetch("https://api.example.com/stock").spawn();
/// let price = ctx.fetch("https://api.example.com/price").await?;
/// let stock = stock.await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a future does nothing unless it is awaited; an operation that is dropped is cancelled"]
pub struct DurableFuture<O> {
    inner: Pin<Box<dyn Future<Output = Result<O, OperationError>>>>,
}

impl<O> DurableFuture<O> {
    pub(crate) fn new(future: impl Future<Output = Result<O, OperationError>> + 'static) -> Self {
        Self { inner: Box::pin(future) }
    }

    /// Runs `future` as a task, awaited or not.
    pub(crate) fn spawned(future: impl Future<Output = Result<O, OperationError>> + 'static) -> Self
    where
        O: 'static,
    {
        let join = Rc::new(RefCell::new(Join { result: None, waiting: None }));
        let slot = Rc::clone(&join);
        let task = executor::spawn(async move {
            let result = future.await;
            let waiting = {
                let mut join = slot.borrow_mut();
                join.result = Some(result);
                join.waiting.take()
            };
            if let Some(waker) = waiting {
                waker.wake();
            }
        });
        let guard = AbortOnDrop(task);
        Self::new(async move {
            let result = std::future::poll_fn(|context| join.borrow_mut().poll(context)).await;
            drop(guard);
            result
        })
    }
}

impl<O> Future for DurableFuture<O> {
    type Output = Result<O, OperationError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(context)
    }
}

impl<O> fmt::Debug for DurableFuture<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableFuture").finish_non_exhaustive()
    }
}

struct Join<O> {
    result: Option<Result<O, OperationError>>,
    waiting: Option<Waker>,
}

impl<O> Join<O> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<O, OperationError>> {
        executor::refuse_misplaced(executor::Misplaced::Awaited);
        match self.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                self.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Owns a task: dropping it drops the task, done or not.
pub(crate) struct AbortOnDrop(pub(crate) u64);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if !executor::in_body() {
            executor::abort(self.0);
        }
    }
}
