//! The virtual clock: what workflow code sees outside step bodies.

use everstep_core::protocol::Timestamp;

const NANOS_PER_MILLI: u64 = 1_000_000;
/// What a read moves the clock by, so that a loop that waits for time to pass ends: a microsecond.
const READ: u64 = 1_000;
/// How many looks after an event leave the clock where it is: more than any collector of garbage takes, and few enough
/// that a loop that waits for time to pass ends.
const IDLE_LOOKS: u32 = 1_000_000;

/// Nanoseconds since the Unix epoch: the service's timestamp of the latest event handed to the guest, plus a
/// microsecond a read. Never goes back. A function of the log and of the guest's own calls, hence the same on every
/// replay with nothing recorded per read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtualClock {
    nanos: u64,
    /// Looks since the latest event.
    looks: u32,
}

impl VirtualClock {
    pub(crate) fn starting_at(start: Timestamp) -> Self {
        let mut clock = Self { nanos: 0, looks: 0 };
        clock.advance_to(start);
        clock
    }

    /// The guest was handed an event of that time.
    pub(crate) fn advance_to(&mut self, event: Timestamp) {
        self.advance_to_nanos(u64::try_from(event.0).unwrap_or(0).saturating_mul(NANOS_PER_MILLI));
    }

    pub(crate) fn advance_to_nanos(&mut self, nanos: u64) {
        self.nanos = self.nanos.max(nanos);
        self.looks = 0;
    }

    pub(crate) fn read(&mut self) -> u64 {
        self.nanos = self.nanos.saturating_add(READ);
        self.nanos
    }

    /// A read that others cannot see, up to [`IDLE_LOOKS`] of them between two events: where bodies are not sealed, how
    /// often a garbage collector reads the clock depends on what they left in memory.
    pub(crate) fn look(&mut self) -> u64 {
        if self.looks < IDLE_LOOKS {
            self.looks += 1;
            return self.nanos;
        }
        self.read()
    }

    pub(crate) fn nanos(self) -> u64 {
        self.nanos
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

    #[test]
    fn a_look_moves_nothing_unless_it_is_one_of_a_loop_without_end() {
        let mut clock = VirtualClock::starting_at(Timestamp(1_000));
        assert!((0..IDLE_LOOKS).all(|_| clock.look() == 1_000_000_000));
        assert_eq!((clock.look(), clock.look()), (1_000_001_000, 1_000_002_000));
        clock.advance_to(Timestamp(1_001));
        assert_eq!(clock.look(), clock.look());
    }
}
