//! One life of the real process: to its end, or to the place where it is killed.

use crate::support::Place;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};

/// Where failpoints hold a process; `runtime/src/failpoint.rs` says what each means.
pub(crate) const POINTS: [&str; 4] = ["before-commit", "after-commit", "before-delivery", "in-body"];

/// When the process is killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Never: it ends by itself.
    TheEnd,
    /// The failpoint holds it, for the given time that it comes there.
    HeldAt(&'static str, u32),
    /// It says that it waits.
    ItWaits,
}

/// What a process said before it ended or was killed.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) until: Until,
    /// It was killed; else it ended by itself, well.
    pub(crate) killed: bool,
    /// What it said on stdout: an object a line.
    pub(crate) said: Vec<Value>,
}

/// What is run: a component with its input, under one name.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// As [`crate::support::component`] knows it.
    pub(crate) guest: &'static str,
    pub(crate) arguments: Vec<String>,
    /// What is given besides to a process that resumes the execution, and must not matter.
    pub(crate) resumed_with: Vec<String>,
}

/// Every run of a test has this execution name.
pub(crate) const NAME: &str = "crash";
const SEED: &str = "20";

impl Case {
    pub(crate) fn new(guest: &'static str, arguments: &[&str]) -> Self {
        let owned = |argument: &&str| (*argument).to_owned();
        Self { guest, arguments: arguments.iter().map(owned).collect(), resumed_with: Vec::new() }
    }

    /// As a later process is given it.
    pub(crate) fn resumed(&self) -> Self {
        Self { arguments: [&self.arguments[..], &self.resumed_with].concat(), ..self.clone() }
    }

    /// A process that starts or resumes the execution, in simulated time.
    pub(crate) fn live(&self, place: &Place, until: Until) -> Life {
        self.live_in(place, until, &["--simulate", SEED])
    }

    /// A process that starts or resumes the execution; `time`: options that say which time it lives in.
    pub(crate) fn live_in(&self, place: &Place, until: Until, time: &[&str]) -> Life {
        let component = crate::support::component(self.guest);
        let mut arguments = vec!["run", component.to_str().expect("a path in UTF-8"), "--name", NAME, "--json"];
        arguments.extend(time);
        arguments.extend(self.arguments.iter().map(String::as_str));
        let mut command = place.everstep(&arguments);
        if let Until::HeldAt(point, count) = until {
            command.env("EVERSTEP_FAILPOINT", format!("{point}:{count}"));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("everstep runs");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("it is piped"), sender.clone(), Line::Out);
        forward(child.stderr.take().expect("it is piped"), sender, Line::Err);

        let (mut said, mut complaints, mut killed) = (Vec::new(), String::new(), false);
        for line in lines {
            let here = match line {
                Line::Out(line) => {
                    let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                    let here = until == Until::ItWaits && value["event"] == "waiting";
                    said.push(value);
                    here
                }
                Line::Err(line) => {
                    complaints += &format!("{line}\n");
                    line.starts_with("everstep: held at failpoint")
                }
            };
            if here && !killed {
                killed = true;
                child.kill().expect("it can be killed");
            }
        }
        let status = child.wait().expect("it ended");
        let well = if killed { status.signal() == Some(9) } else { status.success() };
        assert!(well, "{self:?} until {until:?}: {status}\n{complaints}\n{said:#?}");
        Life { until, killed, said }
    }
}

enum Line {
    Out(String),
    Err(String),
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<Line>, wrap: fn(String) -> Line) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            // Signal 9 between two lines cannot tear one: each is written by one call.
            sender.send(wrap(line.expect("text"))).expect("the reader reads to the end");
        }
    });
}
