//! What AWS's conformance suite expects to read in histories.

use super::*;
use serde_json::json;

#[test]
fn a_step_and_a_wait_that_suspends() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![start("1"), succeed("1", "7")]).unwrap();
    let changed = worker.checkpoint(vec![wait("2", 5)]).unwrap();
    assert_eq!((changed.len(), changed[0].due_at), (1, Some(Timestamp(EPOCH + 5000))));
    assert_eq!(worker.end(InvocationOutput::Pending), ExecutionStatus::Running);
    assert!(world.service.live.lock().unwrap().is_empty(), "nothing is kept of a suspended execution");

    assert_eq!(world.waiting(&arn), 5000);
    world.pass_seconds(5);
    let worker = world.run(&arn);
    let seen: Vec<_> =
        worker.invocation.operations.iter().map(|o| (o.id.as_str(), o.status.as_str(), o.attempt)).collect();
    assert_eq!(seen, [("1", "SUCCEEDED", 1), ("2", "SUCCEEDED", 0)]);
    assert_eq!(worker.end(InvocationOutput::Succeeded(Some("8".into()))), ExecutionStatus::Succeeded);

    let expected = [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "WaitStarted",
        "InvocationCompleted",
        "WaitSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(world.history(&arn), expected);
    let description = world.service.describe(&arn).unwrap();
    assert_eq!((description.result.as_deref(), description.operations), (Some("8"), 2));
    assert_eq!(description.ended_at, Some(Timestamp(EPOCH + 5000)));
    assert!(matches!(world.service.invoke(&arn).unwrap(), Invoked::Closed(ExecutionStatus::Succeeded)));
}

#[test]
fn a_step_that_is_retried() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let changed = worker.checkpoint(vec![start("1"), retry("1", 3)]).unwrap();
    assert_eq!((changed[0].status, changed[0].attempt), (OperationStatus::Pending, 1));
    worker.end(InvocationOutput::Pending);
    assert_eq!(world.waiting(&arn), 3000);
    world.pass_seconds(3);

    let mut worker = world.run(&arn);
    assert_eq!(worker.invocation.operations[0].status, OperationStatus::Ready);
    let changed = worker.checkpoint(vec![start("1")]).unwrap();
    assert_eq!((changed[0].status, changed[0].attempt, changed[0].due_at), (OperationStatus::Started, 1, None));
    let changed = worker.checkpoint(vec![succeed("1", "7")]).unwrap();
    assert_eq!((changed[0].attempt, &changed[0].error), (2, &None));
    worker.end(InvocationOutput::Succeeded(None));
    let expected = [
        "ExecutionStarted",
        "StepStarted",
        "StepFailed",
        "InvocationCompleted",
        "StepStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(world.history(&arn), expected);
}

#[test]
fn a_failed_attempt_keeps_the_state_and_only_another_state_replaces_it() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let state =
        |payload: Option<&str>| OperationUpdate { error: None, payload: payload.map(Into::into), ..retry("1", 2) };
    for (update, left) in [
        (retry("1", 2), None),
        (state(Some("1")), Some("1")),
        (retry("1", 2), Some("1")),
        (retry("1", 2), Some("1")),
        (state(Some("2")), Some("2")),
        (state(None), None),
    ] {
        let failed = update.error.clone();
        let changed = worker.checkpoint(vec![update]).unwrap();
        assert_eq!((changed[0].result.as_deref(), &changed[0].error), (left, &failed));
        worker.end(InvocationOutput::Pending);
        world.pass_seconds(2);
        worker = world.run(&arn);
        assert_eq!(worker.invocation.operations[0].result.as_deref(), left);
    }
    let changed = worker.checkpoint(vec![start("1"), fail("1")]).unwrap();
    assert_eq!(changed[0].result, None, "a failed step has no result");
}

#[test]
fn a_poll_carries_its_state_into_the_next_attempt() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let poll = OperationUpdate {
        sub_type: Some("WaitForCondition".into()),
        name: Some("poll".into()),
        error: None,
        payload: Some("1".into()),
        ..retry("1", 2)
    };
    worker.checkpoint(vec![poll]).unwrap();
    worker.end(InvocationOutput::Pending);
    world.pass_seconds(2);
    let mut worker = world.run(&arn);
    let changed = worker.checkpoint(vec![start("1")]).unwrap();
    assert_eq!(changed[0].result.as_deref(), Some("1"));
    let event = &world.service.history(&arn).unwrap()[2];
    assert_eq!(
        event.to_json(),
        json!({
            "EventType": "StepSucceeded", "EventId": 3, "EventTimestamp": 1_790_000_000.0, "Id": "1", "Name": "poll",
            "SubType": "WaitForCondition",
            "StepSucceededDetails": {
                "Result": { "Payload": "1", "Truncated": false },
                "RetryDetails": { "CurrentAttempt": 1, "NextAttemptDelaySeconds": 2 },
            },
        })
    );
}

#[test]
fn an_at_most_once_step_whose_host_dies() {
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    world.clock.0.fetch_add(250, Ordering::Relaxed);
    worker.checkpoint(vec![start("1")]).unwrap();
    drop(worker);
    world.pass_seconds(60);
    world.crash();
    let mut worker = world.run(&arn);
    assert_eq!(worker.invocation.operations[0].status, OperationStatus::Started);
    worker.checkpoint(vec![fail("1")]).unwrap();
    let error = ErrorObject::new("StepInterruptedError", "the step was interrupted");
    worker.end(InvocationOutput::Failed(error.clone()));
    let expected = [
        "ExecutionStarted",
        "StepStarted",
        "InvocationCompleted",
        "StepFailed",
        "InvocationCompleted",
        "ExecutionFailed",
    ];
    assert_eq!(world.history(&arn), expected);
    assert_eq!(world.service.describe(&arn).unwrap().error, Some(error));
    // The lost invocation ended when it was last heard of.
    assert_eq!(
        world.service.history(&arn).unwrap()[2].to_json(),
        json!({
            "EventType": "InvocationCompleted", "EventId": 3, "EventTimestamp": 1_790_000_000.25,
            "InvocationCompletedDetails": {
                "StartTimestamp": 1_790_000_000.25, "EndTimestamp": 1_790_000_000.25, "RequestId": "lost-2",
                "Error": { "Payload": {
                    "ErrorType": "Runtime.ExitError", "ErrorMessage": "the host process ended during the invocation",
                }, "Truncated": false },
            },
        })
    );
}

#[test]
fn every_kind_of_event_in_aws_s_json() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![context("1", OperationAction::Start), within("1", wait("1-1", 60))]).unwrap();
    let cancel = update("1-1", OperationType::Wait, OperationAction::Cancel);
    worker
        .checkpoint(vec![cancel, within("1", fail("1-2")), context("1", OperationAction::Succeed), wait("2", 1)])
        .unwrap();
    worker.end(InvocationOutput::Pending);
    world.pass_seconds(2);
    world.run(&arn).end(InvocationOutput::Succeeded(Some("r".into())));

    let history: Vec<_> = world.service.history(&arn).unwrap().iter().map(HistoryEvent::to_json).collect();
    let details = |event: usize| {
        let kind = history[event - 1]["EventType"].as_str().unwrap();
        (kind, history[event - 1][format!("{kind}Details")].clone())
    };
    assert_eq!(history[0]["Name"], "e");
    assert_eq!(history[0]["Id"], arn.id());
    let input = json!({ "Input": { "Payload": "{\"n\":1}", "Truncated": false }, "ExecutionTimeout": 86400 });
    assert_eq!(details(1), ("ExecutionStarted", input));
    assert_eq!(details(2), ("ContextStarted", json!({})));
    let end = |at: f64| json!({ "Duration": 60, "ScheduledEndTimestamp": at });
    assert_eq!(details(3), ("WaitStarted", end(1_790_000_060.0)));
    assert_eq!((&history[2]["ParentId"], &history[2]["SubType"]), (&json!("1"), &json!("Wait")));
    assert_eq!(details(4), ("WaitCancelled", json!({})));
    assert_eq!(details(5), ("StepStarted", json!({})));
    let error = json!({ "Payload": { "ErrorType": "E", "ErrorMessage": "no" }, "Truncated": false });
    assert_eq!(details(6), ("StepFailed", json!({ "Error": error, "RetryDetails": { "CurrentAttempt": 1 } })));
    assert_eq!(history[5]["ParentId"], "1");
    assert_eq!(details(7), ("ContextSucceeded", json!({ "Result": { "Truncated": false } })));
    assert_eq!(history[6]["SubType"], "RunInChildContext");
    assert_eq!(details(9).0, "InvocationCompleted");
    assert_eq!(details(10), ("WaitSucceeded", json!({ "Duration": 1 })));
    assert_eq!(details(12), ("ExecutionSucceeded", json!({ "Result": { "Payload": "r", "Truncated": false } })));
    assert_eq!(history.len(), 12);
}

#[test]
fn an_end_reported_through_a_checkpoint_wins_and_survives() {
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let large = "x".repeat(limits::OPERATION_PAYLOAD_BYTES + 1);
    let end = OperationUpdate {
        payload: Some(large.clone()),
        ..update("execution-result-1", OperationType::Execution, OperationAction::Succeed)
    };
    let request = CheckpointRequest {
        checkpoint_token: worker.token.clone(),
        updates: vec![succeed("1", "r"), end],
        ..Default::default()
    };
    let response = world.service.checkpoint(&arn, request).unwrap();
    assert_eq!(response.checkpoint_token, None);
    assert_eq!(response.changed.len(), 1);
    assert!(worker.refused(vec![]).starts_with(ServiceError::INVALID_TOKEN));
    assert_eq!(worker.end(InvocationOutput::Succeeded(Some(String::new()))), ExecutionStatus::Succeeded);
    world.crash();
    assert_eq!(world.service.describe(&arn).unwrap().result, Some(large));
    let expected = ["ExecutionStarted", "StepStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"];
    assert_eq!(world.history(&arn), expected);
}

#[test]
fn stopping_closes_and_is_idempotent() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![wait("1", 60)]).unwrap();
    world.pass_seconds(1);
    assert_eq!(world.service.stop(&arn, None).unwrap(), Timestamp(EPOCH + 1000));
    world.pass_seconds(1);
    assert_eq!(world.service.stop(&arn, None).unwrap(), Timestamp(EPOCH + 1000));
    assert!(worker.refused(vec![]).starts_with(ServiceError::INVALID_TOKEN));
    assert_eq!(worker.end(InvocationOutput::Succeeded(None)), ExecutionStatus::Stopped);
    assert_eq!(world.history(&arn), ["ExecutionStarted", "WaitStarted", "ExecutionStopped"]);
    assert_eq!(world.service.operations(&arn).unwrap()[0].status, OperationStatus::Started);

    let suspended = world.start("suspended");
    let mut worker = world.run(&suspended);
    worker.checkpoint(vec![wait("1", 60)]).unwrap();
    worker.end(InvocationOutput::Pending);
    world.service.stop(&suspended, Some(ErrorObject::new("Enough", ""))).unwrap();
    assert_eq!(world.service.describe(&suspended).unwrap().error, Some(ErrorObject::new("Enough", "")));
    let missing = ExecutionArn::local("order", "1", "nobody", "x");
    assert!(matches!(world.service.stop(&missing, None), Err(ServiceError::ResourceNotFound(_))));
}
