//! When a batch is over: what a workflow may ask for, and what it is told.

use super::BatchItemStatus;
use std::fmt;
use std::rc::Rc;

type CompletionPredicate = Rc<dyn Fn(&BatchStats<'_>) -> bool>;

/// When a `map` or `parallel` is over before all of its items are.
///
/// Nothing set (the default): the first failure ends it. As soon as anything is set, only that counts; with
/// `min_successful` alone, for one, any number of items may fail.
///
/// After each item that ends, in this order: a tolerance that is exceeded
/// ([`FailureToleranceExceeded`](CompletionReason::FailureToleranceExceeded)), a predicate that says so
/// ([`PredicateMatched`](CompletionReason::PredicateMatched)), no item left
/// ([`AllCompleted`](CompletionReason::AllCompleted)), enough successes
/// ([`MinSuccessfulReached`](CompletionReason::MinSuccessfulReached)).
///
/// ```
/// use everstep_sdk::builders::map_parallel::CompletionConfig;
///
/// let config = CompletionConfig::builder().min_successful(2).tolerated_failure_percentage(25).build()?;
/// assert_eq!(config.min_successful(), Some(2));
/// # Ok::<(), everstep_sdk::builders::map_parallel::CompletionConfigValidationError>(())
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct CompletionConfig {
    min_successful: Option<usize>,
    tolerated_failure_count: Option<usize>,
    tolerated_failure_percentage: Option<usize>,
    predicate: Option<CompletionPredicate>,
}

impl fmt::Debug for CompletionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionConfig")
            .field("min_successful", &self.min_successful)
            .field("tolerated_failure_count", &self.tolerated_failure_count)
            .field("tolerated_failure_percentage", &self.tolerated_failure_percentage)
            .field("has_completion_predicate", &self.has_completion_predicate())
            .finish()
    }
}

impl CompletionConfig {
    /// To set several criteria, and have them checked at once.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::CompletionConfig;
    ///
    /// let config = CompletionConfig::builder().min_successful(3).tolerated_failure_count(1).build()?;
    /// # Ok::<(), everstep_sdk::builders::map_parallel::CompletionConfigValidationError>(())
    /// ```
    pub fn builder() -> CompletionConfigBuilder {
        CompletionConfigBuilder::default()
    }

    /// Over after `min` successes, whatever fails until then. At least 1, or the batch is refused; of fewer items than
    /// `min`, all run.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let first_two = CompletionConfig::with_min_successful(2);
    /// assert_eq!(first_two.min_successful(), Some(2));
    /// ```
    #[must_use]
    pub fn with_min_successful(min: usize) -> Self {
        Self { min_successful: Some(min), ..Self::default() }
    }

    /// Over with the first failure after `count` others; 0: with the first.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let all_but_three = CompletionConfig::with_tolerated_failure_count(3);
    /// assert_eq!(all_but_three.tolerated_failure_count(), Some(3));
    /// ```
    #[must_use]
    pub fn with_tolerated_failure_count(count: usize) -> Self {
        Self { tolerated_failure_count: Some(count), ..Self::default() }
    }

    /// Over when more than `percentage` per cent of *all* items have failed: 0 to 100, or the batch is refused; with
    /// 100 every item runs.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let whatever_fails = CompletionConfig::with_tolerated_failure_percentage(100);
    /// assert_eq!(whatever_fails.tolerated_failure_percentage(), Some(100));
    /// ```
    #[must_use]
    pub fn with_tolerated_failure_percentage(percentage: usize) -> Self {
        Self { tolerated_failure_percentage: Some(percentage), ..Self::default() }
    }

    /// Over when `predicate`, asked after each item that ends, says true.
    ///
    /// It is asked about the items in the order they ended, which a replay repeats. It is workflow code, and as
    /// deterministic as the rest.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::CompletionConfig;
    ///
    /// let half = CompletionConfig::with_completion_predicate(|stats| 2 * stats.settled() >= stats.total_items());
    /// assert!(half.has_completion_predicate());
    /// ```
    #[must_use]
    pub fn with_completion_predicate(predicate: impl Fn(&BatchStats<'_>) -> bool + 'static) -> Self {
        Self { predicate: Some(Rc::new(predicate)), ..Self::default() }
    }

    /// How many successes end the batch; none if that does not matter.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert_eq!(CompletionConfig::default().min_successful(), None);
    /// ```
    #[must_use]
    pub fn min_successful(&self) -> Option<usize> {
        self.min_successful
    }

    /// How many failures do not end the batch yet; none if their number does not matter.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert_eq!(CompletionConfig::with_tolerated_failure_count(3).tolerated_failure_count(), Some(3));
    /// ```
    #[must_use]
    pub fn tolerated_failure_count(&self) -> Option<usize> {
        self.tolerated_failure_count
    }

    /// Which share of failures, per cent of all items, does not end the batch yet; none if their share does not matter.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert_eq!(CompletionConfig::with_tolerated_failure_percentage(10).tolerated_failure_percentage(), Some(10));
    /// ```
    #[must_use]
    pub fn tolerated_failure_percentage(&self) -> Option<usize> {
        self.tolerated_failure_percentage
    }

    /// Whether a predicate decides.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert!(!CompletionConfig::default().has_completion_predicate());
    /// ```
    #[must_use]
    pub fn has_completion_predicate(&self) -> bool {
        self.predicate.is_some()
    }

    pub(super) fn predicate_matches(&self, stats: &BatchStats<'_>) -> bool {
        self.predicate.as_ref().is_some_and(|predicate| predicate(stats))
    }

    /// Whether anything is set.
    pub(super) fn has_thresholds(&self) -> bool {
        self.min_successful.is_some()
            || self.tolerated_failure_count.is_some()
            || self.tolerated_failure_percentage.is_some()
    }

    pub(super) fn validate(&self) -> Result<(), CompletionConfigValidationError> {
        let message = if self.min_successful == Some(0) {
            "min_successful is 0: nothing would have to run; set at least 1".to_owned()
        } else if let Some(percentage) = self.tolerated_failure_percentage.filter(|&percentage| percentage > 100) {
            format!("tolerated_failure_percentage is {percentage}: set 0 to 100")
        } else if self.has_completion_predicate() && self.has_thresholds() {
            "a completion predicate decides alone: fold the other criteria into it".to_owned()
        } else {
            return Ok(());
        };
        Err(CompletionConfigValidationError { message })
    }
}

/// Sets several criteria: made by [`CompletionConfig::builder`].
///
/// ```
/// use everstep_sdk::builders::map_parallel::CompletionConfig;
///
/// let config = CompletionConfig::builder()
///     .min_successful(5)
///     .tolerated_failure_count(2)
///     .tolerated_failure_percentage(20)
///     .build()?;
///
/// let alone = CompletionConfig::builder().completion_predicate(|stats| stats.failed() > stats.succeeded()).build()?;
/// # Ok::<(), everstep_sdk::builders::map_parallel::CompletionConfigValidationError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
#[non_exhaustive]
pub struct CompletionConfigBuilder {
    config: CompletionConfig,
}

impl CompletionConfigBuilder {
    /// As [`CompletionConfig::with_min_successful`].
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert!(CompletionConfig::builder().min_successful(0).build().is_err());
    /// ```
    pub fn min_successful(mut self, min: usize) -> Self {
        self.config.min_successful = Some(min);
        self
    }

    /// As [`CompletionConfig::with_tolerated_failure_count`].
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert!(CompletionConfig::builder().tolerated_failure_count(0).build().is_ok());
    /// ```
    pub fn tolerated_failure_count(mut self, count: usize) -> Self {
        self.config.tolerated_failure_count = Some(count);
        self
    }

    /// As [`CompletionConfig::with_tolerated_failure_percentage`].
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// assert!(CompletionConfig::builder().tolerated_failure_percentage(101).build().is_err());
    /// ```
    pub fn tolerated_failure_percentage(mut self, percentage: usize) -> Self {
        self.config.tolerated_failure_percentage = Some(percentage);
        self
    }

    /// As [`CompletionConfig::with_completion_predicate`]; excludes the other criteria.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let builder = CompletionConfig::builder().completion_predicate(|stats| stats.succeeded() >= 3);
    /// assert!(builder.min_successful(1).build().is_err());
    /// ```
    pub fn completion_predicate(mut self, predicate: impl Fn(&BatchStats<'_>) -> bool + 'static) -> Self {
        self.config.predicate = Some(Rc::new(predicate));
        self
    }

    /// The criteria, checked.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let config = CompletionConfig::builder().min_successful(1).tolerated_failure_count(4).build();
    /// assert!(config.is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// If `min_successful` is 0, a percentage is above 100, or a predicate is not alone.
    pub fn build(self) -> Result<CompletionConfig, CompletionConfigValidationError> {
        self.config.validate()?;
        Ok(self.config)
    }
}

/// Why a [`CompletionConfig`] cannot be used.
///
/// ```
/// use everstep_sdk::builders::map_parallel::CompletionConfig;
///
/// let error = CompletionConfig::builder().tolerated_failure_percentage(150).build().unwrap_err();
/// assert_eq!(error.to_string(), "tolerated_failure_percentage is 150: set 0 to 100");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletionConfigValidationError {
    message: String,
}

impl fmt::Display for CompletionConfigValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CompletionConfigValidationError {}

/// Why a batch was over.
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchResult, CompletionReason};
///
/// fn went_through(batch: &BatchResult<u32>) -> bool {
///     batch.completion_reason() == CompletionReason::AllCompleted
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionReason {
    /// Every item ended.
    AllCompleted,
    /// As many items succeeded as were asked for.
    MinSuccessfulReached,
    /// More items failed than were tolerated.
    FailureToleranceExceeded,
    /// The predicate said so.
    PredicateMatched,
}

impl CompletionReason {
    pub(super) const ALL: [Self; 4] =
        [Self::AllCompleted, Self::MinSuccessfulReached, Self::FailureToleranceExceeded, Self::PredicateMatched];

    /// As it is recorded: `ALL_COMPLETED`, `MIN_SUCCESSFUL_REACHED`, `FAILURE_TOLERANCE_EXCEEDED` or
    /// `PREDICATE_MATCHED`.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::CompletionReason;
    ///
    /// assert_eq!(CompletionReason::PredicateMatched.as_str(), "PREDICATE_MATCHED");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllCompleted => "ALL_COMPLETED",
            Self::MinSuccessfulReached => "MIN_SUCCESSFUL_REACHED",
            Self::FailureToleranceExceeded => "FAILURE_TOLERANCE_EXCEEDED",
            Self::PredicateMatched => "PREDICATE_MATCHED",
        }
    }
}

impl fmt::Display for CompletionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An item that ended, as a predicate sees it.
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchItemStatus, CompletionConfig};
///
/// let when_the_first_is_in = CompletionConfig::with_completion_predicate(|stats| {
///     stats.outcomes().iter().any(|outcome| outcome.index() == 0 && outcome.status() == BatchItemStatus::Succeeded)
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettledOutcome {
    index: usize,
    status: BatchItemStatus,
}

impl SettledOutcome {
    /// For tests of a predicate.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::{BatchItemStatus, SettledOutcome};
    ///
    /// let outcome = SettledOutcome::new(3, BatchItemStatus::Failed);
    /// ```
    #[must_use]
    pub fn new(index: usize, status: BatchItemStatus) -> Self {
        Self { index, status }
    }

    /// Which item, from 0 in the order of the input.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::{BatchItemStatus, SettledOutcome};
    /// assert_eq!(SettledOutcome::new(3, BatchItemStatus::Failed).index(), 3);
    /// ```
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether it succeeded or failed.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::{BatchItemStatus, SettledOutcome};
    /// assert_eq!(SettledOutcome::new(3, BatchItemStatus::Failed).status(), BatchItemStatus::Failed);
    /// ```
    #[must_use]
    pub fn status(&self) -> BatchItemStatus {
        self.status
    }
}

/// How far a batch is, as a predicate sees it.
///
/// ```
/// use everstep_sdk::builders::map_parallel::{BatchItemStatus, BatchStats, SettledOutcome};
///
/// let outcomes = [SettledOutcome::new(1, BatchItemStatus::Succeeded), SettledOutcome::new(0, BatchItemStatus::Failed)];
/// let stats = BatchStats::new(1, 1, 5, &outcomes);
/// assert_eq!((stats.settled(), stats.outcomes()[0].index()), (2, 1));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BatchStats<'a> {
    succeeded: usize,
    failed: usize,
    total_items: usize,
    outcomes: &'a [SettledOutcome],
}

impl<'a> BatchStats<'a> {
    /// For tests of a predicate.
    ///
    /// ```
    /// use everstep_sdk::builders::map_parallel::BatchStats;
    ///
    /// let nothing_yet = BatchStats::new(0, 0, 12, &[]);
    /// assert_eq!(nothing_yet.total_items(), 12);
    /// ```
    #[must_use]
    pub fn new(succeeded: usize, failed: usize, total_items: usize, outcomes: &'a [SettledOutcome]) -> Self {
        Self { succeeded, failed, total_items, outcomes }
    }

    /// How many items succeeded.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let three = CompletionConfig::with_completion_predicate(|stats| stats.succeeded() == 3);
    /// ```
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.succeeded
    }

    /// How many items failed.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let broken = CompletionConfig::with_completion_predicate(|stats| 2 * stats.failed() > stats.total_items());
    /// ```
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// How many items ended, well or not.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let first_ten = CompletionConfig::with_completion_predicate(|stats| stats.settled() == 10);
    /// ```
    #[must_use]
    pub fn settled(&self) -> usize {
        self.succeeded + self.failed
    }

    /// How many items there are, started or not.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::CompletionConfig;
    /// let nearly = CompletionConfig::with_completion_predicate(|stats| stats.settled() + 1 == stats.total_items());
    /// ```
    #[must_use]
    pub fn total_items(&self) -> usize {
        self.total_items
    }

    /// The items that ended, in the order they did. AWS's SDK, which cannot repeat that order on a replay, gives them
    /// in the order of the input.
    ///
    /// ```
    /// # use everstep_sdk::builders::map_parallel::{BatchItemStatus, CompletionConfig};
    /// // Two failures in a row.
    /// let config = CompletionConfig::with_completion_predicate(|stats| {
    ///     stats.outcomes().windows(2).any(|pair| pair.iter().all(|end| end.status() == BatchItemStatus::Failed))
    /// });
    /// ```
    #[must_use]
    pub fn outcomes(&self) -> &'a [SettledOutcome] {
        self.outcomes
    }
}
