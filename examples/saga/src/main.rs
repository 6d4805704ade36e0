//! A saga: book a flight, a hotel and a car, pay for them; if one of it fails, undo what was done, last first.

use durable::builders::RetryStrategyConfig;
use everstep_sdk as durable;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Trip {
    traveller: String,
    /// What is booked, in this order.
    parts: Vec<String>,
    amount: f64,
    /// What is not to be had: stands for the outside world.
    #[serde(default)]
    sold_out: Vec<String>,
}

#[derive(Serialize)]
struct Booked {
    status: &'static str,
    /// Confirmations of what is booked in the end.
    confirmations: Vec<String>,
    /// What was booked and undone.
    undone: Vec<String>,
    reason: Option<String>,
}

async fn handler(trip: Trip, ctx: durable::DurableContext) -> Result<Booked, durable::BoxError> {
    let mut done: Vec<(String, String)> = Vec::new();
    let failed = loop {
        let Some(part) = trip.parts.get(done.len()).cloned() else {
            break charge(&ctx, &trip).await.err();
        };
        match book(&ctx, &part, &trip).await {
            Ok(confirmation) => done.push((part, confirmation)),
            Err(error) => break Some(error),
        }
    };
    let Some(reason) = failed else {
        let confirmations = done.into_iter().map(|(_, confirmation)| confirmation).collect();
        return Ok(Booked { status: "booked", confirmations, undone: Vec::new(), reason: None });
    };
    let mut undone = Vec::new();
    for (part, confirmation) in done.into_iter().rev() {
        cancel(&ctx, &part, &confirmation).await?;
        undone.push(part);
    }
    let reason = reason.wire().and_then(|wire| wire.error_message()).map(str::to_owned);
    Ok(Booked { status: "cancelled", confirmations: Vec::new(), undone, reason })
}

async fn book(ctx: &durable::DurableContext, part: &str, trip: &Trip) -> Result<String, durable::OperationError> {
    let (what, who) = (part.to_owned(), trip.traveller.clone());
    let sold_out = trip.sold_out.contains(&what);
    ctx.step(move |_| async move {
        if sold_out {
            return Err(format!("no {what} is to be had").into());
        }
        println!("book {what} for {who}");
        Ok(format!("{what}-for-{who}"))
    })
    .name(format!("book-{part}"))
    .retry_strategy_config(RetryStrategyConfig::none())
    .await
}

/// Money moves at most once: an attempt that was interrupted is not repeated, but counts as failed.
async fn charge(ctx: &durable::DurableContext, trip: &Trip) -> Result<String, durable::OperationError> {
    let (who, amount) = (trip.traveller.clone(), trip.amount);
    ctx.step(move |step| async move {
        if amount > 10_000.0 {
            return Err(format!("the card of {who} was declined").into());
        }
        println!("charge {amount:.2} to {who}, once: {}", step.idempotency_key());
        Ok(format!("charged {amount:.2}"))
    })
    .name("charge")
    .semantics(durable::StepSemantics::AtMostOncePerRetry)
    .retry_strategy_config(RetryStrategyConfig::none())
    .await
}

/// Undoing is repeated until it succeeds: ten attempts, quickly at first.
async fn cancel(ctx: &durable::DurableContext, part: &str, confirmation: &str) -> Result<(), durable::OperationError> {
    let confirmation = confirmation.to_owned();
    ctx.step(move |_| async move {
        println!("cancel {confirmation}");
        Ok(())
    })
    .name(format!("cancel-{part}"))
    .retry_strategy_config(RetryStrategyConfig::critical())
    .await
}

fn main() {
    durable::run(handler)
}
