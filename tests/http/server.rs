//! A server whose answers depend on nothing but the request, and which remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    /// How often each method and target was asked for.
    hits: BTreeMap<String, usize>,
    /// Requests that wait at a gate.
    gate: usize,
    /// Headers of the last request.
    headers: String,
    /// Requests in reverse, by number: the client has their answer.
    over: BTreeSet<usize>,
}

struct Asked {
    method: String,
    target: String,
    headers: String,
    body: Vec<u8>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let server = Self { address: listener.local_addr().expect("an address"), state: Arc::default() };
        let accepting = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = accepting.clone();
                // A client that was killed is no failure of the server.
                std::thread::spawn(move || server.serve(&stream).ok());
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// How often that was asked for, `POST /effect/once` say.
    pub(crate) fn hits(&self, request: &str) -> usize {
        self.state.0.lock().unwrap().hits.get(request).copied().unwrap_or_default()
    }

    pub(crate) fn all_hits(&self) -> usize {
        self.state.0.lock().unwrap().hits.values().sum()
    }

    pub(crate) fn last_headers(&self) -> String {
        self.state.0.lock().unwrap().headers.clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    fn when(&self, ready: impl Fn(&Seen) -> bool) {
        let (seen, came) = &*self.state;
        drop(came.wait_while(seen.lock().unwrap(), |seen| !ready(seen)).unwrap());
    }

    /// Answers, and closes the connection: the client closes it too once it has the answer.
    fn answer_at_last(&self, mut stream: &TcpStream, number: usize) -> std::io::Result<()> {
        write(stream, 200, "connection: close\r\n", b"")?;
        stream.shutdown(Shutdown::Write)?;
        stream.read(&mut [0]).map(drop)?;
        let (seen, came) = &*self.state;
        seen.lock().unwrap().over.insert(number);
        came.notify_all();
        Ok(())
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(asked) = read(&mut reader)? {
            let key = format!("{} {}", asked.method, asked.target);
            let count = {
                let mut seen = self.state.0.lock().unwrap();
                seen.headers.clone_from(&asked.headers);
                let count = seen.hits.entry(key).or_default();
                *count += 1;
                let count = *count;
                self.state.1.notify_all();
                count
            };
            self.answer(stream, &asked, count)?;
        }
        Ok(())
    }

    fn answer(&self, stream: &TcpStream, asked: &Asked, count: usize) -> std::io::Result<()> {
        let path = asked.target.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["echo"] => {
                let body = String::from_utf8_lossy(&asked.body);
                let body = serde_json::json!({"method": asked.method, "target": asked.target, "body": body});
                write(stream, 200, "content-type: application/json\r\n", body.to_string().as_bytes())
            }
            ["mirror"] => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
                let mut stream = stream;
                stream.write_all(head.as_bytes())?;
                for chunk in asked.body.chunks(1000) {
                    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                    stream.write_all(chunk)?;
                    stream.write_all(b"\r\n")?;
                }
                let sum: u64 = asked.body.iter().map(|byte| u64::from(*byte)).sum();
                stream.write_all(format!("0\r\nx-sum: {sum}\r\n\r\n").as_bytes())
            }
            ["gate", wanted] => {
                let wanted: usize = wanted.parse().unwrap_or(1);
                let (seen, came) = &*self.state;
                let mut seen = seen.lock().unwrap();
                seen.gate += 1;
                came.notify_all();
                drop(came.wait_while(seen, |seen| seen.gate < wanted).unwrap());
                write(stream, 200, "", b"through")
            }
            // Of requests 0 to `of`, each is answered once the client has the answer to the next one.
            ["reversed", number, of] => {
                let (number, of): (usize, usize) = (number.parse().unwrap_or(0), of.parse().unwrap_or(0));
                self.when(|seen| number + 1 >= of || seen.over.contains(&(number + 1)));
                self.answer_at_last(stream, number)
            }
            // Of requests 0 to `of`, each is answered once somebody says that the answer to the next one was seen.
            ["chosen", number, of] => {
                let (number, of): (usize, usize) = (number.parse().unwrap_or(0), of.parse().unwrap_or(0));
                let next = format!("GET /echo?seen={}", number + 1);
                self.when(|seen| number + 1 >= of || seen.hits.contains_key(&next));
                write(stream, 200, "", b"")
            }
            ["when-over", of] => {
                self.when(|seen| seen.over.len() >= of.parse().unwrap_or(0));
                write(stream, 200, "", b"")
            }
            // Never answered: the client goes away at last.
            ["silence"] => {
                let mut stream = stream;
                stream.read(&mut [0]).map(drop)
            }
            ["flaky", failures] if count <= failures.parse().unwrap_or(0) => {
                write(stream, 503, "retry-after: 3\r\n", b"busy")
            }
            ["flaky", _] => write(stream, 200, "", format!("after {count}").as_bytes()),
            ["status", status] => write(stream, status.parse().unwrap_or(500), "", b""),
            ["effect", _] => write(stream, 201, "", b"done"),
            ["size", bytes] => write(stream, 200, "", &vec![b'a'; bytes.parse().unwrap_or(0)]),
            ["redirect"] => {
                let to = asked.target.split_once("to=").map_or("/", |(_, to)| to);
                write(stream, 302, &format!("location: {to}\r\n"), b"")
            }
            _ => write(stream, 404, "", b""),
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut headers, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        headers += &lower;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Ok(Some(Asked { method, target, headers, body }))
}

fn write(mut stream: &TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer)
}
