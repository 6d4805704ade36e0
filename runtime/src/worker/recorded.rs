//! What the log knows of an execution's operations, and in which order their ends are handed to the guest.

use everstep_core::protocol::{Operation, OperationId, OperationType, Timestamp};
use rustc_hash::FxBuildHasher;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The operations of one execution as the service reports them. A cache of the log, kept current by the answers to
/// checkpoints.
pub(crate) struct Recorded {
    operations: Vec<Arc<Operation>>,
    /// The ids are positions or what the log holds: nobody can choose them so that they collide.
    by_id: HashMap<OperationId, usize, FxBuildHasher>,
    /// What was not handed over yet, in the order of the log: event id of an end or of a callback's start, then the
    /// index.
    undelivered: VecDeque<(u64, usize)>,
    /// Which of them the guest has begun, as its own operation numbers.
    claims: Vec<Option<u64>>,
    claimed: usize,
    /// After the operation that was claimed last: where a guest that begins them in the order of the log comes next.
    next: usize,
}

impl Recorded {
    pub(crate) fn new(operations: Vec<Arc<Operation>>) -> Self {
        let numbered = || operations.iter().enumerate();
        let by_id = numbered().map(|(index, operation)| (operation.id.clone(), index)).collect();
        let mut undelivered: Vec<_> = numbered()
            .flat_map(|(index, operation)| {
                handed_over_at(operation).into_iter().flatten().map(move |event| (event, index))
            })
            .collect();
        undelivered.sort_unstable();
        let claims = vec![None; operations.len()];
        Self { operations, by_id, undelivered: undelivered.into(), claims, claimed: 0, next: 0 }
    }

    /// The service says how an operation stands now.
    pub(crate) fn update(&mut self, operation: Arc<Operation>) {
        let now = handed_over_at(&operation);
        let (index, before) = match self.by_id.get(&operation.id) {
            Some(&index) => {
                let before = std::mem::replace(&mut self.operations[index], operation);
                (index, handed_over_at(&before))
            }
            None => {
                let index = self.operations.len();
                self.by_id.insert(operation.id.clone(), index);
                self.claims.push(None);
                self.operations.push(operation);
                (index, [None; 2])
            }
        };
        for (event, before) in now.into_iter().zip(before) {
            if let Some(event) = event.filter(|_| before.is_none()) {
                // Nearly always the last: the service reports in the order of the log.
                let place = match self.undelivered.back() {
                    Some((last, _)) if *last > event => self.undelivered.partition_point(|(other, _)| *other < event),
                    _ => self.undelivered.len(),
                };
                self.undelivered.insert(place, (event, index));
            }
        }
    }

    fn find(&self, id: &OperationId) -> Option<usize> {
        match self.operations.get(self.next) {
            Some(operation) if operation.id == *id => Some(self.next),
            _ => self.by_id.get(id).copied(),
        }
    }

    pub(crate) fn get(&self, id: &OperationId) -> Option<&Operation> {
        self.by_id.get(id).map(|index| &*self.operations[*index])
    }

    /// The guest has begun this operation as its number `number`. Answers what is recorded of it, if anything is.
    pub(crate) fn claim(&mut self, id: &OperationId, number: u64) -> Option<&Operation> {
        let index = self.find(id)?;
        self.next = index + 1;
        if self.claims[index].replace(number).is_none() {
            self.claimed += 1;
        }
        Some(&self.operations[index])
    }

    /// The guest's number for this operation, if it has begun it.
    pub(crate) fn claim_of(&self, id: &OperationId) -> Option<u64> {
        self.claims[*self.by_id.get(id)?]
    }

    /// The earliest end, or start of a callback, that was not handed over and is wanted, with the guest's number for the
    /// operation if it has begun it.
    pub(crate) fn earliest(&self, wanted: impl Fn(Option<u64>) -> bool) -> Option<(u64, Option<u64>, &Operation)> {
        let (event, index) = *self.undelivered.iter().find(|(_, index)| wanted(self.claims[*index]))?;
        Some((event, self.claims[index], &self.operations[index]))
    }

    /// That is handed over, or will never be.
    pub(crate) fn delivered(&mut self, event: u64) {
        self.remove(event);
    }

    fn remove(&mut self, event: u64) -> Option<(u64, usize)> {
        if self.undelivered.front().is_some_and(|(first, _)| *first == event) {
            return self.undelivered.pop_front();
        }
        let place = self.undelivered.binary_search_by_key(&event, |(other, _)| *other).ok()?;
        self.undelivered.remove(place)
    }

    /// Takes the end of one operation out of turn, if it is there: its time.
    pub(crate) fn take_end(&mut self, id: &OperationId) -> Option<Timestamp> {
        let index = *self.by_id.get(id)?;
        let event = self.operations[index].ended_event?;
        self.remove(event)?;
        self.operations[index].ended_at
    }

    /// An operation of the log that the guest has not begun.
    pub(crate) fn unclaimed(&self) -> Option<&Operation> {
        if self.claimed == self.operations.len() {
            return None;
        }
        self.claims.iter().position(Option::is_none).map(|index| &*self.operations[index])
    }

    /// All operations, in start order.
    pub(crate) fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }
}

/// The events at which something of the operation is handed to the guest, as far as the log has them: of a callback its
/// start, which brings its id; of any operation its end, but for a context's, whose outcome is the guest's own.
fn handed_over_at(operation: &Operation) -> [Option<u64>; 2] {
    let ended = operation.status.is_terminal() && operation.operation_type != OperationType::Context;
    let starts = operation.operation_type == OperationType::Callback;
    [starts.then_some(operation.started_event), operation.ended_event.filter(|_| ended)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use everstep_core::protocol::OperationStatus;

    fn operation(ordinal: u64, ended_event: Option<u64>) -> Arc<Operation> {
        Arc::new(Operation {
            id: OperationId::position(None, ordinal),
            parent_id: None,
            name: None,
            operation_type: OperationType::Wait,
            sub_type: None,
            status: if ended_event.is_some() { OperationStatus::Succeeded } else { OperationStatus::Started },
            started_at: Timestamp(0),
            ended_at: ended_event.map(|event| Timestamp(event as i64)),
            attempt: 0,
            due_at: None,
            seconds: Some(1),
            result: None,
            result_omitted: false,
            rerun: false,
            error: None,
            started_event: 2,
            ended_event,
            callback: None,
            chained_invoke: None,
        })
    }

    fn order(recorded: &mut Recorded) -> Vec<u64> {
        std::iter::from_fn(|| {
            let event = recorded.earliest(|_| true)?.0;
            recorded.delivered(event);
            Some(event)
        })
        .collect()
    }

    #[test]
    fn ends_come_in_the_order_of_the_log_however_they_became_known() {
        let mut recorded = Recorded::new(vec![operation(1, Some(9)), operation(2, None), operation(3, Some(4))]);
        recorded.update(operation(4, Some(7)));
        recorded.update(operation(2, Some(12)));
        recorded.update(operation(2, Some(12)));
        assert_eq!(recorded.take_end(&OperationId::position(None, 1)), Some(Timestamp(9)), "out of turn");
        assert_eq!(recorded.take_end(&OperationId::position(None, 1)), None, "once");
        assert_eq!(order(&mut recorded), [4, 7, 12]);
    }

    #[test]
    fn what_the_guest_never_began_is_found() {
        let mut recorded = Recorded::new(vec![operation(1, None), operation(2, None), operation(3, None)]);
        for ordinal in [3, 1] {
            assert!(recorded.claim(&OperationId::position(None, ordinal), ordinal).is_some());
        }
        assert!(recorded.claim(&OperationId::position(None, 9), 9).is_none());
        assert_eq!(recorded.unclaimed().map(|operation| operation.id.as_str().to_owned()), Some("2".into()));
        recorded.claim(&OperationId::position(None, 2), 2);
        assert!(recorded.unclaimed().is_none());
    }
}
