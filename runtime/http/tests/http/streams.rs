//! Bodies that flow in both directions at once.

use std::convert::Infallible;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use everstep_http::{HttpError, ResponseBody, StreamOptions};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::mpsc;

use crate::server::{SHORT, client, client_of, policy, receive_chunk, receive_head, serve, wait};

/// An executor that knows nothing of tokio.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut work = pin!(work);
    loop {
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// A body that is made while it is sent.
struct Chunks(mpsc::UnboundedReceiver<Result<Bytes, String>>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

fn post<B>(url: &str, body: B) -> http::Request<B> {
    http::Request::post(url).header("te", "trailers").header("host", "evil.example").body(body).expect("a request")
}

fn next(body: &mut ResponseBody) -> Result<Bytes, HttpError> {
    block_on(body.frame()).expect("a frame").map(|frame| frame.into_data().expect("data"))
}

#[test]
fn both_bodies_flow_at_once() {
    let server = serve(|stream: TcpStream| {
        let mut stream = BufReader::new(stream);
        let head = receive_head(&mut stream).expect("a request");
        assert_eq!(
            (head.header("te"), head.headers.iter().filter(|line| line.starts_with("host:")).count()),
            (None, 1)
        );
        let out = stream.get_mut();
        out.write_all(b"HTTP/1.1 200 OK\r\nx-early: yes\r\ntransfer-encoding: chunked\r\n\r\n").expect("written");
        while let Some(chunk) = receive_chunk(&mut stream).expect("a chunk") {
            let echo = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
            stream.get_mut().write_all(&echo).expect("written");
        }
        stream.get_mut().write_all(b"0\r\nx-late: yes\r\n\r\n").expect("written");
    });
    let client = client();
    let (make, body) = mpsc::unbounded_channel();
    let request = post(&format!("http://{server}/"), Chunks(body));
    let response = block_on(client.stream(request, StreamOptions::default())).expect("a response");
    assert_eq!(response.headers()["x-early"], "yes");
    let mut echo = response.into_body();
    // The client may be gone: the body keeps what it needs.
    drop(client);
    for word in ["one", "two", "three"] {
        make.send(Ok(Bytes::from(word))).expect("the request goes on");
        assert_eq!(next(&mut echo).expect("an echo"), word, "before the next word is made");
    }
    drop(make);
    let last = block_on(echo.frame()).expect("a frame").expect("trailers");
    assert_eq!(last.into_trailers().expect("trailers")["x-late"], "yes");
    assert!(block_on(echo.frame()).is_none());
}

/// Reads the head of a request (if it is one), writes this, and holds the connection. Says when it was closed.
fn holding(sent: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<()>) {
    let (tell, closed) = channel();
    let tell = Mutex::new(tell);
    let server = serve(move |stream| {
        let mut stream = BufReader::new(stream);
        if receive_head(&mut stream).is_ok() {
            stream.get_mut().write_all(sent.as_bytes()).expect("written");
        }
        while stream.read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
        let _ = tell.lock().expect("alone").send(());
    });
    (server, closed)
}

#[test]
fn each_timeout_strikes_in_its_phase() {
    let client = client();
    let body = || Empty::<Bytes>::new();
    let long = StreamOptions::default();

    let (server, closed) = holding("");
    let site = server.to_string();
    let options = StreamOptions { connect_timeout: SHORT, ..long };
    // https: nobody answers the handshake.
    let error =
        block_on(client.stream(post(&format!("https://{server}/"), body()), options)).map(drop).expect_err("late");
    assert_eq!(error, HttpError::ConnectTimeout { site: site.clone(), after: SHORT });
    wait(&closed);

    let options = StreamOptions { first_byte_timeout: SHORT, ..long };
    let error =
        block_on(client.stream(post(&format!("http://{server}/"), body()), options)).map(drop).expect_err("late");
    assert_eq!(error, HttpError::ResponseTimeout { site, after: SHORT, received: 0 });
    wait(&closed);

    let (server, closed) = holding("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst");
    let options = StreamOptions { between_bytes_timeout: SHORT, ..long };
    let response = block_on(client.stream(post(&format!("http://{server}/"), body()), options)).expect("a head");
    let mut body = response.into_body();
    assert_eq!(next(&mut body).expect("what came"), "first");
    let error = next(&mut body).expect_err("late");
    assert_eq!(error, HttpError::ReadTimeout { site: server.to_string(), after: SHORT, received: 5 });
    assert_eq!(error.code(), "connection-read-timeout");
    drop(body);
    wait(&closed);
}

#[test]
fn dropping_the_body_closes_the_connection() {
    let (server, closed) = holding("HTTP/1.1 200 OK\r\n\r\nendless");
    let client = client();
    let request = post(&format!("http://{server}/"), Full::new(Bytes::from_static(b"body")));
    let mut body = block_on(client.stream(request, StreamOptions::default())).expect("a head").into_body();
    assert_eq!(next(&mut body).expect("what came"), "endless");
    drop(body);
    wait(&closed);
}

#[test]
fn a_body_that_fails_ends_the_request() {
    let (server, closed) = holding("");
    let (make, body) = mpsc::unbounded_channel();
    make.send(Ok(Bytes::from_static(b"half"))).expect("open");
    make.send(Err("the tape broke".to_owned())).expect("open");
    let request = post(&format!("http://{server}/"), Chunks(body));
    let error = block_on(client().stream(request, StreamOptions::default())).map(drop).expect_err("no body");
    assert_eq!(error, HttpError::RequestBody { site: server.to_string(), reason: "the tape broke".to_owned() });
    wait(&closed);
}

#[test]
fn streams_are_held_against_the_policy() {
    let client = client_of(policy(&["POST 127.0.0.1:1", "*"], &[]), &Default::default());
    let stream = |method: &str, url: &str| {
        let request = http::Request::builder().method(method).uri(url).body(Empty::<Bytes>::new()).expect("a request");
        block_on(
            client.stream(request, StreamOptions { connect_timeout: Duration::from_secs(5), ..Default::default() }),
        )
        .map(drop)
        .expect_err("a failure")
        .code()
    };
    assert_eq!(stream("POST", "http://127.0.0.1:1/"), "connection-refused");
    assert_eq!(stream("GET", "http://127.0.0.1:1/"), "HTTP-request-denied");
    assert_eq!(stream("GET", "https://127.0.0.1/"), "destination-IP-prohibited");
    assert_eq!(stream("GET", "https://user:password@example.com/"), "HTTP-request-URI-invalid");
    assert_eq!(stream("GET", "/path"), "HTTP-request-URI-invalid");
    assert_eq!(stream("CONNECT", "example.com:443"), "HTTP-request-URI-invalid");
}

/// The body is not `Sync`, and its error is not one either: what a host has to hand.
#[allow(dead_code)]
fn any_body_will_do(
    client: &everstep_http::Client,
    body: http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>,
) {
    fn sendable<T: Send>(_: T) {}
    sendable(client.stream(post("https://example.com/", body), StreamOptions::default()));
    sendable(client.perform(crate::server::request("GET", "https://example.com/")));
}
