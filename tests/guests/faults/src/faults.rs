//! Cases that break something.

use crate::Input;
use durable::{BoxError, DurableContext, OperationErrorKind, RetryDecision, StepErrorKind, StepSemantics, TypedError};
use everstep_sdk as durable;
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// None if the case is not one of these.
pub(crate) async fn run(input: &Input, ctx: &DurableContext) -> Result<Option<Value>, BoxError> {
    let seen = match input.case.as_str() {
        "panic" => panic!("a panic outside a step"),
        "panic_in_step_once" => failing_once(ctx, || panic!("a panic in attempt 1")).await?,
        "panic_in_step_always" => failing_always(ctx, || panic!("a panic in every attempt")).await,
        "exit" => std::process::exit(3),
        "exit_in_step_once" => failing_once(ctx, || std::process::exit(3)).await?,
        "spin" => spin(),
        "spin_in_step_once" => failing_once(ctx, || spin()).await?,
        "recursion" => json!(recurse(1)),
        "recursion_in_step_always" => failing_always(ctx, || _ = recurse(1)).await,
        "allocation" => allocate(),
        "allocation_in_step_always" => failing_always(ctx, || _ = allocate()).await,
        "output" => loop {
            println!("{}", "output without end ".repeat(100));
        },
        "handler_error" => return Err("the handler gave up".into()),
        "typed_handler_error" => {
            let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such order");
            return Err(TypedError::with_type("OrderNotFound", cause).into());
        }
        "step_error_escapes" => {
            let failing = ctx.step(|_| async { Err::<(), BoxError>("refused by the bank".into()) });
            failing.name("charge").retry_strategy(|_, _| RetryDecision::Stop).await?;
            Value::Null
        }
        "retries_exhausted" => retries_exhausted(ctx).await,
        "at_most_once" => at_most_once(ctx, input.address.clone(), false).await,
        "at_most_once_then_panic" => at_most_once(ctx, input.address.clone(), true).await,
        "stuck_step" => {
            let step = ctx.step(|_| async {
                std::future::pending::<()>().await;
                Ok(())
            });
            outcome(step.name("stuck").retry_strategy(|_, _| RetryDecision::Stop).await)
        }
        "leaked_handle" => {
            let address = input.address.clone();
            let step = ctx.step(move |_| async move {
                std::mem::forget(TcpStream::connect(address)?);
                Ok(())
            });
            outcome(step.name("leak").retry_strategy(|_, _| RetryDecision::Stop).await)
        }
        "socket_outside_step" => match TcpStream::connect(&input.address) {
            Ok(_) => json!({"connected": true}),
            Err(error) => json!({"refused": error.to_string()}),
        },
        "unserializable_result" => {
            let map = std::collections::BTreeMap::from([((1, 2), 3)]);
            let step = ctx.step(move |_| async move { Ok(Pairs(map)) }).name("unserializable").serdes(PairsSerdes);
            outcome(step.await.map(|pairs| pairs.0.len()))
        }
        "pending" => {
            std::future::pending::<()>().await;
            Value::Null
        }
        _ => return Ok(None),
    };
    Ok(Some(seen))
}

/// What came out of a step: its value, or the error's kind, type and message.
pub(crate) fn outcome<T: serde::Serialize>(result: Result<T, durable::OperationError>) -> Value {
    let error = match result {
        Ok(value) => return json!({ "value": value }),
        Err(error) => error,
    };
    let kind = match error.kind() {
        OperationErrorKind::Step(step) => step.kind().to_string(),
        other => other.to_string(),
    };
    json!({
        "kind": kind,
        "type": error.wire().and_then(|wire| wire.error_type()),
        "message": error.wire().and_then(|wire| wire.error_message()),
    })
}

/// Retries after a second, also what was interrupted, and gives up after attempt 3.
fn persistent(_: &durable::StepError, attempt: u32) -> RetryDecision {
    match attempt {
        1 | 2 => RetryDecision::Retry { delay: Duration::from_secs(1) },
        _ => RetryDecision::Stop,
    }
}

async fn failing_once(ctx: &DurableContext, fail: fn()) -> Result<Value, BoxError> {
    let step = ctx.step(move |step| async move {
        if step.attempt() == 1 {
            fail();
        }
        Ok(step.attempt())
    });
    let attempt =
        step.name("fails-once").semantics(StepSemantics::AtMostOncePerRetry).retry_strategy(persistent).await?;
    Ok(json!({ "attempt": attempt }))
}

async fn failing_always(ctx: &DurableContext, fail: fn()) -> Value {
    let step = ctx.step(move |_| async move {
        fail();
        Ok(())
    });
    outcome(step.name("fails").semantics(StepSemantics::AtMostOncePerRetry).retry_strategy(persistent).await)
}

async fn retries_exhausted(ctx: &DurableContext) -> Value {
    let step = ctx.step(|step| async move {
        Err::<(), BoxError>(TypedError::with_type("Busy", format!("busy at attempt {}", step.attempt())).into())
    });
    outcome(step.name("busy").retry_strategy(persistent).await)
}

/// Tells a listener of each attempt, so that a test can count the bodies that ran.
async fn at_most_once(ctx: &DurableContext, address: String, panicking: bool) -> Value {
    let step = ctx.step(move |step| async move {
        let mut listener = TcpStream::connect(&address)?;
        writeln!(listener, "attempt {} key {}", step.attempt(), step.idempotency_key())?;
        if panicking {
            panic!("a panic after the effect");
        }
        Ok(step.attempt())
    });
    let stop_when_interrupted = |error: &durable::StepError, attempt: u32| match error.kind() {
        StepErrorKind::Interrupted { .. } => RetryDecision::Stop,
        _ => persistent(error, attempt),
    };
    let step = step.name("effect").semantics(StepSemantics::AtMostOncePerRetry).retry_strategy(stop_when_interrupted);
    outcome(step.await)
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[allow(unconditional_recursion, reason = "overflowing the stack is what this is for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(black_box(frame)[depth as usize % 64])
}

fn allocate() -> Value {
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(vec![1_u8; 1 << 20]));
    }
}

struct Pairs(std::collections::BTreeMap<(u8, u8), u8>);

/// JSON, which has no keys that are pairs.
struct PairsSerdes;

impl durable::Serdes<Pairs> for PairsSerdes {
    async fn serialize(&self, value: Pairs, _: durable::serdes::SerdesContext) -> Result<String, BoxError> {
        Ok(serde_json::to_string(&value.0)?)
    }

    async fn deserialize(&self, _: String, _: durable::serdes::SerdesContext) -> Result<Pairs, BoxError> {
        Ok(Pairs(Default::default()))
    }
}
