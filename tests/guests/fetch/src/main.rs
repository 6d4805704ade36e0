//! HTTP requests of a workflow, one kind a case. The input says which case and where the server is.

mod alone;
mod order;

use everstep_sdk as durable;
use everstep_sdk::http::Request;
use everstep_sdk::{DurableContext, JitterStrategy, OperationErrorKind, RetryStrategyConfig};
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use std::pin::pin;
use std::time::Duration;

#[derive(serde::Deserialize)]
struct Input {
    case: String,
    #[serde(default)]
    server: String,
    /// `METHOD URL`, for the case `listed`.
    #[serde(default)]
    requests: Vec<String>,
    /// What is sent, for the case `edited`.
    #[serde(default)]
    sends: Vec<String>,
}

async fn handler(input: Input, ctx: DurableContext) -> Result<Value, durable::BoxError> {
    let Input { case, server, requests, sends } = input;
    match case.as_str() {
        "mixed" => mixed(&ctx, &server).await,
        "many" => many(&ctx, &server).await,
        "race" => race(&ctx, &server).await,
        "retried" => retried(&ctx, &server).await,
        "charge" => charge(&ctx, &server).await,
        "bytes" => bytes(&ctx, &server).await,
        "redirects" => redirects(&ctx, &server).await,
        "refused" => refused(&ctx, &server).await,
        "in-body" => in_body(&ctx, server).await,
        "large" => large(&ctx, &server).await,
        "listed" => alone::listed(&ctx, requests).await,
        "edited" => alone::edited(&ctx, &sends).await,
        "timeout" => alone::timeout(&ctx, &server).await,
        "patient" => alone::patient(&ctx, &server).await,
        "stuck" => alone::stuck(&ctx, &server).await,
        "nested" => order::nested(&ctx, &server).await,
        "chosen" => order::chosen(&ctx, &server).await,
        "tie" => order::tie(&ctx, &server).await,
        "one" => {
            let path = format!("{server}/echo?secret=1");
            let request = Request::get(path).header("authorization", "Bearer 12345").header("x-kind", "one");
            let answer = ctx.fetch(request).await?;
            Ok(
                json!({"status": answer.status(), "type": answer.header("Content-Type"), "body": answer.json::<Value>()?}),
            )
        }
        other => Err(format!("there is no case {other}").into()),
    }
}

/// Requests, steps and waits at the same time, what comes next decided by what came first.
async fn mixed(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let mut log = Vec::new();
    let inventory = ctx.fetch(format!("{server}/echo?item=1")).spawn();
    let step = ctx.step(|_| async { Ok(41_u32) }).name("count").await?;
    ctx.wait(Duration::from_secs(60)).name("pause").await?;
    let answer = inventory.await?.json::<Value>()?;
    log.push(format!("{step} {}", answer["target"]));
    let update = Request::new("PUT", format!("{server}/echo")).json(&json!({"seen": log}))?;
    let (put, second) = futures_util::join!(
        ctx.fetch(update).name("update").future(),
        ctx.step(|_| async { Ok(1_u32) }).name("beside").future()
    );
    log.push(format!("{} {}", put?.json::<Value>()?["body"], second?));
    Ok(json!(log))
}

/// Twenty at once: the server answers none before it has all.
async fn many(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let requests = (0..20).map(|n| ctx.fetch(format!("{server}/gate/20?n={n}")).name(format!("n{n}")).future());
    let answers = join_all(requests).await;
    let sum: usize =
        answers.into_iter().map(|answer| answer.map(|answer| answer.body().len())).sum::<Result<_, _>>()?;
    let mut order = Vec::new();
    let mut left: FuturesUnordered<_> = (0..5)
        .map(|n| {
            let answer = ctx.fetch(format!("{server}/echo?again={n}")).future();
            async move { (n, answer.await.map(|answer| answer.status())) }
        })
        .collect();
    while let Some((n, status)) = left.next().await {
        order.push(json!([n, status?]));
    }
    Ok(json!({"sum": sum, "order": order.len()}))
}

/// A request that is never answered loses against a timer, and is dropped.
async fn race(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let silent = pin!(ctx.fetch(format!("{server}/silence")).name("silent").future());
    let timer = pin!(ctx.wait(Duration::from_secs(1)).name("patience").future());
    let winner = match select(silent, timer).await {
        Either::Left(_) => "answer",
        Either::Right(_) => "timer",
    };
    let after = ctx.fetch(format!("{server}/echo?after={winner}")).await?.json::<Value>()?;
    Ok(json!([winner, after["target"]]))
}

fn quickly(attempts: u32) -> RetryStrategyConfig {
    RetryStrategyConfig::builder()
        .max_attempts(attempts)
        .initial_delay(Duration::from_secs(1))
        .jitter(JitterStrategy::None)
        .build()
}

/// Two bad answers, then a good one; and one that stays bad.
async fn retried(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let good = ctx.fetch(format!("{server}/flaky/2")).retry_strategy_config(quickly(5)).await?;
    let bad = ctx.fetch(format!("{server}/status/503")).retry_strategy_config(quickly(2)).await?;
    Ok(json!([good.status(), good.text()?, bad.status()]))
}

/// A POST without a key is sent at most once: if nobody knows whether it arrived, it fails.
async fn charge(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let once = ctx.fetch(Request::post(format!("{server}/effect/once")).body("10 EUR")).name("once").await;
    let once = match once {
        Ok(answer) => json!(answer.status()),
        Err(error) => match error.kind() {
            OperationErrorKind::Fetch(fetch) => json!(format!("{:#}", fetch)),
            other => json!(other.to_string()),
        },
    };
    let key = ctx.execution_name().to_owned();
    let keyed = Request::post(format!("{server}/effect/keyed")).idempotency_key(key).body("20 EUR");
    let keyed = ctx.fetch(keyed).name("keyed").await?;
    Ok(json!({"once": once, "keyed": keyed.status()}))
}

/// What is no text, on the way there and back, and trailers.
async fn bytes(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let all: Vec<u8> = (0..=255).collect();
    let answer = ctx.fetch(Request::post(format!("{server}/mirror")).body(all.clone())).await?;
    let trailers: Vec<_> =
        answer.trailers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
    Ok(json!({"same": answer.body() == all, "trailers": trailers}))
}

async fn redirects(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let followed = ctx.fetch(format!("{server}/redirect?to=/echo")).await?;
    let first = ctx.fetch(format!("{server}/redirect?to=/echo")).redirects(0).await?;
    let away = ctx.fetch(format!("{server}/redirect?to=http://127.0.0.2:9/")).await;
    let away = away
        .map(|answer| answer.status())
        .map_err(|error| error.wire().map(|wire| wire.error_data().map(str::to_owned)));
    Ok(json!([followed.json::<Value>()?["target"], first.status(), first.header("location"), format!("{away:?}")]))
}

async fn refused(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let mut errors = Vec::new();
    for url in ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "https://example.com/", "ftp://x/", ":"]
    {
        errors.push(match ctx.fetch(url).retry_strategy_config(quickly(1)).await {
            Ok(answer) => format!("{url} answered {}", answer.status()),
            Err(error) => error.wire().and_then(|wire| wire.error_message()).unwrap_or_default().to_owned(),
        });
    }
    let method = ctx.fetch(Request::delete(format!("{server}/echo"))).retry_strategy_config(quickly(1)).await;
    errors.push(method.map_or_else(|error| format!("{error:#}"), |answer| answer.status().to_string()));
    Ok(json!(errors))
}

/// In a step's body a request is the body's own.
async fn in_body(ctx: &DurableContext, server: String) -> Result<Value, durable::BoxError> {
    let fetched: Value = ctx
        .step(move |_| async move {
            let answer = Request::post(format!("{server}/mirror")).header("x-a", "1").body(vec![7; 100_000]).send()?;
            let denied = Request::get("http://10.0.0.1/").send().unwrap_err();
            Ok(json!({"status": answer.status(), "bytes": answer.body().len(), "denied": denied.to_string()}))
        })
        .name("send")
        .await?;
    Ok(fetched)
}

/// Answers up to the bound of a payload are recorded; beyond it the request fails.
async fn large(ctx: &DurableContext, server: &str) -> Result<Value, durable::BoxError> {
    let fits = ctx.fetch(format!("{server}/size/900000")).await?;
    let too_large = ctx.fetch(format!("{server}/size/9000000")).retry_strategy_config(quickly(1)).await;
    let text = too_large.map_or_else(|error| format!("{error:#}"), |answer| answer.status().to_string());
    Ok(json!([fits.body().len(), text]))
}

fn main() {
    durable::run(handler);
}
