//! Runs a program of the model (the input) through the SDK; its result is the trace of everything it saw.
//!
//! What the model's interpreter does by hand is done here by `async` blocks, futures and drops. Joins and selects are
//! written out because the language promises in which order branches are polled and dropped.

mod many;
mod operations;

use durable::{DurableContext, OperationError, RetryDecision, StepError, StepErrorKind, StepSemantics};
use everstep_model::program::{self, INTERRUPTED, Outcome, Verdict};
use everstep_model::{End, Observed, Program, Statement, Trace};
use everstep_sdk as durable;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

type Seen = Rc<RefCell<Trace>>;
type Body = Pin<Box<dyn Future<Output = End>>>;

async fn handler(program: Program, ctx: DurableContext) -> Result<Trace, durable::BoxError> {
    let seen = Seen::default();
    let end = body(ctx, program.0, Rc::clone(&seen)).await;
    see(&seen, Observed::Ended(end));
    Ok(seen.take())
}

fn see(seen: &Seen, observed: Observed) {
    seen.borrow_mut().0.push(observed);
}

fn body(ctx: DurableContext, statements: Vec<Statement>, seen: Seen) -> Body {
    Box::pin(async move {
        let mut left: Vec<Statement> = statements.into_iter().rev().collect();
        let mut value = 0_i64;
        while let Some(statement) = left.pop() {
            match statement {
                Statement::Step { name, attempts, at_most_once } => {
                    let end = step(&ctx, &name, attempts, at_most_once, &seen).await;
                    see(&seen, Observed::Step { name, end: end.clone() });
                    match end {
                        End::Value(step) => value = value.wrapping_add(step),
                        End::Error(error) => return End::Error(error),
                    }
                }
                Statement::Wait { seconds } => {
                    if let Err(error) = ctx.wait(Duration::from_secs(seconds.into())).await {
                        return End::Error(message(&error));
                    }
                    see(&seen, Observed::Waited(seconds));
                }
                Statement::Sleep { millis } => {
                    if millis > 0 {
                        std::thread::sleep(Duration::from_millis(millis));
                    }
                    see(&seen, Observed::Slept(millis));
                }
                Statement::Child { name, body } => {
                    let end = child(&ctx, Some(&name), body, &seen).await;
                    see(&seen, Observed::Child { name, end: end.clone() });
                    value = value.wrapping_add(number(&end));
                }
                Statement::Join(branches) => {
                    let ends = join(bodies(&ctx, branches, &seen)).await;
                    value = ends.iter().map(number).fold(value, i64::wrapping_add);
                    see(&seen, Observed::Joined(ends));
                }
                Statement::Select(branches) if branches.is_empty() => {}
                Statement::Select(branches) => {
                    let (branch, end) = select(bodies(&ctx, branches, &seen)).await;
                    value = value.wrapping_add(number(&end));
                    see(&seen, Observed::Selected { branch, end });
                }
                Statement::Virtual(body) => {
                    let end = child(&ctx, None, body, &seen).await;
                    value = value.wrapping_add(number(&end));
                    see(&seen, Observed::Child { name: "virtual".into(), end });
                }
                Statement::Callback(callback) => {
                    value = value.wrapping_add(operations::called(&ctx, &callback, &seen).await)
                }
                Statement::Submit { callback, attempts } => {
                    value = value.wrapping_add(operations::submitted(&ctx, &callback, attempts, &seen).await);
                }
                Statement::Invoke { target, outside } => {
                    value = value.wrapping_add(operations::invoked(&ctx, target, &outside, &seen).await);
                }
                Statement::Condition { name, polls } => {
                    value = value.wrapping_add(operations::polled(&ctx, name, polls, &seen).await);
                }
                Statement::Batch { name, items, at_once, completion, flat, map } => {
                    let batch = many::Batch { items, at_once, completion, flat, map };
                    value = value.wrapping_add(many::batched(&ctx, name, batch, &seen).await);
                }
                Statement::Combine { name, how, branches } => {
                    value = value.wrapping_add(many::combined(&ctx, name, how, branches, &seen).await);
                }
                Statement::Retry { name, seconds, attempts } => {
                    value = value.wrapping_add(operations::retried(&ctx, name, seconds, attempts, &seen).await);
                }
                Statement::ReadClock => see(&seen, Observed::Clock(clock())),
                Statement::Random => see(&seen, Observed::Random(random())),
                Statement::Print(text) => {
                    println!("{text}");
                    see(&seen, Observed::Printed(text));
                }
                Statement::Repeat { times, body } => {
                    (0..times).for_each(|_| left.extend(body.iter().rev().cloned()));
                }
                Statement::Return => break,
            }
        }
        End::Value(value)
    })
}

fn bodies(ctx: &DurableContext, branches: Vec<Vec<Statement>>, seen: &Seen) -> Vec<Body> {
    branches.into_iter().map(|branch| body(ctx.clone(), branch, Rc::clone(seen))).collect()
}

async fn step(ctx: &DurableContext, name: &str, attempts: Vec<Outcome>, at_most_once: bool, seen: &Seen) -> End {
    let semantics = match at_most_once {
        true => StepSemantics::AtMostOncePerRetry,
        false => StepSemantics::AtLeastOncePerRetry,
    };
    let (planned, noisy) = (attempts.clone(), Rc::clone(seen));
    let result = ctx
        .step(move |step| async move {
            make_noise(&noisy);
            attempted(program::attempt(&attempts, step.attempt(), false))
        })
        .name(name)
        .semantics(semantics)
        .retry_strategy(move |error, attempt| strategy(&planned, error, attempt))
        .await;
    end_of(result)
}

/// As a real body may: it draws, and writes all over the workflow's memory. None of it may come through.
fn make_noise(seen: &Seen) {
    see(seen, Observed::Random(random()));
    see(seen, Observed::Clock(clock()));
}

fn attempted(verdict: Verdict) -> Result<i64, durable::BoxError> {
    match verdict {
        Verdict::Succeed(value) | Verdict::Again { state: value, .. } => Ok(value),
        Verdict::Fail(error) | Verdict::Retry { error, .. } => Err(error.into()),
        Verdict::Trap => panic!("a body that traps"),
    }
}

fn strategy(planned: &[Outcome], error: &StepError, attempt: u32) -> RetryDecision {
    let interrupted = matches!(error.kind(), StepErrorKind::Interrupted { .. });
    match program::attempt(planned, attempt, interrupted) {
        Verdict::Retry { seconds, .. } => RetryDecision::Retry { delay: Duration::from_secs(seconds.into()) },
        _ => RetryDecision::Stop,
    }
}

/// A child context; a virtual one if it has no name.
async fn child(ctx: &DurableContext, name: Option<&str>, statements: Vec<Statement>, seen: &Seen) -> End {
    let seen = Rc::clone(seen);
    let child = ctx.run_in_child_context(move |ctx| result(ctx, statements, seen));
    end_of(match name {
        Some(name) => child.name(name).await,
        None => child.virtual_context().await,
    })
}

/// A body as the SDK takes one.
async fn result(ctx: DurableContext, statements: Vec<Statement>, seen: Seen) -> Result<i64, durable::BoxError> {
    match body(ctx, statements, seen).await {
        End::Value(value) => Ok(value),
        End::Error(error) => Err(error.into()),
    }
}

fn end_of(result: Result<i64, OperationError>) -> End {
    match result {
        Ok(value) => End::Value(value),
        Err(error) => End::Error(message(&error)),
    }
}

fn message(error: &OperationError) -> String {
    match error.wire().map(|wire| (wire.error_type(), wire.error_message())) {
        Some((Some(INTERRUPTED), _)) => INTERRUPTED.to_owned(),
        Some((_, Some(message))) => message.to_owned(),
        _ => format!("{error:#}"),
    }
}

async fn join(branches: Vec<Body>) -> Vec<End> {
    let mut branches: Vec<Result<End, Body>> = branches.into_iter().map(Err).collect();
    poll_fn(move |context| {
        for branch in &mut branches {
            if let Err(body) = branch
                && let Poll::Ready(end) = body.as_mut().poll(context)
            {
                *branch = Ok(end);
            }
        }
        match branches.iter().map(|branch| branch.as_ref().ok().cloned()).collect() {
            Some(ends) => Poll::Ready(ends),
            None => Poll::Pending,
        }
    })
    .await
}

async fn select(mut branches: Vec<Body>) -> (usize, End) {
    poll_fn(move |context| {
        for (index, body) in branches.iter_mut().enumerate() {
            if let Poll::Ready(end) = body.as_mut().poll(context) {
                branches.clear();
                return Poll::Ready((index, end));
            }
        }
        Poll::Pending
    })
    .await
}

fn number(end: &End) -> i64 {
    match end {
        End::Value(value) => *value,
        End::Error(_) => 0,
    }
}

fn clock() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

fn main() {
    durable::run(handler)
}
