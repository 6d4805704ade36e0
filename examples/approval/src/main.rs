//! An approval: ask somebody, remind them every week, act on what they say.
//!
//! Whoever decides completes the callback, with `SendDurableExecutionCallbackSuccess` or `everstep callback succeed`,
//! and says with heartbeats that the request is still being looked at.

use everstep_sdk as durable;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the whole decision may take.
const DEADLINE: Duration = DAY.saturating_mul(30);
/// How long nobody may touch it.
const UNTOUCHED: Duration = DAY.saturating_mul(10);
/// How long until they are reminded.
const PATIENCE: Duration = DAY.saturating_mul(7);

#[derive(Deserialize)]
struct Request {
    purpose: String,
    amount: f64,
}

#[derive(Serialize, Deserialize)]
struct Decision {
    approved: bool,
    by: String,
}

#[derive(Serialize)]
struct Outcome {
    status: &'static str,
    by: Option<String>,
    reminders: u32,
}

async fn handler(request: Request, ctx: durable::DurableContext) -> Result<Outcome, durable::BoxError> {
    let callback = ctx.create_callback::<Decision>().name("decision").timeout(DEADLINE).heartbeat(UNTOUCHED).await?;

    let (id, purpose, amount) = (callback.callback_id().to_owned(), request.purpose.clone(), request.amount);
    ctx.step(move |step| async move {
        step.logger().with("callback", &id).info("asking");
        println!("please approve {amount:.2} for {purpose}: {id}");
        Ok(())
    })
    .name("ask")
    .await?;

    let mut decided = callback.result();
    let mut reminders = 0;
    let decision = loop {
        match select(decided, ctx.wait(PATIENCE).name("patience").future()).await {
            // Dropping the other future cancels the wait.
            Either::Left((decision, _)) => break decision,
            Either::Right((waited, still_open)) => {
                waited?;
                decided = still_open;
                reminders += 1;
            }
        }
        let purpose = request.purpose.clone();
        ctx.step(move |_| async move {
            println!("reminder {reminders}: {purpose} still waits for you");
            Ok(())
        })
        .name("remind")
        .await?;
    };

    let (status, by) = match decision {
        Ok(Decision { approved: true, by }) => ("approved", Some(by)),
        Ok(Decision { approved: false, by }) => ("rejected", Some(by)),
        // Nobody decided in time, or nobody looked at it for too long: the answer is no.
        Err(error) if error.status() == Some("TIMED_OUT") => ("expired", None),
        Err(error) => return Err(error.into()),
    };
    Ok(Outcome { status, by, reminders })
}

fn main() {
    durable::run(handler)
}
