//! Fan-out: a thumbnail of each of many images, a bounded number at a time; a few may fail.

use durable::builders::RetryStrategyConfig;
use durable::builders::map_parallel::CompletionConfig;
use everstep_sdk as durable;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    /// How many images there are.
    images: u32,
    /// Every n-th of them is broken: stands for the outside world.
    #[serde(default)]
    broken_every: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    made: usize,
    failed: Vec<usize>,
    total: usize,
    reason: &'static str,
    /// The largest of them, in bytes.
    largest: usize,
}

async fn handler(job: Job, ctx: durable::DurableContext) -> Result<Done, durable::BoxError> {
    let broken_every = job.broken_every;
    let batch = ctx
        .map(0..job.images, move |ctx, image, _index| async move {
            let made = ctx
                .step(move |_| async move {
                    if broken_every.is_some_and(|every| image % every == every - 1) {
                        return Err(format!("image {image} cannot be read").into());
                    }
                    Ok("#".repeat(64 + image as usize % 7))
                })
                .name("thumbnail")
                .retry_strategy_config(RetryStrategyConfig::none())
                .await?;
            Ok(made)
        })
        .name("thumbnails")
        .item_namer(|index| format!("image-{index}"))
        .max_concurrency(25)
        .completion(CompletionConfig::with_tolerated_failure_percentage(5))
        .await_batch()
        .await?;
    Ok(Done {
        made: batch.success_count(),
        failed: batch.failed().iter().map(|item| item.index).collect(),
        total: batch.total_count(),
        reason: batch.completion_reason().as_str(),
        largest: batch.results().into_iter().map(String::len).max().unwrap_or(0),
    })
}

fn main() {
    durable::run(handler)
}
