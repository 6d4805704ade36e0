//! What a program saw: the only thing that a live run and its replay must agree on.

use serde::{Deserialize, Serialize};

/// Everything a program observed, in order. In JSON it is the bare array.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trace(pub Vec<Observed>);

/// One observation. JSON: `{"step": {"name": "a", "end": {"value": 7}}}`, `{"clock": 1790000000000001}`,
/// `{"waited": 60}`, `{"selected": {"branch": 1, "end": {"error": "busy"}}}`, ...
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// A step's outcome arrived.
    Step {
        /// Its name.
        name: String,
        /// Its outcome.
        end: End,
    },
    /// A wait of this many seconds is over.
    Waited(u32),
    /// A blocking sleep of this many milliseconds is over.
    Slept(u64),
    /// A child context ended.
    Child {
        /// Its name.
        name: String,
        /// How its body ended.
        end: End,
    },
    /// All branches ended: how, in branch order.
    Joined(Vec<End>),
    /// A branch won, and the others were dropped.
    Selected {
        /// Its index, from 0.
        branch: usize,
        /// How it ended.
        end: End,
    },
    /// A callback is durable, and its id is known; its schedule.
    Called(String),
    /// A callback, or one with its submitter, ended; its schedule.
    Replied {
        /// The schedule.
        name: String,
        /// How it ended.
        end: End,
    },
    /// An invoked function ended.
    Invoked {
        /// Its name, as it was invoked.
        function: String,
        /// How it ended.
        end: End,
    },
    /// A condition was met, or failed.
    Polled {
        /// Its name.
        name: String,
        /// Its last state, or its error.
        end: End,
    },
    /// A batch is over.
    Batched {
        /// Its name.
        name: String,
        /// Why, in AWS's words.
        reason: String,
        /// Each item that started, in the order of the input; none: it was dropped.
        items: Vec<Option<End>>,
    },
    /// A combinator is done.
    Combined {
        /// Its name.
        name: String,
        /// What it gave; of [`JoinAll`](crate::program::Combinator::JoinAll) the sum of the values.
        end: End,
        /// Of one that gives many: each.
        ends: Vec<End>,
    },
    /// A retried block ended.
    Retried {
        /// Its name.
        name: String,
        /// How its last attempt ended.
        end: End,
    },
    /// The wall clock: microseconds since the Unix epoch.
    Clock(u64),
    /// A random number.
    Random(u64),
    /// The line was printed.
    Printed(String),
    /// The program ended. Always last; the execution succeeds either way.
    Ended(End),
}

/// How a step or a body ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With a value.
    Value(i64),
    /// With an error's message; [`crate::program::INTERRUPTED`] for an interrupted attempt.
    Error(String),
}

impl Trace {
    /// The trace with every clock reading and random number zeroed: what two hosts agree on that have different
    /// clocks and generators.
    pub fn shape(&self) -> Trace {
        let blank = |observed: &Observed| match observed {
            Observed::Clock(_) => Observed::Clock(0),
            Observed::Random(_) => Observed::Random(0),
            other => other.clone(),
        };
        Trace(self.0.iter().map(blank).collect())
    }

    /// Whether `whole` begins with this.
    pub fn is_prefix_of(&self, whole: &Trace) -> bool {
        whole.0.starts_with(&self.0)
    }
}
