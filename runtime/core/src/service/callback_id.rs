//! Callback ids: what completes a CALLBACK from outside. They say where it is, and cannot be guessed.

use crate::protocol::OperationId;
use crate::store::ExecutionKey;

/// What a callback id says. Whether it is the callback's is decided by comparing the text with the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallbackId {
    /// The execution.
    pub(super) execution: ExecutionKey,
    /// Its CALLBACK.
    pub(super) operation: OperationId,
    secret: [u8; SECRET],
}

const SECRET: usize = 16;
const HEAD: usize = 8 + SECRET;

impl CallbackId {
    /// The id of a callback; of the entropy the first 16 bytes are taken.
    pub(super) fn new(execution: ExecutionKey, operation: OperationId, entropy: [u8; 32]) -> Self {
        let mut secret = [0; SECRET];
        secret.copy_from_slice(&entropy[..SECRET]);
        Self { execution, operation, secret }
    }

    /// The id as text, within AWS's pattern `[A-Za-z0-9+/]+={0,2}`: at most 120 characters.
    pub(super) fn write(&self) -> String {
        let mut bytes = Vec::with_capacity(HEAD + self.operation.as_str().len());
        bytes.extend_from_slice(&self.execution.0.to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(self.operation.as_str().as_bytes());
        base64(&bytes)
    }

    /// Reads an id; nothing but what [`CallbackId::write`] writes is one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = from_base64(text)?;
        let (execution, rest) = bytes.split_first_chunk::<8>()?;
        let (secret, operation) = rest.split_first_chunk::<SECRET>()?;
        let operation = OperationId::try_from(std::str::from_utf8(operation).ok()?).ok()?;
        Some(Self { execution: ExecutionKey(i64::from_be_bytes(*execution)), operation, secret: *secret })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let symbol = ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize];
            text.push(if digit <= chunk.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}

/// The bytes, if they are spelled as [`base64`] spells them.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    // Longer than any id: not worth a look.
    if text.len() > 1024 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for symbol in text.trim_end_matches('=').bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == symbol)?;
        bits = (bits << 6 | digit as u32) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    (base64(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_rfc_s() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64(&[0xff, 0xff, 0xfe, 0xfb, 0xf0]), "///++/A=");
    }

    #[test]
    fn reads_nothing_but_what_it_writes() {
        let longest = OperationId::try_from("x".repeat(64).as_str()).unwrap();
        for operation in [OperationId::position(None, 1), longest] {
            let id = CallbackId::new(ExecutionKey(7), operation, [0xfe; 32]);
            let text = id.write();
            assert!(text.len() <= 120, "{text}");
            assert_eq!(CallbackId::read(&text), Some(id));
        }
        let text = CallbackId::new(ExecutionKey(7), OperationId::position(None, 1), [0xfe; 32]).write();
        let wrong = ["", "cb", "Zg==", "Zh==", "ü", &text[..text.len() - 4], &format!("{text}="), &format!(" {text}")];
        for wrong in wrong {
            assert_eq!(CallbackId::read(wrong), None, "{wrong}");
        }
        assert_eq!(CallbackId::read(&"A".repeat(4_000_000)), None);
    }
}
