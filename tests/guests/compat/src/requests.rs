//! Requests in every state that a suspension can find them in.

use crate::tomorrow;
use everstep_sdk::http::Request;
use everstep_sdk::{BoxError, DurableContext, JitterStrategy, OperationErrorKind, RetryStrategyConfig};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use std::pin::pin;
use std::time::Duration;

fn retried(attempts: u32, delay: Duration) -> RetryStrategyConfig {
    RetryStrategyConfig::builder()
        .max_attempts(attempts)
        .initial_delay(delay)
        .max_delay(delay)
        .jitter(JitterStrategy::None)
        .build()
}

/// Before the suspension: one answer that was used, one that failed, one that nobody has asked for yet, three in the
/// order in which they came, and one that is bad and tried again in a week, when nobody will be waiting for it.
pub(crate) async fn fetches(ctx: &DurableContext, server: &str) -> Result<Value, BoxError> {
    let all: Vec<u8> = (0..=255).rev().collect();
    let mirrored = ctx.fetch(Request::post(format!("{server}/mirror")).body(all.clone())).name("bytes").await?;
    let kept = ctx.fetch(Request::post(format!("{server}/mirror")).body(vec![0xff; 5_000])).name("kept").spawn();
    let retry = retried(2, Duration::from_secs(1));
    let denied = ctx.fetch("http://192.0.2.1/").retry_strategy_config(retry).name("denied").await;
    let denied = denied.err().map(|error| matches!(error.kind(), OperationErrorKind::Fetch(_)));
    let mut several: FuturesUnordered<_> = (0..3)
        .map(|n| {
            let answer = ctx.fetch(format!("{server}/size/{}", 100 * n)).name(format!("size {n}")).future();
            async move { answer.await.map(|answer| (n, answer.body().len())) }
        })
        .collect();
    let mut sizes = Vec::new();
    while let Some(size) = several.next().await {
        sizes.push(size?);
    }
    let week = retried(3, Duration::from_secs(7 * 24 * 3600));
    let bad = ctx.fetch(format!("{server}/status/503")).retry_strategy_config(week).name("bad").spawn();

    let first = match select(bad, pin!(tomorrow(ctx))).await {
        Either::Left(_) => "the bad one",
        Either::Right((waited, _)) => waited.map(|()| "the wait")?,
    };
    let kept = kept.await?;
    let trailers: Vec<_> = kept.trailers().iter().map(|(name, _)| name.as_str()).collect();
    let sum: u64 = kept.body().iter().map(|byte| u64::from(*byte)).sum();
    sizes.sort_unstable();
    Ok(json!({
        "same": mirrored.body() == all,
        "headers": mirrored.headers().len(),
        "denied": denied,
        "sizes": sizes,
        "first": first,
        "kept": [kept.status(), sum],
        "trailers": trailers,
    }))
}

/// A request that is never answered has lost against a timer before the suspension.
pub(crate) async fn race(ctx: &DurableContext, server: &str) -> Result<Value, BoxError> {
    let silent = ctx.fetch(format!("{server}/silence")).name("silent").future();
    let timer = ctx.wait(Duration::from_secs(1)).name("patience").future();
    // The loser is dropped with the answer: nobody waits for it any more.
    let winner = match select(silent, timer).await {
        Either::Left(_) => "answer",
        Either::Right(_) => "timer",
    };
    tomorrow(ctx).await?;
    let after = ctx.step(move |_| async move { Ok(winner.len()) }).name(winner).await?;
    Ok(json!([winner, after]))
}
