//! What a release freezes, one kind a case: executions that are suspended in the middle of something, so that resuming
//! them uses what was recorded before. The input says which case, and where the server is that answers the requests of
//! the time before the suspension; nobody answers after it.

mod concurrency;
mod requests;
mod state;

use everstep_sdk as durable;
use everstep_sdk::{BoxError, DurableContext};
use serde_json::Value;
use std::time::{Duration, SystemTime};

#[derive(serde::Deserialize)]
struct Input {
    case: String,
    #[serde(default)]
    server: String,
}

async fn handler(input: Input, ctx: DurableContext) -> Result<Value, BoxError> {
    match input.case.as_str() {
        "fetches" => requests::fetches(&ctx, &input.server).await,
        "race" => requests::race(&ctx, &input.server).await,
        "files" => state::files(&ctx).await,
        "bundle" => state::bundle(&ctx).await,
        "chance" => state::chance(&ctx).await,
        "ties" => concurrency::ties(&ctx).await,
        "fails" => concurrency::fails(&ctx).await,
        other => Err(format!("there is no case {other}").into()),
    }
}

/// What is left suspended, every time: a wait of a day.
async fn tomorrow(ctx: &DurableContext) -> Result<(), BoxError> {
    Ok(ctx.wait(Duration::from_secs(24 * 3600)).name("until tomorrow").await?)
}

/// The wall clock, nanoseconds since the epoch.
fn now() -> Result<u64, BoxError> {
    Ok(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())?)
}

fn main() {
    durable::run(handler);
}
