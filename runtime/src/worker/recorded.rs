//! What the log knows of an execution's operations, and in which order their ends are handed to the guest.

use everstep_core::protocol::{Operation, OperationId, OperationType, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// The operations of one execution as the service reports them. A cache of the log, kept current by the answers to
/// checkpoints.
#[derive(Default)]
pub(crate) struct Recorded {
    operations: Vec<Operation>,
    by_id: HashMap<OperationId, usize>,
    /// Ends not yet handed over, in the order of the log: event id of the end, then the index.
    undelivered: BTreeMap<u64, usize>,
    /// Which of them the guest has begun, as its own operation numbers.
    claims: Vec<Option<u64>>,
    claimed: usize,
}

impl Recorded {
    pub(crate) fn new(operations: Vec<Operation>) -> Self {
        let mut recorded = Self { by_id: HashMap::with_capacity(operations.len()), ..Self::default() };
        operations.into_iter().for_each(|operation| recorded.update(operation));
        recorded
    }

    /// The service says how an operation stands now.
    pub(crate) fn update(&mut self, operation: Operation) {
        let index = match self.by_id.get(&operation.id) {
            Some(index) => *index,
            None => {
                let index = self.operations.len();
                self.by_id.insert(operation.id.clone(), index);
                self.claims.push(None);
                self.operations.push(operation);
                self.note_end(index, false);
                return;
            }
        };
        let ended_before = self.operations[index].status.is_terminal();
        self.operations[index] = operation;
        self.note_end(index, ended_before);
    }

    fn note_end(&mut self, index: usize, ended_before: bool) {
        let operation = &self.operations[index];
        // A context's outcome is the guest's own: nothing is handed over.
        if !ended_before
            && operation.status.is_terminal()
            && operation.operation_type != OperationType::Context
            && let Some(event) = operation.ended_event
        {
            self.undelivered.insert(event, index);
        }
    }

    pub(crate) fn get(&self, id: &OperationId) -> Option<&Operation> {
        self.by_id.get(id).map(|index| &self.operations[*index])
    }

    /// The guest has begun this operation as its number `number`.
    pub(crate) fn claim(&mut self, id: &OperationId, number: u64) {
        if let Some(index) = self.by_id.get(id)
            && self.claims[*index].replace(number).is_none()
        {
            self.claimed += 1;
        }
    }

    /// The guest's number for this operation, if it has begun it.
    pub(crate) fn claim_of(&self, id: &OperationId) -> Option<u64> {
        self.claims[*self.by_id.get(id)?]
    }

    /// The earliest end that was not handed over, with the guest's number for it if it has begun it.
    pub(crate) fn earliest_end(&self) -> Option<(u64, Option<u64>, &Operation)> {
        let (event, index) = self.undelivered.first_key_value()?;
        Some((*event, self.claims[*index], &self.operations[*index]))
    }

    /// That end is handed over, or will never be.
    pub(crate) fn delivered(&mut self, event: u64) {
        self.undelivered.remove(&event);
    }

    /// Takes the end of one operation out of turn, if it is there: its time.
    pub(crate) fn take_end(&mut self, id: &OperationId) -> Option<Timestamp> {
        let index = *self.by_id.get(id)?;
        let operation = &self.operations[index];
        let event = operation.ended_event?;
        self.undelivered.remove(&event)?;
        operation.ended_at
    }

    /// An operation of the log that the guest has not begun.
    pub(crate) fn unclaimed(&self) -> Option<&Operation> {
        if self.claimed == self.operations.len() {
            return None;
        }
        self.claims.iter().position(Option::is_none).map(|index| &self.operations[index])
    }

    /// All operations, in start order.
    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }
}
