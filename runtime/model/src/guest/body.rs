//! Bodies, and what they wait for.

use super::batch::{Begin, Ended, Over};
use super::{Attempts, Memory, Task};
use crate::host::{Host, Operation, Stop};
use crate::program::{ALL_FAILED, Callback, Combinator, Outcome, Statement};
use crate::trace::{End, Observed};

/// A body being run: an async block.
#[derive(Clone)]
pub(super) struct Body<'p> {
    context: Operation,
    /// What is left to do, last first.
    left: Vec<&'p Statement>,
    pending: Option<Pending<'p>>,
    value: i64,
}

/// A body in a context of its own.
#[derive(Clone)]
pub(super) struct Scope<'p> {
    operation: Operation,
    /// Not a virtual one.
    recorded: bool,
    body: Box<Body<'p>>,
}

/// What a body waits for.
#[derive(Clone)]
enum Pending<'p> {
    Step {
        operation: Operation,
        name: &'p str,
    },
    Wait {
        operation: Operation,
        seconds: u32,
    },
    Child {
        name: &'p str,
        scope: Scope<'p>,
    },
    Join(Vec<Branch<'p>>),
    Select(Vec<Body<'p>>),
    Callback {
        operation: Operation,
        name: String,
        called: bool,
    },
    Submit {
        context: Operation,
        callback: Operation,
        name: String,
        attempts: &'p [Outcome],
        stage: Submitting,
    },
    Invoke {
        operation: Operation,
        function: &'static str,
    },
    Condition {
        operation: Operation,
        name: &'p str,
    },
    Batch {
        context: Operation,
        name: &'p str,
        batch: u64,
    },
    Combine {
        context: Operation,
        name: &'p str,
        how: Combinator,
        batch: u64,
    },
    Retry {
        block: Operation,
        name: &'p str,
        seconds: u32,
        left: &'p [Vec<Statement>],
        number: u32,
        stage: Retrying<'p>,
    },
}

/// Where a callback with its submitter is.
#[derive(Clone, Copy)]
enum Submitting {
    Calling,
    Step(Operation),
    Called,
}

/// Where a retried block is.
#[derive(Clone)]
enum Retrying<'p> {
    Attempt(Scope<'p>),
    Backoff(Operation),
}

#[derive(Clone)]
enum Branch<'p> {
    Running(Body<'p>),
    Ended(End),
}

fn value(end: &End) -> i64 {
    if let End::Value(value) = end { *value } else { 0 }
}

fn sum<'e>(ends: impl IntoIterator<Item = &'e End>) -> i64 {
    ends.into_iter().map(value).fold(0, i64::wrapping_add)
}

impl<'p> Body<'p> {
    pub(super) fn new(context: Operation, statements: &'p [Statement]) -> Self {
        Self { context, left: statements.iter().rev().collect(), pending: None, value: 0 }
    }

    /// Something that a step's body must not leave behind.
    pub(super) fn scribble(&mut self) {
        self.value = self.value.wrapping_add(1);
    }

    /// How the body ended, or none while it waits.
    pub(super) fn poll(&mut self, host: &mut Host, memory: &mut Memory<'p>, task: Task) -> Result<Option<End>, Stop> {
        loop {
            if let Some(pending) = &mut self.pending {
                let Some(end) = pending.poll(host, memory, task)? else { return Ok(None) };
                let step = matches!(self.pending.take(), Some(Pending::Step { .. }));
                match end {
                    End::Value(value) => self.value = self.value.wrapping_add(value),
                    End::Error(error) if step => return Ok(Some(End::Error(error))),
                    End::Error(_) => {}
                }
            }
            let Some(statement) = self.left.pop() else { return Ok(Some(End::Value(self.value))) };
            match statement {
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
                Statement::Select(branches) if branches.is_empty() => {}
                other => self.pending = Some(Pending::begin(self.context, other, host, memory)?),
            }
        }
    }

    /// Drops the body. An ended one has nothing left to drop.
    pub(super) fn drop_pending(self, host: &mut Host, memory: &mut Memory<'p>) {
        match self.pending {
            None => {}
            Some(
                Pending::Step { operation, .. }
                | Pending::Wait { operation, .. }
                | Pending::Callback { operation, .. }
                | Pending::Invoke { operation, .. }
                | Pending::Condition { operation, .. },
            ) => host.cancel(operation),
            Some(Pending::Child { scope, .. }) => scope.drop_pending(host, memory),
            Some(Pending::Select(branches)) => {
                branches.into_iter().for_each(|branch| branch.drop_pending(host, memory));
            }
            Some(Pending::Join(branches)) => {
                for branch in branches {
                    if let Branch::Running(body) = branch {
                        body.drop_pending(host, memory);
                    }
                }
            }
            Some(Pending::Submit { callback, stage, .. }) => {
                if let Submitting::Step(step) = stage {
                    host.cancel(step);
                }
                host.cancel(callback);
            }
            Some(Pending::Batch { batch, .. } | Pending::Combine { batch, .. }) => memory.drop_batch(host, batch),
            Some(Pending::Retry { stage, .. }) => match stage {
                Retrying::Attempt(scope) => scope.drop_pending(host, memory),
                Retrying::Backoff(wait) => host.cancel(wait),
            },
        }
    }
}

impl<'p> Scope<'p> {
    pub(super) fn new(operation: Operation, recorded: bool, body: &'p [Statement]) -> Self {
        Self { operation, recorded, body: Box::new(Body::new(operation, body)) }
    }

    pub(super) fn poll(&mut self, host: &mut Host, memory: &mut Memory<'p>, task: Task) -> Result<Option<End>, Stop> {
        let Some(end) = self.body.poll(host, memory, task)? else { return Ok(None) };
        if self.recorded {
            host.end_context(self.operation, &end)?;
        }
        Ok(Some(end))
    }

    pub(super) fn drop_pending(self, host: &mut Host, memory: &mut Memory<'p>) {
        self.body.drop_pending(host, memory);
    }
}

impl<'p> Pending<'p> {
    /// Begins what a statement waits for; those that wait for nothing are not for here.
    fn begin(
        context: Operation,
        statement: &'p Statement,
        host: &mut Host,
        memory: &mut Memory<'p>,
    ) -> Result<Self, Stop> {
        Ok(match statement {
            Statement::Step { name, attempts, at_most_once } => {
                let operation = host.begin_step(context, name, *at_most_once)?;
                memory.bodies.insert(operation, Attempts::Step(attempts));
                Self::Step { operation, name }
            }
            Statement::Wait { seconds } => {
                Self::Wait { operation: host.begin_wait(context, None, *seconds)?, seconds: *seconds }
            }
            Statement::Child { name, body } => {
                Self::Child { name, scope: Scope::new(host.begin_context(context, name)?, true, body) }
            }
            Statement::Virtual(body) => {
                Self::Child { name: "virtual", scope: Scope::new(host.begin_virtual(context), false, body) }
            }
            Statement::Join(branches) => {
                Self::Join(branches.iter().map(|branch| Branch::Running(Body::new(context, branch))).collect())
            }
            Statement::Select(branches) => {
                Self::Select(branches.iter().map(|branch| Body::new(context, branch)).collect())
            }
            Statement::Callback(callback) => {
                let name = callback.outside.name();
                let operation = host.begin_callback(context, Some(name.clone()), callback)?;
                Self::Callback { operation, name, called: false }
            }
            Statement::Submit { callback, attempts } => Self::submit(context, callback, attempts, host)?,
            Statement::Invoke { target, outside } => {
                let function = target.function();
                Self::Invoke { operation: host.begin_invoke(context, outside.name(), function)?, function }
            }
            Statement::Condition { name, polls } => {
                let operation = host.begin_condition(context, name)?;
                memory.bodies.insert(operation, Attempts::Condition(polls));
                Self::Condition { operation, name }
            }
            Statement::Batch { name, items, at_once, completion, flat, map: _ } => {
                let context = host.begin_context(context, name)?;
                let begin = if *flat { Begin::Virtual(context) } else { Begin::Context(context) };
                let over = Over::Completion(*completion);
                Self::Batch { context, name, batch: memory.begin_batch(host, items, begin, *at_once, over)? }
            }
            Statement::Combine { name, how, branches } => {
                let outer = context;
                let context = host.begin_context(outer, name)?;
                let batch = memory.begin_batch(host, branches, Begin::Later(outer), 0, (*how).into())?;
                Self::Combine { context, name, how: *how, batch }
            }
            Statement::Retry { name, seconds, attempts } => {
                let block = host.begin_context(context, name)?;
                let (first, left) = attempts.split_first().map_or((&[][..], &[][..]), |(one, left)| (&one[..], left));
                let stage = Retrying::Attempt(Scope::new(host.begin_context(block, "attempt-1")?, true, first));
                Self::Retry { block, name, seconds: *seconds, left, number: 1, stage }
            }
            Statement::Sleep { .. }
            | Statement::ReadClock
            | Statement::Random
            | Statement::Print(_)
            | Statement::Repeat { .. }
            | Statement::Return => Self::Join(Vec::new()),
        })
    }

    fn submit(
        context: Operation,
        callback: &'p Callback,
        attempts: &'p [Outcome],
        host: &mut Host,
    ) -> Result<Self, Stop> {
        let name = callback.outside.name();
        let context = host.begin_context(context, &name)?;
        let callback = host.begin_callback(context, None, callback)?;
        Ok(Self::Submit { context, callback, name, attempts, stage: Submitting::Calling })
    }

    /// How it ended, once it has; and the guest has seen it.
    fn poll(&mut self, host: &mut Host, memory: &mut Memory<'p>, task: Task) -> Result<Option<End>, Stop> {
        let (end, seen) = match self {
            Self::Step { operation, name } => {
                let Some(end) = memory.end_of(*operation, task) else { return Ok(None) };
                (end.clone(), Observed::Step { name: (*name).into(), end })
            }
            Self::Wait { operation, seconds } => {
                let Some(end) = memory.end_of(*operation, task) else { return Ok(None) };
                (end, Observed::Waited(*seconds))
            }
            Self::Child { name, scope } => {
                let Some(end) = scope.poll(host, memory, task)? else { return Ok(None) };
                (end.clone(), Observed::Child { name: (*name).into(), end })
            }
            Self::Join(branches) => {
                for branch in branches.iter_mut() {
                    if let Branch::Running(body) = branch
                        && let Some(end) = body.poll(host, memory, task)?
                    {
                        *branch = Branch::Ended(end);
                    }
                }
                let ended = |branch: &Branch| match branch {
                    Branch::Ended(end) => Some(end.clone()),
                    Branch::Running(_) => None,
                };
                let Some(ends) = branches.iter().map(ended).collect::<Option<Vec<End>>>() else { return Ok(None) };
                (End::Value(sum(&ends)), Observed::Joined(ends))
            }
            Self::Select(branches) => {
                let mut winner = None;
                for (index, branch) in branches.iter_mut().enumerate() {
                    if let Some(end) = branch.poll(host, memory, task)? {
                        winner = Some((index, end));
                        break;
                    }
                }
                let Some((branch, end)) = winner else { return Ok(None) };
                branches.drain(..).for_each(|branch| branch.drop_pending(host, memory));
                (end.clone(), Observed::Selected { branch, end })
            }
            Self::Callback { operation, name, called } => {
                if !*called {
                    if !memory.is_called(*operation, task) {
                        return Ok(None);
                    }
                    *called = true;
                    memory.trace.0.push(Observed::Called(name.clone()));
                }
                let Some(end) = memory.end_of(*operation, task) else { return Ok(None) };
                (end.clone(), Observed::Replied { name: name.clone(), end })
            }
            Self::Submit { context, callback, name, attempts, stage } => {
                let Some(end) = submitted(*context, *callback, attempts, stage, host, memory, task)? else {
                    return Ok(None);
                };
                host.end_context(*context, &end)?;
                (end.clone(), Observed::Replied { name: name.clone(), end })
            }
            Self::Invoke { operation, function } => {
                let Some(end) = memory.end_of(*operation, task) else { return Ok(None) };
                (end.clone(), Observed::Invoked { function: (*function).into(), end })
            }
            Self::Condition { operation, name } => {
                let Some(end) = memory.end_of(*operation, task) else { return Ok(None) };
                (end.clone(), Observed::Polled { name: (*name).into(), end })
            }
            Self::Batch { context, name, batch } => {
                let Some((reason, items)) = memory.batch_ended(*batch, task) else { return Ok(None) };
                let end = End::Value(sum(items.iter().flatten()));
                host.end_context(*context, &end)?;
                (end, Observed::Batched { name: (*name).into(), reason: reason.into(), items })
            }
            Self::Combine { context, name, how, batch } => {
                let Some(ended) = memory.batch_ended(*batch, task) else { return Ok(None) };
                let (end, ends) = combined(*how, ended);
                host.end_context(*context, &end)?;
                (end.clone(), Observed::Combined { name: (*name).into(), end, ends })
            }
            Self::Retry { block, name, seconds, left, number, stage } => loop {
                match stage {
                    Retrying::Attempt(scope) => match scope.poll(host, memory, task)? {
                        None => return Ok(None),
                        Some(End::Error(_)) if !left.is_empty() => {
                            let backoff = format!("{name}-backoff-{number}");
                            *stage = Retrying::Backoff(host.begin_wait(*block, Some(backoff), *seconds)?);
                        }
                        Some(end) => {
                            host.end_context(*block, &end)?;
                            break (end.clone(), Observed::Retried { name: (*name).into(), end });
                        }
                    },
                    Retrying::Backoff(wait) => {
                        if memory.end_of(*wait, task).is_none() {
                            return Ok(None);
                        }
                        *number += 1;
                        let attempt = host.begin_context(*block, &format!("attempt-{number}"))?;
                        let (next, rest) =
                            left.split_first().map_or((&[][..], &[][..]), |(one, left)| (&one[..], left));
                        (*left, *stage) = (rest, Retrying::Attempt(Scope::new(attempt, true, next)));
                    }
                }
            },
        };
        memory.trace.0.push(seen);
        Ok(Some(end))
    }
}

/// How a callback with its submitter ended.
fn submitted<'p>(
    context: Operation,
    callback: Operation,
    attempts: &'p [Outcome],
    stage: &mut Submitting,
    host: &mut Host,
    memory: &mut Memory<'p>,
    task: Task,
) -> Result<Option<End>, Stop> {
    loop {
        match *stage {
            Submitting::Calling => {
                if !memory.is_called(callback, task) {
                    return Ok(None);
                }
                let step = host.begin_step(context, "", false)?;
                memory.bodies.insert(step, Attempts::Step(attempts));
                *stage = Submitting::Step(step);
            }
            Submitting::Step(step) => match memory.end_of(step, task) {
                None => return Ok(None),
                Some(End::Value(_)) => *stage = Submitting::Called,
                Some(failed) => {
                    host.cancel(callback);
                    return Ok(Some(failed));
                }
            },
            Submitting::Called => return Ok(memory.end_of(callback, task)),
        }
    }
}

/// What a combinator gives for what its branches came to: its own end, and, of those that give many, theirs.
fn combined(how: Combinator, (_, items): Ended) -> (End, Vec<End>) {
    let ends: Vec<End> = items.into_iter().flatten().collect();
    let failed = ends.iter().find(|end| matches!(end, End::Error(_))).cloned();
    let succeeded = ends.iter().find(|end| matches!(end, End::Value(_))).cloned();
    match how {
        Combinator::TryJoinAll => match failed {
            Some(failed) => (failed, Vec::new()),
            None => (End::Value(sum(&ends)), ends),
        },
        Combinator::JoinAll => (End::Value(sum(&ends)), ends),
        Combinator::SelectOk => (succeeded.unwrap_or_else(|| End::Error(ALL_FAILED.into())), Vec::new()),
        Combinator::Race => (ends.into_iter().next().unwrap_or_else(|| End::Error(ALL_FAILED.into())), Vec::new()),
    }
}
