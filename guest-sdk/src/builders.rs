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
//! Operations are numbered in the order they begin. That order needs no care: it follows from the code and from the
//! recorded results, which a replay repeats.

mod body;
mod callback;
mod child;
pub(crate) mod combinators;
mod condition;
mod fetch;
mod invoke;
pub mod map_parallel;
mod retry_loop;
mod step;
mod wait;

pub use crate::retry::{JitterStrategy, RetryStrategyConfig, RetryStrategyConfigBuilder};
pub use child::ChildBuilder;
pub use combinators::{CombinatorBuilder, JoinAllBuilder, RaceBuilder, SelectOkBuilder, TryJoinAllBuilder};
pub use fetch::FetchBuilder;
pub use map_parallel::{MapBuilder, ParallelBuilder};
pub use step::StepBuilder;
pub use wait::WaitBuilder;

pub use crate::wait_strategy::{WaitDecision, WaitStrategy, WaitStrategyBuilder};
pub use callback::{Callback, CreateCallbackBuilder, WaitForCallbackBuilder};
pub use condition::WaitForConditionBuilder;
pub use invoke::InvokeBuilder;
pub use retry_loop::WithRetryBuilder;
