//! What takes time: operations, and what is built of them.

mod many;

use crate::acts::{act, wall};
use crate::memory::deep;
use crate::program::{Attempt, Op, Program, Step};
use crate::world::World;
use everstep_sdk::{BoxError, DurableContext, DurableFuture, OperationError, RetryDecision, StepSemantics};
use futures_util::future::{FutureExt as _, LocalBoxFuture, join_all, select, select_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

/// Answers the digest, or fails with it, and how much went into it.
pub(crate) async fn handler(program: Program, ctx: DurableContext) -> Result<(String, u64), BoxError> {
    let world = World::default();
    world.memory_bytes.set(program.memory_bytes);
    *world.environment.borrow_mut() = program.environment;
    *world.arguments.borrow_mut() = program.arguments;
    // Dead stack that was used before counts as well.
    world.see(deep(20, 0));
    run(world.clone(), ctx, program.ops).await;
    world.look();
    let seen = (format!("{:016x}", world.digest()), world.sights());
    if program.fails { Err(format!("it does: {seen:?}").into()) } else { Ok(seen) }
}

fn run(world: World, ctx: DurableContext, ops: Vec<Op>) -> LocalBoxFuture<'static, u64> {
    async move {
        let mut spawned = VecDeque::new();
        let mut value = 0_u64;
        for op in ops {
            value = value.rotate_left(7) ^ one(&world, &ctx, op, &mut spawned).await;
        }
        value
    }
    .boxed_local()
}

async fn one(world: &World, ctx: &DurableContext, op: Op, spawned: &mut VecDeque<DurableFuture<String>>) -> u64 {
    let branches = |branches: Vec<Vec<Op>>| branches.into_iter().map(|ops| run(world.clone(), ctx.clone(), ops));
    match op {
        Op::Do(what) => act(world, &what, &ctx.logger()),
        Op::Step(plan) => see_outcome(world, step(world, ctx, plan).await),
        Op::Wait(seconds) => {
            let name = format!("w{:x}", world.digest() & 0xff);
            let waited = ctx.wait(Duration::from_secs(u64::from(seconds))).name(name).await;
            world.see(u64::from(waited.is_ok()));
            wall(world);
        }
        Op::Child(ops) => see_outcome(world, child(world, ctx, ops, false).await),
        Op::Join(parts) => join_all(branches(parts)).await.into_iter().for_each(|value| world.see(value)),
        Op::Select(parts) if parts.is_empty() => {}
        Op::Select(parts) => {
            let (value, winner, losers) = select_all(branches(parts)).await;
            drop(losers);
            world.see(value);
            world.see(winner as u64);
        }
        Op::Unordered(parts) => {
            let mut parts: FuturesUnordered<_> =
                branches(parts).enumerate().map(|(number, part)| part.map(move |value| (number, value))).collect();
            while let Some((number, value)) = parts.next().await {
                world.see(number as u64);
                world.see(value);
            }
        }
        Op::Spawn(ops) => spawned.push_back(child(world, ctx, ops, true)),
        Op::Collect => {
            if let Some(task) = spawned.pop_front() {
                see_outcome(world, task.await);
            }
        }
        Op::Abandon => drop(spawned.pop_front()),
        Op::Send => {
            world.sent.borrow_mut().push_back(world.digest());
            world.receivers.take().into_iter().for_each(|receiver| receiver.wake());
        }
        Op::Receive(seconds) => receive(world, ctx, seconds).await,
        Op::Peek(ops) => world.see(run(world.clone(), ctx.clone(), ops).now_or_never().unwrap_or(u64::MAX)),
        Op::Branch(one, other) => {
            let ops = if world.digest() & 4 == 0 { one } else { other };
            world.see(run(world.clone(), ctx.clone(), ops).await);
        }
        Op::Virtual(ops) => {
            let inner = world.clone();
            let body = move |ctx| async move { Ok(format!("{:x}", run(inner, ctx, ops).await)) };
            see_outcome(world, ctx.run_in_child_context(body).virtual_context().await);
        }
        Op::Batch(batch) => many::batch(world, ctx, batch).await,
        Op::Combine(how, eager, parts) => many::combine(world, ctx, how, eager, parts).await,
        Op::Retry(failures, ops) => many::retry(world, ctx, failures, ops).await,
        Op::Condition(condition) => see_outcome(world, many::condition(world, ctx, condition).await),
        Op::Callback(callback) => see_outcome(world, many::callback(world, ctx, callback).await),
        Op::Submit(callback, acts) => see_outcome(world, many::submit(world, ctx, callback, acts).await),
        Op::Invoke(eager) => {
            let invoke = ctx.invoke::<String, _>("nobody", world.digest());
            see_outcome(world, if eager { invoke.spawn().await } else { invoke.await });
        }
        Op::Repeat(times, ops) => {
            for _ in 0..times {
                world.see(run(world.clone(), ctx.clone(), ops.clone()).await);
            }
        }
    }
    world.digest()
}

fn see_outcome(world: &World, outcome: Result<String, OperationError>) {
    match outcome {
        Ok(text) => world.see_bytes(text.as_bytes()),
        Err(error) => world.see_bytes(format!("{error:#}").as_bytes()),
    }
    if world.digest() & 8 == 0 {
        wall(world);
    }
    world.look();
}

/// What runs in a context; every fifth length fails.
async fn body(world: World, ctx: DurableContext, ops: Vec<Op>) -> Result<String, BoxError> {
    let fails = ops.len() % 5 == 4;
    let value = run(world, ctx, ops).await;
    if fails { Err(format!("it does, with {value:x}").into()) } else { Ok(format!("{value:x}")) }
}

/// A context.
fn child(world: &World, ctx: &DurableContext, ops: Vec<Op>, background: bool) -> DurableFuture<String> {
    let name = format!("c{:x}", world.digest() & 0xff);
    let inner = world.clone();
    let builder = ctx
        .run_in_child_context(move |ctx| async move {
            let text = body(inner, ctx, ops).await?;
            // Now and then one that the log leaves out.
            if text.ends_with("5a") || text.ends_with('0') { Ok(text.repeat(18_000)) } else { Ok(text) }
        })
        .name(name);
    if background { builder.spawn() } else { builder.future() }
}

async fn step(world: &World, ctx: &DurableContext, plan: Step) -> Result<String, OperationError> {
    let semantics = match plan.at_most_once {
        true => StepSemantics::AtMostOncePerRetry,
        false => StepSemantics::AtLeastOncePerRetry,
    };
    let delays: Vec<Option<u32>> = plan.attempts.iter().map(delay).collect();
    let (inner, logged) = (world.clone(), ctx.clone());
    let name = format!("s{:x}", world.digest() & 0xfff);
    let builder = ctx
        .step(move |step| async move {
            inner.enter_body();
            plan.body.iter().for_each(|what| act(&inner, what, &logged.logger()));
            inner.scribble_after(step.attempt());
            match plan.attempts.get(step.attempt() as usize - 1) {
                Some(Attempt::Value(value)) => Ok(format!("{value} {}", step.idempotency_key())),
                Some(Attempt::Draw) => Ok(getrandom::u64().expect("randomness never fails").to_string()),
                Some(Attempt::Text(length)) => Ok("t".repeat(*length as usize)),
                Some(Attempt::Panic) => panic!("attempt {} does", step.attempt()),
                Some(Attempt::Fail(_)) | None => Err(format!("attempt {} failed", step.attempt()).into()),
            }
        })
        .name(name)
        .semantics(semantics)
        .retry_strategy(move |_, attempt| match delays.get(attempt as usize - 1) {
            Some(Some(seconds)) if (attempt as usize) < delays.len() => {
                RetryDecision::Retry { delay: Duration::from_secs(u64::from(*seconds)) }
            }
            _ => RetryDecision::Stop,
        });
    if plan.eager { builder.spawn().await } else { builder.await }
}

fn delay(attempt: &Attempt) -> Option<u32> {
    match attempt {
        Attempt::Fail(seconds) => Some(*seconds),
        Attempt::Panic => Some(1),
        Attempt::Value(_) | Attempt::Draw | Attempt::Text(_) => Some(2),
    }
}

async fn receive(world: &World, ctx: &DurableContext, seconds: u32) {
    let received = poll_fn(|context| match world.sent.borrow_mut().pop_front() {
        Some(number) => Poll::Ready(number),
        None => {
            world.receivers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        }
    });
    let given_up = ctx.wait(Duration::from_secs(u64::from(seconds))).future();
    match select(std::pin::pin!(received), given_up).await {
        futures_util::future::Either::Left((number, _)) => world.see(number),
        futures_util::future::Either::Right((waited, _)) => world.see(u64::from(waited.is_ok())),
    }
}

impl World {
    /// Whatever else a body does, it writes all over what the workflow has.
    fn scribble_after(&self, attempt: u32) {
        crate::memory::scribble(self);
        crate::memory::count(self);
        eprintln!("attempt {attempt} wrote all over it");
        self.see(deep((10 + attempt % 4) as u16, self.digest()));
    }
}
