//! The execution as AWS's API answers: `GetDurableExecutionHistory`, and `GetDurableExecution` beside it.

use super::Record;
use super::notation::{epoch_seconds, function_arn};
use everstep_core::service::{Description, HistoryEvent};
use serde_json::{Value, json};

/// `{"Execution": ..., "Events": [...]}`, for people's eyes too.
pub(super) fn render(record: &Record) -> String {
    let events: Vec<Value> = record.history.iter().map(HistoryEvent::to_json).collect();
    let mut shown = json!({ "Execution": execution(&record.description), "Events": events });
    // No member of AWS's.
    if !record.warnings.is_empty() {
        shown["Warnings"] = record.warnings.iter().map(|warned| json!(warned.to_string())).collect();
    }
    format!("{shown:#}\n")
}

fn execution(description: &Description) -> Value {
    let started = &description.started;
    let mut out = json!({
        "DurableExecutionArn": description.arn.as_str(),
        "DurableExecutionName": started.name,
        "FunctionArn": function_arn(&description.arn),
        "Version": started.version,
        "Status": description.status.as_str(),
        "StartTimestamp": epoch_seconds(description.started_at),
        "DurableConfig": { "ExecutionTimeout": started.config.execution_timeout_seconds },
        "ExecutionDataIncluded": true,
    });
    if let Some(input) = &started.input {
        out["InputPayload"] = json!(input);
    }
    if let Some(result) = &description.result {
        out["Result"] = json!(result);
    }
    if let Some(error) = &description.error {
        out["Error"] = error.to_json();
    }
    match description.ended_at {
        Some(ended_at) => out["EndTimestamp"] = epoch_seconds(ended_at),
        None => out["ExpectedExecutionTimeoutTimestamp"] = epoch_seconds(description.timeout_at),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn it_is_aws_s_history_with_the_execution_beside_it() {
        let record = sample::record();
        let shown: Value = serde_json::from_str(&render(&record)).unwrap();
        let execution = &shown["Execution"];
        assert_eq!(execution["DurableExecutionName"], "order-42");
        assert_eq!(execution["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:order:$LATEST");
        assert_eq!(execution["Error"], json!({ "ErrorType": "StepError", "ErrorMessage": "no courier\n<b>today</b>" }));
        assert_eq!(execution["StartTimestamp"], 1_790_000_000.0);
        assert_eq!(execution["InputPayload"], sample::INPUT);
        assert_eq!(execution.get("ExpectedExecutionTimeoutTimestamp"), None, "it has ended");

        let events = shown["Events"].as_array().unwrap();
        let ids: Vec<_> = events.iter().map(|event| event["EventId"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=events.len() as u64).collect::<Vec<_>>());
        assert_eq!(events.last().unwrap()["EventType"], "ExecutionFailed");
        assert_eq!(events.last().unwrap()["ExecutionFailedDetails"]["Error"]["Payload"], execution["Error"]);
    }

    #[test]
    fn a_running_execution_says_when_it_times_out() {
        let shown: Value = serde_json::from_str(&render(&sample::waiting())).unwrap();
        assert_eq!(shown["Execution"]["Status"], "RUNNING");
        assert_eq!(shown["Execution"]["ExpectedExecutionTimeoutTimestamp"], 1_790_000_000.0 + 3600.0);
        assert_eq!(shown["Execution"].get("EndTimestamp"), None);
    }
}
