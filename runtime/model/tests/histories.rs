//! A few programs, with what they record and see, as a specification to read.

use everstep_model::{Moment, Program, Run, Script, Stop, replay, run, run_live};

fn program(json: &str) -> Program {
    serde_json::from_str(json).unwrap()
}

/// `StepStarted 1, StepSucceeded 1, ...`, without the execution's own start and end.
fn history(run: &Run) -> String {
    let events = run.history();
    let text = events[1..events.len() - 2].iter().map(|event| match &event.id {
        Some(id) => format!("{} {id}", event.event),
        None => event.event.to_owned(),
    });
    text.collect::<Vec<_>>().join(", ")
}

fn trace(run: &Run) -> &str {
    run.result.as_deref().unwrap()
}

#[test]
fn a_step_a_wait_and_a_suspension() {
    let run = run_live(&program(r#"[{"step":{"name":"a","attempts":[{"succeed":7}]}},{"wait":{"seconds":3}}]"#), 1);
    let events: Vec<_> = run.history().iter().map(|event| event.event).collect();
    let expected = "ExecutionStarted StepStarted StepSucceeded WaitStarted InvocationCompleted WaitSucceeded \
                    InvocationCompleted ExecutionSucceeded";
    assert_eq!(events.join(" "), expected);
    assert_eq!(trace(&run), r#"[{"step":{"name":"a","end":{"value":7}}},{"waited":3},{"ended":{"value":7}}]"#);
}

#[test]
fn a_retried_step_overlaps_with_a_child_and_the_context_s_start_rides_along() {
    let run = run_live(
        &program(
            r#"[{"join":[
                [{"step":{"name":"a","attempts":[{"fail":{"error":"busy","retry_seconds":2}},{"give_up":"no"}]}}],
                [{"child":{"name":"c","body":[{"wait":{"seconds":1}},{"step":{"name":"b","attempts":[{"succeed":5}]}}]}}]
            ]}]"#,
        ),
        1,
    );
    assert_eq!(
        history(&run),
        "ContextStarted 2, WaitStarted 2-1, StepStarted 1, StepFailed 1, InvocationCompleted, WaitSucceeded 2-1, \
         StepStarted 2-2, StepSucceeded 2-2, ContextSucceeded 2, InvocationCompleted, StepStarted 1, StepFailed 1"
    );
    assert_eq!(
        trace(&run),
        r#"[{"waited":1},{"step":{"name":"b","end":{"value":5}}},{"child":{"name":"c","end":{"value":5}}},"#.to_owned()
            + r#"{"step":{"name":"a","end":{"error":"no"}}},{"joined":[{"error":"no"},{"value":5}]},{"ended":{"value":5}}]"#
    );
}

#[test]
fn a_lost_race_is_a_recorded_cancellation() {
    let source =
        r#"[{"select":[[{"wait":{"seconds":9}}],[{"step":{"name":"a","attempts":[{"succeed":1}]}}]]},"read_clock"]"#;
    let run = run_live(&program(source), 1);
    assert_eq!(history(&run), "WaitStarted 1, StepStarted 2, StepSucceeded 2, WaitCancelled 1");
    // Started at 1767225600000 ms; the wait's START at +7, the step's outcome at +14; the read moves the clock by 1 us.
    assert_eq!(
        trace(&run),
        r#"[{"step":{"name":"a","end":{"value":1}}},{"selected":{"branch":1,"end":{"value":1}}},"#.to_owned()
            + r#"{"clock":1767225600014001},{"ended":{"value":1}}]"#
    );
}

#[test]
fn a_blocking_sleep_overtakes_and_the_clock_does_not_go_back() {
    let source = r#"[{"join":[[{"wait":{"seconds":1}},"read_clock"],[{"sleep":{"millis":1500}},"read_clock"]]},
                     {"sleep":{"millis":20}},"read_clock"]"#;
    let run = run_live(&program(source), 1);
    assert_eq!(
        history(&run),
        "WaitStarted 1, WaitStarted 2, InvocationCompleted, WaitSucceeded 1, InvocationCompleted, WaitSucceeded 2, \
         StepStarted 3, StepSucceeded 3"
    );
    assert_eq!(
        trace(&run),
        r#"[{"slept":1500},{"clock":1767225602007001},{"waited":1},{"clock":1767225602007002},"#.to_owned()
            + r#"{"joined":[{"value":0},{"value":0}]},{"slept":20},{"clock":1767225602027004},{"ended":{"value":0}}]"#
    );
}

#[test]
fn an_at_most_once_body_whose_process_died_is_not_started_again() {
    let body = |once: &str| {
        let attempts = r#"[{"succeed":1},{"succeed":2}]"#;
        program(&format!(r#"[{{"step":{{"name":"a","attempts":{attempts},"at_most_once":{once}}}}}]"#))
    };
    let in_body = |program: &Program| {
        let moments = run_live(program, 1).moments;
        let kill = moments.iter().position(|moment| *moment == Moment::InBody).unwrap();
        run(program, &Script { kills: [kill as u64].into(), ..Script::new(1) })
    };
    let once = in_body(&body("true"));
    assert_eq!(
        history(&once),
        "StepStarted 1, InvocationCompleted, StepFailed 1, InvocationCompleted, StepStarted 1, StepSucceeded 1"
    );
    assert_eq!(trace(&once), r#"[{"step":{"name":"a","end":{"value":2}}},{"ended":{"value":2}}]"#);

    let again = in_body(&body("false"));
    assert_eq!(history(&again), "InvocationCompleted, StepStarted 1, StepSucceeded 1");
    assert_eq!(trace(&again), r#"[{"step":{"name":"a","end":{"value":1}}},{"ended":{"value":1}}]"#);
}

#[test]
fn a_trap_records_the_attempt_s_start_and_counts_as_interrupted() {
    let run = run_live(&program(r#"[{"step":{"name":"a","attempts":["trap"]}}]"#), 1);
    assert_eq!(history(&run), "StepStarted 1, InvocationCompleted, StepFailed 1");
    assert_eq!(
        trace(&run),
        r#"[{"step":{"name":"a","end":{"error":"StepInterruptedError"}}},{"ended":{"error":"StepInterruptedError"}}]"#
    );
}

#[test]
fn a_divergence_says_what_is_recorded_and_what_was_requested() {
    let recorded = run_live(&program(r#"[{"step":{"name":"charge","attempts":[{"succeed":1}]}}]"#), 1);
    let changed = program(r#"[{"wait":{"seconds":5}}]"#);
    let (_, stop) = replay(&changed, &recorded.log, &Script::new(1));
    let expected = "operation 1: recorded Step(\"charge\"), requested Wait { name: None, seconds: 5 }; run the program that was recorded";
    assert_eq!(stop, Stop::Diverged(expected.into()));
}
