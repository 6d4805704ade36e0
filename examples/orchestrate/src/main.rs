//! Orchestration: an order that other workflows fulfil, each an execution of its own.
//!
//! `everstep run examples/orchestrate --function stock=examples/order ...` says which.

use durable::{InvokeErrorKind, OperationErrorKind};
use everstep_sdk as durable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    amount: f64,
    /// Functions to invoke, by qualified name.
    payment: String,
    shipping: String,
}

#[derive(Serialize)]
struct Fulfilled {
    status: &'static str,
    payment: Value,
    shipping: Option<Value>,
}

async fn handler(order: Order, ctx: durable::DurableContext) -> Result<Fulfilled, durable::BoxError> {
    let Order { order_id, amount, payment, shipping } = order;
    let request = json!({ "orderId": order_id, "amount": amount });
    // Whatever happens to this execution, the payment is started once.
    let payment = ctx.invoke::<Value, Value>(payment, request.clone()).name("payment").await?;
    let shipping = ctx.invoke::<Value, Value>(shipping, request).name("shipping").await;
    match shipping {
        Ok(shipping) => Ok(Fulfilled { status: "fulfilled", payment, shipping: Some(shipping) }),
        Err(error) if is_not_there(&error) => {
            ctx.step(|_| async move {
                println!("no shipping today, somebody has to look at it");
                Ok(())
            })
            .name("notify")
            .await?;
            Ok(Fulfilled { status: "unshipped", payment, shipping: None })
        }
        Err(error) => Err(error.into()),
    }
}

fn is_not_there(error: &durable::OperationError) -> bool {
    let OperationErrorKind::Invoke(error) = error.kind() else { return false };
    matches!(error.kind(), InvokeErrorKind::FunctionNotFound(_))
}

fn main() {
    durable::run(handler)
}
