//! Every refusal, by AWS's text; none of them changes anything.

use super::OperationAction::{Cancel, Fail, Retry, Start, Succeed};
use super::*;
use OperationType as Type;

/// A worker whose execution has: a finished step 1, a running step 2, a PENDING step 3, a wait 4, an open context 5
/// and a finished context 6.
fn populated(world: &World) -> Worker<'_> {
    let mut worker = world.begin();
    let named = OperationUpdate { name: Some("n".into()), ..start("2") };
    let updates =
        vec![succeed("1", "r"), named, retry("3", 9), wait("4", 9), context("5", Start), context("6", Succeed)];
    worker.checkpoint(updates).unwrap();
    worker
}

#[test]
fn each_rule_has_its_message() {
    let end = |action| update("end", Type::Execution, action);
    let payload = |update, bytes| OperationUpdate { payload: Some("x".repeat(bytes)), ..update };
    let failing = |update| OperationUpdate { error: Some(ErrorObject::default()), ..update };
    let named = |update, name: &str| OperationUpdate { name: Some(name.into()), ..update };
    let typed = |update, sub_type: &str| OperationUpdate { sub_type: Some(sub_type.into()), ..update };
    let seconds = |update, seconds| OperationUpdate { seconds, ..update };
    let huge = ErrorObject::new("E", "x".repeat(limits::ERROR_BYTES));
    let action = super::super::refusal::INVALID_ACTION;
    let cases: Vec<(Vec<OperationUpdate>, &str)> = vec![
        (vec![end(Succeed), end(Succeed)], "Cannot checkpoint multiple EXECUTION updates."),
        (vec![end(Succeed), start("9")], "EXECUTION checkpoint must be the last update."),
        (vec![start("9"), start("9")], "Cannot checkpoint multiple operations with the same ID."),
        (vec![succeed("9", ""), start("9")], "Cannot checkpoint multiple operations with the same ID."),
        (vec![start("9"), retry("9", 1), start("9")], "Cannot checkpoint multiple operations with the same ID."),
        (
            vec![wait("9", 1), update("9", Type::Wait, Cancel)],
            "Cannot checkpoint multiple operations with the same ID.",
        ),
        (vec![within("0", start("9"))], "Invalid parent operation id."),
        (vec![within("1", start("9"))], "Invalid parent operation id."),
        (vec![within("9", start("9"))], "Invalid parent operation id."),
        (vec![wait("2", 1)], "Inconsistent operation type."),
        (vec![typed(succeed("2", ""), "Other")], "Inconsistent operation subtype."),
        (vec![named(succeed("2", ""), "other")], "Inconsistent operation name."),
        (vec![within("5", succeed("2", ""))], "Inconsistent parent operation id."),
        (vec![update("9", Type::Step, Cancel)], action),
        (vec![context("5", Retry)], action),
        (vec![context("5", Cancel)], action),
        (vec![update("4", Type::Wait, Succeed)], action),
        (vec![update("4", Type::Wait, Fail)], action),
        (vec![update("4", Type::Wait, Retry)], action),
        (vec![end(Start)], action),
        (vec![end(Retry)], action),
        (vec![end(Cancel)], action),
        (vec![start("1")], "Invalid current STEP state to start."),
        (vec![start("2")], "Invalid current STEP state to start."),
        (vec![start("3")], "Invalid current STEP state to start."),
        (vec![succeed("1", "")], "Invalid current STEP state to close."),
        (vec![fail("3")], "Invalid current STEP state to close."),
        (vec![retry("1", 1)], "Invalid current STEP state to re-attempt."),
        (vec![retry("3", 1)], "Invalid current STEP state to re-attempt."),
        (vec![seconds(retry("2", 1), None)], "Invalid StepOptions for the given action."),
        (vec![seconds(start("9"), Some(1))], "Invalid StepOptions for the given action."),
        (vec![payload(retry("2", 1), 1)], "Cannot provide both error and payload to RETRY a STEP."),
        (vec![payload(fail("2"), 1)], "Cannot provide a Payload for FAIL action."),
        (vec![failing(succeed("2", ""))], "Cannot provide an Error for SUCCEED action."),
        (vec![failing(context("5", Succeed))], "Cannot provide an Error for SUCCEED action."),
        (vec![payload(context("5", Fail), 1)], "Cannot provide a Payload for FAIL action."),
        (vec![failing(end(Succeed))], "Cannot provide an Error for SUCCEED action."),
        (vec![payload(end(Fail), 1)], "Cannot provide a Payload for FAIL action."),
        (vec![context("5", Start)], "Cannot start a CONTEXT that already exist."),
        (vec![context("6", Fail)], "Invalid current CONTEXT state to close."),
        (vec![wait("4", 1)], "Cannot start a WAIT that already exist."),
        (vec![seconds(wait("9", 1), None)], "Update for WAIT operation requires WaitOptions."),
        (vec![wait("9", 0)], "WaitOptions.WaitSeconds is 0: give 1..31622400 seconds."),
        (vec![wait("9", 31_622_401)], "WaitOptions.WaitSeconds is 31622401: give 1..31622400 seconds."),
        (vec![retry("2", 0)], "StepOptions.NextAttemptDelaySeconds is 0: give 1..31622400 seconds."),
        (vec![update("9", Type::Wait, Cancel)], "Cannot cancel a WAIT that does not exist or has already completed."),
        (vec![named(start("9"), "")], "Invalid operation name \"\": give 1..256 characters of [\\x20-\\x7E]."),
        (vec![named(start("9"), "\n")], "Invalid operation name \"\\n\": give 1..256 characters of [\\x20-\\x7E]."),
        (vec![typed(start("9"), "a b")], "Invalid operation subtype \"a b\": give 1..32 characters of [a-zA-Z0-9-_]."),
        (
            vec![payload(end(Succeed), (6 << 20) + 1)],
            "EXECUTION payload size must be less than or equal to 6291456 bytes.",
        ),
        (
            vec![OperationUpdate { error: Some(huge), ..fail("2") }],
            "Error object size must be less than or equal to 1048576 bytes.",
        ),
    ];
    let world = World::new();
    let mut worker = populated(&world);
    let (arn, rows) = (worker.arn.clone(), world.rows(&worker.arn));
    let operations = world.service.operations(&arn).unwrap();
    for (updates, message) in cases {
        let tail = updates.clone();
        assert_eq!(worker.refused(updates), message);
        // The same after a legal update: what that did is undone.
        if tail.iter().all(|update| update.operation_type != Type::Execution) || tail.len() == 1 {
            let updates: Vec<_> = std::iter::once(start("legal")).chain(tail).collect();
            assert_eq!(worker.refused(updates), message);
            assert_eq!(world.service.operations(&arn).unwrap(), operations, "after: {message}");
        }
    }
    assert_eq!(world.rows(&arn), rows);
    worker.checkpoint(vec![start("legal"), succeed("2", "")]).unwrap();
}

#[test]
fn what_the_rules_allow_is_recorded() {
    let world = World::new();
    let mut worker = populated(&world);
    let batch = vec![
        context("7", Start),
        within("7", context("8", Start)),
        within("8", start("9")),
        OperationUpdate { name: Some("n".into()), sub_type: Some("Step".into()), ..succeed("2", "") },
        within("8", fail("9")),
        context("8", Fail),
        context("7", Succeed),
        update("4", Type::Wait, Cancel),
    ];
    let changed = worker.checkpoint(batch).unwrap();
    let changed: Vec<_> = changed.iter().map(|o| (o.id.as_str(), o.status.as_str())).collect();
    let expected = [("2", "SUCCEEDED"), ("9", "FAILED"), ("8", "FAILED"), ("7", "SUCCEEDED"), ("4", "CANCELLED")];
    assert_eq!(changed, expected);
    let Event::StepStarted { sub_type, .. } = &world.rows(&worker.arn)[2].events[2] else { panic!() };
    assert_eq!(*sub_type, None, "the type's own sub type is not stored");
}

#[test]
fn operations_are_limited() {
    let world = World::new();
    let config = ExecutionConfig { max_operations: 2, ..Default::default() };
    let arn = world.service.start(StartExecution { config, ..request("e") }).unwrap().arn().clone();
    let mut worker = world.run(&arn);
    let message = worker.refused(vec![start("1"), wait("2", 1), context("3", Start)]);
    assert!(message.starts_with("Operation limit exceeded: the execution has begun 2 operations and may begin 2;"));
    worker.checkpoint(vec![start("1"), wait("2", 1)]).unwrap();
    assert!(worker.refused(vec![succeed("3", "")]).starts_with("Operation limit exceeded"));
    worker.checkpoint(vec![succeed("1", "")]).unwrap();
}

#[test]
fn what_an_execution_writes_is_limited() {
    let world = World::new();
    // The start, and two steps that are begun and end: 64 bytes each, and ten for a result.
    let most = 64 + 2 * (64 + 64 + 10);
    let config = ExecutionConfig { log_bytes: most, ..Default::default() };
    let arn = world.service.start(StartExecution { config, input: None, ..request("e") }).unwrap().arn().clone();
    let mut worker = world.run(&arn);
    worker.checkpoint(vec![start("1"), succeed("1", "0123456789")]).unwrap();
    let message = worker.refused(vec![start("2"), succeed("2", "0123456789+")]);
    let expected = format!(
        "Storage limit exceeded: with this checkpoint the execution has written {} bytes and may write {most}; store \
         large data in a step and return references.",
        most + 1
    );
    assert_eq!(message, expected);
    // Nothing of it was recorded, and what fits still is.
    worker.checkpoint(vec![start("2"), succeed("2", "0123456789")]).unwrap();
    assert!(worker.refused(vec![start("3")]).starts_with("Storage limit exceeded"));
    // An end always fits.
    let status = worker.end(InvocationOutput::Succeeded(Some("x".repeat(1_000))));
    assert_eq!(status, ExecutionStatus::Succeeded);
}

#[test]
fn payloads_and_errors_have_bounds_of_their_own() {
    let world = World::new();
    let config = ExecutionConfig { payload_bytes: 10, error_bytes: 20, ..Default::default() };
    let arn = world.service.start(StartExecution { config, ..request("e") }).unwrap().arn().clone();
    let mut worker = world.run(&arn);
    let payload = |update, bytes| OperationUpdate { payload: Some("x".repeat(bytes)), ..update };
    let error = |update, bytes| OperationUpdate { error: Some(ErrorObject::new("", "x".repeat(bytes))), ..update };
    let state = |bytes| payload(OperationUpdate { error: None, ..retry("1", 1) }, bytes);
    for (update, message) in [
        (succeed("1", &"x".repeat(11)), "STEP payload size must be less than or equal to 10 bytes."),
        (state(11), "STEP payload size must be less than or equal to 10 bytes."),
        (payload(context("1", Succeed), 11), "CONTEXT payload size must be less than or equal to 10 bytes."),
        (error(fail("1"), 21), "Error object size must be less than or equal to 20 bytes."),
        (error(retry("1", 1), 21), "Error object size must be less than or equal to 20 bytes."),
    ] {
        assert_eq!(worker.refused(vec![update]), message);
    }
    worker.checkpoint(vec![state(10), payload(context("2", Succeed), 10), error(fail("3"), 20)]).unwrap();
    worker.end(InvocationOutput::Failed(ErrorObject::new("E", "x".repeat(20))));
    let left_out = "an error of 21 bytes was left out: an error may have 20 bytes";
    assert_eq!(world.service.describe(&arn).unwrap().error, Some(ErrorObject::new("E", left_out)));

    // By default the log's bound is the only one.
    let world = World::new();
    let mut worker = world.begin();
    worker.checkpoint(vec![payload(succeed("1", ""), 5 << 20)]).unwrap();
    let message = worker.refused(vec![payload(succeed("2", ""), (100 << 20) - (5 << 20))]);
    assert!(message.starts_with("Storage limit exceeded"), "{message}");
}

#[test]
fn a_context_s_result_that_is_left_out() {
    let world = World::new();
    let mut worker = world.begin();
    let end = OperationUpdate { result_omitted: true, payload: Some("x".into()), ..context("1", Succeed) };
    let changed = worker.checkpoint(vec![end]).unwrap();
    assert_eq!((&changed[0].result, changed[0].result_omitted), (&None, true));
    let json = world.service.history(&worker.arn).unwrap()[2].to_json();
    assert_eq!(json["ContextSucceededDetails"], serde_json::json!({ "Result": { "Truncated": true } }));
}

/// Bounds that were not there when it started are none, or those that held then.
#[test]
fn an_execution_keeps_the_bounds_that_it_started_under() {
    let old = ExecutionConfig { log_bytes: u64::MAX, log_line_bytes: 0, payload_bytes: 1 << 20, ..Default::default() };
    let mut stored = rmp_serde::to_vec_named(&serde_json::json!({ "memory_bytes": 256 << 20 })).unwrap();
    assert_eq!(rmp_serde::from_slice::<ExecutionConfig>(&stored).unwrap(), old);
    let now = ExecutionConfig { output_bytes: 1, ..Default::default() };
    stored = rmp_serde::to_vec_named(&now).unwrap();
    assert_eq!(rmp_serde::from_slice::<ExecutionConfig>(&stored).unwrap(), now);
}

#[test]
fn starting_is_checked_and_idempotent() {
    let world = World::new();
    let first = world.service.start(request("e")).unwrap();
    assert_eq!(world.service.start(request("e")).unwrap(), Started::Existing(first.arn().clone()));
    for other in
        [StartExecution { input: None, ..request("e") }, StartExecution { version: "2".into(), ..request("e") }]
    {
        match world.service.start(other) {
            Err(ServiceError::ExecutionAlreadyStarted { arn }) => assert_eq!(arn, first.arn().as_str()),
            other => panic!("{other:?}"),
        }
    }
    let generated = world.service.start(StartExecution { name: None, ..request("e") }).unwrap();
    assert_eq!(ExecutionArn::try_from(generated.arn().as_str()).as_ref(), Ok(generated.arn()));
    assert_eq!(generated.arn().name().len(), 36);
    let timeout = ExecutionConfig { execution_timeout_seconds: 0, ..Default::default() };
    for (wrong, message) in [
        (StartExecution { function: "a b".into(), ..request("x") }, "function name \"a b\" is not allowed"),
        (StartExecution { version: "one".into(), ..request("x") }, "version \"one\" is not allowed"),
        (request(&"x".repeat(65)), "execution name \"xxx"),
        (StartExecution { input: Some("x".repeat((6 << 20) + 1)), ..request("x") }, "input is 6291457 bytes"),
        (StartExecution { config: timeout, ..request("x") }, "execution timeout is 0"),
    ] {
        let error = world.service.start(wrong).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    assert_eq!(world.service.list(&Filter::default()).unwrap().len(), 2);
}
