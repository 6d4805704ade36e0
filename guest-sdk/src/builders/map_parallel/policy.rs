//! Which item of a batch may start, and when the batch is over: numbers only, no tasks, no host.

use super::{BatchItemStatus, BatchStats, CompletionConfig, CompletionReason, SettledOutcome};

/// How far a batch is.
#[derive(Debug)]
pub(crate) struct Progress {
    config: CompletionConfig,
    total: usize,
    limit: usize,
    admitted: usize,
    succeeded: usize,
    failed: usize,
    outcomes: Vec<SettledOutcome>,
    reason: Option<CompletionReason>,
}

impl Progress {
    /// A batch of `total` items, at most `limit` of them in flight.
    pub(crate) fn new(total: usize, limit: usize, config: CompletionConfig) -> Self {
        let reason = (total == 0).then_some(CompletionReason::AllCompleted);
        Self { config, total, limit, admitted: 0, succeeded: 0, failed: 0, outcomes: Vec::new(), reason }
    }

    /// Whether the next item (in the order of the input) starts now. One that waits for anything is in flight.
    pub(crate) fn admit(&mut self) -> bool {
        let in_flight = self.admitted - self.outcomes.len();
        let admitted = self.reason.is_none() && self.admitted < self.total && in_flight < self.limit;
        self.admitted += usize::from(admitted);
        admitted
    }

    /// An item in flight ended. Nothing ends after the batch is over.
    pub(crate) fn settle(&mut self, index: usize, succeeded: bool) {
        let (count, status) = match succeeded {
            true => (&mut self.succeeded, BatchItemStatus::Succeeded),
            false => (&mut self.failed, BatchItemStatus::Failed),
        };
        *count += 1;
        self.outcomes.push(SettledOutcome::new(index, status));
        self.reason = decide(&self.config, &BatchStats::new(self.succeeded, self.failed, self.total, &self.outcomes));
    }

    /// Why the batch is over; none while it is not.
    pub(crate) fn reason(&self) -> Option<CompletionReason> {
        self.reason
    }
}

fn decide(config: &CompletionConfig, stats: &BatchStats<'_>) -> Option<CompletionReason> {
    if tolerance_exceeded(config, stats) {
        Some(CompletionReason::FailureToleranceExceeded)
    } else if config.predicate_matches(stats) {
        Some(CompletionReason::PredicateMatched)
    } else if stats.settled() == stats.total_items() {
        Some(CompletionReason::AllCompleted)
    } else if config.min_successful().is_some_and(|min| stats.succeeded() >= min) {
        Some(CompletionReason::MinSuccessfulReached)
    } else {
        None
    }
}

fn tolerance_exceeded(config: &CompletionConfig, stats: &BatchStats<'_>) -> bool {
    if !config.has_thresholds() && !config.has_completion_predicate() {
        return stats.failed() > 0;
    }
    config.tolerated_failure_count().is_some_and(|tolerated| stats.failed() > tolerated)
        || config
            .tolerated_failure_percentage()
            .is_some_and(|percentage| stats.failed() * 100 > percentage * stats.total_items())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation of `CompletionConfig` says, about the whole sequence of ends at once: after how many of
    /// them the batch is over, and why.
    fn restated(
        ends: &[bool],
        min: Option<usize>,
        count: Option<usize>,
        share: Option<usize>,
    ) -> (usize, &'static str) {
        for seen in 1..=ends.len() {
            let failures = ends[..seen].iter().filter(|&&succeeded| !succeeded).count();
            let successes = seen - failures;
            let fail_fast = min.is_none() && count.is_none() && share.is_none() && failures >= 1;
            let rate = 100.0 * failures as f64 / ends.len() as f64;
            if fail_fast || count.is_some_and(|n| failures > n) || share.is_some_and(|p| rate > p as f64) {
                return (seen, "FAILURE_TOLERANCE_EXCEEDED");
            }
            if seen < ends.len() && min.is_some_and(|n| successes >= n) {
                return (seen, "MIN_SUCCESSFUL_REACHED");
            }
        }
        (ends.len(), "ALL_COMPLETED")
    }

    fn config(min: Option<usize>, count: Option<usize>, share: Option<usize>) -> CompletionConfig {
        let mut builder = CompletionConfig::builder();
        if let Some(min) = min {
            builder = builder.min_successful(min);
        }
        if let Some(count) = count {
            builder = builder.tolerated_failure_count(count);
        }
        if let Some(share) = share {
            builder = builder.tolerated_failure_percentage(share);
        }
        builder.build().expect("valid criteria")
    }

    fn options(values: &[usize]) -> impl Iterator<Item = Option<usize>> {
        std::iter::once(None).chain(values.iter().copied().map(Some))
    }

    #[test]
    fn every_small_batch_is_over_when_and_why_the_documentation_says() {
        let mut seen_reasons = std::collections::BTreeSet::new();
        for total in 0..=5 {
            for pattern in 0..1_u32 << total {
                let ends: Vec<bool> = (0..total).map(|item| pattern >> item & 1 == 1).collect();
                for min in options(&[1, 2, 3, 5]) {
                    for count in options(&[0, 1, 3]) {
                        for share in options(&[0, 20, 33, 50, 99, 100]) {
                            let mut progress = Progress::new(total, 1, config(min, count, share));
                            let mut ran = 0;
                            while progress.admit() {
                                progress.settle(ran, ends[ran]);
                                ran += 1;
                            }
                            let reason = progress.reason().expect("a batch without items left is over").as_str();
                            assert_eq!(
                                (ran, reason),
                                restated(&ends, min, count, share),
                                "{ends:?} {min:?} {count:?} {share:?}"
                            );
                            seen_reasons.insert(reason);
                        }
                    }
                }
            }
        }
        assert_eq!(seen_reasons.len(), 3);
    }
    #[test]
    fn a_predicate_sees_the_items_in_the_order_they_ended_and_decides_alone() {
        let config = CompletionConfig::with_completion_predicate(|stats| {
            stats.outcomes().last().is_some_and(|last| last.index() == 1 && last.status() == BatchItemStatus::Succeeded)
        });
        let mut progress = Progress::new(3, 3, config);
        while progress.admit() {}
        progress.settle(2, false);
        assert_eq!(progress.reason(), None, "a predicate tolerates failures");
        progress.settle(1, true);
        assert_eq!(progress.reason(), Some(CompletionReason::PredicateMatched));
    }

    #[test]
    fn criteria_that_cannot_be_met_or_contradict_each_other_are_refused() {
        let said = |config: CompletionConfig| config.validate().map_err(|error| error.to_string());
        assert!(said(CompletionConfig::with_min_successful(0)).is_err_and(|text| text.contains("min_successful")));
        assert!(said(CompletionConfig::with_tolerated_failure_percentage(101)).is_err_and(|text| text.contains("101")));
        assert!(said(CompletionConfig::with_tolerated_failure_percentage(100)).is_ok());
        assert!(CompletionConfig::builder().min_successful(1).completion_predicate(|_| true).build().is_err());
    }
}
