//! Suite `callback`.

use crate::{Outcome, text, unknown};
use everstep_sdk::builders::Callback;
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, DurableContext, OperationError, ReplayedFailure, Serdes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;

pub(crate) async fn handle(requirement: &str, input: Value, ctx: DurableContext) -> Outcome {
    match requirement {
        "4-1" => Ok(named(&ctx, &input, Limits::default()).await?.result().await?),
        "4-2" => Ok(named(&ctx, &json!("approval"), Limits::default()).await?.result().await?),
        "4-3" => Ok(named(&ctx, &input, Limits::timeout(5)).await?.result().await?),
        "4-4" => Ok(named(&ctx, &input, Limits::heartbeat(5)).await?.result().await?),
        "4-5" => Ok(named(&ctx, &input, Limits::heartbeat(10)).await?.result().await?),
        "4-6" => named(&ctx, &input, Limits::default()).await?.result().await.map_err(as_sent),
        "4-7" => then_step(&ctx, named(&ctx, &input, Limits::default()).await?).await,
        "4-8" => then_step(&ctx, named(&ctx, &input, Limits::timeout(5)).await?).await,
        "4-9" | "4-10" => then_wait(&ctx, named(&ctx, &input, Limits::default()).await?, 5).await,
        "4-11" => then_wait(&ctx, named(&ctx, &input, Limits::timeout(3)).await?, 6).await,
        "4-12" => {
            let value = named(&ctx, &input, Limits::default()).await?.result().await?;
            ctx.wait(Duration::from_secs(2)).await?;
            Ok(value)
        }
        "4-13" => caught(&ctx, named(&ctx, &input, Limits::default()).await?).await,
        "4-14" => caught(&ctx, named(&ctx, &input, Limits::timeout(3)).await?).await,
        "4-15" => {
            let callback = ctx.create_callback::<Message>().name(text(&input)?).serdes(UnixTime).await?;
            Ok(json!({ "received": callback.result().await? }))
        }
        "4-16" => {
            let callback = ctx.create_callback::<i64>().name(text(&input)?).serdes(Number).await?;
            let count = callback.result().await?;
            Ok(json!({ "count": count, "doubled": 2 * count }))
        }
        "4-17" => {
            let a = named(&ctx, &input[0], Limits::default()).await?.result().await?;
            let b = named(&ctx, &input[1], Limits::default()).await?.result().await?;
            Ok(json!([a, b]))
        }
        "4-18" => {
            let (a, b) = both(&ctx, &input).await?;
            let a = a.result().await?;
            Ok(json!([a, b.result().await?]))
        }
        "4-19" => {
            let (a, b) = both(&ctx, &input).await?;
            let b = b.result().await?;
            Ok(json!([a.result().await?, b]))
        }
        _ => unknown(requirement),
    }
}

/// Seconds; 0: none.
#[derive(Default)]
struct Limits {
    timeout: u64,
    heartbeat: u64,
}

impl Limits {
    fn timeout(timeout: u64) -> Self {
        Self { timeout, heartbeat: 0 }
    }
    fn heartbeat(heartbeat: u64) -> Self {
        Self { timeout: 0, heartbeat }
    }
}

async fn named(ctx: &DurableContext, name: &Value, limits: Limits) -> Result<Callback<Value>, BoxError> {
    let mut callback = ctx.create_callback::<Value>().name(text(name)?);
    if limits.timeout > 0 {
        callback = callback.timeout(Duration::from_secs(limits.timeout));
    }
    if limits.heartbeat > 0 {
        callback = callback.heartbeat(Duration::from_secs(limits.heartbeat));
    }
    Ok(callback.await?)
}

/// What the outside system said, without what the SDK says about it.
fn as_sent(error: OperationError) -> BoxError {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    match causes.filter_map(|cause| cause.downcast_ref::<ReplayedFailure>()).last() {
        Some(sent) => sent.clone().into(),
        None => error.into(),
    }
}

async fn both(ctx: &DurableContext, names: &Value) -> Result<(Callback<Value>, Callback<Value>), BoxError> {
    let a = named(ctx, &names[0], Limits::default()).await?;
    Ok((a, named(ctx, &names[1], Limits::default()).await?))
}

async fn then_step(ctx: &DurableContext, callback: Callback<Value>) -> Outcome {
    ctx.step(|_| async { Ok(()) }).await?;
    Ok(callback.result().await?)
}

async fn then_wait(ctx: &DurableContext, callback: Callback<Value>, seconds: u64) -> Outcome {
    ctx.wait(Duration::from_secs(seconds)).await?;
    Ok(callback.result().await?)
}

async fn caught(ctx: &DurableContext, callback: Callback<Value>) -> Outcome {
    let failed: Result<Value, OperationError> = callback.result().await;
    let message = failed.err().map(|error| error.to_string());
    ctx.wait(Duration::from_secs(2)).await?;
    Ok(json!(message))
}

#[derive(Serialize, Deserialize)]
struct Message {
    id: String,
    message: String,
    /// Seconds since the epoch.
    timestamp: i64,
}

/// Reads a timestamp of the form `2026-01-01T00:00:00.000Z` into seconds.
struct UnixTime;

impl Serdes<Message> for UnixTime {
    async fn serialize(&self, value: Message, _: SerdesContext) -> Result<String, BoxError> {
        Ok(serde_json::to_string(&value)?)
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<Message, BoxError> {
        let sent: Value = serde_json::from_str(&wire)?;
        let timestamp = seconds(&text(&sent["timestamp"])?).ok_or("no timestamp")?;
        Ok(Message { id: text(&sent["id"])?, message: text(&sent["message"])?, timestamp })
    }
}

fn seconds(timestamp: &str) -> Option<i64> {
    let number = |range| timestamp.get(range).and_then(|digits: &str| digits.parse::<i64>().ok());
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days since the epoch, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(86400 * days + 3600 * number(11..13)? + 60 * number(14..16)? + number(17..19)?)
}

/// A number, whatever surrounds it.
struct Number;

impl Serdes<i64> for Number {
    async fn serialize(&self, value: i64, _: SerdesContext) -> Result<String, BoxError> {
        Ok(value.to_string())
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<i64, BoxError> {
        Ok(wire.trim_matches('"').parse()?)
    }
}
