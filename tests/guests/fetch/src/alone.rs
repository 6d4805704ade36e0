//! Requests one at a time: refused, edited, slow, stuck.

use crate::quickly;
use everstep_sdk as durable;
use everstep_sdk::http::Request;
use everstep_sdk::{DurableContext, OperationError};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::time::Duration;

type Seen = Result<Value, durable::BoxError>;

/// The status, or the code and the message of the error.
fn shown(answer: Result<durable::http::Response, OperationError>) -> Value {
    let error = match answer {
        Ok(answer) => return json!(answer.status()),
        Err(error) => error,
    };
    let Some(wire) = error.wire() else { return json!(error.to_string()) };
    let data: Value = wire.error_data().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    json!(format!("{}: {}", data["code"].as_str().unwrap_or("no code"), wire.error_message().unwrap_or_default()))
}

fn request(line: &str) -> Request {
    let (method, url) = line.split_once(' ').unwrap_or(("GET", line));
    Request::new(method, url).header("authorization", "Bearer 12345").header("x-api-key", "key-12345")
}

/// Each request of the list, outside of steps and in a body: what became of it.
pub(crate) async fn listed(ctx: &DurableContext, requests: Vec<String>) -> Seen {
    let mut outside = Vec::new();
    for line in &requests {
        outside.push(shown(ctx.fetch(request(line)).retry_strategy_config(quickly(1)).await));
    }
    let inside: Vec<Value> = ctx
        .step(move |_| async move {
            let sent = requests.iter().map(|line| match request(line).send() {
                Ok(answer) => json!(answer.status()),
                Err(error) => json!(error.to_string()),
            });
            Ok(sent.collect())
        })
        .name("inside")
        .await?;
    Ok(json!({"outside": outside, "inside": inside}))
}

/// A POST to each URL with the body behind it, then a long wait.
pub(crate) async fn edited(ctx: &DurableContext, sends: &[String]) -> Seen {
    let mut statuses = Vec::new();
    for send in sends {
        let (url, body) = send.split_once(' ').unwrap_or((send, ""));
        let request = Request::post(url).body(body).header("authorization", "Bearer 12345");
        statuses.push(ctx.fetch(request).name("charge").await?.status());
    }
    ctx.wait(Duration::from_secs(3600)).name("cooling off").await?;
    Ok(json!(statuses))
}

/// A server that does not answer, within the time that an attempt has.
pub(crate) async fn timeout(ctx: &DurableContext, server: &str) -> Seen {
    let silent = ctx.fetch(format!("{server}/silence")).timeout(Duration::from_millis(300));
    Ok(shown(silent.retry_strategy_config(quickly(2)).await))
}

/// A server that is not there at first, or asks to be left alone for longer than the schedule has it.
pub(crate) async fn patient(ctx: &DurableContext, server: &str) -> Seen {
    let answer = ctx.fetch(format!("{server}/flaky/1")).name("patient").retry_strategy_config(quickly(4)).await?;
    Ok(json!([answer.status(), answer.text()?]))
}

/// Bodies that wait for a server that never says anything: over wasi:http, and over a socket. Then all goes on.
pub(crate) async fn stuck(ctx: &DurableContext, server: &str) -> Seen {
    let (url, address) = (format!("{server}/silence"), server.replace("http://", ""));
    let over_http = ctx
        .step(move |_| async move { Ok(Request::get(url).send()?.status()) })
        .name("over http")
        .retry_strategy_config(quickly(1))
        .await;
    let over_tcp = ctx
        .step(move |_| async move {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.write_all(b"GET /silence HTTP/1.1\r\nhost: server\r\n\r\n")?;
            Ok(stream.read(&mut [0])?)
        })
        .name("over tcp")
        .retry_strategy_config(quickly(1))
        .await;
    let kind = |error: OperationError| {
        let wire = error.wire().map(|wire| wire.error_message().unwrap_or_default().to_owned());
        wire.unwrap_or_else(|| error.to_string())
    };
    let seen = [over_http.map(|_| ()).map_err(kind), over_tcp.map(|_| ()).map_err(kind)];
    let after = ctx.step(|_| async { Ok(7) }).name("after").await?;
    Ok(json!([seen[0].as_ref().err(), seen[1].as_ref().err(), after]))
}
