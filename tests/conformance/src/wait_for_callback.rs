//! Suite `wait_for_callback`.

use crate::step::fails;
use crate::{Outcome, SECOND, attempts, text, unknown};
use everstep_sdk::builders::WaitForCallbackBuilder;
use everstep_sdk::{BoxError, DurableContext, StepContext};
use serde_json::{Value, json};
use std::future::{Ready, ready};

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    match requirement {
        "7-1" | "7-4" | "7-15" => Ok(wait(&ctx).name(text(&input)?).await?),
        "7-2" => Ok(wait(&ctx).name("approval").await?),
        "7-3" => Ok(wait(&ctx).await?),
        "7-5" => Ok(wait(&ctx).name(text(&input)?).timeout(3 * SECOND).await?),
        "7-6" => Ok(wait(&ctx).name(text(&input)?).await.unwrap_or_else(|_| json!("recovered"))),
        "7-7" => {
            let submitter = |_: StepContext, _: String| async { fails().map(drop) };
            let callback = ctx.wait_for_callback::<Value, _, _>(submitter).name(text(&input)?);
            Ok(callback.submitter_retry_config(attempts(2)).await?)
        }
        "7-8" => {
            let name = text(&input)?;
            let body = |child: DurableContext| async move { Ok::<_, BoxError>(wait(&child).name(name).await?) };
            Ok(ctx.run_in_child_context(body).name("wrapper").await?)
        }
        "7-9" => {
            wait(&ctx).name("first").await?;
            Ok(wait(&ctx).name("second").await?)
        }
        "7-10" => {
            ctx.wait(SECOND).await?;
            ctx.step(|_| async { Ok("fixed".to_owned()) }).await?;
            Ok(wait(&ctx).name(text(&input)?).await?)
        }
        "7-11" => Ok(wait(&ctx).name(text(&input)?).await?["status"].clone()),
        "7-12" => Ok(wait(&ctx).name(text(&input)?).heartbeat(5 * SECOND).await?),
        "7-13" => Ok(wait(&ctx).name(text(&input)?).heartbeat(10 * SECOND).await?),
        "7-14" => {
            let waited = wait(&ctx).name(text(&input)?).timeout(3 * SECOND).await;
            Ok(waited.unwrap_or_else(|_| json!("timed-out-handled")))
        }
        _ => unknown(requirement),
    }
}

type Submitted = Ready<Result<(), BoxError>>;

/// Nobody needs to be told the callback's id: the suite reads it in the history.
fn wait(ctx: &DurableContext) -> WaitForCallbackBuilder<Value, fn(StepContext, String) -> Submitted, Submitted> {
    ctx.wait_for_callback(|_, _| ready(Ok(())))
}
