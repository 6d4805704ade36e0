//! The testing kit, on workflows whose world it stands in for.

use everstep_test::{
    Crash, ErrorObject, Execution, ExecutionStatus, OperationStatus, Runner, Warning, Workflow, crash_everywhere,
    response,
};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const DAYS_366: Duration = Duration::from_secs(366 * 24 * 3600);

fn workflow(path: &str) -> Workflow {
    Workflow::build(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
}

fn kit(case: &str) -> Runner {
    Runner::new(&workflow("tests/guests/kit")).input(case).timeout(DAYS_366)
}

fn order(runner: Runner) -> Runner {
    runner.input(json!({ "orderId": "42", "amount": 9.5 }))
}

/// What an assertion says when it fails.
fn message(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("the assertion fails");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a message")).to_owned(),
    }
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in:\n{message}");
    }
}

fn history(execution: &Execution) -> Value {
    execution.history_json()
}

#[test]
fn a_year_passes_at_once_and_the_same_seed_gives_the_same_history() {
    let execution = kit("year").run();
    execution.assert_result(json!("spring"));
    let wait = execution.operation("hibernate");
    assert_eq!(wait.duration(), Some(Duration::from_secs(365 * 24 * 3600)));
    execution.assert_operations(["wait hibernate 31536000 s"]);
    assert_eq!(execution.invocations(), 2);

    let order = |seed: u64| order(Runner::new(&workflow("examples/order"))).seed(seed).run();
    assert_eq!(history(&order(1)), history(&order(1)));
    let transaction = |execution: &Execution| execution.result::<Value>()["transactionId"].clone();
    assert_ne!(transaction(&order(1)), transaction(&order(2)));
}

#[test]
fn a_stub_stands_for_a_body_and_the_log_does_not_tell() {
    let workflow = workflow("examples/order");
    let real = order(Runner::new(&workflow)).run();
    let charged: Value = real.operation("charge").result();
    let stubbed = order(Runner::new(&workflow)).on_step("charge").succeed(charged).run();
    assert_eq!(history(&real), history(&stubbed));
    says(&real.stdout(), &["charge 9.50", "confirm 42"]);
    assert!(!stubbed.stdout().contains("charge"), "the body did not run");
    let logged = |execution: &Execution| execution.logs().iter().filter(|line| line.message == "charging").count();
    assert_eq!((logged(&real), logged(&stubbed)), (1, 0));
}

#[test]
fn stubbed_errors_go_through_the_retry_strategy() {
    let declined = || Err(ErrorObject::new("Declined", "no funds"));
    let picked = kit("picky").on_step("pick").attempts([declined(), declined(), Ok(json!("third"))]).run();
    picked.assert_result(json!("third"));
    picked.operation("pick").assert_attempts(3);
    assert_eq!(picked.operation("pick").duration().map(|took| took.as_secs()), Some(60));

    let failed =
        kit("picky").on_step("pick").with(|attempt| Err(ErrorObject::new("Declined", format!("no {attempt}"))));
    let failed = failed.run();
    failed.assert_status(ExecutionStatus::Failed);
    failed.operation("pick").assert_failed("Declined", "no 3").assert_attempts(3);
    let errors: Vec<Value> = failed
        .history_json()
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["EventType"] == "StepFailed")
        .map(|event| event["StepFailedDetails"]["Error"]["Payload"]["ErrorMessage"].clone())
        .collect();
    assert_eq!(errors, ["no 1", "no 2", "no 3"]);
}

#[test]
fn requests_are_answered_and_retried() {
    let execution = kit("shop")
        .on_fetch("GET https://shop.example/*")
        .with(|request, attempt| {
            assert_eq!(request.url.path(), "/stock/7");
            Ok(if attempt == 1 { response(503, ()) } else { response(200, json!({ "left": 3 })) })
        })
        .run();
    execution.assert_result(json!({ "left": 3 }));
    execution.assert_operations(["step GET shop.example/stock/7, attempt 2"]);

    let denied = kit("shop").on_fetch("https://other.example/*").respond(200, ()).run();
    denied.assert_status(ExecutionStatus::Failed);
}

#[test]
fn callbacks_come_in_their_time_before_and_after_timers() {
    let answer = |after: u64| kit("approval").on_callback("approval").after(Duration::from_secs(after)).succeed("yes");
    let took = |execution: &Execution, name: &str| execution.operation(name).duration().map(|took| took.as_secs());
    for (after, expected) in [(60, ["approval", "reminder"]), (700, ["reminder", "approval"])] {
        let execution = answer(after).run();
        execution.assert_result(json!({ "answer": "yes" }));
        assert_eq!((took(&execution, "approval"), took(&execution, "reminder")), (Some(after), Some(600)));
        let ended = |name: &str| execution.operation(name).ended_at();
        assert!(ended(expected[0]) < ended(expected[1]), "{expected:?}");
        assert_eq!(history(&execution), history(&answer(after).run()));
    }
    let late = answer(4000).run();
    late.operation("approval").assert_status(OperationStatus::TimedOut);
    let refused = kit("approval").on_callback("approval").fail(ErrorObject::new("Refused", "not today")).run();
    refused.operation("approval").assert_failed("Refused", "not today");
}

#[test]
fn a_callback_is_completed_by_hand() {
    let mut execution = kit("approval").start();
    let callback = execution.until_callback();
    assert_eq!(callback.operation().title(), "approval");
    execution.operation("ask").assert_result(json!(format!("mailed {}", callback.id())));
    execution.operation("reminder").assert_status(OperationStatus::Started);
    execution.run_for(Duration::from_secs(900));
    execution.operation("reminder").assert_succeeded();
    execution.operation("approval").assert_status(OperationStatus::Started);
    execution.crash().succeed_callback("approval", 7).run();
    execution.assert_result(json!({ "answer": 7 }));
    says(&message(|| _ = execution.succeed_callback("approval", 8)), &["no open callback \"approval\""]);

    let waits = message(|| drop(kit("forgotten").run()));
    says(&waits, &["waits for callback answer", "`on_callback`", "RUNNING"]);
    let execution = kit("forgotten").start();
    assert!(execution.warnings().is_empty());
    let execution = kit("forgotten").on_callback("answer").succeed(()).run();
    assert!(execution.warnings().contains(&Warning::CallbackWithoutTimeout), "{:?}", execution.warnings());
}

fn family(runner: Runner) -> Runner {
    runner.input("family").timeout(DAYS_366).workflow("year", &workflow("tests/guests/kit")).function(
        "tax",
        |payload, tenant| {
            let net = payload["net"].as_u64().ok_or_else(|| ErrorObject::new("BadRequest", "no net"))?;
            Ok(json!({ "for": tenant, "tax": net / 5 }))
        },
    )
}

#[test]
fn functions_are_invoked_plain_and_durable() {
    let execution = family(Runner::new(&workflow("tests/guests/kit"))).run();
    execution.assert_result(json!({ "tax": { "for": "acme", "tax": 20 }, "year": "spring" }));
    execution.assert_operations(["invoke tax", "invoke year"]);
    let invoked = execution.invoked();
    assert_eq!(invoked.len(), 1);
    invoked[0].assert_operations(["wait hibernate 31536000 s"]);
    assert_eq!(execution.operation("year").invoked(), Some(invoked[0].arn().as_str()));

    let alone = kit("family").workflow("year", &workflow("tests/guests/kit")).run();
    alone.operation("tax").assert_status(OperationStatus::Failed);
}

#[test]
fn a_crash_is_one_of_a_process() {
    let workflow = workflow("examples/order");
    for crash in [
        Crash::before_commit(2),
        Crash::after_commit(2),
        Crash::in_step("charge"),
        Crash::at_delivery("validate"),
        Crash::at_delivery("cooling-off"),
    ] {
        let shown = crash.to_string();
        let execution = order(Runner::new(&workflow)).crash(crash).run();
        execution.assert_succeeded();
        assert_eq!(execution.crashes(), 1, "{shown}");
        assert_eq!(execution.invocations(), 3, "{shown}: one was lost");
        let charged = execution.stdout().matches("charge 9.50").count();
        assert_eq!(charged, if shown == "in attempt 1 of step \"charge\"" { 2 } else { charged }, "{shown}");
    }
    let never = message(|| drop(order(Runner::new(&workflow)).crash(Crash::in_step("chrage")).run()));
    says(&never, &["did not happen: in attempt 1 of step \"chrage\"", "SUCCEEDED"]);
}

#[test]
fn an_attempt_that_may_not_be_repeated_is_interrupted() {
    kit("careful").run().assert_result(json!("paid"));
    let execution = kit("careful").crash(Crash::in_step("pay")).run();
    execution.assert_status(ExecutionStatus::Failed);
    execution.operation("pay").assert_failed("StepInterruptedError", "attempt 1 was interrupted");
}

#[test]
fn a_crash_makes_no_difference_anywhere() {
    let tried = crash_everywhere(&workflow("examples/order"), |runner| order(runner).run());
    assert!(tried >= 16, "{tried}");
    let approval = |runner: Runner| {
        let after = Duration::from_secs(60);
        runner.input("approval").on_callback("approval").after(after).succeed("yes").run()
    };
    crash_everywhere(&workflow("tests/guests/kit"), approval);
    crash_everywhere(&workflow("tests/guests/kit"), |runner| family(runner).run());
    crash_everywhere(&workflow("tests/guests/kit"), |runner| {
        runner.input("shop").on_fetch("*").respond(200, json!({ "left": 1 })).run()
    });
}

#[test]
fn a_crash_by_hand_is_one_too() {
    crash_everywhere(&workflow("tests/guests/kit"), |runner| {
        let mut execution = runner.input("approval").start();
        execution.until_callback();
        execution.succeed_callback("approval", "yes").run();
        execution
    });
}

#[test]
fn what_depends_on_how_often_a_body_runs_is_found() {
    let workflow = workflow("examples/order");
    let found = message(|| {
        let attempts = Arc::new(AtomicU32::new(0));
        let _ = crash_everywhere(&workflow, |runner| {
            attempts.store(0, Ordering::Relaxed);
            let attempts = attempts.clone();
            let charge = move |_| Ok(json!(format!("charge {}", attempts.fetch_add(1, Ordering::Relaxed) + 1)));
            order(runner).on_step("charge").with(charge).run()
        });
    });
    says(&found, &["makes a difference", "charge 1", "charge 2", "cooling-off"]);
    let found = message(|| {
        let _ = crash_everywhere(&self::workflow("tests/guests/kit"), |runner| runner.input("careful").run());
    });
    says(&found, &["makes a difference", "StepInterruptedError"]);
}

#[test]
fn replaying_everything_changes_nothing() {
    for case in ["approval", "family", "shop", "picky"] {
        let run = |replay: bool| {
            let runner = family(kit(case)).input(case).on_callback("approval").succeed("yes");
            let runner = runner.on_fetch("*").respond(200, json!({ "left": 1 }));
            let runner = runner.on_step("pick").attempts([Err(ErrorObject::new("E", "m")), Ok(json!(1))]);
            if replay { runner.replay_everything().run() } else { runner.run() }
        };
        assert_eq!(history(&run(false)), history(&run(true)), "{case}");
    }
    for example in ["examples/order", "examples/sleepy"] {
        let run = || order(Runner::new(&workflow(example)));
        let (plain, replayed) = (run().run(), run().replay_everything().run());
        assert_eq!(history(&plain), history(&replayed), "{example}");
        assert_eq!(plain.stdout(), replayed.stdout(), "{example}: what a replay repeats is not told");
        // One for each nap, and one for each operation of the order.
        let expected = if example == "examples/order" { 4 } else { 2 };
        assert_eq!(plain.instances(), 2, "{example}: before the wait and after it");
        assert!(replayed.instances() >= expected, "{example}: {}", replayed.instances());
    }
}

#[test]
fn a_failing_assertion_shows_the_timeline() {
    let execution = order(Runner::new(&workflow("examples/order"))).run();
    let timeline = ["test  SUCCEEDED after", "✓ charge", "cooling-off", "wait 10 s"];
    let fails = |assertion: &dyn Fn(), parts: &[&str]| {
        let message = message(assertion);
        says(&message, parts);
        says(&message, &timeline);
    };
    fails(&|| drop(execution.operation("chrage")), &["no operation named \"chrage\""]);
    fails(&|| drop(execution.operation_at("charge", 1)), &["no operation 1"]);
    fails(&|| drop(execution.operation_by_id("9")), &["no operation with the id \"9\""]);
    fails(&|| drop(execution.operation_by_index(4)), &["no operation 4: 4 have begun"]);
    fails(&|| _ = execution.operation("charge").result::<u32>(), &["the result of charge is no u32"]);
    fails(&|| _ = execution.operation("charge").assert_attempts(2), &["charge began 1 attempts, not 2"]);
    fails(&|| _ = execution.operation("charge").assert_failed("E", ""), &["charge is SUCCEEDED, not FAILED"]);
    fails(&|| _ = execution.assert_status(ExecutionStatus::Failed), &["is SUCCEEDED, not FAILED"]);
    fails(&|| _ = execution.assert_result(json!(1)), &["the result is another", "  - 1", "confirmed"]);
    let expected = ["step validate", "step charge, attempt 2", "wait cooling-off 10 s", "step confirm"];
    let difference = "    step validate\n  - step charge, attempt 2\n  + step charge\n    wait cooling-off 10 s\n";
    fails(&|| _ = execution.assert_operations(expected), &["the operations are others", difference]);
}

#[test]
fn a_history_is_compared_with_a_file() {
    let execution = order(Runner::new(&workflow("examples/order"))).run();
    let place = tempfile::tempdir().expect("a directory");
    let path: PathBuf = place.path().join("order.json");
    says(&message(|| _ = execution.assert_history(&path)), &["cannot be read", "EVERSTEP_UPDATE_HISTORIES=1"]);
    let text = format!("{:#}\n", execution.history_json());
    std::fs::write(&path, &text).expect("written");
    execution.assert_history(&path);
    std::fs::write(&path, text.replace("cooling-off", "cooling-on")).expect("written");
    says(
        &message(|| _ = execution.assert_history(&path)),
        &["-     \"Name\": \"cooling-on\"", "+     \"Name\": \"cooling-off\""],
    );
}

#[test]
fn operations_are_found_and_know_their_family() {
    let csv = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/etl/sales.csv"));
    let execution = Runner::new(&workflow("examples/etl")).input(json!({ "csv": csv.expect("the sales") })).run();
    execution.assert_succeeded();
    let totals = execution.operation("totals");
    let revenue = execution.operation("revenue");
    assert_eq!(revenue.parent().map(|parent| parent.id().to_owned()), Some(totals.id().to_owned()));
    assert_eq!(totals.children().iter().map(|child| child.title()).collect::<Vec<_>>(), ["revenue"]);
    assert_eq!(revenue.id(), format!("{}-1", totals.id()));
    assert_eq!(execution.operation_by_id(revenue.id()).name(), Some("revenue"));
    assert_eq!(execution.operation_by_index(0).attempts(), 2);
    assert!(execution.outline().ends_with(&["context totals".into(), "  step revenue".into()]));
}

#[test]
fn a_workflow_that_is_not_the_same_twice_is_found() {
    let execution = kit("leaky").run();
    execution.assert_status(ExecutionStatus::Failed);
    let said = execution.error().and_then(|error| error.message.clone()).unwrap_or_default();
    says(&said, &["after-1", "after-0", "step bodies are not sealed"]);
}

/// Bounds are frozen when an execution starts, and say what they were.
#[test]
fn a_payload_beyond_the_version_s_bound_is_the_step_s_error() {
    let bounded = order(Runner::new(&workflow("examples/order"))).configure(|config| config.payload_bytes = 8).run();
    let words = "the step's result has 14 bytes; at most 8 are allowed";
    bounded.operation("validate").assert_failed("StepResultTooLarge", words);
    let few = order(Runner::new(&workflow("examples/order"))).configure(|config| config.max_operations = 2).run();
    few.assert_failed("WorkflowError", "Operation limit exceeded: this execution may begin 2 operations");
}
