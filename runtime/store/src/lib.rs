//! Everstep's checkpoint log on SQLite.
//!
//! [`SqliteStore`] implements [`everstep_core::store::Store`]: one file, one owner, one row per transition. The log is
//! the truth; the `execution` table beside it is a projection, written in the same transaction as the transition that
//! changes it.
//!
//! What a crash does, whatever it interrupts: a call that returned `Ok` survives loss of power, a call that had not
//! returned is there whole or not at all, and the rows of an execution have no gap.

#[cfg(feature = "faulty")]
pub mod faulty;

mod failure;
mod group;
mod lock;
mod open;
mod read;
mod schema;
mod sqlite;
mod write;

pub use open::{Disk, Options};
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use sqlite::SqliteStore;
