//! Driving executions: invoking each as often as it has something to do, with those that it invokes.

use super::{DriveError, Embedded, FunctionCall};
use crate::failpoint::{Failpoint, hit};
use crate::worker::{Abandoned, Environment, Observer, Worker};
use everstep_core::protocol::{
    ErrorObject, ExecutionArn, ExecutionStatus, Invocation, InvocationError, InvocationOutput, Operation, OperationId,
    ServiceError, Timestamp,
};
use everstep_core::service::{Chained, ChainedOutcome, Invoked, Waiting};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

/// Invoked executions and functions of one execution that run at the same time; more wait their turn.
const AT_ONCE: usize = 32;
/// Threads for them in all; beyond that many each waits for what it invokes.
const THREADS: usize = 256;

/// Where [`Embedded::drive`] left an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driven {
    /// It is closed.
    Closed(ExecutionStatus),
    /// It is suspended for longer than the caller wants to wait; none: until something outside happens.
    Suspended {
        /// When it, or an execution that it invoked, goes on.
        until: Option<Timestamp>,
        /// Open callbacks, its own and those of executions that it invoked.
        callbacks: Vec<Arc<Operation>>,
    },
}

/// One driver an execution: a second one would supersede the first while the body of an at-most-once step still runs,
/// and take the attempt for interrupted.
struct Driving<'a> {
    all: &'a Mutex<HashSet<ExecutionArn>>,
    arn: &'a ExecutionArn,
}

impl<'a> Driving<'a> {
    fn enter(all: &'a Mutex<HashSet<ExecutionArn>>, arn: &'a ExecutionArn) -> Option<Self> {
        let entered = all.lock().unwrap_or_else(PoisonError::into_inner).insert(arn.clone());
        entered.then_some(Self { all, arn })
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(self.arn);
    }
}

/// An execution has nothing to do by itself.
struct Rest {
    closed: Option<ExecutionStatus>,
    /// Of a closed execution only what it left behind.
    waiting: Waiting,
}

impl Rest {
    /// `theirs`: open callbacks of what it invoked.
    fn driven(self, theirs: Vec<Arc<Operation>>) -> Driven {
        let Waiting { until, callbacks, .. } = self.waiting;
        match self.closed {
            Some(status) => Driven::Closed(status),
            None => Driven::Suspended { until, callbacks: callbacks.into_iter().chain(theirs).collect() },
        }
    }
}

/// What one execution invoked, as its driver sees it.
struct Invokes {
    /// Run in threads of their own.
    under_way: BTreeSet<OperationId>,
    /// Had nothing to do when they were last looked at: until when, and their open callbacks.
    asleep: BTreeMap<OperationId, (Option<Timestamp>, Vec<Arc<Operation>>)>,
    report: Sender<(OperationId, Result<Driven, DriveError>)>,
    reports: Receiver<(OperationId, Result<Driven, DriveError>)>,
}

impl Embedded {
    /// Invokes the execution, and every one that it invokes, as often as there is something to do. Waits at most
    /// `patience` at a time for it to go on, with zero not even where time is simulated; none: as long as it takes.
    /// With a bound it does not wait beside an open callback in real time: whoever is to complete that may need the
    /// store.
    ///
    /// The execution runs on this thread, what it invokes on others; where time is simulated, one at a time in the
    /// order in which they were invoked. What a closed execution has left behind runs on until it rests, no further:
    /// drive the same execution again. What is completed meanwhile from another thread is noticed with the next timer
    /// or report. If the process dies during this call, nothing acknowledged is lost: drive it again.
    pub fn drive(
        &self,
        arn: &ExecutionArn,
        environment: &Environment,
        observer: &Arc<dyn Observer>,
        patience: Option<Duration>,
    ) -> Result<Driven, DriveError> {
        loop {
            let driven = self.round(arn, environment, observer)?;
            let Driven::Suspended { until: Some(until), callbacks } = &driven else { return Ok(driven) };
            let (until, left) = (*until, self.time.until(*until));
            let beside_a_callback = !callbacks.is_empty() && !environment.simulated;
            if patience.is_some_and(|most| most.is_zero() || left > most || beside_a_callback) {
                return Ok(driven);
            }
            observer.waiting(until, left);
            self.time.sleep_until(until);
        }
    }

    /// Invokes the execution, and every one that it invokes, until none of them has anything to do.
    fn round(
        &self,
        arn: &ExecutionArn,
        environment: &Environment,
        observer: &Arc<dyn Observer>,
    ) -> Result<Driven, DriveError> {
        let _driving = Driving::enter(&self.driving, arn).ok_or_else(|| DriveError::Busy(arn.clone()))?;
        let mut worker = Worker::new(self.service.clone(), environment.clone(), observer.clone());
        let rest = self.rest(arn, &mut worker, observer)?;
        if rest.waiting.invokes.is_empty() {
            return Ok(rest.driven(Vec::new()));
        }
        std::thread::scope(|scope| self.with_invokes(scope, arn, environment, observer, worker, rest))
    }

    /// The second half of `round`, inside the scope of its threads.
    fn with_invokes<'scope, 'env: 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        arn: &'env ExecutionArn,
        environment: &'env Environment,
        observer: &'env Arc<dyn Observer>,
        mut worker: Worker,
        mut rest: Rest,
    ) -> Result<Driven, DriveError> {
        let at_once = if environment.simulated { 1 } else { AT_ONCE };
        let mut family = Invokes::new();
        loop {
            for invoke in &rest.waiting.invokes {
                if family.under_way.len() >= at_once {
                    break;
                }
                if family.knows(invoke.operation()) {
                    continue;
                }
                family.under_way.insert(invoke.operation().clone());
                let (invoked, report) = (invoke.clone(), family.report.clone());
                let run = move || self.run_and_report(arn, &invoked, environment, observer, &report);
                if self.threads.fetch_add(1, Ordering::Relaxed) < THREADS {
                    scope.spawn(move || {
                        run();
                        self.threads.fetch_sub(1, Ordering::Relaxed);
                    });
                } else {
                    run();
                    self.threads.fetch_sub(1, Ordering::Relaxed);
                }
            }
            let until = family.asleep.values().filter_map(|(until, _)| *until).chain(rest.waiting.until).min();
            if family.under_way.is_empty() {
                rest.waiting.until = until;
                return Ok(rest.driven(family.asleep.into_values().flat_map(|(_, callbacks)| callbacks).collect()));
            }
            match family.next_report(until.filter(|_| !environment.simulated).map(|until| self.time.until(until))) {
                Some((operation, driven)) => {
                    family.under_way.remove(&operation);
                    match driven? {
                        Driven::Suspended { until, callbacks } => {
                            family.asleep.insert(operation, (until, callbacks));
                            continue;
                        }
                        // Nobody waits for what a closed execution left behind.
                        Driven::Closed(_) if rest.closed.is_some() => {
                            family.asleep.insert(operation, (None, Vec::new()));
                            continue;
                        }
                        Driven::Closed(_) => {}
                    }
                }
                // A timer: its own, or one of those that it invoked.
                None => {
                    family.asleep.retain(|_, (until, _)| until.is_none_or(|until| !self.time.until(until).is_zero()));
                }
            }
            if rest.closed.is_none() {
                rest = self.rest(arn, &mut worker, observer)?;
                if let Some(status) = rest.closed.filter(|_| !rest.waiting.invokes.is_empty()) {
                    observer.left_behind(status, rest.waiting.invokes.len());
                }
            }
        }
    }

    fn run_and_report(
        &self,
        arn: &ExecutionArn,
        invoke: &Chained,
        environment: &Environment,
        observer: &Arc<dyn Observer>,
        report: &Sender<(OperationId, Result<Driven, DriveError>)>,
    ) {
        let run = catch_unwind(AssertUnwindSafe(|| self.run_invoked(arn, invoke, environment, observer)));
        let driven = match run {
            // Somebody else sees to it.
            Ok(Err(DriveError::Busy(_))) => Ok(Driven::Suspended { until: None, callbacks: Vec::new() }),
            Ok(driven) => driven,
            Err(_) => Err(DriveError::Panicked(invoke.operation().clone())),
        };
        // Nobody listens once another of them has failed.
        let _ = report.send((invoke.operation().clone(), driven));
    }

    fn run_invoked(
        &self,
        arn: &ExecutionArn,
        invoke: &Chained,
        environment: &Environment,
        observer: &Arc<dyn Observer>,
    ) -> Result<Driven, DriveError> {
        match invoke {
            Chained::Execution { arn, .. } => self.round(arn, environment, &observer.invoked(arn)),
            Chained::Function { operation, function, version, tenant_id, input } => {
                let call = FunctionCall {
                    function: function.clone(),
                    version: version.clone(),
                    tenant_id: tenant_id.clone(),
                    payload: input.clone(),
                };
                let (outcome, status) = match self.functions.call(&call) {
                    Ok(result) => (ChainedOutcome::Succeeded(result), ExecutionStatus::Succeeded),
                    Err(error) => (ChainedOutcome::Failed(error), ExecutionStatus::Failed),
                };
                hit(Failpoint::BeforeCommit);
                let completed = self.service.complete_chained(arn, operation, outcome);
                hit(Failpoint::AfterCommit);
                completed?;
                Ok(Driven::Closed(status))
            }
        }
    }

    /// Invokes the execution as often as it has something to do by itself.
    fn rest(&self, arn: &ExecutionArn, worker: &mut Worker, observer: &Arc<dyn Observer>) -> Result<Rest, DriveError> {
        // Of one that was closed before, nobody here knows what it has left behind.
        let (mut ran, mut invokes) = (false, false);
        loop {
            // It commits what has come due, and the loss of an earlier invocation.
            hit(Failpoint::BeforeCommit);
            let invoked = self.service.invoke(arn);
            hit(Failpoint::AfterCommit);
            match invoked? {
                Invoked::Closed(status) => {
                    let left = if invokes || !ran { self.service.chained(arn)? } else { Vec::new() };
                    let waiting = Waiting { invokes: left, ..Waiting::default() };
                    return Ok(Rest { closed: Some(status), waiting });
                }
                Invoked::Waiting(waiting) => return Ok(Rest { closed: None, waiting }),
                Invoked::Run(invocation) => {
                    ran = true;
                    invokes |= self.run(arn, *invocation, worker, observer)?;
                }
            }
        }
    }

    /// Runs one invocation. Answers whether the execution has invoked anything in its life.
    fn run(
        &self,
        arn: &ExecutionArn,
        invocation: Invocation,
        worker: &mut Worker,
        observer: &Arc<dyn Observer>,
    ) -> Result<bool, DriveError> {
        let workflow = self.workflow(invocation.started.component)?;
        let files = invocation.started.config.files.as_ref();
        if let Some(digest) = files.and_then(|files| files.bundle) {
            worker.add_bundle(digest, self.bundle(digest)?);
        }
        match worker.invoke(&workflow, invocation) {
            Ok(report) => {
                if let Err(error) = &report.output {
                    observer.invocation_failed(&error.error);
                }
                self.complete(arn, &report.token, report.output, report.journal)?;
                Ok(report.invokes)
            }
            Err(Abandoned::Revoked) => Ok(true),
            Err(Abandoned::Service(error)) => Err(error.into()),
            Err(Abandoned::BundleMissing(digest)) => Err(DriveError::BundleLost(digest)),
        }
    }

    fn complete(
        &self,
        arn: &ExecutionArn,
        token: &str,
        output: Result<InvocationOutput, InvocationError>,
        journal: everstep_core::protocol::Journal,
    ) -> Result<(), DriveError> {
        hit(Failpoint::BeforeCommit);
        let completed = self.service.complete_invocation(arn, token, output, Some(journal));
        hit(Failpoint::AfterCommit);
        match completed {
            Ok(_) => Ok(()),
            // Stopped or superseded meanwhile: the log knows better.
            Err(error) if error.is_invalid_token() => Ok(()),
            // The service will not have this outcome (too large, say): that is the execution's error, not ours.
            Err(ServiceError::InvalidParameterValue(message)) => {
                let error = ErrorObject::new("InvalidParameterValueException", message);
                let failed = Ok(InvocationOutput::Failed(error));
                Ok(self.service.complete_invocation(arn, token, failed, Some(journal)).map(drop)?)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Invokes {
    fn new() -> Self {
        let (report, reports) = channel();
        Self { under_way: BTreeSet::new(), asleep: BTreeMap::new(), report, reports }
    }

    fn knows(&self, operation: &OperationId) -> bool {
        self.under_way.contains(operation) || self.asleep.contains_key(operation)
    }

    /// The next of them that has nothing more to do; none: it took longer than `patience`.
    fn next_report(&self, patience: Option<Duration>) -> Option<(OperationId, Result<Driven, DriveError>)> {
        // This end of the channel is open as long as `report` is.
        match patience {
            None => self.reports.recv().ok(),
            Some(patience) => self.reports.recv_timeout(patience).ok(),
        }
    }
}
