//! What the guest does against what earlier runs of it did, and how a difference is reported.

use super::super::divergence::{Diverged, Divergence, describe_recorded};
use super::super::journal::Mismatch;
use super::{Halt, WorkflowHost};
use everstep_core::protocol::{Journal, OperationId};
use everstep_sandbox::Stop;

impl WorkflowHost {
    pub(super) fn diverged(&mut self, divergence: Divergence) -> Stop {
        let position = match divergence.operation() {
            Some(id) => Some(self.position(id)),
            None => self.after(),
        };
        self.halt(Halt::Diverged(Box::new(Diverged { position, ..divergence.into() })))
    }

    /// An operation with its name and the context it is in, for messages.
    pub(super) fn position(&self, id: &OperationId) -> String {
        let begun = |id: &OperationId| self.begun.iter().find(|begun| begun.id == *id);
        let named = |id: &OperationId| {
            let recorded = self.recorded.get(id).and_then(|operation| operation.name.as_deref());
            let name = recorded.or_else(|| begun(id)?.name.as_deref());
            name.map_or_else(|| id.to_string(), |name| format!("{id} {name:?}"))
        };
        let recorded = self.recorded.get(id).and_then(|operation| operation.parent_id.as_ref());
        let parent = recorded.or_else(|| begun(id)?.parent.as_ref());
        let context = parent.map_or_else(String::new, |parent| format!(" in context {}", named(parent)));
        format!("operation {}{context}", named(id))
    }

    /// The operation begun last, for messages.
    pub(super) fn after(&self) -> Option<String> {
        Some(format!("after {}", self.position(&self.begun.last()?.id)))
    }

    /// Where the run stands at its end, against where the run that it repeats ended.
    pub(crate) fn other_end(&self, recorded: Journal) -> Option<Diverged> {
        let Mismatch { first, last, recorded, requested } = self.calls.end(recorded)?;
        let divergence = Divergence::HostCalls { first, last, recorded, requested };
        Some(Diverged { position: self.after(), ..divergence.into() })
    }

    /// Compares with what earlier runs recorded when the guest stood exactly here.
    pub(super) fn check_journal(&mut self) -> Result<(), Stop> {
        match self.calls.mismatch().cloned() {
            Some(mismatch) => Err(self.other_calls(mismatch)),
            None => Ok(()),
        }
    }

    pub(super) fn other_calls(&mut self, mismatch: Mismatch) -> Stop {
        let Mismatch { first, last, recorded, requested } = mismatch;
        self.diverged(Divergence::HostCalls { first, last, recorded, requested })
    }

    /// Nothing recorded is left to hand over: whatever the log still has, the guest must have begun by now.
    pub(super) fn check_claims(&mut self) -> Result<(), Stop> {
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
}
