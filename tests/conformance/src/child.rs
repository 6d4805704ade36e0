//! Suite `child`.

use crate::serdes::UpperCase;
use crate::step::fails;
use crate::{Outcome, SECOND, attempts, no_retry, text, unknown};
use everstep_sdk::{BoxError, DurableContext, OperationError, RetryStrategyConfig};
use serde_json::{Value, json};

const NAME: &str = "child";

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    match requirement {
        "3-1" => Ok(ctx.run_in_child_context(move |child| step(child, input)).await?),
        "3-2" => {
            let value = input["value"].clone();
            Ok(ctx.run_in_child_context(move |child| step(child, value)).name(text(&input["name"])?).await?)
        }
        "3-3" => {
            let body = move |child: DurableContext| async move {
                let first = step(child.clone(), input).await?;
                step(child, first).await
            };
            Ok(ctx.run_in_child_context(body).name(NAME).await?)
        }
        "3-4" => Ok(failing(&ctx, no_retry()).await?),
        "3-5" => match failing(&ctx, no_retry()).await {
            Ok(value) => Ok(value),
            Err(_) => step(ctx, input).await,
        },
        "3-6" => {
            let body = move |outer: DurableContext| async move {
                let value = step(outer.clone(), input).await?;
                Ok(outer.run_in_child_context(move |inner| step(inner, value)).name("inner").await?)
            };
            Ok(ctx.run_in_child_context(body).name("outer").await?)
        }
        "3-7" => {
            let body = move |child: DurableContext| async move {
                let unreliable =
                    child.step(move |step| async move { if step.attempt() == 1 { fails() } else { Ok(input) } });
                Ok(unreliable.retry_strategy_config(attempts(3)).await?)
            };
            Ok(ctx.run_in_child_context(body).name(NAME).await?)
        }
        "3-8" => Ok(failing(&ctx, attempts(2)).await?),
        "3-9" => {
            let value = ctx.run_in_child_context(move |child| step(child, input)).name(NAME).await?;
            ctx.wait(SECOND).await?;
            Ok(value)
        }
        "3-10" => Ok(ctx.run_in_child_context(move |child| step_and_wait(child, input)).name(NAME).await?),
        "3-11" => large(input, &ctx).await,
        "3-12" => Ok(ctx.run_in_child_context(move |child| crashing(child, input)).name(NAME).await?),
        "3-13" => {
            let body = move |child: DurableContext| async move {
                child.wait(SECOND).await?;
                Ok(input)
            };
            let value = ctx.run_in_child_context(body).name(NAME).await?;
            step(ctx, value).await
        }
        "3-14" => {
            let body = move |child: DurableContext| async move { text(&step(child, input).await?) };
            Ok(json!(ctx.run_in_child_context(body).name(NAME).serdes(UpperCase).await?))
        }
        "3-15" => Ok(ctx.run_in_child_context(|_| async { fails() }).name(NAME).await?),
        "3-16" => Ok(ctx.run_in_child_context(|_| async { Ok(Value::Null) }).name(NAME).await?),
        "3-17" => {
            let body = move |child: DurableContext| async move {
                child.logger().info(text(&input)?);
                Ok(input)
            };
            let value = ctx.run_in_child_context(body).name(NAME).await?;
            ctx.wait(SECOND).await?;
            Ok(value)
        }
        "3-18" => {
            let value = ctx.run_in_child_context(move |child| step_and_wait(child, input)).name(NAME).await?;
            step_and_wait(ctx, value).await
        }
        _ => unknown(requirement),
    }
}

/// A step that returns what it is given.
async fn step(ctx: DurableContext, value: Value) -> Outcome {
    Ok(ctx.step(move |_| async move { Ok(value) }).await?)
}

async fn step_and_wait(ctx: DurableContext, value: Value) -> Outcome {
    let value = step(ctx.clone(), value).await?;
    ctx.wait(SECOND).await?;
    Ok(value)
}

async fn failing(ctx: &DurableContext, config: RetryStrategyConfig) -> Result<Value, OperationError> {
    let body = move |child: DurableContext| async move {
        Ok::<Value, BoxError>(child.step(|_| async { fails() }).retry_strategy_config(config).await?)
    };
    ctx.run_in_child_context(body).name(NAME).await
}

/// The context's result is too large to be checkpointed.
async fn large(input: Value, ctx: &DurableContext) -> Outcome {
    let body = move |child: DurableContext| async move {
        child.logger().info(text(&input)?);
        let small = text(&step(child, input).await?)?;
        Ok(small.repeat(300 * 1024 / small.len().max(1)))
    };
    let large: String = ctx.run_in_child_context(body).name(NAME).await?;
    ctx.wait(SECOND).await?;
    Ok(json!(large.len()))
}

/// The process exits in the step's body the first time.
async fn crashing(ctx: DurableContext, value: Value) -> Outcome {
    let body = move |_| async move {
        // Nothing inside remembers the first time, which was the same attempt.
        if std::fs::File::create_new("/outside/crashed").is_ok() {
            std::process::exit(1);
        }
        Ok(value)
    };
    Ok(ctx.step(body).await?)
}
