//! One request over wasi:http, start to end.

use super::{Request, Response};
use crate::BoxError;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// Bytes of one blocking write.
const CHUNK: usize = 4096;
/// Bytes of one read.
const READ: u64 = 64 << 10;

pub(super) fn send(request: Request) -> Result<Response, BoxError> {
    let (scheme, rest) = request.url.split_once("://").ok_or_else(not_absolute)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(not_absolute()),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };

    let fields = Fields::from_list(&request.headers).map_err(|error| format!("a header is not allowed: {error:?}"))?;
    let outgoing = OutgoingRequest::new(fields);
    let refused = |what: &str| format!("{what} is not allowed in a request");
    outgoing.set_method(&method(&request.method)).map_err(|()| refused(&request.method))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| refused("the scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| refused(authority))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| refused(&path))?;
    let body = outgoing.body().map_err(|()| "the request has no body to write")?;

    let future = outgoing_handler::handle(outgoing, None)?;
    let stream = body.write().map_err(|()| "the request's body cannot be written")?;
    for chunk in request.body.chunks(CHUNK) {
        stream.blocking_write_and_flush(chunk)?;
    }
    drop(stream);
    OutgoingBody::finish(body, None)?;

    future.subscribe().block();
    let answer = future.get().ok_or("there is no answer yet")?.map_err(|()| "the answer was taken before")??;
    read(&answer)
}

/// Without the URL, which may hold what nobody is to read.
fn not_absolute() -> BoxError {
    "the URL of the request is no absolute http or https URL".into()
}

fn method(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn read(answer: &IncomingResponse) -> Result<Response, BoxError> {
    let status = answer.status();
    let headers = answer.headers().entries();
    let incoming = answer.consume().map_err(|()| "the answer's body was taken before")?;
    let stream = incoming.stream().map_err(|()| "the answer's body was taken before")?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(bytes) => body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    drop(stream);
    let future = IncomingBody::finish(incoming);
    future.subscribe().block();
    let trailers = match future.get() {
        Some(Ok(Ok(Some(fields)))) => fields.entries(),
        Some(Ok(Err(error))) => return Err(error.into()),
        _ => Vec::new(),
    };
    Ok(Response { status, headers, body, trailers })
}
