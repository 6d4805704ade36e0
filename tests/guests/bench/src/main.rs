//! What the benchmark runs: `steps` steps that do nothing, then `waits` waits of a second.

use everstep_sdk::{self as durable, BoxError, DurableContext};
use std::time::Duration;

#[derive(serde::Deserialize)]
struct Input {
    steps: u64,
    waits: u64,
}

fn main() {
    durable::run(handler);
}

async fn handler(input: Input, ctx: DurableContext) -> Result<u64, BoxError> {
    let mut sum = 0u64;
    for number in 0..input.steps {
        sum += ctx.step(move |_| async move { Ok(number) }).name("step").await?;
    }
    for _ in 0..input.waits {
        ctx.wait(Duration::from_secs(1)).await?;
    }
    Ok(sum)
}
