//! The guest: an interpreter of programs that knows the host's calls and nothing of replay.
//!
//! It stands for a workflow compiled with an SDK. [`Body::poll`] is what polling a future is: it goes as far as it can
//! and says whether it is done. [`Body::drop_pending`] is what dropping one is. The whole guest is a value, so that the host
//! can put it back to where it was before a step's body ran: here by keeping a copy, there by remapping memory.

use crate::host::{Host, Operation, ROOT, Stop};
use crate::program::{Outcome, Program, Statement, Verdict, attempt};
use crate::trace::{End, Observed, Trace};
use std::collections::BTreeMap;

/// A running program.
#[derive(Clone)]
pub(crate) struct Guest<'p> {
    main: Body<'p>,
    memory: Memory<'p>,
}

/// What the guest has besides its stack of futures.
#[derive(Clone, Default)]
struct Memory<'p> {
    trace: Trace,
    /// The closures of the steps that were begun.
    steps: BTreeMap<Operation, &'p [Outcome]>,
    /// What was handed over and not yet looked at.
    arrived: BTreeMap<Operation, End>,
}

/// A body being run: an async block.
#[derive(Clone)]
struct Body<'p> {
    context: Operation,
    /// What is left to do, last first.
    left: Vec<&'p Statement>,
    pending: Option<Pending<'p>>,
    value: i64,
}

/// What a body waits for.
#[derive(Clone)]
enum Pending<'p> {
    Step { operation: Operation, name: &'p str },
    Wait { operation: Operation, seconds: u32 },
    Child { operation: Operation, name: &'p str, body: Box<Body<'p>> },
    Join(Vec<Branch<'p>>),
    Select(Vec<Body<'p>>),
}

#[derive(Clone)]
enum Branch<'p> {
    Running(Body<'p>),
    Ended(End),
}

impl<'p> Guest<'p> {
    pub(crate) fn new(program: &'p Program) -> Self {
        Self { main: Body::new(ROOT, &program.0), memory: Memory::default() }
    }

    /// Goes on until there is nothing left to do without an event (none), or the program has ended (its result).
    pub(crate) fn poll(&mut self, host: &mut Host) -> Result<Option<String>, Stop> {
        let Some(end) = self.main.poll(host, &mut self.memory)? else { return Ok(None) };
        self.memory.trace.0.push(Observed::Ended(end));
        Ok(Some(serde_json::to_string(&self.memory.trace).expect("a trace is plain data")))
    }

    /// Takes the outcome of an operation; the next poll finds it.
    pub(crate) fn complete(&mut self, operation: Operation, end: End) {
        self.memory.arrived.insert(operation, end);
    }

    /// Runs a step's body. It leaves traces all over the guest, and draws a random number, as a real one may: whatever
    /// of that outlives the body shows up in a replay, where the body does not run.
    pub(crate) fn run_body(
        &mut self,
        host: &mut Host,
        operation: Operation,
        number: u32,
        interrupted: bool,
    ) -> Verdict {
        let noise = host.random();
        host.clock();
        self.memory.trace.0.push(Observed::Random(noise));
        self.main.value = self.main.value.wrapping_add(1);
        attempt(self.memory.steps[&operation], number, interrupted)
    }

    pub(crate) fn trace(self) -> Trace {
        self.memory.trace
    }
}

impl<'p> Body<'p> {
    fn new(context: Operation, statements: &'p [Statement]) -> Self {
        Self { context, left: statements.iter().rev().collect(), pending: None, value: 0 }
    }

    /// How the body ended, or none while it waits.
    fn poll(&mut self, host: &mut Host, memory: &mut Memory<'p>) -> Result<Option<End>, Stop> {
        loop {
            if let Some(pending) = &mut self.pending {
                let Some(end) = pending.poll(host, memory)? else { return Ok(None) };
                let step = matches!(self.pending.take(), Some(Pending::Step { .. }));
                match end {
                    End::Value(value) => self.value = self.value.wrapping_add(value),
                    End::Error(error) if step => return Ok(Some(End::Error(error))),
                    End::Error(_) => {}
                }
            }
            let Some(statement) = self.left.pop() else { return Ok(Some(End::Value(self.value))) };
            match statement {
                Statement::Step { name, attempts, at_most_once } => {
                    let operation = host.begin_step(self.context, name, *at_most_once)?;
                    memory.steps.insert(operation, attempts);
                    self.pending = Some(Pending::Step { operation, name });
                }
                Statement::Wait { seconds } => {
                    let operation = host.begin_wait(self.context, *seconds)?;
                    self.pending = Some(Pending::Wait { operation, seconds: *seconds });
                }
                Statement::Child { name, body } => {
                    let operation = host.begin_context(self.context, name)?;
                    let body = Box::new(Body::new(operation, body));
                    self.pending = Some(Pending::Child { operation, name, body });
                }
                Statement::Join(branches) => {
                    let branches = branches.iter().map(|branch| Branch::Running(Body::new(self.context, branch)));
                    self.pending = Some(Pending::Join(branches.collect()));
                }
                Statement::Select(branches) if branches.is_empty() => {}
                Statement::Select(branches) => {
                    let branches = branches.iter().map(|branch| Body::new(self.context, branch));
                    self.pending = Some(Pending::Select(branches.collect()));
                }
                Statement::Sleep { millis } => {
                    host.sleep(*millis)?;
                    memory.trace.0.push(Observed::Slept(*millis));
                }
                Statement::ReadClock => memory.trace.0.push(Observed::Clock(host.clock())),
                Statement::Random => memory.trace.0.push(Observed::Random(host.random())),
                Statement::Print(text) => memory.trace.0.push(Observed::Printed(text.clone())),
                Statement::Repeat { times, body } => {
                    (0..*times).for_each(|_| self.left.extend(body.iter().rev()));
                }
                Statement::Return => return Ok(Some(End::Value(self.value))),
            }
        }
    }

    /// Drops the body. An ended one has nothing left to drop.
    fn drop_pending(self, host: &mut Host) {
        match self.pending {
            None => {}
            Some(Pending::Step { operation, .. } | Pending::Wait { operation, .. }) => host.cancel(operation),
            Some(Pending::Child { body, .. }) => body.drop_pending(host),
            Some(Pending::Select(branches)) => branches.into_iter().for_each(|branch| branch.drop_pending(host)),
            Some(Pending::Join(branches)) => {
                for branch in branches {
                    if let Branch::Running(body) = branch {
                        body.drop_pending(host);
                    }
                }
            }
        }
    }
}

impl<'p> Pending<'p> {
    /// How it ended, once it has; and the guest has seen it.
    fn poll(&mut self, host: &mut Host, memory: &mut Memory<'p>) -> Result<Option<End>, Stop> {
        let (end, seen) = match self {
            Self::Step { operation, name } => {
                let Some(end) = memory.arrived.remove(operation) else { return Ok(None) };
                (end.clone(), Observed::Step { name: (*name).into(), end })
            }
            Self::Wait { operation, seconds } => {
                let Some(end) = memory.arrived.remove(operation) else { return Ok(None) };
                (end, Observed::Waited(*seconds))
            }
            Self::Child { operation, name, body } => {
                let Some(end) = body.poll(host, memory)? else { return Ok(None) };
                host.end_context(*operation, &end)?;
                (end.clone(), Observed::Child { name: (*name).into(), end })
            }
            Self::Join(branches) => {
                for branch in branches.iter_mut() {
                    if let Branch::Running(body) = branch
                        && let Some(end) = body.poll(host, memory)?
                    {
                        *branch = Branch::Ended(end);
                    }
                }
                let ended = |branch: &Branch| match branch {
                    Branch::Ended(end) => Some(end.clone()),
                    Branch::Running(_) => None,
                };
                let Some(ends) = branches.iter().map(ended).collect::<Option<Vec<End>>>() else { return Ok(None) };
                let value = |end: &End| if let End::Value(value) = end { *value } else { 0 };
                (End::Value(ends.iter().map(value).fold(0, i64::wrapping_add)), Observed::Joined(ends))
            }
            Self::Select(branches) => {
                let mut winner = None;
                for (index, branch) in branches.iter_mut().enumerate() {
                    if let Some(end) = branch.poll(host, memory)? {
                        winner = Some((index, end));
                        break;
                    }
                }
                let Some((branch, end)) = winner else { return Ok(None) };
                branches.drain(..).for_each(|branch| branch.drop_pending(host));
                (end.clone(), Observed::Selected { branch, end })
            }
        };
        memory.trace.0.push(seen);
        Ok(Some(end))
    }
}
