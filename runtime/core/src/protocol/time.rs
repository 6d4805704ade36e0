//! Points in time as the service records them.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC: the resolution of AWS's own log, so a virtual clock derived from it is the
/// same in both places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This point plus whole seconds; saturates at the ends of time.
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(i64::from(seconds) * 1000))
    }

    /// Milliseconds from `self` until `later`; 0 if that is in the past.
    pub fn millis_until(self, later: Self) -> u64 {
        u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0)
    }
}
