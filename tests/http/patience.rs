//! Servers that are slow, silent, busy or not there yet.

use crate::execution::Execution;
use crate::server::Server;
use crate::support::Ran;
use everstep_core::protocol::Event;
use serde_json::{Value, json};
use std::net::TcpListener;

impl Execution {
    /// Attempts that failed and will be made again: how long that is put off in seconds, and the error's code.
    fn retries(&self) -> Vec<(u32, String)> {
        let retry = |event: &Event| match event {
            Event::StepRetried { seconds, error: Some(error), .. } => {
                let data: Value = serde_json::from_str(error.data.as_deref().unwrap_or("null")).unwrap();
                Some((*seconds, data["code"].as_str().unwrap_or_default().to_owned()))
            }
            _ => None,
        };
        self.log().iter().flat_map(|row| &row.events).filter_map(retry).collect()
    }
}

#[test]
fn an_attempt_that_takes_too_long_ends_and_is_retried() {
    let execution = Execution::of("timeout");
    let result = execution.result();
    let error = result.as_str().unwrap();
    assert!(error.starts_with("HTTP-response-timeout: ") && error.contains("300 ms"), "{error}");
    assert_eq!(execution.server.hits("GET /silence"), 2);
    assert_eq!(execution.retries(), [(1, "HTTP-response-timeout".to_owned())]);
    execution.replays(&result.to_string());
}

#[test]
fn an_execution_is_suspended_until_the_server_wants_to_be_asked_again() {
    let execution = Execution::of("patient");
    let suspended = execution.suspends();
    assert!(suspended.stderr.contains("--allow-http 'GET,POST,PUT "), "the hint resumes it: {}", suspended.stderr);
    assert_eq!(execution.server.hits("GET /flaky/1"), 1);
    assert_eq!(execution.retries(), [(3, "internal-error".to_owned())], "what `retry-after` says, not the schedule");
    let result = execution.result();
    assert_eq!(result, json!([200, "after 2"]));
    assert_eq!(execution.server.hits("GET /flaky/1"), 2);
    execution.replays(&result.to_string());
}

#[test]
fn a_server_that_comes_up_between_two_attempts_is_reached() {
    // An address that nobody else takes between these lines.
    let free = TcpListener::bind("127.77.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let input = json!({"case": "patient", "server": format!("http://{address}")});
    let mut execution = Execution::with(Server::start(), &input, &["--allow-http", &address.to_string()]);
    execution.suspends();
    assert_eq!(execution.retries(), [(1, "connection-refused".to_owned())]);
    execution.server = Server::start_at(address);
    let result = execution.result();
    assert_eq!(result, json!([200, "after 2"]));
    execution.replays(&result.to_string());
}

/// A body that waits for a server that never says anything ends with its time, however it waits.
#[test]
fn bodies_that_hang_in_the_network_are_interrupted_and_all_goes_on() {
    let mut execution = Execution::of("stuck");
    let net = ["--allow-net".to_owned(), execution.server.authority(), "--timeout".to_owned(), "3s".to_owned()];
    execution.arguments.extend(net);
    let ran = Ran::from(execution.command(&[]).output().unwrap()).exits(0);
    let result: Value = serde_json::from_str(&ran.stdout).unwrap();
    for error in [&result[0], &result[1]] {
        assert!(error.as_str().is_some_and(|error| error.contains("interrupted")), "{result}");
    }
    assert_eq!(result[2], 7);
    assert_eq!(execution.server.hits("GET /silence"), 2);
    execution.replays(ran.stdout.trim_end());
}
