//! The checkpoint log as the service needs it: a narrow trait, so that it can be SQLite, memory or a faulty disk.

pub mod memory;

use crate::protocol::{ComponentDigest, ExecutionArn, ExecutionStatus, Timestamp, Transition};

/// An execution within one store: small, dense, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionKey(pub i64);

/// What can be known of an execution without reading its log: a projection, committed with the transition that
/// changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionSummary {
    /// Its key here.
    pub key: ExecutionKey,
    /// Its ARN.
    pub arn: ExecutionArn,
    /// The function.
    pub function: String,
    /// The version.
    pub version: String,
    /// Its name, unique within the function.
    pub name: String,
    /// The code it runs.
    pub component: ComponentDigest,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The earliest timer: when the service has to look at it again.
    pub wake_at: Option<Timestamp>,
}

/// The part of the summary that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// See [`ExecutionSummary`].
    pub status: ExecutionStatus,
    /// See [`ExecutionSummary`].
    pub ended_at: Option<Timestamp>,
    /// See [`ExecutionSummary`].
    pub wake_at: Option<Timestamp>,
}

/// A transition to be appended at one place of one log.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose log.
    pub execution: ExecutionKey,
    /// Its row number, from 0, without gaps: if the place is taken, somebody else owns the log.
    pub sequence: u64,
    /// What happened.
    pub transition: Transition,
    /// The summary's new values, if the transition changes them.
    pub projection: Option<Projection>,
}

/// Which executions [`Store::list`] shows. Newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this function's.
    pub function: Option<String>,
    /// Only this name.
    pub name: Option<String>,
    /// Only these statuses; empty: all.
    pub statuses: Vec<ExecutionStatus>,
    /// At most this many; 0: all.
    pub limit: u32,
}

/// Why the store could not do it. Each kind tells the caller what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process owns the database: talk to it, or end it.
    #[error("{0}")]
    Locked(String),
    /// The place in the log is taken, or the owner changed: this process must stop writing.
    #[error("the checkpoint log was written by somebody else: {0}")]
    Conflict(String),
    /// The database was made by a newer release.
    #[error("{0}")]
    Newer(String),
    /// The disk is full or failing, or the file is read-only. Nothing of the refused commit is visible.
    #[error("{0}")]
    Unavailable(String),
    /// The file is not what it should be.
    #[error("{0}")]
    Corrupt(String),
}

/// An append-only checkpoint log with its projections.
///
/// Contract, in terms of a crash: before a method that writes returns `Ok`, the change may or may not survive, but
/// never in part; after it returned `Ok`, it survives power loss. An `Err` other than [`StoreError::Conflict`] leaves
/// open whether the change is durable: the caller forgets what it believed and reads the log again.
pub trait Store: Send + Sync {
    /// Keeps a component's bytes; a digest that is there already is left alone. Durable on return.
    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError>;

    /// A component's bytes.
    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Registers an execution with its first transition (row 0), whose single event is `ExecutionStarted`. Fails with
    /// [`StoreError::Conflict`] if the function has an execution of that name. Durable on return.
    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError>;

    /// Appends one transition. Concurrent calls share one sync. Durable on return.
    fn append(&self, append: Append) -> Result<(), StoreError>;

    /// The log of an execution, whole, in order.
    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError>;

    /// The execution of that name.
    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError>;

    /// The execution with that ARN.
    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError>;

    /// The execution with that key.
    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError>;

    /// Executions, newest first.
    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError>;

    /// RUNNING executions whose `wake_at` is at most `now`, earliest first.
    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError>;

    /// A number that grows each time somebody takes ownership of the store: part of every checkpoint token, so that
    /// tokens of a dead owner are refused.
    fn epoch(&self) -> u64;
}
