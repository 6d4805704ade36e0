//! Suite `step`, and what of the suite `plugin` can be seen without plugins: the same steps.

use crate::serdes::UpperCase;
use crate::{Outcome, SECOND, attempts, no_retry, text, unknown};
use everstep_sdk::{
    BoxError, DurableContext, JitterStrategy, RetryDecision, RetryStrategyConfig, StepError, StepSemantics, TypedError,
};
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::time::Duration;

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    match requirement {
        "1-1" | "10-2" | "10-4" | "10-5" => greet(input, &ctx).await,
        "1-2" => {
            let name = text(&input)?;
            ctx.step(move |_| async move { Ok(json!(format!("Hello, {name}!"))) })
                .name("custom_step_name")
                .await
                .map_err(Into::into)
        }
        "1-3" => {
            let first: String = ctx.step(|_| async { Ok("first".to_owned()) }).await?;
            Ok(ctx.step(move |_| async move { Ok(json!(format!("{first}_second"))) }).await?)
        }
        "1-4" => Ok(ctx.step(move |_| async move { Ok(response(&input)) }).await?),
        "1-5" => Ok(json!(ctx.step(|_| async { Ok(()) }).await?)),
        "1-6" => {
            let input = text(&input)?;
            Ok(json!(ctx.step(move |_| async move { Ok(input) }).serdes(UpperCase).await?))
        }
        "1-7" => logged(input, &ctx).await,
        "1-8" => cached(&ctx, "computed", 2).await,
        "1-9" => cached(&ctx, "cached_value", 1).await,
        "1-10" => {
            let failed: Result<Value, _> = ctx.step(|_| async { fails() }).retry_strategy_config(no_retry()).await;
            let caught = failed.is_err();
            ctx.wait(SECOND).await?;
            Ok(json!(caught))
        }
        "1-11" | "10-3" => unreliable(&ctx, 2, Some(attempts(3))).await,
        "1-12" => Ok(ctx.step(|_| async { fails() }).retry_strategy_config(attempts(4)).await?),
        "1-13" => unreliable(&ctx, 3, None).await,
        "1-14" => {
            let config = RetryStrategyConfig::builder().max_attempts(5).initial_delay(Duration::from_secs(2));
            unreliable(&ctx, 3, Some(config.backoff_rate(3.0).jitter(JitterStrategy::None).build())).await
        }
        "1-15" => {
            let transient_first = |step: everstep_sdk::StepContext| async move {
                if step.attempt() == 1 { transient() } else { Ok(json!("recovered")) }
            };
            Ok(ctx.step(transient_first).retry_strategy(|error, _| retry_if(is_transient(error))).await?)
        }
        "1-16" => {
            Ok(ctx.step(|_| async { transient() }).retry_strategy(|error, _| retry_if(!is_transient(error))).await?)
        }
        "1-17" => crashing(input, &ctx, no_retry()).await,
        "1-18" => crashing(input, &ctx, attempts(2)).await,
        "1-19" | "10-7" => Ok(ctx.step(|_| async { fails() }).retry_strategy_config(no_retry()).await?),
        "1-20" => {
            let failed: Result<Value, _> = ctx.step(|_| async { fails() }).retry_strategy_config(no_retry()).await;
            let value = failed.unwrap_or_else(|_| json!("fallback_result"));
            Ok(ctx.step(move |_| async move { Ok(value) }).await?)
        }
        "10-1" => {
            let name = text(&input)?;
            let body = move |step: everstep_sdk::StepContext| async move {
                step.logger().info(format!("Greeting step running for: {name}"));
                Ok(json!(format!("Hello, {name}!")))
            };
            Ok(ctx.step(body).await?)
        }
        "10-6" => Ok(json!(ctx.wait(2 * SECOND).await?)),
        _ => unknown(requirement),
    }
}

async fn greet(input: Value, ctx: &DurableContext) -> Outcome {
    let name = text(&input)?;
    Ok(ctx.step(move |_| async move { Ok(json!(format!("Hello, {name}!"))) }).await?)
}

fn response(input: &Value) -> Value {
    let tags = input["tags"].clone();
    json!({ "count": tags.as_array().map_or(0, Vec::len), "user": { "name": input["name"], "tags": tags } })
}

async fn logged(input: Value, ctx: &DurableContext) -> Outcome {
    let name = text(&input)?;
    let body = move |step: everstep_sdk::StepContext| async move {
        step.logger().info(format!("Greeting step started for: {name}"));
        let greeting = format!("Hello, {name}!");
        step.logger().info(format!("Greeting step completed with: {greeting}"));
        Ok(json!(greeting))
    };
    Ok(ctx.step(body).await?)
}

async fn cached(ctx: &DurableContext, value: &'static str, seconds: u64) -> Outcome {
    let body = move |step: everstep_sdk::StepContext| async move {
        step.logger().info("step executed");
        Ok(json!(value))
    };
    let value = ctx.step(body).await?;
    ctx.wait(Duration::from_secs(seconds)).await?;
    Ok(value)
}

/// Fails until its attempt of this number.
async fn unreliable(ctx: &DurableContext, succeeds: u32, config: Option<RetryStrategyConfig>) -> Outcome {
    let step = ctx.step(move |step| async move {
        if step.attempt() < succeeds { fails() } else { Ok(json!("Operation succeeded")) }
    });
    match config {
        Some(config) => Ok(step.retry_strategy_config(config).await?),
        None => Ok(step.await?),
    }
}

/// The process exits in the first attempt.
async fn crashing(input: Value, ctx: &DurableContext, config: RetryStrategyConfig) -> Outcome {
    let input = text(&input)?;
    let body = move |step: everstep_sdk::StepContext| async move {
        step.logger().info(&input);
        if step.attempt() == 1 {
            std::process::exit(1);
        }
        Ok(json!("succeeded on second attempt"))
    };
    let step = ctx.step(body).name("at_most_once_flaky_step").semantics(StepSemantics::AtMostOncePerRetry);
    Ok(step.retry_strategy_config(config).await?)
}

pub(crate) fn fails() -> Outcome {
    Err("the operation failed".into())
}

#[derive(Debug)]
struct TransientError;

impl fmt::Display for TransientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("try again")
    }
}

impl Error for TransientError {}

fn transient() -> Outcome {
    Err(BoxError::from(TypedError::new(TransientError)))
}

fn is_transient(error: &StepError) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(|cause| cause.is::<TransientError>())
}

fn retry_if(again: bool) -> RetryDecision {
    if again { RetryDecision::Retry { delay: SECOND } } else { RetryDecision::Stop }
}
