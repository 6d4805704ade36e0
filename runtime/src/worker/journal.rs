//! The journal of host calls: a running digest of what the guest asked outside step bodies and what it was answered.
//! It is compared at every recorded checkpoint, so a replay that went another way is found where it did.
//! *Part of the log format.*

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
}

/// A running 64-bit digest over words and texts, in the manner of FNV-1a: not against forgery (the log's owner can write any
/// digest) but against accident.
pub(crate) struct HostCalls {
    journal: Journal,
    /// Where earlier runs stood at their checkpoints, in order.
    expected: std::vec::IntoIter<Journal>,
    next: Option<Journal>,
    mismatch: Option<Mismatch>,
}

/// An earlier run stood elsewhere after as many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) recorded: Journal,
    pub(crate) requested: Journal,
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
            mismatch: None,
        }
    }

    /// The first difference from what earlier runs recorded, as of the calls made so far.
    pub(crate) fn mismatch(&mut self) -> Option<Mismatch> {
        self.compare();
        self.mismatch
    }

    /// A checkpoint that earlier runs made later than where the guest stands now.
    pub(crate) fn ahead(&self) -> Option<Mismatch> {
        self.next.map(|recorded| Mismatch { recorded, requested: self.journal })
    }

    fn compare(&mut self) {
        while let Some(recorded) = self.next.filter(|recorded| recorded.calls <= self.journal.calls) {
            self.next = self.expected.next();
            if recorded != self.journal && self.mismatch.is_none() {
                self.mismatch = Some(Mismatch { recorded, requested: self.journal });
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
        self.journal.calls += 1;
        if matches!(call, Call::Completed | Call::Block | Call::Fetched) {
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

    #[test]
    fn recorded_checkpoints_are_compared_wherever_they_fall() {
        let run = |recorded: Vec<Journal>| {
            let mut calls = HostCalls::new(recorded);
            let mut stood = vec![calls.journal()];
            for word in 0..3 {
                calls.call(Call::Clock).word(word);
                stood.push(calls.journal());
            }
            (calls.mismatch(), calls.ahead(), stood)
        };
        let (_, _, stood) = run(Vec::new());
        assert_eq!(run(stood.clone()).0, None);
        let mut other = stood[2];
        other.digest += 1;
        assert_eq!(run(vec![stood[1], other]).0, Some(Mismatch { recorded: other, requested: stood[2] }));
        let later = Journal { calls: 9, ..stood[3] };
        assert_eq!(run(vec![later]).1, Some(Mismatch { recorded: later, requested: stood[3] }));
    }

    const FROZEN: u64 = 1_204_866_484_956_284_703;
}
