//! The tables, as an ordered list of migrations, and whether a file is ours at all.

use crate::failure::failure;
use everstep_core::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Transaction};
use std::path::Path;

/// `PRAGMA application_id` of every everstep database: "evst".
pub const APPLICATION_ID: i32 = 0x6576_7374;

/// `PRAGMA user_version` of a database that this release writes: the number of migrations.
pub const SCHEMA_VERSION: i32 = MIGRATIONS.len() as i32;

/// From an empty file to today's tables: the n-th takes a database from version n to n + 1. Never edit one that was
/// released; append.
pub(crate) const MIGRATIONS: &[&str] = &[
    // 1. `transition` is clustered on its key, so a log reads as one run of pages and an append touches one of them.
    //    `execution.key` grows and is never used again, so it is also the order of listing, newest first.
    "CREATE TABLE owner(
         one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, release TEXT NOT NULL
     ) STRICT;
     INSERT INTO owner VALUES (1, 0, '');
     CREATE TABLE component(digest BLOB NOT NULL UNIQUE, wasm BLOB NOT NULL) STRICT;
     CREATE TABLE execution(
         key INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL UNIQUE, function TEXT NOT NULL,
         version TEXT NOT NULL, name TEXT NOT NULL, component BLOB NOT NULL, status TEXT NOT NULL,
         started_at INTEGER NOT NULL, ended_at INTEGER, wake_at INTEGER,
         UNIQUE (function, name)
     ) STRICT;
     CREATE INDEX execution_of_function ON execution(function, key);
     CREATE INDEX execution_due ON execution(wake_at) WHERE status = 'RUNNING' AND wake_at IS NOT NULL;
     CREATE TABLE transition(
         execution INTEGER NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
         PRIMARY KEY (execution, sequence)
     ) STRICT, WITHOUT ROWID;",
];

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nothing in it yet: ours to fill. Also what a crash during creation leaves.
    Empty,
    /// An everstep database that this release can read.
    Ours {
        /// Its schema version.
        version: i32,
    },
}

/// Reads what the file is; changes nothing.
pub(crate) fn identify(connection: &Connection) -> Result<(i32, i32, i64), rusqlite::Error> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    Ok((application as i32, number("PRAGMA user_version")? as i32, number("SELECT count(*) FROM sqlite_schema")?))
}

/// Refuses what is not ours, or newer than we are.
pub(crate) fn accept(
    path: &Path,
    connection: &Connection,
    (application, version, tables): (i32, i32, i64),
    known: usize,
) -> Result<Identity, StoreError> {
    let shown = path.display();
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Identity::Empty);
    }
    if application != APPLICATION_ID {
        return Err(StoreError::Corrupt(format!(
            "{shown} is not an everstep database (its application id is {application:#x}, not {APPLICATION_ID:#x}); \
             give another path"
        )));
    }
    if version > known as i32 {
        let release = connection
            .query_row("SELECT release FROM owner", [], |row| row.get::<_, String>(0))
            .optional()
            .ok()
            .flatten()
            .map_or_else(|| "a newer release".into(), |release| format!("everstep {release}"));
        return Err(StoreError::Newer(format!(
            "database {shown} has schema version {version}; everstep {} reads up to {known}: use {release}, which \
             wrote it, or a newer one",
            env!("CARGO_PKG_VERSION")
        )));
    }
    if version < 1 {
        return Err(StoreError::Corrupt(format!(
            "database {shown} has schema version {version}, which no release wrote; restore it from a copy"
        )));
    }
    Ok(Identity::Ours { version })
}

/// Brings a database to the newest of `migrations`, inside the caller's transaction: all of it or nothing.
pub(crate) fn migrate(
    path: &Path,
    transaction: &Transaction<'_>,
    identity: Identity,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let from = match identity {
        Identity::Empty => 0,
        Identity::Ours { version } => version as usize,
    };
    let run = || -> Result<(), rusqlite::Error> {
        for migration in migrations.iter().skip(from) {
            transaction.execute_batch(migration)?;
        }
        if from < migrations.len() {
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
        }
        Ok(())
    };
    run().map_err(|error| failure(path, &format!("bring to schema version {}", migrations.len()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i32 {
        identify(connection).unwrap().1
    }

    #[test]
    fn migrations_run_in_order_once_and_all_or_none() {
        let path = Path::new("test.db");
        let mut connection = Connection::open_in_memory().unwrap();
        let next =
            [MIGRATIONS[0], "ALTER TABLE owner ADD COLUMN second TEXT", "ALTER TABLE owner ADD COLUMN third TEXT"];
        let mut reach = |migrations: &[&str]| {
            let facts = identify(&connection).unwrap();
            let transaction = connection.transaction().unwrap();
            let identity = accept(path, &transaction, facts, migrations.len())?;
            migrate(path, &transaction, identity, migrations)?;
            transaction.commit().unwrap();
            Ok::<_, StoreError>(version(&connection))
        };
        assert_eq!(reach(&next[..1]).unwrap(), 1);
        let broken = [next[0], next[1], "ALTER TABLE nothing ADD COLUMN third TEXT"];
        assert!(matches!(reach(&broken), Err(StoreError::Corrupt(_))));
        assert_eq!(reach(&next).unwrap(), 3, "the broken attempt left nothing behind");
        assert_eq!(reach(&next).unwrap(), 3);
        assert!(matches!(reach(&next[..2]), Err(StoreError::Newer(_))));
    }
}
