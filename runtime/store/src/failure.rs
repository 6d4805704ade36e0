//! What SQLite answers, in the few kinds of [`StoreError`]: each with the path and the remedy.

use everstep_core::store::StoreError;
use rusqlite::{Error, ErrorCode, ffi};
use std::path::Path;

/// `error`, met while `doing` something (as in "append to") with the database at `path`.
pub(crate) fn failure(path: &Path, doing: &str, error: &Error) -> StoreError {
    let path = path.display();
    let unavailable =
        |why: String, remedy: &str| StoreError::Unavailable(format!("cannot {doing} {path}: {why}; {remedy}"));
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::Corrupt(format!("cannot {doing} {path}: {error}; restore the database from a copy"));
    };
    match code {
        ErrorCode::DiskFull => unavailable("the disk is full".into(), "free some space, then try again"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => unavailable(
            "the file or its directory is read-only".into(),
            "give this user write access, or use another path",
        ),
        ErrorCode::CannotOpen => {
            unavailable(error.to_string(), "give this user read and write access to the file and its directory")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            unavailable(error.to_string(), "end the other program that holds it, then try again")
        }
        ErrorCode::NotADatabase => {
            StoreError::Corrupt(format!("{path} is not an everstep database; give another path"))
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::Unknown | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
            StoreError::Corrupt(format!("cannot {doing} {path}: {error}; restore the database from a copy"))
        }
        _ => unavailable(format!("{error} (SQLite {})", extended(error)), "check the disk, then try again"),
    }
}

/// SQLite's extended result code; 0 if the error is not SQLite's.
pub(crate) fn extended(error: &Error) -> i32 {
    error.sqlite_error().map_or(0, |error: &ffi::Error| error.extended_code)
}

/// The same error for each of those who shared a commit.
pub(crate) fn repeat(error: &StoreError) -> StoreError {
    match error {
        StoreError::Locked(text) => StoreError::Locked(text.clone()),
        StoreError::Conflict(text) => StoreError::Conflict(text.clone()),
        StoreError::Newer(text) => StoreError::Newer(text.clone()),
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
    }
}
