//! Every case, killed at every operation.

use crate::process::Case;
use crate::story::sweep;
use std::sync::atomic::Ordering;

const GUEST: &str = "guest-contract";

/// What a case's result depends on, so that a host which leaks that would give another one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DependsOn {
    /// Random numbers, UUIDs, hash seeds.
    Chance,
    /// What time it is, or how much of it passes.
    Time,
    /// An environment variable.
    Environment,
    /// Which run it is: the result, if nothing of that shows.
    WhichRun(&'static str),
    /// Where in memory things are.
    Addresses,
}

macro_rules! cases {
    ($($case:ident: $depends:expr),* $(,)?) => {
        /// All cases, by name.
        pub(crate) const CASES: &[(&str, DependsOn)] = &[$((stringify!($case), $depends)),*];
        $(
            #[test]
            fn $case() {
                killed_everywhere(stringify!($case), $depends);
            }
        )*
    };
}

use DependsOn::{Addresses, Chance, Environment, Time, WhichRun};

cases! {
    control_flow_by_chance: Chance,
    operations_in_map_order: Chance,
    select_over_durable_futures: Chance,
    operations_in_spawned_tasks: Chance,
    drop_across_a_suspension: WhichRun(r#"["locked","waited","unlocked","locked","waited","unlocked"]"#),
    bare_clock: Time,
    bare_uuid: Chance,
    bare_random: Chance,
    bare_environment: Environment,
    state_outside_steps: WhichRun(r#"{"saved":3,"total":60}"#),
    branch_on_time_of_day: Time,
    names_from_the_clock: Time,
    global_variables: Time,
    thread_rng: Chance,
    deadline_of_an_instant: Time,
    thread_sleep: Time,
    random_durations: Chance,
    mutation_in_a_step: WhichRun(
        r#"{"names":[[10,"total 0 0 4"],[20,"total 0 1 4"],[30,"total 0 2 4"]],"shared":1}"#
    ),
    cache_filled_in_a_step: WhichRun(r#"{"filled":[false,false]}"#),
    logging_on_replay: WhichRun(r#""logged""#),
    skipped_on_replay: WhichRun(r#"{"sent":2}"#),
    order_of_completions: Chance,
    now_or_never: WhichRun(r#"{"seen":[[[false,false],[true,false]],[[false,false],[true,false]]]}"#),
    timeout_race: Chance,
    names_from_addresses: Addresses,
    hasher_as_chance: Chance,
}

fn killed_everywhere(case: &str, depends: DependsOn) {
    let input = format!(r#"{{"case":"{case}"}}"#);
    let mut broken = Case::new(GUEST, &["--input", &input]);
    if matches!(depends, Environment) {
        broken.arguments.extend(["--env".to_owned(), "CONTRACT_FLAG=express".to_owned()]);
        // The variables of whoever resumes are other ones, and more.
        let other = ["--env", "CONTRACT_FLAG=economy", "--env", "CONTRACT_MORE=1", "--", "argument"];
        broken.resumed_with = other.map(str::to_owned).to_vec();
    }
    let (undisturbed, seen) = sweep(&broken);
    if let WhichRun(result) = depends {
        assert_eq!(undisturbed.last().result().as_deref(), Some(result), "{case}");
    }
    let (kills, suspended) = (seen.kills.load(Ordering::Relaxed), seen.suspended_in_a_wait.load(Ordering::Relaxed));
    assert!(kills >= 12, "{case}: only {kills} kills: the failpoints are not reached any more");
    assert!(suspended > 0, "{case}: never killed while it was suspended");
}

/// A case without a test would be a rule that nobody breaks.
#[test]
fn every_case_of_the_guest_is_killed() {
    let source = include_str!("../guests/contract/src/main.rs");
    let arms = source.split_once("match input.case.as_str() {").expect("the cases are the arms of a match").1;
    let arms = arms.split_once("other =>").expect("with a last arm for what is none of them").0;
    let cases = arms.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
    assert_eq!(cases.collect::<Vec<_>>(), CASES.iter().map(|(case, _)| *case).collect::<Vec<_>>());
}
