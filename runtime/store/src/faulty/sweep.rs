//! A fault at every operation of a workload, one after the other.

use super::disk::{CrashMode, Fault, FaultyDisk};

/// A sweep: which fault, and how the disk is crashed afterwards.
///
/// The workload is run on a fresh disk for each operation it makes, with the fault there, until a run is not reached
/// by its fault. It must stop at the first error it gets (or go on, if it means to), must drop what it opened, and
/// answers what was acknowledged to it. `check` is called for every crashed disk, opens it, and asserts.
///
/// ```
/// # use everstep_store::{SqliteStore, Options, faulty::Sweep};
/// # use everstep_core::{store::Store, protocol::ComponentDigest};
/// let digest = ComponentDigest::of(b"code");
/// let points = Sweep::power_off().run(
///     |disk| {
///         let Ok(store) = SqliteStore::open("everstep.db", Options::on(disk)) else { return false };
///         store.put_component(digest, b"code").is_ok()
///     },
///     |_, disk, acknowledged| {
///         let store = SqliteStore::open("everstep.db", Options::on(&disk)).expect("opens after a crash");
///         assert!(!acknowledged || store.component(digest).unwrap().is_some());
///     },
/// );
/// assert!(points > 10);
/// ```
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What happens at the n-th operation.
    pub fault: Fault,
    /// Faults that every run has besides: operation and fault.
    pub also: Vec<(u64, Fault)>,
    /// How each run's disk is crashed: a check for each.
    pub crashes: Vec<(CrashMode, u64)>,
    /// Every how many operations; 1: each.
    pub stride: u64,
    /// Seed of the disks the workload runs on.
    pub seed: u64,
}

/// Where in a sweep a check is: printed if it fails, and enough to run it again.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The fault was at this operation.
    pub operation: u64,
    /// The fault.
    pub fault: Fault,
    /// How the disk was crashed.
    pub mode: CrashMode,
    /// The crash's seed.
    pub seed: u64,
    /// The disk's seed.
    pub disk_seed: u64,
    /// Whether the workload got as far as the fault; false only in the last run.
    pub reached: bool,
}

/// Prints where the sweep is if the thread panics.
struct Trace(Point);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the sweep failed at {:?}", self.0);
        }
    }
}

impl Sweep {
    /// Loss of power at every operation, with what was not synced kept, lost, torn in two ways, and, for a process
    /// that only died, still in the operating system's cache.
    pub fn power_off() -> Self {
        let crashes = vec![
            (CrashMode::Kept, 0),
            (CrashMode::Lost, 0),
            (CrashMode::Torn, 1),
            (CrashMode::Torn, 2),
            (CrashMode::Killed, 0),
        ];
        Self { fault: Fault::PowerOff, also: Vec::new(), crashes, stride: 1, seed: 1 }
    }

    /// `fault` at every operation, then loss of power with everything lost that was not synced.
    pub fn of(fault: Fault) -> Self {
        Self { fault, crashes: vec![(CrashMode::Lost, 0)], ..Self::power_off() }
    }

    /// Runs the sweep; answers at how many operations the fault struck.
    pub fn run<A>(
        &self,
        mut workload: impl FnMut(&FaultyDisk) -> A,
        mut check: impl FnMut(&Point, FaultyDisk, &A),
    ) -> u64 {
        let mut struck = 0;
        let mut operation = 1;
        loop {
            let disk = FaultyDisk::new(self.seed);
            disk.plan(operation, self.fault);
            self.also.iter().for_each(|(at, fault)| disk.plan(*at, *fault));
            let point =
                |mode, seed, reached| Point { operation, fault: self.fault, mode, seed, disk_seed: self.seed, reached };
            let acknowledged = {
                let _trace = Trace(point(CrashMode::Killed, 0, false));
                workload(&disk)
            };
            let reached = disk.counts().operations() >= operation;
            struck += u64::from(reached);
            for (mode, seed) in &self.crashes {
                let trace = Trace(point(*mode, *seed, reached));
                check(&trace.0, disk.crash(*mode, *seed), &acknowledged);
            }
            if !reached {
                return struck;
            }
            operation += self.stride.max(1);
        }
    }
}
