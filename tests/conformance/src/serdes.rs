//! Serializations that are told from the default one by what is recorded.

use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, Serdes};

/// Text in upper case, written and read as it is, without quotes of its own.
pub(crate) struct UpperCase;

impl Serdes<String> for UpperCase {
    async fn serialize(&self, value: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(value.to_uppercase())
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<String, BoxError> {
        Ok(wire.to_uppercase())
    }
}
