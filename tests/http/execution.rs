//! One execution of one case against a server of its own: run, killed, resumed, replayed.

use crate::server::Server;
use crate::support::{Place, Ran, guest};
use everstep::worker::{Environment, Silent, Worker};
use everstep_core::protocol::{Event, InvocationOutput, Transition};
use everstep_core::service::history_of;
use everstep_core::store::Store;
use everstep_sandbox::Sandbox;
use everstep_store::SqliteStore;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// One execution of one case against a server of its own.
pub(crate) struct Execution {
    pub(crate) place: Place,
    pub(crate) server: Server,
    pub(crate) arguments: Vec<String>,
    pub(crate) guest: &'static str,
}

impl Execution {
    pub(crate) fn of(case: &str) -> Self {
        let server = Server::start();
        let allowed = format!("GET,POST,PUT {}", server.authority());
        let input = json!({"case": case, "server": server.url()});
        Self::with(server, &input, &["--allow-http", &allowed])
    }

    /// With this input and these options.
    pub(crate) fn with(server: Server, input: &Value, options: &[&str]) -> Self {
        let input = input.to_string();
        let arguments = ["--input", &input].iter().chain(options).map(|argument| (*argument).to_owned()).collect();
        Self { place: Place::new(), server, arguments, guest: "guest-fetch" }
    }

    pub(crate) fn plain() -> Self {
        let server = Server::start();
        let authority = server.authority();
        let arguments = ["--allow-http", &authority, "--", &authority].map(str::to_owned).to_vec();
        Self { place: Place::new(), server, arguments, guest: "guest-plain-http" }
    }

    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let component = guest(self.guest);
        let mut arguments = vec!["run", component.to_str().unwrap(), "--name", "http"];
        arguments.extend(options);
        arguments.extend(self.arguments.iter().map(String::as_str));
        self.place.everstep(&arguments)
    }

    /// Runs it, or resumes it, to its end in simulated time.
    pub(crate) fn run(&self) -> Ran {
        Ran::from(self.command(&["--simulate", "1"]).output().unwrap())
    }

    /// Runs it, or resumes it, until it has to wait: exit status 3.
    pub(crate) fn suspends(&self) -> Ran {
        Ran::from(self.command(&["--simulate", "1", "--detach-after", "0s"]).output().unwrap()).exits(3)
    }

    pub(crate) fn result(&self) -> Value {
        serde_json::from_str(&self.run().exits(0).stdout).unwrap()
    }

    /// Runs it until a failpoint holds it for the `count`th time, and kills it there. `false`: it ended before.
    pub(crate) fn killed_at(&self, point: &str, count: u32) -> bool {
        self.killed(self.command(&["--simulate", "1"]), point, count)
    }

    pub(crate) fn killed_in_real_time_at(&self, point: &str, count: u32) -> bool {
        self.killed(self.command(&[]), point, count)
    }

    fn killed(&self, mut command: Command, point: &str, count: u32) -> bool {
        command.env("EVERSTEP_FAILPOINT", format!("{point}:{count}")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let held = lines.map_while(Result::ok).any(|line| line.starts_with("everstep: held at failpoint"));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(held || status.success(), "{point}:{count} {status}");
        held
    }

    pub(crate) fn log(&self) -> Vec<Transition> {
        let log = self.log_so_far();
        assert!(!log.is_empty(), "it was started");
        log
    }

    /// Nothing, if it was killed before it was started.
    fn log_so_far(&self) -> Vec<Transition> {
        let store = SqliteStore::open_read_only(self.place.database()).unwrap();
        let summary = store.find(self.guest, "http").unwrap();
        summary.map(|summary| store.load(summary.key).unwrap()).unwrap_or_default()
    }

    /// The log is replayed without any network, to the result that it holds.
    pub(crate) fn replays(&self, result: &str) {
        let sandbox = Sandbox::new(Some(crate::support::native_code_cache())).unwrap();
        let workflow = sandbox.load(&std::fs::read(guest(self.guest)).unwrap()).unwrap();
        let before = self.server.all_hits();
        let replayed = Worker::offline(Environment::default(), Arc::new(Silent)).replay(&workflow, &self.log());
        let replayed = replayed.unwrap_or_else(|error| panic!("{error}"));
        let InvocationOutput::Succeeded(Some(replayed)) = replayed else { panic!("{replayed:?}") };
        assert_eq!(replayed.trim_end(), result);
        assert_eq!(self.server.all_hits(), before, "a replay asks nobody");
    }

    /// Names of steps that begin like this, in the order in which the log says that they ended.
    pub(crate) fn order_of_ends(&self, prefix: &str) -> Vec<String> {
        let log = if self.place.database().is_file() { self.log_so_far() } else { Vec::new() };
        let history = history_of(&log).into_iter().filter(|event| event.event_type() == "StepSucceeded");
        let named =
            |event: everstep_core::service::HistoryEvent| event.subject.and_then(|subject| subject.name.clone());
        history.filter_map(named).filter(|name| name.starts_with(prefix)).collect()
    }

    /// What the server echoed and the log holds, `GET /echo?a` say: never to be asked for again.
    pub(crate) fn answered(&self) -> Vec<String> {
        let echoed = |event: &Event| {
            let Event::StepSucceeded { result: Some(result), .. } = event else { return None };
            let exchange: Value = serde_json::from_str(result).ok()?;
            let body: Value = serde_json::from_str(exchange["body"].as_str()?).ok()?;
            Some(format!("{} {}", body["method"].as_str()?, body["target"].as_str()?))
        };
        if !self.place.database().is_file() {
            return Vec::new();
        }
        self.log_so_far().iter().flat_map(|row| &row.events).filter_map(echoed).collect()
    }

    /// The history without InvocationCompleted and without what belongs to this execution alone.
    pub(crate) fn history(&self) -> Vec<String> {
        let log = self.log();
        let id = log
            .iter()
            .flat_map(|row| &row.events)
            .find_map(|event| match event {
                Event::ExecutionStarted(started) => Some(started.arn().id().to_owned()),
                _ => None,
            })
            .unwrap();
        let port = self.server.authority();
        history_of(&log)
            .into_iter()
            .filter(|event| event.event_type() != "InvocationCompleted")
            .map(|event| format!("{} {} {:?} {:?}", event.event_type(), event.at.0, event.subject, event.event))
            .map(|text| without_digests(&text.replace(&id, "ID").replace(&port, "SERVER")))
            .collect()
    }
}

/// A digest covers the URL, and so the server's port: what follows the word is taken out, quotes and 32 digits.
pub(crate) fn without_digests(text: &str) -> String {
    let mut parts = text.split("digest");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let value = part.trim_start_matches(['\\', '"', ':']);
        let hexadecimal = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let rest = value.get(..32).filter(|digits| hexadecimal(digits)).map_or(part, |digits| &value[digits.len()..]);
        text + "digest" + rest
    })
}

pub(crate) fn plain_result(execution: &Execution) -> String {
    execution.run().exits(0).stdout.trim_end().to_owned()
}

/// Every case that always ends the same way, killed at every failpoint and resumed: same result, same history, and the
/// log replays offline.
pub(crate) fn killed_everywhere(make: impl Fn() -> Execution, points: &[&str]) -> usize {
    let whole = make();
    let result = plain_result(&whole);
    whole.replays(&result);
    let normal = |execution: &Execution, text: &str| text.replace(&execution.server.authority(), "SERVER");
    let expected = (normal(&whole, &result), whole.history());
    let mut kills = 0;
    for point in points {
        for count in 1.. {
            let execution = make();
            if !execution.killed_at(point, count) {
                break;
            }
            kills += 1;
            let answered = execution.answered();
            let hits = || answered.iter().map(|request| execution.server.hits(request)).collect::<Vec<_>>();
            let before = hits();
            let result = plain_result(&execution);
            assert_eq!(hits(), before, "{point}:{count}: sent again, though the answer was recorded: {answered:?}");
            assert_eq!(normal(&execution, &result), expected.0, "{point}:{count}");
            assert_eq!(execution.history(), expected.1, "{point}:{count}");
            execution.replays(&result);
        }
    }
    kills
}

pub(crate) const EVERYWHERE: [&str; 4] = ["before-commit", "after-commit", "before-delivery", "in-body"];
