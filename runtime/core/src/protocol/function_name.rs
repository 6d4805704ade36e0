//! Names of functions as callers write them.

use super::{ExecutionArn, InvalidName, is_plain, limits};

/// AWS's `NamespacedFunctionName`: `name`, `account:function:name` or an ARN, each with or without a `:qualifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// As it was written, without the qualifier.
    unqualified: String,
    region: Option<String>,
    account: Option<String>,
    function: String,
    qualifier: Option<String>,
}

impl FunctionName {
    /// The function itself: 1..256 characters of `[a-zA-Z0-9-_.]`.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// A version, `$LATEST` or an alias.
    pub fn qualifier(&self) -> Option<&str> {
        self.qualifier.as_deref()
    }

    /// The Region, if it says one.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The account, if it says one.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The same function with another qualifier.
    pub fn qualified(&self, qualifier: &str) -> Self {
        Self { qualifier: Some(qualifier.to_owned()), ..self.clone() }
    }

    /// Whether it may be a function of the Region and account that the execution is in.
    pub fn is_beside(&self, execution: &ExecutionArn) -> bool {
        self.region().is_none_or(|region| region == execution.region())
            && self.account().is_none_or(|account| account == execution.account())
    }
}

impl TryFrom<&str> for FunctionName {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        parse(text).ok_or_else(|| {
            InvalidName::new(
                "function name",
                text,
                "NAME, ACCOUNT:function:NAME or an ARN, with or without :QUALIFIER, of 1..256 characters",
            )
        })
    }
}

fn parse(text: &str) -> Option<FunctionName> {
    let parts: Vec<&str> = text.split(':').collect();
    let mut rest = parts.as_slice();
    if let ["arn", partition, "lambda", after @ ..] = rest {
        let letters = partition.strip_prefix("aws")?;
        if !letters.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
            return None;
        }
        rest = after;
    }
    // A part before `$LATEST` can only be the name.
    let mut optional = |is: fn(&str) -> bool| match rest {
        [part, next, ..] if is(part) && !next.starts_with('$') => {
            rest = &rest[1..];
            Some((*part).to_owned())
        }
        _ => None,
    };
    let region = optional(is_region);
    let account = optional(|part| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit()));
    optional(|part| part == "function");
    let (name, qualifier) = match rest {
        [name] => (*name, None),
        [name, qualifier] => (*name, Some(*qualifier)),
        _ => return None,
    };
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let qualified = qualifier
        .is_none_or(|qualifier| matches!(qualifier, "$LATEST" | "$LATEST.PUBLISHED") || is_plain(qualifier, 128));
    let unqualified = qualifier.map_or(text, |qualifier| &text[..text.len() - qualifier.len() - 1]);
    (named && qualified && text.len() <= limits::FUNCTION_NAME).then(|| FunctionName {
        unqualified: unqualified.to_owned(),
        region,
        account,
        function: name.to_owned(),
        qualifier: qualifier.map(str::to_owned),
    })
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn is_region(part: &str) -> bool {
    let mut words = part.strip_prefix("eusc-").unwrap_or(part).split('-');
    let letters = |word: Option<&str>| word.is_some_and(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
    let country = words.next();
    let number = words.next_back();
    country.is_some_and(|country| country.len() == 2)
        && letters(country)
        && number.is_some_and(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
        && (1..=2).contains(&words.clone().count())
        && words.all(|word| !word.is_empty() && letters(Some(word)))
}

impl std::fmt::Display for FunctionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.unqualified)?;
        self.qualifier.as_ref().map_or(Ok(()), |qualifier| write!(f, ":{qualifier}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_taken_apart() {
        for (text, region, account, name, qualifier) in [
            ("order", None, None, "order", None),
            ("order.v2:7", None, None, "order.v2", Some("7")),
            ("order:$LATEST", None, None, "order", Some("$LATEST")),
            ("function:$LATEST", None, None, "function", Some("$LATEST")),
            ("function:order", None, None, "order", None),
            ("123456789012:function:order:live", None, Some("123456789012"), "order", Some("live")),
            ("us-east-1:123456789012:order", Some("us-east-1"), Some("123456789012"), "order", None),
            ("arn:aws:lambda:order", None, None, "order", None),
            (
                "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:order:3",
                Some("us-gov-west-1"),
                Some("123456789012"),
                "order",
                Some("3"),
            ),
        ] {
            let read = FunctionName::try_from(text).unwrap();
            let parts = (read.region(), read.account(), read.function(), read.qualifier());
            assert_eq!(parts, (region, account, name, qualifier), "{text}");
            assert_eq!(read.to_string(), text);
        }
        let read = FunctionName::try_from("function:order:1").unwrap();
        assert_eq!(read.qualified("2").to_string(), "function:order:2");
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = "x".repeat(257);
        for wrong in ["", "a b", "a:b c", "order:", "a:b:c:d", "order:$NEWEST", "arn:gcp:lambda:order", "ü", &long] {
            assert!(FunctionName::try_from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_regions_and_accounts_are_told_apart() {
        let execution = ExecutionArn::local("order", "1", "e", "i");
        let beside = |text: &str| FunctionName::try_from(text).unwrap().is_beside(&execution);
        assert!(beside("order") && beside("arn:aws:lambda:us-east-1:000000000000:function:order:1"));
        assert!(!beside("arn:aws:lambda:eu-west-1:000000000000:function:order:1"));
        assert!(!beside("123456789012:function:order"));
    }
}
