//! Places where a test can hold the process to kill it there. Compiled in with the feature `failpoints` only.
//!
//! `EVERSTEP_FAILPOINT=before-commit:3` holds the process when `before-commit` is reached for the third time: it says
//! so on stderr and then does nothing for ever.

/// Where a process may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // without the feature nobody reads them
pub(crate) enum Failpoint {
    /// A transition is about to be committed.
    BeforeCommit,
    /// It is durable; the worker does not know yet.
    AfterCommit,
    /// The worker knows; the guest does not yet.
    BeforeDelivery,
    /// A step's body is running.
    InBody,
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn hit(_: Failpoint) {}

#[cfg(feature = "failpoints")]
pub(crate) fn hit(point: Failpoint) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static PLAN: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static HITS: AtomicU32 = AtomicU32::new(0);
    let plan = PLAN.get_or_init(|| {
        let plan = std::env::var("EVERSTEP_FAILPOINT").ok()?;
        let (name, count) = plan.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    let name = match point {
        Failpoint::BeforeCommit => "before-commit",
        Failpoint::AfterCommit => "after-commit",
        Failpoint::BeforeDelivery => "before-delivery",
        Failpoint::InBody => "in-body",
    };
    if let Some((wanted, count)) = plan
        && wanted == name
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        eprintln!("everstep: held at failpoint {name}:{count}");
        loop {
            std::thread::park();
        }
    }
}
