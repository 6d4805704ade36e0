//! Names that lead where they may not, and the server there, which must not notice.

use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use everstep_http::HttpError;

use crate::server::{Names, client_of, fail, ok, perform, policy, receive, request, serve, serve_at};

/// A server that answers one request a connection, and how many connections it had.
fn counting(address: &str) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let server = serve_at(address, move |stream| {
        count.fetch_add(1, SeqCst);
        let mut stream = BufReader::new(stream);
        if receive(&mut stream).is_ok() {
            let answer = ok("here").replacen("\r\n", "\r\nconnection: close\r\n", 1);
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    (server, connections)
}

#[test]
fn a_name_does_not_lead_into_the_network_of_the_host() {
    let (server, connections) = counting("127.0.0.1:0");
    let port = server.port();
    for (address, what) in [
        ("127.0.0.1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("64:ff9b::7f00:1", "loopback"),
        ("0.0.0.0", "unspecified"),
    ] {
        let names = Names::default().with("internal.example", &[&[address]]);
        // Rules for the address itself, and for localhost, are not rules for the name.
        let rules = ["http://*:*", "http://internal.example:*", "127.0.0.1:*", "localhost:*"];
        let client = client_of(policy(&rules, &[]), &names);
        let error = fail(&client, request("GET", &format!("http://internal.example:{port}/")));
        let site = format!("internal.example:{port}");
        assert_eq!(error, HttpError::DeniedAddress { site, address: address.parse().expect("an address"), what });
        assert_eq!(
            (error.code(), error.is_transient(), error.before_sending()),
            ("destination-IP-prohibited", false, true)
        );
    }
    assert_eq!(connections.load(SeqCst), 0, "nothing was connected to");
}

#[test]
fn what_is_not_allowed_is_not_even_resolved() {
    let names = Names::default();
    let client = client_of(policy(&["GET api.example.com"], &[]), &names);
    for (method, url) in [
        ("GET", "https://other.example.com/"),
        ("POST", "https://api.example.com/"),
        ("GET", "http://api.example.com/"),
        ("GET", "https://api.example.com:8443/"),
    ] {
        assert_eq!(fail(&client, request(method, url)).code(), "HTTP-request-denied", "{method} {url}");
    }
    assert_eq!(names.asked(), [""; 0]);
}

#[test]
fn granted_addresses_are_reached() {
    let (server, connections) = counting("127.0.0.1:0");
    let port = server.port();
    let names = Names::default()
        .with("localhost", &[&["8.8.8.8", "127.0.0.1"]])
        .with("mixed.example", &[&["10.0.0.1", "::1", "127.0.0.1"]]);
    // `localhost`: its loopback address alone.
    let client = client_of(policy(&["localhost:*"], &[]), &names);
    assert_eq!(perform(&client, request("GET", &format!("http://localhost:{port}/"))).expect("an answer").body, "here");
    // An address in the list: that one of several.
    let client = client_of(policy(&["http://mixed.example:*"], &[server]), &names);
    assert_eq!(
        perform(&client, request("GET", &format!("http://mixed.example:{port}/"))).expect("an answer").body,
        "here"
    );
    assert_eq!(connections.load(SeqCst), 2);
    // Another port of the same address is not in the list.
    let (other, reached) = counting("127.0.0.1:0");
    let error = fail(&client, request("GET", &format!("http://mixed.example:{}/", other.port())));
    assert_eq!((error.code(), reached.load(SeqCst)), ("destination-IP-prohibited", 0));
}

/// The first answer is an address that is allowed (a listed one stands for a public one), the second is not: what was
/// checked is what is connected to, and every new connection is checked anew.
#[test]
fn a_name_that_changes_its_mind() {
    let (outside, reached) = counting("127.0.0.1:0");
    let (_inside, invaded) = counting(&format!("127.0.0.2:{}", outside.port()));
    let names = Names::default().with("rebound.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = client_of(policy(&["http://rebound.example:*"], &[outside]), &names);
    let url = format!("http://rebound.example:{}/", outside.port());
    assert_eq!(perform(&client, request("GET", &url)).expect("an answer").body, "here");
    assert_eq!(names.asked(), ["rebound.example"], "resolved once");
    assert!(matches!(fail(&client, request("GET", &url)), HttpError::DeniedAddress { what: "loopback", .. }));
    assert_eq!((reached.load(SeqCst), invaded.load(SeqCst), names.asked().len()), (1, 0, 2));
}

/// A connection that the rule for GET made is not there for POST, which another rule allows.
#[test]
fn idle_connections_are_not_a_way_around() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = serve(move |stream| {
        let mut stream = BufReader::new(stream);
        while let Ok(request) = receive(&mut stream) {
            log.lock().expect("log").push(request.line);
            let _ = stream.get_mut().write_all(ok("").as_bytes());
        }
    });
    let names = Names::default().with("localhost", &[&["127.0.0.1"]]);
    let client = client_of(policy(&["GET localhost:*", "http://*:*"], &[]), &names);
    let url = format!("http://localhost:{}/", server.port());
    perform(&client, request("GET", &url)).expect("an answer");
    assert_eq!(fail(&client, request("POST", &url)).code(), "destination-IP-prohibited");
    assert_eq!(*seen.lock().expect("log"), ["GET /"]);
}
