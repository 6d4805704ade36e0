//! AWS's JSON of a history event.

use super::history::{HistoryEvent, Subject};
use crate::protocol::{ErrorObject, Event, Timestamp};
use serde_json::{Map, Value, json};

impl HistoryEvent {
    /// AWS's `Event` as `GetDurableExecutionHistory` answers it, payloads included; timestamps are seconds since the
    /// epoch with a fraction.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |member: &str, value: Value| {
            out.insert(member.to_owned(), value);
        };
        put("EventType", json!(self.event_type()));
        put("EventId", json!(self.event_id));
        put("EventTimestamp", seconds(self.at));
        if let Some(Subject { id, name, sub_type, parent_id, .. }) = self.subject.as_deref() {
            put("Id", json!(id));
            if let Some(name) = name {
                put("Name", json!(name));
            }
            if let Some(sub_type) = sub_type {
                put("SubType", json!(sub_type));
            }
            if let Some(parent_id) = parent_id {
                put("ParentId", json!(parent_id.as_str()));
            }
        }
        put(&format!("{}Details", self.event_type()), self.details());
        Value::Object(out)
    }

    fn details(&self) -> Value {
        match &self.event {
            Event::ExecutionStarted(started) => json!({
                "Input": payload(started.input.as_deref()),
                "ExecutionTimeout": started.config.execution_timeout_seconds,
            }),
            Event::ContextSucceeded { result_omitted: true, .. } => json!({ "Result": { "Truncated": true } }),
            Event::ExecutionSucceeded { result }
            | Event::ContextSucceeded { result, .. }
            | Event::CallbackSucceeded { result, .. }
            | Event::ChainedInvokeSucceeded { result, .. } => json!({ "Result": payload(result.as_deref()) }),
            Event::ExecutionFailed { error }
            | Event::ExecutionStopped { error }
            | Event::ContextFailed { error, .. }
            | Event::CallbackFailed { error, .. }
            | Event::ChainedInvokeFailed { error, .. }
            | Event::ChainedInvokeTimedOut { error, .. }
            | Event::ChainedInvokeStopped { error, .. } => json!({ "Error": fault(error) }),
            // AWS names only the type.
            Event::CallbackTimedOut { error, .. } => {
                json!({ "Error": fault(&ErrorObject { error_type: error.error_type.clone(), ..ErrorObject::default() }) })
            }
            Event::ExecutionTimedOut { error: Some(error) } => json!({ "Error": fault(error) }),
            Event::ExecutionPaused { reason, timeout_paused } => json!({
                "PauseRequestTimestamp": seconds(self.at),
                "Reason": payload(reason.as_deref()),
                "ExecutionTimeoutPaused": timeout_paused,
            }),
            Event::ExecutionResumed { reason } => {
                json!({ "ResumeRequestTimestamp": seconds(self.at), "Reason": payload(reason.as_deref()) })
            }
            Event::InvocationCompleted { started_at, request_id, error } => {
                let mut details = json!({
                    "StartTimestamp": seconds(*started_at),
                    "EndTimestamp": seconds(self.at),
                    "RequestId": request_id,
                });
                if let Some(error) = error {
                    details["Error"] = fault(error);
                }
                details
            }
            Event::StepSucceeded { attempt, result, .. } => json!({
                "Result": payload(result.as_deref()),
                "RetryDetails": { "CurrentAttempt": attempt },
            }),
            Event::StepFailed { attempt, error, .. } => json!({
                "Error": fault(error),
                "RetryDetails": { "CurrentAttempt": attempt },
            }),
            Event::StepRetried { attempt, seconds, error, state, .. } => {
                let retry = json!({ "CurrentAttempt": attempt, "NextAttemptDelaySeconds": seconds });
                match (error, state) {
                    (None, Some(state)) => json!({ "Result": payload(Some(state)), "RetryDetails": retry }),
                    (error, _) => json!({
                        "Error": fault(error.as_ref().unwrap_or(&ErrorObject::default())),
                        "RetryDetails": retry,
                    }),
                }
            }
            Event::WaitStarted { seconds: length, .. } => json!({
                "Duration": length,
                "ScheduledEndTimestamp": seconds(self.at.plus_seconds(*length)),
            }),
            Event::WaitSucceeded { .. } => match self.subject.as_ref().and_then(|subject| subject.seconds) {
                Some(length) => json!({ "Duration": length }),
                None => json!({}),
            },
            Event::CallbackStarted { callback_id, timeout_seconds, heartbeat_seconds, .. } => {
                let mut details = json!({ "CallbackId": callback_id });
                if *timeout_seconds > 0 {
                    details["Timeout"] = json!(timeout_seconds);
                }
                if *heartbeat_seconds > 0 {
                    details["HeartbeatTimeout"] = json!(heartbeat_seconds);
                }
                details
            }
            Event::ChainedInvokeStarted { function, tenant_id, input, executed_version, child_arn, .. } => {
                let mut details = json!({ "FunctionName": function, "Input": payload(input.as_deref()) });
                let optional = [
                    ("TenantId", tenant_id),
                    ("ExecutedVersion", executed_version),
                    ("DurableExecutionArn", child_arn),
                ];
                for (member, value) in optional {
                    if let Some(value) = value {
                        details[member] = json!(value);
                    }
                }
                details
            }
            Event::ExecutionTimedOut { error: None }
            | Event::ContextStarted { .. }
            | Event::StepStarted { .. }
            | Event::StepReady { .. }
            | Event::CallbackHeartbeat { .. }
            | Event::Warned { .. }
            | Event::WaitCancelled { .. } => json!({}),
        }
    }
}

fn seconds(at: Timestamp) -> Value {
    // Milliseconds of any year that a log can hold are exact in a double.
    json!(at.0 as f64 / 1000.0)
}

fn payload(payload: Option<&str>) -> Value {
    match payload {
        Some(payload) => json!({ "Payload": payload, "Truncated": false }),
        None => json!({ "Truncated": false }),
    }
}

fn fault(error: &ErrorObject) -> Value {
    json!({ "Payload": error.to_json(), "Truncated": false })
}
