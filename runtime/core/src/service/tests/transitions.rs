//! Every operation's state machine, restated here as a table, against the service: generated commands, legal and not,
//! of a worker, of the outside and of time. Prints which transitions and which refusals were seen; a hole has to be
//! explained.
//!
//! A failure prints its case: `EVERSTEP_SEED=<case>` runs that one alone, `EVERSTEP_CHAOS_SECONDS=<n>` others for so
//! long.

#![allow(clippy::disallowed_methods, reason = "how long to try is for whoever runs the tests to say")]

mod case;
mod restated;

use super::*;
use OperationStatus::{Cancelled, Failed, Pending, Ready, Started as Running, Stopped, Succeeded, TimedOut};
use OperationType as Type;
use case::Case;
use restated::statuses;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

const CASES: u64 = 10_000;
const COMMANDS: usize = 24;
/// What the executions of the function `short` may take, seconds.
const SHORT: u32 = 5;

/// What the specification's state machines consist of: what it is about, from, what happens, to.
const TRANSITIONS: &[(&str, &str, &str, &str)] = &[
    ("STEP", "-", "StepStarted", "STARTED"),
    ("STEP", "STARTED", "StepSucceeded", "SUCCEEDED"),
    ("STEP", "STARTED", "StepFailed", "FAILED"),
    ("STEP", "STARTED", "StepRetried", "PENDING"),
    ("STEP", "PENDING", "StepReady", "READY"),
    ("STEP", "READY", "StepStarted", "STARTED"),
    ("WAIT", "-", "WaitStarted", "STARTED"),
    ("WAIT", "STARTED", "WaitSucceeded", "SUCCEEDED"),
    ("WAIT", "STARTED", "WaitCancelled", "CANCELLED"),
    ("CALLBACK", "-", "CallbackStarted", "STARTED"),
    ("CALLBACK", "STARTED", "CallbackHeartbeat", "STARTED"),
    ("CALLBACK", "STARTED", "CallbackSucceeded", "SUCCEEDED"),
    ("CALLBACK", "STARTED", "CallbackFailed", "FAILED"),
    ("CALLBACK", "STARTED", "CallbackTimedOut of Callback.Timeout", "TIMED_OUT"),
    ("CALLBACK", "STARTED", "CallbackTimedOut of Callback.Heartbeat", "TIMED_OUT"),
    ("CHAINED_INVOKE", "-", "ChainedInvokeStarted", "STARTED"),
    ("CHAINED_INVOKE", "STARTED", "ChainedInvokeSucceeded", "SUCCEEDED"),
    ("CHAINED_INVOKE", "STARTED", "ChainedInvokeFailed", "FAILED"),
    ("CHAINED_INVOKE", "STARTED", "ChainedInvokeTimedOut", "TIMED_OUT"),
    ("CHAINED_INVOKE", "STARTED", "ChainedInvokeStopped", "STOPPED"),
    ("CONTEXT", "-", "ContextStarted", "STARTED"),
    ("CONTEXT", "STARTED", "ContextSucceeded", "SUCCEEDED"),
    ("CONTEXT", "STARTED", "ContextFailed", "FAILED"),
    ("EXECUTION", "RUNNING", "ExecutionSucceeded", "SUCCEEDED"),
    ("EXECUTION", "RUNNING", "ExecutionFailed", "FAILED"),
    ("EXECUTION", "RUNNING", "ExecutionTimedOut", "TIMED_OUT"),
    ("EXECUTION", "RUNNING", "ExecutionStopped", "STOPPED"),
    ("EXECUTION", "RUNNING", "ExecutionPaused", "PAUSED"),
    ("EXECUTION", "PAUSED", "ExecutionResumed", "RUNNING"),
];

/// Transitions that are not to be seen, and why.
const HOLES: &[(&str, &str)] = &[
    ("ExecutionPaused", "this build has no pause; a log that has one is refused, see `fold`"),
    ("ExecutionResumed", "as above"),
];

const TYPES: [Type; 5] = [Type::Step, Type::Wait, Type::Callback, Type::ChainedInvoke, Type::Context];
const ACTIONS: [OperationAction; 5] = [
    OperationAction::Start,
    OperationAction::Succeed,
    OperationAction::Fail,
    OperationAction::Retry,
    OperationAction::Cancel,
];

/// What was seen: transitions, a worker's actions and what it was told, the outside's and what it was told.
#[derive(Default)]
struct Seen {
    cases: u64,
    commands: u64,
    transitions: BTreeMap<(String, String, String, String), u64>,
    actions: BTreeMap<(&'static str, &'static str, &'static str), (u64, &'static str)>,
    outside: BTreeMap<(&'static str, &'static str, &'static str), u64>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        (self.cases, self.commands) = (self.cases + other.cases, self.commands + other.commands);
        for (transition, count) in other.transitions {
            *self.transitions.entry(transition).or_default() += count;
        }
        for (action, (count, answer)) in other.actions {
            self.actions.entry(action).or_insert((0, answer)).0 += count;
        }
        for (deed, count) in other.outside {
            *self.outside.entry(deed).or_default() += count;
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var(variable).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{variable} is {given:?}; give a number")))
}

/// The cases on all cores, as many as there are before the deadline.
fn all(cases: Range<u64>, deadline: Option<Instant>) -> Seen {
    let (next, total) = (AtomicU64::new(cases.start), Mutex::new(Seen::default()));
    let work = || {
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases.end {
                break;
            }
            let outcome = std::panic::catch_unwind(|| Case::new(case).run());
            let Ok(seen) = outcome else { panic!("EVERSTEP_SEED={case} failed, see above") };
            total.lock().unwrap().add(seen);
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| _ = scope.spawn(work)));
    total.into_inner().unwrap()
}

/// The tables, and what is missing in them.
fn report(seen: &Seen) -> (String, Vec<String>) {
    let mut text = format!("{} cases of {} commands\n\n", seen.cases, seen.commands);
    let mut holes = Vec::new();
    let mut unexpected: BTreeSet<_> = seen.transitions.keys().cloned().collect();
    for &(kind, from, event, to) in TRANSITIONS {
        let key = (kind.to_owned(), from.to_owned(), event.to_owned(), to.to_owned());
        unexpected.remove(&key);
        let count = seen.transitions.get(&key).copied().unwrap_or(0);
        let why = HOLES.iter().find(|(hole, _)| *hole == event).map_or("", |(_, why)| why);
        writeln!(text, "{kind:<14} {from:<8} {event:<38} {to:<9} {count:>7} {why}").unwrap();
        if (count == 0) == why.is_empty() {
            holes.push(format!("{kind} {from} {event} {to}: seen {count} times"));
        }
    }
    holes.extend(unexpected.into_iter().map(|transition| format!("{transition:?} is in no specification")));
    writeln!(text, "\nwhat a worker asks for: how often, and 'x' where that is refused").unwrap();
    writeln!(text, "{:<14} {:<9} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "", "START", "SUCCEED", "FAIL", "RETRY", "CANCEL")
        .unwrap();
    for kind in TYPES {
        for status in std::iter::once("-").chain(statuses(kind).iter().map(|status| status.as_str())) {
            write!(text, "{:<14} {status:<9}", kind.as_str()).unwrap();
            for action in ACTIONS {
                let (count, said) =
                    seen.actions.get(&(kind.as_str(), status, action.as_str())).copied().unwrap_or_default();
                write!(text, " {:>7}{}", count, if said.is_empty() { ' ' } else { 'x' }).unwrap();
                if count == 0 {
                    holes.push(format!("nobody asked to {} a {} that is {status}", action.as_str(), kind.as_str()));
                }
            }
            text.push('\n');
        }
    }
    writeln!(text, "\nwhat is done from outside").unwrap();
    for ((kind, status, deed), count) in &seen.outside {
        writeln!(text, "{kind:<14} {status:<9} {deed:<9} {count:>7}").unwrap();
    }
    for status in statuses(Type::Callback) {
        for deed in ["succeed", "fail", "heartbeat"] {
            if !seen.outside.contains_key(&("CALLBACK", status.as_str(), deed)) {
                holes.push(format!("no {deed} of a callback that is {}", status.as_str()));
            }
        }
    }
    (text, holes)
}

#[test]
fn every_transition_is_the_specification_s_and_none_is_left_out() {
    if let Some(case) = number("EVERSTEP_SEED") {
        return println!("{}", report(&all(case..case + 1, None)).0);
    }
    let begun = Instant::now();
    let seen = match number("EVERSTEP_CHAOS_SECONDS") {
        Some(seconds) => all(CASES..u64::MAX, Some(begun + Duration::from_secs(seconds))),
        None => all(0..CASES, None),
    };
    let (text, holes) = report(&seen);
    // Past the test's captured output, so that it is seen when all is well.
    let _ = writeln!(std::io::stderr(), "\n{text}\nin {:.1} s", begun.elapsed().as_secs_f64());
    assert!(holes.is_empty(), "{holes:#?}\n{text}");
}
