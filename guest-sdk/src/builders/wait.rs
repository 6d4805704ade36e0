//! A wait.

use crate::bindings;
use crate::context::DurableContext;
use crate::error::{OperationError, OperationErrorKind, WaitError, WaitErrorKind, result_of};
use crate::executor::{self, Operation};
use crate::future::DurableFuture;
use crate::retry::{LONGEST_SECONDS, whole_seconds};
use std::future::IntoFuture;
use std::time::Duration;

/// A durable timer to be: made by [`DurableContext::wait`].
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use std::time::Duration;
///
/// ctx.wait(Duration::from_secs(3_600)).name("cooling-off").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is awaited or spawned"]
#[non_exhaustive]
pub struct WaitBuilder {
    context: DurableContext,
    name: Option<String>,
    duration: Duration,
}

impl WaitBuilder {
    pub(crate) fn new(context: DurableContext, duration: Duration) -> Self {
        Self { context, name: None, duration }
    }

    /// Names the wait in the history: 1 to 256 printable ASCII characters. Any other name fails the execution, with
    /// type `WorkflowError`.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// # use std::time::Duration;
    /// ctx.wait(Duration::from_secs(7 * 24 * 3_600)).name("until the reminder").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The wait as a future; it begins when that is first polled. An error is that of [`DurableContext::wait`].
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// # use std::time::Duration;
    /// let limit = ctx.wait(Duration::from_secs(60)).future();
    /// let work = ctx.step(|_| async { Ok(()) }).future();
    /// ctx.race([work, limit]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn future(self) -> DurableFuture<()> {
        DurableFuture::new(async move { finish(self.begin()?).await })
    }

    /// Begins the wait now: its time runs while the workflow does other things. Dropping the future cancels it.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// # use std::time::Duration;
    /// let at_least_a_minute = ctx.wait(Duration::from_secs(60)).spawn();
    /// ctx.step(|_| async { Ok(println!("quick work")) }).await?;
    /// at_least_a_minute.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn(self) -> DurableFuture<()> {
        let begun = self.begin();
        DurableFuture::new(async move { finish(begun?).await })
    }

    fn begin(self) -> Result<Operation, OperationError> {
        executor::refuse_misplaced(executor::Misplaced::Begun);
        let seconds = whole_seconds(self.duration);
        let wrong = match self.duration {
            Duration::ZERO => Some(WaitErrorKind::Zero),
            _ if seconds > LONGEST_SECONDS => Some(WaitErrorKind::TooLong),
            _ => None,
        };
        if let Some(kind) = wrong {
            return Err(OperationError::from_kind(OperationErrorKind::Wait(WaitError::new(kind, None))));
        }
        let id = bindings::begin_wait(self.context.operation(), self.name.as_deref(), seconds);
        Ok(Operation::register(id, None))
    }
}

async fn finish(mut operation: Operation) -> Result<(), OperationError> {
    let outcome = operation.outcome().await;
    result_of(outcome, operation.id(), OperationErrorKind::wait).map(drop)
}

impl IntoFuture for WaitBuilder {
    type Output = Result<(), OperationError>;
    type IntoFuture = DurableFuture<()>;

    fn into_future(self) -> DurableFuture<()> {
        self.future()
    }
}
