//! The host: the guest interface on one side, the service on the other. This is where replay happens.
//!
//! There is no replay mode. The host answers from the log as long as the log has the answer, and goes on live when it
//! has not: a fresh run, a resumption and the replay of a finished execution are the same code.

use crate::log::{Delivery, Ending, Event, Log, Millis, Recorded, SLEEP, Status, What};
use crate::program::{Callback, Verdict};
use crate::service::{BodyRun, Bug, Interruption, Moment, Service};
use crate::trace::End;

/// An operation of this run: 1, 2, 3... as they begin.
pub(crate) type Operation = u64;

/// The execution itself, as a parent.
pub(crate) const ROOT: Operation = 0;

/// Why an invocation is over. Its guest is gone, whatever the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The program ended, and its result is recorded.
    Ended,
    /// There is nothing to do before a timer is due.
    Suspended,
    /// A step's body trapped: the invocation failed.
    Trapped,
    /// The script killed the process.
    Killed(Moment),
    /// A replay without a service reached the end of an unfinished log.
    EndOfLog,
    /// The program is not the one that was recorded: what is recorded, what was requested, what to do.
    Diverged(String),
    /// The service does not accept what the host sent: a mistake in the host.
    Refused(String),
}

/// What [`Host::next`] hands over.
#[derive(Debug)]
pub(crate) enum Next {
    /// Run this step's body, then call [`Host::end`].
    Run { operation: Operation, attempt: u32, interrupted: bool, state: Option<i64> },
    /// A callback is durable.
    Started { operation: Operation },
    /// An operation ended.
    Completed { operation: Operation, end: End },
}

/// An operation that the guest has begun in this run.
struct Begun {
    id: String,
    what: What,
    at_most_once: bool,
    /// A blocking sleep: the guest knows nothing of it.
    blocking: bool,
    cancelled: bool,
    /// It numbers what is begun in it, and is recorded nowhere.
    is_virtual: bool,
    /// Its start was handed over.
    handed_start: bool,
    /// Its completion was handed over, or taken by a blocking sleep.
    handed: bool,
    /// The attempt whose START this very invocation has committed ahead of the body.
    started_here: Option<u32>,
    /// Operations begun in it so far.
    children: u64,
}

impl Begun {
    fn new(id: String, what: What) -> Self {
        Self {
            id,
            what,
            at_most_once: false,
            blocking: false,
            cancelled: false,
            is_virtual: false,
            handed_start: false,
            handed: false,
            started_here: None,
            children: 0,
        }
    }
}

/// One invocation's host.
pub(crate) struct Host<'s> {
    service: &'s mut Service,
    /// Whether anything may happen that is not in the log.
    live: bool,
    /// How many deliveries the log had when this invocation began.
    replayed: usize,
    begun: Vec<Begun>,
    /// What is to be recorded next, in order.
    batch: Vec<Event>,
    /// Microseconds.
    clock: u64,
    /// Random numbers drawn so far.
    draws: u64,
    /// In a step's body: clock and draws as they were before.
    sealed: Option<(u64, u64)>,
    /// Only for [`Bug::DeliverBeforeCommit`].
    early: Option<(Operation, End)>,
}

impl<'s> Host<'s> {
    pub(crate) fn new(service: &'s mut Service, live: bool) -> Self {
        let root = Begun::new(String::new(), What::Context(String::new()));
        Self {
            live,
            replayed: service.log.deliveries().len(),
            begun: vec![root],
            batch: Vec::new(),
            clock: service.log.started_at() * 1000,
            draws: 0,
            sealed: None,
            early: None,
            service,
        }
    }

    fn bug(&self, bug: Bug) -> bool {
        self.service.script.bug == Some(bug)
    }

    fn log(&self) -> &Log {
        &self.service.log
    }

    fn recorded(&self, operation: Operation) -> Option<&Recorded> {
        self.log().operation(&self.begun[operation as usize].id)
    }

    // Operations begin and are dropped. Nothing here touches the service.

    pub(crate) fn begin_step(&mut self, parent: Operation, name: &str, at_most_once: bool) -> Result<Operation, Stop> {
        let operation = self.begin(parent, What::Step(name.into()))?;
        self.begun[operation as usize].at_most_once = at_most_once;
        Ok(operation)
    }

    pub(crate) fn begin_wait(
        &mut self,
        parent: Operation,
        name: Option<String>,
        seconds: u32,
    ) -> Result<Operation, Stop> {
        self.begin(parent, What::Wait { name, seconds })
    }

    pub(crate) fn begin_context(&mut self, parent: Operation, name: &str) -> Result<Operation, Stop> {
        self.begin(parent, What::Context(name.into()))
    }

    pub(crate) fn begin_virtual(&mut self, parent: Operation) -> Operation {
        let id = self.place(parent);
        let context = Begun { is_virtual: true, ..Begun::new(id, What::Context(String::new())) };
        self.begun.push(context);
        self.begun.len() as Operation - 1
    }

    pub(crate) fn begin_condition(&mut self, parent: Operation, name: &str) -> Result<Operation, Stop> {
        self.begin(parent, What::Condition(name.into()))
    }

    pub(crate) fn begin_callback(
        &mut self,
        parent: Operation,
        name: Option<String>,
        callback: &Callback,
    ) -> Result<Operation, Stop> {
        let Callback { timeout, heartbeat, .. } = *callback;
        self.begin(parent, What::Callback { name, timeout, heartbeat })
    }

    pub(crate) fn begin_invoke(&mut self, parent: Operation, name: String, function: &str) -> Result<Operation, Stop> {
        self.begin(parent, What::Invoke { name, function: function.into() })
    }

    /// The id is the operation's position; whatever the log has at that position must be the same thing. A WAIT's or
    /// CONTEXT's (a callback's, an invoke's) START goes into the batch unless it is recorded; a step's comes when its body runs.
    fn begin(&mut self, parent: Operation, what: What) -> Result<Operation, Stop> {
        let id = self.place(parent);
        match self.log().operation(&id) {
            Some(recorded) if recorded.what != what && !self.bug(Bug::CompareNothing) => {
                return Err(Stop::Diverged(format!(
                    "operation {id}: recorded {:?}, requested {what:?}; run the program that was recorded",
                    recorded.what
                )));
            }
            Some(_) => {}
            None if what.is_step() => {}
            None => self.batch.push(Event::Started { id: id.clone(), what: what.clone() }),
        }
        self.begun.push(Begun::new(id, what));
        Ok(self.begun.len() as Operation - 1)
    }

    /// The next position in a context.
    fn place(&mut self, parent: Operation) -> String {
        let parent = &mut self.begun[parent as usize];
        parent.children += 1;
        match parent.id.as_str() {
            "" => parent.children.to_string(),
            path => format!("{path}-{}", parent.children),
        }
    }

    /// A context's body has run, as it does on every replay: recorded once, then compared.
    pub(crate) fn end_context(&mut self, context: Operation, end: &End) -> Result<(), Stop> {
        let id = self.begun[context as usize].id.clone();
        match self.recorded(context).map(|recorded| &recorded.status) {
            Some(Status::Ended { end: recorded, .. }) if recorded != end => Err(Stop::Diverged(format!(
                "context {id}: recorded {recorded:?}, now {end:?}; run the program that was recorded"
            ))),
            Some(Status::Ended { .. }) => Ok(()),
            _ => {
                self.batch.push(Event::ContextEnded { id, end: end.clone() });
                Ok(())
            }
        }
    }

    /// A future was dropped: nothing of this operation is handed over any more. A wait whose START is still in the batch
    /// was never begun, as far as the log is concerned; that of one that runs is recorded, with the next batch. A step
    /// just never runs (again): one that is parked between two attempts stays parked in the log. A callback or an invoke
    /// that was begun goes on, and nobody hears of it.
    pub(crate) fn cancel(&mut self, operation: Operation) {
        if self.bug(Bug::DropCancel) {
            return;
        }
        self.begun[operation as usize].cancelled = true;
        let Begun { id, what, .. } = &self.begun[operation as usize];
        if !matches!(what, What::Wait { .. } | What::Callback { .. } | What::Invoke { .. }) {
            return;
        }
        let (id, waits) = (id.clone(), matches!(what, What::Wait { .. }));
        let is_start = |event: &Event| matches!(event, Event::Started { id: started, .. } if *started == id);
        if let Some(unsent) = self.batch.iter().position(is_start) {
            self.batch.remove(unsent);
        } else if waits && self.is_started(operation) {
            self.batch.push(Event::WaitCancelled { id });
        }
    }

    // Events.

    /// The next event. Called when the guest is quiescent.
    pub(crate) fn next(&mut self) -> Result<Next, Stop> {
        if self.bug(Bug::RunPendingDuringReplay)
            && self.first_delivery()?.is_some()
            && let Some(operation) = self.first_runnable()
            && self.batch.is_empty()
        {
            return self.run(operation);
        }
        if let Some((operation, end)) = self.early.take() {
            self.begun[operation as usize].handed = true;
            return Ok(Next::Completed { operation, end });
        }
        loop {
            // 1. What is recorded comes first, in the order in which it was recorded.
            if let Some((operation, delivery)) = self.first_delivery()? {
                return self.deliver(operation, delivery);
            }
            // From here on, things happen that are not in the log.
            self.go_live()?;
            // 2. What the world must not outrun is committed; whatever came due meanwhile is in the answer.
            if self.batch.iter().any(Event::must_be_durable) {
                self.flush()?;
                continue;
            }
            // 3. A step's body runs.
            if let Some(operation) = self.first_runnable() {
                if self.must_commit_start(operation) {
                    // The body runs at once: what came with the answer is handed over afterwards.
                    self.flush()?;
                }
                return self.run(operation);
            }
            // 4. Nothing to do.
            if !self.batch.is_empty() && !self.bug(Bug::ForgetRiders) {
                self.flush()?;
                continue;
            }
            self.service.survive(Moment::AtSuspension)?;
            return Err(Stop::Suspended);
        }
    }

    /// The earliest recorded completion, or start of a callback, that the guest still waits for.
    fn first_delivery(&self) -> Result<Option<(Operation, Delivery)>, Stop> {
        let mut waited_for = Vec::new();
        for (place, (id, delivery)) in self.log().deliveries().iter().enumerate() {
            let Some(operation) = self.begun.iter().position(|begun| begun.id == *id && !begun.is_virtual) else {
                if self.bug(Bug::CompareNothing) || !waited_for.is_empty() {
                    continue;
                }
                return Err(Stop::Diverged(format!(
                    "operation {id} is recorded as completed, and the program, with nothing left to do, has not begun \
                     it; run the program that was recorded"
                )));
            };
            let handed = match delivery {
                Delivery::Start => self.begun[operation].handed_start,
                Delivery::End => self.begun[operation].handed,
            };
            if !self.begun[operation].cancelled && !handed {
                waited_for.push((operation as Operation, *delivery));
                if !self.bug(Bug::SwapCompletions) || place >= self.replayed {
                    break;
                }
            }
        }
        Ok(match self.bug(Bug::SwapCompletions) {
            true => waited_for.into_iter().min_by_key(|(operation, delivery)| (*operation, *delivery == Delivery::End)),
            false => waited_for.first().copied(),
        })
    }

    fn deliver(&mut self, operation: Operation, delivery: Delivery) -> Result<Next, Stop> {
        let fresh = (self.begun[operation as usize].id.clone(), delivery);
        if self.log().deliveries()[self.replayed..].contains(&fresh) {
            self.service.survive(Moment::BeforeDelivery)?;
        }
        if delivery == Delivery::Start {
            let started_at = self.recorded(operation).map_or(0, |recorded| recorded.started_at);
            self.begun[operation as usize].handed_start = true;
            self.advance_clock(started_at);
            return Ok(Next::Started { operation });
        }
        let Some(Status::Ended { end, at, .. }) = self.recorded(operation).map(|recorded| recorded.status.clone())
        else {
            return Err(Stop::Refused(format!("operation {operation} is handed over before it ended")));
        };
        self.begun[operation as usize].handed = true;
        self.advance_clock(at);
        Ok(Next::Completed { operation, end })
    }

    /// Everything that is recorded must have been requested by now; then, and with a service, the run goes on live.
    fn go_live(&self) -> Result<(), Stop> {
        self.all_requested()?;
        match self.log().result() {
            Some(_) if !self.bug(Bug::CompareNothing) => Err(Stop::Diverged(
                "the recorded execution has ended, and the program goes on; run the program that was recorded".into(),
            )),
            None if self.live => Ok(()),
            _ => Err(Stop::EndOfLog),
        }
    }

    /// Whether the program has begun all that is recorded, and dropped what is recorded as dropped.
    fn all_requested(&self) -> Result<(), Stop> {
        for (id, Recorded { what, status, .. }) in self.log().operations() {
            let wrong = match (self.begun.iter().find(|begun| begun.id == id && !begun.is_virtual), status) {
                (None, _) => "has not begun it",
                (Some(begun), Status::Cancelled) if !begun.cancelled => "still waits for it",
                _ => continue,
            };
            if !self.bug(Bug::CompareNothing) {
                return Err(Stop::Diverged(format!(
                    "operation {id}: recorded {what:?}, {status:?}; after all that is recorded the program {wrong}; \
                     run the program that was recorded"
                )));
            }
        }
        Ok(())
    }

    /// The step begun first among those that have something to do.
    fn first_runnable(&self) -> Option<Operation> {
        (1..self.begun.len() as Operation).find(|&operation| {
            let begun = &self.begun[operation as usize];
            let step = begun.what.is_step() && !begun.blocking;
            let status = self.recorded(operation).map(|recorded| &recorded.status);
            let idle = matches!(status, None | Some(Status::Ready | Status::Started));
            step && idle && !begun.cancelled && !begun.handed
        })
    }

    fn attempt(&self, operation: Operation) -> u32 {
        self.recorded(operation).map_or(0, |recorded| recorded.finished_attempts) + 1
    }

    /// Whether its (or the attempt's) START is in the log, and without an outcome.
    fn is_started(&self, operation: Operation) -> bool {
        matches!(self.recorded(operation), Some(recorded) if recorded.status == Status::Started)
    }

    /// At most once: the START is durable before the body runs. Puts it into the batch if it has yet to be.
    fn must_commit_start(&mut self, operation: Operation) -> bool {
        let attempt = self.attempt(operation);
        let ahead = self.begun[operation as usize].at_most_once && !self.bug(Bug::StartWithOutcome);
        if !ahead || self.is_started(operation) {
            return false;
        }
        self.begun[operation as usize].started_here = Some(attempt);
        self.push_step_start(operation);
        true
    }

    fn push_step_start(&mut self, operation: Operation) {
        let Begun { id, what, .. } = &self.begun[operation as usize];
        self.batch.push(Event::StepStarted { id: id.clone(), what: what.clone() });
    }

    /// Opens a body. A START without an outcome that is not ours is that of a process that died: the body may have had
    /// its effects, and only the retry strategy runs.
    fn run(&mut self, operation: Operation) -> Result<Next, Stop> {
        let attempt = self.attempt(operation);
        let begun = &self.begun[operation as usize];
        let (id, at_most_once, ours) = (begun.id.clone(), begun.at_most_once, begun.started_here == Some(attempt));
        let interrupted = self.is_started(operation) && !ours && !self.bug(Bug::RerunInterrupted);
        self.sealed = Some((self.clock, self.draws));
        if interrupted {
            self.service.interruptions.push(Interruption { id, attempt, at_most_once });
        } else {
            let finished_before = self.recorded(operation).is_some_and(|r| r.finished_attempts >= attempt);
            self.service.bodies.push(BodyRun { id, attempt, at_most_once, finished_before });
            self.service.survive(Moment::InBody)?;
        }
        let state = self.recorded(operation).and_then(|recorded| recorded.state);
        Ok(Next::Run { operation, attempt, interrupted, state })
    }

    /// Whether the script makes this attempt's body trap.
    pub(crate) fn must_trap(&self, operation: Operation, attempt: u32) -> bool {
        self.service.script.traps.contains(&(self.begun[operation as usize].id.clone(), attempt))
    }

    /// Closes a body: whatever it did to the guest is undone (by the caller, which owns the guest), and to clock and
    /// randomness (here). START rides with the outcome unless it is recorded; a trap records the START alone.
    pub(crate) fn end(&mut self, operation: Operation, verdict: Verdict) -> Result<(), Stop> {
        if let Some((clock, draws)) = self.sealed.take() {
            self.clock = clock;
            self.draws = if self.bug(Bug::RandomNotRestored) { self.draws } else { draws };
        }
        let started = self.is_started(operation);
        if !started {
            self.push_step_start(operation);
        }
        let id = self.begun[operation as usize].id.clone();
        let end = match verdict {
            Verdict::Succeed(value) => End::Value(value),
            Verdict::Fail(error) => End::Error(error),
            Verdict::Retry { error, seconds } => {
                self.batch.push(Event::StepRetried { id, seconds, error });
                return Ok(());
            }
            Verdict::Again { state, seconds } => {
                self.batch.push(Event::StepAgain { id, seconds, state });
                return Ok(());
            }
            Verdict::Trap if started => return Err(Stop::Trapped),
            Verdict::Trap => {
                self.flush()?;
                return Err(Stop::Trapped);
            }
        };
        if self.bug(Bug::DeliverBeforeCommit) {
            self.early = Some((operation, end.clone()));
        }
        self.batch.push(Event::StepEnded { id, end });
        Ok(())
    }

    /// Commits the batch. The service refuses a cancellation of what it says at the same time is over: those wait until
    /// it has been said.
    fn flush(&mut self) -> Result<(), Stop> {
        self.service.meanwhile()?;
        let due = self.service.due();
        let is_cancel = |event: &Event| matches!(event, Event::WaitCancelled { .. });
        let ended: Vec<String> = self.service.log.completions().to_vec();
        let over = |event: &Event| match event {
            Event::WaitCancelled { id } => due.contains(&Event::WaitSucceeded { id: id.clone() }) || ended.contains(id),
            _ => false,
        };
        let mut batch = std::mem::take(&mut self.batch);
        if !batch.iter().any(over) {
            return self.service.checkpoint(batch);
        }
        let cancels: Vec<Event> = batch.extract_if(.., |event| is_cancel(event)).collect();
        self.service.checkpoint(batch)?;
        self.batch = cancels.into_iter().filter(|event| !over(event)).collect();
        Ok(())
    }

    /// The program ended with this result: recorded once, then compared.
    pub(crate) fn finish(&mut self, result: &str) -> Result<(), Stop> {
        if let Some(recorded) = self.log().result().map(str::to_owned) {
            if let Some((operation, _)) = self.first_delivery()? {
                let id = &self.begun[operation as usize].id;
                return Err(Stop::Diverged(format!(
                    "the program ended, and the recorded one then saw operation {id} complete; run that program"
                )));
            }
            self.all_requested()?;
            let same = self.bug(Bug::CompareNothing) || (recorded == result && self.batch.is_empty());
            return if same { Ok(()) } else { Err(Stop::Diverged(self.differs(&recorded, result))) };
        }
        self.go_live()?;
        while !self.batch.is_empty() && !self.bug(Bug::ForgetRiders) {
            self.flush()?;
        }
        let succeeded = Event::ExecutionSucceeded { result: result.into() };
        self.service.invocation_ended(Ending::Reported, Some(succeeded))
    }

    fn differs(&self, recorded: &str, result: &str) -> String {
        match self.batch.first() {
            Some(event) => {
                format!("{event:?} is not in the log of an execution that has ended; run the recorded program")
            }
            None => format!("result: recorded {recorded}, now {result}; run the program that was recorded"),
        }
    }

    // Time and chance.

    /// A plain sleep blocks the guest, so its completion overtakes those that wait for `next`. Setting the timer reads
    /// the clock, and so does the look at whether it is due already.
    pub(crate) fn sleep(&mut self, millis: u64) -> Result<(), Stop> {
        if millis == 0 {
            return Ok(());
        }
        let deadline = self.clock() + millis * 1000;
        self.clock();
        let short = millis < 1000;
        let what = match short {
            true => What::Step(SLEEP.into()),
            false => What::Wait { name: Some(SLEEP.into()), seconds: millis.div_ceil(1000) as u32 },
        };
        let operation = self.begin(ROOT, what)?;
        self.begun[operation as usize].blocking = true;
        loop {
            if let Some(&Status::Ended { at, .. }) = self.recorded(operation).map(|recorded| &recorded.status) {
                self.begun[operation as usize].handed = true;
                self.advance_clock(at);
                self.clock = self.clock.max(deadline);
                return Ok(());
            }
            self.go_live()?;
            if short {
                // The host really sleeps here, then records a step that needs no guest.
                if !self.is_started(operation) {
                    self.push_step_start(operation);
                }
                let id = self.begun[operation as usize].id.clone();
                self.batch.push(Event::StepEnded { id, end: End::Value(0) });
            } else if self.batch.is_empty() {
                self.service.survive(Moment::AtSuspension)?;
                return Err(Stop::Suspended);
            }
            self.flush()?;
        }
    }

    /// Reads the virtual clock, microseconds since the Unix epoch. Every read moves it by one.
    pub(crate) fn clock(&mut self) -> u64 {
        if self.bug(Bug::WallClock) {
            return self.log().last_at() * 1000;
        }
        self.clock += 1;
        self.clock
    }

    /// What is handed over was recorded then: the clock is at least there.
    fn advance_clock(&mut self, at: Millis) {
        self.clock = if self.bug(Bug::ClockGoesBack) { at * 1000 } else { self.clock.max(at * 1000) };
    }

    /// Draws a random number: the generator's state is how many were drawn.
    pub(crate) fn random(&mut self) -> u64 {
        self.draws += 1;
        random(self.service.script.seed, self.draws)
    }
}

/// The `draw`-th random number (from 1) of an execution with this seed: SplitMix64.
pub fn random(seed: u64, draw: u64) -> u64 {
    let mut mixed = seed.wrapping_add(draw.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Event {
    /// Whether the guest may go on only once this is committed. The rest rides with whatever is committed next.
    fn must_be_durable(&self) -> bool {
        let context = matches!(self, Event::Started { what: What::Context(_), .. } | Event::ContextEnded { .. });
        !context && !matches!(self, Event::WaitCancelled { .. })
    }
}
