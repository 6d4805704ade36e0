//! One process owns a database: an operating-system lock on a file beside it.

use everstep_core::store::StoreError;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock may outlive its owner: a process that the owner was starting when it let go holds the file, too,
/// until it has become another program.
const LET_GO: Duration = Duration::from_millis(200);

/// The lock, held until dropped. The kernel releases it when the process dies, however it dies: there is no lease to
/// wait for and nothing to clean up. The file stays; only the lock on it means something.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    /// Takes the lock of `database`: on a file of its own, since SQLite's own locks come and go, and closing any handle
    /// of a database file drops every POSIX lock that the process has on it.
    pub(crate) fn acquire(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let unavailable = |error: std::io::Error| {
            StoreError::Unavailable(format!(
                "cannot lock {}: {error}; give this user write access to the directory, on a file system with locks",
                path.display()
            ))
        };
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(unavailable)?;
        let patience = Instant::now() + LET_GO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < patience => std::thread::sleep(LET_GO / 20),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(locked(database, &mut file))),
                Err(TryLockError::Error(error)) => return Err(unavailable(error)),
            }
        }
        // The owner's pid only serves the message above: that it cannot be written is no reason not to open.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn locked(database: &Path, file: &mut File) -> String {
    let mut owner = String::new();
    let known = file.take(32).read_to_string(&mut owner).ok().and_then(|_| owner.trim().parse::<u32>().ok());
    let by = known.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
    format!("database {} is owned by {by}: talk to that process, end it, or give another path", database.display())
}
