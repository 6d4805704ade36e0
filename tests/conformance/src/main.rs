//! A handler for each requirement of AWS's conformance suite. The function's name says which: `step-1-1` is requirement
//! 1-1 of the suite `step`. The suite's text says what a handler does; it is not repeated here.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "built for wasm32-wasip2 alone"))]

mod batch;
mod callback;
mod child;
mod invoke;
mod map;
mod parallel;
mod serdes;
mod step;
mod wait;
mod wait_for_callback;
mod wait_for_condition;

use everstep_sdk::{BoxError, DurableContext, RetryStrategyConfig};
use serde_json::Value;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What a handler comes to.
type Outcome = Result<Value, BoxError>;

fn main() {
    #[cfg(target_arch = "wasm32")]
    everstep_sdk::run(handle);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("conformance is a workflow; build it with `cargo build --target wasm32-wasip2`");
}

async fn handle(input: Value, ctx: DurableContext) -> Outcome {
    let function = ctx.function_name().to_owned();
    let (suite, requirement) = function.split_once('-').unwrap_or((&function, ""));
    match suite {
        "step" | "plugin" => step::handle(requirement, input, ctx).await,
        "wait" => wait::handle(requirement, ctx).await,
        "child" => child::handle(requirement, input, ctx).await,
        "callback" => callback::handle(requirement, input, ctx).await,
        "invoke" => invoke::handle(requirement, input, ctx).await,
        "wait_for_condition" => wait_for_condition::handle(requirement, input, ctx).await,
        "wait_for_callback" => wait_for_callback::handle(requirement, input, ctx).await,
        "map" => map::handle(requirement, input, ctx).await,
        "parallel" => parallel::handle(requirement, ctx).await,
        "target" => invoke::target(requirement, input),
        _ => unknown(&function),
    }
}

/// No such function: the harness asks for one that was never written.
fn unknown(function: &str) -> Outcome {
    Err(format!("there is no handler for {function}").into())
}

/// An input, or a member of it, that must be text.
fn text(value: &Value) -> Result<String, BoxError> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is not text").into())
}

/// One attempt.
fn no_retry() -> RetryStrategyConfig {
    RetryStrategyConfig::builder().max_attempts(1).build()
}

/// So many attempts, a second apart.
fn attempts(max: u32) -> RetryStrategyConfig {
    use everstep_sdk::JitterStrategy;
    RetryStrategyConfig::builder()
        .max_attempts(max)
        .initial_delay(SECOND)
        .backoff_rate(1.0)
        .jitter(JitterStrategy::None)
        .build()
}
