//! The journal of host calls: a running digest of what the guest asked outside step bodies and what it was answered.
//! It is compared at every recorded checkpoint, so a replay that went another way is found where it did.
//! The digest is *part of the log format*; the trace of a run is not, and is never kept.

mod trace;

pub(crate) use trace::Trace;

use everstep_core::protocol::Journal;

/// What is journaled. Numbers are part of the format: never renumber, never reuse.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    BeginStep = 1,
    BeginWait = 2,
    BeginContext = 3,
    EndContext = 4,
    Cancel = 5,
    Completed = 6,
    Clock = 7,
    Random = 8,
    Block = 9,
    Output = 10,
    Log = 11,
    Finish = 12,
    BeginFetch = 13,
    Fetched = 14,
    BlockOnFetches = 15,
    BeginCondition = 16,
    BeginCallback = 17,
    BeginInvoke = 18,
    Started = 19,
    BeginVirtualContext = 20,
}

/// A running 64-bit digest over words and texts, in the manner of FNV-1a: not against forgery (the log's owner can write any
/// digest) but against accident.
pub(crate) struct HostCalls {
    journal: Journal,
    /// Where earlier runs stood at their checkpoints, in order.
    expected: std::vec::IntoIter<Journal>,
    next: Option<Journal>,
    /// The last checkpoint at which this run stood where the earlier one did.
    agreed: Journal,
    /// What the run that is repeated called, one by one; none: only its checkpoints are known.
    repeated: Option<Trace>,
    /// Calls of `repeated` that were compared.
    compared: u64,
    /// The calls of this run but the last, which may not be whole yet.
    trace: Trace,
    /// The last call.
    last: u8,
    mismatch: Option<Mismatch>,
}

/// Where a run left the way of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The first call that may differ, from 1.
    pub(crate) first: u64,
    /// The last call that may be the first to differ; `first`, if every call of the earlier run is known.
    pub(crate) last: u64,
    /// What the earlier run did there.
    pub(crate) recorded: String,
    /// What this one did.
    pub(crate) requested: String,
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl HostCalls {
    pub(crate) fn new(recorded: Vec<Journal>) -> Self {
        let mut expected = recorded.into_iter();
        Self {
            journal: Journal { digest: OFFSET, ..Journal::default() },
            next: expected.next(),
            expected,
            agreed: Journal::default(),
            repeated: None,
            compared: 0,
            trace: Trace::default(),
            last: 0,
            mismatch: None,
        }
    }

    /// Compares with every call of the run that is repeated, too, as far as its trace goes back.
    pub(crate) fn repeating(recorded: Vec<Journal>, trace: Trace) -> Self {
        Self { repeated: Some(trace), ..Self::new(recorded) }
    }

    /// The calls so far, for a run that repeats this one. The last must be whole.
    pub(crate) fn trace(&self) -> Trace {
        let mut trace = self.trace.clone();
        if self.journal.calls > 0 {
            trace.push(self.last, self.journal.digest);
        }
        trace
    }

    /// The first difference from what earlier runs did, as of the calls made so far, the last of which must be whole.
    pub(crate) fn mismatch(&mut self) -> Option<&Mismatch> {
        if self.repeated.is_some() {
            self.compare_calls();
        }
        self.compare();
        self.mismatch.as_ref()
    }

    /// A checkpoint that earlier runs made later than where the guest stands now.
    pub(crate) fn ahead(&self) -> Option<Mismatch> {
        self.next.map(|recorded| self.short_of(recorded))
    }

    /// The run is over, and so is the earlier one that stood there: whether that is elsewhere.
    pub(crate) fn end(&self, recorded: Journal) -> Option<Mismatch> {
        (recorded != self.journal).then(|| self.short_of(recorded))
    }

    fn short_of(&self, recorded: Journal) -> Mismatch {
        let call = self.journal.calls + 1;
        match self.repeated.as_ref().and_then(|trace| trace.call(call)) {
            Some((kind, _)) => Mismatch {
                first: call,
                last: call,
                recorded: trace::words(kind).to_owned(),
                requested: "nothing more".to_owned(),
            },
            None => self.between(recorded),
        }
    }

    fn compare(&mut self) {
        while let Some(recorded) = self.next.filter(|recorded| recorded.calls <= self.journal.calls) {
            self.next = self.expected.next();
            if recorded == self.journal {
                self.agreed = recorded;
            } else if self.mismatch.is_none() {
                self.mismatch = Some(self.between(recorded));
            }
        }
    }

    /// Nothing is known of the earlier run's calls since the last checkpoint but their number and digest.
    fn between(&self, recorded: Journal) -> Mismatch {
        let first = self.agreed.calls + 1;
        let last = recorded.calls.max(first);
        let requested = self.trace().summary(first, last).unwrap_or_else(|| "no calls".to_owned());
        let ended = if recorded.calls > self.journal.calls { ", nothing more" } else { "" };
        let calls = recorded.calls.saturating_sub(self.agreed.calls);
        Mismatch {
            first,
            last,
            recorded: format!("{calls} calls with digest {:016x}", recorded.digest),
            requested: format!("{requested}{ended}"),
        }
    }

    fn compare_calls(&mut self) {
        let Some(repeated) = &self.repeated else { return };
        while self.compared < self.journal.calls && self.mismatch.is_none() {
            let call = self.compared + 1;
            let (kind, digest) = if call < self.journal.calls {
                let Some(earlier) = self.trace.call(call) else { break };
                earlier
            } else {
                (self.last, Trace::shortened(self.journal.digest))
            };
            self.compared = call;
            match repeated.call(call) {
                // Older than the trace: only the checkpoints tell.
                None if call <= repeated.calls() => {}
                // How it ends is compared when it has ended.
                Some((recorded, _)) if recorded == kind && kind == Call::Finish as u8 => {
                    self.repeated = None;
                    return;
                }
                Some(recorded) if recorded == (kind, digest) => {}
                recorded => {
                    let (recorded, requested) = match recorded {
                        None => ("nothing more".to_owned(), trace::words(kind).to_owned()),
                        Some((same, _)) if same == kind => {
                            let what = trace::words(kind);
                            (what.to_owned(), format!("{what}, with other contents"))
                        }
                        Some((other, _)) => (trace::words(other).to_owned(), trace::words(kind).to_owned()),
                    };
                    self.mismatch = Some(Mismatch { first: call, last: call, recorded, requested });
                    return;
                }
            }
        }
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal
    }

    /// One call; add what distinguishes it with [`Entry`]'s methods.
    pub(crate) fn call(&mut self, call: Call) -> Entry<'_> {
        if self.next.is_some() {
            self.compare();
        }
        if self.journal.calls > 0 {
            self.trace.push(self.last, self.journal.digest);
        }
        self.last = call as u8;
        self.journal.calls += 1;
        if matches!(call, Call::Completed | Call::Block | Call::Fetched | Call::Started) {
            self.journal.delivered += 1;
        }
        Entry(&mut self.journal.digest).word(call as u64)
    }
}

pub(crate) struct Entry<'a>(&'a mut u64);

impl Entry<'_> {
    pub(crate) fn word(self, word: u64) -> Self {
        *self.0 = (*self.0 ^ word).wrapping_mul(PRIME).rotate_left(23);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            *self.0 = (*self.0 ^ u64::from_le_bytes(chunk.try_into().expect("eight bytes"))).wrapping_mul(PRIME);
            *self.0 = self.0.rotate_left(23);
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word(u64::from_le_bytes(last)).word(bytes.len() as u64)
    }

    pub(crate) fn optional(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.word(1).text(text),
            None => self.word(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, executions started by earlier releases are reported as diverged.
    #[test]
    fn the_digest_is_frozen_and_sees_every_part() {
        let digest = |call: Call, text: &str, word: u64| {
            let mut calls = HostCalls::new(Vec::new());
            calls.call(call).optional(Some(text)).word(word);
            calls.journal()
        };
        let journal = digest(Call::Completed, "charge the card", 7);
        assert_eq!(journal, Journal { calls: 1, digest: FROZEN, delivered: 1 });
        for other in [
            digest(Call::Clock, "charge the card", 7),
            digest(Call::Completed, "charge the carD", 7),
            digest(Call::Completed, "charge the card", 8),
            digest(Call::Completed, "charge the card\0", 7),
        ] {
            assert_ne!(other.digest, journal.digest);
        }
    }

    /// Reads the clock three times, answers where it stood after each call.
    fn run(calls: &mut HostCalls, words: [u64; 3]) -> Vec<Journal> {
        let mut stood = vec![calls.journal()];
        for word in words {
            calls.call(Call::Clock).word(word);
            stood.push(calls.journal());
        }
        stood
    }

    #[test]
    fn recorded_checkpoints_are_compared_wherever_they_fall() {
        let stood = run(&mut HostCalls::new(Vec::new()), [0, 1, 2]);
        let compared = |recorded: Vec<Journal>| {
            let mut calls = HostCalls::new(recorded);
            run(&mut calls, [0, 1, 2]);
            (calls.mismatch().cloned(), calls.ahead())
        };
        assert_eq!(compared(stood.clone()), (None, None));
        let mut other = stood[3];
        other.digest = 0xabc;
        let mismatch = |last, calls: u64, requested: &str| Mismatch {
            first: 2,
            last,
            recorded: format!("{calls} calls with digest 0000000000000abc"),
            requested: requested.to_owned(),
        };
        let expected = mismatch(3, 2, "a clock read (2 times)");
        assert_eq!(compared(vec![stood[1], other]), (Some(expected), None), "since the last that agreed");
        let later = Journal { calls: 9, ..other };
        let expected = mismatch(9, 8, "a clock read (2 times), nothing more");
        assert_eq!(compared(vec![stood[1], later]), (None, Some(expected)));
    }

    #[test]
    fn a_repeated_run_is_compared_call_by_call() {
        let mut live = HostCalls::new(Vec::new());
        let stood = run(&mut live, [0, 1, 2]);
        let repeating = || HostCalls::repeating(Vec::new(), live.trace());
        let mut same = repeating();
        run(&mut same, [0, 1, 2]);
        assert_eq!((same.mismatch().cloned(), same.end(stood[3])), (None, None));
        same.call(Call::Random);
        let mismatch = |call, recorded: &str, requested: &str| Mismatch {
            first: call,
            last: call,
            recorded: recorded.to_owned(),
            requested: requested.to_owned(),
        };
        assert_eq!(same.mismatch(), Some(&mismatch(4, "nothing more", "random bytes drawn")));

        let mut other = repeating();
        run(&mut other, [0, 9, 2]);
        let expected = mismatch(2, "a clock read", "a clock read, with other contents");
        assert_eq!(other.mismatch(), Some(&expected), "the first that differs, however late it is looked for");

        let mut kind = repeating();
        kind.call(Call::Clock).word(0);
        kind.call(Call::Random).bytes(&[1]);
        assert_eq!(kind.mismatch(), Some(&mismatch(2, "a clock read", "random bytes drawn")));

        let mut short = repeating();
        short.call(Call::Clock).word(0);
        assert_eq!(short.mismatch(), None);
        assert_eq!(short.end(stood[3]), Some(mismatch(2, "a clock read", "nothing more")));
    }

    const FROZEN: u64 = 1_204_866_484_956_284_703;
}
