//! A step's attempts, which the operations themselves only count.

use everstep_core::protocol::{Event, OperationId, Timestamp};
use everstep_core::service::HistoryEvent;
use std::collections::HashMap;

/// One attempt of a step. It begins and ends at once where both were recorded together, as those of steps are that may
/// run more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// From 1.
    pub(super) number: u32,
    pub(super) from: Timestamp,
    /// None: it runs, or its process died and nobody has looked yet.
    pub(super) until: Option<Timestamp>,
    /// It ended with an error.
    pub(super) failed: bool,
}

/// The attempts of every step, in order.
pub(super) fn attempts(history: &[HistoryEvent]) -> HashMap<&OperationId, Vec<Attempt>> {
    let mut steps: HashMap<&OperationId, Vec<Attempt>> = HashMap::new();
    for HistoryEvent { at, event, .. } in history {
        let (id, ended) = match event {
            Event::StepStarted { id, .. } => (id, None),
            Event::StepSucceeded { id, .. } => (id, Some(false)),
            Event::StepFailed { id, .. } => (id, Some(true)),
            Event::StepRetried { id, error, .. } => (id, Some(error.is_some())),
            _ => continue,
        };
        let attempts = steps.entry(id).or_default();
        if ended.is_none() || attempts.last().is_none_or(|last| last.until.is_some()) {
            let number = u32::try_from(attempts.len() + 1).unwrap_or(u32::MAX);
            attempts.push(Attempt { number, from: *at, until: None, failed: false });
        }
        if let (Some(failed), Some(last)) = (ended, attempts.last_mut()) {
            (last.until, last.failed) = (Some(*at), failed);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample::{self, EPOCH};

    #[test]
    fn each_attempt_has_its_own_beginning_and_end() {
        let record = sample::record();
        let attempts = attempts(&record.history);
        let of = |id: &str| attempts[&OperationId::try_from(id).unwrap()].as_slice();
        let at = |after| Timestamp(EPOCH + after);
        assert_eq!(
            of("2"),
            [
                Attempt { number: 1, from: at(60), until: Some(at(560)), failed: true },
                Attempt { number: 2, from: at(2600), until: Some(at(3100)), failed: false },
            ]
        );
        assert_eq!(of("1"), [Attempt { number: 1, from: at(40), until: Some(at(40)), failed: false }]);
    }
}
