//! Identifiers.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// An operation's id: opaque to the service, unique within its execution, 1..64 characters of `[a-zA-Z0-9-_]`.
///
/// Ours are position paths (`1`, `2`, `2-1`: counters per context, from 1), hashed only when they outgrow 64
/// characters. Short ids keep the log short and need no allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(CompactString);

/// An identifier that the API's patterns do not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not allowed: give {expected}")]
pub struct InvalidName {
    /// What was being named.
    pub what: &'static str,
    /// What was given, at most 80 characters of it.
    pub given: String,
    /// The rule.
    pub expected: &'static str,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, given: &str, expected: &'static str) -> Self {
        Self { what, given: given.chars().take(80).collect(), expected }
    }
}

/// Whether every byte is one of `[a-zA-Z0-9-_]`, and there are 1..=`longest` of them.
pub(crate) fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl OperationId {
    /// The id of the `ordinal`-th operation (from 1) begun in `parent` (none: the root context).
    pub fn position(parent: Option<&OperationId>, ordinal: u64) -> Self {
        let mut path = CompactString::const_new("");
        if let Some(parent) = parent {
            path.push_str(parent.as_str());
            path.push('-');
        }
        path.push_str(itoa::Buffer::new().format(ordinal));
        if path.len() > super::limits::OPERATION_ID {
            use sha2::{Digest, Sha256};
            let digest = Sha256::digest(path.as_bytes());
            path = CompactString::const_new("h");
            for byte in &digest[..20] {
                path.push_str(&format!("{byte:02x}"));
            }
        }
        Self(path)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for OperationId {
    type Error = InvalidName;
    fn try_from(text: &str) -> Result<Self, InvalidName> {
        if is_plain(text, super::limits::OPERATION_ID) {
            Ok(Self(CompactString::from(text)))
        } else {
            Err(InvalidName::new("operation id", text, "1..64 characters of [a-zA-Z0-9-_]"))
        }
    }
}

impl std::fmt::Display for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a component's bytes: which code an execution runs, for its whole life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ComponentDigest(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl ComponentDigest {
    /// The digest of these bytes.
    pub fn of(component: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        Self(Sha256::digest(component).into())
    }
}

impl std::fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ComponentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// What an execution's randomness is derived from. A secret: guard it like the payloads.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_paths_and_stay_within_the_api_s_bound() {
        let first = OperationId::position(None, 2);
        let inner = OperationId::position(Some(&first), 13);
        assert_eq!((first.as_str(), inner.as_str()), ("2", "2-13"));

        let mut deep = first;
        for _ in 0..60 {
            deep = OperationId::position(Some(&deep), 7);
            assert!(OperationId::try_from(deep.as_str()).is_ok(), "{deep}");
        }
        assert!(deep.as_str().starts_with('h'), "a long path is hashed: {deep}");
    }

    #[test]
    fn foreign_ids_are_checked() {
        assert!(OperationId::try_from("a-Z_9").is_ok());
        for wrong in ["", "a b", "ü", &"x".repeat(65)] {
            assert_eq!(OperationId::try_from(wrong).unwrap_err().what, "operation id");
        }
    }
}
