//! Files outside steps and in them. The input names a case; the result is what the workflow saw.

mod cases;
mod world;

use everstep_sdk as durable;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Clone)]
struct Input {
    case: String,
    /// What is tried, for the cases that try what they are told.
    #[serde(default)]
    tries: Vec<(String, String)>,
}

async fn handler(input: Input, ctx: durable::DurableContext) -> Result<Value, durable::BoxError> {
    match input.case.as_str() {
        "world" => world::walk(&ctx).await,
        "overlay" => cases::overlay(&ctx).await,
        "first_in_step" => cases::first_in_step(&ctx).await,
        "late_read" => cases::late_read(&ctx).await,
        "leak" => cases::leak(&ctx).await,
        "closes_what_it_was_given" => cases::closes_what_it_was_given(&ctx).await,
        "outside" => cases::outside(&ctx, &input.tries).await,
        "inside" => cases::inside(&ctx, input.tries).await,
        "bounds" => cases::bounds(),
        "handles" => cases::handles(),
        case => Err(format!("no case `{case}`").into()),
    }
}

fn main() {
    durable::run(handler)
}
