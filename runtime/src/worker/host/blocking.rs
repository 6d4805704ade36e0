//! Blocking outside step bodies: what a program without the SDK waits with. A sleep is a durable timer; an HTTP request
//! is a step; whichever ends first in the order of the log wakes the guest.

use super::super::Place;
use super::super::fetch;
use super::super::guest_values::{check_seconds, outcome_of};
use super::super::journal::Call;
use super::{Mode, WorkflowHost};
use everstep_core::protocol::{OperationAction, OperationStatus, OperationType};
use everstep_sandbox::durable::Outcome;
use everstep_sandbox::{Stop, Woken};
use std::time::{Duration, Instant};

/// What stands for a deadline.
struct Timer {
    number: u64,
    deadline: u64,
    /// A WAIT; else a STEP that the host sleeps through.
    durable: bool,
    remaining: Duration,
}

impl WorkflowHost {
    pub(super) fn blocked(&mut self, deadline: Option<u64>, fetches: &[u64]) -> Result<Woken, Stop> {
        if fetches.is_empty() {
            self.calls.call(Call::Block).word(deadline.unwrap_or(u64::MAX));
        } else {
            self.calls.call(Call::BlockOnFetches).word(deadline.unwrap_or(u64::MAX)).word(fetches.len() as u64);
        }
        if let Some(deadline) = deadline.filter(|deadline| *deadline <= self.clock.nanos()) {
            self.check_journal()?;
            return Ok(Woken::Deadline(deadline));
        }
        let timer = self.timer(deadline)?;
        self.check_journal()?;
        let asleep_until = timer.as_ref().filter(|timer| !timer.durable).map(|timer| Instant::now() + timer.remaining);
        loop {
            if let Some(woken) = self.woken(timer.as_ref(), fetches)? {
                return Ok(woken);
            }
            self.check_claims()?;
            if matches!(self.mode, Mode::Shadow) {
                return Err(Stop::Suspend);
            }
            self.send_fetches()?;
            if self.environment.intercept.is_some() && !fetches.is_empty() && self.flush()? {
                // What a test answers is there at once: it comes before any deadline.
                continue;
            }
            if self.fetches.any_under_way() {
                let patience = asleep_until.filter(|_| !self.environment.simulated);
                if self.flush()? || self.await_fetches(patience)? {
                    continue;
                }
            }
            if let Some(timer) = timer.as_ref().filter(|timer| !timer.durable) {
                if !self.fetches.any_under_way() {
                    self.observer.sleeping(timer.remaining);
                    self.environment.pause(timer.remaining);
                }
                self.sleep_is_over(timer.number);
            }
            if !self.flush()? {
                return Err(Stop::Suspend);
            }
        }
    }

    fn sleep_is_over(&mut self, number: u64) {
        let id = &self.begun[number as usize - 1].id;
        if self.recorded.get(id).is_none() {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        let done = self.update(number, OperationAction::Succeed);
        self.batch.push(done);
    }

    /// The operation that stands for this deadline: the one that stood for it when something else woke the guest, or a
    /// new one.
    fn timer(&mut self, deadline: Option<u64>) -> Result<Option<Timer>, Stop> {
        let before = self.timer.take();
        if let Some((other, number)) = before.filter(|(other, _)| Some(*other) != deadline) {
            tracing::trace!(other, number, "the guest no longer waits for this deadline");
            self.cancel_operation(number)?;
        }
        let Some(deadline) = deadline else { return Ok(None) };
        // Setting the timer and looking at it were reads, which moved the clock: a sleep of a second is one of a second.
        let remaining = Duration::from_millis(deadline.saturating_sub(self.clock.nanos()).div_ceil(1_000_000));
        if let Some((_, number)) = before.filter(|(other, _)| *other == deadline) {
            let durable = self.begun[number as usize - 1].kind == OperationType::Wait;
            return Ok(Some(Timer { number, deadline, durable, remaining }));
        }
        let seconds = u32::try_from(remaining.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
        let durable = remaining >= Duration::from_secs(1);
        let number = if durable {
            check_seconds(seconds)?;
            let (number, recorded) =
                self.begin(0, OperationType::Wait, Some("sleep".into()), "Wait".into(), Some(seconds))?;
            if recorded.is_none() {
                let start = self.update(number, OperationAction::Start);
                self.batch.push(start);
            }
            number
        } else {
            self.begin(0, OperationType::Step, Some("sleep".into()), "Step".into(), None)?.0
        };
        Ok(Some(Timer { number, deadline, durable, remaining }))
    }

    /// What has ended first, in the order of the log, of what the guest waits for.
    fn woken(&mut self, timer: Option<&Timer>, fetches: &[u64]) -> Result<Option<Woken>, Stop> {
        let ended = |number: u64| {
            let operation = self.recorded.get(&self.begun[number as usize - 1].id)?;
            operation.ended_event.filter(|_| operation.status.is_terminal()).map(|event| (event, number))
        };
        let timer_number = timer.map(|timer| timer.number);
        let Some((_, number)) = fetches.iter().copied().chain(timer_number).filter_map(ended).min() else {
            return Ok(None);
        };
        let id = self.begun[number as usize - 1].id.clone();
        if self.is_spent() {
            return Err(self.go_on_afresh());
        }
        let outcome = self.recorded.get(&id).map(outcome_of);
        if matches!(self.mode, Mode::Live { .. }) {
            self.outlive(Place::Delivery, number, 0)?;
        }
        self.handed_over += 1;
        if let Some(ended_at) = self.recorded.take_end(&id) {
            self.clock.advance_to(ended_at);
        }
        if let Some(timer) = timer.filter(|timer| timer.number == number) {
            self.clock.advance_to_nanos(timer.deadline);
            return Ok(Some(Woken::Deadline(timer.deadline)));
        }
        self.timer = timer.map(|timer| (timer.deadline, timer.number));
        let outcome = match outcome {
            Some(Outcome::Succeeded(Some(result))) => {
                let response = fetch::decode(&result).ok_or_else(|| self.damaged(number))?;
                self.calls.call(Call::Fetched).word(number).text(&result);
                Ok(response)
            }
            Some(Outcome::Failed(_)) => {
                let code = self.recorded.get(&id).and_then(|operation| operation.error.as_ref()).map(fetch::code_of);
                let code = code.unwrap_or_else(|| "internal-error".to_owned());
                self.calls.call(Call::Fetched).word(number).text(&code);
                Err(code)
            }
            _ => return Err(self.damaged(number)),
        };
        self.check_journal()?;
        Ok(Some(Woken::Fetched(number, outcome)))
    }

    /// The guest no longer waits for this operation.
    pub(super) fn cancel_operation(&mut self, number: u64) -> Result<(), Stop> {
        let slot = self.slot(number)?;
        let (kind, id, first) = (slot.kind, slot.id.clone(), !slot.cancelled);
        slot.cancelled = true;
        self.runnable.remove(&number);
        self.fetches.forget(number);
        let leaves_the_batch =
            matches!(kind, OperationType::Wait | OperationType::Callback | OperationType::ChainedInvoke);
        if first && leaves_the_batch {
            let unsent =
                self.batch.iter().position(|update| update.id == id && update.action == OperationAction::Start);
            let open = self.recorded.get(&id).is_some_and(|recorded| recorded.status == OperationStatus::Started);
            if let Some(unsent) = unsent {
                self.batch.remove(unsent);
            } else if open && kind == OperationType::Wait {
                let cancel = self.update(number, OperationAction::Cancel);
                self.batch.push(cancel);
            }
        }
        Ok(())
    }
}
