//! HTTP requests as durable steps, against the same requests without Everstep.

use super::{Bench, Floor, Measured, finish_in, line, median, timed};
use everstep::worker::Environment;
use everstep_http::{Client, Policy, Request};
use everstep_sandbox::Network;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;

const ROUNDS: u64 = 11;

impl Bench {
    /// The floor is the request with the same client in the same process; then that and the bare commits of what the log
    /// has of it.
    pub(super) fn http(&self) {
        let address = serve();
        let url = format!("http://{address}/item");
        let rule = format!("GET http://{address}").parse().expect("a rule");
        let client = Client::new(Policy { rules: vec![rule], addresses: vec![address] });
        let network = Network { http: client.clone(), ..Network::default() };
        let environment = Environment { network, ..Environment::default() };
        let embedded = self.real("http.db");
        let mut floor = Floor::open(&self.directory.join("floor-http.db"));
        for (label, rounds, at_once) in
            [("HTTP steps, one after the other", 200, 1), ("HTTP steps, 64 at once", 8, 64_u64)]
        {
            let requests = rounds * at_once;
            let (mut ours, mut bare, mut commits) = (Measured::new(), Measured::new(), Measured::new());
            let mut transitions = 0;
            for round in 0..ROUNDS {
                let each = |work: &mut dyn FnMut()| timed(work).as_secs_f64() * 1e6 / requests as f64;
                bare.push(each(&mut || (0..rounds).for_each(|_| request(&client, &url, at_once))));
                let input =
                    json!({"steps": 0, "waits": 0, "fetches": {"url": url, "rounds": rounds, "at_once": at_once}});
                let arn = self.begin(&embedded, &format!("{at_once}-{round}"), &input);
                ours.push(each(&mut || finish_in(&embedded, &arn, &environment)));
                let store = embedded.service().store();
                let found = store.find_arn(&arn).expect("found").expect("there");
                // One for each commit; the first is the start's, which is not measured.
                transitions = store.load(found.key).expect("loaded").len() as u64 - 1;
                commits.push(each(&mut || floor.commits(transitions)));
            }
            let (ours, bare, commits) = (median(ours), median(bare), median(commits));
            line(label, ours, bare, "us", false);
            let (per_request, part) = (transitions as f64 / requests as f64, 100.0 * commits / ours);
            let label = format!("  + {per_request:.2} bare commits each ({part:.0} % of ours)");
            line(&label, ours, bare + commits, "us", false);
        }
    }
}

/// That many requests, all under way together.
fn request(client: &Client, url: &str, at_once: u64) {
    let (sender, answers) = channel();
    let under_way: Vec<_> = (0..at_once)
        .map(|_| {
            let sender = sender.clone();
            let request = Request::new("GET", url, Vec::new(), bytes::Bytes::new()).expect("a request");
            client.start(request, move |answer| drop(sender.send(answer)))
        })
        .collect();
    for _ in &under_way {
        let answer = answers.recv().expect("all answer").expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{\"item\":1}"[..]));
    }
}

/// A server that keeps connections and says the same to everything.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_all(&stream));
        }
    });
    address
}

fn answer_all(mut stream: &TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"item\":1}",
                )
                .ok()?;
        }
    }
}
