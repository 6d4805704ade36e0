//! Many requests at once, and everything else beside them: what comes first is decided by what came first.

use everstep_sdk as durable;
use everstep_sdk::DurableContext;
use everstep_sdk::http::Request;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

type Seen = Result<Value, durable::BoxError>;

/// Two child contexts at once. In each: a spawned request, requests as they come, a request that loses against a step,
/// a wait that loses against a request, and a step for what was seen. All of it in the order in which it was seen.
pub(crate) async fn nested(ctx: &DurableContext, server: &str) -> Seen {
    let order = Rc::new(RefCell::new(Vec::<String>::new()));
    let child = |name: &'static str| {
        let (server, order) = (server.to_owned(), order.clone());
        ctx.run_in_child_context(move |ctx| branch(ctx, name, server, order)).name(name)
    };
    let left = child("left").spawn();
    let (right, left) = futures_util::join!(child("right").future(), left);
    let (left, right) = (left?, right?);
    let inner = order.take();
    let last = ctx.fetch(format!("{server}/echo?seen={}", inner.len())).await?.status();
    Ok(json!({"left": left, "right": right, "order": inner, "last": last}))
}

async fn branch(
    ctx: DurableContext,
    name: &'static str,
    server: String,
    order: Rc<RefCell<Vec<String>>>,
) -> Result<u32, durable::BoxError> {
    let note = |what: String| order.borrow_mut().push(format!("{name} {what}"));
    let url = |what: &str| format!("{server}/echo?{name}={what}");
    let spawned = ctx.fetch(url("spawned")).spawn();
    let mut some: FuturesUnordered<_> = (0..3)
        .map(|n| {
            let answer = ctx.fetch(url(&n.to_string())).future();
            async move { answer.await.map(|answer| (n, answer.status())) }
        })
        .collect();
    while let Some(answer) = some.next().await {
        let (n, status) = answer?;
        note(format!("{n} {status}"));
    }
    // A body runs while the request is under way, and nothing that is under way ends before it.
    // It is dropped there and then: in simulated time nothing later would overtake it.
    let silent = ctx.fetch(format!("{server}/silence?{name}")).name("silent").future();
    let step = pin!(ctx.step(|_| async { Ok(2_u32) }).name("quick").future());
    match select(silent, step).await {
        Either::Left(_) => note("answered".into()),
        Either::Right((two, silent)) => {
            drop(silent);
            note(format!("stepped {}", two?));
        }
    }
    let answer = pin!(ctx.fetch(url("raced")).future());
    let wait = pin!(ctx.wait(Duration::from_secs(3600)).name("long").future());
    match select(answer, wait).await {
        Either::Left((answer, _)) => note(format!("answered {}", answer?.status())),
        Either::Right(_) => note("waited".into()),
    }
    note(format!("spawned {}", spawned.await?.status()));
    ctx.wait(Duration::from_secs(60)).name("pause").await?;
    let update = Request::put(url("update")).body(format!("{:?}", order.borrow()));
    let status = ctx.fetch(update).name("update").await?.status();
    note(format!("update {status}"));
    Ok(u32::from(status))
}

/// Six at once, which the server answers in its own order; the order in which they came goes into a step and a request.
pub(crate) async fn chosen(ctx: &DurableContext, server: &str) -> Seen {
    let mut left: FuturesUnordered<_> = (0..6)
        .map(|n| {
            let answer = ctx.fetch(format!("{server}/chosen/{n}/6")).name(format!("n{n}")).future();
            async move { answer.await.map(|_| n) }
        })
        .collect();
    let mut order = Vec::new();
    while let Some(n) = left.next().await {
        let n = n?;
        order.push(n);
        // The server answers the one before once it knows that this one was seen.
        ctx.fetch(format!("{server}/echo?seen={n}")).await?;
        let so_far = order.clone();
        ctx.step(move |_| async move { Ok(so_far) }).name(format!("after {order:?}")).await?;
    }
    let path = order.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
    ctx.wait(Duration::from_secs(1)).name("pause").await?;
    let answer = ctx.fetch(format!("{server}/echo?order={path}")).await?.json::<Value>()?;
    Ok(json!([order, answer["target"]]))
}

/// Three requests that all end while a body runs, later ones first: they are recorded together with the body's end.
pub(crate) async fn tie(ctx: &DurableContext, server: &str) -> Seen {
    let mut left: FuturesUnordered<_> = (0..3)
        .map(|n| {
            let answer = ctx.fetch(format!("{server}/reversed/{n}/3")).name(format!("n{n}")).future();
            async move { answer.await.map(|_| n.to_string()) }
        })
        .collect();
    let url = format!("{server}/when-over/3");
    let body = ctx.step(move |_| async move { Ok(Request::get(url).send()?.status()) }).name("body").future();
    let mut body = pin!(body);
    let mut order = Vec::new();
    loop {
        match select(left.next(), body).await {
            Either::Left((Some(n), rest)) => {
                order.push(n?);
                body = rest;
            }
            Either::Left((None, rest)) => {
                order.push(format!("body {}", rest.await?));
                break;
            }
            Either::Right((status, _)) => {
                order.push(format!("body {}", status?));
                while let Some(n) = left.next().await {
                    order.push(n?);
                }
                break;
            }
        }
    }
    Ok(json!(order))
}
