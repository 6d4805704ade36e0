//! The five rules of AWS's durable execution SDK for Rust, quoted from its crate documentation.

use crate::{Seen, pause, step};
use everstep_sdk::DurableContext;
use serde_json::json;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

/// Rule 1: "Keep the control flow that decides which operations to create a pure function of the event and of results
/// the SDK already recorded."
///
/// AWS's SDK finds another operation than it recorded and fails with `NonDeterministicExecutionError`, or, where type
/// and name happen to agree, hands one operation the result of another.
pub(crate) async fn control_flow_by_chance(ctx: &DurableContext) -> Seen {
    let mut taken = Vec::new();
    for round in 0..3 {
        taken.push(match rand::random_range(0..4) {
            0 => step(ctx, "audit", json!("audited")).await?,
            1 => pause(ctx, rand::random_range(1..=9_000)).await?,
            2 => {
                let inner = ctx.run_in_child_context(|ctx| async move { step(&ctx, "inner", json!(1)).await });
                inner.name("group").await?
            }
            _ => step(ctx, format!("bill-{round}"), json!(round)).await?,
        });
    }
    pause(ctx, 3).await?;
    taken.push(step(ctx, format!("{} more", rand::random::<u64>()), json!(null)).await?);
    Ok(json!({ "taken": taken, "after": rand::random::<u64>() }))
}

/// Rule 2: "Never create durable operations while iterating a `HashMap` or `HashSet`; their iteration order changes
/// between runs."
///
/// AWS's SDK hands the results out by position: a replay in another order fails where the names differ, and mixes the
/// customers up where they do not.
pub(crate) async fn operations_in_map_order(ctx: &DurableContext) -> Seen {
    let prices: HashMap<&str, u64> = [("ada", 3), ("bob", 5), ("cyd", 7), ("dee", 11), ("eli", 13)].into();
    let mut billed = Vec::new();
    for (customer, price) in &prices {
        billed.push(step(ctx, *customer, json!(price)).await?);
    }
    pause(ctx, 2).await?;
    let notified: HashSet<u64> = (0..5).collect();
    for customer in &notified {
        billed.push(step(ctx, format!("notify-{customer}"), json!(customer)).await?);
    }
    Ok(json!({ "billed": billed, "order": prices.keys().collect::<Vec<_>>() }))
}

/// Rule 3: "Do not use `tokio::select!` over durable futures; use `DurableContext::race` or
/// `DurableContext::select_ok`, which record which branch won."
///
/// `tokio::select!` polls its branches in random order. With AWS's SDK operations are begun in another order on replay,
/// and the branch that lost may win: the code after it then goes another way.
pub(crate) async fn select_over_durable_futures(ctx: &DurableContext) -> Seen {
    let mut winners = Vec::new();
    for round in 0..3 {
        let winner = tokio::select! {
            left = step(ctx, format!("left-{round}"), json!("left")) => left?,
            right = step(ctx, format!("right-{round}"), json!("right")) => right?,
            waited = pause(ctx, 5) => waited?,
        };
        let winner = winner.as_str().unwrap_or("wait").to_owned();
        step(ctx, format!("after-{winner}"), json!(round)).await?;
        pause(ctx, 1).await?;
        winners.push(winner);
    }
    Ok(json!({ "winners": winners }))
}

/// Rule 4: "Do not use `tokio::spawn` to run a durable operation in the background; use `.spawn()` on the operation's
/// builder, which keeps the spawned work inside the execution's replay accounting."
///
/// With AWS's SDK such a task is neither awaited before the handler suspends nor numbered alike on replay. (It is
/// `spawn_local` here: one thread is all there is.)
pub(crate) async fn operations_in_spawned_tasks(ctx: &DurableContext) -> Seen {
    let tasks = LocalSet::new();
    let order = tasks.run_until(async {
        let (sender, mut done) = mpsc::unbounded_channel();
        for number in 0..3 {
            let (ctx, sender) = (ctx.clone(), sender.clone());
            spawn_local(async move {
                let seconds = rand::random_range(1..=9_000);
                let worked = async {
                    pause(&ctx, seconds).await?;
                    step(&ctx, format!("task-{number}-after-{seconds}"), json!([number, seconds])).await
                };
                if let Ok(value) = worked.await {
                    _ = sender.send(value);
                }
            });
        }
        drop(sender);
        let mut order = Vec::new();
        while let Some(value) = done.recv().await {
            order.push(value);
        }
        order
    });
    Ok(json!({ "order": order.await }))
}

/// Rule 5: "On suspension, the user future is dropped, so do not rely on `Drop` ordering for correctness between
/// durable operations. For example, a guard that unlocks a resource in `Drop` runs the moment the execution suspends
/// on a `ctx.wait(...)`, not after the wait completes".
///
/// With AWS's SDK the guard says `unlocked` before the wait and again after it. Here a suspension drops the whole
/// instance: no destructor runs but where the program comes to it.
pub(crate) async fn drop_across_a_suspension(ctx: &DurableContext) -> Seen {
    struct Locked(DurableContext, Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Locked {
        fn drop(&mut self) {
            println!("unlocked");
            self.0.logger().info("unlocked");
            self.1.borrow_mut().push("unlocked");
            // Takes a position among the operations: those after it move if the destructor runs at the wrong moment.
            drop(self.0.wait(Duration::from_secs(60)).name("in drop").spawn());
        }
    }
    let events = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        let locked = Locked(ctx.clone(), Rc::clone(&events));
        events.borrow_mut().push("locked");
        let so_far = events.borrow().len();
        step(ctx, "use", json!(so_far)).await?;
        pause(ctx, 2).await?;
        events.borrow_mut().push("waited");
        drop(locked);
        let so_far = events.borrow().join(" ");
        step(ctx, so_far, json!(null)).await?;
    }
    Ok(json!(*events.borrow()))
}
