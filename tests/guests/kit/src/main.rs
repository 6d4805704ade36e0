//! A workflow for each part of the world that the testing kit stands in for; the input says which.

use everstep_sdk as durable;
use futures_util::future::try_join;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Case {
    /// A callback beside a timer that may come first.
    Approval,
    /// Two functions, one of them durable.
    Family,
    /// Requests, one of which is retried.
    Shop,
    /// A payment that is never made twice.
    Careful,
    /// A retry strategy of its own.
    Picky,
    /// A wait of a year.
    Year,
    /// A callback that nobody completes.
    Forgotten,
    /// Without the SDK: what a body leaves behind decides what comes next.
    Leaky,
}

type Answer = Result<Value, durable::BoxError>;

async fn handler(case: Case, ctx: durable::DurableContext) -> Answer {
    match case {
        Case::Approval => approval(ctx).await,
        Case::Family => family(ctx).await,
        Case::Shop => shop(ctx).await,
        Case::Careful => careful(ctx).await,
        Case::Picky => picky(ctx).await,
        Case::Forgotten => Ok(ctx.create_callback::<Value>().name("answer").await?.result().await?),
        Case::Leaky => unreachable!("it does without the SDK"),
        Case::Year => {
            ctx.wait(Duration::from_secs(365 * 24 * 3600)).name("hibernate").await?;
            Ok(json!("spring"))
        }
    }
}

async fn approval(ctx: durable::DurableContext) -> Answer {
    let approval = ctx.create_callback::<Value>().name("approval").timeout(Duration::from_secs(3600)).future().await?;
    let id = approval.id().to_owned();
    ctx.step(move |_| async move { Ok(format!("mailed {id}")) }).name("ask").await?;
    let reminder = async { ctx.wait(Duration::from_secs(600)).name("reminder").await };
    let (answer, ()) = try_join(approval.result(), reminder).await?;
    Ok(json!({ "answer": answer }))
}

async fn family(ctx: durable::DurableContext) -> Answer {
    let tax = ctx.invoke::<Value, Value>("tax", json!({ "net": 100 })).name("tax").tenant_id("acme").future();
    let year = ctx.invoke::<Value, Value>("year:$LATEST", json!("year")).name("year").future();
    let (tax, year) = try_join(tax, year).await?;
    Ok(json!({ "tax": tax, "year": year }))
}

async fn shop(ctx: durable::DurableContext) -> Answer {
    let stock = ctx.fetch("https://shop.example/stock/7").future().await?;
    let left = stock.json::<Value>()?;
    Ok(json!({ "left": left["left"] }))
}

async fn careful(ctx: durable::DurableContext) -> Answer {
    let paid = ctx
        .step(|_| async { Ok(json!("paid")) })
        .name("pay")
        .semantics(durable::StepSemantics::AtMostOncePerRetry)
        .retry_strategy(|_, _| durable::RetryDecision::Stop)
        .await?;
    Ok(paid)
}

async fn picky(ctx: durable::DurableContext) -> Answer {
    let picked = ctx
        .step(|_| async { Ok(json!("the body ran")) })
        .name("pick")
        .retry_strategy(|_, attempt| match attempt {
            1 | 2 => durable::RetryDecision::Retry { delay: Duration::from_secs(30) },
            _ => durable::RetryDecision::Stop,
        })
        .await?;
    Ok(picked)
}

mod unsealed {
    // The SDK has bindings of the same world.
    wit_bindgen::generate!({ path: "../../../wit", world: "workflow", type_section_suffix: "unsealed" });
    pub(super) use everstep::workflow::durable::*;
}

fn leaky() {
    let options = |name: String| {
        let semantics = unsealed::StepSemantics::AtLeastOncePerRetry;
        unsealed::StepOptions { name: Some(name), semantics }
    };
    let mut left_behind = 0;
    for _ in 0..2 {
        unsealed::begin_step(0, &options(format!("after-{left_behind}")));
        while let unsealed::Event::Run(run) = unsealed::next_unsealed() {
            left_behind += 1;
            unsealed::end(run.operation, &unsealed::StepOutcome::Succeed(None));
        }
    }
    unsealed::finish(Ok(None));
}

fn main() {
    match unsealed::input().as_deref() {
        Some("\"leaky\"") => leaky(),
        _ => durable::run(handler),
    }
}
