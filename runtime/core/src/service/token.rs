//! Checkpoint tokens: opaque to workers, good for one checkpoint.

use crate::store::ExecutionKey;

/// What a token says. A token of a dead owner of the store, of another execution, of a superseded invocation or of an
/// earlier checkpoint differs in one of these from the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    /// The store's owner.
    pub(super) epoch: u64,
    /// The execution.
    pub(super) key: ExecutionKey,
    /// The invocation, counted by the service.
    pub(super) invocation: u64,
    /// The checkpoint, counted by the invocation.
    pub(super) serial: u64,
}

impl Token {
    /// The token as text, within AWS's pattern `[A-Za-z0-9+/]+={0,2}`.
    pub(super) fn write(self) -> String {
        format!("{:x}/{:x}/{:x}/{:x}", self.epoch, self.key.0, self.invocation, self.serial)
    }

    /// Reads a token; nothing but what [`Token::write`] writes is one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut fields = text.split('/').map(|field| {
            let canonical = !field.is_empty()
                && (field == "0" || !field.starts_with('0'))
                && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            u64::from_str_radix(field, 16).ok().filter(|_| canonical)
        });
        let mut next = || fields.next().flatten();
        let token = Self {
            epoch: next()?,
            key: ExecutionKey(i64::try_from(next()?).ok()?),
            invocation: next()?,
            serial: next()?,
        };
        fields.next().is_none().then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nothing_but_what_it_writes() {
        let token = Token { epoch: 3, key: ExecutionKey(255), invocation: 16, serial: 0 };
        assert_eq!(token.write(), "3/ff/10/0");
        assert_eq!(Token::read("3/ff/10/0"), Some(token));
        for wrong in
            ["", "3/ff/10", "3/ff/10/0/0", "03/ff/10/0", "3/FF/10/0", "3/+f/10/0", "3//10/0", "ffffffffffffffff0/1/1/1"]
        {
            assert_eq!(Token::read(wrong), None, "{wrong}");
        }
    }
}
