//! A transition in the making: events that are applied as they are drafted, so that each is judged by the state that
//! those before it left. Should the draft not reach the log, its execution is forgotten and read again.

use super::execution::{Execution, IllegalTransition};
use super::warnings;
use crate::protocol::{Event, OperationId, Timestamp, Warning};
use crate::store::Projection;

/// Events drafted so far.
pub(super) struct Draft {
    pub(super) at: Timestamp,
    pub(super) first_event: u64,
    pub(super) events: Vec<Event>,
    /// The summary that the log has.
    pub(super) before: Projection,
}

impl Draft {
    /// An empty draft of the execution's next row.
    pub(super) fn new(execution: &Execution, at: Timestamp) -> Self {
        Self { at, first_event: execution.next_event, events: Vec::new(), before: execution.projection() }
    }

    /// Applies an event and keeps it. The first one after the execution's start comes behind what the start warns of.
    pub(super) fn record(&mut self, execution: &mut Execution, event: Event) -> Result<(), IllegalTransition> {
        if execution.next_sequence == 1 && self.events.is_empty() {
            for warning in warnings::of_start(execution) {
                self.keep(execution, Event::Warned { warning, operation: None })?;
            }
        }
        self.keep(execution, event)
    }

    /// Warns, unless the execution has warned of that before, or is closed.
    pub(super) fn warn(
        &mut self,
        execution: &mut Execution,
        warning: Warning,
        operation: Option<&OperationId>,
    ) -> Result<(), IllegalTransition> {
        if execution.warned.contains(&warning) || execution.status().is_terminal() {
            return Ok(());
        }
        self.keep(execution, Event::Warned { warning, operation: operation.cloned() })
    }

    fn keep(&mut self, execution: &mut Execution, event: Event) -> Result<(), IllegalTransition> {
        execution.apply(self.at, execution.next_event, &event)?;
        self.events.push(event);
        Ok(())
    }
}
