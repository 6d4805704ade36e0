//! Opening a database: the path, the connection and its settings, whose file it is, who owns it.

use crate::failure::{extended, failure};
use crate::lock::OwnerLock;
use crate::schema::{self, Identity, MIGRATIONS};
use everstep_core::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, ffi};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Pages of write-ahead log after which SQLite copies them into the database and starts the log over.
///
/// A sequential step writes one page, so this is two further syncs in a thousand steps. Smaller costs more of them;
/// larger makes the log file (4 MiB) longer, hence recovery after a crash slower, and makes more commits extend the
/// file instead of overwriting what is allocated already, which file systems sync faster.
const CHECKPOINT_PAGES: u32 = 1000;

/// How a database is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where it lives.
    pub disk: Disk,
}

/// What a database lives on.
#[derive(Clone, Debug, Default)]
pub enum Disk {
    /// The operating system's files, guarded by a lock file beside the database.
    #[default]
    System,
    /// A simulated disk. Nobody else can reach it, so there is no lock; all else is the same code.
    #[cfg(feature = "faulty")]
    Faulty(crate::faulty::FaultyDisk),
}

#[cfg(feature = "faulty")]
impl Options {
    /// A database on a simulated disk.
    pub fn on(disk: &crate::faulty::FaultyDisk) -> Self {
        Self { disk: Disk::Faulty(disk.clone()) }
    }
}

/// A database's place, with what is needed to connect to it again.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As SQLite gets it: absolute, without symbolic links, so that one database has one lock.
    pub(crate) path: PathBuf,
    disk: Disk,
}

/// What opening as the owner yields. Dropped in this order: the last connection to close checkpoints the write-ahead
/// log, which only the writer may, and the lock goes when nobody writes any more.
pub(crate) struct Owned {
    pub(crate) reader: Connection,
    pub(crate) writer: Connection,
    pub(crate) lock: Option<OwnerLock>,
    pub(crate) epoch: u64,
}

impl Place {
    pub(crate) fn new(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let path = match &options.disk {
            Disk::System => real(path).map_err(|error| {
                StoreError::Unavailable(format!("cannot resolve {}: {error}; give another path", path.display()))
            })?,
            #[cfg(feature = "faulty")]
            Disk::Faulty(disk) => disk.path(path),
        };
        Ok(Self { path, disk: options.disk.clone() })
    }

    fn exists(&self) -> bool {
        match &self.disk {
            Disk::System => self.path.exists(),
            #[cfg(feature = "faulty")]
            Disk::Faulty(disk) => disk.exists(&self.path),
        }
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.disk {
            Disk::System => Connection::open_with_flags(&self.path, flags)?,
            #[cfg(feature = "faulty")]
            Disk::Faulty(disk) => Connection::open_with_flags_and_vfs(&self.path, flags, disk.vfs())?,
        };
        connection.set_prepared_statement_cache_capacity(32);
        // Plans do not depend on bound values: without this, SQLite compiles a cached statement anew at each binding.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
        Ok(connection)
    }

    /// A connection that cannot write.
    pub(crate) fn reader(&self) -> Result<Connection, rusqlite::Error> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096;")?;
        Ok(connection)
    }

    /// The connection that writes. `identified` runs before anything is changed.
    pub(crate) fn writer<T>(
        &self,
        identified: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<(Connection, T), StoreError> {
        let open = |error| self.failure("open", &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = self.connect(flags).map_err(open)?;
        let known = identified(&connection)?;
        // EXTRA until the log is a write-ahead log: a new file gets that mode in a transaction with a rollback journal,
        // whose deletion only EXTRA makes durable. Were it to come back after loss of power, it would undo the file.
        connection.execute_batch("PRAGMA synchronous = EXTRA").map_err(open)?;
        // Read to its end: the answer comes before the transaction that writes the mode, and only then does that fail.
        let modes = connection.prepare("PRAGMA journal_mode = WAL").and_then(|mut change| {
            let modes = change.query_map([], |row| row.get::<_, String>(0))?;
            modes.collect::<Result<Vec<String>, _>>()
        });
        if modes.map_err(open)? != ["wal"] {
            return Err(StoreError::Unavailable(format!(
                "{} is on a file system without shared memory, which the write-ahead log needs; use a local one",
                self.path.display()
            )));
        }
        // FULL: each commit is synced before it is acknowledged. The log shrinks back after a huge transaction.
        connection
            .execute_batch(&format!(
                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
                 PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -8192;"
            ))
            .map_err(open)?;
        Ok((connection, known))
    }

    /// Opens as the owner: lock, refusal of foreign files, migrations, a new epoch.
    pub(crate) fn own(&self) -> Result<Owned, StoreError> {
        let lock = match &self.disk {
            Disk::System => {
                create_parent(&self.path)?;
                Some(OwnerLock::acquire(&self.path)?)
            }
            #[cfg(feature = "faulty")]
            Disk::Faulty(_) => None,
        };
        // A foreign file is recognised through a connection that cannot write: a writable one would already recover
        // its journal. A journal that must be rolled back before anything can be read is left to the writer.
        let mut reader = None;
        if self.exists() {
            match self.reader().and_then(|connection| Ok((schema::identify(&connection)?, connection))) {
                Ok((facts, connection)) => {
                    schema::accept(&self.path, &connection, facts, MIGRATIONS.len())?;
                    reader = Some(connection);
                }
                Err(error) if extended(&error) == ffi::SQLITE_READONLY_ROLLBACK => {}
                Err(error) => return Err(self.failure("open", &error)),
            }
        }
        let (mut writer, identity) = self.writer(|connection| self.identity(connection))?;
        let epoch = self.claim(&mut writer, identity)?;
        let reader = match reader {
            Some(reader) => reader,
            None => self.reader().map_err(|error| self.failure("open", &error))?,
        };
        Ok(Owned { reader, writer, lock, epoch })
    }

    /// What the database is; refuses what is not ours.
    pub(crate) fn identity(&self, connection: &Connection) -> Result<Identity, StoreError> {
        let facts = schema::identify(connection).map_err(|error| self.failure("open", &error))?;
        schema::accept(&self.path, connection, facts, MIGRATIONS.len())
    }

    /// Migrates and takes the next epoch, in one transaction. Its sync also makes durable whatever a killed owner had
    /// written but not synced: nobody may act on what the page cache alone remembers.
    fn claim(&self, writer: &mut Connection, identity: Identity) -> Result<u64, StoreError> {
        let taking = |error| self.failure("take ownership of", &error);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(taking)?;
        schema::migrate(&self.path, &transaction, identity, MIGRATIONS)?;
        let epoch = transaction
            .query_row(
                "UPDATE owner SET epoch = epoch + 1, release = ?1 RETURNING epoch",
                [env!("CARGO_PKG_VERSION")],
                |row| row.get::<_, i64>(0),
            )
            .map_err(taking)?;
        transaction.commit().map_err(taking)?;
        Ok(epoch as u64)
    }

    pub(crate) fn failure(&self, doing: &str, error: &rusqlite::Error) -> StoreError {
        failure(&self.path, doing, error)
    }
}

/// The path without symbolic links, also if the file, or even its directory, is not there yet.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(real(parent)?.join(name)),
        _ => Ok(path),
    }
}

/// Creates the missing directories above `path` so that they survive loss of power: SQLite syncs only the innermost.
fn create_parent(path: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|directory| !directory.exists()).collect();
    missing.iter().rev().try_for_each(|directory| {
        let made = std::fs::create_dir(directory).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        let above = directory.parent().unwrap_or(directory);
        made.and_then(|()| File::open(above)?.sync_all()).map_err(|error| {
            StoreError::Unavailable(format!(
                "cannot create directory {} for database {}: {error}; create it, or give another path",
                directory.display(),
                path.display()
            ))
        })
    })
}
