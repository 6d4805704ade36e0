//! An executable model of what makes a durable workflow's live run and its replay the same run.
//!
//! A few hundred lines without WebAssembly, disk or threads. Read them in this order:
//!
//! 1. [`program`]: what workflows are made of here, and [`trace`]: what they see.
//! 2. [`log`]: the checkpoint log and its fold.
//! 3. `guest`: an interpreter that calls the host and knows nothing of replay; batches are in a file of their own.
//! 4. `host`: **the rules**. `Host::next` is the heart.
//! 5. [`service`]: a scripted service around the log, with kills and deliberate mistakes.
//! 6. This file: invocations, one after the other, until the program has ended.
//!
//! The tests hold the model to its promises on generated programs: a replay of any prefix of the log sees what the live
//! run saw; a process killed anywhere changes nothing; a changed program is found out; and a host with any of a dozen
//! mistakes is caught. The real host is then compared with the model on the same programs.
//!
//! What is left out: outgoing HTTP, files, limits, tasks that are spawned, and failing executions (a program here always
//! ends with its trace as the result).

#[cfg(feature = "generate")]
pub mod generate;
mod guest;
mod host;
pub mod log;
pub mod program;
pub mod service;
pub mod trace;

pub use host::{Stop, random};
pub use log::{HistoryEvent, Log};
pub use program::{Outcome, Program, Statement};
pub use service::{BodyRun, Bug, Interruption, Moment, Script};
pub use trace::{End, Observed, Trace};

use guest::Guest;
use host::{Host, Next};
use log::Ending;
use service::Service;
use std::collections::BTreeSet;

/// More invocations than any program of sensible size needs.
const MOST_INVOCATIONS: usize = 10_000;

/// An execution, run until it ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the last invocation saw: all that the program ever saw.
    pub trace: Trace,
    /// The trace as JSON; none unless the execution ended.
    pub result: Option<String>,
    /// The log.
    pub log: Log,
    /// What each invocation saw, from the start of the program to the invocation's end.
    pub invocations: Vec<Trace>,
    /// The bodies that ran, in order.
    pub bodies: Vec<BodyRun>,
    /// Attempts that the guest was told were interrupted.
    pub interruptions: Vec<Interruption>,
    /// Attempts (operation id, number from 1) that had been started and had no outcome when a process died.
    pub orphans: BTreeSet<(String, u32)>,
    /// The moments at which the process could have been killed.
    pub moments: Vec<Moment>,
    /// How the last invocation ended: [`Stop::Ended`], unless something is wrong.
    pub stop: Stop,
}

impl Run {
    /// The log in the words of AWS's history, in order.
    pub fn history(&self) -> Vec<HistoryEvent> {
        self.log.history()
    }
}

/// Runs a program from its start to its end, suspending and resuming as often as it takes.
pub fn run_live(program: &Program, seed: u64) -> Run {
    run(program, &Script::new(seed))
}

/// [`run_live`], with everything else scripted as well.
pub fn run(program: &Program, script: &Script) -> Run {
    resume(program, Log::start(script.started_at), script)
}

/// Goes on with a log that somebody else began.
pub fn resume(program: &Program, log: Log, script: &Script) -> Run {
    let mut service = Service::new(log, script.clone());
    let mut invocations = Vec::new();
    let stop = loop {
        let next = match service.invoke() {
            Ok(false) => break Stop::Suspended, // For ever.
            Ok(true) => {
                let (trace, stop) = invoke(program, &mut service, true);
                invocations.push(trace);
                match stop {
                    Stop::Suspended => service.invocation_ended(Ending::Reported, None),
                    Stop::Trapped => service.invocation_ended(Ending::Failed, None),
                    stop => Err(stop),
                }
            }
            Err(stop) => Err(stop),
        };
        let next = match next {
            // Killed after the last commit: there is nothing left to invoke.
            Err(Stop::Killed(_)) if service.log.result().is_some() => break Stop::Ended,
            Err(Stop::Killed(_)) => service.process_died(),
            next => next,
        };
        match next {
            Ok(()) if invocations.len() > MOST_INVOCATIONS => break Stop::Suspended,
            Ok(()) => {}
            Err(stop) => break stop,
        }
    };
    let Service { log, bodies, interruptions, orphans, moments, .. } = service;
    let trace = invocations.last().cloned().unwrap_or_default();
    Run { trace, result: log.result().map(Into::into), log, invocations, bodies, interruptions, orphans, moments, stop }
}

/// Replays a log without a service: nothing happens that is not recorded. Ends as [`Stop::Ended`] if the log is that of
/// an ended execution and the program agrees with all of it, and as [`Stop::EndOfLog`] if it agrees with an unfinished one.
pub fn replay(program: &Program, log: &Log, script: &Script) -> (Trace, Stop) {
    invoke(program, &mut Service::new(log.clone(), script.clone()), false)
}

/// One invocation: a fresh guest, run until it is over.
fn invoke(program: &Program, service: &mut Service, live: bool) -> (Trace, Stop) {
    let keeps_memory = service.script.bug == Some(Bug::MemoryNotRestored);
    let mut host = Host::new(service, live);
    let mut guest = Guest::new(program);
    let mut go = || -> Result<(), Stop> {
        while guest.poll(&mut host)?.map(|result| host.finish(&result)).transpose()?.is_none() {
            match host.next()? {
                Next::Completed { operation, end } => guest.complete(operation, end),
                Next::Started { operation } => guest.start(operation),
                Next::Run { operation, attempt, interrupted, state } => {
                    let before = guest.clone();
                    let verdict = match guest.run_body(&mut host, operation, attempt, interrupted, state) {
                        _ if host.must_trap(operation, attempt) && !interrupted => program::Verdict::Trap,
                        verdict => verdict,
                    };
                    if !keeps_memory {
                        guest = before;
                    }
                    host.end(operation, verdict)?;
                }
            }
        }
        Ok(())
    };
    let stop = match go() {
        Ok(()) => Stop::Ended,
        Err(stop) => stop,
    };
    (guest.trace(), stop)
}
