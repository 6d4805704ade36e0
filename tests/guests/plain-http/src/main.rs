//! A program that knows nothing of Everstep: wasi:http as it is, outside anything. Arguments: the server's `host:port`.

use serde_json::json;
use std::time::Duration;
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::poll::poll;

fn start(authority: &str, method: &Method, path: &str, body: &[u8]) -> FutureIncomingResponse {
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(method).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let outgoing = request.body().expect("a body");
    let future = handle(request, None).expect("a request");
    let stream = outgoing.write().expect("a stream");
    for chunk in body.chunks(4096) {
        stream.blocking_write_and_flush(chunk).expect("it can be written");
    }
    drop(stream);
    OutgoingBody::finish(outgoing, None).expect("it can be finished");
    future
}

fn finish(future: &FutureIncomingResponse) -> String {
    future.subscribe().block();
    let answer = match future.get().expect("it is there").expect("nobody took it") {
        Ok(answer) => answer,
        Err(error) => return format!("{error:?}"),
    };
    let incoming = answer.consume().expect("a body");
    let stream = incoming.stream().expect("a stream");
    let mut body = Vec::new();
    while let Ok(bytes) = stream.blocking_read(1 << 16) {
        body.extend(bytes);
    }
    drop(stream);
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    format!("{} {} bytes", answer.status(), body.len())
}

fn main() {
    let server = std::env::args().nth(1).expect("where the server is");
    let mut seen = vec![finish(&start(&server, &Method::Get, "/echo?first", b""))];

    // Two at once; which one came first is seen, and decides what is asked next.
    let futures =
        [start(&server, &Method::Post, "/mirror", &[1; 300_000]), start(&server, &Method::Get, "/echo?second", b"")];
    let pollables = [futures[0].subscribe(), futures[1].subscribe()];
    let first = poll(&[&pollables[0], &pollables[1]])[0];
    drop(pollables);
    seen.push(finish(&start(&server, &Method::Get, &format!("/echo?first={first}"), b"")));
    seen.extend(futures.iter().map(finish));
    std::thread::sleep(Duration::from_secs(2));

    // One that is never answered, against a clock; then it is dropped.
    let silent = start(&server, &Method::Get, "/silence", b"");
    let (answer, timer) = (silent.subscribe(), monotonic_clock::subscribe_duration(1_500_000_000));
    let ready = poll(&[&answer, &timer]);
    seen.push(format!("{ready:?}"));
    drop((answer, timer, silent));
    seen.push(finish(&start(&server, &Method::Get, "/echo?last", b"")));
    seen.push(finish(&start("10.0.0.1:80", &Method::Get, "/", b"")));
    println!("{}", json!(seen));
}
