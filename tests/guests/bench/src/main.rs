//! What the benchmark runs: `steps` steps that do nothing, then `rounds` of HTTP requests, then `waits` of a second. With
//! arguments: the steps of [`bare`].

mod bare;

use everstep_sdk::{self as durable, BoxError, DurableContext};
use std::net::TcpStream;
use std::time::Duration;

#[derive(serde::Deserialize)]
struct Input {
    steps: u64,
    waits: u64,
    #[serde(default)]
    fetches: Fetches,
    /// What the body of one more step does after the others.
    #[serde(default)]
    body: LastBody,
}

#[derive(serde::Deserialize, Default)]
struct Fetches {
    url: String,
    rounds: u64,
    /// Requests of one round, all under way together.
    at_once: u64,
}

#[derive(serde::Deserialize, Default)]
enum LastBody {
    /// There is no such step.
    #[default]
    Absent,
    /// It connects to this address, and closes the connection.
    Connects(String),
    /// It connects to this address, and leaves the connection open.
    Leaks(String),
}

fn main() {
    if let [_, delivery, steps, mebibytes] = &*std::env::args().collect::<Vec<_>>() {
        return bare::run(delivery == "sealed", number(steps), number(mebibytes));
    }
    durable::run(handler);
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

async fn handler(input: Input, ctx: DurableContext) -> Result<u64, BoxError> {
    let mut sum = 0u64;
    for number in 0..input.steps {
        sum += ctx.step(move |_| async move { Ok(number) }).name("step").await?;
    }
    let Fetches { url, rounds, at_once } = input.fetches;
    for _ in 0..rounds {
        let answers: Vec<_> = (0..at_once).map(|_| ctx.fetch(url.clone()).spawn()).collect();
        for answer in answers {
            sum += answer.await?.body().len() as u64;
        }
    }
    match input.body {
        LastBody::Absent => {}
        LastBody::Connects(address) => connects(&ctx, address, drop).await?,
        LastBody::Leaks(address) => connects(&ctx, address, std::mem::forget).await?,
    }
    for _ in 0..input.waits {
        ctx.wait(Duration::from_secs(1)).await?;
    }
    Ok(sum)
}

async fn connects(ctx: &DurableContext, address: String, then: fn(TcpStream)) -> Result<(), BoxError> {
    let connected = ctx.step(move |_| async move {
        then(TcpStream::connect(address)?);
        Ok(())
    });
    Ok(connected.await?)
}
