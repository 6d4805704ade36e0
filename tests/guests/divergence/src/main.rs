//! An order that does not do the same twice. The input says in which way, by the code of the error that it ends with.
//!
//! What the SDK puts back after a step's body is all memory that can mean something; what lies far below the stack
//! pointer means nothing to any program. This one looks there all the same, and so sees after a live step what it does
//! not see on replay. Or it sees nothing and goes by its input: a test edits that, which is like editing the code.

use durable::{BoxError, DurableContext};
use everstep_sdk as durable;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::Cell;
use std::hint::black_box;
use std::ptr;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

#[derive(Deserialize)]
struct Input {
    code: String,
    /// The first step leaves a trace.
    #[serde(default)]
    leaves: bool,
    /// The code was changed.
    #[serde(default)]
    edited: bool,
}

/// In the lowest pages of the stack, which no call of this program gets near to.
const DEAD_STACK: usize = 0x1000;

fn leave_trace() {
    // SAFETY: within linear memory and the stack's own range; nothing is alive there.
    unsafe { ptr::with_exposed_provenance_mut::<u32>(DEAD_STACK).write_volatile(1) }
}

fn is_traced() -> bool {
    // SAFETY: as above.
    unsafe { ptr::with_exposed_provenance::<u32>(DEAD_STACK).read_volatile() != 0 }
}

async fn charge(ctx: &DurableContext, name: &str) -> Result<String, BoxError> {
    Ok(ctx.step(|_| async { Ok("charged".to_owned()) }).name(name).await?)
}

async fn pay(ctx: DurableContext, status: &str) -> Result<String, BoxError> {
    charge(&ctx, "charge").await?;
    Ok(format!("the order 42 of Ada Lovelace is {status}"))
}

#[inline(never)]
fn stamp(original: bool) {
    if original {
        black_box(SystemTime::now());
    } else {
        black_box(Uuid::new_v4());
    }
}

async fn handler(input: Input, ctx: DurableContext) -> Result<Value, BoxError> {
    thread_local!(static KEPT: Cell<bool> = const { Cell::new(false) });
    let leaves = input.leaves;
    let validate = ctx.step(move |_| async move {
        if leaves {
            leave_trace();
        }
        Ok(())
    });
    validate.name("validate").await?;

    let original = if leaves { is_traced() } else { !input.edited };
    match input.code.as_str() {
        "E0101" => _ = charge(&ctx, if original { "charge" } else { "charge-card" }).await?,
        "E0102" => {
            let patience = ctx.wait(Duration::from_secs(10)).name("patience").spawn();
            if original {
                charge(&ctx, "charge").await?;
            }
            patience.await?;
        }
        "E0103" => {
            let status = if original { "paid" } else { "not paid" };
            let paid = ctx.run_in_child_context(move |ctx| async move { pay(ctx, status).await }).name("payments");
            _ = paid.await?;
        }
        "E0104" => stamp(original),
        "E0105" => KEPT.set(original),
        "E0106" => return Ok(json!({ "total": if original { 42 } else { 41 } })),
        _ => return Err("the codes are E0101 to E0106".into()),
    }
    ctx.wait(Duration::from_secs(1)).name("cooling-off").await?;
    Ok(json!("done"))
}

fn main() {
    durable::run(handler)
}
