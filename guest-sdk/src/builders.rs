//! Builders of durable operations, one module each.
//!
//! A builder does nothing by itself. Three ways to go on, the same for each:
//!
//! | | the operation begins | without an `.await` |
//! |---|---|---|
//! | `.await` | at once | |
//! | `.future()` | when the future is first polled | never begins |
//! | `.spawn()` | at the call | runs all the same, until the future is dropped |
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
//! let stock = ctx.invoke::<u32, _>("stock", 7).name("stock").spawn(); // begins here
//! let limit = ctx.wait(Duration::from_secs(60)).future();
//! ctx.step(|_| async { Ok(println!("looking")) }).name("look").await?; // begins and ends here
//! limit.await?; // begins and ends here
//! let stock = stock.await?;
//! # Ok(()) }
//! ```
//!
//! To begin or to await an operation inside a step's body, or after the handler returned, panics.
//!
//! Operations are numbered in the order they begin. That order needs no care: it follows from the code and from the
//! recorded results, which a replay repeats.

mod body;
pub mod callback;
mod child;
pub mod combinator;
mod fetch;
pub mod invoke;
pub mod map_parallel;
mod step;
mod wait;
pub mod wait_for_condition;
mod wait_strategy;
pub mod with_retry;

pub use crate::retry::{JitterStrategy, RetryStrategyConfig, RetryStrategyConfigBuilder};
pub use child::ChildBuilder;
pub use combinator::{CombinatorBuilder, JoinAllBuilder, RaceBuilder, SelectOkBuilder, TryJoinAllBuilder};
pub use fetch::FetchBuilder;
pub use map_parallel::{MapBuilder, ParallelBuilder};
pub use step::StepBuilder;
pub use wait::WaitBuilder;

pub use callback::{Callback, CreateCallbackBuilder, WaitForCallbackBuilder};
pub use invoke::InvokeBuilder;
pub use wait_for_condition::{WaitDecision, WaitForConditionBuilder, WaitStrategy, WaitStrategyBuilder};
pub use with_retry::WithRetryBuilder;
