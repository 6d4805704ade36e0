//! How `try_join_all`, `join_all`, `select_ok` and `race` fail.

use crate::BoxError;
use crate::wire::write_frame;
use std::error::Error;
use std::fmt;

/// A combinator that failed. Its source is the first of the [failures](Self::failures).
///
/// A combinator runs again on replay, over the recorded ends of its inputs: these are the same errors then.
///
/// ```
/// use everstep_sdk::{CombinatorError, CombinatorErrorKind};
///
/// fn report(error: &CombinatorError) {
///     if let CombinatorErrorKind::JoinFailed(join) = error.kind() {
///         println!("input {} failed: {:#}", join.failed_index(), error.failures()[0]);
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct CombinatorError {
    kind: CombinatorErrorKind,
    failures: Vec<BoxError>,
}

impl CombinatorError {
    pub(crate) fn new(kind: CombinatorErrorKind, failures: Vec<BoxError>) -> Self {
        Self { kind, failures }
    }

    /// What happened.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::CombinatorError) {
    /// use everstep_sdk::CombinatorErrorKind;
    ///
    /// let none_won = matches!(error.kind(), CombinatorErrorKind::AllFailed { .. });
    /// # }
    /// ```
    #[must_use]
    pub fn kind(&self) -> &CombinatorErrorKind {
        &self.kind
    }

    /// The inputs' errors, each an [`OperationError`](crate::OperationError): all of them in the order of the inputs
    /// for [`AllFailed`](CombinatorErrorKind::AllFailed), the one that decided for `JoinFailed` and
    /// `FirstSettledFailed`.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::CombinatorError) {
    /// for failure in error.failures() {
    ///     println!("{failure:#}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn failures(&self) -> &[BoxError] {
        &self.failures
    }
}

impl fmt::Display for CombinatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frame(f, &self.kind, self.source())
    }
}

impl Error for CombinatorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.first().map(|error| &**error as _)
    }
}

/// How a combinator failed.
///
/// ```
/// # fn example(error: &everstep_sdk::CombinatorError) {
/// use everstep_sdk::CombinatorErrorKind;
///
/// match error.kind() {
///     CombinatorErrorKind::JoinFailed(join) => println!("input {} failed", join.failed_index()),
///     other => println!("{other}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CombinatorErrorKind {
    /// An input of `try_join_all` failed.
    JoinFailed(JoinFailed),
    /// Every input of `select_ok` failed.
    #[non_exhaustive]
    AllFailed,
    /// The input of `race` that ended first had failed.
    #[non_exhaustive]
    FirstSettledFailed,
    /// `select_ok` or `race` of no inputs: nothing could win.
    #[non_exhaustive]
    EmptyInput,
    /// The result could not be serialized.
    #[non_exhaustive]
    Internal,
}

impl fmt::Display for CombinatorErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JoinFailed(join) => write!(f, "input {} failed", join.failed_index),
            Self::AllFailed => f.write_str("all inputs failed"),
            Self::FirstSettledFailed => f.write_str("the first input to end failed"),
            Self::EmptyInput => f.write_str("no inputs"),
            Self::Internal => f.write_str("internal error"),
        }
    }
}

/// Details of [`CombinatorErrorKind::JoinFailed`].
///
/// ```
/// fn was_the_first(join: everstep_sdk::JoinFailed) -> bool {
///     join.failed_index() == 0
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinFailed {
    failed_index: usize,
}

impl JoinFailed {
    pub(crate) fn new(failed_index: usize) -> Self {
        Self { failed_index }
    }

    /// Which input failed, from 0, in the order they were given.
    ///
    /// ```
    /// # fn example(error: &everstep_sdk::JoinFailed) {
    /// # let names = ["stock", "price"];
    /// println!("{} failed", names[error.failed_index()]);
    /// # }
    /// ```
    #[must_use]
    pub fn failed_index(&self) -> usize {
        self.failed_index
    }
}
