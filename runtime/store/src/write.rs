//! What is written, and how: one transaction for a group of changes, one statement for a lone append.

use crate::failure::repeat;
use crate::open::Place;
use everstep_core::protocol::{ComponentDigest, ExecutionStarted, Timestamp};
use everstep_core::store::{ExecutionKey, Projection, StoreError};
use rusqlite::{Connection, Error, params};
use std::sync::Arc;

/// The row goes in only if the row before it is there and the epoch is ours; a row already in its place is left alone.
/// One statement, so a lone append needs no BEGIN, and the two checks cost a lookup in pages that it touches anyway.
const APPEND: &str = "INSERT OR IGNORE INTO transition(execution, sequence, body) VALUES (?1, (
    SELECT before.sequence + 1 FROM owner CROSS JOIN transition AS before
    WHERE owner.one = 1 AND owner.epoch = ?4 AND before.execution = ?1 AND before.sequence = ?2 - 1), ?3)";

/// One change, encoded by its caller, so that the committing thread only writes.
#[derive(Debug)]
pub(crate) enum Change {
    Append { execution: ExecutionKey, sequence: u64, body: Vec<u8>, projection: Option<Projection> },
    Create { started: Arc<ExecutionStarted>, at: Timestamp, body: Vec<u8>, projection: Projection },
    Component { digest: ComponentDigest, wasm: Vec<u8> },
}

/// What a change answers: the key of the execution it created or touched.
pub(crate) type Answer = Result<Option<ExecutionKey>, StoreError>;

/// The connection that writes, and the right to.
pub(crate) struct Writer {
    place: Place,
    epoch: u64,
    /// None: it was given up after a failure; the next commit connects again.
    connection: Option<Connection>,
}

impl Writer {
    pub(crate) fn new(place: Place, epoch: u64, connection: Connection) -> Self {
        Self { place, epoch, connection: Some(connection) }
    }

    /// Commits one change by itself.
    pub(crate) fn commit_one(&mut self, change: &Change) -> Answer {
        let Change::Append { execution, sequence, body, projection: None } = change else {
            return self.commit(&[change]).pop().unwrap_or(Ok(None));
        };
        let session = self.session()?;
        match session.append(*execution, *sequence, body) {
            Ok(true) => Ok(Some(*execution)),
            Ok(false) => Err(session.refusal(*execution, *sequence)),
            Err(error) => Err(self.give_up(&error)),
        }
    }

    /// Commits all changes in one transaction with one sync. A refused change fails alone; a failing disk fails them
    /// all. Answers in the order of `changes`.
    pub(crate) fn commit(&mut self, changes: &[&Change]) -> Vec<Answer> {
        let committed = match self.session().map(|session| session.transact(changes)) {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => Err(self.give_up(&error)),
            Err(error) => Err(error),
        };
        committed.unwrap_or_else(|error| changes.iter().map(|_| Err(repeat(&error))).collect())
    }

    fn session(&mut self) -> Result<Session<'_>, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (connection, _) = self.place.writer(|connection| self.place.identity(connection))?;
                tracing::info!(database = %self.place.path.display(), "connected again");
                connection
            }
        };
        Ok(Session { place: &self.place, epoch: self.epoch, connection: self.connection.insert(connection) })
    }

    /// After a failure: nothing of the transaction may be visible, and the next commit must find a usable connection.
    fn give_up(&mut self, error: &Error) -> StoreError {
        let failure = self.place.failure("append to", error);
        tracing::warn!(%failure, "commit failed");
        if let Some(connection) = &self.connection
            && !connection.is_autocommit()
        {
            // SQLite may have rolled back itself; what counts is whether it is out of the transaction afterwards.
            let _ = connection.execute_batch("ROLLBACK");
            if !connection.is_autocommit() {
                self.connection = None;
            }
        }
        failure
    }
}

/// The writer while it is connected.
struct Session<'a> {
    place: &'a Place,
    epoch: u64,
    connection: &'a Connection,
}

impl Session<'_> {
    /// `Err` leaves the transaction open; the inner one has ended it.
    fn transact(&self, changes: &[&Change]) -> Result<Result<Vec<Answer>, StoreError>, Error> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let found = owner_epoch(self.connection)?;
        if found != self.epoch {
            self.connection.prepare_cached("ROLLBACK")?.execute([])?;
            return Ok(Err(self.stolen(found)));
        }
        let answers = changes.iter().map(|change| self.apply(change)).collect::<Result<_, _>>()?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(Ok(answers))
    }

    /// Whether the row went in.
    fn append(&self, ExecutionKey(key): ExecutionKey, sequence: u64, body: &[u8]) -> Result<bool, Error> {
        // A number beyond SQLite's range follows no row, so it is refused like any other gap.
        let sequence = i64::try_from(sequence).unwrap_or(i64::MIN + 1);
        let epoch = self.epoch as i64;
        Ok(self.connection.prepare_cached(APPEND)?.execute(params![key, sequence, body, epoch])? == 1)
    }

    /// One change inside a transaction. `Err` dooms the whole transaction; a refusal is an answer, and has written
    /// nothing.
    fn apply(&self, change: &Change) -> Result<Answer, Error> {
        let connection = self.connection;
        match change {
            Change::Append { execution, sequence, body, projection } => {
                if !self.append(*execution, *sequence, body)? {
                    return Ok(Err(self.refusal(*execution, *sequence)));
                }
                if let Some(projection) = projection {
                    connection
                        .prepare_cached("UPDATE execution SET status = ?2, ended_at = ?3, wake_at = ?4 WHERE key = ?1")?
                        .execute(params![
                            execution.0,
                            projection.status.as_str(),
                            projection.ended_at.map(|at| at.0),
                            projection.wake_at.map(|at| at.0),
                        ])?;
                }
                Ok(Ok(Some(*execution)))
            }
            Change::Create { started, at, body, projection } => {
                let created = connection
                    .prepare_cached(
                        "INSERT INTO execution
                             (arn, function, version, name, component, status, started_at, ended_at, wake_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![
                        started.arn,
                        started.function,
                        started.version,
                        started.name,
                        started.component.0,
                        projection.status.as_str(),
                        at.0,
                        projection.ended_at.map(|at| at.0),
                        projection.wake_at.map(|at| at.0),
                    ])?;
                if created == 0 {
                    return Ok(Err(StoreError::Conflict(format!(
                        "function {:?} has an execution named {:?} already, or ARN {} is in use: use another name",
                        started.function, started.name, started.arn
                    ))));
                }
                let key = connection.last_insert_rowid();
                connection
                    .prepare_cached("INSERT INTO transition(execution, sequence, body) VALUES (?1, 0, ?2)")?
                    .execute(params![key, body])?;
                Ok(Ok(Some(ExecutionKey(key))))
            }
            Change::Component { digest, wasm } => {
                connection
                    .prepare_cached("INSERT INTO component(digest, wasm) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                    .execute(params![digest.0, wasm])?;
                Ok(Ok(None))
            }
        }
    }

    /// Why an append wrote nothing.
    fn refusal(&self, execution: ExecutionKey, sequence: u64) -> StoreError {
        let found = || -> Result<(u64, Option<i64>), Error> {
            let newest = self
                .connection
                .prepare_cached("SELECT max(sequence) FROM transition WHERE execution = ?1")?
                .query_row([execution.0], |row| row.get(0))?;
            Ok((owner_epoch(self.connection)?, newest))
        };
        let key = execution.0;
        match found() {
            Err(error) => self.place.failure("append to", &error),
            Ok((epoch, _)) if epoch != self.epoch => self.stolen(epoch),
            Ok((_, None)) => StoreError::Conflict(format!(
                "there is no execution {key} in {}: create it first",
                self.place.path.display()
            )),
            Ok((_, Some(newest))) => StoreError::Conflict(format!(
                "row {sequence} of execution {key} in {} cannot be written, the next is {}: read the log again",
                self.place.path.display(),
                newest + 1
            )),
        }
    }

    fn stolen(&self, found: u64) -> StoreError {
        StoreError::Conflict(format!(
            "another process took {} over (its epoch is {found}, ours was {}): stop this one",
            self.place.path.display(),
            self.epoch
        ))
    }
}

pub(crate) fn owner_epoch(connection: &Connection) -> Result<u64, Error> {
    let epoch: i64 =
        connection.prepare_cached("SELECT epoch FROM owner WHERE one = 1")?.query_row([], |row| row.get(0))?;
    Ok(epoch as u64)
}
