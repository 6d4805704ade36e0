//! What is sent is what was asked for, and what comes is what was sent.

use std::io::{BufReader, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

use bytes::Bytes;
use everstep_http::{Client, HttpError, Policy, Request};

use crate::server::{answering, client, ok, perform, receive, request, serve, start, wait, with_headers};

#[test]
fn a_request_goes_out_as_it_is() {
    let (seen, requests) = channel();
    let seen = Mutex::new(seen);
    let server = answering(move |request| {
        seen.lock().expect("seen").send(request).expect("the test waits");
        ok("")
    });
    let client = client();
    let binary: Vec<u8> = (0..300_000_u32).map(|index| (index * 7 + index / 256) as u8).collect();
    let headers = [("X-One", "1"), ("x-two", "a"), ("X-Two", "b"), ("Content-Length", "300000")];
    perform(&client, with_headers("POST", &format!("http://{server}/a%20b?c=d#e"), &headers, &binary))
        .expect("an answer");
    let received = wait(&requests);
    assert_eq!(received.line, "POST /a%20b?c=d");
    let mut lines = received.headers;
    lines.sort();
    assert_eq!(
        lines,
        ["content-length: 300000", &format!("host: {server}"), "x-one: 1", "x-two: a", "x-two: b"],
        "these and no others"
    );
    assert!(received.body == binary, "the body arrives byte for byte");

    // Public fields get around the constructor, and not around the connection.
    let mut bare = request("GET", &format!("http://{server}"));
    for name in ["host", "te", "connection", "content-length", "proxy-authorization", "transfer-encoding"] {
        bare.headers.insert(name, "7".parse().expect("a value"));
    }
    perform(&client, bare).expect("an answer");
    let received = wait(&requests);
    assert_eq!((received.line.as_str(), received.headers), ("GET /", vec![format!("host: {server}")]));
}

#[test]
fn a_response_comes_as_it_is() {
    let server = serve(|stream| {
        let mut stream = BufReader::new(stream);
        while let Ok(request) = receive(&mut stream) {
            let head = "HTTP/1.1 207 Whatever\r\nB-Second: 1\r\nset-cookie: x\r\na-first: \u{e9}\r\nSet-Cookie: y\r\n";
            let rest = match request.line.as_str() {
                "HEAD /" => "content-length: 99999999999\r\n\r\n".as_bytes(),
                // Not decompressed, and not text.
                "GET /binary" => b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x00\xff\x1f\x8b",
                _ => {
                    b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\n\r\n\r\n0\r\nT-Two: 2\r\nt-one: 1\r\n\r\n"
                }
            };
            stream.get_mut().write_all(&[head.as_bytes(), rest].concat()).expect("written");
        }
    });
    let client = client();
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, Bytes)> {
        pairs.iter().map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes()))).collect()
    };
    let common = [("b-second", "1"), ("set-cookie", "x"), ("set-cookie", "y"), ("a-first", "\u{e9}")];

    let chunked = perform(&client, request("GET", &format!("http://{server}/chunked"))).expect("an answer");
    assert_eq!((chunked.status, &chunked.body[..]), (207, &b"abc\r\n"[..]));
    assert_eq!(chunked.headers[..4], own(&common));
    assert_eq!(chunked.trailers, own(&[("t-two", "2"), ("t-one", "1")]));

    let binary = perform(&client, request("GET", &format!("http://{server}/binary"))).expect("an answer");
    assert_eq!((&binary.body[..], binary.trailers.len()), (&b"\x00\xff\x1f\x8b"[..], 0));

    let head = perform(&client, request("HEAD", &format!("http://{server}/"))).expect("an answer");
    assert_eq!((head.status, head.body.len()), (207, 0));
    assert_eq!(head.headers[4..], own(&[("content-length", "99999999999")]));
}

#[test]
fn a_body_over_the_limit_stops() {
    let server = answering(|request| match request.line.as_str() {
        "GET /announced" => "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef".to_owned(),
        _ => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n".to_owned(),
    });
    let client = client();
    for path in ["announced", "chunked"] {
        let mut request = request("GET", &format!("http://{server}/{path}"));
        request.max_response_bytes = 6;
        assert_eq!(perform(&client, request.clone()).expect("six bytes").body, "abcdef");
        request.max_response_bytes = 5;
        let error = perform(&client, request).expect_err("too many");
        assert_eq!(error, HttpError::BodyTooLarge { site: server.to_string(), limit: 5 });
        assert_eq!((error.code(), error.is_transient()), ("HTTP-response-body-size", false));
    }
}

/// The server answers none before it has all.
#[test]
fn many_requests_are_under_way_at_once() {
    const MANY: usize = 50;
    let all_here = Arc::new(Barrier::new(MANY));
    let server = answering(move |request| {
        all_here.wait();
        ok(&request.line)
    });
    let client = client();
    let started: Vec<_> =
        (0..MANY).map(|index| start(&client, request("GET", &format!("http://{server}/{index}")))).collect();
    for (index, (_in_flight, outcome)) in started.iter().enumerate() {
        assert_eq!(wait(outcome).expect("an answer").body, format!("GET /{index}"));
    }
}

/// The client's thread ends with its last user, which may be that thread itself.
#[test]
fn a_client_may_be_dropped_anywhere() {
    let server = answering(|_| ok("late"));
    let client = client();
    let (done, outcome) = channel();
    let own = client.clone();
    let in_flight = client.start(request("GET", &format!("http://{server}/")), move |result| {
        drop(own);
        done.send(result).expect("the test waits");
    });
    drop(client);
    assert_eq!(wait(&outcome).expect("an answer").body, "late");
    drop(in_flight);
    drop(Client::new(Policy::default()));
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let new = |method: &str, url: &str, name: &str, value: &[u8]| {
        let headers = vec![(name.to_owned(), value.to_vec())];
        Request::new(method, url, headers, Bytes::from_static(b"body")).map(|_| ()).map_err(|error| error.to_string())
    };
    let url = "https://api.example.com/";
    assert_eq!(new("POST", url, "Content-Length", b"4"), Ok(()));
    for (method, url, name, value, problem) in [
        ("CONNECT", url, "a", &b"b"[..], "`CONNECT` is not a method"),
        ("GET /", url, "a", b"b", "`GET /` is not a method"),
        ("", url, "a", b"b", "`` is not a method"),
        ("GET", "/orders", "a", b"b", "the URL cannot be read"),
        ("GET", "ftp://example.com", "a", b"b", "the URL has the scheme `ftp`"),
        ("GET", "https://user:hunter2@example.com", "a", b"b", "the URL holds a user or a password"),
        ("GET", "https://", "a", b"b", "the URL cannot be read"),
        ("GET", "https://./", "a", b"b", "the URL has no host"),
        ("GET", url, "Host", b"evil.example", "the header `Host` belongs to the connection"),
        ("GET", url, "proxy-anything", b"b", "the header `proxy-anything` belongs to the connection"),
        ("GET", url, "TE", b"trailers", "the header `TE` belongs to the connection"),
        ("GET", url, "a b", b"b", "the header `a b` has a name that HTTP does not allow"),
        ("GET", url, "a", b"b\r\nhost: evil.example", "the header `a` has a value with control characters"),
        ("POST", url, "content-length", b"5", "the header `content-length` is not the body's length, 4 bytes"),
    ] {
        let error = new(method, url, name, value).expect_err(problem);
        assert!(error.starts_with(problem) && !error.contains("hunter2"), "{error}");
    }
    let long = format!("https://example.com/{}", "a".repeat(70_000));
    assert!(new("GET", &long, "a", b"b").is_err());
    let shown =
        format!("{:?}", with_headers("GET", &format!("{url}path?hunter2"), &[("x-token", "hunter2")], b"hunter2"));
    assert!(shown.contains("x-token") && !shown.contains("hunter2") && !shown.contains("path"), "{shown}");
}
