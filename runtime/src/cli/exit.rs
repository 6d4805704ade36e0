//! What a command ends with.

use crate::embedded::DriveError;
use crate::workflow::SourceError;
use everstep_core::protocol::ServiceError;
use everstep_core::store::StoreError;
use std::fmt::Display;
use std::process::ExitCode;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the execution succeeded, or the command did what it says.
    Done = 0,
    /// 1: the execution FAILED, TIMED_OUT or was STOPPED.
    Failed = 1,
    /// 2: the request is wrong. Nothing was changed.
    Wrong = 2,
    /// 3: the execution is suspended and goes on later.
    Suspended = 3,
    /// 4: the database or the machine failed, or another process owns the database.
    Unavailable = 4,
    /// 130: Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A command that did not do what it says: why, and the exit status that tells scripts which kind of why.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// The request is wrong.
    pub(crate) fn wrong(message: impl Display) -> Self {
        Self { exit: Exit::Wrong, message: message.to_string() }
    }

    /// The machine failed.
    pub(crate) fn unavailable(message: impl Display) -> Self {
        Self { exit: Exit::Unavailable, message: message.to_string() }
    }

    pub(crate) fn report(self) -> ExitCode {
        eprintln!("error: {}", self.message);
        self.exit.into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Store(error) => error.into(),
            refused => Self::wrong(refused),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Wrong(message) => Self::wrong(message),
            SourceError::Unavailable(message) => Self::unavailable(message),
        }
    }
}

impl From<DriveError> for Failure {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Service(error) => error.into(),
            component @ DriveError::Component { .. } => Self::wrong(component),
            lost @ (DriveError::ComponentLost(_)
            | DriveError::Bundle { .. }
            | DriveError::BundleLost(_)
            | DriveError::Busy(_)
            | DriveError::Panicked(_)) => Self::unavailable(lost),
        }
    }
}
