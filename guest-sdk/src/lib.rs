//! Write durable workflows for Everstep.
//!
//! A workflow is an ordinary program for `wasm32-wasip2`. It runs to its end however often its process dies and
//! however long it waits: what it did is recorded, and after an interruption it runs again over the record. Names,
//! builders and defaults are those of AWS's durable execution SDK for Rust.
//!
//! ```no_run
//! use everstep_sdk as durable;
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     id: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Receipt {
//!     charge: String,
//! }
//!
//! async fn handler(order: Order, ctx: durable::DurableContext) -> Result<Receipt, durable::BoxError> {
//!     let charge: String = ctx
//!         .step(move |step| async move { Ok(format!("charge {} with key {}", order.id, step.idempotency_key())) })
//!         .name("charge")
//!         .await?;
//!     ctx.wait(Duration::from_secs(24 * 3600)).name("cooling-off").await?;
//!     Ok(Receipt { charge })
//! }
//!
//! fn main() {
//!     durable::run(handler)
//! }
//! ```
//!
//! # Operations
//!
//! All of them are methods of [`DurableContext`], and give a [builder](builders): `.await` it, or make a future of it
//! with `.future()`, or begin it in the background with `.spawn()`.
//!
//! | operation | what it is | in the history | fails with |
//! |---|---|---|---|
//! | [`step`](DurableContext::step) | code with effects: run once, retried, its result recorded | STEP | [`StepError`] |
//! | [`fetch`](DurableContext::fetch) | an HTTP request, performed by the host | STEP (`Fetch`) | [`FetchError`] |
//! | [`wait`](DurableContext::wait) | a timer, 1 second to 366 days | WAIT | [`WaitError`] |
//! | [`create_callback`](DurableContext::create_callback) | an id for somebody outside to complete | CALLBACK | [`CallbackError`] |
//! | [`wait_for_callback`](DurableContext::wait_for_callback) | the same, with the step that gives the id away | CONTEXT (`WaitForCallback`) | [`CallbackError`] |
//! | [`invoke`](DurableContext::invoke) | another function and its result | CHAINED_INVOKE | [`InvokeError`] |
//! | [`wait_for_condition`](DurableContext::wait_for_condition) | a check, made again and again until it is content | STEP (`WaitForCondition`) | [`WaitForConditionError`] |
//! | [`run_in_child_context`](DurableContext::run_in_child_context) | a group of operations | CONTEXT (`RunInChildContext`) | [`ChildContextError`] |
//! | [`with_retry`](DurableContext::with_retry) | a group of operations that is retried as a whole | CONTEXT (`RunInChildContext`) | [`ChildContextError`] |
//! | [`map`](DurableContext::map) | a group of operations for each of many items | CONTEXT (`Map`) | [`ChildContextError`] |
//! | [`parallel`](DurableContext::parallel) | several groups of operations at once | CONTEXT (`Parallel`) | [`ChildContextError`] |
//! | [`try_join_all`](DurableContext::try_join_all) | all of several futures, or the first failure | CONTEXT (`RunInChildContext`) | [`CombinatorError`] |
//! | [`join_all`](DurableContext::join_all) | how each of several futures ended | CONTEXT (`RunInChildContext`) | [`CombinatorError`] |
//! | [`select_ok`](DurableContext::select_ok) | the first of several futures that succeeds | CONTEXT (`RunInChildContext`) | [`CombinatorError`] |
//! | [`race`](DurableContext::race) | the first of several futures that ends | CONTEXT (`RunInChildContext`) | [`CombinatorError`] |
//!
//! Every error is an [`OperationError`], whose [kind](OperationError::kind) holds the one of the table. What breaks a
//! bound (a name of 300 characters, say) ends the execution instead, as FAILED with type `WorkflowError`. Retries are
//! described by a [`RetryStrategyConfig`] or decided by a closure; values are written and read by a [`Serdes`];
//! [`Logger`] writes log lines.
//!
//! # Determinism
//!
//! There is no contract to keep. Outside steps a workflow has no way to see anything that differs between a live run
//! and its replay, so all of this, which AWS's contract forbids, is fine here:
//!
//! * `SystemTime::now`, `Instant::now`, random numbers, UUIDs: the execution's own, the same on every replay;
//! * iterating a `HashMap` while making operations: hash seeds belong to the execution;
//! * `select!`, `join!`, `FuturesUnordered`, `now_or_never`, channels between tasks: completions arrive in recorded
//!   order, and none is there on replay where it was not there live;
//! * `println!` and [`Logger`] anywhere: what a replay repeats is dropped;
//! * `std::thread::sleep`: a durable wait (that stops the whole workflow; [`DurableContext::wait`] stops one future).
//!
//! What remains: changing the *code* under a running execution. Executions are pinned to the version they started with,
//! so that does not happen by itself.
//!
//! # Waiting for others
//!
//! A workflow that waits needs no process, for a year if need be. It waits for somebody outside with
//! [`create_callback`](DurableContext::create_callback) and [`wait_for_callback`](DurableContext::wait_for_callback),
//! for another function with [`invoke`](DurableContext::invoke), for something that has to be looked at again and again
//! with [`wait_for_condition`](DurableContext::wait_for_condition), and between the attempts of a whole block of
//! operations with [`with_retry`](DurableContext::with_retry).
//!
//! # HTTP
//!
//! [`DurableContext::fetch`] makes a request durable: the host performs it while the workflow goes on, many at once,
//! and records the answer. In a step's body, [`http::Request::send`] makes one on the spot.
//!
//! # Steps
//!
//! A step's body has real time, real randomness and the I/O it was granted. In return it is sealed:
//!
//! * **Only its result survives.** Memory is put back when the body ends, live as on replay: a counter it incremented, a
//!   cache it filled, a captured `Rc` it mutated are as they were before. What the workflow needs must be in the
//!   result. Captured values are dropped after the step, outside it, as if the body had never run.
//! * **It runs alone, to its end.** Bodies of one execution run one at a time, and nothing else moves meanwhile;
//!   waits go on. A body may block. It may be `async`; its future is driven on the spot, and a future in it that
//!   nothing can wake is an error.
//! * **No durable operations in it**, and none of the workflow's futures: that panics.
//! * Files and sockets that it opens it should close in the reverse order, as Rust drops variables. After a body that does
//!   not, the workflow goes on in a fresh instance, which costs a replay.
//!
//! A body that panics is an interrupted attempt: the retry strategy decides about it, as about an error. A body that
//! exits, or whose process is killed, runs again as the same attempt, unless [its semantics](StepSemantics) are at most
//! once: then it is interrupted as well. Elsewhere a panic fails the execution.
//!
//! # Many at once
//!
//! [`DurableContext::map`] and [`DurableContext::parallel`] run many child contexts at once, with a limit and with
//! [criteria](builders::map_parallel::CompletionConfig) for stopping early. [`DurableContext::try_join_all`],
//! [`join_all`](DurableContext::join_all), [`select_ok`](DurableContext::select_ok) and [`race`](DurableContext::race)
//! combine operations and show the combination in the history; `join!`, `select!` and whatever else the ecosystem has
//! do the same without a trace. Every one of them is repeated by a replay item for item: nothing of a large result is
//! summarised.
//!
//! # Order
//!
//! An operation begins when its future is first polled (with `.spawn()`: at the call), unlike in AWS's SDK, which
//! numbers operations where the builder is made. Either is the same on every replay.

#![warn(missing_docs)]

pub mod builders;
mod context;
mod error;
mod executor;
mod future;
pub mod http;
mod logger;
mod retry;
mod seal;
pub mod serdes;
mod warm;
mod wire;

#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
mod bindings;

pub use builders::combinator::Settled;
pub use builders::map_parallel::Branch;
pub use context::{DurableContext, StepContext};
pub use error::{
    CallbackError, CallbackErrorKind, FunctionNotFound, InvokeError, InvokeErrorKind, MaxChecksExceeded,
    WaitForConditionError, WaitForConditionErrorKind,
};
pub use error::{
    ChildContextError, ChildContextErrorKind, CombinatorError, CombinatorErrorKind, FetchError, FetchErrorKind,
    JoinFailed, OperationError, OperationErrorKind, RetriesExhausted, StepError, StepErrorKind, WaitError,
    WaitErrorKind,
};
pub use future::DurableFuture;
pub use logger::Logger;
pub use retry::{JitterStrategy, RetryDecision, RetryStrategyConfig, RetryStrategyConfigBuilder};
pub use serdes::{JsonSerdes, Serdes};
pub use wire::{ReplayedFailure, TypedError, WireError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;

/// The error that handlers and bodies return: any error, made by `?` or from text.
///
/// What the log holds of it is told by [`WireError`]; to give it a name there, see [`TypedError`].
///
/// ```
/// fn checked(amount: i64) -> Result<u64, everstep_sdk::BoxError> {
///     if amount == 0 {
///         return Err("nothing to charge".into());
///     }
///     Ok(u64::try_from(amount)?)
/// }
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What happens to an attempt whose process died before its outcome was durable.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::StepSemantics;
///
/// let text_message = ctx.step(|_| async { Ok(println!("the parcel is on its way")) });
/// text_message.name("notify").semantics(StepSemantics::AtMostOncePerRetry).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StepSemantics {
    /// The body may run again, as the same attempt: for what is idempotent, or carries
    /// [an idempotency key](StepContext::idempotency_key).
    #[default]
    AtLeastOncePerRetry,
    /// The attempt is durable before its body starts, and no attempt's body starts twice. The interrupted attempt
    /// counts as failed with [`StepErrorKind::Interrupted`], and the retry strategy decides. Without retries: at most
    /// once in all.
    AtMostOncePerRetry,
}

/// Runs a workflow: reads the input, runs `handler` durably, hands over its result.
///
/// To be called from `main`, once, as the last thing. The input is JSON (`null` if the execution was started without
/// one); if it does not fit `E`, the execution fails with type `InvalidInputError`. An error of the handler fails the
/// execution: its type is that of a [`TypedError`] or a failed operation if it is one, else `HandlerError`.
///
/// If the process dies in here, a later one runs `main` again from the start, over the record of what was done. While
/// the execution only waits, the call does not return and no process need exist.
///
/// ```no_run
/// use everstep_sdk::{BoxError, DurableContext};
///
/// async fn greet(name: String, ctx: DurableContext) -> Result<String, BoxError> {
///     ctx.logger().info("greeting");
///     Ok(format!("Hello, {name}!"))
/// }
///
/// fn main() {
///     everstep_sdk::run(greet)
/// }
/// ```
pub fn run<E, O, F, Fut>(handler: F)
where
    F: FnOnce(E, DurableContext) -> Fut + 'static,
    Fut: Future<Output = Result<O, BoxError>>,
    E: DeserializeOwned + 'static,
    O: Serialize + 'static,
{
    warm::open_shared_handles();
    let input = bindings::input();
    let outcome = match serde_json::from_str::<E>(input.as_deref().unwrap_or("null")) {
        Ok(event) => {
            let context = DurableContext::root();
            match executor::drive(async move { handler(event, context).await }) {
                Ok(output) => serde_json::to_string(&output)
                    .map_err(|error| wire::WireError::of(&error, wire::SERIALIZATION_ERROR)),
                Err(error) => Err(wire::WireError::of(&*error, wire::HANDLER_ERROR)),
            }
        }
        Err(error) => Err(invalid_input(&error, std::any::type_name::<E>())),
    };
    finish(outcome);
}

fn invalid_input(error: &serde_json::Error, expected: &str) -> WireError {
    let message = format!("cannot read the input as {expected}: {error}; start the execution with an input that fits");
    WireError::new(Some("InvalidInputError"), Some(message))
}

fn finish(outcome: Result<String, WireError>) {
    match outcome {
        Ok(payload) => bindings::finish(Ok(Some(&payload))),
        Err(wire) => bindings::finish(Err(&wire.into_error_object())),
    }
}
