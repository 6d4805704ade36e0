//! A case whose steps tell a listener outside of each attempt, so that a test can count them.

use crate::Input;
use durable::{BoxError, DurableContext, RetryDecision, StepSemantics};
use everstep_sdk as durable;
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// None if the case is not this one.
pub(crate) async fn run(input: &Input, ctx: &DurableContext) -> Result<Option<Value>, BoxError> {
    if input.case != "effects" {
        return Ok(None);
    }
    let mut attempts = Vec::new();
    for (name, semantics) in [
        ("at-most-once", StepSemantics::AtMostOncePerRetry),
        ("at-least-once", StepSemantics::AtLeastOncePerRetry),
        ("at-most-once-again", StepSemantics::AtMostOncePerRetry),
    ] {
        attempts.push(effect(ctx, &input.address, name, semantics, false).await?);
    }
    for (name, semantics) in [
        ("at-most-once-failing", StepSemantics::AtMostOncePerRetry),
        ("at-least-once-failing", StepSemantics::AtLeastOncePerRetry),
    ] {
        attempts.push(effect(ctx, &input.address, name, semantics, true).await?);
    }
    Ok(Some(json!({ "attempts": attempts })))
}

/// One line to the listener, between two log lines. Retried three times, also if it was interrupted.
async fn effect(
    ctx: &DurableContext,
    address: &str,
    name: &str,
    semantics: StepSemantics,
    fails_once: bool,
) -> Result<u32, BoxError> {
    let address = address.to_owned();
    let step = ctx.step(move |step| async move {
        step.logger().info("before the effect");
        let mut listener = TcpStream::connect(&address)?;
        write!(listener, "{} {}", step.operation_id(), step.attempt())?;
        step.logger().info("after the effect");
        if fails_once && step.attempt() == 1 {
            return Err("the first attempt fails after its effect".into());
        }
        Ok(step.attempt())
    });
    let persistent = |_: &durable::StepError, attempt: u32| match attempt {
        1..=3 => RetryDecision::Retry { delay: Duration::from_secs(1) },
        _ => RetryDecision::Stop,
    };
    Ok(step.name(name).semantics(semantics).retry_strategy(persistent).await?)
}
