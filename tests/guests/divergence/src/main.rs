//! An order whose code was edited: the input says how, by the code of the error that a replay of the unedited one's log
//! ends with. A test flips `edited` between two runs, which is as good as another component.

use durable::{BoxError, DurableContext};
use everstep_sdk as durable;
use futures_util::future::select;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

#[derive(Deserialize)]
struct Input {
    code: String,
    /// 0 or 1: the same number of bytes in memory.
    edited: u8,
}

thread_local!(static KEPT: Cell<u8> = const { Cell::new(0) });

async fn charge(ctx: &DurableContext, name: &str) -> Result<String, BoxError> {
    Ok(ctx.step(|_| async { Ok("charged".to_owned()) }).name(name).await?)
}

async fn pay(ctx: DurableContext, status: &str) -> Result<String, BoxError> {
    charge(&ctx, "charge").await?;
    Ok(format!("order 42 is {status}: one teapot for Ada Lovelace, to be sent to 12 St James's Square, London"))
}

#[inline(never)]
fn stamp(edited: bool) {
    if edited {
        black_box(Uuid::new_v4());
    } else {
        black_box(SystemTime::now());
    }
}

async fn handler(input: Input, ctx: DurableContext) -> Result<Value, BoxError> {
    let edited = input.edited == 1;
    ctx.step(|_| async { Ok(()) }).name("validate").await?;
    match input.code.as_str() {
        "E0101" => _ = charge(&ctx, if edited { "charge-card" } else { "charge" }).await?,
        "E0102" => {
            let patience = ctx.wait(Duration::from_secs(10)).name("patience").spawn();
            if !edited {
                charge(&ctx, "charge").await?;
            }
            patience.await?;
        }
        "E0103" => {
            let status = if edited { "not paid" } else { "paid" };
            let paid = ctx.run_in_child_context(move |ctx| async move { pay(ctx, status).await }).name("payments");
            _ = paid.await?;
        }
        "E0104" => stamp(edited),
        "E0105" => KEPT.set(input.edited),
        "E0106" => return Ok(json!({ "order": 42, "total": if edited { 9.75 } else { 9.5 } })),
        "swallowed" => drop(charge(&ctx, if edited { "charge-card" } else { "charge" }).await),
        "losing" => {
            let other = if edited { "other" } else { "patience" };
            let loser = ctx.wait(Duration::from_secs(3_600)).name(other).future();
            let winner = ctx.wait(Duration::from_secs(1)).name("first").future();
            _ = select(loser, winner).await;
        }
        "panic" => panic!("there is no teapot left"),
        _ => return Err("the codes are E0101 to E0106".into()),
    }
    ctx.wait(Duration::from_secs(1)).name("cooling-off").await?;
    Ok(json!("done"))
}

fn main() {
    durable::run(handler)
}
