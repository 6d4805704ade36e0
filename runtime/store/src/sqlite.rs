//! The store: one writer, one reader, one owner.

use crate::group::{Group, lock};
use crate::lock::OwnerLock;
use crate::open::{Options, Owned, Place};
use crate::read::{self, Unreadable};
use crate::schema::Identity;
use crate::write::{Change, Writer, owner_epoch};
use everstep_core::protocol::{ComponentDigest, Event, ExecutionArn, Timestamp, Transition};
use everstep_core::store::{Append, ExecutionKey, ExecutionSummary, Filter, Projection, Store, StoreError};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Mutex;

/// The checkpoint log in one SQLite file, in write-ahead mode with `synchronous=FULL`.
///
/// Shared by reference between threads: concurrent writes share a transaction and its sync, reads never wait for a
/// sync. Dropping it releases the database; nothing needs to be flushed, since whatever returned `Ok` is durable.
pub struct SqliteStore {
    // Dropped in this order, see `Owned`.
    reader: Mutex<Connection>,
    /// None: opened for reading.
    group: Option<Group>,
    _lock: Option<OwnerLock>,
    place: Place,
    epoch: u64,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.place.path)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database at `path` as its owner, creating it and missing directories, and migrating an older schema.
    ///
    /// A crash during creation or migration leaves what was there before, or the finished result. On return everything
    /// that the previous owner's log shows is durable, and its tokens are of an older epoch.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if a living process owns it, [`StoreError::Newer`] if a newer release wrote it,
    /// [`StoreError::Corrupt`] if it is damaged or not ours (the file is not touched then), and
    /// [`StoreError::Unavailable`] if the disk or the permissions do not allow it.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let place = Place::new(path.as_ref(), &options)?;
        let Owned { reader, writer, lock, epoch } = place.own()?;
        tracing::info!(database = %place.path.display(), epoch, "opened");
        let group = Group::new(Writer::new(place.clone(), epoch, writer));
        Ok(Self { reader: Mutex::new(reader), group: Some(group), _lock: lock, place, epoch })
    }

    /// Opens an existing database for reading, also beside a running owner: takes no lock and no epoch, changes
    /// nothing, and refuses writes with [`StoreError::Unavailable`]. Each read sees what is durable at that moment.
    ///
    /// # Errors
    /// As [`open`](Self::open), without `Locked`; a missing database is `Unavailable`. A database of an older schema
    /// is refused until its owner has migrated it.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let place = Place::new(path.as_ref(), &Options::default())?;
        let shown = place.path.display();
        if !place.path.exists() {
            return Err(StoreError::Unavailable(format!(
                "there is no database {shown}: start an execution, or give another path"
            )));
        }
        let opening = |error| place.failure("open", &error);
        let reader = place.reader().map_err(opening)?;
        match place.identity(&reader)? {
            Identity::Ours { version } if version == crate::SCHEMA_VERSION => {}
            Identity::Ours { version } => {
                return Err(StoreError::Unavailable(format!(
                    "database {shown} still has schema version {version}: open it once with `everstep serve`, which migrates it"
                )));
            }
            Identity::Empty => {
                return Err(StoreError::Unavailable(format!("database {shown} is empty: start an execution first")));
            }
        }
        let epoch = owner_epoch(&reader).map_err(opening)?;
        Ok(Self { reader: Mutex::new(reader), group: None, _lock: None, place, epoch })
    }

    /// The database's file, absolute.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    fn submit(&self, change: Change) -> Result<Option<ExecutionKey>, StoreError> {
        match &self.group {
            Some(group) => group.submit(change),
            None => Err(StoreError::Unavailable(format!(
                "database {} is open for reading only: send the change to its owner",
                self.place.path.display()
            ))),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Unreadable>) -> Result<T, StoreError> {
        read(&lock(&self.reader)).map_err(|error| match error {
            Unreadable::Sqlite(error) => self.place.failure("read", &error),
            Unreadable::Content(error) => error,
        })
    }
}

impl Store for SqliteStore {
    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError> {
        self.submit(Change::Component { digest, wasm: wasm.to_vec() }).map(drop)
    }

    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| read::component(connection, digest))
    }

    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError> {
        let [Event::ExecutionStarted(started)] = first.events.as_slice() else {
            return Err(StoreError::Conflict("an execution's first row holds ExecutionStarted alone".into()));
        };
        let change = Change::Create { started: started.clone(), at: first.at, body: first.encode(), projection };
        let key = self.submit(change)?;
        key.ok_or_else(|| StoreError::Corrupt(format!("database {} answered no key", self.place.path.display())))
    }

    fn append(&self, append: Append) -> Result<(), StoreError> {
        let Append { execution, sequence, transition, projection } = append;
        self.submit(Change::Append { execution, sequence, body: transition.encode(), projection }).map(drop)
    }

    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError> {
        self.read(|connection| read::log(connection, execution))
    }

    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError> {
        self.read(|connection| Ok(read::named(connection, function, name)?.pop()))
    }

    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError> {
        self.read(|connection| Ok(read::with_arn(connection, arn)?.pop()))
    }

    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError> {
        self.read(|connection| Ok(read::with_key(connection, key)?.pop()))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.read(|connection| read::list(connection, filter))
    }

    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.read(|connection| read::due(connection, now))
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}
