//! Effects are counted by a listener outside: under at-most-once no attempt's body starts twice, under at-least-once
//! no finished step's effect happens again.

use crate::log::Attempt;
use crate::process::{Case, Until};
use crate::story::{Story, every_operation};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// Hears one line a connection: an operation's id and an attempt.
struct Listener {
    address: SocketAddr,
    lines: Receiver<String>,
}

const END: &str = "end";

impl Listener {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut line = String::new();
                connection.expect("a connection").read_to_string(&mut line).expect("text, or nothing");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { address, lines }
    }

    /// How often each attempt was heard; everything that was sent before this call.
    fn heard(self) -> BTreeMap<Attempt, usize> {
        let mut end = TcpStream::connect(self.address).expect("a connection");
        end.write_all(END.as_bytes()).expect("it is heard");
        drop(end);
        let mut heard = BTreeMap::new();
        for line in self.lines.iter().take_while(|line| line != END).filter(|line| !line.is_empty()) {
            let (id, attempt) = line.trim().split_once(' ').unwrap_or_else(|| panic!("heard {line:?}"));
            *heard.entry((id.to_owned(), attempt.parse().expect("a number"))).or_default() += 1;
        }
        heard
    }
}

/// What the lives of one execution did outside.
fn check(until: &[Until], kills: &AtomicU32, interrupted: &AtomicU32) -> bool {
    let listener = Listener::new();
    let input = format!(r#"{{"case":"effects","address":"{}"}}"#, listener.address);
    let case = Case::new("guest-faults", &["--input", &input, "--allow-net", &listener.address.to_string()]);
    let story = Story::of(&case, until);
    let (heard, title) = (listener.heard(), story.title());
    story.check();

    let names = story.last().names();
    let at_most_once = |(id, _): &Attempt| names[id].starts_with("at-most-once");
    for (attempt, begun) in story.bodies() {
        let effects = heard.get(&attempt).copied().unwrap_or_default();
        assert!(effects <= begun, "{title}: {attempt:?} began {begun} times and was heard {effects} times");
        if at_most_once(&attempt) {
            assert_eq!(begun, 1, "{title}: the body of {attempt:?} was started again");
        }
    }
    // What was durable when the process died was done once, then and never again.
    let mut left_open = BTreeSet::new();
    for lived in story.lives.iter().filter(|lived| lived.life.killed) {
        for attempt in lived.log.ended_attempts().difference(&lived.log.interrupted_attempts()) {
            assert_eq!(heard.get(attempt), Some(&1), "{title}: effects of {attempt:?}, which had ended");
        }
        left_open.extend(lived.log.open_attempts());
    }
    // An attempt that was durably begun and not ended is never begun again: it ends as interrupted.
    assert!(left_open.iter().all(at_most_once), "{title}: {left_open:?}");
    assert_eq!(story.last().interrupted_attempts(), left_open, "{title}: interrupted attempts");
    // Everything else was done.
    for attempt in story.last().ended_attempts().difference(&left_open) {
        assert!(heard.contains_key(attempt), "{title}: {attempt:?} ended without its effect");
    }

    kills.fetch_add(story.kills() as u32, Ordering::Relaxed);
    interrupted.fetch_add(left_open.len() as u32, Ordering::Relaxed);
    story.lives[0].life.killed
}

#[test]
fn effects_are_counted_outside_while_the_process_is_killed_at_every_operation() {
    let (kills, interrupted) = (AtomicU32::new(0), AtomicU32::new(0));
    every_operation(|point, count| check(&[Until::HeldAt(point, count)], &kills, &interrupted));
    let (kills, interrupted) = (kills.into_inner(), interrupted.into_inner());
    println!("effects: {kills} kills, {interrupted} attempts interrupted");
    assert!(kills >= 60 && interrupted >= 16, "the failpoints are not reached any more");
}

/// The second time inside the body that runs then: an attempt that is retried since it was interrupted may be
/// interrupted itself.
#[test]
fn effects_are_counted_outside_while_the_process_is_killed_twice_in_a_row() {
    let (kills, interrupted) = (AtomicU32::new(0), AtomicU32::new(0));
    every_operation(|point, count| {
        check(&[Until::HeldAt(point, count), Until::HeldAt("in-body", 2)], &kills, &interrupted)
    });
    let (kills, interrupted) = (kills.into_inner(), interrupted.into_inner());
    println!("effects, twice in a row: {kills} kills, {interrupted} attempts interrupted");
    assert!(kills >= 120 && interrupted >= 60, "the failpoints are not reached any more");
}
