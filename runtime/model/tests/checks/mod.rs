//! What must hold for every program. Each check runs the model and says what is wrong.

use everstep_model::log::{Event, Millis, SLEEP, Status, What};
use everstep_model::program::{Callback, Deed};
use everstep_model::{
    Interruption, Log, Observed, Outcome, Program, Run, Script, Statement, Stop, Trace, replay, resume, run,
};
use std::collections::BTreeSet;

pub(crate) type Check = fn(&Program, &Script) -> Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => { if !$holds { return Err(format!($($message)*)); } };
}

fn finished(program: &Program, script: &Script) -> Result<Run, String> {
    let run = run(program, script);
    ensure!(run.stop == Stop::Ended, "the execution did not end: {:?}", run.stop);
    Ok(run)
}

/// No wait is left running, ids and times only grow, the clock never goes back, and what is at most once is.
pub(crate) fn log_is_sound(program: &Program, script: &Script) -> Result<(), String> {
    let run = finished(program, script)?;
    let clock = |observed: &Observed| if let Observed::Clock(micros) = observed { Some(*micros) } else { None };
    let clocks: Vec<u64> = run.trace.0.iter().filter_map(clock).collect();
    ensure!(clocks.is_sorted_by(|a, b| a < b), "the clock goes back: {clocks:?}");
    let mut next_event = 1;
    for row in run.log.transitions() {
        ensure!(row.first_event == next_event, "row {row:?} should begin with event {next_event}");
        next_event += row.events.iter().filter(|event| event.in_history().is_some()).count() as u64;
    }
    ensure!(run.log.transitions().is_sorted_by_key(|row| row.at), "the log's times go back");
    for (id, operation) in run.log.operations() {
        let open = operation.status == Status::Started;
        ensure!(!(open && matches!(operation.what, What::Wait { .. })), "wait {id} was dropped and still runs");
    }
    bodies_ran_as_promised(&run)
}

/// No body ran again whose outcome was known, and under at-most-once none started twice at all.
fn bodies_ran_as_promised(run: &Run) -> Result<(), String> {
    let mut once = BTreeSet::new();
    for body in &run.bodies {
        ensure!(!body.finished_before, "the body of a finished attempt ran again: {body:?}");
        let first = once.insert((&body.id, body.attempt));
        ensure!(first || !body.at_most_once, "a body that may run at most once ran twice: {body:?}");
    }
    Ok(())
}

/// (a) A replay of the whole log, and every invocation along the way, sees what the last invocation saw.
pub(crate) fn replay_sees_the_same(program: &Program, script: &Script) -> Result<(), String> {
    let run = finished(program, script)?;
    for (number, seen) in run.invocations.iter().enumerate() {
        ensure!(seen.is_prefix_of(&run.trace), "invocation {number} saw {seen:?}, the last one {:?}", run.trace);
    }
    let (seen, stop) = replay(program, &run.log, script);
    ensure!(stop == Stop::Ended, "the replay stopped: {stop:?}");
    ensure!(seen == run.trace, "live {:?}, replayed {seen:?}", run.trace);
    let json: Option<Trace> = run.result.as_deref().and_then(|result| serde_json::from_str(result).ok());
    ensure!(json.as_ref() == Some(&run.trace), "the result {:?} is not the trace", run.result);
    Ok(())
}

/// The log without invocations' ends: what a crash must not change.
fn essence(log: &Log) -> Vec<(Millis, Vec<Event>)> {
    let rows = log.transitions().iter().map(|row| {
        let events =
            row.events.iter().filter(|event| !matches!(event, Event::InvocationCompleted(_))).cloned().collect();
        (row.at, events)
    });
    rows.filter(|(_, events): &(_, Vec<Event>)| !events.is_empty()).collect()
}

/// `other`, which crashed, is the run that the script without crashes gives. An attempt whose START was recorded when
/// its process died (always, under at-most-once) counts as one whose body trapped; otherwise a crash interrupts nothing.
fn same_run(program: &Program, script: &Script, clean: &Run, other: &Run, how: &str) -> Result<(), String> {
    ensure!(other.stop == Stop::Ended, "{how}: did not end: {:?}", other.stop);
    let trapped =
        (!other.orphans.is_empty()).then(|| run(program, &Script { traps: other.orphans.clone(), ..script.clone() }));
    let expected = trapped.as_ref().unwrap_or(clean);
    for attempt in &other.interruptions {
        let expected = attempt.at_most_once || expected.interruptions.contains(attempt);
        ensure!(expected, "{how}: counts as interrupted, and should have run again: {attempt:?}");
    }
    ensure!(other.trace == expected.trace, "{how}: saw {:?} instead of {:?}", other.trace, expected.trace);
    let (theirs, ours) = (essence(&other.log), essence(&expected.log));
    ensure!(theirs == ours, "{how}: recorded {theirs:#?} instead of {ours:#?}");
    for (number, seen) in other.invocations.iter().enumerate() {
        ensure!(seen.is_prefix_of(&other.trace), "{how}: invocation {number} saw {seen:?}, then {:?}", other.trace);
    }
    bodies_ran_as_promised(other).map_err(|why| format!("{how}: {why}"))
}

/// (b) A log cut off behind any row replays to a prefix of the trace, and goes on to the same end.
pub(crate) fn every_prefix_goes_on_alike(program: &Program, script: &Script) -> Result<(), String> {
    let clean = finished(program, script)?;
    (1..clean.log.transitions().len()).try_for_each(|cut| goes_on_alike(program, script, &clean, cut))
}

fn goes_on_alike(program: &Program, script: &Script, clean: &Run, cut: usize) -> Result<(), String> {
    let rows = clean.log.transitions();
    let prefix = Log::read(&rows[..cut]);
    let how = format!("cut behind row {cut} of {}", rows.len());
    let (seen, stop) = replay(program, &prefix, script);
    ensure!(stop == Stop::EndOfLog, "{how}: the replay stopped: {stop:?}");
    ensure!(seen.is_prefix_of(&clean.trace), "{how}: replayed {seen:?} instead of {:?}", clean.trace);
    let mut resumed = resume(program, prefix.clone(), script);
    resumed.orphans.extend(prefix.open_attempts());
    // What the prefix holds was told to the run that wrote it.
    let told =
        |past: &&Interruption| prefix.operation(&past.id).is_some_and(|step| step.finished_attempts >= past.attempt);
    resumed.interruptions.extend(clean.interruptions.iter().filter(told).cloned());
    same_run(program, script, clean, &resumed, &how)
}

/// (c) A process that is killed at any moment, or again and again, and resumed, comes to the same end.
pub(crate) fn kills_change_nothing(program: &Program, script: &Script) -> Result<(), String> {
    let clean = finished(program, script)?;
    for (kill, moment) in clean.moments.iter().enumerate() {
        let killed = run(program, &Script { kills: BTreeSet::from([kill as u64]), ..script.clone() });
        same_run(program, script, &clean, &killed, &format!("killed at moment {kill}, {moment:?}"))?;
    }
    for stride in [2, 3, 5] {
        let kills = (0..400).filter(|moment| moment % stride == stride - 1).collect();
        let killed = run(program, &Script { kills, ..script.clone() });
        same_run(program, script, &clean, &killed, &format!("killed at every moment that is {stride}'s"))?;
    }
    Ok(())
}

/// (b) and (c) at one place each, which the program's number decides.
pub(crate) fn stops_change_nothing(program: &Program, script: &Script) -> Result<(), String> {
    let clean = finished(program, script)?;
    let (moments, rows) = (clean.moments.len() as u64, clean.log.transitions().len() as u64);
    let chosen = |salt: u64, of: u64| everstep_model::random(script.seed, salt) % of.max(1);
    let kill = chosen(1, moments);
    let killed = run(program, &Script { kills: BTreeSet::from([kill]), ..script.clone() });
    same_run(program, script, &clean, &killed, &format!("killed at moment {kill}"))?;
    goes_on_alike(program, script, &clean, 1 + chosen(2, rows - 1) as usize)
}

/// (e) What comes from outside while an invocation runs, and a process that is killed besides: every invocation sees the
/// beginning of what the last one saw, and so does a replay. (Which comes first may depend on the kill.)
pub(crate) fn the_outside_does_not_wait(program: &Program, script: &Script) -> Result<(), String> {
    let script = Script { meanwhile: true, ..script.clone() };
    replay_sees_the_same(program, &script)?;
    let moments = finished(program, &script)?.moments.len() as u64;
    let kills = (0..moments).step_by(1 + moments as usize / 6).map(|kill| BTreeSet::from([kill]));
    let often = (0..400).filter(|moment| moment % 3 == 2).collect();
    for kills in kills.chain([often]) {
        replay_sees_the_same(program, &Script { kills: kills.clone(), ..script.clone() })
            .map_err(|why| format!("killed at {kills:?}: {why}"))?;
        bodies_ran_as_promised(&run(program, &Script { kills, ..script.clone() }))?;
    }
    Ok(())
}

/// (d) A log does not replay against a program that was renamed, shortened, lengthened or reordered somewhere in what
/// is recorded.
pub(crate) fn changed_programs_are_found_out(program: &Program, script: &Script) -> Result<(), String> {
    let clean = finished(program, script)?;
    for (how, changed) in (0..program.0.len()).flat_map(|place| changes(program, place, script)) {
        let (seen, stop) = replay(&changed, &clean.log, script);
        // The first of two equal steps that both end the program may go: nobody could tell.
        let same = how.starts_with("removed") && stop == Stop::Ended && seen == clean.trace;
        ensure!(same || matches!(stop, Stop::Diverged(_)), "{how}: {stop:?}, and {changed:?} is not what was recorded");
    }
    Ok(())
}

/// Changes at one statement of the program, if it got there.
fn changes(program: &Program, place: usize, script: &Script) -> Vec<(String, Program)> {
    if !gets_to(program, place, script) {
        return Vec::new();
    }
    let mut changed = Vec::new();
    let mut change = |how: &str, edit: &dyn Fn(&mut Vec<Statement>)| {
        let mut statements = program.0.clone();
        edit(&mut statements);
        changed.push((format!("{how} at statement {place}"), Program(statements)));
    };
    let added = Statement::Step { name: "added".into(), attempts: vec![Outcome::Succeed(0)], at_most_once: false };
    change("added", &|statements| statements.insert(place, added.clone()));
    if let Some(what) = begins(&program.0[place]) {
        change("removed", &|statements| drop(statements.remove(place)));
        change("renamed", &|statements| match &mut statements[place] {
            Statement::Step { name, .. }
            | Statement::Child { name, .. }
            | Statement::Condition { name, .. }
            | Statement::Batch { name, .. }
            | Statement::Combine { name, .. }
            | Statement::Retry { name, .. } => name.push('x'),
            Statement::Wait { seconds } => *seconds += 1,
            Statement::Callback(callback) => callback.heartbeat += 1,
            Statement::Submit { callback, .. } => callback.outside.0.push((1, Deed::Fail)),
            Statement::Invoke { outside, .. } => outside.0.push((1, Deed::Fail)),
            _ => drop(statements.remove(place)),
        });
        let next = program.0.get(place + 1).and_then(begins);
        if next.is_some_and(|next| next != what) && gets_to(program, place + 1, script) {
            change("swapped", &|statements| statements.swap(place, place + 1));
        }
    }
    changed
}

/// What a plain statement begins.
fn begins(statement: &Statement) -> Option<What> {
    match statement {
        Statement::Step { name, .. } => Some(What::Step(name.clone())),
        Statement::Wait { seconds } => Some(What::Wait { name: None, seconds: *seconds }),
        Statement::Child { name, .. }
        | Statement::Batch { name, .. }
        | Statement::Combine { name, .. }
        | Statement::Retry { name, .. } => Some(What::Context(name.clone())),
        Statement::Submit { callback, .. } => Some(What::Context(callback.outside.name())),
        Statement::Condition { name, .. } => Some(What::Condition(name.clone())),
        Statement::Callback(Callback { timeout, heartbeat, outside }) => {
            Some(What::Callback { name: Some(outside.name()), timeout: *timeout, heartbeat: *heartbeat })
        }
        Statement::Invoke { target, outside } => {
            Some(What::Invoke { name: outside.name(), function: target.function().into() })
        }
        Statement::Sleep { millis: 1.. } => Some(What::Step(SLEEP.into())),
        _ => None,
    }
}

/// Whether the program runs its statement `place`: neither an error nor a `Return` ends it before.
fn gets_to(program: &Program, place: usize, script: &Script) -> bool {
    let mark = || "got here".to_owned();
    let mut statements = program.0[..place].to_vec();
    statements.push(Statement::Print(mark()));
    let short = run(&Program(statements), &Script { bug: None, ..script.clone() });
    short.trace.0.contains(&Observed::Printed(mark()))
}
