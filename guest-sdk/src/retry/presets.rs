//! Schedules with a name.

use super::{Backoff, JitterStrategy, RetryStrategyConfig, RetryStrategyConfigBuilder};
use std::time::Duration;

const FIVE_MINUTES: Duration = Duration::from_secs(300);

const fn preset(max_attempts: u32, initial_seconds: u64, rate: f64, jitter: JitterStrategy) -> RetryStrategyConfig {
    let initial = Duration::from_secs(initial_seconds);
    let delay = Backoff { initial, max: FIVE_MINUTES, rate, increment: Duration::ZERO, jitter };
    RetryStrategyConfig { max_attempts, delay, retryable: None }
}

impl RetryStrategyConfig {
    /// No retry: one attempt.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    ///
    /// ctx.step(|_| async { Ok(()) }).retry_strategy_config(RetryStrategyConfig::none()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn none() -> Self {
        preset(1, 1, 1.0, JitterStrategy::None)
    }

    /// 6 attempts, 1, 2, 3, 4 and 5 seconds apart, without jitter.
    ///
    /// ```
    /// let config = everstep_sdk::RetryStrategyConfig::linear();
    /// assert_eq!((config.max_attempts(), config.increment().as_secs()), (6, 1));
    /// ```
    #[must_use]
    pub fn linear() -> Self {
        Self::linear_builder().jitter(JitterStrategy::None).build()
    }

    /// Starts from delays that grow by the same amount each time: 6 attempts, 1 s and 1 s more each time, at most
    /// 5 minutes, full jitter.
    ///
    /// ```
    /// use everstep_sdk::RetryStrategyConfig;
    /// use std::time::Duration;
    ///
    /// let config = RetryStrategyConfig::linear_builder().increment(Duration::from_secs(10)).build();
    /// assert_eq!(config.max_attempts(), 6);
    /// ```
    pub fn linear_builder() -> RetryStrategyConfigBuilder {
        let config = preset(6, 1, 1.0, JitterStrategy::Full);
        RetryStrategyConfigBuilder { config }.increment(Duration::from_secs(1))
    }

    /// For what passes by itself soon: 3 attempts, 5 s, at most 5 minutes, doubling, half jitter.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    ///
    /// let quote = ctx.fetch("https://api.example.com/quote");
    /// quote.retry_strategy_config(RetryStrategyConfig::transient()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn transient() -> Self {
        preset(3, 5, 2.0, JitterStrategy::Half)
    }

    /// For what has to come up first: 5 attempts, 5 s, at most 5 minutes, doubling, full jitter.
    ///
    /// ```
    /// let config = everstep_sdk::RetryStrategyConfig::resource_availability();
    /// assert_eq!(config.max_delay().as_secs(), 300);
    /// ```
    #[must_use]
    pub fn resource_availability() -> Self {
        preset(5, 5, 2.0, JitterStrategy::Full)
    }

    /// For what has to succeed: 10 attempts, 1 s, at most 1 minute, half as much again each time, without jitter.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::RetryStrategyConfig;
    ///
    /// let refund = ctx.step(|step| async move { Ok(println!("refund with key {}", step.idempotency_key())) });
    /// refund.name("refund").retry_strategy_config(RetryStrategyConfig::critical()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn critical() -> Self {
        let mut config = preset(10, 1, 1.5, JitterStrategy::None);
        config.delay.max = Duration::from_secs(60);
        config
    }

    /// 5 attempts, `interval` apart, without jitter. The interval is rounded up to whole seconds, at least 1, at most
    /// 366 days.
    ///
    /// ```
    /// use everstep_sdk::RetryStrategyConfig;
    /// use std::time::Duration;
    ///
    /// let every_minute = RetryStrategyConfig::fixed(Duration::from_secs(60));
    /// assert_eq!(every_minute.max_attempts(), 5);
    /// ```
    #[must_use]
    pub fn fixed(interval: Duration) -> Self {
        let delay = Backoff {
            initial: interval,
            max: interval,
            rate: 1.0,
            increment: Duration::ZERO,
            jitter: JitterStrategy::None,
        };
        Self { max_attempts: 5, delay, retryable: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::tests::delays;

    #[test]
    fn presets_are_those_of_the_table() {
        let none: [u64; 0] = [];
        assert_eq!(delays(&RetryStrategyConfig::none(), 1.0), none);
        assert_eq!(delays(&RetryStrategyConfig::linear(), 0.1), [1, 2, 3, 4, 5], "no jitter");
        assert_eq!(delays(&RetryStrategyConfig::transient(), 1.0), [5, 10]);
        assert_eq!(delays(&RetryStrategyConfig::transient(), 0.0), [3, 5], "half jitter, rounded up");
        assert_eq!(delays(&RetryStrategyConfig::resource_availability(), 1.0), [5, 10, 20, 40]);
        assert_eq!(delays(&RetryStrategyConfig::resource_availability(), 0.05), [1, 1, 1, 2], "full jitter");
        assert_eq!(delays(&RetryStrategyConfig::critical(), 0.5), [1, 2, 3, 4, 6, 8, 12, 18, 26]);
        assert_eq!(delays(&RetryStrategyConfig::fixed(Duration::from_millis(4500)), 0.5), [5, 5, 5, 5]);
    }

    #[test]
    fn delays_stop_growing_at_the_bound() {
        let slow = RetryStrategyConfig::linear_builder()
            .max_attempts(5)
            .increment(Duration::from_secs(120))
            .jitter(JitterStrategy::None);
        assert_eq!(delays(&slow.clone().build(), 0.0), [1, 121, 241, 300]);
        assert_eq!(delays(&slow.jitter(JitterStrategy::Full).build(), 0.5), [1, 61, 121, 150]);
        let transient = RetryStrategyConfig::builder().max_attempts(10).max_delay(FIVE_MINUTES).build();
        assert_eq!(delays(&transient, 1.0).last(), Some(&300));
    }
}
