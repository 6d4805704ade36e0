//! Workflows with steps in languages whose runtime lives in linear memory: their bodies are not sealed, so a replay has
//! to vouch for every run.

use crate::log::compiled;
use crate::process::{Case, Until};
use crate::story::{Story, oracle, sweep};
use crate::support::{Place, Ran, component};
use serde_json::Value;

const PYTHON: &str = "languages/steps/python";
const JAVASCRIPT: &str = "languages/steps/javascript";

fn case(guest: &'static str, name: &str) -> Case {
    compiled(guest);
    Case::new(guest, &["--input", &format!(r#"{{"case":"{name}"}}"#)])
}

fn result(story: &Story) -> Value {
    serde_json::from_str(&story.last().result().expect("a result")).expect("JSON")
}

/// The first and only run of a case, by a host that was told not to verify.
fn ran(guest: &'static str, name: &str) -> Ran {
    compiled(guest);
    let component = component(guest);
    let input = format!(r#"{{"case":"{name}"}}"#);
    let path = component.to_str().expect("a path in UTF-8");
    Place::new().run(&["run", path, "--simulate", "7", "--verify", "off", "--input", &input])
}

/// Ends FAILED in its first invocation, with a divergence that names the cause.
fn is_caught(guest: &'static str, name: &str, code: &str) {
    let ran = ran(guest, name).exits(1);
    let error = &ran.stderr;
    for part in [&format!("NonDeterministicExecutionError: [{code}]"), "step bodies are not sealed here"] {
        assert!(error.contains(part), "{name}: {part} is missing:\n{error}");
    }
    assert!(!error.contains("invocation failed"), "{name}: not in its first invocation:\n{error}");
}

#[test]
fn python_steps_that_leave_nothing_behind_are_killed_at_every_operation() {
    let case = case(PYTHON, "clean");
    let oracle = oracle(&case);
    assert_eq!(result(&oracle)["flaky"], "attempt 2");
    assert_eq!(oracle.bodies().len(), 3, "{:?}", oracle.bodies());
    let (_, seen) = sweep(&case);
    assert!(seen.kills.into_inner() >= 16, "the failpoints are not reached any more");
    assert!(seen.between_attempts.into_inner() > 0, "none was killed between two attempts");
}

#[test]
fn javascript_steps_that_leave_only_garbage_behind_are_killed_at_every_operation() {
    let (_, seen) = sweep(&case(JAVASCRIPT, "clean"));
    assert!(seen.kills.into_inner() >= 8, "the failpoints are not reached any more");
}

#[test]
fn an_interrupted_attempt_is_not_run_again() {
    let case = case(PYTHON, "notifies");
    let story = Story::of(&case, &[Until::HeldAt("in-body", 1)]);
    story.check();
    assert_eq!(story.kills(), 1);
    assert_eq!(result(&story)["notified"], "by attempt 2");
    assert!(story.bodies().values().all(|&count| count == 1), "{:?}", story.bodies());
    assert_eq!(story.last().interrupted_attempts().len(), 1);
}

#[test]
fn what_a_body_leaves_behind_is_caught_where_the_workflow_depends_on_it() {
    is_caught(PYTHON, "leaks_list", "E0106");
    is_caught(PYTHON, "leaks_random", "E0106");
    is_caught(PYTHON, "leaks_operation", "E0106");
    is_caught(PYTHON, "leaks_output", "E0104");
    is_caught(JAVASCRIPT, "leaks", "E0106");
}

/// What lies between `end` and the next event is the body's.
#[test]
fn after_end_a_program_may_read_and_print_what_it_likes() {
    let ran = ran(PYTHON, "reads_after_end").exits(0);
    let result: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(result["outcome"], "done");
}

#[test]
fn what_breaks_the_rules_of_unsealed_delivery_is_refused() {
    for (name, text) in [
        ("asks_both_ways", "calls both `next` and `next-unsealed`"),
        ("asks_sealed", "call `next-unsealed` instead of `next`"),
        ("begins_after_end", "`begin-wait` was called after `end` of operation 1"),
        ("returns_after_end", "the program returned after `end` of operation 1"),
    ] {
        let ran = ran(PYTHON, name).exits(1);
        assert!(ran.stderr.contains(text), "{name}: {text:?} is missing:\n{}", ran.stderr);
    }
}
