//! Between the guest's values and the protocol's: conversions, and the bounds a guest has to keep.

use everstep_core::protocol::{ErrorObject, Operation, OperationStatus, limits};
use everstep_sandbox::Stop;
use everstep_sandbox::durable::{self, Outcome};

/// Names are quoted in messages up to this many characters.
const QUOTE: usize = 120;

/// How a recorded operation ended, as the guest is told.
pub(super) fn outcome_of(operation: &Operation) -> Outcome {
    let error = || error_out(operation.error.clone().unwrap_or_default());
    match operation.status {
        OperationStatus::Succeeded => Outcome::Succeeded(operation.result.clone()),
        OperationStatus::TimedOut => Outcome::TimedOut(error()),
        OperationStatus::Stopped => Outcome::Stopped(error()),
        _ => Outcome::Failed(error()),
    }
}

pub(super) fn error_out(error: ErrorObject) -> durable::ErrorObject {
    durable::ErrorObject {
        message: error.message.unwrap_or_default(),
        error_type: error.error_type.unwrap_or_default(),
        data: error.data,
        stack_trace: error.stack_trace,
    }
}

/// `most`: [`ExecutionConfig::error_bytes`](everstep_core::protocol::ExecutionConfig).
pub(super) fn error_in(error: durable::ErrorObject, most: u64) -> ErrorObject {
    let mut error = ErrorObject {
        error_type: Some(error.error_type).filter(|text| !text.is_empty()),
        message: Some(error.message),
        data: error.data,
        stack_trace: error.stack_trace,
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if error.size() > most {
        // An error too large to be recorded is still an error: what explains it most is kept.
        (error.data, error.stack_trace) = (None, Vec::new());
        for text in [&mut error.error_type, &mut error.message].into_iter().flatten() {
            text.truncate(text.floor_char_boundary(most / 4));
        }
    }
    error
}

/// AWS's `OperationName`.
pub(super) fn check_name(name: Option<&str>) -> Result<(), Stop> {
    let Some(name) = name else { return Ok(()) };
    if (1..=limits::OPERATION_NAME).contains(&name.len()) && name.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Ok(());
    }
    let shown: String = name.chars().take(QUOTE).collect();
    Err(Stop::Refused(format!("operation name {shown:?} is not allowed: give 1..256 printable ASCII characters")))
}

/// Text of letters, digits and `others`, up to `most` of them.
pub(super) fn check_plain(what: &str, given: &str, most: usize, others: &str) -> Result<(), Stop> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if (1..=most).contains(&given.len()) && given.chars().all(allowed) {
        return Ok(());
    }
    let shown: String = given.chars().take(QUOTE).collect();
    Err(Stop::Refused(format!("{what} {shown:?} is not allowed: give 1..{most} letters, digits and any of {others:?}")))
}

/// AWS's bounds of waits and retry delays.
pub(super) fn check_seconds(seconds: u32) -> Result<(), Stop> {
    if (1..=limits::MAX_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(Stop::Refused(format!("{seconds} s is no duration of a wait: give 1..{} s (366 days)", limits::MAX_SECONDS)))
}

/// An outcome in words, whole.
pub(super) fn quoted(outcome: &Result<Option<String>, ErrorObject>) -> String {
    match outcome {
        Ok(Some(result)) => format!("succeeded with {result}"),
        Ok(None) => "succeeded".to_owned(),
        Err(error) => format!("failed with {error}"),
    }
}

/// AWS's `OperationSubType`: 1..32 characters of `[a-zA-Z0-9-_]`.
pub(super) fn check_sub_type(given: &str) -> Result<(), Stop> {
    check_plain("context sub type", given, 32, "-_")
}
