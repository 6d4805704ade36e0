//! What an execution told the outside: its workflow code, which tells everything once, and its steps' bodies.

use crate::log::Attempt;
use everstep::worker::Observer;
use everstep_core::protocol::{ErrorObject, Operation, OperationId, Timestamp};
use everstep_sandbox::Stream;
use everstep_sandbox::durable::LogLevel;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;

/// What a process said, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What workflow code printed and logged, in order.
    pub(crate) workflow: Vec<Value>,
    /// How much of that the process had acknowledged: an operation was reported as changed after it.
    pub(crate) acknowledged: usize,
    /// The bodies it started, in order, with what each printed and logged.
    pub(crate) bodies: Vec<(Attempt, Vec<Value>)>,
    /// Operations that were reported as ended.
    pub(crate) ended: Vec<String>,
}

impl Told {
    pub(crate) fn by(said: &[Value]) -> Self {
        let mut told = Self::default();
        let mut body = None;
        // What it invoked tells with the name of its own execution.
        for value in said.iter().filter(|value| value.get("execution").is_none()) {
            match value["event"].as_str() {
                Some("running") => {
                    let attempt = u32::try_from(value["attempt"].as_u64().expect("a number")).expect("a small one");
                    told.bodies.push(((value["id"].as_str().expect("an id").to_owned(), attempt), Vec::new()));
                    body = Some(told.bodies.len() - 1);
                }
                // A body's end is checkpointed before workflow code goes on.
                Some("operation") => {
                    body = None;
                    told.acknowledged = told.workflow.len();
                    if matches!(value["status"].as_str(), Some("SUCCEEDED" | "FAILED" | "CANCELLED")) {
                        told.ended.push(value["id"].as_str().expect("an id").to_owned());
                    }
                }
                Some("output" | "log") => match body {
                    Some(body) => told.bodies[body].1.push(value.clone()),
                    None => told.workflow.push(value.clone()),
                },
                _ => {}
            }
        }
        told
    }
}

/// Hears what workflow code tells during an offline replay, spelled as `--json` spells it.
#[derive(Default)]
pub(crate) struct Workflow(Mutex<Vec<Value>>);

impl Workflow {
    pub(crate) fn told(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().expect("nobody panicked"))
    }
}

impl Observer for Workflow {
    fn output(&self, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let value = json!({ "event": "output", "stream": stream.as_str(), "text": text });
        self.0.lock().expect("nobody panicked").push(value);
    }

    fn log(&self, operation: Option<&str>, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let level = format!("{level:?}").to_lowercase();
        let level = level.rsplit("::").next().unwrap_or_default();
        let fields: serde_json::Map<_, _> = fields.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        self.0.lock().expect("nobody panicked").push(json!({
            "event": "log", "level": level, "operation": operation, "message": message, "fields": fields,
        }));
    }

    fn step_running(&self, id: &OperationId, _: Option<&str>, attempt: u32) {
        panic!("an offline replay ran the body of step {id}, attempt {attempt}");
    }

    fn changed(&self, operation: &Operation) {
        panic!("an offline replay changed {operation:?}");
    }

    fn sleeping(&self, duration: Duration) {
        panic!("an offline replay slept {duration:?}");
    }

    fn waiting(&self, _: Timestamp, _: Duration) {}

    fn invocation_failed(&self, error: &ErrorObject) {
        panic!("an offline replay failed: {error}");
    }
}
