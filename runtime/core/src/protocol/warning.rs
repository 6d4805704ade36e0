//! What an execution warns its author of.

use super::limits;
use serde::{Deserialize, Serialize};

/// What an execution warns of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Warning {
    /// 80 % of the operations that it may begin are begun.
    #[serde(rename = "o")]
    Operations,
    /// 80 % of the bytes that it may write are written.
    #[serde(rename = "w")]
    Written,
    /// A callback without timeout and heartbeat timeout waits until the execution times out.
    #[serde(rename = "c")]
    CallbackWithoutTimeout,
    /// A payload is so large that it should be a reference.
    #[serde(rename = "p")]
    LargePayload,
    /// It was started on `$LATEST`, whose code changes under it on AWS.
    #[serde(rename = "l")]
    Latest,
    /// Its caller waits for it, and it may wait for longer than a caller can (15 minutes).
    #[serde(rename = "s")]
    SynchronousStart,
}

impl std::fmt::Display for Warning {
    /// What is the matter, and what to do about it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operations => f.write_str(
                "80 % of the operations that the execution may begin are begun; \
                 split the work into several executions, or start it with a higher limit",
            ),
            Self::Written => f.write_str(
                "80 % of the bytes that the execution may write are written; \
                 store large data in a step and return references",
            ),
            Self::CallbackWithoutTimeout => f.write_str(
                "a callback has neither a timeout nor a heartbeat timeout, \
                 so if nobody completes it the execution waits until it times out itself; give it one of them",
            ),
            Self::LargePayload => write!(
                f,
                "a payload is larger than {} KiB and is read with every replay; \
                 store the data in a step and return a reference",
                limits::LARGE_PAYLOAD_BYTES >> 10
            ),
            Self::Latest => f.write_str(
                "the execution was started on $LATEST, whose code can change while it runs on AWS; \
                 start it on a published version",
            ),
            Self::SynchronousStart => write!(
                f,
                "its caller waits for the execution, which may take longer than the {} s that a caller can wait; \
                 start it asynchronously, or give it a shorter execution timeout",
                limits::SYNCHRONOUS_SECONDS
            ),
        }
    }
}
