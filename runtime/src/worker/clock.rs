//! The virtual clock: what workflow code sees outside step bodies.

use everstep_core::protocol::Timestamp;

const NANOS_PER_MILLI: u64 = 1_000_000;
/// What a read moves the clock by, so that a loop that waits for time to pass ends: a microsecond.
const READ: u64 = 1_000;

/// Nanoseconds since the Unix epoch: the service's timestamp of the latest event handed to the guest, plus a
/// microsecond a read. Never goes back. A function of the log and of the guest's own calls, hence the same on every
/// replay with nothing recorded per read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtualClock(u64);

impl VirtualClock {
    pub(crate) fn starting_at(start: Timestamp) -> Self {
        let mut clock = Self(0);
        clock.advance_to(start);
        clock
    }

    /// The guest was handed an event of that time.
    pub(crate) fn advance_to(&mut self, event: Timestamp) {
        self.advance_to_nanos(u64::try_from(event.0).unwrap_or(0).saturating_mul(NANOS_PER_MILLI));
    }

    pub(crate) fn advance_to_nanos(&mut self, nanos: u64) {
        self.0 = self.0.max(nanos);
    }

    pub(crate) fn read(&mut self) -> u64 {
        self.0 = self.0.saturating_add(READ);
        self.0
    }

    pub(crate) fn nanos(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_events_moves_with_reads_and_never_goes_back() {
        let mut clock = VirtualClock::starting_at(Timestamp(1_000));
        assert_eq!((clock.read(), clock.read()), (1_000_001_000, 1_000_002_000));
        clock.advance_to(Timestamp(500));
        assert_eq!(clock.read(), 1_000_003_000);
        clock.advance_to(Timestamp(2_000));
        assert_eq!(clock.nanos(), 2_000_000_000);
    }
}
