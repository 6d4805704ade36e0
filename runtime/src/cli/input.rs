//! Payloads on the command line.

use super::exit::Failure;

/// A payload of a command, as JSON text: given as JSON or as text, as it is or in a file.
pub(crate) fn payload(what: &str, json: Option<&str>, text: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(text) = text {
        return Ok(Some(serde_json::Value::String(read(what, text)?).to_string()));
    }
    let Some(given) = json else { return Ok(None) };
    let json = read(what, given)?;
    serde_json::from_str::<serde::de::IgnoredAny>(&json).map_err(|error| {
        Failure::wrong(format!(
            "the {what} is not JSON: {error}; quote it for the shell, or use --text to pass plain text"
        ))
    })?;
    Ok(Some(json))
}

fn read(what: &str, given: &str) -> Result<String, Failure> {
    match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::wrong(format!("the {what} file {path} cannot be read: {error}"))),
        None => Ok(given.to_owned()),
    }
}
