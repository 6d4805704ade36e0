//! Callbacks, invokes, conditions and retried blocks.

use super::{Seen, attempted, end_of, make_noise, message, number, result, see, strategy};
use durable::builders::{WaitDecision, WithRetryBuilder};
use durable::{DurableContext, RetryDecision};
use everstep_model::program::{self, Callback, NEVER_MET, Outcome, Outside, Poll, Target, Verdict};
use everstep_model::{End, Observed, Statement};
use everstep_sdk as durable;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The last cause: what failed in the end.
fn cause(end: End) -> End {
    match end {
        End::Error(text) => End::Error(text.rsplit(": ").next().unwrap_or_default().to_owned()),
        value => value,
    }
}

pub(super) async fn called(ctx: &DurableContext, callback: &Callback, seen: &Seen) -> i64 {
    let name = callback.outside.name();
    let begun = ctx
        .create_callback::<i64>()
        .name(&name)
        .timeout(seconds(callback.timeout))
        .heartbeat(seconds(callback.heartbeat))
        .await;
    let end = match begun {
        Ok(begun) => {
            see(seen, Observed::Called(name.clone()));
            end_of(begun.result().await)
        }
        Err(error) => End::Error(message(&error)),
    };
    see(seen, Observed::Replied { name, end: end.clone() });
    number(&end)
}

pub(super) async fn submitted(ctx: &DurableContext, callback: &Callback, attempts: Vec<Outcome>, seen: &Seen) -> i64 {
    let name = callback.outside.name();
    let (planned, noisy) = (attempts.clone(), Rc::clone(seen));
    let submitter = move |step: durable::StepContext, _id: String| async move {
        make_noise(&noisy);
        attempted(program::attempt(&attempts, step.attempt(), false)).map(drop)
    };
    let replied = ctx
        .wait_for_callback::<i64, _, _>(submitter)
        .name(&name)
        .timeout(seconds(callback.timeout))
        .heartbeat(seconds(callback.heartbeat))
        .submitter_retry(move |error, attempt| strategy(&planned, error, attempt))
        .await;
    let end = cause(end_of(replied));
    see(seen, Observed::Replied { name, end: end.clone() });
    number(&end)
}

pub(super) async fn invoked(ctx: &DurableContext, target: Target, outside: &Outside, seen: &Seen) -> i64 {
    let end = end_of(ctx.invoke::<i64, _>(target.function(), ()).name(outside.name()).await);
    see(seen, Observed::Invoked { function: target.function().into(), end: end.clone() });
    number(&end)
}

pub(super) async fn polled(ctx: &DurableContext, name: String, polls: Vec<Poll>, seen: &Seen) -> i64 {
    let (planned, noisy) = (polls.clone(), Rc::clone(seen));
    let check = move |step: durable::StepContext, state: i64| async move {
        make_noise(&noisy);
        let found = program::poll(&polls, step.attempt(), Some(state), false);
        // That it is never met is for the strategy to say.
        if found == Verdict::Fail(NEVER_MET.into()) { Ok(state + 1) } else { attempted(found) }
    };
    let met = ctx
        .wait_for_condition(check, 0_i64)
        .name(&name)
        .wait_strategy_fn(move |state, attempt| match program::poll(&planned, attempt, Some(state - 1), false) {
            Verdict::Again { seconds, .. } => WaitDecision::continue_with(Duration::from_secs(seconds.into())),
            Verdict::Fail(never) => WaitDecision::exhausted(never),
            _ => WaitDecision::complete(),
        })
        .await;
    let end = end_of(met);
    see(seen, Observed::Polled { name, end: end.clone() });
    number(&end)
}

pub(super) async fn retried(
    ctx: &DurableContext,
    name: String,
    delay: u32,
    attempts: Vec<Vec<Statement>>,
    seen: &Seen,
) -> i64 {
    let (most, next, inner) = (attempts.len(), Cell::new(0), Rc::clone(seen));
    let block: WithRetryBuilder<i64, _, _> = ctx.with_retry(move |ctx| {
        let body = attempts.get(next.replace(next.get() + 1)).cloned().unwrap_or_default();
        result(ctx, body, Rc::clone(&inner))
    });
    let ended = block
        .name(&name)
        .retry_strategy(move |_, attempt| match (attempt as usize) < most {
            true => RetryDecision::Retry { delay: seconds(delay) },
            false => RetryDecision::Stop,
        })
        .await;
    let end = cause(end_of(ended));
    see(seen, Observed::Retried { name, end: end.clone() });
    number(&end)
}
