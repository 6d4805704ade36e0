//! When a failed step is tried again.

use crate::error::StepError;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// The longest delay the log can hold: 366 days.
pub(crate) const LONGEST_SECONDS: u32 = 31_622_400;

/// What a retry strategy decides about a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Try again after `delay`: rounded up to whole seconds, at least 1 second, at most 366 days.
    Retry {
        /// Time between the failed attempt and the next.
        delay: Duration,
    },
    /// Give up: the step fails with the attempt's error.
    Stop,
}

/// How a computed delay is randomised, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum JitterStrategy {
    /// Not at all.
    None,
    /// Between half the delay and the delay.
    Half,
    /// Between zero and the delay.
    #[default]
    Full,
}

/// An exponential backoff: the delay after attempt `n` is `initial_delay * backoff_rate^(n - 1)`, at most `max_delay`,
/// then jittered, in whole seconds (to the nearest with full jitter, up otherwise) and at least 1.
///
/// The default, which a step without a strategy uses: 6 attempts in all, 5 s, at most 60 s, doubling, full jitter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RetryStrategyConfig {
    max_attempts: u32,
    initial_delay: Duration,
    max_delay: Duration,
    backoff_rate: f64,
    jitter: JitterStrategy,
}

impl Default for RetryStrategyConfig {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            initial_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(60),
            backoff_rate: 2.0,
            jitter: JitterStrategy::Full,
        }
    }
}

impl RetryStrategyConfig {
    /// Starts from the default.
    pub fn builder() -> RetryStrategyConfigBuilder {
        RetryStrategyConfigBuilder { config: Self::default() }
    }

    /// Attempts in all, the first included.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Delay after the first attempt, before jitter.
    #[must_use]
    pub fn initial_delay(&self) -> Duration {
        self.initial_delay
    }

    /// Upper bound of the delay, before jitter.
    #[must_use]
    pub fn max_delay(&self) -> Duration {
        self.max_delay
    }

    /// What the delay is multiplied with from one attempt to the next.
    #[must_use]
    pub fn backoff_rate(&self) -> f64 {
        self.backoff_rate
    }

    /// How the delay is randomised.
    #[must_use]
    pub fn jitter(&self) -> JitterStrategy {
        self.jitter
    }

    /// For the host, which retries HTTP requests by itself.
    pub(crate) fn schedule(&self) -> crate::bindings::RetrySchedule {
        use crate::bindings::{Jitter, RetrySchedule};
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        RetrySchedule {
            max_attempts: self.max_attempts,
            initial_delay_milliseconds: milliseconds(self.initial_delay),
            max_delay_milliseconds: milliseconds(self.max_delay),
            backoff_rate: self.backoff_rate,
            jitter: match self.jitter {
                JitterStrategy::None => Jitter::None,
                JitterStrategy::Half => Jitter::Half,
                JitterStrategy::Full => Jitter::Full,
            },
        }
    }

    /// `random` answers a number in `[0, 1)`.
    fn decide(&self, attempt: u32, random: impl FnOnce() -> f64) -> RetryDecision {
        if attempt >= self.max_attempts {
            return RetryDecision::Stop;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let base =
            (self.initial_delay.as_secs_f64() * self.backoff_rate.powi(exponent)).min(self.max_delay.as_secs_f64());
        let seconds = match self.jitter {
            JitterStrategy::None => base.ceil(),
            JitterStrategy::Half => (base / 2.0 + base / 2.0 * random()).ceil(),
            JitterStrategy::Full => (base * random()).round(),
        };
        // `max` also turns the NaN of an absurd rate into the minimum; the cast saturates.
        RetryDecision::Retry { delay: Duration::from_secs(seconds.max(1.0) as u64) }
    }
}

/// Builds a [`RetryStrategyConfig`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `.build()`"]
#[non_exhaustive]
pub struct RetryStrategyConfigBuilder {
    config: RetryStrategyConfig,
}

impl RetryStrategyConfigBuilder {
    /// Attempts in all, the first included; 0 and 1 both mean no retry.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.config.max_attempts = max_attempts;
        self
    }

    /// Delay after the first attempt, before jitter.
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.config.initial_delay = delay;
        self
    }

    /// Upper bound of the delay, before jitter.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.config.max_delay = delay;
        self
    }

    /// What the delay is multiplied with from one attempt to the next.
    pub fn backoff_rate(mut self, rate: f64) -> Self {
        self.config.backoff_rate = rate;
        self
    }

    /// How the delay is randomised.
    pub fn jitter(mut self, jitter: JitterStrategy) -> Self {
        self.config.jitter = jitter;
        self
    }

    /// The configuration.
    #[must_use]
    pub fn build(self) -> RetryStrategyConfig {
        self.config
    }
}

type Closure = dyn Fn(&StepError, u32) -> RetryDecision;

/// What a step was given, asked inside the step's scope: its time and randomness are real.
pub(crate) enum RetryStrategy {
    Schedule(RetryStrategyConfig),
    Closure(Box<Closure>),
}

impl RetryStrategy {
    /// Seconds until the next attempt, or none to give up.
    pub(crate) fn decide(&self, error: &StepError, attempt: u32) -> Option<u32> {
        let decision = match self {
            Self::Schedule(config) => config.decide(attempt, random_fraction),
            Self::Closure(strategy) => strategy(error, attempt),
        };
        match decision {
            RetryDecision::Retry { delay } => Some(whole_seconds(delay).min(LONGEST_SECONDS)),
            RetryDecision::Stop => None,
        }
    }
}

/// Rounded up, at least 1, saturating.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Hash keys alone would not do: drawn before the step, they are the same in every attempt. The clock is real here.
fn random_fraction() -> f64 {
    let mut hasher = RandomState::new().build_hasher();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    hasher.write_u128(now.as_nanos());
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StepErrorKind;

    fn delays(config: &RetryStrategyConfig, random: f64) -> Vec<u64> {
        (1..)
            .map_while(|attempt| match config.decide(attempt, || random) {
                RetryDecision::Retry { delay } => Some(delay.as_secs()),
                RetryDecision::Stop => None,
            })
            .collect()
    }

    #[test]
    fn the_default_is_six_attempts_from_5_to_60_seconds_with_full_jitter() {
        let default = RetryStrategyConfig::default();
        assert_eq!(delays(&default, 1.0), [5, 10, 20, 40, 60]);
        assert_eq!(delays(&default, 0.5), [3, 5, 10, 20, 30], "to the nearest second, half up");
        assert_eq!(delays(&default, 0.0), [1, 1, 1, 1, 1], "at least a second");
    }

    #[test]
    fn half_jitter_and_none_round_up() {
        let builder = RetryStrategyConfig::builder().max_attempts(4).initial_delay(Duration::from_millis(1500));
        let none = builder.clone().jitter(JitterStrategy::None).build();
        assert_eq!(delays(&none, 0.9), [2, 3, 6]);
        let half = builder.jitter(JitterStrategy::Half).build();
        assert_eq!(delays(&half, 0.0), [1, 2, 3]);
        assert_eq!(delays(&half, 0.5), [2, 3, 5]);
    }

    #[test]
    fn absurd_schedules_stay_within_bounds() {
        let endless = RetryStrategyConfig::builder().max_attempts(u32::MAX).backoff_rate(f64::MAX).build();
        assert_eq!(endless.decide(u32::MAX - 1, || 0.99), RetryDecision::Retry { delay: Duration::from_secs(59) });
        let undefined = RetryStrategyConfig::builder().backoff_rate(f64::NAN).max_delay(Duration::MAX).build();
        assert!(matches!(undefined.decide(3, || 0.5), RetryDecision::Retry { .. }));
        let never = RetryStrategyConfig::builder().max_attempts(0).build();
        assert_eq!(never.decide(1, || 0.5), RetryDecision::Stop);
    }

    #[test]
    fn a_closures_delay_is_rounded_up_and_clamped() {
        let error = StepError::new(StepErrorKind::ExecutionFailed, None);
        for (delay, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(60), 60),
            (Duration::MAX, LONGEST_SECONDS),
        ] {
            let strategy = RetryStrategy::Closure(Box::new(move |_, _| RetryDecision::Retry { delay }));
            assert_eq!(strategy.decide(&error, 1), Some(seconds), "{delay:?}");
        }
        assert_eq!(RetryStrategy::Closure(Box::new(|_, _| RetryDecision::Stop)).decide(&error, 1), None);
    }

    #[test]
    fn jitter_lies_in_the_unit_interval() {
        for _ in 0..1000 {
            let fraction = random_fraction();
            assert!((0.0..1.0).contains(&fraction), "{fraction}");
        }
    }
}
