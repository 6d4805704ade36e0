//! Every way in which no answer comes, and whether the request may have arrived.

use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use everstep_http::{Client, HttpError, Options, Request, Resolve};

use crate::server::{
    Names, SHORT, answering, client, client_of, fail, ok, perform, policy, receive, request, serve, start, wait,
    with_headers,
};

fn short(url: String) -> Request {
    let mut request = request("GET", &url);
    request.timeout = SHORT;
    request
}

fn facts(error: &HttpError) -> (&'static str, bool, bool) {
    (error.code(), error.is_transient(), error.before_sending())
}

#[test]
fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let site = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let error = fail(&client(), request("GET", &format!("http://{site}/")));
    assert_eq!(facts(&error), ("connection-refused", true, true));
    assert_eq!(error, HttpError::ConnectionRefused { site });
}

#[test]
fn a_name_without_an_address() {
    let names = Names::default().with("empty.example", &[&[]]);
    let client = client_of(policy(&["*"], &[]), &names);
    for (name, reason) in [("unknown.example", "no such name"), ("empty.example", "the name has no addresses")] {
        let error = fail(&client, request("GET", &format!("https://{name}/")));
        assert_eq!(facts(&error), ("DNS-error", true, true));
        assert_eq!(error, HttpError::Dns { site: format!("{name}:443"), reason: reason.to_owned() });
    }
}

/// A resolver that does not return before the test is over.
struct Stuck(Mutex<Receiver<()>>);

impl Resolve for Stuck {
    fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let _ = self.0.lock().expect("alone").recv();
        Ok(Vec::new())
    }
}

#[test]
fn timeouts_before_sending() {
    // A server that takes connections and never says a word of TLS.
    let (_hold, held) = channel::<()>();
    let held = Mutex::new(held);
    let silent = serve(move |_stream| {
        let _ = held.lock().expect("alone").recv();
    });
    let error = fail(&client(), short(format!("https://{silent}/")));
    assert_eq!(error, HttpError::ConnectTimeout { site: silent.to_string(), after: SHORT });
    assert_eq!(facts(&error), ("connection-timeout", true, true));

    let (_release, stuck) = channel();
    let resolver = std::sync::Arc::new(Stuck(Mutex::new(stuck)));
    let client = Client::with_options(policy(&["*"], &[]), Options { resolver: Some(resolver), ..Options::default() });
    let error = fail(&client, short("https://stuck.example/".to_owned()));
    assert_eq!(error, HttpError::ConnectTimeout { site: "stuck.example:443".to_owned(), after: SHORT });
}

#[test]
fn timeouts_after_sending() {
    for sent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst"] {
        let (_hold, held) = channel::<()>();
        let held = Mutex::new(held);
        let server = serve(move |stream| {
            let mut stream = BufReader::new(stream);
            receive(&mut stream).expect("a request");
            stream.get_mut().write_all(sent.as_bytes()).expect("written");
            let _ = held.lock().expect("alone").recv();
        });
        let error = fail(&client(), short(format!("http://{server}/")));
        let received = if sent.ends_with("first") { 5 } else { 0 };
        assert_eq!(error, HttpError::ResponseTimeout { site: server.to_string(), after: SHORT, received });
        assert_eq!(facts(&error), ("HTTP-response-timeout", true, false));
    }
}

#[test]
fn a_server_that_breaks_off_or_talks_nonsense() {
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    let long_header = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(1 << 20));
    for (sent, code, transient) in [
        ("", "connection-terminated", true),
        ("HTTP/1.1 200 OK\r\na: b", "connection-terminated", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst", "HTTP-response-incomplete", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n", "HTTP-response-incomplete", true),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP-protocol-error", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "HTTP-protocol-error", false),
        (&many_headers, "HTTP-response-header-section-size", false),
        (&long_header, "HTTP-response-header-section-size", false),
    ] {
        let sent = sent.to_owned();
        let server = serve(move |stream| {
            let mut stream = BufReader::new(stream);
            receive(&mut stream).expect("a request");
            let _ = stream.get_mut().write_all(sent.as_bytes());
        });
        let error = fail(&client(), with_headers("POST", &format!("http://{server}/"), &[], b"body"));
        assert_eq!(facts(&error), (code, transient, false), "{error}");
        assert!(error.to_string().contains(&server.to_string()), "{error}");
    }
}

#[test]
fn dropping_a_request_closes_its_connection() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = serve(move |stream| {
        let mut stream = BufReader::new(stream);
        receive(&mut stream).expect("a request");
        let tell = tell.lock().expect("alone");
        tell.send("received").expect("the test waits");
        let rest = stream.read(&mut [0; 1]);
        assert!(matches!(rest, Ok(0) | Err(_)), "{rest:?}");
        tell.send("closed").expect("the test waits");
    });
    let client = client();
    let (in_flight, outcome) = start(&client, request("GET", &format!("http://{server}/")));
    assert_eq!(wait(&told), "received");
    drop(in_flight);
    assert_eq!(wait(&told), "closed");
    assert!(outcome.recv().is_err(), "`done` is dropped without being called");
    // The client goes on.
    let other = answering(|_| ok("fine"));
    assert_eq!(perform(&client, request("GET", &format!("http://{other}/"))).expect("an answer").body, "fine");
}
