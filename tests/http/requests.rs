//! What a workflow that makes requests sees, what the server sees, and what the log holds.

use crate::execution::{EVERYWHERE, Execution, killed_everywhere};
use crate::support::Ran;
use serde_json::{Value, json};

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
    assert!(error.contains("8388608"), "{error}");
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
