//! Suite `wait_for_condition`.

use crate::{Outcome, SECOND, unknown};
use everstep_sdk::builders::{WaitDecision, WaitStrategy};
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, DurableContext, JitterStrategy, OperationError, Serdes, StepContext};
use serde_json::{Value, json};

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    let threshold = input.as_i64().unwrap_or_default();
    match requirement {
        "6-1" => Ok(json!(counted(&ctx, 0, threshold).await?)),
        "6-2" => {
            let unchanged = |_: StepContext, state: i64| async move { Ok(state) };
            Ok(json!(ctx.wait_for_condition(unchanged, 5).wait_strategy_fn(until(5)).await?))
        }
        "6-3" => {
            let condition = ctx.wait_for_condition(next, 0).name("poll-status");
            Ok(json!(condition.wait_strategy_fn(until(threshold)).await?))
        }
        "6-4" => Ok(json!(counted(&ctx, 5, threshold).await?)),
        "6-5" => {
            let strategy = WaitStrategy::builder(move |state: &i64| *state >= threshold).initial_delay(2 * SECOND);
            let strategy = strategy.backoff_rate(1.0).jitter(JitterStrategy::None).build();
            Ok(json!(ctx.wait_for_condition(next, 0).wait_strategy(strategy).await?))
        }
        "6-6" => {
            let strategy = WaitStrategy::builder(|_: &i64| false).initial_delay(SECOND).max_attempts(3);
            let strategy = strategy.backoff_rate(1.0).jitter(JitterStrategy::None).build();
            Ok(json!(ctx.wait_for_condition(next, 0).wait_strategy(strategy).await?))
        }
        "6-7" => Ok(json!(broken(&ctx).await?)),
        "6-8" => Ok(broken(&ctx).await.map_or_else(|_| json!("recovered"), |state| json!(state))),
        "6-9" => {
            let check = |_: StepContext, state: Value| async move {
                let attempts = state["attempts"].as_i64().unwrap_or_default() + 1;
                Ok(json!({ "status": if attempts >= 2 { "DONE" } else { "PENDING" }, "attempts": attempts }))
            };
            let strategy = |state: Value, _| decide(state["status"] == "DONE");
            let initial = json!({ "status": "PENDING", "attempts": 0 });
            Ok(ctx.wait_for_condition(check, initial).wait_strategy_fn(strategy).await?)
        }
        "6-10" => {
            let check = |_: StepContext, _: Value| async { Ok(Value::Null) };
            Ok(ctx.wait_for_condition(check, Value::Null).wait_strategy_fn(|_, _| decide(true)).await?)
        }
        "6-11" => {
            let check = |_: StepContext, state: String| async move { Ok(state + "x") };
            let condition = ctx.wait_for_condition(check, String::new()).serdes(Encoded);
            Ok(json!(condition.wait_strategy_fn(|state: String, _| decide(state.len() >= 2)).await?))
        }
        "6-12" => {
            let state = counted(&ctx, 0, threshold).await?;
            Ok(ctx.step(move |_| async move { Ok(json!(state * 10)) }).await?)
        }
        "6-13" => {
            let first = counted(&ctx, 0, 2).await?;
            Ok(json!(counted(&ctx, first, 4).await?))
        }
        _ => unknown(requirement),
    }
}

/// Polls a counter until it reaches the threshold.
async fn counted(ctx: &DurableContext, initial: i64, threshold: i64) -> Result<i64, OperationError> {
    ctx.wait_for_condition(next, initial).wait_strategy_fn(until(threshold)).await
}

async fn next(_: StepContext, state: i64) -> Result<i64, BoxError> {
    Ok(state + 1)
}

async fn broken(ctx: &DurableContext) -> Result<i64, OperationError> {
    let check = |_: StepContext, _: i64| async { Err("the check failed".into()) };
    ctx.wait_for_condition(check, 0).wait_strategy_fn(until(1)).await
}

fn until(threshold: i64) -> impl Fn(i64, u32) -> WaitDecision {
    move |state, _| decide(state >= threshold)
}

fn decide(satisfied: bool) -> WaitDecision {
    if satisfied { WaitDecision::complete() } else { WaitDecision::continue_with(SECOND) }
}

/// Text behind a prefix.
struct Encoded;

impl Serdes<String> for Encoded {
    async fn serialize(&self, value: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(format!("encoded:{value}"))
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<String, BoxError> {
        wire.strip_prefix("encoded:").map(str::to_owned).ok_or_else(|| format!("{wire:?} is not encoded").into())
    }
}
