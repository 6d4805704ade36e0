//! One requirement's execution, from its start to its end or to the last event that is asked for. Time is skipped.

use crate::in_process;
use crate::referee::{Case, Message, Referee, Send, Verdict};
use everstep::embedded::{Driven, Embedded, FunctionCall, Functions, SimulatedTime, Time};
use everstep::worker::{Environment, Observer};
use everstep_core::protocol::{
    ComponentDigest, DirectoryConfig, ErrorObject, ExecutionArn, ExecutionConfig, FilesConfig, FunctionName, Operation,
    OperationId, Timestamp,
};
use everstep_core::service::{self, Clock, Deployed, Entropy, HistoryEvent, StartExecution, Target};
use everstep_core::store::memory::MemoryStore;
use everstep_sandbox::durable::LogLevel;
use everstep_sandbox::{Directory, Stream};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GUEST: &str = "conformance";

/// A directory for step bodies that survives them, as a database would.
const OUTSIDE: &str = "/outside";

/// Runs the requirement's handler and has the outcome judged. `Err`: the execution could not be brought to an end.
pub(crate) fn run(case: &Case, referee: &mut Referee) -> Result<Verdict, String> {
    let time = Arc::new(SimulatedTime::default());
    let entropy = Arc::new(Counted::default());
    let store = Arc::new(MemoryStore::new());
    let sandbox = in_process::sandbox();
    let embedded = Embedded::with_functions(store, sandbox, time.clone(), entropy, Arc::new(Targets));
    let text = |error: &dyn std::fmt::Display| error.to_string();
    embedded.add_component(in_process::component(GUEST)).map_err(|error| text(&error))?;
    let started = embedded.start(request(&format!("{}-{}", case.suite, case.id), &case.input));
    let arn = started.map_err(|error| text(&error))?.arn().clone();
    let logs = Arc::new(Logs { arn: arn.clone(), lines: Mutex::default() });

    let outside = tempfile::tempdir().map_err(|error| text(&error))?;
    let outside = Directory::open(outside.path(), OUTSIDE, true).map_err(|error| text(&error))?;
    let environment = Environment { directories: Arc::new(vec![outside]), ..in_process::environment() };
    let mut world = World { case, referee, embedded: &embedded, environment, time: &time, arn: &arn };
    world.drive(&(logs.clone() as Arc<dyn Observer>))?;

    let events = world.events()?;
    let description = embedded.service().describe(&arn).map_err(|error| text(&error))?;
    let failure = description.error.as_ref().and_then(|error| error.message.as_deref());
    if let Some(message) = failure.filter(|message| message.starts_with("there is no handler for")) {
        return Err(message.to_owned());
    }
    let execution = json!({
        "DurableExecutionArn": arn.as_str(),
        "Status": description.status.as_str(),
        "Result": description.result,
    });
    let logs = logs.lines.lock().expect("nobody panics with it").clone();
    if std::env::var_os("EVERSTEP_CONFORMANCE_SHOW").is_some_and(|wanted| wanted == case.id.as_str()) {
        println!("{}", serde_json::to_string_pretty(&events).unwrap_or_default());
        println!("{execution:#}\n{logs:#?}");
    }
    Ok(referee.verdict(case, &events, &execution, &logs))
}

fn request(function: &str, input: &str) -> StartExecution {
    StartExecution {
        function: function.into(),
        version: "$LATEST".into(),
        name: None,
        input: Some(input.into()),
        component: ComponentDigest::of(in_process::component(GUEST)),
        config: ExecutionConfig {
            files: Some(FilesConfig {
                directories: vec![DirectoryConfig { path: OUTSIDE.into(), writable: true }],
                ..FilesConfig::default()
            }),
            ..ExecutionConfig::default()
        },
        seed: None,
    }
}

/// What the suite `invoke` invokes: durable functions of the same component.
struct Targets;

impl service::Functions for Targets {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        if !name.function().starts_with("target-") {
            return Err(service::function_not_found(name));
        }
        Ok(Target::Durable(Deployed {
            function: name.function().to_owned(),
            version: "$LATEST".to_owned(),
            component: ComponentDigest::of(in_process::component(GUEST)),
            config: ExecutionConfig::default(),
        }))
    }
}

impl Functions for Targets {
    fn call(&self, call: &FunctionCall) -> Result<Option<String>, ErrorObject> {
        unreachable!("{} is durable", call.function)
    }
}

/// The execution and what is around it.
struct World<'a> {
    case: &'a Case,
    referee: &'a mut Referee,
    embedded: &'a Embedded,
    environment: Environment,
    time: &'a SimulatedTime,
    arn: &'a ExecutionArn,
}

impl World<'_> {
    /// Invokes as often as there is something to do, and skips the time in between.
    fn drive(&mut self, observer: &Arc<dyn Observer>) -> Result<(), String> {
        let mut sends = VecDeque::new();
        // What is sent next, and when.
        let mut next: Option<(Timestamp, Send)> = None;
        loop {
            let driven = self.embedded.drive(self.arn, &self.environment, observer, Some(Duration::ZERO));
            let until = match driven.map_err(|error| error.to_string())? {
                Driven::Closed(_) => return Ok(()),
                Driven::Suspended { until, .. } => until,
            };
            let events = self.events()?;
            let seen = events.iter().any(|event| event["EventId"] == self.case.last_event);
            if seen && !self.case.ends {
                return Ok(());
            }
            if next.is_none() && sends.is_empty() {
                sends.extend(self.referee.callbacks(self.case, &events));
            }
            if next.is_none()
                && let Some(send) = sends.pop_front()
            {
                next = Some((self.in_seconds(send.delay_seconds)?, send));
            }
            match (next.take(), until) {
                (Some((at, send)), until) if until.is_none_or(|until| at < until) => {
                    self.time.sleep_until(at);
                    self.send(send)?;
                }
                (waiting, Some(until)) => {
                    next = waiting;
                    self.time.sleep_until(until);
                }
                (_, None) => return Err(format!("it waits for ever after {:#}", json!(events))),
            }
        }
    }

    /// That long after what was recorded last, and after all that was skipped.
    fn in_seconds(&self, seconds: f64) -> Result<Timestamp, String> {
        let history = self.embedded.service().history(self.arn).map_err(|error| error.to_string())?;
        let now = self.time.now(history.last().map_or(Timestamp(0), |event| event.at));
        Ok(Timestamp(now.0 + (seconds * 1000.0) as i64))
    }

    fn send(&self, send: Send) -> Result<(), String> {
        let service = self.embedded.service();
        let sent = match send.message {
            Message::Success { result } => service.complete_callback(&send.callback, Ok(result)),
            Message::Failure { error } => {
                let member = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
                let error = ErrorObject {
                    error_type: member("ErrorType"),
                    message: member("ErrorMessage"),
                    data: member("ErrorData"),
                    ..ErrorObject::default()
                };
                service.complete_callback(&send.callback, Err(error))
            }
            Message::Heartbeat => service.heartbeat_callback(&send.callback),
        };
        sent.map_err(|error| error.to_string())
    }

    fn events(&self) -> Result<Vec<Value>, String> {
        let history = self.embedded.service().history(self.arn).map_err(|error| error.to_string())?;
        Ok(history.iter().map(HistoryEvent::to_json).collect())
    }
}

/// The same bytes in every run, and others at every call.
#[derive(Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        bytes
    }
}

/// What CloudWatch would have.
struct Logs {
    arn: ExecutionArn,
    lines: Mutex<Vec<Value>>,
}

impl Observer for Logs {
    fn step_running(&self, _: &OperationId, _: Option<&str>, _: u32) {}
    fn changed(&self, _: &Operation) {}
    fn sleeping(&self, _: Duration) {}
    fn output(&self, _: Stream, _: &[u8]) {}
    fn waiting(&self, _: Timestamp, _: Duration) {}
    fn invocation_failed(&self, _: &ErrorObject) {}
    fn log(&self, operation: Option<&str>, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let mut record = json!({
            "level": format!("{level:?}").to_uppercase(),
            "message": message,
            "durableExecutionArn": self.arn.as_str(),
            "operationId": operation,
        });
        for (field, value) in fields {
            record[field] = json!(value);
        }
        let mut lines = self.lines.lock().expect("nobody panics with it");
        // CloudWatch's events are in the order of their timestamps.
        let at = lines.len();
        lines.push(json!({ "timestamp": at, "ingestionTime": at, "message": record.to_string() }));
    }
}
