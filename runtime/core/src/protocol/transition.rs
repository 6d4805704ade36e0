//! A transition: one row of the checkpoint log, all of it or nothing.

use super::{Event, Timestamp};
use serde::{Deserialize, Serialize};

/// Why something was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    #[serde(rename = "x")]
    Start,
    #[serde(rename = "c")]
    Checkpoint,
    #[serde(rename = "t")]
    Timer,
    #[serde(rename = "b")]
    Callback,
    #[serde(rename = "v")]
    ChainedInvoke,
    #[serde(rename = "i")]
    InvocationEnd,
    #[serde(rename = "s")]
    Stop,
    #[serde(rename = "p")]
    Pause,
}

/// Where the guest stood when it checkpointed: what makes a recording checkable host call by host call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Host calls made outside step bodies so far.
    pub calls: u64,
    /// Running digest of those calls and of what they answered.
    pub digest: u64,
    /// Deliveries so far: completions, ids of callbacks, and what blocking calls went on with. Their order is that of
    /// the log's events.
    pub delivered: u64,
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When: the timestamp of all its events.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Event id of the first event that takes one; ids are 1, 2, 3... without gaps through an execution's life.
    pub first_event: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Where the guest stood, for what a worker reported.
    pub journal: Option<Journal>,
    /// The `ClientToken` of the request that caused it: repeated, it is answered from here.
    pub client_token: Option<String>,
}

/// A row that this build cannot read.
#[derive(Debug, thiserror::Error)]
pub enum TransitionFormatError {
    /// Written by a newer release.
    #[error("log row of format {found}; this build reads up to {}: use a newer everstep", Transition::FORMAT)]
    Newer {
        /// The row's format.
        found: u8,
    },
    /// Not a row at all.
    #[error("log row of {bytes} bytes is not readable: {reason}; restore the database from a copy")]
    Malformed {
        /// Its length.
        bytes: usize,
        /// What the decoder said.
        reason: String,
    },
}

impl Transition {
    /// The newest row format: the first byte of every row.
    ///
    /// Any addition to what a row may hold (a kind of event, a field, a cause) bumps it, so that an older release says
    /// "use a newer everstep" instead of taking the row for a damaged one. [`decode`](Self::decode) reads every format
    /// from 1: what is added is optional to the decoder, and nothing is ever removed.
    pub const FORMAT: u8 = 2;

    /// The row's bytes: the format, then MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(128);
        row.push(Self::FORMAT);
        rmp_serde::encode::write(&mut row, self).expect("writing MessagePack into memory cannot fail");
        row
    }

    /// Reads a row back.
    pub fn decode(row: &[u8]) -> Result<Self, TransitionFormatError> {
        let malformed = |reason: String| TransitionFormatError::Malformed { bytes: row.len(), reason };
        match row.split_first() {
            Some((1..=Self::FORMAT, body)) => rmp_serde::from_slice(body).map_err(|error| malformed(error.to_string())),
            Some((&found, _)) if found > Self::FORMAT => Err(TransitionFormatError::Newer { found }),
            Some((&found, _)) => Err(malformed(format!("there is no format {found}"))),
            None => Err(malformed("it is empty".into())),
        }
    }

    /// How many event ids it takes.
    pub fn event_ids(&self) -> u64 {
        self.events.iter().filter(|event| event.in_history()).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ErrorObject, OperationId};
    use super::*;

    fn step(id: &str) -> Transition {
        let id = OperationId::try_from(id).unwrap();
        Transition {
            at: Timestamp(1_790_000_000_123),
            cause: Cause::Checkpoint,
            first_event: 300,
            events: vec![
                Event::StepStarted {
                    id: id.clone(),
                    parent: None,
                    name: Some("charge-card".into()),
                    sub_type: None,
                    rerun: false,
                },
                Event::StepSucceeded { id, attempt: 1, result: Some("{\"ok\":true}".into()) },
            ],
            journal: Some(Journal { calls: 900, digest: u64::MAX / 3, delivered: 149 }),
            client_token: None,
        }
    }

    #[test]
    fn a_row_reads_back_and_a_step_is_short() {
        let row = step("150").encode();
        assert_eq!(Transition::decode(&row).unwrap(), step("150"));
        assert!(row.len() < 90, "a step took {} bytes", row.len());
    }

    #[test]
    fn foreign_bytes_are_errors_that_say_what_to_do() {
        let text = |row: &[u8]| Transition::decode(row).unwrap_err().to_string();
        assert_eq!(text(&[9, 1]), "log row of format 9; this build reads up to 2: use a newer everstep");
        assert!(text(&[]).contains("it is empty"));
        assert!(text(&[1, 0xc1]).contains("restore the database from a copy"));
        let mut torn = step("1").encode();
        torn.truncate(torn.len() / 2);
        assert!(text(&torn).contains("is not readable"));
    }

    #[test]
    fn events_outside_history_take_no_id() {
        let id = OperationId::position(None, 1);
        let mut row = step("1");
        row.events.push(Event::StepReady { id: id.clone() });
        row.events.push(Event::StepFailed { id, attempt: 1, error: ErrorObject::new("E", "m") });
        assert_eq!(row.event_ids(), 3);
    }
}
