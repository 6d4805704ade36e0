//! Chained invokes: what they resolve to, the executions that they start, and how the ends find their way back.

use super::*;
use OperationAction::{Cancel, Fail, Retry, Start, Succeed};
use OperationType::ChainedInvoke;
use serde_json::json;

fn invoke(text: &str, function: &str) -> OperationUpdate {
    let options = ChainedInvokeOptions { function_name: function.into(), tenant_id: None };
    OperationUpdate { chained_invoke: Some(Box::new(options)), ..update(text, ChainedInvoke, Start) }
}

fn durable(function: &str, version: &str) -> Target {
    let config = ExecutionConfig { execution_timeout_seconds: 30, ..Default::default() };
    let component = ComponentDigest::of(b"child");
    Target::Durable(Deployed { function: function.into(), version: version.into(), component, config })
}

/// A world with the durable function `child`, version 1, alias `live`, and the plain function `plain`, version 4.
fn world() -> World {
    let world = World::new();
    world.deploy("1", durable("child", "1"));
    world.deploy("live", durable("child", "1"));
    world.deploy("$LATEST", durable("child", "$LATEST"));
    world.deploy("4", Target::Plain { function: "plain".into(), version: "4".into() });
    world.deploy("$LATEST", Target::Plain { function: "plain".into(), version: "4".into() });
    world
}

fn details(operation: &Operation) -> &ChainedInvokeDetails {
    operation.chained_invoke.as_ref().unwrap()
}

fn child_of(operation: &Operation) -> ExecutionArn {
    ExecutionArn::try_from(details(operation).child_arn.as_deref().unwrap()).unwrap()
}

/// An execution that waits for `child`, and the child, which was not yet invoked.
fn suspended(world: &World) -> (ExecutionArn, ExecutionArn) {
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let update = OperationUpdate { payload: Some("7".into()), ..invoke("1", "child:1") };
    let child = child_of(&worker.checkpoint(vec![update]).unwrap()[0]);
    worker.end(InvocationOutput::Pending);
    (arn, child)
}

fn due(world: &World) -> Vec<String> {
    let due = world.store.due(world.clock.now(Timestamp(0))).unwrap();
    due.into_iter().map(|summary| summary.function).collect()
}

fn end_of(world: &World, arn: &ExecutionArn) -> (OperationStatus, Option<String>, Option<ErrorObject>) {
    let operation = world.service.operations(arn).unwrap()[0].clone();
    (operation.status, operation.result.clone(), operation.error.clone())
}

#[test]
fn a_child_is_started_once_and_its_end_is_its_parent_s() {
    let world = world();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let tenant = ChainedInvokeOptions { function_name: "child:live".into(), tenant_id: Some("t-1".into()) };
    let update = OperationUpdate {
        name: Some("ask".into()),
        payload: Some("7".into()),
        chained_invoke: Some(Box::new(tenant)),
        ..update("1", ChainedInvoke, Start)
    };
    let changed = worker.checkpoint(vec![update]).unwrap();
    let child = child_of(&changed[0]);
    assert_eq!(changed[0].status, OperationStatus::Started);
    assert_eq!(details(&changed[0]).executed_version.as_deref(), Some("1"), "the alias is resolved");
    assert!(child.as_str().contains(":function:child:1/durable-execution/"), "{child}");
    let started = world.service.describe(&child).unwrap().started;
    let expected = InvokedBy { arn: arn.as_str().into(), operation: id("1"), tenant_id: Some("t-1".into()), depth: 1 };
    assert_eq!(started.invoked_by.as_ref(), Some(&expected));
    assert_eq!((started.input.as_deref(), started.component), (Some("7"), ComponentDigest::of(b"child")));
    assert_eq!(started.config.execution_timeout_seconds, 30);

    let open = vec![Chained::Execution { operation: id("1"), arn: child.clone() }];
    assert_eq!(world.service.chained(&arn).unwrap(), open);
    worker.end(InvocationOutput::Pending);
    assert_eq!(due(&world), ["child"], "the parent waits for it");
    let mut child_worker = world.run(&child);
    child_worker.checkpoint(vec![succeed("1", "")]).unwrap();
    world.pass_seconds(1);
    child_worker.end(InvocationOutput::Succeeded(Some("49".into())));
    assert_eq!(due(&world), ["order"], "and then it is due");
    assert_eq!(world.service.chained(&arn).unwrap(), []);
    let worker = world.run(&arn);
    let operation = worker.invocation.operations[0].clone();
    assert_eq!((operation.status, operation.result.as_deref()), (OperationStatus::Succeeded, Some("49")));
    worker.end(InvocationOutput::Succeeded(None));
    assert!(world.service.live.lock().unwrap().is_empty());
    let expected = [
        "ExecutionStarted",
        "ChainedInvokeStarted",
        "InvocationCompleted",
        "ChainedInvokeSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ];
    assert_eq!(world.history(&arn), expected);
    assert_eq!(world.rows(&arn)[3].cause, Cause::ChainedInvoke);

    let history: Vec<_> = world.service.history(&arn).unwrap().iter().map(HistoryEvent::to_json).collect();
    let expected = json!({
        "EventType": "ChainedInvokeStarted", "EventId": 2, "EventTimestamp": 1_790_000_000.0, "Id": "1", "Name": "ask",
        "SubType": "ChainedInvoke",
        "ChainedInvokeStartedDetails": {
            "FunctionName": "child:live", "TenantId": "t-1", "Input": { "Payload": "7", "Truncated": false },
            "ExecutedVersion": "1", "DurableExecutionArn": child.as_str(),
        },
    });
    assert_eq!(history[1], expected);
    let result = json!({ "Result": { "Payload": "49", "Truncated": false } });
    assert_eq!(history[3]["ChainedInvokeSucceededDetails"], result);
}

#[test]
fn every_end_of_a_child_has_its_counterpart() {
    let stop = ErrorObject::new("Enough", "stopped by hand");
    let failed = ErrorObject::new("E", "broken");
    let timeout = ErrorObject::new("ChainedInvoke.Timeout", "CHAINED_INVOKE timed out after 30 seconds.");
    let too_large = ErrorObject::new(
        "InvalidParameterValueException",
        "CHAINED_INVOKE output payload size must be less than or equal to 1048576 bytes.",
    );
    use OperationStatus::{Failed, Stopped, Succeeded, TimedOut};
    type Ends<'a> = &'a dyn Fn(&World, &ExecutionArn);
    let cases: [(Ends<'_>, OperationStatus, Option<String>, Option<ErrorObject>); 8] = [
        (
            &|world, child| {
                world.run(child).end(InvocationOutput::Succeeded(None));
            },
            Succeeded,
            None,
            None,
        ),
        (
            &|world, child| {
                world.run(child).end(InvocationOutput::Failed(failed.clone()));
            },
            Failed,
            None,
            Some(failed.clone()),
        ),
        (
            &|world, child| {
                world.service.stop(child, Some(stop.clone())).unwrap();
            },
            Stopped,
            None,
            Some(stop.clone()),
        ),
        (
            &|world, child| {
                world.service.stop(child, None).unwrap();
            },
            Stopped,
            None,
            Some(ErrorObject::default()),
        ),
        (
            &|world, child| {
                world.pass_seconds(30);
                assert!(matches!(world.service.invoke(child).unwrap(), Invoked::Closed(ExecutionStatus::TimedOut)));
            },
            TimedOut,
            None,
            Some(timeout.clone()),
        ),
        (
            // The timeout is found out by a checkpoint.
            &|world, child| {
                let mut worker = world.run(child);
                world.pass_seconds(30);
                worker.refused(vec![start("1")]);
            },
            TimedOut,
            None,
            Some(timeout.clone()),
        ),
        (
            // The end is reported through a checkpoint.
            &|world, child| {
                let end = update("end", OperationType::Execution, Succeed);
                world.run(child).checkpoint(vec![OperationUpdate { payload: Some("r".into()), ..end }]).unwrap();
            },
            Succeeded,
            Some("r".into()),
            None,
        ),
        (
            &|world, child| {
                world.run(child).end(InvocationOutput::Succeeded(Some("x".repeat((1 << 20) + 1))));
            },
            Failed,
            None,
            Some(too_large),
        ),
    ];
    for (number, (ends, status, result, error)) in cases.into_iter().enumerate() {
        let world = world();
        let (arn, child) = suspended(&world);
        ends(&world, &child);
        assert_eq!(end_of(&world, &arn), (status, result, error), "case {number}");
        assert_eq!(due(&world), ["order"], "case {number}");
        let kind = match status {
            Succeeded => "ChainedInvokeSucceeded",
            Failed => "ChainedInvokeFailed",
            TimedOut => "ChainedInvokeTimedOut",
            _ => "ChainedInvokeStopped",
        };
        let expected = ["ExecutionStarted", "ChainedInvokeStarted", "InvocationCompleted", kind];
        assert_eq!(world.history(&arn), expected);
    }
}

#[test]
fn a_crash_between_the_two_logs_loses_nothing_and_repeats_nothing() {
    let seeds: Vec<_> = [false, true]
        .into_iter()
        .map(|crash_before_start| {
            let mut world = world();
            let mut worker = world.begin();
            let arn = worker.arn.clone();
            // The parent's row is durable, and the process dies before the child is started.
            if crash_before_start {
                *world.store.no_create.lock().unwrap() = true;
            }
            let child = child_of(&worker.checkpoint(vec![invoke("1", "child:1")]).unwrap()[0]);
            let exists = |world: &World| world.store.find_arn(&child).unwrap().is_some();
            assert_eq!(exists(&world), !crash_before_start);
            *world.store.no_create.lock().unwrap() = false;
            drop(worker);
            world.crash();
            // Any of these finds it; then nothing starts it twice.
            world.service.recover_chained().unwrap();
            assert!(exists(&world));
            let open = vec![Chained::Execution { operation: id("1"), arn: child.clone() }];
            for _ in 0..2 {
                assert_eq!(world.service.chained(&arn).unwrap(), open);
            }
            assert_eq!(world.store.list(&Filter::default()).unwrap().len(), 2);
            world.run(&arn).end(InvocationOutput::Pending);

            // The child's end is durable, and the process dies before the parent's row.
            let worker = world.run(&child);
            world.fail_after(1);
            worker.end(InvocationOutput::Succeeded(Some("r".into())));
            assert_eq!(end_of(&world, &arn).0, OperationStatus::Started, "its row was refused");
            world.crash();
            let crashed = world.rows(&arn).len();
            match crash_before_start {
                false => assert_eq!(world.service.chained(&arn).unwrap(), []),
                true => drop(world.run(&arn)),
            }
            assert_eq!(end_of(&world, &arn), (OperationStatus::Succeeded, Some("r".into()), None));
            world.service.recover_chained().unwrap();
            world.service.complete_chained(&arn, &id("1"), ChainedOutcome::Succeeded(None)).unwrap();
            assert_eq!(world.rows(&arn).len(), crashed + 1, "exactly once");
            let chained = |kind: &&&str| kind.starts_with("ChainedInvoke");
            let history = world.history(&arn);
            let chained: Vec<_> = history.iter().filter(chained).collect();
            assert_eq!(chained, [&"ChainedInvokeStarted", &"ChainedInvokeSucceeded"]);
            (child.name().to_owned(), world.service.describe(&child).unwrap().started.seed)
        })
        .collect();
    assert_eq!(seeds[0].1, seeds[1].1, "a function of the parent's seed");
}

#[test]
fn a_parent_that_is_at_work_or_closed() {
    let world = world();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let changed = worker.checkpoint(vec![invoke("1", "child:1"), invoke("2", "child:1")]).unwrap();
    let (first, second) = (child_of(&changed[0]), child_of(&changed[1]));
    assert_ne!(first, second);
    world.run(&first).end(InvocationOutput::Succeeded(Some("1".into())));
    let changed = worker.checkpoint(vec![succeed("3", "")]).unwrap();
    let changed: Vec<_> = changed.iter().map(|o| (o.id.as_str(), o.status.as_str())).collect();
    assert_eq!(changed, [("1", "SUCCEEDED"), ("3", "SUCCEEDED")]);

    world.service.stop(&arn, None).unwrap();
    let rows = world.rows(&arn);
    let left = Chained::Execution { operation: id("2"), arn: second.clone() };
    assert_eq!(world.service.chained(&arn).unwrap(), [left], "it runs on by itself");
    assert_eq!(world.run(&second).end(InvocationOutput::Succeeded(None)), ExecutionStatus::Succeeded);
    world.service.complete_chained(&arn, &id("2"), ChainedOutcome::Succeeded(None)).unwrap();
    assert_eq!(world.rows(&arn), rows, "a closed execution is left alone");
}

#[test]
fn what_invokes_itself_for_ever_is_stopped() {
    let world = world();
    let (mut worker, mut depth) = (world.begin(), 0);
    let error = loop {
        let changed = worker.checkpoint(vec![invoke("1", "child:1")]).unwrap();
        match &changed[0].error {
            Some(error) => break error.clone(),
            None => (worker, depth) = (world.run(&child_of(&changed[0])), depth + 1),
        }
    };
    assert_eq!((depth, error.error_type.as_deref()), (16, Some("RecursiveInvocationException")), "{error}");
}

#[test]
fn a_parent_that_times_out_ends_its_own_parent_s_wait() {
    let world = world();
    let (arn, child) = suspended(&world);
    let mut worker = world.run(&child);
    let grandchild = child_of(&worker.checkpoint(vec![invoke("1", "child:$LATEST")]).unwrap()[0]);
    worker.end(InvocationOutput::Pending);
    world.pass_seconds(29);
    let worker = world.run(&grandchild);
    world.pass_seconds(1);
    // The grandchild's end comes after its parent's time: that is what is recorded, and reported on.
    worker.end(InvocationOutput::Succeeded(None));
    assert_eq!(world.service.describe(&child).unwrap().status, ExecutionStatus::TimedOut);
    let (status, _, error) = end_of(&world, &arn);
    assert_eq!(status, OperationStatus::TimedOut);
    assert_eq!(error.unwrap().error_type.as_deref(), Some("ChainedInvoke.Timeout"));
}

#[test]
fn a_plain_function_is_its_driver_s() {
    let mut world = world();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let given = OperationUpdate { payload: Some("[1]".into()), ..invoke("2", "us-east-1:000000000000:plain:4") };
    let changed = worker.checkpoint(vec![invoke("1", "plain"), given]).unwrap();
    assert_eq!(details(&changed[0]).child_arn, None);
    worker.end(InvocationOutput::Pending);
    world.crash();
    let waits = |world: &World| match world.service.invoke(&arn).unwrap() {
        Invoked::Waiting(waiting) => (waiting.invokes, waiting.callbacks.len()),
        other => panic!("{other:?}"),
    };
    let function = |operation: &str, input: &str| Chained::Function {
        operation: id(operation),
        function: "plain".into(),
        version: "4".into(),
        tenant_id: None,
        input: input.into(),
    };
    assert_eq!(world.service.chained(&arn).unwrap(), [function("1", "{}"), function("2", "[1]")]);
    assert_eq!(waits(&world), (vec![function("1", "{}"), function("2", "[1]")], 0));
    let error = ErrorObject::new("TypeError", "no");
    world.service.complete_chained(&arn, &id("1"), ChainedOutcome::Failed(error.clone())).unwrap();
    assert_eq!(due(&world), ["order"]);
    world.service.complete_chained(&arn, &id("1"), ChainedOutcome::Succeeded(None)).unwrap();
    assert_eq!(end_of(&world, &arn), (OperationStatus::Failed, None, Some(error)));
    assert_eq!(world.service.chained(&arn).unwrap(), [function("2", "[1]")]);
    let unknown = world.service.complete_chained(&arn, &id("9"), ChainedOutcome::Succeeded(None)).unwrap_err();
    assert!(
        unknown.to_string().ends_with("has no CHAINED_INVOKE 9: give the operation's id as `chained` answers it"),
        "{unknown}"
    );
    assert_eq!(world.history(&arn)[3..], ["InvocationCompleted", "ChainedInvokeFailed"]);
}

#[test]
fn what_cannot_be_invoked_has_started_and_failed() {
    let unsound = |version: &str, seconds| match durable("odd", version) {
        Target::Durable(mut deployed) => {
            deployed.config.execution_timeout_seconds = seconds;
            Target::Durable(deployed)
        }
        plain => plain,
    };
    let world = world();
    world.deploy("1", unsound("one", 5));
    world.deploy("2", unsound("2", 0));
    let mut worker = world.begin();
    let beside = "a CHAINED_INVOKE's target is in its execution's account and Region, 000000000000 in us-east-1.";
    for (number, (function, kind, message)) in [
        ("nobody:1", "ResourceNotFoundException", "Function not found: nobody:1".to_owned()),
        ("child:9", "ResourceNotFoundException", "Function not found: child:9".to_owned()),
        (
            "child",
            "InvalidParameterValueException",
            "You cannot invoke a durable function using an unqualified ARN.".to_owned(),
        ),
        (
            "arn:aws:lambda:eu-west-1:000000000000:function:child:1",
            "InvalidParameterValueException",
            format!("Cannot invoke arn:aws:lambda:eu-west-1:000000000000:function:child:1: {beside}"),
        ),
        ("123456789012:plain", "InvalidParameterValueException", format!("Cannot invoke 123456789012:plain: {beside}")),
        (
            "odd:1",
            "InvalidParameterValueException",
            "Cannot invoke odd:1: version \"one\" is not allowed: give a number or $LATEST".to_owned(),
        ),
        (
            "odd:2",
            "InvalidParameterValueException",
            "Cannot invoke odd:2: execution timeout is 0: give 1..31622400 seconds".to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let changed = worker.checkpoint(vec![invoke(&number.to_string(), function)]).unwrap();
        assert_eq!((changed.len(), changed[0].status), (1, OperationStatus::Failed), "{function}");
        assert_eq!(changed[0].error, Some(ErrorObject::new(kind, message)));
        let row = world.rows(&worker.arn).pop().unwrap();
        assert!(matches!(
            row.events.as_slice(),
            [
                Event::ChainedInvokeStarted { executed_version: None, child_arn: None, .. },
                Event::ChainedInvokeFailed { .. }
            ]
        ));
    }
    assert_eq!(world.store.list(&Filter::default()).unwrap().len(), 1, "nothing was started");
}

#[test]
fn a_function_that_is_gone_before_its_execution_starts() {
    let mut world = world();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    *world.store.no_create.lock().unwrap() = true;
    worker.checkpoint(vec![invoke("1", "child:1")]).unwrap();
    *world.store.no_create.lock().unwrap() = false;
    drop(worker);
    world.registry.0.lock().unwrap().clear();
    world.crash();
    let worker = world.run(&arn);
    let operation = &worker.invocation.operations[0];
    assert_eq!(operation.error, Some(ErrorObject::new("ResourceNotFoundException", "Function not found: child:1")));
}

#[test]
fn a_report_to_an_execution_that_was_not_invoked_yet_is_no_lost_invocation() {
    let world = world();
    let arn = world.start("e");
    let early = world.service.complete_chained(&arn, &id("1"), ChainedOutcome::Succeeded(None));
    assert!(matches!(early, Err(ServiceError::InvalidParameterValue(_))), "{early:?}");
    world.run(&arn).end(InvocationOutput::Succeeded(None));
    assert_eq!(world.history(&arn), ["ExecutionStarted", "InvocationCompleted", "ExecutionSucceeded"]);
    let error = |event: HistoryEvent| matches!(event.event, Event::InvocationCompleted { error: Some(_), .. });
    assert!(!world.service.history(&arn).unwrap().into_iter().any(error));
}

#[test]
fn what_is_refused() {
    let world = world();
    let mut worker = world.begin();
    worker.checkpoint(vec![invoke("1", "child:1")]).unwrap();
    let rows = world.rows(&worker.arn).len();
    let action = super::super::refusal::INVALID_ACTION;
    let tenant = |tenant: &str| {
        let options = ChainedInvokeOptions { function_name: "child:1".into(), tenant_id: Some(tenant.into()) };
        OperationUpdate { chained_invoke: Some(Box::new(options)), ..update("9", ChainedInvoke, Start) }
    };
    let large = OperationUpdate { payload: Some("x".repeat((1 << 20) + 1)), ..invoke("9", "child:1") };
    for (update, message) in [
        (invoke("1", "child:1"), "Cannot start a CHAINED_INVOKE operation that already exists."),
        (update("9", ChainedInvoke, Start), "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions."),
        (update("1", ChainedInvoke, Succeed), action),
        (update("1", ChainedInvoke, Fail), action),
        (update("1", ChainedInvoke, Retry), action),
        (update("1", ChainedInvoke, Cancel), action),
        (large, "CHAINED_INVOKE input payload size must be less than or equal to 1048576 bytes."),
        (
            invoke("9", "a b"),
            "function name \"a b\" is not allowed: give NAME, ACCOUNT:function:NAME or an ARN, with or without \
             :QUALIFIER, of 1..256 characters",
        ),
        (tenant("ü"), "Invalid tenant id \"ü\": give 1..256 characters of [a-zA-Z0-9._:/=+-@ ]."),
        (tenant(""), "Invalid tenant id \"\": give 1..256 characters of [a-zA-Z0-9._:/=+-@ ]."),
    ] {
        assert_eq!(worker.refused(vec![update]), message);
    }
    assert_eq!(world.rows(&worker.arn).len(), rows);
    let exact = OperationUpdate { payload: Some("x".repeat(1 << 20)), ..invoke("9", "child:1") };
    worker.checkpoint(vec![exact]).unwrap();
}

#[test]
fn children_of_many_threads_end_without_deadlock() {
    const CHILDREN: usize = 8;
    let world = &world();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let invokes = (0..CHILDREN).map(|number| invoke(&number.to_string(), "child:1")).collect();
    let children: Vec<_> = worker.checkpoint(invokes).unwrap().iter().map(|o| child_of(o)).collect();
    worker.end(InvocationOutput::Pending);
    std::thread::scope(|scope| {
        for child in &children {
            scope.spawn(move || world.run(child).end(InvocationOutput::Succeeded(Some(child.id().into()))));
            scope.spawn(|| world.service.chained(&arn).unwrap());
            scope.spawn(|| world.service.invoke(&arn).unwrap());
        }
    });
    for (operation, child) in world.service.operations(&arn).unwrap().iter().zip(&children) {
        assert_eq!((operation.status, operation.result.as_deref()), (OperationStatus::Succeeded, Some(child.id())));
    }
    Execution::fold(ExecutionKey(0), &world.rows(&arn)).unwrap();
    let ends = world.history(&arn).iter().filter(|kind| **kind == "ChainedInvokeSucceeded").count();
    assert_eq!(ends, CHILDREN);
}
