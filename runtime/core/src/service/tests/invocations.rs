//! Suspension, timers, failed and lost invocations, and when the service has to be woken.

use super::*;

#[test]
fn timers_that_are_due_fire_inside_a_checkpoint_before_its_updates() {
    let world = World::new();
    let mut worker = world.begin();
    worker.checkpoint(vec![wait("1", 2), retry("2", 1), wait("3", 60)]).unwrap();
    assert_eq!(worker.checkpoint(vec![]).unwrap(), []);
    assert_eq!(world.rows(&worker.arn).len(), 2, "a poll with nothing to record writes no row");
    world.pass_seconds(2);
    let changed = worker.checkpoint(vec![succeed("4", ""), start("2")]).unwrap();
    let changed: Vec<_> = changed.iter().map(|o| (o.id.as_str(), o.status.as_str())).collect();
    assert_eq!(changed, [("1", "SUCCEEDED"), ("4", "SUCCEEDED"), ("2", "STARTED")]);
    let row = &world.rows(&worker.arn)[2];
    assert_eq!((row.events.len(), row.cause, row.first_event), (5, Cause::Checkpoint, 6));
    assert!(matches!(&row.events[..2], [Event::StepReady { .. }, Event::WaitSucceeded { .. }]));

    world.pass_seconds(58);
    let changed = worker.checkpoint(vec![]).unwrap();
    assert_eq!((changed.len(), changed[0].status), (1, OperationStatus::Succeeded));
    assert_eq!(world.rows(&worker.arn)[3].cause, Cause::Checkpoint);
}

#[test]
fn pending_needs_something_outstanding() {
    for (outstanding, updates) in [
        (true, vec![wait("1", 1)]),
        (true, vec![retry("1", 1)]),
        (false, vec![]),
        (false, vec![start("1")]),
        (false, vec![succeed("1", "")]),
        (false, vec![context("1", OperationAction::Start)]),
    ] {
        let world = World::new();
        let mut worker = world.begin();
        let arn = worker.arn.clone();
        worker.checkpoint(updates.clone()).unwrap();
        worker.end(InvocationOutput::Pending);
        let end = world.service.history(&arn).unwrap().pop().unwrap();
        let Event::InvocationCompleted { error, .. } = end.event else { panic!("{end:?}") };
        let message = error.and_then(|error| error.message);
        let expected = (!outstanding).then(|| "Cannot return PENDING status with no pending operations.".to_owned());
        assert_eq!(message, expected, "{updates:?}");
        assert_eq!(world.waiting(&arn), 1000);
    }
}

#[test]
fn failed_invocations_are_retried_later_and_later_and_then_no_more() {
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let named = OperationUpdate { name: Some("charge".into()), ..start("1") };
    worker.checkpoint(vec![named]).unwrap();
    assert_eq!(worker.die("Sandbox.Timedout"), ExecutionStatus::Running);
    assert_eq!(world.waiting(&arn), 1000);
    world.crash();
    assert_eq!(world.waiting(&arn), 1000, "the delay is in the log");
    world.pass_seconds(1);
    world.run(&arn).die("Sandbox.Timedout");
    assert_eq!(world.waiting(&arn), 3000);
    world.pass_seconds(2);
    // Progress: the count begins anew.
    let mut worker = world.run(&arn);
    worker.checkpoint(vec![succeed("1", "")]).unwrap();
    worker.die("Runtime.ExitError");
    assert_eq!(world.waiting(&arn), 4000);
    world.pass_seconds(1);
    world.run(&arn).die("Runtime.ExitError");
    world.pass_seconds(2);
    assert_eq!(world.run(&arn).die("Runtime.OutOfMemory"), ExecutionStatus::Failed);

    let error = world.service.describe(&arn).unwrap().error.unwrap();
    assert_eq!(error.error_type.as_deref(), Some("Runtime.OutOfMemory"));
    assert_eq!(
        error.message.as_deref(),
        Some(
            "3 invocations failed at event 5 of the log (last operation: STEP 1 \"charge\", SUCCEEDED), the last one \
             with: it broke; correct the workflow or its limits and start it anew under another name"
        )
    );
    assert_eq!(
        world.history(&arn)[4..],
        ["StepSucceeded", "InvocationCompleted", "InvocationCompleted", "InvocationCompleted", "ExecutionFailed"]
    );
}

#[test]
fn an_invocation_that_its_host_always_loses_ends_the_execution() {
    let mut world = World::new();
    let arn = world.start("e");
    world.run(&arn);
    for _ in 1..limits::MAX_LOST_INVOCATIONS {
        world.crash();
        world.run(&arn);
    }
    world.crash();
    assert!(matches!(world.service.invoke(&arn).unwrap(), Invoked::Closed(ExecutionStatus::Failed)));
    let error = world.service.describe(&arn).unwrap().error.unwrap();
    assert_eq!(error.error_type.as_deref(), Some("Runtime.ExitError"));
    let message = error.message.unwrap();
    assert!(
        message.starts_with("10 invocations were lost with their host at event 1 of the log (no operation"),
        "{message}"
    );
    assert!(world.rows(&arn).iter().all(|row| row.at == Timestamp(EPOCH)), "a loss does not advance time");
}

#[test]
fn one_death_is_recorded_once() {
    for failure in [Failure::Before, Failure::After] {
        let mut world = World::new();
        let mut worker = world.begin();
        let arn = worker.arn.clone();
        worker.checkpoint(vec![start("1")]).unwrap();
        drop(worker);
        world.crash();
        world.fail_next(failure);
        assert!(world.service.invoke(&arn).is_err());
        world.run(&arn);
        world.run(&arn);
        assert_eq!(world.history(&arn), ["ExecutionStarted", "StepStarted", "InvocationCompleted"], "{failure:?}");
    }
    // Suspended or failed executions lose nothing.
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![wait("1", 5)]).unwrap();
    worker.end(InvocationOutput::Pending);
    world.crash();
    assert_eq!(world.waiting(&arn), 5000);
    assert_eq!(world.rows(&arn).len(), 3);
}

#[test]
fn a_change_that_was_seen_is_no_reason_to_run_again() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![wait("1", 1), wait("2", 60)]).unwrap();
    worker.end(InvocationOutput::Pending);
    world.pass_seconds(1);
    // Sees wait 1 end, and still waits for 2.
    world.run(&arn).end(InvocationOutput::Pending);
    assert_eq!(world.waiting(&arn), 60_000);
}

#[test]
fn executions_time_out() {
    let world = World::new();
    let config = ExecutionConfig { execution_timeout_seconds: 10, ..Default::default() };
    let begin = |name| {
        let arn =
            world.service.start(StartExecution { config: config.clone(), ..request(name) }).unwrap().arn().clone();
        let mut worker = world.run(&arn);
        worker.checkpoint(vec![wait("1", 5), wait("2", 15)]).unwrap();
        worker
    };
    let (suspended, mut running) = (begin("suspended"), begin("running"));
    let arn = suspended.arn.clone();
    suspended.end(InvocationOutput::Pending);
    world.pass_seconds(20);
    let message = running.refused(vec![start("3")]);
    assert_eq!(message, "Invalid Checkpoint Token: the execution has timed out, nothing more is recorded");
    let running_arn = running.arn.clone();
    assert_eq!(running.end(InvocationOutput::Pending), ExecutionStatus::TimedOut);
    let closed = ["ExecutionStarted", "WaitStarted", "WaitStarted", "WaitSucceeded", "ExecutionTimedOut"];
    assert_eq!(world.history(&running_arn), closed);
    assert!(matches!(world.service.invoke(&arn).unwrap(), Invoked::Closed(ExecutionStatus::TimedOut)));
    assert_eq!(world.history(&arn)[3..], ["InvocationCompleted", "WaitSucceeded", "ExecutionTimedOut"]);
}

#[test]
fn the_summary_says_when_to_look_and_steps_do_not_touch_it() {
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let due = |world: &World, seconds: i64| world.store.due(Timestamp(EPOCH + seconds * 1000)).unwrap().len();
    assert_eq!(due(&world, 0), 1, "after a crash it has to be found");
    for step in 1..10 {
        worker.checkpoint(vec![succeed(&step.to_string(), "")]).unwrap();
    }
    worker.checkpoint(vec![wait("w", 30)]).unwrap();
    assert_eq!(world.store.projections.load(Ordering::Relaxed), 0);
    worker.end(InvocationOutput::Pending);
    assert_eq!((due(&world, 29), due(&world, 30)), (0, 1));
    world.pass_seconds(30);
    drop(world.run(&arn));
    world.crash();
    assert_eq!(due(&world, 0), 1, "woken by its timer, and its host died");
    world.run(&arn).die("Runtime.ExitError");
    assert_eq!((due(&world, 30), due(&world, 31)), (0, 1));
    world.pass_seconds(1);
    world.run(&arn).end(InvocationOutput::Succeeded(None));
    assert_eq!(due(&world, 1_000_000), 0);
    // It was touched when the execution suspended, was woken, failed and ended.
    assert_eq!(world.store.projections.load(Ordering::Relaxed), 4);
}
