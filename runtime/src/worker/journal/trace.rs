//! What a run called, call by call, for the shadow replay that repeats it: eight bytes a call, of the last calls only.
//! Lives and dies with the run.

/// Calls that are kept: half a MiB. Of older ones the checkpoints tell.
const KEPT: u64 = 1 << 16;
/// Calls listed in a message.
const LISTED: usize = 6;

/// A ring of the last calls: of each its kind, and the digest after it but for the topmost byte.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    ring: Vec<u64>,
    calls: u64,
}

impl Trace {
    pub(super) fn push(&mut self, kind: u8, digest: u64) {
        let entry = digest << 8 | u64::from(kind);
        let at = (self.calls % KEPT) as usize;
        match self.ring.get_mut(at) {
            Some(old) => *old = entry,
            None => self.ring.push(entry),
        }
        self.calls += 1;
    }

    /// A digest as [`Trace::call`] answers it.
    pub(super) const fn shortened(digest: u64) -> u64 {
        digest & (u64::MAX >> 8)
    }

    /// How many calls there were in all.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Kind and shortened digest of a call, from 1; none if there was none or it is no longer kept.
    pub(super) fn call(&self, call: u64) -> Option<(u8, u64)> {
        if call == 0 || call > self.calls || call + KEPT <= self.calls {
            return None;
        }
        let entry = *self.ring.get(((call - 1) % KEPT) as usize)?;
        Some((entry as u8, entry >> 8))
    }

    /// These calls in words, `first` to `last`: what is the same in a row is counted, only the last few are named. None
    /// if none of them is kept.
    pub(super) fn summary(&self, first: u64, last: u64) -> Option<String> {
        let mut rows: Vec<(u8, u64)> = Vec::new();
        let mut cut = false;
        for call in (first..=last.min(self.calls)).rev() {
            let Some((kind, _)) = self.call(call) else {
                cut = true;
                break;
            };
            if let Some((_, times)) = rows.last_mut().filter(|(same, _)| *same == kind) {
                *times += 1;
            } else if rows.len() < LISTED {
                rows.push((kind, 1));
            } else {
                cut = true;
                break;
            }
        }
        if rows.is_empty() {
            return None;
        }
        let listed: Vec<_> = rows
            .iter()
            .rev()
            .map(|(kind, times)| match times {
                1 => words(*kind).to_owned(),
                times => format!("{} ({times} times)", words(*kind)),
            })
            .collect();
        Some(format!("{}{}", if cut { "..., " } else { "" }, listed.join(", ")))
    }
}

/// What people call a [`Call`](super::Call), by its number.
pub(super) fn words(kind: u8) -> &'static str {
    match kind {
        1 => "a step begun",
        2 => "a wait begun",
        3 => "a child context begun",
        4 => "a child context ended",
        5 => "an operation cancelled",
        6 => "an operation's outcome taken",
        7 => "a clock read",
        8 => "random bytes drawn",
        9 => "a blocking sleep",
        10 => "output",
        11 => "a log line",
        12 => "the workflow's end",
        13 => "an HTTP request begun",
        14 => "an HTTP request's answer taken",
        15 => "a blocking wait for HTTP requests",
        16 => "a condition begun",
        17 => "a callback begun",
        18 => "an invoke begun",
        19 => "a callback's id taken",
        20 => "a virtual context begun",
        _ => "another call",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_kept_and_older_ones_forgotten() {
        let mut trace = Trace::default();
        for call in 1..=KEPT + 3 {
            trace.push((call % 5) as u8, call);
        }
        let call = |call: u64| Some(((call % 5) as u8, call));
        assert_eq!([trace.call(0), trace.call(3), trace.call(KEPT + 4)], [None; 3]);
        for kept in [4, KEPT, KEPT + 3] {
            assert_eq!(trace.call(kept), call(kept));
        }
        assert_eq!(trace.ring.len() as u64, KEPT, "it does not grow without end");
    }

    #[test]
    fn calls_are_summed_up_in_words() {
        let mut trace = Trace::default();
        for kind in [1, 6, 7, 7, 7, 8] {
            trace.push(kind, 0);
        }
        assert_eq!(
            trace.summary(2, 9).unwrap(),
            "an operation's outcome taken, a clock read (3 times), random bytes drawn"
        );
        for kind in [1, 2, 3, 1, 2, 3] {
            trace.push(kind, 0);
        }
        assert!(trace.summary(1, 12).unwrap().starts_with("..., a step begun, a wait begun"));
        assert_eq!(trace.summary(13, 14), None);
    }
}
