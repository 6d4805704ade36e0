//! Suite `map`.

use crate::batch::{Joined, SUCCESSES, WITH_STATUS, WITHOUT_STATUS, projection, step, tolerating};
use crate::step::fails;
use crate::{Outcome, SECOND, text, unknown};
use everstep_sdk::builders::map_parallel::{CompletionConfig, NestingMode};
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, DurableContext, Serdes};
use serde_json::{Value, json};
use std::future::{Ready, ready};

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    let items = input.as_array().cloned().unwrap_or_default();
    match requirement {
        "9-1" => {
            let greet =
                |ctx, item: Value, _| async move { step(ctx, json!(format!("Hello, {}!", text(&item)?))).await };
            Ok(json!(ctx.map(items, greet).name("map").max_concurrency(1).await?))
        }
        "9-2" => {
            let double = |_, item: Value, _| async move { Ok(json!(2 * number(&item)?)) };
            Ok(json!(ctx.map(items, double).max_concurrency(1).await?))
        }
        "9-3" => {
            let add = |_, item: Value, index: usize| async move { Ok(json!(number(&item)? + index as i64)) };
            Ok(json!(ctx.map(items, add).name("indexed").max_concurrency(1).await?))
        }
        "9-4" => Ok(json!(ctx.map(items, itself).name("empty").await?)),
        "9-5" => batch(&ctx, "failfast", &[true, false, true], tolerating(0), WITH_STATUS).await,
        "9-6" => {
            let map = ctx.map([false, true], succeeds).name("throwing").max_concurrency(1);
            map.completion(tolerating(0)).await_batch().await?.throw_if_error()?;
            Ok(Value::Null)
        }
        "9-7" => {
            let two = CompletionConfig::with_min_successful(2);
            batch(&ctx, "min-successful", &[true; 4], two, SUCCESSES).await
        }
        "9-8" => batch(&ctx, "tolerated", &[true, false, true], tolerating(1), WITH_STATUS).await,
        "9-9" => batch(&ctx, "tolerated-exceeded", &[false, false, true], tolerating(1), WITHOUT_STATUS).await,
        "9-10" => {
            let quarter = CompletionConfig::with_tolerated_failure_percentage(25);
            batch(&ctx, "tolerated-pct", &[false, false, true, true], quarter, WITHOUT_STATUS).await
        }
        "9-11" => Ok(json!(ctx.map(strings(["r0", "r1", "r2"]), itself).name("concurrent").max_concurrency(2).await?)),
        "9-12" => {
            let map = ctx.map(strings(["fa", "fb"]), |ctx, item, _| step(ctx, item)).name("flat").max_concurrency(1);
            Ok(json!(map.nesting(NestingMode::Flat).await?))
        }
        "9-13" => {
            let times_ten = |_, item: Value, _| async move { Ok(json!(10 * number(&item)?)) };
            let map = ctx.map(items, times_ten).name("named-items").max_concurrency(1);
            Ok(json!(map.item_namer(|index| format!("item-{}", index + 1)).await?))
        }
        "9-14" => {
            let map = ctx.map(["x", "y"], upper_case).name("serdes").max_concurrency(1);
            Ok(json!(map.serdes(Wrapped).await?))
        }
        "9-15" => {
            let map = ctx.map(strings(["r0", "r1"]), |ctx: DurableContext, item, index| async move {
                if index == 1 {
                    ctx.wait(SECOND).await?;
                }
                step(ctx, item).await
            });
            Ok(json!(map.name("suspend").max_concurrency(1).await?))
        }
        "9-16" => {
            let large = |_, item: Value, _| ready(Ok(json!(text(&item).unwrap_or_default().repeat(70 * 1024))));
            let batch =
                ctx.map(strings(["a", "b", "c", "d"]), large).name("large").max_concurrency(1).await_batch().await?;
            Ok(projection(&batch, &["successCount", "totalCount"]))
        }
        "9-17" => {
            let results = ctx.map(["a", "b"], upper_case).name("then-wait").max_concurrency(1).await?;
            ctx.wait(SECOND).await?;
            Ok(json!(results))
        }
        "9-18" => {
            let told = batch(&ctx, "fail-then-wait", &[true, false], tolerating(1), WITH_STATUS).await?;
            ctx.wait(SECOND).await?;
            Ok(told)
        }
        "9-19" => {
            let map = ctx.map(["x", "y"], upper_case).name("op-serde").max_concurrency(1);
            Ok(json!(map.result_serdes(Joined).await?))
        }
        "9-20" => {
            let map = ctx.map(["x", "y"], upper_case).name("op-serde-replay").max_concurrency(1);
            let results = map.result_serdes(Joined).await?;
            ctx.wait(SECOND).await?;
            Ok(json!(results))
        }
        _ => unknown(requirement),
    }
}

/// One item after the other: those that are true return "ok", the others fail.
async fn batch(
    ctx: &DurableContext,
    name: &str,
    items: &[bool],
    config: CompletionConfig,
    members: &[&str],
) -> Outcome {
    let map = ctx.map(items.to_vec(), succeeds).name(name).max_concurrency(1).completion(config);
    Ok(projection(&map.await_batch().await?, members))
}

fn succeeds(_: DurableContext, item: bool, _: usize) -> Ready<Outcome> {
    ready(if item { Ok(json!("ok")) } else { fails() })
}

fn itself(_: DurableContext, item: Value, _: usize) -> Ready<Outcome> {
    ready(Ok(item))
}

fn upper_case(_: DurableContext, item: &'static str, _: usize) -> Ready<Result<String, BoxError>> {
    ready(Ok(item.to_uppercase()))
}

fn strings<const N: usize>(items: [&str; N]) -> [Value; N] {
    items.map(|item| json!(item))
}

fn number(item: &Value) -> Result<i64, BoxError> {
    item.as_i64().ok_or_else(|| format!("{item} is no whole number").into())
}

/// Text behind a prefix.
struct Wrapped;

impl Serdes<String> for Wrapped {
    async fn serialize(&self, value: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(format!("wrapped:{value}"))
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<String, BoxError> {
        wire.strip_prefix("wrapped:").map(str::to_owned).ok_or_else(|| format!("{wire:?} is not wrapped").into())
    }
}
