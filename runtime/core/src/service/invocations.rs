//! What the log tells of an execution's invocations. Their beginning is not recorded (it would cost a commit), so
//! whether one was under way when a host died is concluded from how the newest row left the execution.

use crate::protocol::{Cause, ErrorObject, Timestamp};

/// Part of the fold: the latest invocation, and how often invocations failed at this place of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Invocations {
    pub(super) phase: Phase,
    /// Reported failures with no other row in between.
    pub(super) failures: u32,
    /// Lost invocations with no other row in between.
    pub(super) lost: u32,
    /// When an operation was last changed by something else than the worker's own checkpoints.
    outside_change: Option<Timestamp>,
    /// The row being applied ended an invocation without an outcome.
    fault: bool,
}

/// How the newest row left the execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was started.
    #[default]
    Fresh,
    /// A worker checkpointed.
    UnderWay,
    /// A worker returned PENDING, and has seen everything.
    Suspended,
    /// Something changed since. `by_timer`: the service recorded that in order to invoke.
    Woken { by_timer: bool },
    /// An invocation failed; the next is due then.
    Failed { retry_at: Timestamp },
    /// An invocation was lost with its host; the next is due at once.
    Lost,
}

const LOST: &str = "lost-";

/// The request id of a lost invocation: its own died with the host. No other has this form.
pub(super) fn lost_request_id(sequence: u64) -> String {
    format!("{LOST}{sequence}")
}

/// The error of a lost invocation.
pub(super) fn lost_error() -> ErrorObject {
    ErrorObject::new("Runtime.ExitError", "the host process ended during the invocation")
}

impl Invocations {
    /// An InvocationCompleted event.
    ///
    /// Changes recorded until the invocation started were in its envelope; later ones made by others than itself were
    /// not, unless a later checkpoint answered them (which then cleared `outside_change`). Whoever records an outside
    /// change while an invocation runs has to give it a timestamp after the invocation's start.
    pub(super) fn completed(
        &mut self,
        at: Timestamp,
        started_at: Timestamp,
        request_id: &str,
        error: Option<&ErrorObject>,
    ) {
        self.fault = error.is_some();
        self.phase = if error.is_none() {
            match self.outside_change {
                Some(changed) if changed > started_at => Phase::Woken { by_timer: false },
                _ => Phase::Suspended,
            }
        } else if request_id.starts_with(LOST) {
            self.lost += 1;
            Phase::Lost
        } else {
            self.failures += 1;
            // 1 s, 2 s, 4 s...
            Phase::Failed { retry_at: at.plus_seconds(1 << (self.failures - 1).min(16)) }
        };
    }

    /// The end of a row. `changed`: it changed an operation, which a callback's heartbeat does not.
    pub(super) fn row_closed(&mut self, at: Timestamp, cause: Cause, changed: bool) {
        if cause == Cause::Callback && !changed {
            return;
        }
        if !std::mem::take(&mut self.fault) {
            (self.failures, self.lost) = (0, 0);
        }
        match cause {
            Cause::Checkpoint => {
                self.phase = Phase::UnderWay;
                self.outside_change = None;
            }
            Cause::Timer | Cause::Callback | Cause::ChainedInvoke => {
                self.outside_change = Some(at);
                if let Phase::Suspended | Phase::Woken { .. } = self.phase {
                    // An invocation that a timer gave reason for may run: that stays true.
                    let by_timer = cause == Cause::Timer || self.phase == (Phase::Woken { by_timer: true });
                    self.phase = Phase::Woken { by_timer };
                }
            }
            Cause::Start | Cause::InvocationEnd | Cause::Stop | Cause::Pause => {}
        }
    }

    /// Whether a host that died may have been running an invocation: every row that leaves the execution like this is
    /// followed by one at once.
    pub(super) fn may_be_under_way(&self) -> bool {
        matches!(self.phase, Phase::Fresh | Phase::UnderWay | Phase::Lost | Phase::Woken { by_timer: true })
    }

    /// `None`: not at rest. `Some(None)`: until something changes. `Some(Some(t))`: until `t`.
    pub(super) fn resting_until(&self) -> Option<Option<Timestamp>> {
        match self.phase {
            Phase::Suspended => Some(None),
            Phase::Failed { retry_at } => Some(Some(retry_at)),
            Phase::Fresh | Phase::UnderWay | Phase::Woken { .. } | Phase::Lost => None,
        }
    }
}
