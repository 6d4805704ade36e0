//! Servers, names and clients of the tests.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use everstep_http::{Client, HttpError, InFlight, Options, Policy, Request, Resolve, Response};

/// Far more than any test takes: a hang fails instead of hanging.
const HANG: Duration = Duration::from_secs(60);

/// A timeout that is meant to strike. What must happen before it does takes microseconds.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Calls `handler` with every connection, on a thread of its own.
pub(crate) fn serve(handler: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    serve_at("127.0.0.1:0", handler)
}

pub(crate) fn serve_at(address: &str, handler: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).expect("a port on loopback");
    let address = listener.local_addr().expect("an address");
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handler = handler.clone();
            thread::spawn(move || handler(stream));
        }
    });
    address
}

/// A server that answers every request of a connection with what `answer` makes of it, byte for byte.
pub(crate) fn answering(answer: impl Fn(Received) -> String + Send + Sync + 'static) -> SocketAddr {
    serve(move |stream| {
        let mut stream = BufReader::new(stream);
        while let Ok(request) = receive(&mut stream) {
            if stream.get_mut().write_all(answer(request).as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// A request as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// `GET /path`
    pub(crate) line: String,
    /// `name: value`, in order of arrival.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The head of a request.
pub(crate) fn receive_head(stream: &mut impl BufRead) -> io::Result<Received> {
    let first = line(stream)?;
    let first = first.strip_suffix(" HTTP/1.1").ok_or(io::ErrorKind::InvalidData)?.to_owned();
    let mut headers = Vec::new();
    loop {
        match line(stream)? {
            end if end.is_empty() => return Ok(Received { line: first, headers, body: Vec::new() }),
            header => headers.push(header),
        }
    }
}

/// A whole request, by `content-length`.
pub(crate) fn receive(stream: &mut impl BufRead) -> io::Result<Received> {
    let mut request = receive_head(stream)?;
    request.body = vec![0; request.header("content-length").map_or(0, |length| length.parse().expect("a length"))];
    stream.read_exact(&mut request.body)?;
    Ok(request)
}

/// One chunk of a chunked body. None: the last.
pub(crate) fn receive_chunk(stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let length = usize::from_str_radix(&line(stream)?, 16).map_err(io::Error::other)?;
    let mut data = vec![0; length];
    stream.read_exact(&mut data)?;
    line(stream)?;
    Ok((length > 0).then_some(data))
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Answers for names: for each the list of addresses of its first resolution, of its second, ...; the last one stays.
#[derive(Clone, Default)]
pub(crate) struct Names {
    answers: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    pub(crate) fn with(self, name: &str, answers: &[&[&str]]) -> Names {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().expect("an address")).collect();
        self.answers.lock().expect("names").insert(name.to_owned(), answers.iter().map(parse).collect());
        self
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("names").clone()
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().expect("names").push(name.to_owned());
        match self.answers.lock().expect("names").get_mut(name) {
            None => Err(io::Error::other("no such name")),
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
        }
    }
}

pub(crate) fn policy(rules: &[&str], addresses: &[SocketAddr]) -> Policy {
    Policy { rules: rules.iter().map(|rule| rule.parse().expect("a rule")).collect(), addresses: addresses.to_vec() }
}

/// A client that may ask loopback addresses whatever it likes.
pub(crate) fn client() -> Client {
    client_of(policy(&["127.0.0.1:*"], &[]), &Names::default())
}

pub(crate) fn client_of(policy: Policy, names: &Names) -> Client {
    Client::with_options(policy, Options { resolver: Some(Arc::new(names.clone())), roots: None })
}

pub(crate) fn request(method: &str, url: &str) -> Request {
    with_headers(method, url, &[], b"")
}

pub(crate) fn with_headers(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    Request::new(method, url, headers, Bytes::copy_from_slice(body)).expect("a request")
}

pub(crate) fn start(client: &Client, request: Request) -> (InFlight, Receiver<Result<Response, HttpError>>) {
    let (done, outcome) = channel();
    let in_flight = client.start(request, move |result| done.send(result).expect("the test waits"));
    (in_flight, outcome)
}

pub(crate) fn perform(client: &Client, request: Request) -> Result<Response, HttpError> {
    let (_in_flight, outcome) = start(client, request);
    outcome.recv_timeout(HANG).expect("an outcome")
}

/// What a request fails with. Every one carries secrets where they may be, and no error may show them.
pub(crate) fn fail(client: &Client, mut request: Request) -> HttpError {
    request.url.set_query(Some("key=hunter2"));
    request.headers.insert("authorization", "Bearer hunter2".parse().expect("a value"));
    let error = perform(client, request).expect_err("a failure");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("key="), "{shown}");
    error
}

/// Waits for something that another thread reports.
pub(crate) fn wait<T>(events: &Receiver<T>) -> T {
    events.recv_timeout(HANG).expect("an event")
}
