//! The model keeps its promises, and the checks have teeth.
//!
//! A failure prints its seed and the smallest program found: `EVERSTEP_SEED=<seed> cargo test -p everstep-model` runs
//! that program alone.

mod checks;

use everstep_model::generate::{program, smallest_failing};
use everstep_model::{Bug, Program, Script, run};
use std::collections::BTreeSet;

/// How many programs each check is tried on.
const PROGRAMS: u64 = 1000;

/// Programs are numbered, and a number determines the rest of the run as well. Slow checkpoints let timers come due
/// while steps run.
fn script(seed: u64) -> Script {
    Script { tick: [7, 350, 1100][seed as usize % 3], ..Script::new(seed) }
}

fn holds(check: checks::Check) {
    let seeds = match std::env::var("EVERSTEP_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..PROGRAMS,
    };
    for seed in seeds {
        if let Some((program, why)) = smallest_failing(seed, |program| check(program, &script(seed))) {
            panic!("EVERSTEP_SEED={seed}: {why}\nprogram: {}", serde_json::to_string(&program).unwrap());
        }
    }
}

#[test]
fn the_log_is_sound() {
    holds(checks::log_is_sound);
}

#[test]
fn a_replay_sees_what_the_live_run_saw() {
    holds(checks::replay_sees_the_same);
}

#[test]
fn every_prefix_of_the_log_goes_on_alike() {
    holds(checks::every_prefix_goes_on_alike);
}

#[test]
fn a_kill_at_any_moment_changes_nothing() {
    holds(checks::kills_change_nothing);
}

#[test]
fn a_changed_program_is_found_out() {
    holds(checks::changed_programs_are_found_out);
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
        let noticed = (0..PROGRAMS).find_map(|seed| Some((seed, check(&program(seed), &buggy(seed)).err()?)));
        let (seed, why) = noticed.unwrap_or_else(|| panic!("{bug:?} is not noticed on any of {PROGRAMS} programs"));
        println!("{bug:?}: EVERSTEP_SEED={seed}: {why}");
    }
}

/// The generated programs get everywhere; otherwise the checks above would say little.
#[test]
fn programs_get_everywhere() {
    let runs: Vec<_> = (0..PROGRAMS).map(|seed| run(&program(seed), &script(seed))).collect();
    let events: BTreeSet<_> = runs.iter().flat_map(|run| run.history()).map(|event| event.event).collect();
    let all = "ContextFailed ContextStarted ContextSucceeded ExecutionStarted ExecutionSucceeded InvocationCompleted \
               StepFailed StepStarted StepSucceeded WaitCancelled WaitStarted WaitSucceeded";
    assert_eq!(events.into_iter().collect::<Vec<_>>().join(" "), all);
    let many = |what: &str, is: &dyn Fn(&everstep_model::Run) -> bool| {
        let count = runs.iter().filter(|run| is(run)).count();
        assert!(count as u64 > PROGRAMS / 50, "only {count} of {PROGRAMS} programs have {what}");
    };
    many("four invocations", &|run| run.invocations.len() >= 4);
    many("an interrupted attempt", &|run| !run.interruptions.is_empty());
    many("completions out of the order of their operations", &|run| !run.log.completions().is_sorted());
    many("a second attempt", &|run| run.bodies.iter().any(|body| body.attempt == 2));
}

#[test]
fn programs_read_back_from_json() {
    for seed in 0..PROGRAMS {
        let json = serde_json::to_string(&program(seed)).unwrap();
        assert_eq!(serde_json::from_str::<Program>(&json).unwrap(), program(seed), "{json}");
    }
}
