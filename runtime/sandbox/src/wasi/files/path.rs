//! Paths as `wasi:filesystem` has them: relative, separated by `/`, of UTF-8.

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

/// Bytes in a path.
pub(super) const MAX_PATH: usize = 4096;
/// Bytes in a name.
pub(super) const MAX_NAME: usize = 255;

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'p> {
    Here,
    Up,
    Name(&'p str),
}

/// A path taken apart: where to go, and the last step.
#[derive(Debug)]
pub(super) struct Path<'p> {
    pub(super) way: Vec<Part<'p>>,
    pub(super) last: Part<'p>,
    /// It ends with a slash, so what it names must be a directory.
    pub(super) directory: bool,
}

impl<'p> Path<'p> {
    pub(super) fn parse(text: &'p str) -> Result<Self, ErrorCode> {
        if text.len() > MAX_PATH {
            return Err(ErrorCode::NameTooLong);
        }
        if text.starts_with('/') {
            return Err(ErrorCode::NotPermitted);
        }
        if text.contains('\0') {
            return Err(ErrorCode::Invalid);
        }
        let mut way = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            way.push(match part {
                "." => Part::Here,
                ".." => Part::Up,
                name if name.len() > MAX_NAME => return Err(ErrorCode::NameTooLong),
                name => Part::Name(name),
            });
        }
        let last = way.pop().ok_or(ErrorCode::NoEntry)?;
        Ok(Self { way, last, directory: text.ends_with('/') })
    }
}
