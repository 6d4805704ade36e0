//! Suite `parallel`.

use crate::batch::{SUCCESSES, WITH_STATUS, WITHOUT_STATUS, projection, step, tolerating};
use crate::step::fails;
use crate::{Outcome, unknown};
use everstep_sdk::builders::ParallelBuilder;
use everstep_sdk::builders::map_parallel::{CompletionConfig, NestingMode};
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, Branch, DurableContext, Serdes};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) async fn handle(requirement: &str, ctx: DurableContext) -> Outcome {
    let sequential = |name: &str, branches: Vec<Branch<Value>>| ctx.parallel(branches).name(name).max_concurrency(1);
    let batch = async |name: &str, outcomes: &[bool], config: CompletionConfig, members: &[&str]| -> Outcome {
        let branches = outcomes.iter().map(|outcome| succeeds(*outcome)).collect();
        Ok(projection(&sequential(name, branches).completion(config).await_batch().await?, members))
    };
    match requirement {
        "8-1" => results(sequential("parallel", vec![stepping("task-1"), stepping("task-2")])).await,
        "8-2" => results(ctx.parallel([returning("alpha"), returning("beta")]).max_concurrency(1)).await,
        "8-3" => {
            let first = Branch::new("first", |_| async { Ok(json!("one")) });
            let second = Branch::new("second", |_| async { Ok(json!("two")) });
            results(sequential("named", vec![first, second])).await
        }
        "8-4" => {
            let branches = [json!("hello"), json!(42), json!({ "k": "v" })];
            let branches = branches.map(|value| Branch::new("", move |_| async move { Ok(value) }));
            results(sequential("hetero", branches.into())).await
        }
        "8-5" => results(sequential("empty", Vec::new())).await,
        "8-6" => batch("failfast", &[true, false, true], tolerating(0), WITH_STATUS).await,
        "8-7" => {
            let branches = vec![succeeds(false), succeeds(true)];
            let batch = sequential("throwing", branches).completion(tolerating(0)).await_batch().await?;
            batch.throw_if_error()?;
            Ok(Value::Null)
        }
        "8-8" => batch("min-successful", &[true; 4], CompletionConfig::with_min_successful(2), SUCCESSES).await,
        "8-9" => batch("tolerated", &[true, false, true], tolerating(1), WITH_STATUS).await,
        "8-10" => batch("tolerated-exceeded", &[false, false, true], tolerating(1), WITHOUT_STATUS).await,
        "8-11" => {
            let branches = ["r0", "r1", "r2"].map(returning);
            results(ctx.parallel(branches).name("concurrent").max_concurrency(2)).await
        }
        "8-12" => {
            let branches = vec![stepping("fa"), stepping("fb")];
            results(sequential("flat", branches).nesting(NestingMode::Flat)).await
        }
        "8-13" => {
            let quarter = CompletionConfig::with_tolerated_failure_percentage(25);
            batch("tolerated-pct", &[false, false, true, true], quarter, WITHOUT_STATUS).await
        }
        "8-14" => {
            let waiting = Branch::new("", |ctx: DurableContext| async move {
                ctx.wait(Duration::from_secs(2)).await?;
                Ok(json!("b1"))
            });
            results(sequential("replay", vec![stepping("b0"), waiting])).await
        }
        "8-15" => {
            let parallel = sequential("serde", vec![returning("x"), returning("y")]).serdes(Wrapped);
            Ok(json!(parallel.await?))
        }
        "8-16" => batch("all-fail", &[false; 3], tolerating(3), WITH_STATUS).await,
        "8-17" => {
            let three = CompletionConfig::with_min_successful(3);
            batch("min-not-reached", &[true, false, true], three, WITH_STATUS).await
        }
        "8-18" => {
            let combined = CompletionConfig::builder().min_successful(3).tolerated_failure_count(1).build()?;
            batch("combined", &[false, false, true, true], combined, WITHOUT_STATUS).await
        }
        "8-19" => {
            let branches = [returning("b0"), returning("b1")];
            results(ctx.parallel(branches).name("bad-concurrency").max_concurrency(0)).await
        }
        "8-20" => {
            let accessors = &["hasFailure", "successCount", "failureCount", "errorCount"];
            batch("accessors", &[true, false, true], tolerating(1), accessors).await
        }
        "8-21" => {
            let outer = Branch::new("", |ctx: DurableContext| async move {
                let inner = [stepping("i1"), stepping("i2")];
                results(ctx.parallel(inner).name("inner").max_concurrency(1)).await
            });
            results(sequential("outer", vec![outer])).await
        }
        "8-22" => {
            let quarter = CompletionConfig::with_tolerated_failure_percentage(25);
            batch("pct-boundary", &[false, true, true, true], quarter, WITH_STATUS).await
        }
        _ => unknown(requirement),
    }
}

async fn results(parallel: ParallelBuilder<Value>) -> Outcome {
    Ok(json!(parallel.await?))
}

fn returning(value: &'static str) -> Branch<Value> {
    Branch::new("", move |_| async move { Ok(json!(value)) })
}

fn stepping(value: &'static str) -> Branch<Value> {
    Branch::new("", move |ctx| step(ctx, json!(value)))
}

fn succeeds(outcome: bool) -> Branch<Value> {
    Branch::new("", move |_| async move { if outcome { Ok(json!("ok")) } else { fails() } })
}

/// JSON in an envelope.
struct Wrapped;

impl Serdes<Value> for Wrapped {
    async fn serialize(&self, value: Value, _: SerdesContext) -> Result<String, BoxError> {
        Ok(json!({ "wrapped": value }).to_string())
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<Value, BoxError> {
        Ok(serde_json::from_str::<Value>(&wire)?["wrapped"].take())
    }
}
