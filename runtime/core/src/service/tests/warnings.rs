//! What an execution warns of: each once, in the row of what gave reason for it, and not in AWS's history.

use super::callbacks::callback;
use super::*;

fn warned(world: &World, arn: &ExecutionArn) -> Vec<(Warning, Option<String>)> {
    let warned = world.service.warnings(arn).unwrap();
    warned.into_iter().map(|it| (it.warning, it.subject.map(|subject| subject.id.clone()))).collect()
}

fn start_with(world: &World, config: ExecutionConfig, version: &str) -> ExecutionArn {
    let version = version.to_owned();
    world.service.start(StartExecution { config, version, ..request("e") }).unwrap().arn().clone()
}

/// In which rows events of warnings stand.
fn rows_that_warn(world: &World, arn: &ExecutionArn) -> Vec<usize> {
    let warns = |row: &Transition| row.events.iter().any(|event| matches!(event, Event::Warned { .. }));
    world.rows(arn).iter().enumerate().filter(|(_, row)| warns(row)).map(|(index, _)| index).collect()
}

#[test]
fn four_fifths_of_the_operations_and_of_the_bytes() {
    let world = World::new();
    let config = ExecutionConfig { max_operations: 5, ..Default::default() };
    let arn = start_with(&world, config, "1");
    let mut worker = world.run(&arn);
    worker.checkpoint(vec![start("1"), start("2"), start("3")]).unwrap();
    assert_eq!(warned(&world, &arn), []);
    worker.checkpoint(vec![start("4")]).unwrap();
    worker.checkpoint(vec![start("5")]).unwrap();
    assert_eq!(warned(&world, &arn), [(Warning::Operations, None)]);
    assert_eq!(rows_that_warn(&world, &arn), [2]);
    let expected = ["ExecutionStarted", "StepStarted", "StepStarted", "StepStarted", "StepStarted", "StepStarted"];
    assert_eq!(world.history(&arn), expected);

    let mut world = World::new();
    let config = ExecutionConfig { log_bytes: 10_000, ..Default::default() };
    let arn = start_with(&world, config, "1");
    let mut worker = world.run(&arn);
    worker.checkpoint(vec![succeed("1", &"x".repeat(7_000))]).unwrap();
    assert_eq!(warned(&world, &arn), []);
    // What comes from outside counts as well.
    let id = worker.checkpoint(vec![callback("2", 9, 0)]).unwrap()[0].callback.clone().unwrap().callback_id;
    worker.end(InvocationOutput::Pending);
    world.service.complete_callback(&id, Ok(Some("x".repeat(800)))).unwrap();
    assert_eq!(warned(&world, &arn), [(Warning::Written, None)]);
    world.crash();
    world.run(&arn).checkpoint(vec![start("3")]).unwrap();
    assert_eq!(rows_that_warn(&world, &arn), [4], "once, also for a process that did not see it");
}

#[test]
fn callbacks_that_may_wait_for_ever_and_large_payloads() {
    let world = World::new();
    let mut worker = world.begin();
    let arn = worker.arn.clone();
    let large = |bytes: usize| "x".repeat((256 << 10) + bytes);
    worker.checkpoint(vec![callback("1", 1, 0), callback("2", 0, 1), succeed("3", &large(0))]).unwrap();
    assert_eq!(warned(&world, &arn), []);
    worker.checkpoint(vec![callback("4", 0, 0), callback("5", 0, 0)]).unwrap();
    worker.checkpoint(vec![start("6"), succeed("6", &large(1)), succeed("7", &large(1))]).unwrap();
    let expected = [(Warning::CallbackWithoutTimeout, Some("4".into())), (Warning::LargePayload, Some("6".into()))];
    assert_eq!(warned(&world, &arn), expected);
    assert_eq!(rows_that_warn(&world, &arn), [2, 3]);
    let Event::Warned { .. } = world.rows(&arn)[2].events[1] else { panic!("behind its START") };

    // A callback's result.
    let world = World::new();
    let mut worker = world.begin();
    let id = worker.checkpoint(vec![callback("1", 9, 0)]).unwrap()[0].callback.clone().unwrap().callback_id;
    world.service.complete_callback(&id, Ok(Some(large(1)))).unwrap();
    assert_eq!(warned(&world, &worker.arn), [(Warning::LargePayload, Some("1".into()))]);
}

#[test]
fn what_the_start_gives_reason_for_stands_in_the_first_row_after_it() {
    let long = |synchronous, seconds| ExecutionConfig {
        synchronous,
        execution_timeout_seconds: seconds,
        ..Default::default()
    };
    let both = vec![(Warning::Latest, None), (Warning::SynchronousStart, None)];
    for (version, config, expected) in
        [("1", long(true, 900), vec![]), ("1", long(false, 901), vec![]), ("$LATEST", long(true, 901), both.clone())]
    {
        let mut world = World::new();
        let arn = start_with(&world, config, version);
        let mut worker = world.run(&arn);
        worker.checkpoint(vec![]).unwrap();
        assert_eq!(world.rows(&arn).len(), 1, "a warning alone is no reason for a row");
        worker.checkpoint(vec![start("1")]).unwrap();
        worker.checkpoint(vec![start("2")]).unwrap();
        assert_eq!(warned(&world, &arn), expected);
        assert_eq!(rows_that_warn(&world, &arn), if expected.is_empty() { vec![] } else { vec![1] });
        world.crash();
        world.run(&arn).checkpoint(vec![start("3")]).unwrap();
        assert_eq!(warned(&world, &arn), expected);
        assert_eq!(world.history(&arn)[..3], ["ExecutionStarted", "StepStarted", "StepStarted"]);
    }
    // Whatever the first row is.
    type First<'a> = &'a dyn Fn(&mut World, &ExecutionArn);
    let firsts: [First<'_>; 3] = [
        &|world, arn| {
            world.service.stop(arn, None).unwrap();
        },
        &|world, arn| {
            world.run(arn).end(InvocationOutput::Succeeded(None));
        },
        &|world, arn| {
            world.run(arn);
            world.crash();
            world.run(arn);
        },
    ];
    for first in firsts {
        let mut world = World::new();
        let arn = start_with(&world, long(true, 901), "$LATEST");
        first(&mut world, &arn);
        assert_eq!(warned(&world, &arn), both);
        let row = &world.rows(&arn)[1];
        assert!(matches!(row.events[..2], [Event::Warned { .. }, Event::Warned { .. }]));
    }
}

#[test]
fn a_warning_says_what_and_what_to_do_and_costs_nothing() {
    let all = [
        Warning::Operations,
        Warning::Written,
        Warning::CallbackWithoutTimeout,
        Warning::LargePayload,
        Warning::Latest,
        Warning::SynchronousStart,
    ];
    for warning in all {
        let text = warning.to_string();
        assert!(text.len() > 60 && text.contains(';') && !text.ends_with('.'), "{text}");
        assert_eq!(Event::Warned { warning, operation: None }.written_bytes(), 0);
    }
    assert_eq!(
        Warning::LargePayload.to_string(),
        "a payload is larger than 256 KiB and is read with every replay; store the data in a step and return a reference"
    );
}
