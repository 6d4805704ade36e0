//! What happens to an execution without its worker's doing, and not by a timer alone: somebody outside reports it.

use super::DurableService;
use super::draft::Draft;
use super::execution::{Execution, IllegalTransition};
use super::live::Held;
use super::timers;
use crate::protocol::{Cause, ServiceError, Timestamp};

impl DurableService {
    /// Records what came from outside as a row of its own, behind the timers that are due by then and not before the
    /// given time, and answers what `record` said. `None`: the execution is closed, or has just timed out. Durable on
    /// return.
    ///
    /// A worker that is at it learns of it with its next checkpoint; an execution at rest is due from now on.
    pub(super) fn record_outside<T>(
        &self,
        held: &mut Held<'_>,
        cause: Cause,
        not_before: Timestamp,
        record: impl FnOnce(&mut Execution, &mut Draft) -> Result<T, IllegalTransition>,
    ) -> Result<Option<T>, ServiceError> {
        let slot = &mut *held.slot;
        let Some(execution) = &mut slot.execution else { return Ok(None) };
        if execution.status().is_terminal() {
            self.forget(held);
            return Ok(None);
        }
        let now = self.now(execution.latest.max(not_before));
        // What is as old as the invocation's start counts as part of its envelope.
        let unseen = |started_at: Timestamp| now.max(Timestamp(started_at.0.saturating_add(1)));
        let at = slot.running.as_ref().map_or(now, |running| unseen(running.started_at));
        let mut draft = Draft::new(execution, at);
        let recorded = timers::fire(execution, &mut draft).and_then(|()| match execution.status().is_terminal() {
            true => Ok(None),
            false => record(execution, &mut draft).map(Some),
        });
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(illegal) => {
                slot.execution = None;
                return Err(illegal.into());
            }
        };
        if !draft.events.is_empty() {
            self.commit(slot, draft, cause, None, None)?;
        }
        // What may be under way without running here is to be looked at by `invoke`, once.
        let rests = |execution: &Execution| {
            execution.status().is_terminal() || slot.running.is_none() && !execution.invocations.may_be_under_way()
        };
        if slot.execution.as_ref().is_some_and(rests) {
            self.forget(held);
        }
        Ok(recorded)
    }
}
