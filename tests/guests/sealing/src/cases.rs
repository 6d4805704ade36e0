//! The cases, by name.

use crate::Seen;
use durable::{BoxError, DurableContext, DurableFuture};
use everstep_sdk as durable;
use futures_util::join;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
use std::hint::black_box;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

const ROUNDS: u64 = 5;
const LARGE: usize = 32 << 20;

static COUNTER: AtomicU64 = AtomicU64::new(100);
static TABLE: Mutex<Vec<u64>> = Mutex::new(Vec::new());

thread_local! {
    static LOCAL: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

type Result<T = Seen> = std::result::Result<T, BoxError>;

pub(crate) async fn run(case: &str, ctx: &DurableContext) -> Result {
    match case {
        "static_atomic" => static_atomic(ctx).await,
        "static_growth" => static_growth(ctx).await,
        "thread_local" => thread_local(ctx).await,
        "arc_mutex" => arc_mutex(ctx).await,
        "rc_refcell" => rc_refcell(ctx).await,
        "cell" => cell(ctx).await,
        "captured_by_move" => captured_by_move(ctx).await,
        "box_taken" => box_taken(ctx).await,
        "own_future" => own_future(ctx).await,
        "guard" => guard(ctx).await,
        "growth" => growth(ctx).await,
        "large_dropped" => large(ctx, false).await,
        "large_leaked" => large(ctx, true).await,
        "loops" => loops(ctx).await,
        "nested" => nested(ctx).await,
        "async_body" => async_body(ctx).await,
        "joined" => joined(ctx).await,
        "printed" => printed(ctx).await,
        other => Err(format!("no case `{other}`").into()),
    }
}

/// A step with a plain body.
async fn step(ctx: &DurableContext, body: impl FnOnce() -> u64 + 'static) -> Result<u64> {
    Ok(ctx.step(move |_| async move { Ok(body()) }).name("body").await?)
}

async fn static_atomic(ctx: &DurableContext) -> Result {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let returned = step(ctx, move || COUNTER.fetch_add(round + 1, Ordering::Relaxed)).await?;
        seen.note(returned);
        seen.note(COUNTER.load(Ordering::Relaxed));
    }
    COUNTER.fetch_add(1, Ordering::Relaxed);
    seen.note(step(ctx, || COUNTER.load(Ordering::Relaxed)).await?);
    Ok(seen)
}

async fn static_growth(ctx: &DurableContext) -> Result {
    let table = || TABLE.lock().map(|table| table.len() as u64).unwrap_or(u64::MAX);
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let push = move |count: u64| {
            if let Ok(mut table) = TABLE.lock() {
                table.extend(0..count);
            }
        };
        push(10);
        let returned = step(ctx, move || {
            push(1_000 * (round + 1));
            table()
        })
        .await?;
        seen.note(returned);
        seen.note(table());
    }
    Ok(seen)
}

async fn thread_local(ctx: &DurableContext) -> Result {
    let length = || LOCAL.with_borrow(Vec::len) as u64;
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let returned = step(ctx, move || {
            LOCAL.with_borrow_mut(|local| local.extend(0..=round * 100));
            length()
        })
        .await?;
        seen.note(returned);
        seen.note(length());
        LOCAL.with_borrow_mut(|local| local.push(round));
    }
    Ok(seen)
}

async fn arc_mutex(ctx: &DurableContext) -> Result {
    let shared = Arc::new(Mutex::new(vec![1_u64]));
    let total = |shared: &Mutex<Vec<u64>>| shared.lock().map(|values| values.iter().sum()).unwrap_or(u64::MAX);
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let captured = Arc::clone(&shared);
        let returned = step(ctx, move || {
            if let Ok(mut values) = captured.lock() {
                values.push(1_000 + round);
            }
            total(&captured)
        })
        .await?;
        seen.note(returned);
        seen.note(total(&shared));
        seen.note(Arc::strong_count(&shared) as u64);
    }
    Ok(seen)
}

async fn rc_refcell(ctx: &DurableContext) -> Result {
    let shared = Rc::new(RefCell::new(String::from("start")));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let captured = Rc::clone(&shared);
        let returned = step(ctx, move || {
            captured.borrow_mut().push_str(&"x".repeat(1_000 * (round as usize + 1)));
            captured.borrow().len() as u64
        })
        .await?;
        seen.note(returned);
        seen.note(shared.borrow().len() as u64);
        seen.note(Rc::strong_count(&shared) as u64);
        shared.borrow_mut().push('y');
    }
    Ok(seen)
}

async fn cell(ctx: &DurableContext) -> Result {
    let shared = Rc::new(Cell::new(7_u64));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let before = shared.get();
        let captured = Rc::clone(&shared);
        let returned = step(ctx, move || captured.replace(captured.get() * 1_000 + round)).await?;
        seen.note(returned);
        seen.note(shared.get());
        seen.note(u64::from(before == shared.get()));
        shared.set(shared.get() + 1);
    }
    Ok(seen)
}

async fn captured_by_move(ctx: &DurableContext) -> Result {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let mut values: Vec<u64> = (0..100).collect();
        let text = format!("round {round}");
        let returned = step(ctx, move || {
            values.extend(0..50_000);
            let mut text = text;
            text.push_str(&"!".repeat(10_000));
            values.len() as u64 + text.len() as u64
        })
        .await?;
        seen.note(returned);
    }
    Ok(seen)
}

async fn box_taken(ctx: &DurableContext) -> Result {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let shared = Rc::new(RefCell::new(Some(Box::new([round; 64]))));
        let mut own = Some(Box::new([round; 64]));
        let captured = Rc::clone(&shared);
        let returned = step(ctx, move || {
            let taken = (captured.borrow_mut().take(), own.take());
            taken.0.map_or(0, |values| values.iter().sum::<u64>()) + taken.1.map_or(0, |values| values[0])
        })
        .await?;
        seen.note(returned);
        seen.note(shared.borrow().as_ref().map_or(u64::MAX, |values| values[63]));
    }
    Ok(seen)
}

/// The body drops the future of its own step: what it captured must stay alive under it.
async fn own_future(ctx: &DurableContext) -> Result {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let own = Rc::new(RefCell::new(None::<DurableFuture<u64>>));
        let (captured, values) = (Rc::clone(&own), vec![round; 64]);
        let body = move |_| async move {
            drop(captured.take());
            let others = black_box(vec![1_000_u64; 64]);
            Ok(values.iter().sum::<u64>() + others[63])
        };
        own.replace(Some(ctx.step(body).name("body").spawn()));
        let returned = poll_fn(|context| match own.borrow_mut().as_mut() {
            Some(future) => Pin::new(future).poll(context),
            None => Poll::Pending,
        });
        seen.note(returned.await?);
    }
    Ok(seen)
}

/// Its `Drop` reads what the body may have written.
struct Guard {
    value: u64,
    report: Rc<Cell<u64>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.report.set(self.report.get() * 31 + self.value);
    }
}

async fn guard(ctx: &DurableContext) -> Result {
    let report = Rc::new(Cell::new(0));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let mut guard = Guard { value: round + 1, report: Rc::clone(&report) };
        let returned = step(ctx, move || {
            guard.value = 1_000_000 + round;
            black_box(&guard).value
        })
        .await?;
        seen.note(returned);
        seen.note(report.get());
    }
    Ok(seen)
}

async fn growth(ctx: &DurableContext) -> Result {
    let maps = Rc::new(RefCell::new((Vec::new(), HashMap::new(), String::new())));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let grow = |maps: &RefCell<(Vec<u64>, HashMap<u64, String>, String)>, count: u64| {
            let mut maps = maps.borrow_mut();
            for index in 0..count {
                maps.0.push(index);
                maps.1.insert(index, format!("value {index}"));
                maps.2.push_str("abcdefgh");
            }
            maps.0.len() as u64 + maps.1.len() as u64 + maps.2.len() as u64
        };
        let captured = Rc::clone(&maps);
        seen.note(step(ctx, move || grow(&captured, 3_000 * (round + 1))).await?);
        seen.note(grow(&maps, 10 + round));
        seen.note(maps.borrow().1.keys().fold(0, |hash, key| hash * 31 % 1_000_003 + key));
    }
    Ok(seen)
}

async fn large(ctx: &DurableContext, leak: bool) -> Result {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let returned = step(ctx, move || {
            let mut block = vec![0_u8; LARGE];
            (0..LARGE).step_by(4_096).for_each(|at| block[at] = round as u8 + 1);
            let sum = block.iter().map(|byte| u64::from(*byte)).sum();
            if leak {
                std::mem::forget(black_box(block));
            }
            sum
        })
        .await?;
        seen.note(returned);
    }
    let kept = black_box(vec![1_u8; 3 << 20]);
    seen.note(kept.iter().map(|byte| u64::from(*byte)).sum());
    Ok(seen)
}

async fn loops(ctx: &DurableContext) -> Result {
    struct Progress {
        label: Option<String>,
        turns: u64,
        done: bool,
    }
    let progress = Rc::new(RefCell::new(Progress { label: None, turns: 0, done: false }));
    let mut seen = Seen::default();
    while !progress.borrow().done {
        let captured = Rc::clone(&progress);
        let returned = step(ctx, move || {
            let mut progress = captured.borrow_mut();
            progress.done = true;
            progress.label = Some("set in the body".to_owned());
            progress.turns += 100;
            progress.turns
        })
        .await?;
        seen.note(returned);
        let mut progress = progress.borrow_mut();
        seen.note(progress.turns + progress.label.as_ref().map_or(0, |label| label.len() as u64));
        progress.turns += 1;
        progress.done = progress.turns == ROUNDS;
    }
    Ok(seen)
}

async fn nested(ctx: &DurableContext) -> Result {
    #[inline(always)]
    async fn twice(ctx: &DurableContext, shared: &Rc<Cell<u64>>) -> Result<u64> {
        let mut sum = 0;
        for _ in 0..2 {
            let captured = Rc::clone(shared);
            sum += step(ctx, move || captured.replace(captured.get() + 1_000)).await?;
            sum += shared.get();
        }
        Ok(sum)
    }
    let shared = Rc::new(Cell::new(1));
    let mut seen = Seen::default();
    for _ in 0..ROUNDS {
        seen.note(twice(ctx, &shared).await?);
        let captured = Rc::clone(&shared);
        let inner = ctx.run_in_child_context(move |ctx| async move { twice(&ctx, &captured).await });
        seen.note(inner.name("child").await?);
        shared.set(shared.get() + 1);
    }
    Ok(seen)
}

async fn async_body(ctx: &DurableContext) -> Result {
    let shared = Rc::new(RefCell::new(Vec::new()));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let captured = Rc::clone(&shared);
        let returned = ctx
            .step(move |step| async move {
                for turn in 0..20 {
                    yield_now().await;
                    captured.borrow_mut().push(vec![turn; 100]);
                }
                let (left, right) = join!(yielding(round, 3), yielding(1, 5));
                Ok(captured.borrow().len() as u64 * 1_000 + left + right + u64::from(step.attempt()))
            })
            .name("async")
            .await?;
        seen.note(returned);
        seen.note(shared.borrow().len() as u64);
    }
    Ok(seen)
}

async fn yielding(value: u64, times: u64) -> u64 {
    for _ in 0..times {
        yield_now().await;
    }
    value * times
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

async fn joined(ctx: &DurableContext) -> Result {
    let shared = Rc::new(Cell::new(0_u64));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let bump = |by: u64| {
            let captured = Rc::clone(&shared);
            step(ctx, move || {
                captured.set(captured.get() + by);
                captured.get()
            })
        };
        let (left, right) = join!(bump(10 + round), bump(1_000));
        seen.note(left?);
        seen.note(right?);
        seen.note(shared.get());
        shared.set(shared.get() + 1);
    }
    Ok(seen)
}

async fn printed(ctx: &DurableContext) -> Result {
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        // Left in the buffer without a newline: must come out once, and not from the body.
        print!("before {round};");
        let returned = step(ctx, move || {
            println!("body {round}");
            print!("no newline {round};");
            eprintln!("to stderr {round}");
            round
        })
        .await?;
        println!("after {round}");
        seen.note(returned);
    }
    Ok(seen)
}
