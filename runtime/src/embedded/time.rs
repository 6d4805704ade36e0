//! Time as the embedded service and its driver see it: real, or simulated.

use everstep_core::protocol::Timestamp;
use everstep_core::service::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Waiting.
pub trait Time: Send + Sync {
    /// How long it is until then; zero if that is past.
    fn until(&self, then: Timestamp) -> Duration;
    /// Returns when it is then.
    fn sleep_until(&self, then: Timestamp);
}

/// The machine's clock.
pub struct RealTime;

fn machine() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

impl Clock for RealTime {
    fn now(&self, after: Timestamp) -> Timestamp {
        machine().max(after)
    }
}

impl Time for RealTime {
    fn until(&self, then: Timestamp) -> Duration {
        Duration::from_millis(machine().millis_until(then))
    }
    fn sleep_until(&self, then: Timestamp) {
        // The machine's clock may be set while we sleep: look again.
        loop {
            let left = self.until(then);
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_secs(60)));
        }
    }
}

/// A clock that depends on nothing but the log: every transition comes 7 ms after the one before, and waiting takes no
/// time. A run that was interrupted anywhere has the timestamps of one that was not.
#[derive(Default)]
pub struct SimulatedTime {
    skipped_to: AtomicI64,
}

impl SimulatedTime {
    /// 2026-01-01T00:00:00Z.
    const START: Timestamp = Timestamp(1_767_225_600_000);
    const STEP: i64 = 7;
}

impl Clock for SimulatedTime {
    fn now(&self, after: Timestamp) -> Timestamp {
        let skipped_to = Timestamp(self.skipped_to.load(Ordering::Relaxed));
        Timestamp(after.0.saturating_add(Self::STEP)).max(skipped_to).max(Self::START)
    }
}

impl Time for SimulatedTime {
    fn until(&self, _: Timestamp) -> Duration {
        Duration::ZERO
    }
    fn sleep_until(&self, then: Timestamp) {
        self.skipped_to.fetch_max(then.0, Ordering::Relaxed);
    }
}
