//! What the suites `map` and `parallel` share.

use everstep_sdk::builders::map_parallel::{BatchResult, CompletionConfig};
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, DurableContext, Serdes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What a handler tells of a batch.
pub(crate) fn projection(batch: &BatchResult<Value>, members: &[&str]) -> Value {
    let all = json!({
        "completionReason": batch.reason.as_str(),
        "status": batch.status().as_str(),
        "successCount": batch.success_count(),
        "failureCount": batch.failure_count(),
        "totalCount": batch.total_count(),
        "hasFailure": batch.has_failure(),
        "errorCount": batch.errors().len(),
    });
    members.iter().map(|member| (*member, all[*member].clone())).collect()
}

pub(crate) const WITH_STATUS: &[&str] = &["completionReason", "status", "successCount", "failureCount", "totalCount"];
pub(crate) const WITHOUT_STATUS: &[&str] = &["completionReason", "successCount", "failureCount", "totalCount"];
pub(crate) const SUCCESSES: &[&str] = &["completionReason", "successCount", "totalCount"];

pub(crate) fn tolerating(failures: usize) -> CompletionConfig {
    CompletionConfig::with_tolerated_failure_count(failures)
}

/// A step that returns what it is given.
pub(crate) async fn step(ctx: DurableContext, value: Value) -> Result<Value, BoxError> {
    Ok(ctx.step(move |_| async move { Ok(value) }).await?)
}

/// A whole batch's summary as `OPSERDE:` and its results, joined by commas.
pub(crate) struct Joined;

impl<T: Serialize + DeserializeOwned> Serdes<T> for Joined {
    async fn serialize(&self, value: T, _: SerdesContext) -> Result<String, BoxError> {
        let summary = serde_json::to_value(value)?;
        let results = summary["results"].as_array().ok_or("no results in the summary")?;
        let texts: Result<Vec<String>, BoxError> = results
            .iter()
            .map(|item| Ok(serde_json::from_str::<String>(item["result"].as_str().ok_or("an item has no result")?)?))
            .collect();
        Ok(format!("OPSERDE:{}", texts?.join(",")))
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<T, BoxError> {
        let joined = wire.strip_prefix("OPSERDE:").ok_or_else(|| format!("{wire:?} is not joined"))?;
        let results = joined
            .split(',')
            .enumerate()
            .map(|(index, text)| json!({ "index": index, "status": "SUCCEEDED", "result": json!(text).to_string() }));
        let summary = json!({ "results": results.collect::<Vec<_>>(), "reason": "ALL_COMPLETED" });
        Ok(serde_json::from_value(summary)?)
    }
}
