//! Redirects: requests of their own, under the same rules.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use everstep_http::{HttpError, Request};

use crate::server::{Names, Received, answering, client, client_of, fail, ok, perform, policy, with_headers};

/// A server that redirects `/STATUS/TARGET` to TARGET (`~` for `/`), answers everything else, and shows what it got.
fn redirecting() -> (SocketAddr, Receiver<Received>) {
    let (seen, requests) = channel();
    let seen = Mutex::new(seen);
    let server = answering(move |request| {
        let path = request.line.split(' ').nth(1).expect("a path").split('?').next().expect("a path");
        let mut answer = match path[1..].split_once('/') {
            Some((status, target)) => {
                let target = target.replace('~', "/");
                format!("HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 5\r\n\r\nmoved")
            }
            None => ok(path),
        };
        if request.line.starts_with("HEAD") {
            answer.truncate(answer.find("\r\n\r\n").expect("a head") + 4);
        }
        seen.lock().expect("seen").send(request).expect("the test waits");
        answer
    });
    (server, requests)
}

fn following(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let mut request = with_headers(method, url, headers, body);
    request.redirects = 3;
    request
}

#[test]
fn methods_and_bodies_after_a_redirect() {
    let (server, requests) = redirecting();
    let client = client();
    for (status, method, then, body) in [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (303, "HEAD", "HEAD", ""),
        (301, "PUT", "PUT", "body"),
        (302, "DELETE", "DELETE", "body"),
        (307, "POST", "POST", "body"),
        (308, "PATCH", "PATCH", "body"),
    ] {
        let sent = if method == "HEAD" { "" } else { "body" };
        let url = format!("http://{server}/{status}/~end#part");
        let headers = [("content-type", "text/plain"), ("accept", "*/*"), ("authorization", "Bearer mine")];
        let answer = perform(&client, following(method, &url, &headers, sent.as_bytes())).expect("an answer");
        assert_eq!(answer.status, 200, "{status} {method}");
        let seen: Vec<Received> = requests.try_iter().collect();
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[1].line.as_str(), &seen[1].body[..]), (&*format!("{then} /end"), body.as_bytes()), "{status}");
        let kept = body == sent;
        assert_eq!(seen[1].header("content-type").is_some(), kept || method == "HEAD", "{status} {method}");
        assert_eq!((seen[1].header("accept"), seen[1].header("authorization")), (Some("*/*"), Some("Bearer mine")));
    }
}

#[test]
fn redirects_are_counted() {
    let (server, requests) = redirecting();
    let client = client();
    let chain = format!("http://{server}/302/~302~~end");
    let count = |redirects: u32, url: &str| {
        let mut request = with_headers("GET", url, &[], b"");
        request.redirects = redirects;
        let outcome = perform(&client, request);
        (outcome, requests.try_iter().count())
    };
    let (handed_over, seen) = count(0, &chain);
    let handed_over = handed_over.expect("an answer");
    assert_eq!((handed_over.status, &handed_over.body[..], seen), (302, &b"moved"[..], 1));
    assert_eq!(handed_over.headers[0], ("location".to_owned(), "/302//end".into()));
    let (error, seen) = count(1, &chain);
    assert_eq!((error.expect_err("two redirects").code(), seen), ("loop-detected", 2));
    let (answer, seen) = count(2, &chain);
    assert_eq!((&answer.expect("an answer").body[..], seen), (&b"/end"[..], 3));
    let (error, seen) = count(3, &format!("http://{server}/302/?loop"));
    let error = error.expect_err("a loop");
    assert_eq!((error.code(), error.is_transient(), error.before_sending(), seen), ("loop-detected", false, false, 4));
    assert!(error.to_string().ends_with("after 3 redirects: raise the limit, or check for a loop"), "{error}");
    // No target, and 300 and 304: answers like any other.
    for path in ["300/~end", "304/~end"] {
        let (answer, seen) = count(3, &format!("http://{server}/{path}"));
        assert_eq!((answer.expect("an answer").status.to_string(), seen), (path[..3].to_owned(), 1));
    }
}

#[test]
fn secrets_stay_with_their_origin() {
    let (first, _seen) = redirecting();
    let (second, requests) = redirecting();
    let headers = [
        ("authorization", "a"),
        ("cookie", "b"),
        ("x-api-key", "c"),
        ("x-my-token", "d"),
        ("accept", "e"),
        ("etag", "f"),
    ];
    let url = format!("http://{first}/307/http:~~{second}~end");
    perform(&client(), following("POST", &url, &headers, b"body")).expect("an answer");
    let mut seen = requests.try_recv().expect("a request");
    seen.headers.sort();
    let host = format!("host: {second}");
    assert_eq!(
        seen.headers,
        ["accept: e", "content-length: 4", "etag: f", &host],
        "{first} and {second} differ in port"
    );
}

#[test]
fn redirects_are_held_against_the_policy() {
    let (server, requests) = redirecting();
    let port = server.port();
    let names = Names::default().with("internal.example", &[&["127.0.0.1"]]);
    let rules = ["127.0.0.1:*", "http://internal.example:*", "http://*"];
    let client = client_of(policy(&rules, &[]), &names);
    for (target, code) in [
        ("http:~~169.254.169.254~latest", "destination-IP-prohibited"),
        ("http:~~[::ffff:127.0.0.1]~", "destination-IP-prohibited"),
        (&format!("http:~~internal.example:{port}~"), "destination-IP-prohibited"),
        ("~~other.example:81~", "HTTP-request-denied"),
        ("https:~~other.example~", "HTTP-request-denied"),
        ("file:~~~etc~passwd", "HTTP-request-URI-invalid"),
        ("http:~~user:hunter2@127.0.0.1~", "HTTP-request-URI-invalid"),
        ("http:~~[~", "HTTP-protocol-error"),
    ] {
        let error = fail(&client, following("GET", &format!("http://{server}/302/{target}"), &[], b""));
        // The first request did go out.
        assert_eq!((error.code(), error.before_sending()), (code, false), "{target}: {error}");
        assert_eq!(requests.try_iter().count(), 1, "{target}");
    }
    let away = fail(&client, following("GET", &format!("http://{server}/302/http:~~127.0.0.1:1~"), &[], b""));
    let HttpError::Redirected { from, error } = &away else { panic!("{away}") };
    assert_eq!((from, &**error), (&server.to_string(), &HttpError::ConnectionRefused { site: "127.0.0.1:1".into() }));
    assert_eq!((away.is_transient(), away.before_sending()), (true, false));
}
