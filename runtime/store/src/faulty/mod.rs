//! A simulated disk under the real SQLite: it fails, fills up, tears writes, lies about syncs and loses power where a
//! test wants it to. Behind the cargo feature `faulty`; never part of a release.
//!
//! ```
//! # use everstep_store::{SqliteStore, Options, faulty::{FaultyDisk, Fault, CrashMode}};
//! let disk = FaultyDisk::new(1);
//! disk.plan(5, Fault::PowerOff);
//! let opened = SqliteStore::open("everstep.db", Options::on(&disk));
//! assert!(opened.is_err());
//! let after = disk.crash(CrashMode::Torn, 1);
//! SqliteStore::open("everstep.db", Options::on(&after)).expect("a crash during creation leaves nothing in the way");
//! ```
//!
//! The model: every file has a durable content and an ordered list of changes that no sync has covered yet. A sync
//! moves that list into the durable content. Loss of power keeps the list, drops it, or keeps a random subset of the
//! 512-byte sectors it touches, in each file independently, since disks reorder what no sync separates. Bytes beside
//! those written never change (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`, as SQLite assumes of the operating system's files).
//!
//! [`Sweep`] runs a workload once for every write, sync, truncation and deletion that it makes, with a fault there.

mod disk;
mod locks;
mod sweep;
mod vfs;

pub use disk::{Counts, CrashMode, Fault, FaultyDisk};
pub use sweep::{Point, Sweep};
