//! The durable service, scripted: it commits, fires timers, and its clock is a function of the log.
//!
//! A checkpoint's timestamp is the last row's plus a fixed tick; a timer fires in a row of its own, right behind the
//! first row at whose timestamp it is due, or when the execution sleeps until then. Hence a log cut off behind any row
//! goes on exactly as it did before, and runs with and without crashes can be compared to the letter.

use crate::host::Stop;
use crate::log::{Event, Log, Millis, What};
use std::collections::BTreeSet;

/// More than any program of sensible size needs.
const MOST_MOMENTS: usize = 20_000;

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
    /// Attempts (operation id, number from 1) whose bodies trap, whatever the program says.
    pub traps: BTreeSet<(String, u32)>,
    /// A mistake in the host, to see whether the checks notice it.
    pub bug: Option<Bug>,
}

impl Script {
    /// No kills, no mistakes; 2026-01-01 and 7 ms.
    pub fn new(seed: u64) -> Self {
        let (kills, traps) = (BTreeSet::new(), BTreeSet::new());
        Self { seed, started_at: 1_767_225_600_000, tick: 7, kills, traps, bug: None }
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
    pub(crate) moments: Vec<Moment>,
}

impl Service {
    pub(crate) fn new(log: Log, script: Script) -> Self {
        Self { log, script, bodies: Vec::new(), interruptions: Vec::new(), moments: Vec::new() }
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

    /// Commits a batch, all or nothing, and answers with everything that has changed: see [`Self::log`].
    pub(crate) fn checkpoint(&mut self, batch: Vec<Event>) -> Result<(), Stop> {
        self.survive(Moment::BeforeCommit)?;
        self.log.append(self.log.last_at() + self.script.tick, batch).map_err(Stop::Refused)?;
        self.fire_due().map_err(Stop::Refused)?;
        self.survive(Moment::BeforeAcknowledgement)
    }

    /// Fires what is due by now.
    pub(crate) fn fire_due(&mut self) -> Result<(), String> {
        while self.log.first_timer().is_some_and(|(due, _)| due <= self.log.last_at()) {
            self.fire_first()?;
        }
        Ok(())
    }

    /// Sleeps until the earliest timer is due, and fires that. False if there is none.
    pub(crate) fn fire_first(&mut self) -> Result<bool, String> {
        let Some((due, id)) = self.log.first_timer() else { return Ok(false) };
        let id = id.to_owned();
        let fired = match self.log.operation(&id).map(|operation| &operation.what) {
            Some(What::Wait(_)) => Event::WaitSucceeded { id },
            _ => Event::StepReady { id },
        };
        self.log.append(due.max(self.log.last_at()), vec![fired])?;
        Ok(true)
    }

    /// Notes that an invocation ended. No time passes.
    pub(crate) fn invocation_ended(&mut self) -> Result<(), String> {
        self.log.append(self.log.last_at(), vec![Event::InvocationCompleted])
    }
}
