//! The model keeps its promises, and the checks have teeth.
//!
//! A failure prints its seed and the smallest program found: `EVERSTEP_SEED=<seed> cargo test -p everstep-model` runs
//! that program alone, `EVERSTEP_CHAOS_SECONDS=<n>` others for so long, each check.

mod checks;

use everstep_model::generate::{program, smallest_failing};
use everstep_model::{Bug, Observed, Program, Script, run};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many programs each check is tried on.
const PROGRAMS: u64 = 10_000;
/// How many a check is tried on that runs each of them dozens of times.
const SOME: u64 = 300;

/// Programs are numbered, and a number determines the rest of the run as well. Slow checkpoints let timers come due
/// while steps run.
fn script(seed: u64) -> Script {
    Script { tick: [7, 350, 1100][seed as usize % 3], ..Script::new(seed) }
}

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{variable} is {given:?}; give a number")))
}

/// The check on these programs, on all cores, as many as there are before the deadline. The first that fails panics.
fn all(seeds: Range<u64>, deadline: Option<Instant>, check: checks::Check) -> u64 {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            if check(&program(seed), &script(seed)).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| _ = scope.spawn(work)));
    let seed = failed.load(Ordering::Relaxed);
    if seed < u64::MAX {
        let smallest = smallest_failing(seed, |program| check(program, &script(seed)));
        let (program, why) = smallest.expect("a check is a function of the program and the script");
        panic!("EVERSTEP_SEED={seed}: {why}\nprogram: {}", serde_json::to_string(&program).unwrap());
    }
    next.load(Ordering::Relaxed).min(seeds.end) - seeds.start
}

fn holds(what: &str, programs: u64, check: checks::Check) {
    let begun = Instant::now();
    let tried = match (number("EVERSTEP_SEED"), number("EVERSTEP_CHAOS_SECONDS")) {
        (Some(seed), _) => all(seed..seed + 1, None, check),
        (None, Some(seconds)) => all(programs..u64::MAX, Some(begun + Duration::from_secs(seconds)), check),
        (None, None) => all(0..programs, None, check),
    };
    // Past the test's captured output, so that it is seen when all is well.
    let _ = writeln!(std::io::stderr(), "\n{what}: {tried} programs in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn the_log_is_sound() {
    holds("the log is sound", PROGRAMS, checks::log_is_sound);
}

#[test]
fn a_replay_sees_what_the_live_run_saw() {
    holds("a replay sees what the live run saw", PROGRAMS, checks::replay_sees_the_same);
}

#[test]
fn a_program_that_is_stopped_at_random_places_goes_on_alike() {
    holds("stopped at random places", PROGRAMS, checks::stops_change_nothing);
}

#[test]
fn every_prefix_of_the_log_goes_on_alike() {
    holds("every prefix of the log goes on alike", SOME, checks::every_prefix_goes_on_alike);
}

#[test]
fn a_kill_at_any_moment_changes_nothing() {
    holds("a kill at any moment changes nothing", SOME, checks::kills_change_nothing);
}

#[test]
fn what_is_done_outside_may_come_at_any_time() {
    holds("what is done outside may come at any time", SOME, checks::the_outside_does_not_wait);
}

#[test]
fn a_changed_program_is_found_out() {
    holds("a changed program is found out", SOME, checks::changed_programs_are_found_out);
}

/// Each mistake is noticed by the check that is there for it; without the mistake the same check passes on the same
/// programs, see above.
#[test]
fn every_bug_is_noticed() {
    for bug in Bug::ALL {
        let check: checks::Check = match bug {
            Bug::DeliverBeforeCommit
            | Bug::SwapCompletions
            | Bug::RandomNotRestored
            | Bug::MemoryNotRestored
            | Bug::WallClock
            | Bug::ForgetRiders => checks::replay_sees_the_same,
            Bug::ClockGoesBack | Bug::DropCancel => checks::log_is_sound,
            Bug::RunPendingDuringReplay => checks::every_prefix_goes_on_alike,
            Bug::StartWithOutcome | Bug::RerunInterrupted => checks::kills_change_nothing,
            Bug::CompareNothing => checks::changed_programs_are_found_out,
        };
        let buggy = |seed| Script { bug: Some(bug), ..script(seed) };
        let noticed = (0..SOME).find_map(|seed| Some((seed, check(&program(seed), &buggy(seed)).err()?)));
        let (seed, why) = noticed.unwrap_or_else(|| panic!("{bug:?} is not noticed on any of {SOME} programs"));
        println!("{bug:?}: EVERSTEP_SEED={seed}: {why}");
    }
}

/// The generated programs get everywhere; otherwise the checks above would say little.
#[test]
fn programs_get_everywhere() {
    let runs: Vec<_> = (0..SOME).map(|seed| run(&program(seed), &script(seed))).collect();
    let events: BTreeSet<_> = runs.iter().flat_map(|run| run.history()).map(|event| event.event).collect();
    let all = "CallbackFailed CallbackStarted CallbackSucceeded CallbackTimedOut ChainedInvokeFailed \
               ChainedInvokeStarted ChainedInvokeStopped ChainedInvokeSucceeded ChainedInvokeTimedOut ContextFailed \
               ContextStarted ContextSucceeded ExecutionStarted ExecutionSucceeded InvocationCompleted StepFailed \
               StepStarted StepSucceeded WaitCancelled WaitStarted WaitSucceeded";
    assert_eq!(events.into_iter().collect::<Vec<_>>().join(" "), all);
    let many = |what: &str, is: &dyn Fn(&everstep_model::Run) -> bool| {
        let count = runs.iter().filter(|run| is(run)).count();
        assert!(count as u64 > SOME / 50, "only {count} of {SOME} programs have {what}");
    };
    many("four invocations", &|run| run.invocations.len() >= 4);
    many("an interrupted attempt", &|run| !run.interruptions.is_empty());
    many("completions out of the order of their operations", &|run| !run.log.completions().is_sorted());
    for reason in ["ALL_COMPLETED", "FAILURE_TOLERANCE_EXCEEDED", "MIN_SUCCESSFUL_REACHED"] {
        let so = |seen: &Observed| matches!(seen, Observed::Batched { reason: given, items, .. } if given == reason && items.len() > 1);
        many(reason, &|run| run.trace.0.iter().any(so));
    }
    many("a second attempt", &|run| run.bodies.iter().any(|body| body.attempt == 2));
}

#[test]
fn programs_read_back_from_json() {
    for seed in 0..SOME {
        let json = serde_json::to_string(&program(seed)).unwrap();
        assert_eq!(serde_json::from_str::<Program>(&json).unwrap(), program(seed), "{json}");
    }
}
