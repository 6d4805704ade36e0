//! The durable service, scripted: it commits, fires timers, and its clock is a function of the log.
//!
//! A row's timestamp is the last row's plus a fixed tick, or the end of a sleep. Timers that are due by then fire in the
//! same row as a checkpoint, before its updates, or in a row of their own when the execution is at rest. Nothing fires
//! between an invocation that was lost and the next: a log cut off behind any row goes on exactly as it did before, and
//! runs with and without crashes can be compared to the letter.
//!
//! What is done from outside (callbacks, invoked functions) follows the schedules that operations have for names. Each
//! deed is a row of its own, behind the timers that are due by then.

use crate::host::Stop;
use crate::log::{Ending, Event, How, Log, Millis, Rest, Status, What};
use crate::program::{Deed, FAILED, Outside, SHORT_SECONDS, STOPPED, TIMED_OUT, Target};
use crate::trace::End;
use std::collections::{BTreeMap, BTreeSet};

/// More than any program of sensible size needs.
const MOST_MOMENTS: usize = 20_000;

/// How long after an invocation that failed the next one begins, if [that has to wait](Script::failures_wait).
const REPEATED_AFTER: Millis = 1000;

/// Everything that is not the program: together they determine a run.
#[derive(Clone, Debug)]
pub struct Script {
    /// What the program's randomness is derived from.
    pub seed: u64,
    /// When the execution starts.
    pub started_at: Millis,
    /// How long after the row before it a checkpoint is recorded, milliseconds. Timers overlap with running steps if
    /// it is in the order of their seconds.
    pub tick: Millis,
    /// At which [moments](Moment) the process is killed, counted from 0 through all invocations.
    pub kills: BTreeSet<u64>,
    /// Whether an invocation that failed is repeated after a second, as with the real service. Otherwise it is repeated
    /// at once and in no time, like one that was lost, so that a body that trapped and one whose process died can be
    /// compared.
    pub failures_wait: bool,
    /// Whether what is done from outside may also come while an invocation runs, just before its next checkpoint or its
    /// end; otherwise it waits until the execution is at rest. Runs with and without crashes can be compared only
    /// without this: what comes while an invocation runs is seen earlier if that is repeated.
    pub meanwhile: bool,
    /// Attempts (operation id, number from 1) whose bodies trap, whatever the program says.
    pub traps: BTreeSet<(String, u32)>,
    /// A mistake in the host, to see whether the checks notice it.
    pub bug: Option<Bug>,
}

impl Script {
    /// No kills, no mistakes; 2026-01-01 and 7 ms.
    pub fn new(seed: u64) -> Self {
        let (kills, traps) = (BTreeSet::new(), BTreeSet::new());
        Self {
            seed,
            started_at: 1_767_225_600_000,
            tick: 7,
            failures_wait: false,
            meanwhile: false,
            kills,
            traps,
            bug: None,
        }
    }
}

/// Where a process can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The host is about to commit: nothing of it is in the log.
    BeforeCommit,
    /// It is in the log, and the host has not heard.
    BeforeAcknowledgement,
    /// The host has heard, and the guest has not.
    BeforeDelivery,
    /// A step's body runs: it has had its effect on the world, and the outcome is not known.
    InBody,
    /// All is recorded, and the host has not said that it suspends.
    AtSuspension,
}

/// Mistakes that a host could make. Each is one `if` in the model; each is noticed by a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A step's outcome is handed over before it is durable.
    DeliverBeforeCommit,
    /// A replay hands over completions in the order of the operations, not of the terminal events.
    SwapCompletions,
    /// Random numbers drawn in a body advance the generator.
    RandomNotRestored,
    /// What a body wrote into the guest's memory stays there.
    MemoryNotRestored,
    /// The clock is the service's present.
    WallClock,
    /// The clock is set to each delivered event's time, also when that is in its past.
    ClockGoesBack,
    /// An unfinished step runs while the log has deliveries left.
    RunPendingDuringReplay,
    /// Dropping a future tells nobody.
    DropCancel,
    /// An at-most-once START rides with the outcome.
    StartWithOutcome,
    /// An attempt that was started and has no outcome just runs again.
    RerunInterrupted,
    /// A CONTEXT's START and end are only recorded if something else is, later.
    ForgetRiders,
    /// What begins is not compared with what is recorded.
    CompareNothing,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 12] = [
        Bug::DeliverBeforeCommit,
        Bug::SwapCompletions,
        Bug::RandomNotRestored,
        Bug::MemoryNotRestored,
        Bug::WallClock,
        Bug::ClockGoesBack,
        Bug::RunPendingDuringReplay,
        Bug::DropCancel,
        Bug::StartWithOutcome,
        Bug::RerunInterrupted,
        Bug::ForgetRiders,
        Bug::CompareNothing,
    ];
}

/// A body that ran: its effect on the world, which nothing undoes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRun {
    /// The step.
    pub id: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether it was to run at most once.
    pub at_most_once: bool,
    /// Whether the log already had this attempt's outcome.
    pub finished_before: bool,
}

/// An attempt that the guest was told was interrupted: only the retry strategy ran.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interruption {
    /// The step.
    pub id: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether it was to run at most once.
    pub at_most_once: bool,
}

/// The service, and what the world remembers besides the log.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) log: Log,
    pub(crate) script: Script,
    pub(crate) bodies: Vec<BodyRun>,
    pub(crate) interruptions: Vec<Interruption>,
    pub(crate) orphans: BTreeSet<(String, u32)>,
    pub(crate) moments: Vec<Moment>,
    /// Chained executions that are closed, whether or not the log has it.
    closed: BTreeMap<String, (Event, Millis)>,
    /// When the invocation that runs began; none runs otherwise.
    began_at: Option<Millis>,
    /// Something came from outside that the worker has not heard of.
    unseen: bool,
    /// Where the last sleep took the clock: nothing is recorded before.
    slept_until: Millis,
}

impl Service {
    pub(crate) fn new(log: Log, script: Script) -> Self {
        let (bodies, interruptions, orphans) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self {
            log,
            script,
            bodies,
            interruptions,
            orphans,
            moments: Vec::new(),
            closed: BTreeMap::new(),
            began_at: None,
            unseen: false,
            slept_until: 0,
        }
    }

    /// The script may kill the process here.
    pub(crate) fn survive(&mut self, moment: Moment) -> Result<(), Stop> {
        if self.moments.len() >= MOST_MOMENTS {
            return Err(Stop::Refused(format!(
                "over {MOST_MOMENTS} commits, deliveries and bodies; the host runs in circles"
            )));
        }
        self.moments.push(moment);
        match self.script.kills.contains(&(self.moments.len() as u64 - 1)) {
            true => Err(Stop::Killed(moment)),
            false => Ok(()),
        }
    }

    fn now(&self) -> Millis {
        self.after(self.log.last_at())
    }

    /// Now, for a log whose newest row is of `latest`.
    fn after(&self, latest: Millis) -> Millis {
        self.slept_until.max(latest + self.script.tick)
    }

    /// Appends a row, all or nothing.
    fn commit(&mut self, at: Millis, events: Vec<Event>) -> Result<(), Stop> {
        self.append(at, events, false)
    }

    fn append(&mut self, at: Millis, events: Vec<Event>, outside: bool) -> Result<(), Stop> {
        self.survive(Moment::BeforeCommit)?;
        self.log.append(at, events, outside).map_err(Stop::Refused)?;
        self.survive(Moment::BeforeAcknowledgement)
    }

    /// What fires with the next row.
    pub(crate) fn due(&self) -> Vec<Event> {
        self.due_by(self.now())
    }

    fn due_by(&self, now: Millis) -> Vec<Event> {
        let due = self.log.timers().into_iter().take_while(|(due, _)| *due <= now);
        due.map(|(due, id)| {
            let operation = self.log.operation(id);
            let id = id.to_owned();
            match operation.map(|operation| (&operation.what, operation.started_at)) {
                Some((What::Wait { .. }, _)) => Event::WaitSucceeded { id },
                Some((What::Callback { timeout, .. }, started_at)) => {
                    let whole = *timeout > 0 && started_at + u64::from(*timeout) * 1000 == due;
                    let text = if whole { "Callback timed out" } else { "Callback timed out on heartbeat" };
                    Event::CallbackEnded { id, end: End::Error(text.into()), how: How::TimedOut }
                }
                _ => Event::StepReady { id },
            }
        })
        .collect()
    }

    /// The next thing that is done from outside: when, to which operation, and what that records.
    fn next_deed(&self) -> Option<(Millis, String, Event)> {
        let deeds = self.log.started().filter_map(|(id, operation)| {
            let schedule = match &operation.what {
                _ if operation.status != Status::Started => return None,
                What::Callback { name: Some(name), .. } | What::Invoke { name, .. } => name,
                What::Callback { name: None, .. } => match &self.log.operation(id.rsplit_once('-')?.0)?.what {
                    What::Context(name) => name,
                    _ => return None,
                },
                _ => return None,
            };
            let beats = matches!(operation.what, What::Callback { heartbeat: 1.., .. });
            let mut over = operation.heartbeats;
            let next = Outside::read(schedule).0.into_iter().find(|(_, deed)| {
                let skipped = *deed == Deed::Heartbeat && (!beats || over > 0);
                over -= usize::from(skipped && beats);
                !skipped
            });
            let (after, deed) = next?;
            Some((operation.started_at + after, id.to_owned(), done(id, &operation.what, deed)?))
        });
        // The first of those that are due first.
        deeds.min_by_key(|(due, _, _)| *due)
    }

    /// Does what is due of that, one row. False: nothing is.
    fn do_one(&mut self) -> Result<bool, Stop> {
        let Some((_, id, event)) = self.next_deed().filter(|(due, _, _)| *due <= self.now()) else { return Ok(false) };
        let mut not_before = self.log.last_at();
        if let Some(operation) = self.log.operation(&id)
            && let What::Invoke { function, .. } = &operation.what
            && *function != Target::Plain.function()
        {
            let started_at = operation.started_at;
            // An execution that times out does so on its own.
            if matches!(event, Event::InvokeEnded { how: How::TimedOut, .. }) {
                self.slept_until = self.slept_until.max(self.now());
            }
            // Its log has a row of its start and one of its end, and who invoked it hears of that no earlier.
            let ended_at = self.after(started_at + self.script.tick);
            not_before = not_before.max(ended_at);
            self.closed.insert(id.clone(), (event.clone(), ended_at));
        }
        // What is as old as the invocation that runs would count as part of what it was told at its start.
        let at = self.after(not_before).max(self.began_at.map_or(0, |began_at| began_at + 1));
        let mut events = self.due_by(at);
        if !events.iter().any(|fired| matches!(fired, Event::CallbackEnded { id: over, .. } if *over == id)) {
            events.push(event);
        }
        self.unseen |= !events.iter().all(|event| matches!(event, Event::CallbackHeartbeat { .. }));
        self.append(at, events, true)?;
        Ok(true)
    }

    /// What is done from outside while an invocation runs.
    pub(crate) fn meanwhile(&mut self) -> Result<(), Stop> {
        while self.script.meanwhile && self.do_one()? {}
        Ok(())
    }

    /// Ends of chained executions that a crash kept from the log.
    fn hear_of_the_closed(&mut self) -> Result<(), Stop> {
        let open = |(id, operation): (&str, &crate::log::Recorded)| {
            (operation.status == Status::Started).then(|| self.closed.get(id).cloned()).flatten()
        };
        let unheard: Vec<(Event, Millis)> = self.log.started().filter_map(open).collect();
        for (end, ended_at) in unheard {
            let at = self.after(self.log.last_at().max(ended_at));
            let mut events = self.due_by(at);
            events.push(end);
            self.append(at, events, true)?;
        }
        Ok(())
    }

    /// Commits a batch behind the timers that are due, and answers with everything that has changed: see [`Self::log`].
    pub(crate) fn checkpoint(&mut self, batch: Vec<Event>) -> Result<(), Stop> {
        let mut events = self.due();
        for event in batch {
            let unknown = match &event {
                Event::Started { id, what: What::Invoke { function, .. } } if function == Target::Nobody.function() => {
                    let end = End::Error(format!("Function not found: {function}"));
                    Some(Event::InvokeEnded { id: id.clone(), end, how: How::Failed })
                }
                _ => None,
            };
            events.push(event);
            events.extend(unknown);
        }
        self.unseen = false;
        // There may be nothing to record, and all the more to hear.
        if events.is_empty() { Ok(()) } else { self.commit(self.now(), events) }
    }

    /// Sleeps until an invocation has something to do. False if that will never be.
    pub(crate) fn invoke(&mut self) -> Result<bool, Stop> {
        self.hear_of_the_closed()?;
        let goes_on = self.sleep()?;
        (self.began_at, self.unseen) = (goes_on.then(|| self.now()), false);
        Ok(goes_on)
    }

    fn sleep(&mut self) -> Result<bool, Stop> {
        loop {
            let rest = match self.log.rest() {
                Rest::Failed(_) if !self.script.failures_wait => Rest::UnderWay,
                rest => rest,
            };
            if rest == Rest::UnderWay {
                return Ok(true);
            }
            let due = self.due();
            if !due.is_empty() {
                self.commit(self.now(), due)?;
            }
            let retry = match self.log.rest() {
                Rest::UnderWay | Rest::Woken => return Ok(true),
                Rest::Failed(at) if self.now() >= at + REPEATED_AFTER => return Ok(true),
                Rest::Failed(at) => Some(at + REPEATED_AFTER),
                Rest::Suspended => None,
            };
            if self.do_one()? {
                continue;
            }
            let timer = self.log.timers().first().map(|(due, _)| *due);
            let deed = self.next_deed().map(|(due, _, _)| due);
            match [timer, deed, retry].into_iter().flatten().min() {
                Some(next) => self.slept_until = self.slept_until.max(next),
                None => return Ok(false),
            }
        }
    }

    /// Notes that an invocation ended, and with it, perhaps, the execution.
    pub(crate) fn invocation_ended(&mut self, ending: Ending, execution: Option<Event>) -> Result<(), Stop> {
        self.meanwhile()?;
        let ending = match ending {
            Ending::Reported if self.unseen && execution.is_none() => Ending::Unaware,
            ending => ending,
        };
        self.began_at = None;
        let in_no_time = ending == Ending::Failed && !self.script.failures_wait;
        let at = if in_no_time { self.log.last_at() } else { self.now() };
        self.commit(at, [Event::InvocationCompleted(ending)].into_iter().chain(execution).collect())
    }

    /// The process died. The next one finds out whether an invocation was under way; no time passes.
    pub(crate) fn process_died(&mut self) -> Result<(), Stop> {
        self.began_at = None;
        self.orphans.extend(self.log.open_attempts());
        match self.log.rest() {
            Rest::UnderWay => {
                self.slept_until = 0;
                let lost = vec![Event::InvocationCompleted(Ending::Lost)];
                self.log.append(self.log.last_at(), lost, false).map_err(Stop::Refused)
            }
            _ => Ok(()),
        }
    }
}

/// What a deed records.
fn done(id: &str, what: &What, deed: Deed) -> Option<Event> {
    let id = id.to_owned();
    let failed = |text: &str| End::Error(text.into());
    let timed_out = match what {
        What::Invoke { function, .. } if function == Target::Plain.function() => TIMED_OUT.to_owned(),
        _ => format!("CHAINED_INVOKE timed out after {SHORT_SECONDS} seconds."),
    };
    let (end, how) = match deed {
        Deed::Succeed(value) => (End::Value(value), How::Succeeded),
        Deed::Fail => (failed(FAILED), How::Failed),
        Deed::TimeOut => (failed(&timed_out), How::TimedOut),
        Deed::Stop => (failed(STOPPED), How::Stopped),
        Deed::Heartbeat => return matches!(what, What::Callback { .. }).then_some(Event::CallbackHeartbeat { id }),
    };
    match what {
        What::Callback { .. } if matches!(how, How::Succeeded | How::Failed) => {
            Some(Event::CallbackEnded { id, end, how })
        }
        What::Invoke { .. } => Some(Event::InvokeEnded { id, end, how }),
        _ => None,
    }
}
