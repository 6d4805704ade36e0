//! The guest: an interpreter of programs that knows the host's calls and nothing of replay.
//!
//! It stands for a workflow compiled with an SDK. [`Body::poll`] is what polling a future is: it goes as far as it can
//! and says whether it is done. [`Body::drop_pending`] is what dropping one is. The program is a task, and so is each
//! item of a batch; tasks are polled in the order in which they were woken. The whole guest is a value, so that the host
//! can put it back to where it was before a step's body ran: here by keeping a copy, there by remapping memory.

mod batch;
mod body;

use crate::host::{Host, Operation, ROOT, Stop};
use crate::program::{Outcome, Poll, Program, Verdict, attempt, poll};
use crate::trace::{End, Observed, Trace};
use batch::{Batch, Item};
use body::Body;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A running program.
#[derive(Clone)]
pub(crate) struct Guest<'p> {
    memory: Memory<'p>,
}

type Task = u64;

/// The program's own task.
const MAIN: Task = 0;

/// All that the guest has.
#[derive(Clone, Default)]
struct Memory<'p> {
    trace: Trace,
    /// The closures of the steps and conditions that were begun.
    bodies: BTreeMap<Operation, Attempts<'p>>,
    /// What was handed over and not yet looked at.
    arrived: BTreeMap<Operation, End>,
    /// Callbacks whose ids were handed over and not yet looked at.
    started: BTreeSet<Operation>,
    /// Who waits for it: the task that looked last.
    waiting: BTreeMap<Operation, Task>,
    /// None: being polled.
    tasks: BTreeMap<Task, Option<Work<'p>>>,
    next_task: Task,
    woken: VecDeque<Task>,
    batches: BTreeMap<u64, Batch<'p>>,
    next_batch: u64,
}

/// What the attempts of a step or condition do.
#[derive(Clone, Copy)]
enum Attempts<'p> {
    Step(&'p [Outcome]),
    Condition(&'p [Poll]),
}

/// What a task does.
#[derive(Clone)]
enum Work<'p> {
    Main(Body<'p>),
    Item { batch: u64, index: usize, item: Item<'p> },
}

impl<'p> Guest<'p> {
    pub(crate) fn new(program: &'p Program) -> Self {
        let mut memory = Memory::default();
        memory.spawn(Work::Main(Body::new(ROOT, &program.0)));
        Self { memory }
    }

    /// Goes on until there is nothing left to do without an event (none), or the program has ended (its result).
    pub(crate) fn poll(&mut self, host: &mut Host) -> Result<Option<String>, Stop> {
        let memory = &mut self.memory;
        while let Some(task) = memory.woken.pop_front() {
            let Some(mut work) = memory.tasks.get_mut(&task).and_then(Option::take) else { continue };
            let end = match &mut work {
                Work::Main(body) => body.poll(host, memory, task)?,
                Work::Item { item, .. } => item.poll(host, memory, task)?,
            };
            match (work, end) {
                (work, None) => {
                    memory.tasks.insert(task, Some(work));
                }
                (Work::Item { batch, index, .. }, Some(end)) => {
                    memory.tasks.remove(&task);
                    memory.settle(host, batch, index, end)?;
                }
                (Work::Main(_), Some(end)) => {
                    memory.trace.0.push(Observed::Ended(end));
                    return Ok(Some(serde_json::to_string(&memory.trace).expect("a trace is plain data")));
                }
            }
        }
        Ok(None)
    }

    /// Takes the outcome of an operation, and wakes who waits for it.
    pub(crate) fn complete(&mut self, operation: Operation, end: End) {
        self.memory.arrived.insert(operation, end);
        self.memory.wake_waiting(operation);
    }

    /// Takes a callback's id, and wakes who waits for it.
    pub(crate) fn start(&mut self, operation: Operation) {
        self.memory.started.insert(operation);
        self.memory.wake_waiting(operation);
    }

    /// Runs a step's body. It leaves traces all over the guest, and draws a random number, as a real one may: whatever
    /// of that outlives the body shows up in a replay, where the body does not run.
    pub(crate) fn run_body(
        &mut self,
        host: &mut Host,
        operation: Operation,
        number: u32,
        interrupted: bool,
        state: Option<i64>,
    ) -> Verdict {
        let noise = host.random();
        host.clock();
        self.memory.trace.0.push(Observed::Random(noise));
        if let Some(Some(Work::Main(body))) = self.memory.tasks.get_mut(&MAIN) {
            body.scribble();
        }
        match self.memory.bodies[&operation] {
            Attempts::Step(outcomes) => attempt(outcomes, number, interrupted),
            Attempts::Condition(polls) => poll(polls, number, state, interrupted),
        }
    }

    pub(crate) fn trace(self) -> Trace {
        self.memory.trace
    }
}

impl<'p> Memory<'p> {
    fn spawn(&mut self, work: Work<'p>) -> Task {
        let task = self.next_task;
        self.next_task += 1;
        self.tasks.insert(task, Some(work));
        self.wake(task);
        task
    }

    fn wake(&mut self, task: Task) {
        if !self.woken.contains(&task) {
            self.woken.push_back(task);
        }
    }

    fn wake_waiting(&mut self, operation: Operation) {
        if let Some(task) = self.waiting.remove(&operation) {
            self.wake(task);
        }
    }

    /// The operation's end, if it is there; otherwise the task is woken by it.
    fn end_of(&mut self, operation: Operation, task: Task) -> Option<End> {
        let end = self.arrived.remove(&operation);
        if end.is_none() {
            self.waiting.insert(operation, task);
        }
        end
    }

    /// Whether the callback's id is there; otherwise the task is woken by it.
    fn is_called(&mut self, operation: Operation, task: Task) -> bool {
        let started = self.started.remove(&operation);
        if !started {
            self.waiting.insert(operation, task);
        }
        started
    }

    /// Drops a task that is not being polled.
    fn abort(&mut self, host: &mut Host, task: Task) {
        if let Some(Some(Work::Item { item, .. })) = self.tasks.remove(&task) {
            item.drop_pending(host, self);
        }
    }
}
