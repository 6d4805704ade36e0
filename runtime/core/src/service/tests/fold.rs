//! Logs that this service did not write itself: damaged ones, and the vocabulary of releases to come.

use super::*;

fn row(at: i64, cause: Cause, first_event: u64, events: Vec<Event>) -> Transition {
    Transition { at: Timestamp(EPOCH + at), cause, first_event, events, journal: None, client_token: None }
}

/// The log of an execution that was just started, and these rows.
fn fold(rows: Vec<Transition>) -> Result<Execution, IllegalTransition> {
    let world = World::new();
    let mut log = world.rows(&world.start("e"));
    log.extend(rows);
    Execution::fold(ExecutionKey(1), &log)
}

fn step_started(text: &str, parent: Option<&str>) -> Event {
    Event::StepStarted { id: id(text), parent: parent.map(id), name: None, sub_type: None, rerun: false }
}

#[test]
fn a_damaged_log_says_where_and_why() {
    let succeeded = |attempt| Event::StepSucceeded { id: id("1"), attempt, result: None };
    let stopped = Event::ExecutionStopped { error: ErrorObject::default() };
    let one = |first_event, events| vec![row(0, Cause::Checkpoint, first_event, events)];
    for (rows, message) in [
        (
            one(2, vec![succeeded(1)]),
            "event 2, StepSucceeded of operation 1, cannot follow: there is no such operation",
        ),
        (
            one(2, vec![step_started("1", None), succeeded(3)]),
            "event 3, StepSucceeded of operation 1, cannot follow: 0 attempts have ended so far",
        ),
        (
            one(2, vec![step_started("1", None), Event::WaitSucceeded { id: id("1") }]),
            "event 3, WaitSucceeded of operation 1, cannot follow: the operation is a STEP that is STARTED",
        ),
        (
            one(2, vec![step_started("1", None), step_started("1", None)]),
            "event 3, StepStarted of operation 1, cannot follow: the operation is a STEP that is STARTED",
        ),
        (
            one(2, vec![step_started("1", Some("2"))]),
            "event 2, StepStarted of operation 1, cannot follow: its parent is no CONTEXT of this execution",
        ),
        (
            one(3, vec![step_started("1", None)]),
            "event 3, StepStarted of operation 1, cannot follow: the next event id is 2",
        ),
        (
            vec![row(-1, Cause::Checkpoint, 2, vec![stopped.clone()])],
            "event 2, ExecutionStopped of the execution, cannot follow: the latest event was recorded at \
             1790000000000 ms, after this one",
        ),
        (
            vec![row(0, Cause::Stop, 2, vec![stopped]), row(0, Cause::Checkpoint, 3, vec![step_started("1", None)])],
            "event 3, StepStarted of operation 1, cannot follow: the execution is STOPPED",
        ),
        (
            one(2, vec![Event::ExecutionPaused { reason: None, timeout_paused: true }]),
            "event 2, ExecutionPaused of the execution, cannot follow: this build cannot pause executions: \
             use a newer everstep",
        ),
    ] {
        assert_eq!(fold(rows).unwrap_err().to_string(), message);
    }
    let found = Execution::fold(ExecutionKey(1), &[]).unwrap_err().found;
    assert_eq!(found, Found::NotTheBeginning);
}

#[test]
fn callbacks_and_chained_invokes_fold() {
    let callback = Event::CallbackStarted {
        id: id("1"),
        parent: None,
        name: None,
        sub_type: None,
        callback_id: "cb".into(),
        timeout_seconds: 30,
        heartbeat_seconds: 10,
    };
    let invoke = Event::ChainedInvokeStarted {
        id: id("2"),
        parent: None,
        name: None,
        sub_type: None,
        function: "other".into(),
        tenant_id: None,
        input: None,
        executed_version: None,
        child_arn: None,
    };
    let begun = row(0, Cause::Checkpoint, 2, vec![callback, invoke]);
    let execution = fold(vec![begun.clone()]).unwrap();
    assert_eq!(execution.outstanding, 2);
    assert_eq!(execution.earliest_timer().unwrap().0, Timestamp(EPOCH + 10_000));
    let answered = row(5, Cause::Callback, 4, vec![Event::CallbackSucceeded { id: id("1"), result: Some("r".into()) }]);
    let stopped = Event::ChainedInvokeStopped { id: id("2"), error: ErrorObject::new("Stopped", "") };
    let execution = fold(vec![begun, answered, row(6, Cause::ChainedInvoke, 5, vec![stopped])]).unwrap();
    let ends: Vec<_> =
        execution.operations().iter().map(|o| (o.status.as_str(), o.result.as_deref(), o.ended_event)).collect();
    assert_eq!(ends, [("SUCCEEDED", Some("r"), Some(4)), ("STOPPED", None, Some(5))]);
    assert_eq!((execution.outstanding, execution.earliest_timer()), (0, None));
}

#[test]
fn what_changed_behind_a_worker_s_back_is_a_reason_to_run_again() {
    let mut world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    worker.checkpoint(vec![wait("1", 60), start("2")]).unwrap();
    world.pass_seconds(1);
    // As a callback would: recorded while the invocation runs, not answered to it.
    let commit = |held: &mut live::Held<'_>| {
        let execution = held.slot.execution.as_mut().unwrap();
        let mut draft = draft::Draft::new(execution, world.service.now(execution.latest));
        draft.record(execution, Event::WaitCancelled { id: id("1") })?;
        Ok(world.service.commit(&mut held.slot, draft, Cause::Callback, None, None)?)
    };
    world.service.if_live(&arn, commit).unwrap();
    // Nothing is outstanding, but the worker could not know.
    worker.end(InvocationOutput::Pending);
    let Event::InvocationCompleted { error, .. } = &world.service.history(&arn).unwrap()[4].event else { panic!() };
    assert_eq!(*error, None);
    world.crash();
    let mut worker = world.run(&arn);
    assert_eq!(worker.invocation.operations[0].status, OperationStatus::Cancelled);
    assert_eq!(worker.checkpoint(vec![succeed("2", "")]).unwrap().len(), 1, "the envelope was seen");
}
