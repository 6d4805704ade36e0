//! Cases of a workflow that asks for what there is not.

use crate::Input;
use durable::{BoxError, DurableContext, OperationError, OperationErrorKind, RetryDecision};
use everstep_sdk as durable;
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Begins an operation when it is dropped.
struct AtTheEnd(DurableContext);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        drop(self.0.wait(Duration::from_secs(1)).spawn());
    }
}

/// None if the case is not one of these.
pub(crate) async fn run(input: &Input, ctx: &DurableContext) -> Result<Option<Value>, BoxError> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let seen = match input.case.as_str() {
        "operation_in_step" => {
            let inner = ctx.clone();
            let step = ctx.step(move |_| async move { Ok(inner.wait(Duration::from_secs(1)).await?) });
            seen(step.name("nesting").retry_strategy(|_, _| RetryDecision::Stop).await)
        }
        "step_in_step" => {
            let inner = ctx.clone();
            seen(ctx.step(move |_| async move { Ok(inner.step(|_| async { Ok(1) }).await?) }).name("nesting").await)
        }
        "future_in_step" => {
            let outer = ctx.wait(Duration::from_secs(1)).spawn();
            seen(ctx.step(move |_| async move { Ok(outer.await?) }).name("nesting").await)
        }
        "name_too_long" => seen(ctx.wait(Duration::from_secs(1)).name("n".repeat(257)).await),
        "name_not_printable" => seen(ctx.wait(Duration::from_secs(1)).name("caf\u{e9}").await),
        "wait_of_zero" => seen(ctx.wait(Duration::ZERO).await),
        "wait_of_two_years" => seen(ctx.wait(2 * YEAR).await),
        "after_its_context" => {
            let escaped = ctx.run_in_child_context(|child| async move { Ok(Escaped(child)) }).serdes(Smuggle).await?;
            seen(escaped.0.wait(Duration::from_secs(1)).await)
        }
        "after_the_end" => {
            let forgotten = AtTheEnd(ctx.clone());
            let child = ctx.run_in_child_context(move |_| async move {
                let _forgotten = forgotten;
                std::future::pending::<Result<(), BoxError>>().await
            });
            std::mem::forget(child.spawn());
            ctx.wait(Duration::from_secs(1)).await?;
            Value::Null
        }
        "input_too_large" => seen(ctx.invoke::<Value, String>("f:1", "i".repeat((1 << 20) + 1)).await),
        "no_function_s_name" => seen(ctx.invoke::<Value, Value>("no name", Value::Null).await),
        "unserializable_input" => {
            let pairs = BTreeMap::from([((1_u8, 2_u8), 3_u8)]);
            seen(ctx.invoke::<Value, _>("f:1", pairs).await)
        }
        "nobody_at_once" => seen(ctx.map([1, 2], |_, item: u32, _| async move { Ok(item) }).max_concurrency(0).await),
        _ => return Ok(None),
    };
    Ok(Some(seen))
}

fn seen<T: Serialize>(result: Result<T, OperationError>) -> Value {
    let error = match result {
        Ok(value) => return json!({ "value": value }),
        Err(error) => error,
    };
    let kind = match error.kind() {
        OperationErrorKind::Wait(error) => error.kind().to_string(),
        OperationErrorKind::Invoke(error) => error.kind().to_string(),
        OperationErrorKind::ChildContext(error) => error.kind().to_string(),
        other => other.to_string(),
    };
    json!({ "kind": kind })
}

struct Escaped(DurableContext);

/// Carries a context out of itself.
struct Smuggle;

impl durable::Serdes<Escaped> for Smuggle {
    async fn serialize(&self, value: Escaped, _: durable::serdes::SerdesContext) -> Result<String, BoxError> {
        SMUGGLED.set(Some(value.0));
        Ok("null".to_owned())
    }

    async fn deserialize(&self, _: String, _: durable::serdes::SerdesContext) -> Result<Escaped, BoxError> {
        SMUGGLED.take().map(Escaped).ok_or_else(|| "nothing was smuggled".into())
    }
}

thread_local! {
    static SMUGGLED: RefCell<Option<DurableContext>> = const { RefCell::new(None) };
}
