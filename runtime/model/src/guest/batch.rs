//! Many bodies at once, each a task of its own: batches, and the combinators, which are batches, too.

use super::body::Scope;
use super::{Memory, Task, Work};
use crate::host::{Host, Operation, Stop};
use crate::program::{Combinator, Completion, Statement};
use crate::trace::End;
use std::collections::BTreeMap;

/// A batch that runs.
#[derive(Clone)]
pub(super) struct Batch<'p> {
    items: &'p [Vec<Statement>],
    /// How each item is begun.
    begin: Begin,
    at_once: usize,
    over: Over,
    /// Of the items that started, in the order of the input.
    ends: Vec<Option<End>>,
    /// In the order in which they ended: whether the item succeeded.
    settled: Vec<bool>,
    in_flight: BTreeMap<usize, Task>,
    waiting: Option<Task>,
}

/// How an item begins.
#[derive(Clone, Copy)]
pub(super) enum Begin {
    /// In a context of its own within this one, as soon as it is admitted.
    Context(Operation),
    /// In a virtual one.
    Virtual(Operation),
    /// In a context of its own within this one, when it is first polled.
    Later(Operation),
}

/// When a batch is over.
#[derive(Clone, Copy)]
pub(super) enum Over {
    Completion(Completion),
    /// At the first end.
    Race,
}

impl From<Combinator> for Over {
    fn from(combinator: Combinator) -> Self {
        let completion = Completion::default();
        match combinator {
            Combinator::TryJoinAll => Self::Completion(completion),
            Combinator::JoinAll => Self::Completion(Completion { failures: Some(usize::MAX), ..completion }),
            Combinator::SelectOk => Self::Completion(Completion { successes: Some(1), ..completion }),
            Combinator::Race => Self::Race,
        }
    }
}

impl Over {
    /// Why a batch of so many items is over after these ends, if it is.
    fn reason(self, settled: &[bool], total: usize) -> Option<&'static str> {
        let successes = settled.iter().filter(|succeeded| **succeeded).count();
        let failures = settled.len() - successes;
        let completion = match self {
            Self::Race if !settled.is_empty() => return Some("PREDICATE_MATCHED"),
            Self::Race => return None,
            Self::Completion(completion) => completion,
        };
        let intolerable = if completion == Completion::default() {
            failures >= 1
        } else {
            let share = 100.0 * failures as f64 / total.max(1) as f64;
            completion.failures.is_some_and(|most| failures > most)
                || completion.percent.is_some_and(|most| share > most as f64)
        };
        if intolerable {
            Some("FAILURE_TOLERANCE_EXCEEDED")
        } else if settled.len() == total {
            Some("ALL_COMPLETED")
        } else if completion.successes.is_some_and(|least| successes >= least) {
            Some("MIN_SUCCESSFUL_REACHED")
        } else {
            None
        }
    }
}

/// What a batch came to: why it is over, and the items that started.
pub(super) type Ended = (&'static str, Vec<Option<End>>);

impl Batch<'_> {
    fn reason(&self) -> Option<&'static str> {
        self.over.reason(&self.settled, self.items.len())
    }

    fn admits(&self) -> bool {
        let free = self.at_once == 0 || self.ends.len() - self.settled.len() < self.at_once;
        self.reason().is_none() && self.ends.len() < self.items.len() && free
    }
}

impl<'p> Memory<'p> {
    /// Begins a batch; what can start at once does.
    pub(super) fn begin_batch(
        &mut self,
        host: &mut Host,
        items: &'p [Vec<Statement>],
        begin: Begin,
        at_once: usize,
        over: Over,
    ) -> Result<u64, Stop> {
        let number = self.next_batch;
        self.next_batch += 1;
        let (ends, settled, in_flight) = (Vec::new(), Vec::new(), BTreeMap::new());
        self.batches.insert(number, Batch { items, begin, at_once, over, ends, settled, in_flight, waiting: None });
        self.admit(host, number)?;
        Ok(number)
    }

    fn admit(&mut self, host: &mut Host, number: u64) -> Result<(), Stop> {
        while let Some(batch) = self.batches.get_mut(&number).filter(|batch| batch.admits()) {
            let index = batch.ends.len();
            let body = &batch.items[index];
            let item = match batch.begin {
                Begin::Context(context) => {
                    let operation = host.begin_context(context, "")?;
                    Item::Begun(Scope::new(operation, true, body))
                }
                Begin::Virtual(context) => Item::Begun(Scope::new(host.begin_virtual(context), false, body)),
                Begin::Later(context) => Item::Waiting(context, body),
            };
            batch.ends.push(None);
            let task = self.spawn(Work::Item { batch: number, index, item });
            if let Some(batch) = self.batches.get_mut(&number) {
                batch.in_flight.insert(index, task);
            }
        }
        Ok(())
    }

    /// An item ended: the next ones start, or the batch is over and what is in flight is dropped.
    pub(super) fn settle(&mut self, host: &mut Host, number: u64, index: usize, end: End) -> Result<(), Stop> {
        let Some(batch) = self.batches.get_mut(&number) else { return Ok(()) };
        batch.in_flight.remove(&index);
        batch.settled.push(matches!(end, End::Value(_)));
        batch.ends[index] = Some(end);
        if batch.reason().is_none() {
            return self.admit(host, number);
        }
        let (unfinished, waiting) = (std::mem::take(&mut batch.in_flight), batch.waiting.take());
        unfinished.into_values().for_each(|task| self.abort(host, task));
        waiting.into_iter().for_each(|task| self.wake(task));
        Ok(())
    }

    /// What the batch came to, if it is over; otherwise the task is woken by that.
    pub(super) fn batch_ended(&mut self, number: u64, task: Task) -> Option<Ended> {
        let batch = self.batches.get_mut(&number)?;
        let Some(reason) = batch.reason() else {
            batch.waiting = Some(task);
            return None;
        };
        self.batches.remove(&number).map(|batch| (reason, batch.ends))
    }

    /// Drops the batch with all that is in flight.
    pub(super) fn drop_batch(&mut self, host: &mut Host, number: u64) {
        let Some(batch) = self.batches.remove(&number) else { return };
        batch.in_flight.into_values().for_each(|task| self.abort(host, task));
    }
}

/// An item that was admitted.
#[derive(Clone)]
pub(super) enum Item<'p> {
    Begun(Scope<'p>),
    /// Not polled yet; then it begins in this context.
    Waiting(Operation, &'p [Statement]),
}

impl<'p> Item<'p> {
    pub(super) fn poll(&mut self, host: &mut Host, memory: &mut Memory<'p>, task: Task) -> Result<Option<End>, Stop> {
        if let Self::Waiting(context, body) = self {
            let operation = host.begin_context(*context, "")?;
            *self = Self::Begun(Scope::new(operation, true, body));
        }
        match self {
            Self::Begun(scope) => scope.poll(host, memory, task),
            Self::Waiting(..) => Ok(None),
        }
    }

    pub(super) fn drop_pending(self, host: &mut Host, memory: &mut Memory<'p>) {
        if let Self::Begun(scope) = self {
            scope.drop_pending(host, memory);
        }
    }
}
