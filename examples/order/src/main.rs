//! An order: validate it, charge it, give the customer ten seconds to think again, confirm it.

use everstep_sdk as durable;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    amount: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    order_id: String,
    transaction_id: Uuid,
    status: &'static str,
    steps: Vec<String>,
}

async fn handler(order: Order, ctx: durable::DurableContext) -> Result<Receipt, durable::BoxError> {
    let Order { order_id, amount } = order;

    let id = order_id.clone();
    let validated = ctx
        .step(move |step| async move {
            step.logger().with("order", &id).info("validating");
            println!("validate {id}");
            if amount <= 0.0 {
                return Err(format!("order {id}: the amount is {amount}, it must be positive").into());
            }
            Ok(format!("validated {id}"))
        })
        .name("validate")
        .retry_strategy(|_, _| durable::RetryDecision::Stop)
        .await?;

    // Random, outside a step: the same on every replay of this execution.
    let transaction_id = Uuid::new_v4();

    let charged = ctx
        .step(move |step| async move {
            let key = step.idempotency_key();
            step.logger().with("transaction", transaction_id).with("key", &key).info("charging");
            println!("charge {amount:.2}");
            Ok(format!("charged {amount:.2} as {transaction_id}"))
        })
        .name("charge")
        .await?;

    ctx.wait(Duration::from_secs(10)).name("cooling-off").await?;

    let id = order_id.clone();
    let confirmed = ctx
        .step(move |step| async move {
            step.logger().with("order", &id).info("confirming");
            println!("confirm {id}");
            Ok(format!("confirmed {id}"))
        })
        .name("confirm")
        .await?;

    Ok(Receipt { order_id, transaction_id, status: "confirmed", steps: vec![validated, charged, confirmed] })
}

fn main() {
    durable::run(handler)
}
