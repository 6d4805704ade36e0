//! Using up what there is.

use crate::attack::Attack;
use everstep_core::protocol::ExecutionConfig;
use serde_json::json;
use std::net::TcpListener;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn memory_is_bounded_and_the_bound_is_an_answer() {
    let bounded = |attack: Attack| {
        let config = ExecutionConfig { memory_bytes: 48 << 20, ..ExecutionConfig::default() };
        Attack { config, ..attack }.run().value().as_u64().expect("MiB")
    };
    // The same on the replay that every invocation is compared with.
    let outside = bounded(Attack::outside("memory"));
    assert!((40..48).contains(&outside), "{outside}");
    let inside = bounded(Attack::inside("memory"));
    assert!((40..48).contains(&inside), "{inside}");
}

#[test]
fn handles_are_bounded() {
    let text = "the guest holds 4096 handles (files, sockets, timers, streams), which is as many as there are; drop \
                those that are done with";
    let outside = Attack::outside("handles").run();
    outside.fails("WorkflowError", text);
    assert_eq!(outside.faults, Vec::<String>::new(), "no invocation is repeated");
    Attack::inside("handles").run().interrupts(text);
}

#[test]
fn sockets_are_bounded() {
    let outside = Attack::outside("sockets").run();
    assert_eq!(*outside.value(), json!({ "sockets": 0, "refused": "access-denied" }));
    let inside = Attack::inside("sockets").run();
    assert_eq!(*inside.value(), json!({ "sockets": 128, "refused": "new-socket-limit" }));
    assert_eq!(inside.notices, ["everstep: socket refused: the body holds 128; drop some of them"]);
}

#[test]
fn name_look_ups_are_bounded() {
    let outside = Attack::outside("look_ups").run();
    assert_eq!(*outside.value(), json!({ "made": 0, "refused": "access-denied" }));
    let ungranted = Attack::inside("look_ups").run();
    assert_eq!(*ungranted.value(), json!({ "made": 0, "refused": "permanent-resolver-failure" }));
    let granted = Attack::inside("look_ups").allowing(&[([127, 0, 0, 1], 1).into()]).run();
    assert_eq!(*granted.value(), json!({ "made": 1_024, "refused": "temporary-resolver-failure" }));
    assert_eq!(granted.notices, ["everstep: name look-up refused: a body may make 1024"]);
}

#[test]
fn lists_of_handles_are_bounded() {
    let text = "cannot lend resource: store handle limit exceeded";
    let given_up = format!(
        "3 invocations failed at event 1 of the log (no operation was begun yet), the last one with: {text}; correct \
         the workflow or its limits and start it anew under another name"
    );
    Attack::outside("long_poll_list").run().fails("Sandbox.Failure", &given_up);
    Attack::inside("long_poll_list").run().interrupts(text);
}

#[test]
fn the_stack_is_bounded() {
    let text = "memory access out of bounds; often recursion without an end";
    Attack::outside("stack").run().fails("WorkflowPanicked", &format!("the workflow died: {text}"));
    Attack::inside("stack").run().interrupts(text);
}

#[test]
fn output_and_log_lines_are_bounded() {
    let text = "more than 16777216 bytes of output; write large data somewhere inside a step";
    for case in ["output", "log", "empty_log"] {
        Attack::outside(case).run().fails("WorkflowError", text);
        Attack::inside(case).run().interrupts(text);
    }
}

#[test]
fn randomness_is_bounded() {
    let text = "1073741824 random bytes asked for in one call; at most 1048576 are given";
    Attack::outside("randomness").run().fails("WorkflowError", text);
    Attack::inside("randomness").run().interrupts(text);
}

#[test]
fn a_loop_without_end_is_bounded() {
    let text = "a stretch of guest code exceeded its time limit; look for a loop without an end";
    let outside = Attack::outside("spin").for_at_most(SECOND).run();
    let given_up = format!(
        "3 invocations failed at event 1 of the log (no operation was begun yet), the last one with: {text}; correct \
         the workflow or its limits and start it anew under another name"
    );
    outside.fails("Sandbox.Timedout", &given_up);
    Attack::inside("spin").for_at_most(SECOND).run().interrupts(text);
}

#[test]
fn waiting_for_ever_is_bounded() {
    // Outside a step it is a durable wait, which has a bound of its own.
    let text = "4294967295 s is no duration of a wait: give 1..31622400 s (366 days)";
    Attack::outside("block").run().fails("WorkflowError", text);
    let text = "a stretch of guest code exceeded its time limit; look for a loop without an end";
    Attack::inside("block").for_at_most(SECOND).run().interrupts(text);
    // Somebody who takes the call and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    Attack::inside("block").on([address]).allowing(&[address]).for_at_most(SECOND).run().interrupts(text);
}

#[test]
fn operations_are_bounded() {
    let mut attack = Attack::outside("operations");
    attack.config.max_operations = 50;
    let text = "Operation limit exceeded: this execution may begin 50 operations; batch work in fewer steps, or start \
                it with a higher limit";
    attack.run().fails("WorkflowError", text);
}

#[test]
fn what_is_written_to_the_log_is_bounded() {
    for case in ["log_of_large_results", "log_of_retries"] {
        let mut attack = Attack::outside(case);
        attack.config.log_bytes = 8 << 20;
        let outcome = attack.run();
        let error = outcome.end.as_ref().expect_err("it fails");
        let text = error.to_string();
        let begins = "InvalidParameterValueException: Storage limit exceeded: with this checkpoint the execution has";
        assert!(text.starts_with(begins), "{case}: {text}");
        let ends = "and may write 8388608; store large data in a step and return references.";
        assert!(text.ends_with(ends), "{case}: {text}");
        assert!((7 << 20..9 << 20).contains(&outcome.log_bytes), "{case}: {} bytes", outcome.log_bytes);
    }
}

#[test]
fn names_are_checked() {
    for name in ["x".repeat(257), String::new(), "caf\u{e9}".to_owned(), "two\nlines".to_owned()] {
        let shown: String = name.chars().take(120).collect();
        let text = format!("operation name {shown:?} is not allowed: give 1..256 printable ASCII characters");
        Attack::outside("name").on(["good", &name]).run().fails("WorkflowError", &text);
    }
}
