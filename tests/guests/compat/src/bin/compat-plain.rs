//! A program that knows nothing of Everstep and is frozen with a request half read. Argument: the server's `host:port`.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, SystemTime};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::random::random::get_random_u64;

fn main() {
    let server = std::env::args().nth(1).expect("where the server is");
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Post).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(&server)).expect("an authority");
    request.set_path_with_query(Some("/mirror")).expect("a path");
    let outgoing = request.body().expect("a body");
    let future = handle(request, None).expect("a request");
    let stream = outgoing.write().expect("a stream");
    let sent: Vec<u8> = (0..3_000_u32).map(|at| (at * 7 % 256) as u8).collect();
    stream.blocking_write_and_flush(&sent).expect("it can be written");
    drop(stream);
    OutgoingBody::finish(outgoing, None).expect("it can be finished");
    future.subscribe().block();
    let answer = future.get().expect("it is there").expect("nobody took it").expect("an answer");
    let incoming = answer.consume().expect("a body");
    let stream = incoming.stream().expect("a stream");
    let mut body = stream.blocking_read(1_000).expect("the first part");

    let naps: HashMap<u64, u64> = (1..=3).map(|seconds| (get_random_u64(), 3600 * seconds)).collect();
    for (id, seconds) in &naps {
        sleep(Duration::from_secs(*seconds));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        println!("{id:016x} {seconds} {}", now.as_nanos());
    }

    while let Ok(bytes) = stream.blocking_read(1_000) {
        body.extend(bytes);
    }
    drop(stream);
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    println!("{} {}", answer.status(), body == sent);
}
