//! Durable execution ARNs.

use super::identifiers::is_plain;

/// `arn:aws:lambda:{region}:{account}:function:{function}:{version}/durable-execution/{name}/{id}`.
///
/// An embedded service lives in no region and no account; it says `local` ones that the API's patterns allow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionArn(String);

/// The text is no durable execution ARN.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a durable execution ARN: \
     arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION/durable-execution/EXECUTION/ID"
)]
pub struct InvalidArn(pub String);

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";

impl ExecutionArn {
    /// The ARN of execution `name` of a function hosted here. `id` makes it unique for ever, also when a name is used
    /// again after retention.
    pub fn local(function: &str, version: &str, name: &str, id: &str) -> Self {
        Self(format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:{version}/durable-execution/{name}/{id}"))
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Region.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }

    /// The account.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The function's name.
    pub fn function(&self) -> &str {
        self.0.split(':').nth(6).unwrap_or_default()
    }

    /// The last segment: also the id of the EXECUTION operation.
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The last but one segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').nth(1).unwrap_or_default()
    }
}

impl TryFrom<&str> for ExecutionArn {
    type Error = InvalidArn;
    fn try_from(text: &str) -> Result<Self, InvalidArn> {
        let ok = || {
            let (function, execution) = text.split_once("/durable-execution/")?;
            let (name, id) = execution.split_once('/')?;
            let mut parts = function.split(':');
            let head = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
            let (function, version) = (parts.next()?, parts.next()?);
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let fits = head[0] == "arn"
                && is_plain(head[1], 64)
                && head[2] == "lambda"
                && is_plain(head[3], 64)
                && head[4].len() == 12
                && digits(head[4])
                && head[5] == "function"
                && is_plain(function, 256)
                && (digits(version) || version == "$LATEST" || version == "$LATEST.PUBLISHED")
                && is_plain(name, 256)
                && is_plain(id, 256)
                && parts.next().is_none()
                && text.len() <= 1024;
            fits.then_some(())
        };
        ok().map(|()| Self(text.to_owned())).ok_or_else(|| InvalidArn(text.chars().take(200).collect()))
    }
}

impl std::fmt::Display for ExecutionArn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        let arn = ExecutionArn::local("order", "$LATEST", "order-42", "6f3c");
        assert_eq!(ExecutionArn::try_from(arn.as_str()), Ok(arn.clone()));
        assert_eq!((arn.name(), arn.id()), ("order-42", "6f3c"));
        for wrong in [
            "",
            "order-42",
            "arn:aws:lambda:us-east-1:12:function:f:1/durable-execution/a/b",
            "arn:/durable-execution//",
        ] {
            assert!(ExecutionArn::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
