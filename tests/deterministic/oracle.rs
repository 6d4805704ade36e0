//! The executable model as the oracle: the real host runs the model's programs, and must see and record what the model
//! says, to the letter and the microsecond, also when its process dies anywhere.
//!
//! A failure prints its seed and the smallest program found; `EVERSTEP_SEED=<seed>` runs that program alone,
//! `EVERSTEP_CHAOS_SECONDS=<n>` others for so long, each test.

use crate::in_process::{Death, Dying, Ended, SlowTime};
use crate::outside::{KEY, Process};
use everstep_core::protocol::ExecutionArn;
use everstep_core::store::memory::MemoryStore;
use everstep_model::generate::{program, smallest_failing};
use everstep_model::log::Event;
use everstep_model::{Bug, Moment, Observed, Program, Run, Script, Stop, Trace, run};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Programs that are run undisturbed.
const PROGRAMS: u64 = 10_000;
/// Programs on which mistakes are to be noticed.
const MISTAKEN: u64 = 240;
/// Programs that are run again for every append that they make, with the process dying there.
const KILLED: u64 = 40;

/// As the real service is; slow checkpoints let timers come due while steps run. In half of the programs what is done
/// from outside waits until the execution is at rest.
fn script(seed: u64) -> Script {
    let (tick, meanwhile) = ([7, 350, 1100][seed as usize % 3], seed % 2 == 1);
    Script { tick, failures_wait: true, meanwhile, ..Script::new(seed) }
}

/// An event that lasts: its time, its name and its operation.
type Line = (u64, &'static str, Option<String>);

/// What the real host and the model must agree on.
#[derive(Debug, PartialEq)]
struct Seen {
    trace: Trace,
    history: Vec<Line>,
}

/// The model's generator is another one: random numbers are zeroed, clocks are not.
fn without_chance(trace: &Trace) -> Trace {
    let blank = |observed: &Observed| match observed {
        Observed::Random(_) => Observed::Random(0),
        other => other.clone(),
    };
    Trace(trace.0.iter().map(blank).collect())
}

fn modelled(run: &Run, with_invocations: bool) -> Seen {
    let kept = |event: &&Event| with_invocations || !matches!(event, Event::InvocationCompleted(_));
    let lines = run.log.transitions().iter().flat_map(|row| {
        row.events.iter().filter(kept).filter_map(|event| event.in_history()).map(|line| (row.at, line.event, line.id))
    });
    Seen { trace: without_chance(&run.trace), history: lines.collect() }
}

fn real(ended: &Ended, with_invocations: bool) -> Result<Seen, String> {
    let trace: Trace = serde_json::from_str(ended.result()?).map_err(|error| error.to_string())?;
    let numbered = ended.history.iter().zip(1..).all(|(event, number)| event.event_id == number);
    if !numbered {
        return Err("event ids have gaps".into());
    }
    let kept = ended.history.iter().filter(|event| with_invocations || event.event_type() != "InvocationCompleted");
    let lines = kept.map(|event| {
        let name = event.event_type();
        let of_execution = name.starts_with("Execution");
        let id = event.subject.as_ref().filter(|_| !of_execution).map(|subject| subject.id.clone());
        (event.at.0 as u64, name, id)
    });
    Ok(Seen { trace: without_chance(&trace), history: lines.collect() })
}

fn same(how: &str, real: &Seen, model: &Seen) -> Result<(), String> {
    if let Some(at) =
        (0..real.history.len().max(model.history.len())).find(|at| real.history.get(*at) != model.history.get(*at))
    {
        let listed = |seen: &Seen| {
            let line = |(time, name, id): &Line| {
                format!("  +{} {name} {}", time - seen.history[0].0, id.as_deref().unwrap_or_default())
            };
            seen.history.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        return Err(format!("{how}: event {at} differs\nreal:\n{}\nmodel:\n{}", listed(real), listed(model)));
    }
    match real.trace == model.trace {
        true => Ok(()),
        false => Err(format!("{how}: saw {:?}, by the model {:?}", real.trace, model.trace)),
    }
}

fn finished(program: &Program, script: &Script) -> Result<Run, String> {
    let run = run(program, script);
    match run.stop {
        Stop::Ended => Ok(run),
        stop => Err(format!("the model does not end: {stop:?}")),
    }
}

/// One run without crashes on the real host: all that is recorded, invocations included, and all that the program saw.
fn live(program: &Program, script: &Script) -> Result<Seen, String> {
    let input = serde_json::to_string(program).map_err(|error| error.to_string())?;
    let process =
        Process::new(Arc::new(MemoryStore::new()), Arc::new(SlowTime::ticking(script.tick)), script.meanwhile);
    let arn = process.start(&input, script.seed).map_err(|error| error.to_string())?;
    real(&finish(&process, &arn)?, true)
}

fn finish(process: &Arc<Process>, arn: &ExecutionArn) -> Result<Ended, String> {
    let (description, history) = process.finish(arn)?;
    Ok(Ended { description, history })
}

fn undisturbed(program: &Program, script: &Script) -> Result<(), String> {
    same("undisturbed", &live(program, script)?, &modelled(&finished(program, script)?, true))
}

/// The process dies at every append, before and after it is in the log, and another one goes on: as the model does when
/// it is killed there. Answers how often.
fn killed_everywhere(program: &Program, script: &Script) -> Result<u64, String> {
    let clean = finished(program, script)?;
    let input = serde_json::to_string(program).map_err(|error| error.to_string())?;
    let mut deaths = 0;
    for (how, moment) in
        [(Death::BeforeCommit, Moment::BeforeCommit), (Death::AfterCommit, Moment::BeforeAcknowledgement)]
    {
        let moments = clean.moments.iter().zip(0..).filter(|(at, _)| **at == moment).map(|(_, number)| number);
        for (kill, append) in moments.zip(1..) {
            let at = format!("killed at append {append}, {how:?}");
            let killed = finished(program, &Script { kills: [kill].into(), ..script.clone() })?;
            let store = Arc::new(MemoryStore::new());
            let dying = Arc::new(Dying::at(store.clone(), append, how).counting(KEY));
            let time = Arc::new(SlowTime::ticking(script.tick));
            let process = Process::new(dying.clone(), time.clone(), script.meanwhile);
            let arn = process.start(&input, script.seed).map_err(|error| error.to_string())?;
            let died = finish(&process, &arn);
            if !dying.is_dead() {
                return Err(format!("{at}: did not get there: {died:?}"));
            }
            if let Ok(ended) = died {
                return Err(format!("{at}: ended although its store was dead: {ended:?}"));
            }
            // No time passes for an execution that is at work; one at rest goes on at the same time.
            let time = if process.is_running() { Arc::new(SlowTime::ticking(script.tick)) } else { time };
            drop(process);
            store.reopen();
            let next = Process::new(store, time, script.meanwhile);
            let ended = finish(&next, &arn).map_err(|why| format!("{at}: {why}"))?;
            same(&at, &real(&ended, false).map_err(|why| format!("{at}: {why}"))?, &modelled(&killed, false))?;
            deaths += 1;
        }
    }
    Ok(deaths)
}

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{variable} is {given:?}; give a number")))
}

fn holds(what: &str, programs: u64, check: impl Fn(&Program, &Script) -> Result<(), String> + Sync) {
    let begun = Instant::now();
    let deadline = number("EVERSTEP_CHAOS_SECONDS").map(|seconds| begun + Duration::from_secs(seconds));
    let seeds = match (number("EVERSTEP_SEED"), deadline) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => PROGRAMS..u64::MAX,
        (None, None) => 0..programs,
    };
    let (next, tried) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let try_programs = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || deadline.is_some_and(|deadline| Instant::now() > deadline) {
                break;
            }
            if let Some((program, why)) = smallest_failing(seed, |program| check(program, &script(seed))) {
                panic!("EVERSTEP_SEED={seed}: {why}\nprogram: {}", serde_json::to_string(&program).unwrap());
            }
            tried.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(try_programs);
        }
    });
    let tried = tried.into_inner();
    // Past the test's captured output, so that it is seen when all is well.
    let _ = writeln!(std::io::stderr(), "\n{what}: {tried} programs in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn the_host_sees_and_records_what_the_model_does() {
    holds("undisturbed", PROGRAMS, undisturbed);
}

/// The comparison has teeth: a host with a mistake differs on some program. (The other mistakes show only in replays
/// and crashes, or in random numbers.)
#[test]
fn a_mistake_in_a_host_is_noticed_and_the_programs_get_everywhere() {
    let mut unnoticed = vec![
        Bug::MemoryNotRestored,
        Bug::WallClock,
        Bug::ClockGoesBack,
        Bug::DropCancel,
        Bug::StartWithOutcome,
        Bug::ForgetRiders,
        Bug::DeliverBeforeCommit,
        Bug::RerunInterrupted,
    ];
    let mut events = BTreeSet::new();
    for seed in 0..MISTAKEN {
        let (program, script) = (program(seed), script(seed));
        let live = live(&program, &script).unwrap();
        events.extend(live.history.iter().map(|line| line.1));
        let differs = |bug: &Bug| {
            let buggy = run(&program, &Script { bug: Some(*bug), ..script.clone() });
            same("", &live, &modelled(&buggy, true)).is_err()
        };
        unnoticed.retain(|bug| !differs(bug));
    }
    assert_eq!(unnoticed, []);
    let all = "CallbackFailed CallbackStarted CallbackSucceeded CallbackTimedOut ChainedInvokeFailed \
               ChainedInvokeStarted ChainedInvokeStopped ChainedInvokeSucceeded ChainedInvokeTimedOut ContextFailed \
               ContextStarted ContextSucceeded ExecutionStarted ExecutionSucceeded InvocationCompleted StepFailed \
               StepStarted StepSucceeded WaitCancelled WaitStarted WaitSucceeded";
    assert_eq!(events.into_iter().collect::<Vec<_>>().join(" "), all);
}

#[test]
fn a_process_that_dies_at_any_append_is_followed_by_what_the_model_says() {
    let deaths = AtomicU64::new(0);
    holds("killed at every append", KILLED, |program, script| {
        deaths.fetch_add(killed_everywhere(program, script)?, Ordering::Relaxed);
        Ok(())
    });
    let _ = writeln!(std::io::stderr(), "{deaths:?} deaths");
}
