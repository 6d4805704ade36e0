//! Where a process dies, and how every such place is tried.

use crate::compare;
use crate::execution::Execution;
use crate::runner::Runner;
use crate::workflow::Workflow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A place where the process dies, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash(pub(crate) At);

/// Counters run through all executions and processes of a test, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    BeforeCommit(u64),
    AfterCommit(u64),
    NthBody(u64),
    NthDelivery(u64),
    Body { name: String, attempt: u32 },
    Delivery { name: String },
}

impl Crash {
    /// Before the n-th row of the log (the execution's start is none) is durable: what was to be recorded is lost.
    pub fn before_commit(n: u64) -> Self {
        Self(At::BeforeCommit(n))
    }

    /// When the n-th row of the log is durable, and nobody has heard of it.
    pub fn after_commit(n: u64) -> Self {
        Self(At::AfterCommit(n))
    }

    /// In the body of a step's first attempt, when it has done everything: its outcome is lost. A stub counts as a
    /// body.
    pub fn in_step(name: impl Into<String>) -> Self {
        Self::in_attempt(name, 1)
    }

    /// The same of another attempt, from 1.
    pub fn in_attempt(name: impl Into<String>, attempt: u32) -> Self {
        Self(At::Body { name: name.into(), attempt })
    }

    /// When the end of this operation is durable and about to be handed to the workflow.
    pub fn at_delivery(name: impl Into<String>) -> Self {
        Self(At::Delivery { name: name.into() })
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            At::BeforeCommit(n) => write!(f, "before commit {n}"),
            At::AfterCommit(n) => write!(f, "after commit {n}"),
            At::NthBody(n) => write!(f, "in body {n}"),
            At::NthDelivery(n) => write!(f, "at delivery {n}"),
            At::Body { name, attempt } => write!(f, "in attempt {attempt} of step {name:?}"),
            At::Delivery { name } => write!(f, "at the delivery of {name:?}"),
        }
    }
}

/// Runs the scenario as it is, then once for each place where its process can die: before and after each row of the
/// log, in each step's body, at each delivery. Whatever the place, the execution and all that it invoked must end as
/// without the crash and tell the same history, but for the ends of invocations and the ids of callbacks. Answers how
/// many places there were.
///
/// A crash in an at-most-once attempt interrupts it, which is no secret: of such a step, and of points in time after
/// it, nothing is compared.
///
/// # Panics
/// If an end or a history is another, or the scenario panics.
#[track_caller]
pub fn crash_everywhere(workflow: &Workflow, scenario: impl Fn(Runner) -> Execution) -> usize {
    let expected = scenario(Runner::new(workflow));
    let counted = expected.counted();
    let places = (1..=counted.commits)
        .flat_map(|n| [At::BeforeCommit(n), At::AfterCommit(n)])
        .chain((1..=counted.bodies).map(At::NthBody))
        .chain((1..=counted.deliveries).map(At::NthDelivery));
    let mut tried = 0;
    for place in places.map(Crash) {
        let shown = place.to_string();
        let crashed = catch_unwind(AssertUnwindSafe(|| scenario(Runner::new(workflow).crash(place))));
        let crashed = crashed.unwrap_or_else(|panic| {
            eprintln!("the scenario failed with a crash {shown}");
            resume_unwind(panic)
        });
        if let Err(difference) = compare::same_but_for_a_crash(&expected, &crashed) {
            crashed.fail(&format!("a crash {shown} makes a difference:\n{difference}"));
        }
        tried += 1;
    }
    tried
}
