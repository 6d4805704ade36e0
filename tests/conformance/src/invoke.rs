//! Suite `invoke`, and the functions that it invokes.

use crate::serdes::UpperCase;
use crate::step::fails;
use crate::{Outcome, SECOND, text, unknown};
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, DurableContext, OperationError, Serdes};
use serde_json::{Value, json};

const ECHO: &str = "target-echo:$LATEST";
const FAILS: &str = "target-fails:$LATEST";
const LENGTH: &str = "target-length:$LATEST";

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    match requirement {
        "5-1" | "5-3" | "5-4" => Ok(ctx.invoke(ECHO, input).await?),
        "5-2" => Ok(ctx.invoke(ECHO, input["payload"].clone()).name(text(&input["name"])?).await?),
        "5-5" => Ok(ctx.invoke(FAILS, input).await?),
        "5-6" => Ok(failed(&ctx).await.unwrap_or_else(|_| json!("fallback"))),
        "5-7" => Ok(ctx.invoke(LENGTH, "x".repeat(1_000_000)).await?),
        "5-8" => Ok(ctx.invoke(ECHO, input["payload"].clone()).tenant_id(text(&input["tenantId"])?).await?),
        "5-9" => {
            let value: Value = ctx.invoke(ECHO, input).await?;
            ctx.wait(SECOND).await?;
            Ok(value)
        }
        "5-10" => {
            let caught = failed(&ctx).await.is_err();
            ctx.wait(SECOND).await?;
            Ok(json!(caught))
        }
        "5-11" => {
            let value: String = ctx.step(|_| async { Ok("from the step".to_owned()) }).await?;
            Ok(ctx.invoke(ECHO, value).await?)
        }
        "5-12" => {
            let value: Value = ctx.invoke(ECHO, json!("to the step")).await?;
            Ok(ctx.step(move |_| async move { Ok(value) }).await?)
        }
        "5-13" => {
            let body =
                |child: DurableContext| async move { Ok::<Value, BoxError>(child.invoke(ECHO, json!("child")).await?) };
            Ok(ctx.run_in_child_context(body).name("child").await?)
        }
        "5-14" => {
            let first: Value = ctx.invoke(ECHO, json!("first")).await?;
            let second: Value = ctx.invoke(ECHO, json!("second")).await?;
            Ok(json!([first, second]))
        }
        "5-15" => Ok(ctx.invoke(ECHO, input).payload_serdes(Shouted).await?),
        "5-16" => Ok(json!(ctx.invoke::<String, _>(ECHO, input).serdes(UpperCase).await?)),
        _ => unknown(requirement),
    }
}

/// What is invoked.
pub(crate) fn target(name: &str, input: Value) -> Outcome {
    match name {
        "echo" => Ok(input),
        "fails" => fails(),
        "length" => Ok(json!(text(&input)?.len())),
        _ => unknown(name),
    }
}

async fn failed(ctx: &DurableContext) -> Result<Value, OperationError> {
    ctx.invoke(FAILS, Value::Null).await
}

/// JSON whose text members are in upper case.
struct Shouted;

impl Serdes<Value> for Shouted {
    async fn serialize(&self, mut value: Value, _: SerdesContext) -> Result<String, BoxError> {
        for member in value.as_object_mut().into_iter().flat_map(|object| object.values_mut()) {
            if let Some(text) = member.as_str() {
                *member = json!(text.to_uppercase());
            }
        }
        Ok(value.to_string())
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<Value, BoxError> {
        Ok(serde_json::from_str(&wire)?)
    }
}
