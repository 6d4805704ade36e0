//! The guest's other side: replay from what is recorded, then live work with checkpoints. One and the same code serves
//! a first run, a resumed one and a shadow replay; they differ only in how much is recorded, and in whether anything
//! may be added.

use super::clock::VirtualClock;
use super::divergence::{Divergence, describe, describe_recorded};
use super::journal::{Call, HostCalls, Mismatch};
use super::random::{BodyRandom, WorkflowRandom, hash_seed, idempotency_key};
use super::recorded::Recorded;
use super::{Backend, Environment, Observer};
use crate::failpoint::{Failpoint, hit};
use everstep_core::protocol::{
    CheckpointRequest, ErrorObject, ExecutionArn, ExecutionStarted, Invocation, Journal, Operation, OperationAction,
    OperationId, OperationStatus, OperationType, OperationUpdate, ServiceError, Timestamp, limits,
};
use everstep_sandbox::durable::{self, Event, ExecutionInfo, LogLevel, Outcome, RetryReason, StepOptions, StepOutcome, StepSemantics};
use everstep_sandbox::{Host, Stop, Stream};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How much of stderr is kept for the error of a workflow that panics or exits, bytes.
const STDERR_TAIL: usize = 2 << 10;
/// Log fields and outcomes are quoted in messages up to this many characters.
const QUOTE: usize = 120;

/// Why the worker had to stop a run; what [`Stop::Host`] stands for.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The service refused or failed.
    Service(ServiceError),
    /// Replay went another way than the log.
    Diverged(Box<Divergence>),
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
    sub_type: &'static str,
    at_most_once: bool,
    /// Operations begun in it, if it is a context.
    children: u64,
    /// The guest dropped it: nothing of it is handed over any more.
    cancelled: bool,
    /// This run has sent START for the attempt at hand.
    start_sent: bool,
    seconds: Option<u32>,
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
    unrecorded: HashMap<OperationId, u64>,
    root_children: u64,
    /// Steps that could run: not ended, not parked, not cancelled; by number.
    runnable: BTreeSet<u64>,
    calls: HostCalls,
    /// Where the guest stood at every checkpoint so far, this run's included.
    checkpoints: Vec<Journal>,
    clock: VirtualClock,
    random: WorkflowRandom,
    body_random: BodyRandom,
    batch: Vec<OperationUpdate>,
    checked_claims: bool,
    /// The workflow knows nothing of `finish`: its stdout is its result, not something to be shown as it comes.
    pub(crate) stdout_is_result: bool,
    pub(crate) outcome: Option<Result<Option<String>, ErrorObject>>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr_tail: Vec<u8>,
    pub(crate) halt: Option<Halt>,
    /// The attempt whose body is open, with its number.
    body: Option<(u64, u32)>,
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
        Self::new(mode, invocation.arn, invocation.started, invocation.started_at, recorded, invocation.journals, emitted, environment, observer)
    }

    /// A replay of what `live` has recorded by now, to be compared with it.
    pub(crate) fn shadow_of(live: &Self) -> Self {
        let operations = live.recorded.operations().to_vec();
        Self::new(
            Mode::Shadow,
            live.arn.clone(),
            live.started.clone(),
            live.started_at,
            Recorded::new(operations),
            live.checkpoints.clone(),
            u64::MAX,
            live.environment.clone(),
            Arc::new(super::Silent),
        )
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
            recorded,
            emitted,
            begun: Vec::new(),
            unrecorded: HashMap::new(),
            root_children: 0,
            runnable: BTreeSet::new(),
            calls: HostCalls::new(journals.clone()),
            checkpoints: journals,
            body_random: BodyRandom::Entropy,
            batch: Vec::new(),
            checked_claims: false,
            stdout_is_result: false,
            outcome: None,
            stdout: Vec::new(),
            stderr_tail: Vec::new(),
            halt: None,
            body: None,
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

    fn diverged(&mut self, divergence: Divergence) -> Stop {
        self.halt(Halt::Diverged(Box::new(divergence)))
    }

    fn slot(&mut self, number: u64) -> Result<&mut Begun, Stop> {
        let index = number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.begun.get_mut(index)).ok_or_else(|| {
            Stop::Refused(format!("there is no operation {number}; ids come from begin-step, begin-wait and begin-context"))
        })
    }

    /// Compares with what earlier runs recorded when the guest stood exactly here.
    fn check_journal(&mut self) -> Result<(), Stop> {
        match self.calls.mismatch() {
            Some(mismatch) => Err(self.other_calls(mismatch)),
            None => Ok(()),
        }
    }

    fn other_calls(&mut self, mismatch: Mismatch) -> Stop {
        let after = self.begun.last().map(|begun| begun.id.clone());
        let Mismatch { recorded, requested } = mismatch;
        self.diverged(Divergence::HostCalls { recorded, requested, after })
    }

    /// Gives the operation its position, checks it against the log and claims what is recorded there.
    fn begin(
        &mut self,
        parent: u64,
        kind: OperationType,
        name: Option<String>,
        sub_type: &'static str,
        seconds: Option<u32>,
    ) -> Result<(u64, bool), Stop> {
        check_name(name.as_deref())?;
        let (parent_id, ordinal) = if parent == 0 {
            self.root_children += 1;
            (None, self.root_children)
        } else {
            let context = self.slot(parent)?;
            if context.kind != OperationType::Context {
                return Err(Stop::Refused(format!("operation {parent} is no context: nothing can be begun in it")));
            }
            context.children += 1;
            (Some(context.id.clone()), context.children)
        };
        let id = OperationId::position(parent_id.as_ref(), ordinal);
        let number = self.begun.len() as u64 + 1;
        let mut recorded = false;
        if let Some(operation) = self.recorded.get(&id) {
            let same = operation.operation_type == kind
                && operation.name == name
                && operation.parent_id == parent_id
                && operation.sub_type.as_deref().is_none_or(|recorded| recorded == sub_type)
                && (kind != OperationType::Wait || operation.seconds == seconds);
            if !same {
                let divergence = Divergence::Operation {
                    recorded: describe_recorded(operation),
                    requested: describe(kind, Some(sub_type), name.as_deref(), seconds),
                    id,
                };
                return Err(self.diverged(divergence));
            }
            recorded = true;
            self.recorded.claim(&id, number);
        } else {
            self.unrecorded.insert(id.clone(), number);
        }
        self.begun.push(Begun {
            id,
            parent: parent_id,
            kind,
            name,
            sub_type,
            at_most_once: false,
            children: 0,
            cancelled: false,
            start_sent: false,
            seconds,
        });
        Ok((number, recorded))
    }

    fn update(&self, number: u64, action: OperationAction) -> OperationUpdate {
        let begun = &self.begun[number as usize - 1];
        let mut update = OperationUpdate::new(begun.id.clone(), begun.kind, action);
        if action == OperationAction::Start {
            update.parent_id.clone_from(&begun.parent);
            update.name.clone_from(&begun.name);
            update.sub_type = Some(begun.sub_type.to_owned());
            update.seconds = begun.seconds;
        }
        update
    }

    /// Whether the batch holds something that must be durable before the guest goes on: contexts and cancellations ride
    /// with whatever is sent next.
    fn urgent(&self) -> bool {
        self.batch.iter().any(|update| {
            update.operation_type != OperationType::Context && update.action != OperationAction::Cancel
        })
    }

    /// Makes the batch durable and learns what changed. `Ok(false)`: nothing was to be sent, or nothing may be.
    pub(crate) fn flush(&mut self) -> Result<bool, Stop> {
        let Mode::Live { backend, token } = &mut self.mode else { return Ok(false) };
        if self.batch.is_empty() {
            return Ok(false);
        }
        hit(Failpoint::BeforeCommit);
        let journal = self.calls.journal();
        let updates = std::mem::take(&mut self.batch);
        let request = |updates| CheckpointRequest {
            checkpoint_token: token.clone(),
            updates,
            client_token: None,
            journal: Some(journal),
        };
        let is_cancel = |update: &OperationUpdate| update.action == OperationAction::Cancel;
        let apart = updates.iter().any(is_cancel).then(|| updates.iter().cloned().partition::<Vec<_>, _>(is_cancel));
        let mut answer = backend.checkpoint(&self.arn, request(updates));
        let mut refused = Vec::new();
        if let (Err(ServiceError::InvalidParameterValue(message)), Some((cancels, others))) = (&answer, apart)
            && message.starts_with("Cannot cancel a WAIT")
        {
            // A timer fired before the guest's cancellation got there: there is nothing left to cancel. The answer says
            // which; the other cancellations follow with the next batch.
            answer = backend.checkpoint(&self.arn, request(others));
            refused = cancels;
        }
        hit(Failpoint::AfterCommit);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_invalid_token() => return Err(self.halt(Halt::Revoked)),
            Err(error) => return Err(self.halt(Halt::Service(error))),
        };
        self.checkpoints.push(journal);
        for operation in answer.changed {
            self.observer.changed(&operation);
            self.learn(operation);
        }
        let open = |update: &OperationUpdate| {
            self.recorded.get(&update.id).is_some_and(|recorded| recorded.status == OperationStatus::Started)
        };
        self.batch = refused.into_iter().filter(open).collect();
        match answer.checkpoint_token {
            Some(new) => {
                if let Mode::Live { token, .. } = &mut self.mode {
                    *token = new;
                }
                Ok(true)
            }
            None => Err(self.halt(Halt::Revoked)),
        }
    }

    fn learn(&mut self, operation: Operation) {
        let id = operation.id.clone();
        let ready = operation.operation_type == OperationType::Step && operation.status == OperationStatus::Ready;
        self.recorded.update(operation);
        if let Some(number) = self.unrecorded.remove(&id) {
            self.recorded.claim(&id, number);
        }
        if let (true, Some(number)) = (ready, self.recorded.claim_of(&id)) {
            let begun = &mut self.begun[number as usize - 1];
            begun.start_sent = false;
            if !begun.cancelled {
                self.runnable.insert(number);
            }
        }
    }

    /// The next end in the order of the log, if there is one for this guest.
    fn deliver(&mut self) -> Result<Option<Event>, Stop> {
        while let Some((event, claim, operation)) = self.recorded.earliest_end() {
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
            let outcome = outcome_of(operation);
            let ended_at = operation.ended_at.unwrap_or(self.started_at);
            if matches!(self.mode, Mode::Live { .. }) {
                hit(Failpoint::BeforeDelivery);
            }
            self.clock.advance_to(ended_at);
            let entry = self.calls.call(Call::Completed).word(number).word(operation.status as u64);
            match &outcome {
                Outcome::Succeeded(result) => entry.optional(result.as_deref()),
                Outcome::Failed(error) | Outcome::TimedOut(error) | Outcome::Stopped(error) => entry.text(&error.message),
            };
            self.recorded.delivered(event);
            self.runnable.remove(&number);
            self.check_journal()?;
            return Ok(Some(Event::Completed(durable::Completed { operation: number, outcome })));
        }
        Ok(None)
    }

    /// Nothing recorded is left to hand over: whatever the log still has, the guest must have begun by now.
    fn check_claims(&mut self) -> Result<(), Stop> {
        if self.checked_claims {
            return Ok(());
        }
        self.checked_claims = true;
        if let Some(operation) = self.recorded.unclaimed() {
            let divergence = Divergence::Missing { id: operation.id.clone(), recorded: describe_recorded(operation) };
            return Err(self.diverged(divergence));
        }
        self.check_journal()?;
        match self.calls.ahead() {
            Some(mismatch) => Err(self.other_calls(mismatch)),
            None => Ok(()),
        }
    }

    /// The run is over: the log may not have anything beyond.
    pub(crate) fn check_end(&mut self) -> Result<(), Stop> {
        self.checked_claims = false;
        self.check_claims()
    }

    /// Whether the next attempt of this step was started by an earlier run that died in its body.
    fn interrupted(&self, number: u64) -> bool {
        let begun = &self.begun[number as usize - 1];
        !begun.start_sent
            && self.recorded.get(&begun.id).is_some_and(|operation| operation.status == OperationStatus::Started)
    }

    fn open_body(&mut self, number: u64, interrupted: bool) -> Event {
        let begun = &self.begun[number as usize - 1];
        let attempt = 1 + self.recorded.get(&begun.id).map_or(0, |operation| operation.attempt);
        self.body = Some((number, attempt));
        self.body_random = if self.environment.simulated {
            BodyRandom::simulated(&self.started.seed, &begun.id, attempt)
        } else {
            BodyRandom::Entropy
        };
        if !interrupted {
            self.observer.step_running(&begun.id, begun.name.as_deref(), attempt);
        }
        Event::Run(durable::Run { operation: number, attempt, interrupted })
    }

    /// The body died with its instance: its START becomes durable, so that the next run knows the attempt for lost.
    pub(crate) fn flush_interrupted(&mut self) -> Result<(), Stop> {
        if let Some((number, _)) = self.body
            && !self.begun[number as usize - 1].start_sent
            && !self.interrupted(number)
        {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        self.flush().map(drop)
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

fn outcome_of(operation: &Operation) -> Outcome {
    let error = || error_out(operation.error.clone().unwrap_or_default());
    match operation.status {
        OperationStatus::Succeeded => Outcome::Succeeded(operation.result.clone()),
        OperationStatus::TimedOut => Outcome::TimedOut(error()),
        OperationStatus::Stopped => Outcome::Stopped(error()),
        _ => Outcome::Failed(error()),
    }
}

fn error_out(error: ErrorObject) -> durable::ErrorObject {
    durable::ErrorObject {
        message: error.message.unwrap_or_default(),
        error_type: error.error_type.unwrap_or_default(),
        data: error.data,
        stack_trace: error.stack_trace,
    }
}

fn error_in(error: durable::ErrorObject) -> ErrorObject {
    ErrorObject {
        error_type: Some(error.error_type).filter(|text| !text.is_empty()),
        message: Some(error.message),
        data: error.data,
        stack_trace: error.stack_trace,
    }
}

fn check_name(name: Option<&str>) -> Result<(), Stop> {
    let Some(name) = name else { return Ok(()) };
    if (1..=limits::OPERATION_NAME).contains(&name.len()) && name.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Ok(());
    }
    let shown: String = name.chars().take(QUOTE).collect();
    Err(Stop::Refused(format!("operation name {shown:?} is not allowed: give 1..256 printable ASCII characters")))
}

fn check_seconds(seconds: u32) -> Result<(), Stop> {
    if (1..=limits::MAX_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(Stop::Refused(format!("{seconds} s is no duration of a wait: give 1..{} s (366 days)", limits::MAX_SECONDS)))
}

fn quoted(outcome: &Result<Option<String>, ErrorObject>) -> String {
    let text = match outcome {
        Ok(Some(result)) => format!("succeeded with {result}"),
        Ok(None) => "succeeded".to_owned(),
        Err(error) => format!("failed with {error}"),
    };
    if text.chars().count() <= QUOTE { text } else { text.chars().take(QUOTE).chain("...".chars()).collect() }
}

/// AWS's sub types that a guest may give its contexts.
fn context_sub_type(given: &str) -> Result<&'static str, Stop> {
    const KNOWN: [&str; 7] =
        ["RunInChildContext", "Map", "MapIteration", "Parallel", "ParallelBranch", "WaitForCallback", "WithRetry"];
    KNOWN.into_iter().find(|known| *known == given).ok_or_else(|| {
        Stop::Refused(format!("context sub type {given:?} is not known: give one of {}", KNOWN.join(", ")))
    })
}

impl Host for WorkflowHost {
    fn execution(&mut self) -> ExecutionInfo {
        ExecutionInfo {
            arn: self.started.arn.clone(),
            name: self.started.name.clone(),
            function_name: self.started.function.clone(),
            function_version: self.started.version.clone(),
        }
    }

    fn input(&mut self) -> Option<String> {
        self.started.input.clone()
    }

    fn begin_step(&mut self, parent: u64, options: StepOptions) -> Result<u64, Stop> {
        let at_most_once = options.semantics == StepSemantics::AtMostOncePerRetry;
        self.calls
            .call(Call::BeginStep)
            .word(parent)
            .optional(options.name.as_deref())
            .word(u64::from(at_most_once));
        let (number, _) = self.begin(parent, OperationType::Step, options.name, "Step", None)?;
        self.begun[number as usize - 1].at_most_once = at_most_once;
        let status = self.recorded.get(&self.begun[number as usize - 1].id).map(|operation| operation.status);
        if matches!(status, None | Some(OperationStatus::Ready | OperationStatus::Started)) {
            self.runnable.insert(number);
        }
        self.check_journal()?;
        Ok(number)
    }

    fn begin_wait(&mut self, parent: u64, name: Option<String>, seconds: u32) -> Result<u64, Stop> {
        check_seconds(seconds)?;
        self.calls.call(Call::BeginWait).word(parent).optional(name.as_deref()).word(u64::from(seconds));
        let (number, recorded) = self.begin(parent, OperationType::Wait, name, "Wait", Some(seconds))?;
        if !recorded {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        self.check_journal()?;
        Ok(number)
    }

    fn begin_context(&mut self, parent: u64, name: Option<String>, sub_type: String) -> Result<u64, Stop> {
        let sub_type = context_sub_type(&sub_type)?;
        self.calls.call(Call::BeginContext).word(parent).optional(name.as_deref()).text(sub_type);
        let (number, recorded) = self.begin(parent, OperationType::Context, name, sub_type, None)?;
        if !recorded {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        self.check_journal()?;
        Ok(number)
    }

    fn end_context(&mut self, context: u64, outcome: Result<Option<String>, durable::ErrorObject>) -> Result<(), Stop> {
        let outcome = outcome.map_err(error_in);
        let entry = self.calls.call(Call::EndContext).word(context);
        match &outcome {
            Ok(result) => entry.word(1).optional(result.as_deref()),
            Err(error) => entry.word(0).optional(error.message.as_deref()),
        };
        let slot = self.slot(context)?;
        if slot.kind != OperationType::Context {
            return Err(Stop::Refused(format!("operation {context} is no context: it cannot be ended as one")));
        }
        let id = slot.id.clone();
        let recorded = self.recorded.get(&id).filter(|operation| operation.status.is_terminal());
        match recorded {
            Some(operation) => {
                let before = match operation.status {
                    OperationStatus::Succeeded => Ok(operation.result.clone()),
                    _ => Err(operation.error.clone().unwrap_or_default()),
                };
                if before != outcome {
                    let (recorded, requested) = (quoted(&before), quoted(&outcome));
                    return Err(self.diverged(Divergence::Outcome { id, recorded, requested }));
                }
            }
            None => {
                let action = if outcome.is_ok() { OperationAction::Succeed } else { OperationAction::Fail };
                let mut update = self.update(context, action);
                update.replay_children = true;
                match outcome {
                    Ok(result) => update.payload = result,
                    Err(error) => update.error = Some(error),
                }
                self.batch.push(update);
            }
        }
        self.check_journal()
    }

    fn cancel(&mut self, operation: u64) -> Result<(), Stop> {
        self.calls.call(Call::Cancel).word(operation);
        let slot = self.slot(operation)?;
        let (kind, id, first) = (slot.kind, slot.id.clone(), !slot.cancelled);
        slot.cancelled = true;
        self.runnable.remove(&operation);
        if first && kind == OperationType::Wait {
            let unsent = self.batch.iter().position(|update| update.id == id && update.action == OperationAction::Start);
            let open = self.recorded.get(&id).is_some_and(|recorded| recorded.status == OperationStatus::Started);
            if let Some(unsent) = unsent {
                self.batch.remove(unsent);
            } else if open {
                let cancel = self.update(operation, OperationAction::Cancel);
                self.batch.push(cancel);
            }
        }
        self.check_journal()
    }

    fn next(&mut self) -> Result<Event, Stop> {
        loop {
            if let Some(event) = self.deliver()? {
                return Ok(event);
            }
            self.check_claims()?;
            if matches!(self.mode, Mode::Shadow) {
                return Err(self.suspended());
            }
            if self.urgent() && self.flush()? {
                continue;
            }
            let Some(number) = self.runnable.first().copied() else {
                if self.flush()? {
                    continue;
                }
                return Err(self.suspended());
            };
            let interrupted = self.interrupted(number);
            let begun = &self.begun[number as usize - 1];
            if begun.at_most_once && !interrupted && !begun.start_sent {
                let start = self.update(number, OperationAction::Start);
                self.batch.push(start);
                self.begun[number as usize - 1].start_sent = true;
                self.flush()?;
            }
            self.runnable.remove(&number);
            return Ok(self.open_body(number, interrupted));
        }
    }

    fn end(&mut self, operation: u64, outcome: StepOutcome) -> Result<(), Stop> {
        hit(Failpoint::InBody);
        if self.halt.is_some() {
            return Err(Stop::Host);
        }
        let interrupted = self.interrupted(operation);
        self.body = None;
        if !interrupted && !self.slot(operation)?.start_sent {
            let start = self.update(operation, OperationAction::Start);
            self.batch.push(start);
        }
        self.begun[operation as usize - 1].start_sent = true;
        let update = match outcome {
            StepOutcome::Succeed(result) => {
                OperationUpdate { payload: result, ..self.update(operation, OperationAction::Succeed) }
            }
            StepOutcome::Fail(error) => {
                OperationUpdate { error: Some(error_in(error)), ..self.update(operation, OperationAction::Fail) }
            }
            StepOutcome::Retry(retry) => {
                check_seconds(retry.delay_seconds)?;
                let mut update = self.update(operation, OperationAction::Retry);
                update.seconds = Some(retry.delay_seconds);
                match retry.reason {
                    RetryReason::Error(error) => update.error = Some(error_in(error)),
                    RetryReason::State(state) => update.payload = state,
                }
                update
            }
        };
        self.batch.push(update);
        Ok(())
    }

    fn operation_id(&mut self, operation: u64) -> Result<String, Stop> {
        Ok(self.slot(operation)?.id.as_str().to_owned())
    }

    fn idempotency_key(&mut self, operation: u64) -> Result<String, Stop> {
        let arn = self.started.arn.clone();
        Ok(idempotency_key(&arn, &self.slot(operation)?.id))
    }

    fn log(&mut self, in_body: bool, operation: u64, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        if in_body {
            hit(Failpoint::InBody);
        } else {
            let repeats = self.repeats();
            self.calls.call(Call::Log).word(operation).text(&message);
            if repeats {
                return;
            }
        }
        let name = self.operation(operation).map(|(id, name)| name.unwrap_or(id.as_str()).to_owned());
        self.observer.log(name.as_deref(), level, &message, &fields);
    }

    fn finish(&mut self, outcome: Result<Option<String>, durable::ErrorObject>) -> Result<(), Stop> {
        let outcome = outcome.map_err(error_in);
        let entry = self.calls.call(Call::Finish);
        match &outcome {
            Ok(result) => entry.word(1).optional(result.as_deref()),
            Err(error) => entry.word(0).optional(error.message.as_deref()),
        };
        self.outcome = Some(outcome);
        self.check_journal()
    }

    fn clock(&mut self) -> u64 {
        let now = self.clock.read();
        self.calls.call(Call::Clock).word(now);
        now
    }

    fn block_until(&mut self, deadline: u64) -> Result<(), Stop> {
        self.calls.call(Call::Block).word(deadline);
        let Some(remaining) = deadline.checked_sub(self.clock.nanos()).filter(|left| *left > 0) else {
            return self.check_journal();
        };
        // Setting the timer and looking at it were reads, which moved the clock: a sleep of a second is one of a second.
        let remaining = Duration::from_millis(remaining.div_ceil(1_000_000));
        let seconds = u32::try_from(remaining.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
        let durable_wait = remaining >= Duration::from_secs(1);
        let number = if durable_wait {
            check_seconds(seconds)?;
            let (number, recorded) = self.begin(0, OperationType::Wait, Some("sleep".into()), "Wait", Some(seconds))?;
            if !recorded {
                let start = self.update(number, OperationAction::Start);
                self.batch.push(start);
            }
            number
        } else {
            self.begin(0, OperationType::Step, Some("sleep".into()), "Step", None)?.0
        };
        self.check_journal()?;
        let id = self.begun[number as usize - 1].id.clone();
        loop {
            if let Some(ended_at) = self.recorded.take_end(&id) {
                self.clock.advance_to(ended_at);
                self.clock.advance_to_nanos(deadline);
                return Ok(());
            }
            self.check_claims()?;
            if matches!(self.mode, Mode::Shadow) {
                return Err(Stop::Suspend);
            }
            let asleep = self.recorded.get(&id).is_none_or(|operation| !operation.status.is_terminal());
            if !durable_wait && asleep {
                self.observer.sleeping(remaining);
                self.environment.pause(remaining);
                if self.recorded.get(&id).is_none() {
                    let start = self.update(number, OperationAction::Start);
                    self.batch.push(start);
                }
                let done = self.update(number, OperationAction::Succeed);
                self.batch.push(done);
            }
            if !self.flush()? {
                return Err(Stop::Suspend);
            }
        }
    }

    fn random(&mut self, bytes: &mut [u8]) {
        self.random.fill(bytes);
        self.calls.call(Call::Random).bytes(bytes);
    }

    fn body_random(&mut self, bytes: &mut [u8]) {
        if let Err(error) = self.body_random.fill(bytes) {
            // The guest cannot be told; the run ends at its next call.
            self.halt = Some(Halt::Machine(format!("the machine gives no random bytes: {error}")));
        }
    }

    fn hash_seed(&mut self) -> (u64, u64) {
        hash_seed(&self.started.seed)
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Stop> {
        let repeats = self.repeats();
        self.calls.call(Call::Output).word(stream as u64).bytes(bytes);
        match stream {
            Stream::Stdout => self.stdout.extend_from_slice(bytes),
            Stream::Stderr => {
                self.stderr_tail.extend_from_slice(bytes);
                let excess = self.stderr_tail.len().saturating_sub(STDERR_TAIL);
                self.stderr_tail.drain(..excess);
            }
        }
        if !repeats && !(self.stdout_is_result && stream == Stream::Stdout) {
            self.observer.output(stream, bytes);
        }
        self.check_journal()
    }
}
