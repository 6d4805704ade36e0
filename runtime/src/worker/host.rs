//! The guest's other side: replay from what is recorded, then live work with checkpoints. One and the same code serves
//! a first run, a resumed one and a shadow replay; they differ only in how much is recorded, and in whether anything
//! may be added.

use super::clock::VirtualClock;
use super::divergence::{Diverged, Divergence, describe, describe_recorded};
use super::guest_values::{check_name, outcome_of};
use super::journal::{Call, HostCalls};
use super::random::{BodyRandom, WorkflowRandom};
use super::recorded::Recorded;
use super::{Backend, Environment, Observer, Place};
use crate::failpoint::{Failpoint, hit};
use everstep_core::protocol::{
    ErrorObject, ExecutionArn, ExecutionStarted, Invocation, Journal, Operation, OperationId, OperationStatus,
    OperationType, OperationUpdate, ServiceError, Timestamp,
};
use everstep_sandbox::durable::{self, Event, Outcome};
use everstep_sandbox::{Delivered, Stop};
use rustc_hash::FxBuildHasher;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

mod blocking;
mod calls;
mod checkpoints;
mod comparison;
mod fetches;
mod intercepted;
mod outside;

use fetches::{Fetch, Fetches};

/// How much of stderr is kept for the error of a workflow that panics or exits, bytes.
const STDERR_TAIL: usize = 2 << 10;

/// Why the worker had to stop a run; what [`Stop::Host`] stands for.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The service refused or failed.
    Service(ServiceError),
    /// Replay went another way than the log.
    Diverged(Box<Diverged>),
    /// The invocation was superseded or revoked: stop cleanly, report nothing.
    Revoked,
    /// The machine failed.
    Machine(String),
}

/// Whether the run may go beyond what is recorded.
enum Mode {
    /// It may: new operations are checkpointed.
    Live { backend: Arc<dyn Backend>, token: String },
    /// It may not: the end of the record is the end of the run.
    Shadow,
}

/// One operation that the guest began in this run.
struct Begun {
    id: OperationId,
    parent: Option<OperationId>,
    kind: OperationType,
    name: Option<String>,
    sub_type: Cow<'static, str>,
    at_most_once: bool,
    /// Operations begun in it, if it is a context.
    children: u64,
    /// The guest dropped it: nothing of it is handed over any more.
    cancelled: bool,
    /// The guest ended it, if it is a context: nothing begins in it any more.
    ended: bool,
    /// Of a virtual context, which is nowhere recorded: the context that what is begun in it belongs to in the log.
    stands_in: Option<u64>,
    /// This run has sent START for the attempt at hand.
    start_sent: bool,
    seconds: Option<u32>,
    /// The request, if it is one that the host performs.
    fetch: Option<Box<Fetch>>,
}

impl Begun {
    fn new(id: OperationId, parent: Option<OperationId>, kind: OperationType) -> Self {
        Self {
            id,
            parent,
            kind,
            name: None,
            sub_type: Cow::Borrowed(""),
            at_most_once: false,
            children: 0,
            cancelled: false,
            ended: false,
            stands_in: None,
            start_sent: false,
            seconds: None,
            fetch: None,
        }
    }
}

pub(crate) struct WorkflowHost {
    arn: ExecutionArn,
    started: Arc<ExecutionStarted>,
    started_at: Timestamp,
    environment: Environment,
    observer: Arc<dyn Observer>,
    mode: Mode,
    recorded: Recorded,
    /// Output up to this many host calls was emitted by an earlier run.
    emitted: u64,
    begun: Vec<Begun>,
    /// Numbers of begun operations that the log does not have yet.
    unrecorded: HashMap<OperationId, u64, FxBuildHasher>,
    root_children: u64,
    virtual_contexts: u32,
    /// Steps that could run: not ended, not parked, not cancelled; by number.
    runnable: BTreeSet<u64>,
    fetches: Fetches,
    /// The timer that the guest blocked on last, if something else woke it: its deadline and its operation.
    timer: Option<(u64, u64)>,
    calls: HostCalls,
    /// Where the guest stood at every checkpoint so far, this run's included.
    checkpoints: Vec<Journal>,
    clock: VirtualClock,
    random: WorkflowRandom,
    body_random: BodyRandom,
    batch: Vec<OperationUpdate>,
    checked_claims: bool,
    /// The workflow has begun a CHAINED_INVOKE.
    pub(crate) invokes: bool,
    /// Bytes of inputs of CHAINED_INVOKEs in the batch.
    unsent_inputs: usize,
    /// Step bodies are not sealed.
    pub(crate) unsealed: bool,
    /// The workflow knows nothing of `finish`: its stdout is its result, not something to be shown as it comes.
    pub(crate) stdout_is_result: bool,
    pub(crate) outcome: Option<Result<Option<String>, ErrorObject>>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr_tail: Vec<u8>,
    pub(crate) halt: Option<Halt>,
    /// The attempt whose body is open, with its number.
    body: Option<(u64, u32)>,
    /// What a test has that attempt fail with.
    stubbed_error: Option<ErrorObject>,
    /// Events handed to the guest.
    handed_over: u64,
    /// After so many, a fresh instance goes on.
    handed_over_at_most: u64,
}

impl WorkflowHost {
    pub(crate) fn live(
        invocation: Invocation,
        backend: Arc<dyn Backend>,
        environment: Environment,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let mode = Mode::Live { backend, token: invocation.checkpoint_token };
        let recorded = Recorded::new(invocation.operations);
        let emitted = invocation.journals.last().map_or(0, |journal| journal.calls);
        // A call that blocks is counted when it is made: what woke it may be new.
        let handed_over = invocation.journals.last().map_or(0, |journal| journal.delivered.saturating_sub(1));
        let mut host = Self::new(
            mode,
            invocation.arn,
            invocation.started,
            invocation.started_at,
            recorded,
            invocation.journals,
            emitted,
            environment,
            observer,
        );
        host.replay_everything_after(handed_over);
        host
    }

    /// The same invocation in a fresh instance: it repeats what is recorded and goes on live. Requests under way stay
    /// under way.
    pub(crate) fn afresh(before: Self) -> Self {
        let emitted = before.journal().calls;
        let handed_over = before.handed_over;
        let operations = before.recorded.operations().to_vec();
        let Self { mode, arn, started, started_at, environment, observer, checkpoints, fetches, .. } = before;
        let recorded = Recorded::new(operations);
        let mut host = Self::new(mode, arn, started, started_at, recorded, checkpoints, emitted, environment, observer);
        host.stdout_is_result = before.stdout_is_result;
        host.fetches = fetches.carried_over();
        host.replay_everything_after(handed_over);
        host
    }

    /// A replay of what `live` has recorded by now, to be compared with it.
    pub(crate) fn shadow_of(live: &Self) -> Self {
        let operations = live.recorded.operations().to_vec();
        let mut shadow = Self::new(
            Mode::Shadow,
            live.arn.clone(),
            live.started.clone(),
            live.started_at,
            Recorded::new(operations),
            live.checkpoints.clone(),
            u64::MAX,
            live.environment.clone(),
            Arc::new(super::Silent),
        );
        shadow.calls = HostCalls::repeating(live.checkpoints.clone(), live.calls.trace());
        shadow
    }

    #[cfg(feature = "failpoints")]
    pub(crate) fn shadow_with_input(live: &Self, input: &str) -> Self {
        let started = ExecutionStarted { input: Some(input.to_owned()), ..(*live.started).clone() };
        Self { started: Arc::new(started), ..Self::shadow_of(live) }
    }

    /// A replay of a whole log, told to `observer` as if it ran for the first time.
    pub(crate) fn replaying(invocation: Invocation, environment: Environment, observer: Arc<dyn Observer>) -> Self {
        let recorded = Recorded::new(invocation.operations);
        let Invocation { arn, started, started_at, journals, .. } = invocation;
        Self::new(Mode::Shadow, arn, started, started_at, recorded, journals, 0, environment, observer)
    }

    #[allow(clippy::too_many_arguments)] // private; every caller names each
    fn new(
        mode: Mode,
        arn: ExecutionArn,
        started: Arc<ExecutionStarted>,
        started_at: Timestamp,
        recorded: Recorded,
        journals: Vec<Journal>,
        emitted: u64,
        environment: Environment,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            arn,
            random: WorkflowRandom::new(&started.seed),
            clock: VirtualClock::starting_at(started_at),
            started,
            started_at,
            environment,
            observer,
            mode,
            begun: Vec::with_capacity(recorded.operations().len()),
            recorded,
            emitted,
            unrecorded: HashMap::default(),
            root_children: 0,
            virtual_contexts: 0,
            runnable: BTreeSet::new(),
            fetches: Fetches::default(),
            timer: None,
            calls: HostCalls::new(journals.clone()),
            checkpoints: journals,
            body_random: BodyRandom::Entropy,
            batch: Vec::new(),
            checked_claims: false,
            invokes: false,
            unsent_inputs: 0,
            unsealed: false,
            stdout_is_result: false,
            outcome: None,
            stdout: Vec::new(),
            stderr_tail: Vec::new(),
            halt: None,
            body: None,
            stubbed_error: None,
            handed_over: 0,
            handed_over_at_most: u64::MAX,
        }
    }

    /// Where the guest stands.
    pub(crate) fn journal(&self) -> Journal {
        self.calls.journal()
    }

    /// What is frozen for the execution's life.
    pub(crate) fn started(&self) -> &ExecutionStarted {
        &self.started
    }

    /// The token of the last answer.
    pub(crate) fn token(&self) -> &str {
        match &self.mode {
            Mode::Live { token, .. } => token,
            Mode::Shadow => "",
        }
    }

    /// The operation of that number, for messages.
    pub(crate) fn operation(&self, number: u64) -> Option<(&OperationId, Option<&str>)> {
        let begun = self.begun.get(usize::try_from(number.checked_sub(1)?).ok()?)?;
        Some((&begun.id, begun.name.as_deref()))
    }

    fn halt(&mut self, halt: Halt) -> Stop {
        self.halt = Some(halt);
        Stop::Host
    }

    fn slot(&mut self, number: u64) -> Result<&mut Begun, Stop> {
        let index = number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.begun.get_mut(index)).ok_or_else(|| {
            Stop::Refused(format!("there is no operation {number}; ids come from the `begin-*` functions"))
        })
    }

    /// Gives the operation its position, checks it against the log and claims what is recorded there. Answers its
    /// number and, if it is recorded, how it stands.
    fn begin(
        &mut self,
        parent: u64,
        kind: OperationType,
        name: Option<String>,
        sub_type: Cow<'static, str>,
        seconds: Option<u32>,
    ) -> Result<(u64, Option<OperationStatus>), Stop> {
        check_name(name.as_deref())?;
        let most = self.started.config.max_operations;
        if self.begun.len() - self.virtual_contexts as usize >= most as usize {
            return Err(too_many(most, "operations"));
        }
        let (parent_id, id) = self.place(parent)?;
        let number = self.begun.len() as u64 + 1;
        let mut recorded = None;
        if let Some(operation) = self.recorded.claim(&id, number) {
            let same = operation.operation_type == kind
                && operation.name == name
                && operation.parent_id == parent_id
                && operation.sub_type.as_deref().is_none_or(|recorded| recorded == sub_type)
                && (kind != OperationType::Wait || operation.seconds == seconds);
            if !same {
                let divergence = Divergence::Operation {
                    recorded: describe_recorded(operation),
                    requested: describe(kind, Some(&sub_type), name.as_deref(), seconds),
                    id,
                };
                return Err(self.diverged(divergence));
            }
            recorded = Some(operation.status);
        } else {
            self.unrecorded.insert(id.clone(), number);
        }
        self.begun.push(Begun { name, sub_type, seconds, ..Begun::new(id, parent_id, kind) });
        Ok((number, recorded))
    }

    /// The next position in a context: whose child it is in the log, and its id.
    fn place(&mut self, parent: u64) -> Result<(Option<OperationId>, OperationId), Stop> {
        if parent == 0 {
            self.root_children += 1;
            return Ok((None, OperationId::position(None, self.root_children)));
        }
        let context = self.slot(parent)?;
        if context.kind != OperationType::Context {
            return Err(Stop::Refused(format!("operation {parent} is no context: nothing can be begun in it")));
        }
        // A virtual context is over with the one that it stands in.
        let recorded = context.stands_in.unwrap_or(parent);
        context.children += 1;
        let id = OperationId::position(Some(&context.id), context.children);
        if recorded == 0 {
            return Ok((None, id));
        }
        let recorded = self.slot(recorded)?;
        if recorded.ended {
            return Err(Stop::Refused(format!(
                "context {} has ended: nothing can be begun in it; await what belongs to it before its body returns, \
                 or begin it in a context that goes on",
                recorded.id
            )));
        }
        Ok((Some(recorded.id.clone()), id))
    }

    /// The next end in the order of the log, if there is one for this guest.
    fn deliver(&mut self) -> Result<Option<Event>, Stop> {
        // What a blocking call waits for is handed over by that.
        let blocking = |begun: &[Begun], claim: Option<u64>| {
            let fetch = claim.and_then(|number| begun[number as usize - 1].fetch.as_ref());
            fetch.is_some_and(|fetch| fetch.delivered == Delivered::Blocking)
        };
        while let Some((event, claim, operation)) = self.recorded.earliest(|claim| !blocking(&self.begun, claim)) {
            let Some(number) = claim else {
                let divergence =
                    Divergence::Missing { id: operation.id.clone(), recorded: describe_recorded(operation) };
                return Err(self.diverged(divergence));
            };
            if self.begun[number as usize - 1].cancelled {
                self.recorded.delivered(event);
                continue;
            }
            if operation.status == OperationStatus::Cancelled {
                let divergence = Divergence::Operation {
                    id: operation.id.clone(),
                    recorded: format!("{}, cancelled", describe_recorded(operation)),
                    requested: format!("{}, still awaited", describe_recorded(operation)),
                };
                return Err(self.diverged(divergence));
            }
            if self.is_spent() {
                return Err(self.go_on_afresh());
            }
            if operation.ended_event != Some(event) {
                return self.deliver_start(event, number).map(Some);
            }
            let mut outcome = outcome_of(operation);
            let ended_at = operation.ended_at.unwrap_or(self.started_at);
            let status = operation.status;
            if matches!(self.mode, Mode::Live { .. }) {
                hit(Failpoint::BeforeDelivery);
                self.outlive(Place::Delivery, number, 0)?;
            }
            self.clock.advance_to(ended_at);
            let entry = self.calls.call(Call::Completed).word(number).word(status as u64);
            match &outcome {
                Outcome::Succeeded(result) => entry.optional(result.as_deref()),
                Outcome::Failed(error) | Outcome::TimedOut(error) | Outcome::Stopped(error) => {
                    entry.text(&error.message)
                }
            };
            self.recorded.delivered(event);
            self.handed_over += 1;
            self.runnable.remove(&number);
            self.check_journal()?;
            if let (Outcome::Succeeded(recorded), true) =
                (&mut outcome, self.begun[number as usize - 1].fetch.is_some())
            {
                let recorded = recorded.take();
                self.keep_response(number, recorded.as_deref())?;
            }
            return Ok(Some(Event::Completed(durable::Completed { operation: number, outcome })));
        }
        Ok(None)
    }

    /// A callback is durable: the guest learns its id.
    fn deliver_start(&mut self, event: u64, number: u64) -> Result<Event, Stop> {
        let operation = self.recorded.get(&self.begun[number as usize - 1].id);
        let started = operation.and_then(|operation| Some((operation.started_at, operation.callback.as_ref()?)));
        let Some((started_at, callback)) = started else { return Err(self.damaged(number)) };
        let value = callback.callback_id.clone();
        if matches!(self.mode, Mode::Live { .. }) {
            hit(Failpoint::BeforeDelivery);
            self.outlive(Place::Delivery, number, 0)?;
        }
        self.clock.advance_to(started_at);
        self.calls.call(Call::Started).word(number).text(&value);
        self.recorded.delivered(event);
        self.handed_over += 1;
        self.check_journal()?;
        Ok(Event::Started(durable::Started { operation: number, value }))
    }

    /// The step whose next attempt was started by an earlier run.
    fn left_open(&self, number: u64) -> Option<&Operation> {
        let begun = &self.begun[number as usize - 1];
        let recorded = self.recorded.get(&begun.id).filter(|_| !begun.start_sent)?;
        (recorded.status == OperationStatus::Started).then_some(recorded)
    }

    /// Whether that run died in the attempt's body, which must not run again.
    fn interrupted(&self, number: u64) -> bool {
        self.left_open(number).is_some_and(|step| !step.rerun)
    }

    /// The attempt that comes next or is under way, from 1.
    fn attempt(&self, number: u64) -> u32 {
        1 + self.recorded.get(&self.begun[number as usize - 1].id).map_or(0, |operation| operation.attempt)
    }

    /// What that attempt draws from.
    fn attempt_random(&self, number: u64, attempt: u32) -> BodyRandom {
        if self.environment.simulated {
            BodyRandom::simulated(&self.started.seed, &self.begun[number as usize - 1].id, attempt)
        } else {
            BodyRandom::Entropy
        }
    }

    fn open_body(&mut self, number: u64, interrupted: bool) -> Event {
        let begun = &self.begun[number as usize - 1];
        let recorded = self.recorded.get(&begun.id);
        let attempt = self.attempt(number);
        // Of a step that has not ended, the result is the state that the next attempt starts from.
        let state = recorded.and_then(|operation| operation.result.clone());
        self.body = Some((number, attempt));
        self.body_random = self.attempt_random(number, attempt);
        if !interrupted {
            self.observer.step_running(&begun.id, begun.name.as_deref(), attempt);
        }
        Event::Run(durable::Run { operation: number, attempt, interrupted, state })
    }

    /// Whether a step's body runs.
    pub(crate) fn in_body(&self) -> bool {
        self.body.is_some()
    }

    /// `next` handed out an attempt, but its body could not be sealed and never ran.
    pub(crate) fn body_never_opened(&mut self) {
        self.body = None;
    }

    /// Nothing can go on in this run: suspended, unless nothing ever will.
    fn suspended(&self) -> Stop {
        let outstanding = |begun: &Begun| {
            !begun.cancelled
                && begun.kind != OperationType::Context
                && self.recorded.get(&begun.id).is_some_and(|operation| !operation.status.is_terminal())
        };
        if self.begun.iter().rev().any(outstanding) {
            return Stop::Suspend;
        }
        Stop::Refused(
            "the workflow waits for ever: it is not finished, and no operation is outstanding that could wake it; \
             await durable operations, or futures that they complete"
                .into(),
        )
    }

    fn repeats(&self) -> bool {
        self.calls.journal().calls < self.emitted
    }
}

fn too_many(most: u32, what: &str) -> Stop {
    Stop::Refused(format!(
        "Operation limit exceeded: this execution may begin {most} {what}; batch work in fewer steps, or start it with \
         a higher limit"
    ))
}
