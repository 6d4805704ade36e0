//! When a failed step is tried again.

mod presets;

use crate::error::StepError;
use crate::wire::{self, WireError};
use std::error::Error as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// The longest delay the log can hold: 366 days.
pub(crate) const LONGEST_SECONDS: u32 = 31_622_400;

/// What a retry strategy decides about a failed attempt.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// use everstep_sdk::RetryDecision;
/// use std::time::Duration;
///
/// ctx.step(|_| async { Ok(()) })
///     .retry_strategy(|_error, attempt| match attempt {
///         1..=3 => RetryDecision::Retry { delay: Duration::from_secs(10) },
///         _ => RetryDecision::Stop,
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use everstep_sdk::{JitterStrategy, RetryStrategyConfig};
///
/// let exact = RetryStrategyConfig::builder().jitter(JitterStrategy::None).build();
/// assert_eq!(RetryStrategyConfig::default().jitter(), JitterStrategy::Full);
/// ```
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

/// A schedule of retries: how many attempts, and how long the delays between them.
///
/// The delay after attempt `n` is `initial_delay * backoff_rate^(n - 1) + increment * (n - 1)`, at most `max_delay`,
/// then jittered, in whole seconds (to the nearest with full jitter, up otherwise) and at least 1.
///
/// The default, which a step without a strategy uses: 6 attempts in all, 5 s, at most 60 s, doubling, full jitter.
/// Other presets: [`none`](Self::none), [`linear`](Self::linear), [`transient`](Self::transient),
/// [`resource_availability`](Self::resource_availability), [`critical`](Self::critical), [`fixed`](Self::fixed).
///
/// ```
/// use everstep_sdk::{JitterStrategy, RetryStrategyConfig};
/// use std::time::Duration;
///
/// // 3 attempts, 2 and 4 seconds apart, and only for what may pass by itself.
/// let config = RetryStrategyConfig::builder()
///     .max_attempts(3)
///     .initial_delay(Duration::from_secs(2))
///     .jitter(JitterStrategy::None)
///     .retryable_error_types(["Throttled"])
///     .retryable_errors(["timed out"])
///     .build();
/// assert_eq!(config.max_attempts(), 3);
/// assert_eq!(config.max_delay(), RetryStrategyConfig::default().max_delay());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RetryStrategyConfig {
    max_attempts: u32,
    delay: Backoff,
    retryable: Option<Retryable>,
}

/// How delays grow from one attempt to the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
    pub(crate) rate: f64,
    pub(crate) increment: Duration,
    pub(crate) jitter: JitterStrategy,
}

impl Backoff {
    /// Seconds after attempt `attempt`, jittered but neither rounded nor bounded below. `random` answers a number in
    /// `[0, 1)`.
    pub(crate) fn seconds(&self, attempt: u32, random: impl FnOnce() -> f64) -> f64 {
        let before = attempt.saturating_sub(1);
        let exponential = self.initial.as_secs_f64() * self.rate.powi(i32::try_from(before).unwrap_or(i32::MAX));
        let base = (exponential + self.increment.as_secs_f64() * f64::from(before)).min(self.max.as_secs_f64());
        match self.jitter {
            JitterStrategy::None => base,
            JitterStrategy::Half => base / 2.0 + base / 2.0 * random(),
            JitterStrategy::Full => base * random(),
        }
    }
}

/// Which errors are retried: those that match one of either.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Retryable {
    messages: Vec<String>,
    types: Vec<String>,
}

impl Retryable {
    fn matches(&self, error: &StepError) -> bool {
        let wire = match error.source() {
            Some(source) => WireError::of(source, wire::UNNAMED_ERROR),
            None => WireError::default(),
        };
        let message = wire.error_message().unwrap_or_default();
        self.messages.iter().any(|part| message.contains(part.as_str()))
            || self.types.iter().any(|name| wire.error_type() == Some(name))
    }
}

impl Default for RetryStrategyConfig {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            delay: Backoff {
                initial: Duration::from_secs(5),
                max: Duration::from_secs(60),
                rate: 2.0,
                increment: Duration::ZERO,
                jitter: JitterStrategy::Full,
            },
            retryable: None,
        }
    }
}

impl RetryStrategyConfig {
    /// Starts from the default: 6 attempts, 5 s, at most 60 s, doubling, full jitter.
    ///
    /// ```
    /// let twice = everstep_sdk::RetryStrategyConfig::builder().max_attempts(2).build();
    /// ```
    pub fn builder() -> RetryStrategyConfigBuilder {
        RetryStrategyConfigBuilder { config: Self::default() }
    }

    /// Attempts in all, the first included.
    ///
    /// ```
    /// assert_eq!(everstep_sdk::RetryStrategyConfig::critical().max_attempts(), 10);
    /// ```
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Delay after the first attempt, before jitter.
    ///
    /// ```
    /// let delay = everstep_sdk::RetryStrategyConfig::transient().initial_delay();
    /// assert_eq!(delay.as_secs(), 5);
    /// ```
    #[must_use]
    pub fn initial_delay(&self) -> Duration {
        self.delay.initial
    }

    /// Upper bound of the delay, before jitter.
    ///
    /// ```
    /// let longest = everstep_sdk::RetryStrategyConfig::default().max_delay();
    /// assert_eq!(longest.as_secs(), 60);
    /// ```
    #[must_use]
    pub fn max_delay(&self) -> Duration {
        self.delay.max
    }

    /// What the delay is multiplied with from one attempt to the next.
    ///
    /// ```
    /// assert_eq!(everstep_sdk::RetryStrategyConfig::critical().backoff_rate(), 1.5);
    /// ```
    #[must_use]
    pub fn backoff_rate(&self) -> f64 {
        self.delay.rate
    }

    /// What is added to the delay from one attempt to the next; zero but for the linear schedules.
    ///
    /// ```
    /// assert_eq!(everstep_sdk::RetryStrategyConfig::linear().increment().as_secs(), 1);
    /// ```
    #[must_use]
    pub fn increment(&self) -> Duration {
        self.delay.increment
    }

    /// How the delay is randomised.
    ///
    /// ```
    /// use everstep_sdk::{JitterStrategy, RetryStrategyConfig};
    ///
    /// assert_eq!(RetryStrategyConfig::transient().jitter(), JitterStrategy::Half);
    /// ```
    #[must_use]
    pub fn jitter(&self) -> JitterStrategy {
        self.delay.jitter
    }

    /// For the host, which retries HTTP requests by itself, and knows neither increments nor filters.
    pub(crate) fn schedule(&self) -> crate::bindings::RetrySchedule {
        use crate::bindings::{Jitter, RetrySchedule};
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        RetrySchedule {
            max_attempts: self.max_attempts,
            initial_delay_milliseconds: milliseconds(self.delay.initial),
            max_delay_milliseconds: milliseconds(self.delay.max),
            backoff_rate: self.delay.rate,
            jitter: match self.delay.jitter {
                JitterStrategy::None => Jitter::None,
                JitterStrategy::Half => Jitter::Half,
                JitterStrategy::Full => Jitter::Full,
            },
        }
    }

    fn decide(&self, error: &StepError, attempt: u32) -> RetryDecision {
        match &self.retryable {
            Some(retryable) if !retryable.matches(error) => RetryDecision::Stop,
            _ => self.after(attempt, random_fraction),
        }
    }

    /// `random` answers a number in `[0, 1)`.
    fn after(&self, attempt: u32, random: impl FnOnce() -> f64) -> RetryDecision {
        if attempt >= self.max_attempts {
            return RetryDecision::Stop;
        }
        let seconds = self.delay.seconds(attempt, random);
        let seconds = match self.delay.jitter {
            JitterStrategy::Full => seconds.round(),
            JitterStrategy::None | JitterStrategy::Half => seconds.ceil(),
        };
        // The NaN of an absurd rate became the maximum above; the cast saturates.
        RetryDecision::Retry { delay: Duration::from_secs(seconds.max(1.0) as u64) }
    }
}

/// Builds a [`RetryStrategyConfig`]: made by [`RetryStrategyConfig::builder`] and
/// [`RetryStrategyConfig::linear_builder`].
///
/// Delays of every size are allowed; the schedule brings what it computes to whole seconds, from 1 to 31,622,400 (366
/// days).
///
/// ```
/// use everstep_sdk::{JitterStrategy, RetryStrategyConfig};
/// use std::time::Duration;
///
/// let config = RetryStrategyConfig::builder()
///     .max_attempts(8)
///     .initial_delay(Duration::from_secs(1))
///     .max_delay(Duration::from_secs(600))
///     .backoff_rate(3.0)
///     .increment(Duration::from_secs(2))
///     .jitter(JitterStrategy::Half)
///     .retryable_errors(["connection reset", "timed out"])
///     .retryable_error_types(["Throttled"])
///     .build();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `.build()`"]
#[non_exhaustive]
pub struct RetryStrategyConfigBuilder {
    config: RetryStrategyConfig,
}

impl RetryStrategyConfigBuilder {
    /// Attempts in all, the first included; 0 and 1 both mean no retry.
    ///
    /// ```
    /// let config = everstep_sdk::RetryStrategyConfig::builder().max_attempts(3).build();
    /// assert_eq!(config.max_attempts(), 3);
    /// ```
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.config.max_attempts = max_attempts;
        self
    }

    /// Delay after the first attempt, before jitter.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// # use std::time::Duration;
    /// let config = RetryStrategyConfig::builder().initial_delay(Duration::from_secs(30)).build();
    /// ```
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.config.delay.initial = delay;
        self
    }

    /// Upper bound of the delay, before jitter.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// # use std::time::Duration;
    /// // 5, 10, 20, ... seconds, and every hour in the end
    /// let config = RetryStrategyConfig::builder().max_attempts(48).max_delay(Duration::from_secs(3_600)).build();
    /// ```
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.config.delay.max = delay;
        self
    }

    /// What the delay is multiplied with from one attempt to the next: 1 keeps it, 2 doubles it. Below 1 it shrinks, to
    /// a second at least; a rate that gives no number gives the longest delay.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// let steep = RetryStrategyConfig::builder().backoff_rate(4.0).build();
    /// ```
    pub fn backoff_rate(mut self, rate: f64) -> Self {
        self.config.delay.rate = rate;
        self
    }

    /// What is added to the delay from one attempt to the next: with a backoff rate of 1, delays grow linearly. An HTTP
    /// request ([`DurableContext::fetch`](crate::DurableContext::fetch)) takes no notice of it.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// # use std::time::Duration;
    /// // 5, 15, 25, ... seconds
    /// let config = RetryStrategyConfig::builder().backoff_rate(1.0).increment(Duration::from_secs(10)).build();
    /// ```
    pub fn increment(mut self, increment: Duration) -> Self {
        self.config.delay.increment = increment;
        self
    }

    /// How the delay is randomised.
    ///
    /// ```
    /// use everstep_sdk::{JitterStrategy, RetryStrategyConfig};
    ///
    /// let on_the_second = RetryStrategyConfig::builder().jitter(JitterStrategy::None).build();
    /// ```
    pub fn jitter(mut self, jitter: JitterStrategy) -> Self {
        self.config.delay.jitter = jitter;
        self
    }

    /// Retries only errors whose message (with that of their causes) contains one of `parts`, or which
    /// [`retryable_error_types`](Self::retryable_error_types) names. With neither: all errors. An HTTP request takes no
    /// notice of it.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// let network = RetryStrategyConfig::builder().retryable_errors(["timed out", "connection refused"]).build();
    /// ```
    pub fn retryable_errors<P: Into<String>>(mut self, parts: impl IntoIterator<Item = P>) -> Self {
        let retryable = self.config.retryable.get_or_insert_default();
        retryable.messages.extend(parts.into_iter().map(Into::into));
        self
    }

    /// Retries only errors that are recorded under one of these types (see [`TypedError`](crate::TypedError)), or whose
    /// message [`retryable_errors`](Self::retryable_errors) names. With neither: all errors. An HTTP request takes no
    /// notice of it.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// let throttled = RetryStrategyConfig::builder().retryable_error_types(["Throttled"]).build();
    /// ```
    pub fn retryable_error_types<N: Into<String>>(mut self, types: impl IntoIterator<Item = N>) -> Self {
        let retryable = self.config.retryable.get_or_insert_default();
        retryable.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// The configuration.
    ///
    /// ```
    /// # use everstep_sdk::RetryStrategyConfig;
    /// let config: RetryStrategyConfig = RetryStrategyConfig::linear_builder().max_attempts(4).build();
    /// ```
    #[must_use]
    pub fn build(self) -> RetryStrategyConfig {
        self.config
    }
}

type Closure = dyn Fn(&StepError, u32) -> RetryDecision;

/// What an operation was given. A step asks inside its scope, where time and randomness are real.
pub(crate) enum RetryStrategy {
    Schedule(RetryStrategyConfig),
    Closure(Box<Closure>),
}

impl RetryStrategy {
    /// Seconds until the next attempt, or none to give up.
    pub(crate) fn decide(&self, error: &StepError, attempt: u32) -> Option<u32> {
        let decision = match self {
            Self::Schedule(config) => config.decide(error, attempt),
            Self::Closure(strategy) => strategy(error, attempt),
        };
        match decision {
            RetryDecision::Retry { delay } => Some(delay_seconds(delay)),
            RetryDecision::Stop => None,
        }
    }
}

impl Default for RetryStrategy {
    fn default() -> Self {
        Self::Schedule(RetryStrategyConfig::default())
    }
}

/// What the log can hold of a delay: rounded up, 1 second to 366 days.
pub(crate) fn delay_seconds(delay: Duration) -> u32 {
    whole_seconds(delay).min(LONGEST_SECONDS)
}

/// Rounded up, at least 1, saturating.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Hash keys alone would not do: drawn before the step, they are the same in every attempt. The clock is real here.
pub(crate) fn random_fraction() -> f64 {
    let mut hasher = RandomState::new().build_hasher();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    hasher.write_u128(now.as_nanos());
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::StepErrorKind;
    use crate::{BoxError, TypedError};

    pub(super) fn delays(config: &RetryStrategyConfig, random: f64) -> Vec<u64> {
        (1..)
            .map_while(|attempt| match config.after(attempt, || random) {
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
        assert_eq!(endless.after(u32::MAX - 1, || 0.99), RetryDecision::Retry { delay: Duration::from_secs(59) });
        let undefined = RetryStrategyConfig::builder().backoff_rate(f64::NAN).max_delay(Duration::MAX).build();
        assert!(matches!(undefined.after(3, || 0.5), RetryDecision::Retry { .. }));
        let never = RetryStrategyConfig::builder().max_attempts(0).build();
        assert_eq!(never.after(1, || 0.5), RetryDecision::Stop);
    }

    #[test]
    fn a_filter_retries_what_it_names_and_nothing_else() {
        let failed = |error: BoxError| StepError::new(StepErrorKind::ExecutionFailed, Some(error));
        let throttled = failed(TypedError::with_type("Throttled", "slow down").into());
        let timeout = failed("connecting: timed out".into());
        let declined = failed(TypedError::with_type("CardDeclined", "no funds").into());
        let retried = |config: &RetryStrategyConfig| {
            [&throttled, &timeout, &declined].map(|error| config.decide(error, 1) != RetryDecision::Stop)
        };
        let builder = RetryStrategyConfig::builder;
        assert_eq!(retried(&builder().build()), [true, true, true], "unset: all errors");
        assert_eq!(retried(&builder().retryable_error_types(["Throttled"]).build()), [true, false, false]);
        assert_eq!(retried(&builder().retryable_errors(["timed out"]).build()), [false, true, false]);
        let either = builder().retryable_errors(["timed out"]).retryable_error_types(["CardDeclined"]).build();
        assert_eq!(retried(&either), [false, true, true], "one of both is enough");
        assert_eq!(retried(&builder().retryable_errors([""; 0]).build()), [false, false, false], "an empty list");
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
