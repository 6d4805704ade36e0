//! Many at once: batches and combinators.

use super::{Seen, end_of, message, number, result, see};
use durable::builders::combinator::Settled;
use durable::builders::map_parallel::{BatchItemStatus, BatchResult, CompletionConfig, NestingMode};
use durable::{Branch, DurableContext, DurableFuture, OperationError};
use everstep_model::program::{ALL_FAILED, Combinator, Completion};
use everstep_model::{End, Observed, Statement};
use everstep_sdk as durable;
use std::rc::Rc;

/// A batch to be.
pub(super) struct Batch {
    pub(super) items: Vec<Vec<Statement>>,
    pub(super) at_once: usize,
    pub(super) completion: Completion,
    pub(super) flat: bool,
    pub(super) map: bool,
}

pub(super) async fn batched(ctx: &DurableContext, name: String, batch: Batch, seen: &Seen) -> i64 {
    let Batch { items, at_once, completion, flat, map } = batch;
    let inner = Rc::clone(seen);
    let nesting = if flat { NestingMode::Flat } else { NestingMode::Normal };
    macro_rules! awaited {
        ($builder:expr) => {{
            let builder = $builder.name(&name).nesting(nesting).completion(config(completion));
            let builder = if at_once > 0 { builder.max_concurrency(at_once) } else { builder };
            builder.await_batch().await
        }};
    }
    let ended = if map {
        awaited!(ctx.map(items, move |ctx, item, _| result(ctx, item, Rc::clone(&inner))))
    } else {
        let branch = |item| {
            let inner = Rc::clone(&inner);
            Branch::new("", move |ctx| result(ctx, item, inner))
        };
        awaited!(ctx.parallel(items.into_iter().map(branch).collect::<Vec<_>>()))
    };
    let (reason, items) = match &ended {
        Ok(batch) => (batch.completion_reason().as_str().to_owned(), ends(batch)),
        Err(error) => (message(error), Vec::new()),
    };
    let value = items.iter().flatten().map(number).fold(0, i64::wrapping_add);
    see(seen, Observed::Batched { name, reason, items });
    value
}

fn config(completion: Completion) -> CompletionConfig {
    let mut config = CompletionConfig::builder();
    if let Some(least) = completion.successes {
        config = config.min_successful(least);
    }
    if let Some(most) = completion.failures {
        config = config.tolerated_failure_count(most);
    }
    if let Some(most) = completion.percent {
        config = config.tolerated_failure_percentage(most);
    }
    config.build().unwrap_or_default()
}

fn ends(batch: &BatchResult<i64>) -> Vec<Option<End>> {
    let end = |item: &durable::builders::map_parallel::BatchItem<i64>| match item.status {
        BatchItemStatus::Succeeded => item.result.map(End::Value),
        BatchItemStatus::Failed => Some(End::Error(item.error_message.clone().unwrap_or_default())),
        _ => None,
    };
    batch.all().iter().map(end).collect()
}

pub(super) async fn combined(
    ctx: &DurableContext,
    name: String,
    how: Combinator,
    branches: Vec<Vec<Statement>>,
    seen: &Seen,
) -> i64 {
    let branch = |body: Vec<Statement>| -> DurableFuture<i64> {
        let inner = Rc::clone(seen);
        ctx.run_in_child_context(move |ctx| result(ctx, body, inner)).future()
    };
    let futures: Vec<_> = branches.into_iter().map(branch).collect();
    let (end, ends) = match how {
        Combinator::TryJoinAll => {
            many(ctx.try_join_all(futures).name(&name).await.map(|values| values.into_iter().map(End::Value).collect()))
        }
        Combinator::JoinAll => many(ctx.join_all(futures).name(&name).await.map(|settled| {
            settled
                .into_iter()
                .map(|end| match end {
                    Settled::Fulfilled(value) => End::Value(value),
                    Settled::Rejected(error) => End::Error(message(&error)),
                    _ => End::Error("neither".to_owned()),
                })
                .collect()
        })),
        Combinator::SelectOk => match ctx.select_ok(futures).name(&name).await {
            Ok(value) => (End::Value(value), Vec::new()),
            Err(_) => (End::Error(ALL_FAILED.to_owned()), Vec::new()),
        },
        Combinator::Race => (end_of(ctx.race(futures).name(&name).await), Vec::new()),
    };
    let value = number(&end);
    see(seen, Observed::Combined { name, end, ends });
    value
}

fn many(ended: Result<Vec<End>, OperationError>) -> (End, Vec<End>) {
    match ended {
        Ok(ends) => (End::Value(ends.iter().map(number).fold(0, i64::wrapping_add)), ends),
        Err(error) => (End::Error(message(&error)), Vec::new()),
    }
}
