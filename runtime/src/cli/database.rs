//! Where executions are kept, and where native code is cached.

use super::exit::Failure;
use crate::workflow::native_code_cache;
use everstep_sandbox::Sandbox;
use everstep_store::{Options, SqliteStore};
use std::path::PathBuf;
use std::sync::Arc;

/// Which database a command works on.
#[derive(clap::Args)]
pub(crate) struct Database {
    /// The database file with all executions
    #[arg(long, value_name = "FILE", default_value = "everstep.db", env = "EVERSTEP_DATA")]
    pub(crate) data: PathBuf,
}

impl Database {
    /// Opens it as its owner; makes it if it is missing.
    pub(crate) fn own(&self) -> Result<Arc<SqliteStore>, Failure> {
        Ok(Arc::new(SqliteStore::open(&self.data, Options::default())?))
    }

    /// Opens it for reading, also beside its owner; refuses if it is missing.
    pub(crate) fn read(&self) -> Result<SqliteStore, Failure> {
        Ok(SqliteStore::open_read_only(&self.data)?)
    }
}

/// A sandbox that caches native code where [`native_code_cache`] says.
pub(crate) fn sandbox() -> Result<Sandbox, Failure> {
    Sandbox::new(native_code_cache())
        .map_err(|error| Failure::unavailable(format!("the sandbox cannot start: {error}")))
}
