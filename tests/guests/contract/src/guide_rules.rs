//! The rules of the determinism guide of Lambda durable functions, and the pitfalls it lists.

use crate::{Seen, pause, step};
use everstep_sdk::DurableContext;
use serde_json::json;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Since the epoch, as the program sees it.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// "Time and identity: `Date.now()`, `time.time()`, `Instant.now()`": never bare in the handler.
///
/// AWS's SDK compares names and types only: a fresh timestamp in a step's input is another one on replay, and nobody
/// notices.
pub(crate) async fn bare_clock(ctx: &DurableContext) -> Seen {
    let ordered_at = now().as_nanos();
    step(ctx, "order", json!(ordered_at.to_string())).await?;
    pause(ctx, 3).await?;
    let shipped_at = now().as_nanos();
    let took = step(ctx, "ship", json!((shipped_at - ordered_at).to_string())).await?;
    Ok(json!({ "ordered_at": ordered_at.to_string(), "shipped_at": shipped_at.to_string(), "took": took }))
}

/// "Time and identity: [...] UUID generation": never bare in the handler.
///
/// With AWS's SDK "each replay would mint a fresh UUID, and a replay after the charge could double-charge".
pub(crate) async fn bare_uuid(ctx: &DurableContext) -> Seen {
    let transaction = Uuid::new_v4().to_string();
    let sent = transaction.clone();
    // The body draws from the host as well, and a replay does not repeat that.
    let charge = ctx.step(move |_| async move { Ok((sent, Uuid::new_v4())) }).name("charge");
    let (charged, _) = charge.await?;
    pause(ctx, 3).await?;
    let shipped = step(ctx, format!("ship {transaction}"), json!(transaction)).await?;
    Ok(json!({ "agree": shipped == charged, "charged": charged, "receipt": Uuid::new_v4().to_string() }))
}

/// "Random numbers: `Math.random()`, `random.random()`, `java.util.Random`": never bare in the handler. A body draws as
/// well, before anything else: a replay does not repeat that, and seeds the generator later.
///
/// AWS's SDK lets a value through that only feeds a step, and fails where it decides which operations there are.
pub(crate) async fn bare_random(ctx: &DurableContext) -> Seen {
    let sampled = ctx.step(|_| async { Ok(rand::random::<[u64; 3]>().len()) }).name("sample").await?;
    let mut drawn = vec![rand::random::<u64>()];
    drawn.push(rand::random());
    if rand::random::<bool>() {
        step(ctx, "heads", json!(sampled)).await?;
    } else {
        pause(ctx, 3).await?;
    }
    drawn.push(rand::random());
    pause(ctx, 3).await?;
    step(ctx, format!("drew {}", drawn[2]), json!(null)).await?;
    Ok(json!({ "drawn": drawn }))
}

/// "Feature flags, environment variables read at runtime [...] can all change between the first invocation and a
/// replay": the process that resumes is given another value, and one more variable of its own.
///
/// AWS's SDK reads the variable of whichever process it runs in, and takes the other branch.
pub(crate) async fn bare_environment(ctx: &DurableContext) -> Seen {
    let flag = || std::env::var("CONTRACT_FLAG").unwrap_or_else(|_| "unset".to_owned());
    let mut seen = vec![flag()];
    for round in 0..2 {
        match flag().as_str() {
            "express" => step(ctx, "express", json!(round)).await?,
            other => step(ctx, format!("slow: {other}"), json!(round)).await?,
        };
        pause(ctx, 2).await?;
        seen.push(flag());
    }
    let others = std::env::vars().filter(|(name, _)| name != "CONTRACT_FLAG").count();
    Ok(json!({ "seen": seen, "others": others, "arguments": std::env::args().collect::<Vec<_>>() }))
}

/// "State that lives outside steps resets to its initial value on every replay, while steps return their cached
/// results": the accumulator that is wrong after an interruption in mid-loop.
///
/// The handler runs again as a whole, so the sum is right with AWS's SDK too as long as nothing else is wrong; what
/// goes wrong is state that the *step* changed: see `mutation_in_a_step`.
pub(crate) async fn state_outside_steps(ctx: &DurableContext) -> Seen {
    let (mut total, saved) = (0, Cell::new(0));
    for price in [10, 20, 30] {
        step(ctx, format!("save at {total}"), json!(price)).await?;
        total += price;
        saved.set(saved.get() + 1);
        pause(ctx, 1).await?;
    }
    Ok(json!({ "total": total, "saved": saved.get() }))
}

/// "Wrong: replay may see a different time of day. `if (new Date().getHours() < 12)`".
///
/// "An execution that starts at 11:58 and replays at 12:05 attempts the afternoon-work branch while the log contains
/// morning-work": AWS's SDK fails the execution.
pub(crate) async fn branch_on_time_of_day(ctx: &DurableContext) -> Seen {
    let mut shifts = Vec::new();
    // Seven hours in between: one of the looks at the clock sees the other half of the day.
    for _ in 0..3 {
        let hour = now().as_secs() / 3_600 % 24;
        shifts.push(match hour {
            0..12 => step(ctx, "morning-work", json!(hour)).await?,
            _ => {
                pause(ctx, 1).await?;
                step(ctx, "afternoon-work", json!(hour)).await?
            }
        });
        pause(ctx, 7 * 3_600).await?;
    }
    Ok(json!({ "shifts": shifts }))
}

/// "Dynamic step names from non-deterministic values. Names containing timestamps or random components break
/// checkpoint matching on replay."
///
/// AWS's SDK finds another name than it recorded and fails the execution.
pub(crate) async fn names_from_the_clock(ctx: &DurableContext) -> Seen {
    let mut names = Vec::new();
    for _ in 0..3 {
        let name = format!("export-{}", now().as_micros());
        names.push(step(ctx, name.clone(), json!(name)).await?);
        pause(ctx, 2).await?;
    }
    Ok(json!({ "names": names }))
}

/// "Shared state through global variables that breaks during replay": what a process keeps from one invocation to the
/// next, and another process does not have.
///
/// With AWS's SDK the second invocation in a warm environment finds the counter where the first left it, in a cold one
/// at zero.
pub(crate) async fn global_variables(ctx: &DurableContext) -> Seen {
    static INVOCATIONS: AtomicU64 = AtomicU64::new(0);
    static STARTED: OnceLock<u128> = OnceLock::new();
    let mut seen = vec![INVOCATIONS.fetch_add(1, Ordering::Relaxed)];
    let started = *STARTED.get_or_init(|| now().as_nanos());
    for round in 0..2 {
        step(ctx, format!("round {} since {started}", seen[round]), json!(round)).await?;
        pause(ctx, 2).await?;
        seen.push(INVOCATIONS.fetch_add(1, Ordering::Relaxed));
    }
    Ok(json!({ "seen": seen, "started": STARTED.get().map(u128::to_string) }))
}
