//! A replay that went another way than the log says.

use everstep_core::protocol::{ErrorObject, Journal, Operation, OperationId, OperationType};
use std::fmt;

/// How a replay differs from what was recorded. Reads like a compiler error: what, recorded against requested, what
/// to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// The guest began another operation at a position than the log has there.
    Operation {
        /// The position.
        id: OperationId,
        /// What the log has.
        recorded: String,
        /// What the guest began.
        requested: String,
    },
    /// The log has an operation that the guest never began.
    Missing {
        /// What the log has.
        recorded: String,
        /// Its position.
        id: OperationId,
    },
    /// A child context's outcome differs from the recorded one.
    Outcome {
        /// The context.
        id: OperationId,
        /// What the log has, shortened.
        recorded: String,
        /// What the body yielded now, shortened.
        requested: String,
    },
    /// Same operations, but other host calls between them.
    HostCalls {
        /// Where the guest stood when it checkpointed.
        recorded: Journal,
        /// Where it stands now.
        requested: Journal,
        /// The last operation begun.
        after: Option<OperationId>,
    },
    /// Same host calls, but the guest's memory differs at the end.
    Memory {
        /// Address of the first byte that differs.
        first: usize,
        /// How many bytes differ.
        bytes: usize,
    },
    /// Shadow replay ended otherwise than the run it repeats.
    End {
        /// How the run ended.
        recorded: String,
        /// How the replay ended.
        requested: String,
    },
}

/// `STEP "charge"` as people read it.
pub(crate) fn describe(
    kind: OperationType,
    sub_type: Option<&str>,
    name: Option<&str>,
    seconds: Option<u32>,
) -> String {
    let mut text = kind.as_str().to_owned();
    if let Some(sub_type) = sub_type {
        text += &format!(" ({sub_type})");
    }
    if let Some(name) = name {
        text += &format!(" {name:?}");
    }
    if let Some(seconds) = seconds {
        text += &format!(" of {seconds} s");
    }
    text
}

pub(crate) fn describe_recorded(operation: &Operation) -> String {
    let seconds = operation.seconds.filter(|_| operation.operation_type == OperationType::Wait);
    describe(operation.operation_type, operation.sub_type.as_deref(), operation.name.as_deref(), seconds)
}

impl Divergence {
    /// Stable, for scripts and for the page that explains it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Operation { .. } => "E0101",
            Self::Missing { .. } => "E0102",
            Self::Outcome { .. } => "E0103",
            Self::HostCalls { .. } => "E0104",
            Self::Memory { .. } => "E0105",
            Self::End { .. } => "E0106",
        }
    }

    /// As the execution's error.
    pub fn to_error(&self) -> ErrorObject {
        ErrorObject {
            data: Some(self.code().to_owned()),
            ..ErrorObject::new("NonDeterministicExecutionError", self.to_string())
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code())?;
        match self {
            Self::Operation { id, recorded, requested } => write!(
                f,
                "replay diverged at operation {id}\n  recorded:  {recorded}\n  requested: {requested}\n  \
                 the code began another operation here than the one this execution recorded; run the execution with \
                 the component it was started with"
            ),
            Self::Missing { id, recorded } => write!(
                f,
                "replay diverged: operation {id} was never begun\n  recorded:  {recorded}\n  requested: nothing\n  \
                 the code no longer begins an operation this execution recorded; run the execution with the component \
                 it was started with"
            ),
            Self::Outcome { id, recorded, requested } => write!(
                f,
                "replay diverged at the end of context {id}\n  recorded:  {recorded}\n  requested: {requested}\n  \
                 the context's body yielded another outcome than before"
            ),
            Self::HostCalls { recorded, requested, after } => write!(
                f,
                "replay diverged between operations, after operation {}\n  recorded:  {} host calls, digest {:016x}\n  \
                 requested: {} host calls, digest {:016x}\n  the code read clock or randomness, printed or began \
                 operations in another order than before",
                after.as_ref().map_or("0 (the start)", |id| id.as_str()),
                recorded.calls,
                recorded.digest,
                requested.calls,
                requested.digest
            ),
            Self::Memory { first, bytes } => write!(
                f,
                "replay ended with other memory: {bytes} bytes differ, the first at {first:#x}\n  a step's body left a \
                 trace in the workflow's memory, which sealing should have removed; please report this"
            ),
            Self::End { recorded, requested } => write!(
                f,
                "replay ended otherwise\n  recorded:  {recorded}\n  requested: {requested}\n  please report this, if its step \
                 bodies are sealed"
            ),
        }
    }
}
