//! What a workflow that makes requests sees, what the server sees, and what the log holds.

use crate::server::Server;
use crate::support::{Place, Ran, guest};
use everstep::worker::{Environment, Silent, Worker};
use everstep_core::protocol::{InvocationOutput, Transition};
use everstep_core::service::history_of;
use everstep_core::store::Store;
use everstep_sandbox::Sandbox;
use everstep_store::SqliteStore;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// One execution of one case against a server of its own.
struct Execution {
    place: Place,
    server: Server,
    arguments: Vec<String>,
    guest: &'static str,
}

impl Execution {
    fn of(case: &str) -> Self {
        let server = Server::start();
        let input = json!({"case": case, "server": server.url()}).to_string();
        let allowed = format!("GET,POST,PUT {}", server.authority());
        let arguments = ["--input", &input, "--allow-http", &allowed].map(str::to_owned).to_vec();
        Self { place: Place::new(), server, arguments, guest: "guest-fetch" }
    }

    fn plain() -> Self {
        let server = Server::start();
        let authority = server.authority();
        let arguments = ["--allow-http", &authority, "--", &authority].map(str::to_owned).to_vec();
        Self { place: Place::new(), server, arguments, guest: "guest-plain-http" }
    }

    fn command(&self, options: &[&str]) -> Command {
        let component = guest(self.guest);
        let mut arguments = vec!["run", component.to_str().unwrap(), "--name", "http"];
        arguments.extend(options);
        arguments.extend(self.arguments.iter().map(String::as_str));
        self.place.everstep(&arguments)
    }

    /// Runs it, or resumes it, to its end in simulated time.
    fn run(&self) -> Ran {
        Ran::from(self.command(&["--simulate", "1"]).output().unwrap())
    }

    fn result(&self) -> Value {
        serde_json::from_str(&self.run().exits(0).stdout).unwrap()
    }

    /// Runs it until a failpoint holds it for the `count`th time, and kills it there. `false`: it ended before.
    fn killed_at(&self, point: &str, count: u32) -> bool {
        let mut command = self.command(&["--simulate", "1"]);
        command.env("EVERSTEP_FAILPOINT", format!("{point}:{count}")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let held = lines.map_while(Result::ok).any(|line| line.starts_with("everstep: held at failpoint"));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(held || status.success(), "{point}:{count} {status}");
        held
    }

    fn log(&self) -> Vec<Transition> {
        let store = SqliteStore::open_read_only(self.place.database()).unwrap();
        let summary = store.find(self.guest, "http").unwrap().expect("it was started");
        store.load(summary.key).unwrap()
    }

    /// The log is replayed without any network, to the result that it holds.
    fn replays(&self, result: &str) {
        let sandbox = Sandbox::new(Some(crate::support::native_code_cache())).unwrap();
        let workflow = sandbox.load(&std::fs::read(guest(self.guest)).unwrap()).unwrap();
        let before = self.server.all_hits();
        let replayed = Worker::offline(Environment::default(), Arc::new(Silent)).replay(&workflow, &self.log());
        let replayed = replayed.unwrap_or_else(|error| panic!("{error}"));
        let InvocationOutput::Succeeded(Some(replayed)) = replayed else { panic!("{replayed:?}") };
        assert_eq!(replayed.trim_end(), result);
        assert_eq!(self.server.all_hits(), before, "a replay asks nobody");
    }

    /// The history without InvocationCompleted and without what belongs to this execution alone.
    fn history(&self) -> Vec<String> {
        let log = self.log();
        let id = log
            .iter()
            .flat_map(|row| &row.events)
            .find_map(|event| match event {
                everstep_core::protocol::Event::ExecutionStarted(started) => Some(started.arn().id().to_owned()),
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
fn without_digests(text: &str) -> String {
    let mut parts = text.split("digest");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let value = part.trim_start_matches(['\\', '"', ':']);
        let hexadecimal = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let rest = value.get(..32).filter(|digits| hexadecimal(digits)).map_or(part, |digits| &value[digits.len()..]);
        text + "digest" + rest
    })
}

fn plain_result(execution: &Execution) -> String {
    execution.run().exits(0).stdout.trim_end().to_owned()
}

/// Every case that always ends the same way, killed at every failpoint and resumed: same result, same history, and the
/// log replays offline.
fn killed_everywhere(make: impl Fn() -> Execution, points: &[&str]) -> usize {
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
            let result = plain_result(&execution);
            assert_eq!(normal(&execution, &result), expected.0, "{point}:{count}");
            assert_eq!(execution.history(), expected.1, "{point}:{count}");
            execution.replays(&result);
        }
    }
    kills
}

const EVERYWHERE: [&str; 4] = ["before-commit", "after-commit", "before-delivery", "in-body"];

#[test]
fn one_request_is_answered_and_recorded_without_secrets() {
    let execution = Execution::of("one");
    let result = execution.result();
    assert_eq!(result["status"], 200);
    assert_eq!(result["type"], "application/json");
    assert_eq!(result["body"]["target"], "/echo?secret=1");
    assert!(execution.server.last_headers().contains("authorization: bearer 12345"));
    let history = execution.history().join("\n");
    assert!(history.contains("GET SERVER/echo"), "{history}");
    for secret in ["12345", "Bearer"] {
        assert!(!history.contains(secret), "{history}");
    }
}

#[test]
fn requests_mixed_with_everything_else_survive_every_kill() {
    let kills = killed_everywhere(|| Execution::of("mixed"), &EVERYWHERE);
    assert!(kills > 20, "{kills} kills");
}

#[test]
fn a_request_lost_against_a_timer_is_dropped_live_and_on_replay() {
    // In simulated time a timer fires only when nothing is under way: this one needs the real clock.
    let execution = Execution::of("race");
    let ran = Ran::from(execution.command(&[]).output().unwrap()).exits(0);
    let result = ran.stdout.trim_end();
    assert_eq!(result, r#"["timer","/echo?after=timer"]"#);
    execution.replays(result);
    assert_eq!(execution.server.hits("GET /silence"), 1);
}

#[test]
fn twenty_requests_are_under_way_at_once() {
    let execution = Execution::of("many");
    let ran = execution.run().exits(0);
    assert_eq!(ran.stdout.trim_end(), r#"{"order":5,"sum":140}"#);
    execution.replays(ran.stdout.trim_end());
}

#[test]
fn bad_answers_are_retried_on_schedule_across_kills() {
    let execution = Execution::of("retried");
    assert_eq!(execution.result(), json!([200, "after 3", 503]));
    assert_eq!(execution.server.hits("GET /status/503"), 2);
    let history = execution.history();
    let retries = history.iter().filter(|event| event.starts_with("StepFailed")).count();
    assert_eq!(retries, 3, "{history:#?}");

    for count in 1.. {
        let execution = Execution::of("retried");
        if !execution.killed_at("after-commit", count) {
            break;
        }
        let result = execution.result();
        assert_eq!((&result[0], &result[2]), (&json!(200), &json!(503)), "after-commit:{count}");
        execution.replays(&result.to_string());
    }
}

#[test]
fn a_post_without_a_key_arrives_at_most_once() {
    let whole = Execution::of("charge");
    assert_eq!(whole.result(), json!({"once": 201, "keyed": 201}));
    let (mut interrupted, mut kills) = (0, 0);
    for point in EVERYWHERE {
        for count in 1.. {
            let execution = Execution::of("charge");
            if !execution.killed_at(point, count) {
                break;
            }
            kills += 1;
            let result = execution.result();
            let sent = execution.server.hits("POST /effect/once");
            assert!(sent <= 1, "{point}:{count}: sent {sent} times");
            assert_eq!(result["keyed"], 201, "{point}:{count}");
            if result["once"] == 201 {
                assert_eq!(sent, 1, "{point}:{count}");
            } else {
                interrupted += 1;
                assert!(result["once"].as_str().unwrap().contains("the process died before"), "{result}");
            }
            execution.replays(&result.to_string());
        }
    }
    assert!(interrupted > 0 && kills > 8, "{interrupted} of {kills}");
}

#[test]
fn bytes_and_trailers_come_back_as_they_were() {
    let execution = Execution::of("bytes");
    assert_eq!(execution.result(), json!({"same": true, "trailers": ["x-sum: 32640"]}));
}

#[test]
fn redirects_are_followed_within_the_allow_list_only() {
    let result = Execution::of("redirects").result();
    assert_eq!(result[0], "/echo");
    assert_eq!((&result[1], &result[2]), (&json!(302), &json!("/echo")));
    assert!(result[3].as_str().unwrap().contains("HTTP-request-denied"), "{result}");
}

#[test]
fn what_is_not_allowed_is_refused_with_the_remedy() {
    let execution = Execution::of("refused");
    let result = execution.result();
    let errors: Vec<&str> = result.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(errors.len(), 6);
    for (error, host) in errors.iter().zip(["10.0.0.1", "169.254.169.254", "example.com"]) {
        assert!(error.contains(host) && error.contains("--allow-http"), "{error}");
    }
    assert!(errors[5].contains("DELETE"), "{}", errors[5]);
    assert_eq!(execution.server.all_hits(), 0);
}

#[test]
fn a_body_sends_its_own_requests() {
    let execution = Execution::of("in-body");
    let result = execution.result();
    assert_eq!((&result["status"], &result["bytes"]), (&json!(200), &json!(100_000)));
    assert!(result["denied"].as_str().unwrap().contains("HttpRequestDenied"), "{result}");
    execution.replays(&result.to_string());
}

#[test]
fn answers_are_recorded_up_to_the_bound_of_a_payload() {
    let result = Execution::of("large").result();
    assert_eq!(result[0], 900_000);
    let error = result[1].as_str().unwrap();
    assert!(error.contains("1048576") || error.contains("at most"), "{error}");
}

#[test]
fn a_program_that_knows_nothing_of_this_is_durable() {
    let execution = Execution::plain();
    let ran = Ran::from(execution.command(&[]).output().unwrap()).exits(0);
    let seen: Vec<String> = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(seen.len(), 7, "{seen:?}");
    assert!(seen[0].starts_with("200 ") && seen[2] == "200 300000 bytes", "{seen:?}");
    assert_eq!(seen[4], "[1]", "the clock won");
    assert!(seen[5].starts_with("200 ") && seen[6].contains("HttpRequestDenied"), "{seen:?}");
    execution.replays(ran.stdout.trim_end());
}
