//! Much at once, with ties.

use crate::tomorrow;
use everstep_sdk::{BoxError, DurableContext, RetryDecision, StepSemantics};
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, join};
use serde_json::{Value, json};
use std::pin::pin;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Fails once, and is tried again in an hour.
async fn second_time_lucky(ctx: &DurableContext, name: &str, semantics: StepSemantics) -> Result<u32, BoxError> {
    let step = ctx.step(move |step| async move {
        match (step.attempt(), semantics) {
            (1, StepSemantics::AtMostOncePerRetry) => panic!("the first attempt dies"),
            (1, _) => Err("the first attempt fails".into()),
            (attempt, _) => Ok(attempt),
        }
    });
    let again = |_: &_, attempt| match attempt {
        1 => RetryDecision::Retry { delay: HOUR },
        _ => RetryDecision::Stop,
    };
    Ok(step.name(name).semantics(semantics).retry_strategy(again).await?)
}

/// Waits and retries that all come due at one time, some of them in child contexts; a race that is still open, one that
/// is decided, a task that is never asked for.
pub(crate) async fn ties(ctx: &DurableContext) -> Result<Value, BoxError> {
    let (inner, outer) = (ctx.clone(), ctx.clone());
    let child = ctx
        .run_in_child_context(move |ctx| async move {
            let (one, two) =
                join!(ctx.wait(HOUR).future(), second_time_lucky(&ctx, "in a child", StepSemantics::default()));
            one?;
            let nested =
                ctx.run_in_child_context(move |_| async move { Ok(u32::try_from(inner.execution_name().len())?) });
            Ok(two? + nested.name("nested").await?)
        })
        .name("child")
        .spawn();
    drop(ctx.run_in_child_context(move |_| async move { Ok(outer.wait(HOUR).await?) }).name("abandoned").spawn());
    let decided = match select(pin!(ctx.wait(HOUR * 9).future()), pin!(ctx.step(|_| async { Ok(1) }).future())).await {
        Either::Left(_) => "wait",
        Either::Right(_) => "step",
    };
    let at_once = ctx.wait(HOUR).future().now_or_never().is_some();
    let mut ends: FuturesUnordered<_> = (0..4_u32)
        .map(|number| async move {
            match number {
                0 => second_time_lucky(ctx, "at least once", StepSemantics::AtLeastOncePerRetry).await?,
                1 => second_time_lucky(ctx, "at most once", StepSemantics::AtMostOncePerRetry).await?,
                _ => ctx.wait(HOUR).name(format!("wait {number}")).await.map(|()| 0)?,
            };
            Ok::<_, BoxError>(number)
        })
        .collect();
    let mut order = Vec::new();
    while let Some(number) = ends.next().await {
        order.push(number?);
    }
    let tie = (pin!(ctx.wait(HOUR).future()), pin!(ctx.wait(HOUR).future()));
    let first = matches!(select(tie.0, tie.1).await, Either::Left(_));
    let joined = join_all((0..3).map(|n| ctx.step(move |_| async move { Ok(n) }).name(format!("joined {n}")).future()));
    let joined: Vec<i32> = joined.await.into_iter().collect::<Result<_, _>>()?;
    Ok(json!([decided, at_once, order, first, joined, child.await?]))
}

/// The workflow itself fails, with what it caught and what it did not.
pub(crate) async fn fails(ctx: &DurableContext) -> Result<Value, BoxError> {
    let stopped =
        ctx.step(|_| async { Err::<(), _>("no".into()) }).retry_strategy(|_, _| RetryDecision::Stop).name("no");
    let caught = stopped.await.err().is_some();
    tomorrow(ctx).await?;
    Err(format!("it caught that: {caught}").into())
}
