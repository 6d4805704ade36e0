//! What shadow replay adds to a durable step.

use super::{Bench, Measured, finish, line, median, timed};
use everstep::embedded::Embedded;
use everstep::worker::Verify;
use everstep_core::store::memory::MemoryStore;
use std::sync::Arc;

const STEPS: u64 = 250;
const ROUNDS: usize = 31;

impl Bench {
    /// Executions of sequential steps, verified and not, in turns: the difference as a part of the durable step that is
    /// not verified. The floor is the target. On the disk the difference drowns in what syncs take now and then; without
    /// a disk only the work itself is left of it.
    pub(super) fn shadow(&self) {
        let disk = self.real("shadow.db");
        let memory = self.simulated(Arc::new(MemoryStore::new()));
        let (added, step) = self.added(&disk);
        let (work, _) = self.added(&memory);
        let percent = |added: f64| 100.0 * added / step;
        line("shadow replay, of a durable step, on the disk", percent(added), 5.0, "%", false);
        line(&format!("  its work alone, {work:.1} us of {step:.0} us"), percent(work), 5.0, "%", false);
    }

    /// Microseconds a step: what verifying adds, and the step that is not verified.
    fn added(&self, embedded: &Embedded) -> (f64, f64) {
        let each = |round: usize, verify: Verify| {
            let arn = self.start(embedded, &format!("{round}-{verify:?}"), STEPS, 0);
            timed(|| finish(embedded, &arn, verify)).as_secs_f64() * 1e6 / STEPS as f64
        };
        let (mut added, mut plain) = (Measured::new(), Measured::new());
        for round in 0..ROUNDS {
            // Whoever comes first in a round meets what the last round left behind: in turns.
            let (verified, not_verified) = if round % 2 == 0 {
                let verified = each(round, Verify::Always);
                (verified, each(round, Verify::Off))
            } else {
                let not_verified = each(round, Verify::Off);
                (each(round, Verify::Always), not_verified)
            };
            added.push(verified - not_verified);
            plain.push(not_verified);
        }
        (median(added), median(plain))
    }
}
