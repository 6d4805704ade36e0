//! Cases that end well if the host keeps order.

use crate::Input;
use crate::faults::outcome;
use durable::{BoxError, DurableContext};
use everstep_sdk as durable;
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, join, pin_mut};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

/// None if the case is not one of these.
pub(crate) async fn run(input: &Input, ctx: &DurableContext) -> Result<Option<Value>, BoxError> {
    let seen = match input.case.as_str() {
        "nothing" => Value::Null,
        // The body tells how often it ran by its attempt; a replay that ran it again would be found by verification.
        "large_result" => {
            let step = ctx.step(|step| async move { Ok((step.attempt(), "x".repeat(3 << 20))) }).name("large");
            let (bodies, text) = step.await?;
            ctx.wait(Duration::from_secs(1)).await?;
            json!({ "bytes": text.len(), "bodies": bodies })
        }
        "left_behind" => {
            let request = json!({ "purpose": "a boat", "amount": 12 });
            let slow = ctx.invoke::<Value, Value>("slow:$LATEST", request).future();
            match select(slow, ctx.wait(Duration::from_secs(1)).future()).await {
                Either::Left(_) => json!("the invoke"),
                Either::Right(_) => json!("the wait"),
            }
        }
        "select" => select_drops_the_loser(ctx).await?,
        "select_wait_wins" => select_wait_wins(ctx).await?,
        "wait_beside_steps" => wait_beside_steps(ctx).await?,
        "thousand_steps" => {
            let mut sum = 0;
            for number in 0..1_000 {
                sum += step(ctx, number).await?;
            }
            json!({ "sum": sum })
        }
        "wide_join" => {
            let results = join_all((0..50).map(|number| step(ctx, number))).await;
            json!({ "results": results.into_iter().collect::<Result<Vec<_>, _>>()? })
        }
        "unordered" => {
            let mut waits: FuturesUnordered<_> = [3, 1, 2].into_iter().map(|seconds| wait(ctx, seconds)).collect();
            let mut order = Vec::new();
            while let Some(seconds) = waits.next().await {
                order.push(seconds?);
            }
            json!({ "order": order })
        }
        "spawned" => spawned(ctx).await?,
        "spawned_and_dropped" => {
            drop(ctx.wait(Duration::from_secs(3_600)).name("dropped").spawn());
            drop(ctx.step(|_| async { Ok(()) }).name("dropped").spawn());
            json!({ "after": step(ctx, 7).await? })
        }
        "now_or_never" => {
            let mut pending = ctx.wait(Duration::from_secs(1)).spawn();
            let at_once = (&mut pending).now_or_never().is_some();
            pending.await?;
            json!({ "at_once": at_once })
        }
        "sleep_in_step" => sleep_in_step(ctx).await?,
        "sleep" => {
            let start = Instant::now();
            std::thread::sleep(Duration::from_millis(300));
            std::thread::sleep(Duration::from_secs(2));
            json!({ "slept_ms": u64::try_from(start.elapsed().as_millis())? })
        }
        "sources" => sources(ctx).await?,
        "children" => children(ctx, 3).await?,
        "child_fails" => {
            let child = ctx.run_in_child_context(|ctx| async move {
                ctx.wait(Duration::from_secs(1)).await?;
                Err::<(), BoxError>("the child gave up".into())
            });
            outcome(child.name("failing").await)
        }
        "too_long_a_wait" => outcome(ctx.wait(Duration::from_secs(366 * 86_400 + 1)).await),
        "surroundings" => {
            let stdin = std::io::read_to_string(std::io::stdin())?;
            let before = surroundings();
            wait(ctx, 2).await?;
            json!({ "stdin": stdin, "before": before, "after": surroundings() })
        }
        "log" => {
            ctx.logger().with("number", 1).info("outside");
            ctx.step(|step| async move {
                step.logger().with("attempt", step.attempt()).warn("inside");
                Ok(())
            })
            .await?;
            ctx.logger().error("after");
            json!({ "arn": ctx.execution_arn(), "name": ctx.execution_name(), "replaying": ctx.is_replaying() })
        }
        _ => return Ok(None),
    };
    Ok(Some(seen))
}

async fn step(ctx: &DurableContext, number: u64) -> Result<u64, BoxError> {
    Ok(ctx.step(move |_| async move { Ok(number * 2) }).name(format!("step-{number}")).await?)
}

async fn wait(ctx: &DurableContext, seconds: u64) -> Result<u64, BoxError> {
    ctx.wait(Duration::from_secs(seconds)).name(format!("wait-{seconds}")).await?;
    Ok(seconds)
}

async fn select_drops_the_loser(ctx: &DurableContext) -> Result<Value, BoxError> {
    let winner = {
        let (wait, step) = (wait(ctx, 3_600), step(ctx, 21));
        pin_mut!(wait, step);
        match select(wait, step).await {
            Either::Left(_) => json!("wait"),
            Either::Right((number, _)) => json!({ "step": number? }),
        }
    };
    Ok(json!({ "winner": winner, "after": step(ctx, 1).await? }))
}

async fn select_wait_wins(ctx: &DurableContext) -> Result<Value, BoxError> {
    let retried = ctx
        .step(|_| async { Err::<(), BoxError>("not yet".into()) })
        .name("never")
        .retry_strategy(|_, _| durable::RetryDecision::Retry { delay: Duration::from_secs(600) });
    let winner = match select(ctx.wait(Duration::from_secs(2)).future(), retried.future()).await {
        Either::Left(_) => "wait",
        Either::Right(_) => "step",
    };
    Ok(json!({ "winner": winner, "after": step(ctx, 1).await? }))
}

async fn wait_beside_steps(ctx: &DurableContext) -> Result<Value, BoxError> {
    let start = SystemTime::now();
    let (waited, first, second) = join!(wait(ctx, 2), step(ctx, 1), async {
        step(ctx, 2).await?;
        step(ctx, 3).await
    });
    let elapsed = start.elapsed()?;
    Ok(json!({
        "waited": waited?, "first": first?, "second": second?,
        "elapsed_s": elapsed.as_secs(),
    }))
}

async fn spawned(ctx: &DurableContext) -> Result<Value, BoxError> {
    let child = ctx
        .run_in_child_context(|ctx| async move { Ok(step(&ctx, 1).await? + step(&ctx, 2).await?) })
        .name("background")
        .spawn();
    let timer = ctx.wait(Duration::from_secs(1)).name("background").spawn();
    let own = step(ctx, 5).await?;
    let child = child.await?;
    timer.await?;
    Ok(json!({ "own": own, "child": child }))
}

fn surroundings() -> Value {
    let environment: HashMap<String, String> = std::env::vars().collect();
    json!({ "environment": environment, "arguments": std::env::args().collect::<Vec<_>>() })
}

async fn sleep_in_step(ctx: &DurableContext) -> Result<Value, BoxError> {
    let outside = Instant::now();
    let (slept, ordered) = ctx
        .step(|_| async {
            let (wall, monotonic) = (SystemTime::now(), Instant::now());
            std::thread::sleep(Duration::from_millis(50));
            Ok((monotonic.elapsed() >= Duration::from_millis(50), SystemTime::now() >= wall))
        })
        .name("sleeps")
        .await?;
    Ok(json!({ "slept": slept, "ordered": ordered, "forward": Instant::now() >= outside }))
}

/// Whatever is nondeterministic by nature, around and inside a step.
async fn sources(ctx: &DurableContext) -> Result<Value, BoxError> {
    let map: HashMap<u32, u32> = (0..20).map(|number| (number, number)).collect();
    let before = nanos();
    let inside = ctx
        .step(|_| async {
            let map: HashMap<u32, u32> = (0..20).map(|number| (number, number)).collect();
            // Real randomness: what it draws must not be missing from the workflow's own.
            std::hint::black_box(uuid::Uuid::new_v4());
            Ok(map.len())
        })
        .name("inside")
        .await?;
    let id = uuid::Uuid::new_v4();
    let again: HashMap<u32, u32> = (0..20).map(|number| (number, number)).collect();
    Ok(json!({
        "order": map.keys().collect::<Vec<_>>(),
        "order_after": again.keys().collect::<Vec<_>>(),
        "inside": inside,
        "id": id.to_string(),
        "before": before,
        "after": nanos(),
    }))
}

fn nanos() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Nested, `depth` deep.
async fn children(ctx: &DurableContext, depth: u64) -> Result<Value, BoxError> {
    let own = step(ctx, depth).await?;
    if depth == 0 {
        return Ok(json!([own]));
    }
    let inner = ctx
        .run_in_child_context(move |ctx| async move { Box::pin(children(&ctx, depth - 1)).await })
        .name(format!("depth-{depth}"))
        .await?;
    Ok(json!([own, inner]))
}
