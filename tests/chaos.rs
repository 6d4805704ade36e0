//! Random programs that do everything a workflow can, run live, replayed, and resumed behind any row of their logs: each
//! time they see the same, to the bit.
//!
//! A failure prints its seed and the smallest failing program found. `EVERSTEP_SEED=<seed>` runs the program of that seed
//! alone, `EVERSTEP_CHAOS_PROGRAM=<json>` beside it the one that was printed.
//! `EVERSTEP_CHAOS_SECONDS=<n>` runs fresh programs for so long, on all cores.

#[path = "chaos/check.rs"]
mod check;
#[path = "chaos/generate.rs"]
mod generate;
#[path = "deterministic/in_process.rs"]
mod in_process;
#[path = "guests/chaos/src/program.rs"]
mod program;
#[path = "chaos/shrink.rs"]
mod shrink;
#[allow(unreachable_pub)] // shared by several programs
mod support;

use check::{Totals, check, live};
use generate::generate;
use program::Program;
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Programs that are run every time.
const FIXED: u64 = 700;
/// Programs that nobody ran before.
const FRESH: u64 = 200;
/// Programs whose runs in two processes are compared.
const TWICE: u64 = 25;

/// What the fixed programs come to, at least; the model's programs have the other ends of invokes.
const EVENTS: &str = "CallbackStarted CallbackSucceeded CallbackTimedOut ChainedInvokeStarted ChainedInvokeFailed \
                      ContextStarted ContextSucceeded ContextFailed StepStarted StepSucceeded StepFailed WaitStarted \
                      WaitSucceeded WaitCancelled ExecutionSucceeded ExecutionFailed InvocationCompleted";

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{variable} is {given:?}; give a number")))
}

/// Checks the programs with these seeds on all cores, as many as there are before the deadline.
fn all(seeds: std::ops::Range<u64>, deadline: Option<Instant>) -> Totals {
    let (next, totals) = (AtomicU64::new(seeds.start), Mutex::new(Totals::default()));
    let failed: Mutex<Option<(u64, Program)>> = Mutex::new(None);
    let work = || {
        while failed.lock().unwrap().is_none() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let program = generate(seed);
            match check(&program, seed) {
                Ok(counted) => totals.lock().unwrap().add(&counted),
                Err(_) => _ = failed.lock().unwrap().get_or_insert((seed, program)),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| _ = scope.spawn(work)));
    if let Some((seed, program)) = failed.into_inner().unwrap() {
        let smallest = shrink::smallest(program, |program| check(program, seed).err());
        let (program, why) = smallest.unwrap_or_else(|program| (program, "it failed once, and not again".into()));
        let json = serde_json::to_string(&program).expect("a program is JSON");
        panic!(
            "{why}\nprogram: {:#?}\nEVERSTEP_SEED={seed} runs the whole of it, and this beside it the smallest that fails:\n\
             EVERSTEP_CHAOS_PROGRAM='{json}'",
            program.ops
        );
    }
    totals.into_inner().unwrap()
}

fn fresh_seed() -> u64 {
    getrandom::u64().expect("the machine has entropy") >> 16
}

#[test]
fn programs_see_the_same_live_replayed_and_resumed() {
    if let Ok(program) = std::env::var("EVERSTEP_CHAOS_PROGRAM") {
        let program: Program = serde_json::from_str(&program).expect("EVERSTEP_CHAOS_PROGRAM is a program");
        let counted = check(&program, number("EVERSTEP_SEED").unwrap_or(0));
        return println!("{}", counted.unwrap_or_else(|why| panic!("{why}")));
    }
    if let Some(seed) = number("EVERSTEP_SEED") {
        return println!("{}", all(seed..seed + 1, None));
    }
    let begun = Instant::now();
    let fresh = fresh_seed();
    println!("fresh programs from EVERSTEP_SEED={fresh} on");
    let totals = match number("EVERSTEP_CHAOS_SECONDS") {
        Some(seconds) => all(fresh..u64::MAX, Some(begun + Duration::from_secs(seconds))),
        None => {
            let mut totals = all(0..FIXED, None);
            assert_eq!(totals.missing(EVENTS), [""; 0]);
            totals.add(&all(fresh..fresh + FRESH, None));
            totals
        }
    };
    // Past the test's captured output, so that it is seen when all is well.
    let _ = writeln!(std::io::stderr(), "\n{totals} in {:.1} s", begun.elapsed().as_secs_f64());
}

/// What a program saw, in a line.
fn line(seed: u64) -> String {
    let end = live(&generate(seed), seed).unwrap_or_else(|why| panic!("EVERSTEP_SEED={seed}: {why}"));
    let digest = Sha256::new()
        .chain_update(format!("{:?}", end.result))
        .chain_update(end.memory)
        .chain_update(format!("{:?}", end.essence()))
        .finalize();
    format!("program {seed}: {digest:x}")
}

const OTHER: &str = "EVERSTEP_CHAOS_OTHER_PROCESS";

/// Two processes agree, with another number, environment, directory, address space and time: nothing of theirs comes
/// through.
#[test]
fn programs_see_the_same_in_another_process() {
    let lines: Vec<String> = (0..TWICE).map(line).collect();
    if std::env::var_os(OTHER).is_some() {
        return println!("\n{}", lines.join("\n"));
    }
    let directory = tempfile::tempdir().unwrap();
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "programs_see_the_same_in_another_process", "--nocapture"])
        .envs([(OTHER, "1"), ("TZ", "Pacific/Chatham"), ("LANG", "tlh"), ("A", "of the process")])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout);
    let others: Vec<&str> = said.lines().filter(|line| line.starts_with("program ")).collect();
    assert_eq!(others, lines, "{}", String::from_utf8_lossy(&other.stderr));
}

/// The numbers of handles after a body that gave some back in the order in which it got them.
#[test]
fn handles_have_the_same_numbers_whatever_bodies_did() {
    let timers = |in_order| program::Act::Timers(3, in_order);
    let step = program::Step {
        body: vec![timers(true)],
        attempts: vec![program::Attempt::Value(1)],
        at_most_once: false,
        eager: false,
    };
    let ops = vec![program::Op::Step(step), program::Op::Do(timers(true))];
    check(&Program { ops, ..generate(0) }, 0).unwrap_or_else(|why| panic!("{why}"));
}

/// The comparison has teeth: other programs and other seeds of an execution end otherwise.
#[test]
fn different_programs_see_something_else() {
    let end = |program: &Program, seed| live(program, seed).unwrap_or_else(|why| panic!("{why}"));
    let program = generate(3);
    let (one, again, other) = (end(&program, 3), end(&program, 3), end(&generate(4), 3));
    assert_eq!((&one.result, one.memory), (&again.result, again.memory));
    assert_ne!(one.result, other.result);
    assert_ne!(one.memory, other.memory);
}
