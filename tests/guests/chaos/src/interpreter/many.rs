//! Many at once, and what waits for somebody else.

use super::{body, child, run, see_outcome};
use crate::acts::act;
use crate::program::{Act, Batch, Callback, Condition, Op};
use crate::world::World;
use everstep_sdk::builders::WaitDecision;
use everstep_sdk::builders::map_parallel::{CompletionConfig, NestingMode};
use everstep_sdk::{Branch, DurableContext, OperationError, RetryDecision};
use std::cell::Cell;
use std::time::Duration;

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn name(of: &str, world: &World) -> String {
    format!("{of}{:x}", world.digest() & 0xff)
}

/// Sees all that it came to, or, if it was begun at once, its results.
pub(super) async fn batch(world: &World, ctx: &DurableContext, batch: Batch) {
    let Batch { items, at_once, over, flat, map, eager } = batch;
    let completion = match over % 5 {
        0 => CompletionConfig::default(),
        1 => CompletionConfig::with_min_successful(2),
        2 => CompletionConfig::with_tolerated_failure_count(1),
        3 => CompletionConfig::with_tolerated_failure_percentage(100),
        _ => CompletionConfig::with_completion_predicate(|stats| stats.settled() >= 2),
    };
    let (inner, nesting) = (world.clone(), if flat { NestingMode::Flat } else { NestingMode::Normal });
    macro_rules! see {
        ($builder:expr) => {{
            let builder = $builder.name(name("m", world)).nesting(nesting).completion(completion);
            let builder = if at_once > 0 { builder.max_concurrency(usize::from(at_once)) } else { builder };
            if eager {
                see_outcome(world, builder.spawn().await.map(|results| results.join(" ")));
            } else {
                see_outcome(world, builder.await_batch().await.map(|batch| format!("{batch:?}")));
            }
        }};
    }
    if map {
        see!(ctx.map(items, move |ctx, ops, _| body(inner.clone(), ctx, ops)));
    } else {
        let branch = |(number, ops): (usize, Vec<Op>)| {
            let inner = inner.clone();
            Branch::new(format!("b{number}"), move |ctx| body(inner, ctx, ops))
        };
        see!(ctx.parallel(items.into_iter().enumerate().map(branch).collect::<Vec<_>>()));
    }
}

pub(super) async fn combine(world: &World, ctx: &DurableContext, how: u8, eager: bool, parts: Vec<Vec<Op>>) {
    let background = how & 4 > 0;
    let futures: Vec<_> = parts.into_iter().map(|ops| child(world, ctx, ops, background)).collect();
    macro_rules! see {
        ($builder:expr) => {{
            let builder = $builder.name(name("f", world));
            let ended = if eager { builder.spawn().await } else { builder.await };
            see_outcome(world, ended.map(|output| format!("{output:?}")));
        }};
    }
    match how % 4 {
        0 => see!(ctx.try_join_all(futures)),
        1 => see!(ctx.join_all(futures)),
        2 => see!(ctx.select_ok(futures)),
        _ => see!(ctx.race(futures)),
    }
}

pub(super) async fn retry(world: &World, ctx: &DurableContext, failures: u8, ops: Vec<Op>) {
    let (inner, attempt) = (world.clone(), Cell::new(0));
    let block = ctx.with_retry(move |ctx| {
        let (inner, ops, number) = (inner.clone(), ops.clone(), attempt.replace(attempt.get() + 1));
        async move {
            let value = run(inner, ctx, ops).await;
            if number < failures { Err(format!("not yet, {value:x}").into()) } else { Ok(format!("{value:x}")) }
        }
    });
    let again = |_: &_, attempt| match attempt < 3 {
        true => RetryDecision::Retry { delay: seconds(1) },
        false => RetryDecision::Stop,
    };
    see_outcome(world, block.name(name("r", world)).retry_strategy(again).await);
}

pub(super) async fn condition(
    world: &World,
    ctx: &DurableContext,
    condition: Condition,
) -> Result<String, OperationError> {
    let Condition { polls, seconds: delay, body, eager } = condition;
    let (inner, logged) = (world.clone(), ctx.clone());
    let check = move |step: everstep_sdk::StepContext, state: String| async move {
        inner.enter_body();
        body.iter().for_each(|what| act(&inner, what, &logged.logger()));
        inner.scribble_after(step.attempt());
        Ok(format!("{state} {}", step.attempt()))
    };
    let builder = ctx.wait_for_condition(check, String::new()).name(name("p", world)).wait_strategy_fn(
        move |state: String, attempt| match attempt < u32::from(polls) && state.len() < 100 {
            true => WaitDecision::continue_with(seconds(delay)),
            false => WaitDecision::complete(),
        },
    );
    if eager { builder.spawn().await } else { builder.await }
}

/// The name tells whoever plays the outside what to do.
fn callback_name(callback: Callback, world: &World) -> String {
    name(if callback.answered { "answer" } else { "leave" }, world)
}

pub(super) async fn callback(
    world: &World,
    ctx: &DurableContext,
    callback: Callback,
) -> Result<String, OperationError> {
    let builder = ctx
        .create_callback::<String>()
        .name(callback_name(callback, world))
        .timeout(seconds(callback.timeout))
        .heartbeat(seconds(callback.heartbeat));
    let begun = if callback.eager { builder.spawn().await } else { builder.await }?;
    world.see_bytes(begun.id().as_bytes());
    begun.result().await
}

pub(super) async fn submit(
    world: &World,
    ctx: &DurableContext,
    callback: Callback,
    acts: Vec<Act>,
) -> Result<String, OperationError> {
    let (inner, logged) = (world.clone(), ctx.clone());
    let submitter = move |step: everstep_sdk::StepContext, id: String| async move {
        inner.enter_body();
        acts.iter().for_each(|what| act(&inner, what, &logged.logger()));
        inner.see_bytes(id.as_bytes());
        inner.scribble_after(step.attempt());
        Ok(())
    };
    let builder = ctx
        .wait_for_callback::<String, _, _>(submitter)
        .name(callback_name(callback, world))
        .timeout(seconds(callback.timeout))
        .heartbeat(seconds(callback.heartbeat));
    if callback.eager { builder.spawn().await } else { builder.await }
}
