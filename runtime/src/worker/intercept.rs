//! What a test puts in the place of the world around a workflow. Without it, nothing here costs anything.

use everstep_core::protocol::{ErrorObject, ExecutionArn, OperationId};
use everstep_http::{HttpError, Request, Response};
use std::fmt::Debug;

/// An operation that something is about to be done for.
#[derive(Clone, Copy, Debug)]
pub struct Intercepted<'a> {
    /// Whose operation it is.
    pub execution: &'a ExecutionArn,
    /// Its id.
    pub operation: &'a OperationId,
    /// Its name.
    pub name: Option<&'a str>,
    /// Of a step the attempt, from 1; else 0.
    pub attempt: u32,
}

/// Where a process may die beside its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A step's body has run, or what stands in its place, and its outcome is not on its way to the log.
    Body,
    /// The end of an operation, or a callback's id, is about to be handed to the workflow.
    Delivery,
}

/// A test's part in the runs of a worker: see [`Environment::intercept`](super::Environment::intercept). Called on the
/// thread that runs the guest, and never by a replay.
pub trait Intercept: Send + Sync + Debug {
    /// What this attempt of a step yields instead of running its body: its result as the log has it, or the error that
    /// its retry strategy decides about. None: the body runs.
    ///
    /// The strategy is asked as about an interrupted attempt, for there is no error of the body's own; what is recorded
    /// is this one.
    fn body(&self, _step: Intercepted<'_>) -> Option<Result<Option<String>, ErrorObject>> {
        None
    }

    /// The answer to an HTTP request that the host would send now. None: it is sent.
    fn request(&self, _step: Intercepted<'_>, _request: &Request) -> Option<Result<Response, HttpError>> {
        None
    }

    /// Whether the process dies at this place: the invocation is abandoned as it is, with
    /// [`StoreError::Unavailable`](everstep_core::store::StoreError::Unavailable).
    fn dies(&self, _place: Place, _operation: Intercepted<'_>) -> bool {
        false
    }

    /// Whether each event that the workflow is handed is the last one of its instance: a fresh one then replays all
    /// that is recorded, and goes on. The log does not show it.
    fn replays_everything(&self) -> bool {
        false
    }
}
