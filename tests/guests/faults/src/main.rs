//! Everything that can go wrong in a workflow, or that a host may get wrong. The input names a case; the result is what
//! the workflow saw.

mod effects;
mod faults;
mod misuse;
mod operations;

use everstep_sdk as durable;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Clone)]
struct Input {
    case: String,
    /// `host:port` of a listener, for the cases that leave a trace outside.
    #[serde(default)]
    address: String,
}

async fn handler(input: Input, ctx: durable::DurableContext) -> Result<Value, durable::BoxError> {
    if let Some(seen) = faults::run(&input, &ctx).await? {
        return Ok(seen);
    }
    if let Some(seen) = operations::run(&input, &ctx).await? {
        return Ok(seen);
    }
    if let Some(seen) = misuse::run(&input, &ctx).await? {
        return Ok(seen);
    }
    match effects::run(&input, &ctx).await? {
        Some(seen) => Ok(seen),
        None => Err(format!("no case `{}`", input.case).into()),
    }
}

fn main() {
    durable::run(handler)
}
