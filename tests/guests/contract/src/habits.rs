//! What Rust programs do without a thought, and what a replay elsewhere does not survive.

use crate::{Seen, pause, step};
use everstep_sdk::{BoxError, DurableContext, RetryDecision};
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::{FutureExt as _, join, pin_mut};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::json;
use std::cell::{Cell, OnceCell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A generator that seeds itself once a thread and is drawn from inside and outside bodies.
///
/// With AWS's SDK every process has another; and where a replay skips a body, the draws after it move.
pub(crate) async fn thread_rng(ctx: &DurableContext) -> Seen {
    let mut rng = rand::rng();
    let mut own = rand::rngs::StdRng::from_rng(&mut rng);
    let mut drawn = vec![rng.next_u64(), own.next_u64()];
    for round in 0..2 {
        ctx.step(|_| async { Ok((0..100).map(|_| u64::from(rand::rng().random::<u8>())).sum::<u64>()) })
            .name(format!("after {}", drawn[round]))
            .await?;
        pause(ctx, rng.random_range(1..=9)).await?;
        drawn.extend([rng.next_u64(), own.next_u64()]);
    }
    Ok(json!({ "drawn": drawn }))
}

/// "Work until the time is up", by an `Instant`.
///
/// With AWS's SDK an `Instant` of a resumed process starts anew: the loop makes other operations on each replay.
pub(crate) async fn deadline_of_an_instant(ctx: &DurableContext) -> Seen {
    let (started, mut rounds) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(10) {
        step(ctx, format!("after {} ns", started.elapsed().as_nanos()), json!(rounds)).await?;
        pause(ctx, 3).await?;
        rounds += 1;
    }
    Ok(json!({ "rounds": rounds, "elapsed": started.elapsed().as_nanos().to_string() }))
}

/// `std::thread::sleep` between steps, and the time it took.
///
/// With AWS's SDK the sleep is billed, and slept again on every replay.
pub(crate) async fn thread_sleep(ctx: &DurableContext) -> Seen {
    let mut took = Vec::new();
    for millis in [200, 2_000] {
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(millis));
        let elapsed = before.elapsed().as_nanos().to_string();
        took.push(step(ctx, format!("slept {elapsed}"), json!(elapsed)).await?);
    }
    Ok(json!({ "took": took }))
}

/// A backoff with jitter, computed outside of steps.
///
/// AWS's SDK compares no durations on replay: the log says one thing and the program another.
pub(crate) async fn random_durations(ctx: &DurableContext) -> Seen {
    let mut waited = Vec::new();
    for attempt in 1..=3 {
        let seconds = rand::random_range(1..=5_000) * attempt;
        waited.push(pause(ctx, seconds).await?);
        step(ctx, format!("try after {seconds}"), json!(attempt)).await?;
    }
    Ok(json!({ "waited": waited }))
}

/// "Mutating state outside a step fails silently. The first invocation looks correct. Replay resets the mutation while
/// steps return their cached results": here the mutation is in the step, by `Rc`, by atomic and by captured buffer.
///
/// With AWS's SDK the step's changes are there in the first run and gone in a replay, so the names differ. Here they are
/// gone in both.
pub(crate) async fn mutation_in_a_step(ctx: &DurableContext) -> Seen {
    static TOTAL: AtomicU64 = AtomicU64::new(0);
    let shared = Rc::new((Cell::new(0_u64), RefCell::new(String::from("seen"))));
    let mut names = Vec::new();
    for price in [10, 20, 30] {
        let captured = Rc::clone(&shared);
        let inside = ctx.step(move |_| async move {
            captured.0.set(captured.0.get() + price);
            captured.1.borrow_mut().push_str(&" changed".repeat(1_000));
            Ok(TOTAL.fetch_add(price, Ordering::Relaxed) + price)
        });
        let inside = inside.name("add").await?;
        let name = format!("total {} {} {}", TOTAL.load(Ordering::Relaxed), shared.0.get(), shared.1.borrow().len());
        names.push(json!([inside, step(ctx, name.clone(), json!(name)).await?]));
        pause(ctx, 1).await?;
        shared.0.set(shared.0.get() + 1);
    }
    Ok(json!({ "names": names, "shared": Rc::strong_count(&shared) }))
}

/// A cache that a body fills, and workflow code that looks whether it is filled.
///
/// With AWS's SDK it is filled in the run in which the body ran, and empty in every other.
pub(crate) async fn cache_filled_in_a_step(ctx: &DurableContext) -> Seen {
    thread_local! {
        static CACHE: OnceCell<Vec<u64>> = const { OnceCell::new() };
    }
    let mut filled = Vec::new();
    for _ in 0..2 {
        let read = || CACHE.with(|cache| cache.get_or_init(|| (0..50_000).collect()).len());
        ctx.step(move |_| async move { Ok(read()) }).name("read").await?;
        pause(ctx, 2).await?;
        let is_filled = CACHE.with(|cache| cache.get().is_some());
        filled.push(step(ctx, format!("filled: {is_filled}"), json!(is_filled)).await?);
    }
    Ok(json!({ "filled": filled }))
}

/// Logging and printing as in any program.
///
/// AWS's SDK has a logger of its own that is silent on replay; `println!` and every other logger repeat themselves
/// with each invocation.
pub(crate) async fn logging_on_replay(ctx: &DurableContext) -> Seen {
    for round in 0..3 {
        println!("round {round} of {}", rand::random::<u32>());
        eprintln!("to stderr, {round}");
        ctx.logger().with("round", round).info("between steps");
        ctx.step(move |step| async move {
            println!("in the body, {round}");
            step.logger().with("attempt", step.attempt()).warn("in the body");
            Ok(())
        })
        .name("step")
        .await?;
        print!("without a newline, ");
        pause(ctx, 1).await?;
    }
    println!("done");
    Ok(json!("logged"))
}

/// "Send the mail only if this is not a replay".
///
/// With AWS's SDK the step is there in the first run and missing in a replay. Here a workflow cannot tell.
pub(crate) async fn skipped_on_replay(ctx: &DurableContext) -> Seen {
    let mut sent = 0;
    for round in 0..2 {
        if !ctx.is_replaying() {
            step(ctx, format!("mail-{round}"), json!(round)).await?;
            sent += 1;
        }
        pause(ctx, 2).await?;
        step(ctx, format!("sent {sent}"), json!(sent)).await?;
    }
    Ok(json!({ "sent": sent }))
}

/// `join!`, `join_all` and `FuturesUnordered` over steps and waits, and code that depends on who was first.
///
/// "Ordinary `Promise.all` over durable operations would make the checkpoint completion order nondeterministic across
/// runs": with AWS's SDK the operations that follow are numbered by that order.
pub(crate) async fn order_of_completions(ctx: &DurableContext) -> Seen {
    let finished = RefCell::new(Vec::new());
    let branch = async |number: u64| -> Result<(), BoxError> {
        let seconds = rand::random_range(1..=9_000);
        if number.is_multiple_of(2) {
            pause(ctx, seconds).await?;
        }
        step(ctx, format!("branch-{number}"), json!(seconds)).await?;
        finished.borrow_mut().push(number);
        // The operation's position depends on who came first.
        let place = finished.borrow().len();
        step(ctx, format!("place {place} for {number}"), json!(place)).await?;
        Ok(())
    };
    let (left, right) = join!(branch(2), branch(3));
    left?;
    right?;
    join_all((4..6).map(&branch)).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut unordered: FuturesUnordered<_> =
        (10..13).map(|number| branch(number).map(move |done| (number, done))).collect();
    let mut order = Vec::new();
    while let Some((number, done)) = unordered.next().await {
        done?;
        order.push(number);
    }
    drop(unordered);
    Ok(json!({ "finished": *finished.borrow(), "order": order }))
}

/// Looks whether an operation happens to be done.
///
/// With AWS's SDK a recorded operation is done at the first poll of a replay, and was not in the first run.
pub(crate) async fn now_or_never(ctx: &DurableContext) -> Seen {
    let mut seen = Vec::new();
    for round in 0..2 {
        let mut begun = ctx.step(move |_| async move { Ok(round) }).name("polled").spawn();
        let mut waiting = ctx.wait(Duration::from_secs(60)).name("polled").spawn();
        let at_once = [(&mut begun).now_or_never().is_some(), (&mut waiting).now_or_never().is_some()];
        step(ctx, format!("{at_once:?}"), json!(at_once)).await?;
        let later = [(&mut begun).now_or_never().is_some(), (&mut waiting).now_or_never().is_some()];
        step(ctx, format!("{later:?}"), json!(later)).await?;
        if !later[0] {
            begun.await?;
        }
        if !later[1] {
            waiting.await?;
        }
        seen.push(json!([at_once, later]));
    }
    Ok(json!({ "seen": seen }))
}

/// A timeout of the program's own that races a step which is retried; how often that fails is chance.
///
/// With AWS's SDK a replay finds both done and takes the branch that is polled first.
pub(crate) async fn timeout_race(ctx: &DurableContext) -> Seen {
    let mut outcomes = Vec::new();
    for round in 0..2 {
        let failures = rand::random_range(0..=4_u32);
        let work = ctx
            .step(move |step| async move {
                if step.attempt() <= failures { Err("not yet".into()) } else { Ok(step.attempt()) }
            })
            .name(format!("work-{round}"))
            .retry_strategy(|_, _| RetryDecision::Retry { delay: Duration::from_secs(2) });
        let (work, timeout) = (work.future(), pause(ctx, 5));
        pin_mut!(work, timeout);
        let outcome = match select(timeout, work).await {
            Either::Left(_) => "timed out".to_owned(),
            Either::Right((attempts, _)) => format!("done in {}", attempts?),
        };
        outcomes.push(step(ctx, outcome.clone(), json!(outcome)).await?);
    }
    Ok(json!({ "outcomes": outcomes }))
}

/// Names from the addresses of what is allocated, bodies that allocate in between.
///
/// Natively addresses differ with every process; with linear memory they would differ where a replay skips a body.
pub(crate) async fn names_from_addresses(ctx: &DurableContext) -> Seen {
    let mut names = Vec::new();
    let mut kept = Vec::new();
    for round in 0..3 {
        let leaked = ctx.step(move |_| async move {
            let block: &'static mut [u8] = vec![round; 100_000 * (usize::from(round) + 1)].leak();
            Ok(block.len())
        });
        leaked.name("leak").await?;
        let block = Box::new([round; 40]);
        let name = format!("{:p}", &raw const *block);
        kept.push(block);
        names.push(step(ctx, name.clone(), json!(name)).await?);
        pause(ctx, 1).await?;
    }
    Ok(json!({ "names": names, "kept": kept.len() }))
}

/// The hasher's seed as a poor man's random number.
///
/// It is another one in every process, and, as the standard library counts it up, in every map.
pub(crate) async fn hasher_as_chance(ctx: &DurableContext) -> Seen {
    let mut drawn = Vec::new();
    for _ in 0..3 {
        let number = RandomState::new().hash_one("chance");
        ctx.step(|_| async { Ok(RandomState::new().hash_one("in a body").to_string().len() > 3) }).name("draw").await?;
        drawn.push(step(ctx, format!("drew {number}"), json!(number)).await?);
        pause(ctx, 1 + number % 9).await?;
    }
    Ok(json!({ "drawn": drawn }))
}
