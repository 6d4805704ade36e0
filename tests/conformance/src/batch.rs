//! What the suites `map` and `parallel` share.

use everstep_sdk::builders::map_parallel::{
    BatchItem, BatchItemStatus, BatchResult, CompletionConfig, CompletionReason,
};
use everstep_sdk::serdes::SerdesContext;
use everstep_sdk::{BoxError, DurableContext, Serdes};
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

/// A batch as `OPSERDE:` and its results, joined by commas.
pub(crate) struct Joined;

impl Serdes<BatchResult<String>> for Joined {
    async fn serialize(&self, batch: BatchResult<String>, _: SerdesContext) -> Result<String, BoxError> {
        Ok(format!("OPSERDE:{}", batch.into_results().join(",")))
    }
    async fn deserialize(&self, wire: String, _: SerdesContext) -> Result<BatchResult<String>, BoxError> {
        let joined = wire.strip_prefix("OPSERDE:").ok_or_else(|| format!("{wire:?} is not joined"))?;
        let items = joined.split(',').enumerate().map(|(index, text)| {
            BatchItem::new(index, String::new(), BatchItemStatus::Succeeded, Some(text.to_owned()), None, None)
        });
        Ok(BatchResult::new(items.collect(), CompletionReason::AllCompleted))
    }
}
