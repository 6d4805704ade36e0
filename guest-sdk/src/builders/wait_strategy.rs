//! When a condition that is not met is checked again.

use crate::retry::{Backoff, JitterStrategy};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// What a wait strategy decides about the state that a check returned.
///
/// ```
/// use everstep_sdk::builders::WaitDecision;
/// use std::time::Duration;
///
/// fn until_full(litres: u32, checks: u32) -> WaitDecision {
///     match litres {
///         40.. => WaitDecision::complete(),
///         _ if checks == 100 => WaitDecision::exhausted("the tank leaks"),
///         _ => WaitDecision::continue_with(Duration::from_secs(10)),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitDecision {
    /// The condition is met; the state is the result.
    Complete,
    /// Check again after `delay`: rounded up to whole seconds, at least 1 second, at most 366 days.
    Continue {
        /// Time between this check and the next.
        delay: Duration,
    },
    /// Give up: the operation fails with [`MaxChecksExceeded`](crate::WaitForConditionErrorKind::MaxChecksExceeded).
    Exhausted {
        /// Why: the recorded message.
        reason: String,
    },
}

impl WaitDecision {
    /// The condition is met.
    ///
    /// ```
    /// use everstep_sdk::builders::WaitDecision;
    ///
    /// assert_eq!(WaitDecision::complete(), WaitDecision::Complete);
    /// ```
    #[must_use]
    pub fn complete() -> Self {
        Self::Complete
    }

    /// Check again after `delay`: rounded up to whole seconds, at least 1 second, at most 366 days.
    ///
    /// ```
    /// use everstep_sdk::builders::WaitDecision;
    /// use std::time::Duration;
    ///
    /// let tomorrow = WaitDecision::continue_with(Duration::from_secs(24 * 3_600));
    /// ```
    #[must_use]
    pub fn continue_with(delay: Duration) -> Self {
        Self::Continue { delay }
    }

    /// Give up, with `reason` as the recorded message.
    ///
    /// ```
    /// use everstep_sdk::builders::WaitDecision;
    ///
    /// let given_up = WaitDecision::exhausted("the job was deleted");
    /// ```
    #[must_use]
    pub fn exhausted(reason: impl Into<String>) -> Self {
        Self::Exhausted { reason: reason.into() }
    }
}

/// A wait strategy as data: what is waited for, how many checks there are, and how long the delays between them.
///
/// The delay after check `n` is `initial_delay * backoff_rate^(n - 1)`, at most `max_delay`, then jittered, rounded up
/// to whole seconds, and at least 1. The default: 60 checks in all, 5 s, at most 5 minutes, half as much again each
/// time, full jitter.
///
/// ```
/// use everstep_sdk::builders::WaitStrategy;
/// use std::time::Duration;
///
/// let strategy = WaitStrategy::builder(|ready: &bool| *ready).max_attempts(10).initial_delay(Duration::from_secs(2)).build();
/// assert_eq!(strategy.max_attempts(), 10);
/// assert_eq!(strategy.max_delay(), Duration::from_secs(300));
/// ```
#[non_exhaustive]
pub struct WaitStrategy<T> {
    is_met: Rc<dyn Fn(&T) -> bool>,
    max_attempts: u32,
    delay: Backoff,
}

impl<T> Clone for WaitStrategy<T> {
    fn clone(&self) -> Self {
        Self { is_met: Rc::clone(&self.is_met), max_attempts: self.max_attempts, delay: self.delay.clone() }
    }
}

impl<T> fmt::Debug for WaitStrategy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitStrategy")
            .field("max_attempts", &self.max_attempts)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

impl<T> WaitStrategy<T> {
    /// Starts from the default: 60 checks, 5 s, at most 5 minutes, half as much again each time, full jitter. `is_met`
    /// is asked about the state after each check, inside the check's scope.
    ///
    /// ```
    /// use everstep_sdk::builders::WaitStrategy;
    ///
    /// let strategy = WaitStrategy::builder(|state: &String| state == "done").build();
    /// ```
    pub fn builder(is_met: impl Fn(&T) -> bool + 'static) -> WaitStrategyBuilder<T> {
        let delay = Backoff {
            initial: Duration::from_secs(5),
            max: Duration::from_secs(300),
            rate: 1.5,
            increment: Duration::ZERO,
            jitter: JitterStrategy::Full,
        };
        WaitStrategyBuilder { strategy: Self { is_met: Rc::new(is_met), max_attempts: 60, delay } }
    }

    /// Checks in all.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// assert_eq!(WaitStrategy::builder(|done: &bool| *done).build().max_attempts(), 60);
    /// ```
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Delay after the first check, before jitter.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// assert_eq!(WaitStrategy::builder(|done: &bool| *done).build().initial_delay().as_secs(), 5);
    /// ```
    #[must_use]
    pub fn initial_delay(&self) -> Duration {
        self.delay.initial
    }

    /// Upper bound of the delay, before jitter.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// assert_eq!(WaitStrategy::builder(|done: &bool| *done).build().max_delay().as_secs(), 300);
    /// ```
    #[must_use]
    pub fn max_delay(&self) -> Duration {
        self.delay.max
    }

    /// What the delay is multiplied with from one check to the next.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// assert_eq!(WaitStrategy::builder(|done: &bool| *done).build().backoff_rate(), 1.5);
    /// ```
    #[must_use]
    pub fn backoff_rate(&self) -> f64 {
        self.delay.rate
    }

    /// How the delay is randomised.
    ///
    /// ```
    /// use everstep_sdk::{JitterStrategy, builders::WaitStrategy};
    ///
    /// let strategy = WaitStrategy::builder(|done: &bool| *done).build();
    /// assert_eq!(strategy.jitter(), JitterStrategy::Full);
    /// ```
    #[must_use]
    pub fn jitter(&self) -> JitterStrategy {
        self.delay.jitter
    }

    /// A condition that is met at the last check is met. `random` answers a number in `[0, 1)`.
    pub(crate) fn decide(&self, state: &T, attempt: u32, random: impl FnOnce() -> f64) -> WaitDecision {
        if (self.is_met)(state) {
            return WaitDecision::Complete;
        }
        if attempt >= self.max_attempts {
            let max = self.max_attempts;
            return WaitDecision::exhausted(format!("not met after {attempt} checks (max_attempts = {max})"));
        }
        let seconds = self.delay.seconds(attempt, random).ceil();
        // The NaN of an absurd rate became the maximum above; the cast saturates.
        WaitDecision::Continue { delay: Duration::from_secs(seconds.max(1.0) as u64) }
    }
}

/// Builds a [`WaitStrategy`]: made by [`WaitStrategy::builder`].
///
/// Delays of every size are allowed; the schedule brings what it computes to whole seconds, from 1 to 31,622,400 (366
/// days).
///
/// ```
/// use everstep_sdk::{JitterStrategy, builders::WaitStrategy};
/// use std::time::Duration;
///
/// let strategy = WaitStrategy::builder(|left: &u32| *left == 0)
///     .max_attempts(100)
///     .initial_delay(Duration::from_secs(10))
///     .max_delay(Duration::from_secs(3_600))
///     .backoff_rate(2.0)
///     .jitter(JitterStrategy::Half)
///     .build();
/// ```
#[must_use = "a builder does nothing until `.build()`"]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WaitStrategyBuilder<T> {
    strategy: WaitStrategy<T>,
}

impl<T> WaitStrategyBuilder<T> {
    /// Checks in all; 0 and 1 both mean one check.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// let strategy = WaitStrategy::builder(|done: &bool| *done).max_attempts(10).build();
    /// ```
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.strategy.max_attempts = max_attempts;
        self
    }

    /// Delay after the first check, before jitter.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// # use std::time::Duration;
    /// let strategy = WaitStrategy::builder(|done: &bool| *done).initial_delay(Duration::from_secs(60)).build();
    /// ```
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.strategy.delay.initial = delay;
        self
    }

    /// Upper bound of the delay, before jitter.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// # use std::time::Duration;
    /// let strategy = WaitStrategy::builder(|done: &bool| *done).max_delay(Duration::from_secs(3_600)).build();
    /// ```
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.strategy.delay.max = delay;
        self
    }

    /// What the delay is multiplied with from one check to the next: 1 keeps it, 2 doubles it. Below 1 it shrinks, to a
    /// second at least; a rate that gives no number gives the longest delay.
    ///
    /// ```
    /// # use everstep_sdk::builders::WaitStrategy;
    /// let steady = WaitStrategy::builder(|done: &bool| *done).backoff_rate(1.0).build();
    /// ```
    pub fn backoff_rate(mut self, rate: f64) -> Self {
        self.strategy.delay.rate = rate;
        self
    }

    /// How the delay is randomised.
    ///
    /// ```
    /// use everstep_sdk::{JitterStrategy, builders::WaitStrategy};
    ///
    /// let punctual = WaitStrategy::builder(|done: &bool| *done).jitter(JitterStrategy::None).build();
    /// ```
    pub fn jitter(mut self, jitter: JitterStrategy) -> Self {
        self.strategy.delay.jitter = jitter;
        self
    }

    /// The strategy.
    ///
    /// ```
    /// use everstep_sdk::builders::WaitStrategy;
    ///
    /// let strategy: WaitStrategy<bool> = WaitStrategy::builder(|done| *done).build();
    /// ```
    #[must_use]
    pub fn build(self) -> WaitStrategy<T> {
        self.strategy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(strategy: &WaitStrategy<bool>, random: f64) -> Vec<u64> {
        (1..)
            .map_while(|attempt| match strategy.decide(&false, attempt, || random) {
                WaitDecision::Continue { delay } => Some(delay.as_secs()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_default_is_60_checks_from_5_seconds_to_5_minutes() {
        let default = WaitStrategy::builder(|met: &bool| *met).build();
        let whole = delays(&default, 1.0);
        assert_eq!(whole.len(), 59, "delays between 60 checks");
        assert_eq!(whole[..12], [5, 8, 12, 17, 26, 38, 57, 86, 129, 193, 289, 300]);
        assert_eq!(delays(&default, 0.5)[..4], [3, 4, 6, 9], "full jitter, rounded up");
        assert_eq!(delays(&default, 0.0)[..2], [1, 1], "at least a second");
    }

    #[test]
    fn half_jitter_and_none_round_up_as_well() {
        let builder = WaitStrategy::builder(|met: &bool| *met).max_attempts(3).initial_delay(Duration::from_secs(3));
        assert_eq!(delays(&builder.clone().jitter(JitterStrategy::None).build(), 0.3), [3, 5]);
        assert_eq!(delays(&builder.jitter(JitterStrategy::Half).build(), 0.0), [2, 3]);
    }

    #[test]
    fn a_condition_that_is_met_at_the_last_check_is_met() {
        let strategy = WaitStrategy::builder(|met: &bool| *met).max_attempts(3).build();
        assert_eq!(strategy.decide(&true, 3, || 0.5), WaitDecision::Complete);
        let given_up = WaitDecision::exhausted("not met after 3 checks (max_attempts = 3)");
        assert_eq!(strategy.decide(&false, 3, || 0.5), given_up);
    }

    #[test]
    fn absurd_strategies_stay_within_bounds() {
        let builder = WaitStrategy::builder(|met: &bool| *met).max_attempts(u32::MAX);
        let endless = builder.clone().backoff_rate(f64::MAX).build();
        assert_eq!(endless.decide(&false, u32::MAX - 1, || 1.0), WaitDecision::continue_with(Duration::from_secs(300)));
        let negative = builder.clone().backoff_rate(-2.0).build();
        assert_eq!(negative.decide(&false, 2, || 1.0), WaitDecision::continue_with(Duration::from_secs(1)));
        let undefined = builder.backoff_rate(f64::NAN).build();
        assert_eq!(undefined.decide(&false, 2, || 1.0), WaitDecision::continue_with(Duration::from_secs(300)));
    }
}
