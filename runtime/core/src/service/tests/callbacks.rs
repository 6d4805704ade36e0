//! Callbacks: what begins them, what completes them from outside, and their timers.

use super::*;
use OperationAction::{Cancel, Fail, Retry, Start, Succeed};
use OperationType::Callback;
use serde_json::json;

pub(super) fn callback(text: &str, timeout_seconds: u32, heartbeat_seconds: u32) -> OperationUpdate {
    let options = CallbackOptions { timeout_seconds, heartbeat_seconds };
    OperationUpdate { callback: Some(options), ..update(text, Callback, Start) }
}

/// The callback's id, as the worker is told.
fn begin_callback(worker: &mut Worker<'_>, update: OperationUpdate) -> String {
    let changed = worker.checkpoint(vec![update]).unwrap();
    changed[0].callback.as_ref().unwrap().callback_id.clone()
}

/// An execution that waits for callback 1, and the callback's id.
fn suspended(world: &World, timeout_seconds: u32, heartbeat_seconds: u32) -> (ExecutionArn, String) {
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let id = begin_callback(&mut worker, callback("1", timeout_seconds, heartbeat_seconds));
    worker.end(InvocationOutput::Pending);
    (arn, id)
}

fn due(world: &World) -> usize {
    world.store.due(world.clock.now(Timestamp(0))).unwrap().len()
}

fn too_late(answer: Result<(), ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::CallbackTimeout))
}

fn error_of(world: &World, arn: &ExecutionArn) -> (Option<String>, Option<String>) {
    let operation = world.service.operations(arn).unwrap()[0].clone();
    assert_eq!(operation.status, OperationStatus::TimedOut);
    let error = operation.error.clone().unwrap();
    (error.error_type, error.message)
}

fn heartbeat_error() -> (Option<String>, Option<String>) {
    (Some("Callback.Heartbeat".into()), Some("Callback timed out on heartbeat".into()))
}

fn timeout_error() -> (Option<String>, Option<String>) {
    (Some("Callback.Timeout".into()), Some("Callback timed out".into()))
}

#[test]
fn a_callback_that_is_completed_while_the_execution_rests() {
    for (outcome, event, status) in [
        (Ok(Some("\"yes\"".to_owned())), "CallbackSucceeded", OperationStatus::Succeeded),
        (Ok(None), "CallbackSucceeded", OperationStatus::Succeeded),
        (Err(ErrorObject::new("Rejected", "no")), "CallbackFailed", OperationStatus::Failed),
    ] {
        let mut world = World::new();
        let (arn, id) = suspended(&world, 60, 0);
        assert_eq!((due(&world), world.waiting(&arn)), (0, 60_000));
        world.pass_seconds(5);
        world.crash();
        world.service.complete_callback(&id, outcome.clone()).unwrap();
        assert!(world.service.live.lock().unwrap().is_empty(), "nothing is kept of an execution at rest");
        assert_eq!(due(&world), 1, "it is due at once");
        assert!(too_late(world.service.complete_callback(&id, Ok(None))), "only once");
        assert!(too_late(world.service.heartbeat_callback(&id)));

        world.crash();
        let worker = world.run(&arn);
        let operation = worker.invocation.operations[0].clone();
        assert_eq!((operation.status, operation.ended_at), (status, Some(Timestamp(EPOCH + 5000))));
        assert_eq!(
            (operation.result.clone(), operation.error.clone()),
            match outcome {
                Ok(result) => (result, None),
                Err(error) => (None, Some(error)),
            }
        );
        worker.end(InvocationOutput::Succeeded(None));
        assert!(too_late(world.service.complete_callback(&id, Ok(None))), "the execution is closed");
        let expected = [
            "ExecutionStarted",
            "CallbackStarted",
            "InvocationCompleted",
            event,
            "InvocationCompleted",
            "ExecutionSucceeded",
        ];
        assert_eq!(world.history(&arn), expected);
        let row = &world.rows(&arn)[3];
        assert_eq!((row.cause, row.events.len()), (Cause::Callback, 1));
    }
}

#[test]
fn ids_are_unguessable_and_lead_to_their_execution_only() {
    let world = World::new();
    let mut worker = world.begin();
    let first = begin_callback(&mut worker, callback("1", 60, 0));
    let second = begin_callback(&mut worker, callback("2", 60, 0));
    assert_ne!(first, second);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    assert!(first.len() <= 1024 && first.bytes().all(allowed), "{first}");
    for malformed in ["", "callback", "Zg==", &first[1..], &format!("{first}\n")] {
        match world.service.complete_callback(malformed, Ok(None)) {
            Err(ServiceError::InvalidParameterValue(message)) => assert_eq!(message, "Invalid callback id"),
            other => panic!("{malformed}: {other:?}"),
        }
    }
    let forged = |key, operation, secret| {
        let forged = super::super::callback_id::CallbackId::new(ExecutionKey(key), id(operation), [secret; 32]).write();
        world.service.complete_callback(&forged, Ok(None))
    };
    assert!(too_late(forged(1, "1", 9)), "another secret");
    assert!(too_late(forged(1, "7", 9)), "no such operation");
    match forged(7, "1", 9) {
        Err(ServiceError::ResourceNotFound(message)) => assert_eq!(message, "Durable Execution does not exist"),
        other => panic!("{other:?}"),
    }
    let _ = forged(i64::MIN, "1", 9);
    assert_eq!(world.rows(&worker.arn).len(), 3, "none of them changed anything");
}

#[test]
fn a_worker_at_work_learns_of_it_with_its_next_checkpoint() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let one = begin_callback(&mut worker, callback("1", 0, 9));
    let two = begin_callback(&mut worker, callback("2", 9, 0));
    world.service.complete_callback(&one, Ok(Some("1".into()))).unwrap();
    let changed = worker.checkpoint(vec![succeed("3", "")]).unwrap();
    let changed: Vec<_> = changed.iter().map(|o| (o.id.as_str(), o.status.as_str())).collect();
    assert_eq!(changed, [("1", "SUCCEEDED"), ("3", "SUCCEEDED")]);
    // It had seen everything: what comes now is a reason to run again.
    world.service.complete_callback(&two, Ok(Some("2".into()))).unwrap();
    worker.end(InvocationOutput::Pending);
    let worker = world.run(&arn);
    assert_eq!(worker.invocation.operations[1].result.as_deref(), Some("2"));
    worker.end(InvocationOutput::Succeeded(None));
    let expected = [
        "ExecutionStarted",
        "CallbackStarted",
        "CallbackStarted",
        "CallbackSucceeded",
        "StepStarted",
        "StepSucceeded",
        "CallbackSucceeded",
        "InvocationCompleted",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(world.history(&arn), expected);
}

/// A warning names an operation, but changes none: it must not be counted as the change that it hides.
#[test]
fn a_warning_does_not_hide_a_completion() {
    let world = World::new();
    let mut worker = world.begin();
    let one = begin_callback(&mut worker, callback("1", 9, 0));
    world.service.complete_callback(&one, Ok(None)).unwrap();
    let changed = worker.checkpoint(vec![callback("2", 0, 0)]).unwrap();
    let changed: Vec<_> = changed.iter().map(|o| (o.id.as_str(), o.status.as_str())).collect();
    assert_eq!(changed, [("1", "SUCCEEDED"), ("2", "STARTED")]);
}

#[test]
fn a_callback_s_timers_in_the_order_of_the_others() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![callback("1", 3, 2), wait("2", 1), callback("3", 3, 0), callback("4", 0, 0)]).unwrap();
    worker.end(InvocationOutput::Pending);
    assert_eq!(world.waiting(&arn), 1000);
    world.pass_seconds(4);
    world.run(&arn).end(InvocationOutput::Pending);
    let expected = ["WaitSucceeded", "CallbackTimedOut", "CallbackTimedOut", "InvocationCompleted"];
    assert_eq!(world.history(&arn)[6..], expected);
    let rows = world.rows(&arn);
    let errors: Vec<_> = rows[3]
        .events
        .iter()
        .map(|event| match event {
            Event::CallbackTimedOut { id, error } => (id.as_str(), error.error_type.clone().unwrap()),
            other => (event_name(other), String::new()),
        })
        .collect();
    let heartbeat = ("1", "Callback.Heartbeat".to_owned());
    assert_eq!(errors, [("WaitSucceeded", String::new()), heartbeat, ("3", "Callback.Timeout".to_owned())]);
    assert_eq!(error_of(&world, &arn), heartbeat_error());
    assert_eq!(world.waiting(&arn), 86_400_000, "4 has no timer");
    let Invoked::Waiting(waiting) = world.service.invoke(&arn).unwrap() else { panic!() };
    let open: Vec<_> = waiting.callbacks.iter().map(|callback| callback.id.as_str()).collect();
    assert_eq!((open, waiting.invokes), (vec!["4"], vec![]));
}

fn event_name(event: &Event) -> &'static str {
    super::super::history::event_type(event)
}

#[test]
fn a_heartbeat_restarts_its_own_timer_and_wakes_nobody() {
    let mut world = World::new();
    let (arn, id) = suspended(&world, 25, 10);
    for beat in 1..=2 {
        world.pass_seconds(9);
        world.crash();
        world.service.heartbeat_callback(&id).unwrap();
        assert_eq!(due(&world), 0, "a heartbeat is no reason to invoke");
        assert_eq!(world.waiting(&arn), [19_000, 25_000][beat - 1], "the timeout does not move");
    }
    let row = world.rows(&arn).pop().unwrap();
    assert_eq!((row.cause, row.events), (Cause::Callback, vec![Event::CallbackHeartbeat { id: super::id("1") }]));
    world.pass_seconds(7);
    assert!(too_late(world.service.heartbeat_callback(&id)), "the timeout has passed");
    assert_eq!(error_of(&world, &arn), timeout_error());
    assert_eq!(due(&world), 1);
    let expected = ["ExecutionStarted", "CallbackStarted", "InvocationCompleted", "CallbackTimedOut"];
    assert_eq!(world.history(&arn), expected);

    // Without a heartbeat, and with both due at once.
    for (timeout, heartbeat, error) in
        [(0, 10, heartbeat_error()), (25, 10, heartbeat_error()), (10, 10, timeout_error())]
    {
        let world = World::new();
        let (arn, id) = suspended(&world, timeout, heartbeat);
        world.pass_seconds(10);
        assert!(too_late(world.service.complete_callback(&id, Ok(None))), "what is due fires first");
        assert_eq!(error_of(&world, &arn), error);
    }

    // Nothing to restart: nothing to record.
    let world = World::new();
    let (arn, id) = suspended(&world, 25, 0);
    world.service.heartbeat_callback(&id).unwrap();
    assert_eq!((world.rows(&arn).len(), world.waiting(&arn)), (3, 25_000));
}

#[test]
fn heartbeats_neither_hide_failures_nor_end_a_delay() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let id = begin_callback(&mut worker, callback("1", 0, 100));
    worker.die("Runtime.ExitError");
    for (seconds, waits) in [(2, 4001), (3, 0)] {
        world.service.heartbeat_callback(&id).unwrap();
        world.pass_seconds(seconds);
        let worker = world.run(&arn);
        world.service.heartbeat_callback(&id).unwrap();
        let status = worker.die("Runtime.ExitError");
        match waits {
            0 => assert_eq!(status, ExecutionStatus::Failed, "three failures at one place of the log"),
            waits => assert_eq!(world.waiting(&arn), waits),
        }
    }
}

#[test]
fn an_execution_that_times_out_takes_its_callbacks_with_it() {
    let world = World::new();
    let config = ExecutionConfig { execution_timeout_seconds: 10, ..Default::default() };
    let arn = world.service.start(StartExecution { config, ..request("e") }).unwrap().arn().clone();
    let mut worker = world.run(&arn);
    let id = begin_callback(&mut worker, callback("1", 60, 0));
    world.pass_seconds(10);
    assert!(too_late(world.service.complete_callback(&id, Ok(None))));
    assert_eq!(world.history(&arn), ["ExecutionStarted", "CallbackStarted", "ExecutionTimedOut"]);
    assert_eq!(worker.end(InvocationOutput::Pending), ExecutionStatus::TimedOut);
}

#[test]
fn an_invocation_that_a_timer_woke_and_its_host_lost_is_still_known() {
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let id = begin_callback(&mut worker, callback("1", 60, 0));
    worker.checkpoint(vec![wait("2", 1)]).unwrap();
    worker.end(InvocationOutput::Pending);
    world.pass_seconds(1);
    drop(world.run(&arn));
    world.service.complete_callback(&id, Ok(None)).unwrap();
    world.crash();
    world.run(&arn);
    let expected = ["WaitSucceeded", "CallbackSucceeded", "InvocationCompleted"];
    assert_eq!(world.history(&arn)[4..], expected);
}

#[test]
fn a_store_that_fails_completes_it_or_not() {
    for (failure, recorded) in [(Failure::Before, false), (Failure::After, true)] {
        let world = World::new();
        let mut worker = world.begin();
        let arn = worker.arn.clone();
        let id = begin_callback(&mut worker, callback("1", 60, 0));
        world.fail_next(failure);
        assert!(matches!(world.service.complete_callback(&id, Ok(None)), Err(ServiceError::Store(_))));
        assert_eq!(too_late(world.service.complete_callback(&id, Ok(None))), recorded, "{failure:?}");
        let changed = worker.checkpoint(vec![]).unwrap();
        assert_eq!((changed.len(), changed[0].status), (1, OperationStatus::Succeeded));
        assert_eq!(world.history(&arn), ["ExecutionStarted", "CallbackStarted", "CallbackSucceeded"]);
    }
}

#[test]
fn what_is_refused() {
    let world = World::new();
    let mut worker = world.begin();
    let id = begin_callback(&mut worker, callback("1", 60, 0));
    let action = super::super::refusal::INVALID_ACTION;
    for (update, message) in [
        (callback("1", 1, 1), "Cannot start a CALLBACK that already exist."),
        (update("1", Callback, Succeed), action),
        (update("1", Callback, Fail), action),
        (update("1", Callback, Retry), action),
        (update("1", Callback, Cancel), action),
        (update("9", Callback, Succeed), action),
        (start("1"), "Inconsistent operation type."),
        (within("8", callback("9", 0, 0)), "Invalid parent operation id."),
        (callback("9", 100_000_000, 0), "CallbackOptions.TimeoutSeconds is 100000000: give 0..99999999 seconds."),
        (
            callback("9", 0, 100_000_000),
            "CallbackOptions.HeartbeatTimeoutSeconds is 100000000: give 0..99999999 seconds.",
        ),
        (
            OperationUpdate { payload: Some("x".repeat((1 << 20) + 1)), ..callback("9", 0, 0) },
            "CALLBACK payload size must be less than or equal to 1048576 bytes.",
        ),
    ] {
        assert_eq!(worker.refused(vec![update]), message);
    }
    let twice = worker.refused(vec![callback("9", 0, 0), callback("9", 0, 0)]);
    assert_eq!(twice, "Cannot checkpoint multiple operations with the same ID.");
    let large = |bytes| Ok(Some("x".repeat(bytes)));
    for (outcome, message) in [
        (large((1 << 20) + 1), "CALLBACK result size must be less than or equal to 1048576 bytes."),
        (
            Err(ErrorObject::new("", "x".repeat((1 << 20) + 1))),
            "Error object size must be less than or equal to 1048576 bytes.",
        ),
    ] {
        assert_eq!(world.service.complete_callback(&id, outcome).unwrap_err().to_string(), message);
    }
    assert_eq!(world.rows(&worker.arn).len(), 2);
    worker.checkpoint(vec![callback("9", 99_999_999, 99_999_999), update("10", Callback, Start)]).unwrap();
    world.service.complete_callback(&id, large(1 << 20)).unwrap();
}

#[test]
fn aws_s_json() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let named = OperationUpdate { name: Some("approval".into()), ..callback("1", 5, 3) };
    let first = begin_callback(&mut worker, named);
    let second = begin_callback(&mut worker, callback("2", 0, 0));
    world.service.complete_callback(&second, Err(ErrorObject::new("Rejected", "not approved"))).unwrap();
    world.pass_seconds(3);
    worker.checkpoint(vec![]).unwrap();
    let history: Vec<_> = world.service.history(&arn).unwrap().iter().map(HistoryEvent::to_json).collect();
    let base = |kind: &str, number: u64, at: f64, id: &str| json!({ "EventType": kind, "EventId": number, "EventTimestamp": at, "Id": id, "SubType": "Callback" });
    let mut started = base("CallbackStarted", 2, 1_790_000_000.0, "1");
    started["Name"] = json!("approval");
    started["CallbackStartedDetails"] = json!({ "CallbackId": first, "Timeout": 5, "HeartbeatTimeout": 3 });
    assert_eq!(history[1], started);
    assert_eq!(history[2]["CallbackStartedDetails"], json!({ "CallbackId": second }));
    let mut failed = base("CallbackFailed", 4, 1_790_000_000.001, "2");
    let error = json!({ "ErrorType": "Rejected", "ErrorMessage": "not approved" });
    failed["CallbackFailedDetails"] = json!({ "Error": { "Payload": error, "Truncated": false } });
    assert_eq!(history[3], failed);
    let mut timed_out = base("CallbackTimedOut", 5, 1_790_000_003.0, "1");
    timed_out["Name"] = json!("approval");
    let error = json!({ "ErrorType": "Callback.Heartbeat" });
    timed_out["CallbackTimedOutDetails"] = json!({ "Error": { "Payload": error, "Truncated": false } });
    assert_eq!(history[4], timed_out);
    assert_eq!(history.len(), 5);
}
