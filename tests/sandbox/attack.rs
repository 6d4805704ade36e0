//! An attack, in one process and one database with workflows that do nothing wrong.

use crate::in_process::{component, sandbox};
use crate::support::Place;
use everstep::embedded::{Driven, Embedded, MachineEntropy, SimulatedTime};
use everstep::worker::{Environment, Observer};
use everstep_core::protocol::{
    ComponentDigest, ErrorObject, ExecutionConfig, ExecutionStatus, Operation, OperationId, Seed, Timestamp,
};
use everstep_core::service::StartExecution;
use everstep_core::store::Store;
use everstep_sandbox::durable::LogLevel;
use everstep_sandbox::{Network, Stream};
use everstep_store::{Options, SqliteStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const GUEST: &str = "guest-escape";

/// A process with its database.
pub(crate) struct Process {
    _place: Place,
    store: Arc<SqliteStore>,
    embedded: Embedded,
    component: ComponentDigest,
}

/// What is tried, and what it is given.
pub(crate) struct Attack {
    pub(crate) case: &'static str,
    pub(crate) inside: bool,
    pub(crate) targets: Vec<String>,
    pub(crate) config: ExecutionConfig,
    pub(crate) environment: Environment,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The result, or the execution's error.
    pub(crate) end: Result<Value, ErrorObject>,
    /// Invocations that failed, by their messages.
    pub(crate) faults: Vec<String>,
    /// What the host said on stderr about what it refused.
    pub(crate) notices: Vec<String>,
    /// Bytes that the log has of it.
    pub(crate) log_bytes: usize,
}

/// Keeps what whoever runs a workflow is told.
#[derive(Default)]
struct Watching {
    faults: Mutex<Vec<String>>,
    notices: Mutex<Vec<String>>,
}

impl Observer for Watching {
    fn invocation_failed(&self, error: &ErrorObject) {
        self.faults.lock().expect("nobody panicked").push(error.to_string());
    }
    fn output(&self, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if stream == Stream::Stderr && text.starts_with("everstep: ") {
            self.notices.lock().expect("nobody panicked").push(text.trim_end().to_owned());
        }
    }
    fn step_running(&self, _: &OperationId, _: Option<&str>, _: u32) {}
    fn changed(&self, _: &Operation) {}
    fn sleeping(&self, _: Duration) {}
    fn waiting(&self, _: Timestamp, _: Duration) {}
    fn log(&self, _: Option<&str>, _: LogLevel, _: &str, _: &[(String, String)]) {}
}

impl Attack {
    /// Tried outside of steps.
    pub(crate) fn outside(case: &'static str) -> Self {
        let environment = Environment { stretch: Duration::from_secs(60), simulated: true, ..Environment::default() };
        let config = ExecutionConfig { memory_bytes: 96 << 20, ..ExecutionConfig::default() };
        Self { case, inside: false, targets: Vec::new(), config, environment }
    }

    /// Tried in a step's body.
    pub(crate) fn inside(case: &'static str) -> Self {
        Self { inside: true, ..Self::outside(case) }
    }

    /// Paths or addresses to try.
    pub(crate) fn on<T: ToString>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        self.targets = targets.into_iter().map(|target| target.to_string()).collect();
        self
    }

    /// What step bodies may connect to.
    pub(crate) fn allowing(mut self, addresses: &[SocketAddr]) -> Self {
        self.environment.network = Network { allow: Arc::new(addresses.to_vec()), ..Network::default() };
        self
    }

    /// A stretch of guest code may take this long.
    pub(crate) fn for_at_most(mut self, stretch: Duration) -> Self {
        self.environment.stretch = stretch;
        self
    }

    /// In a process of its own.
    pub(crate) fn run(self) -> Outcome {
        Process::new().run(self)
    }
}

impl Process {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let store = Arc::new(SqliteStore::open(place.database(), Options::default()).expect("a database"));
        let time = Arc::new(SimulatedTime::default());
        let embedded = Embedded::new(store.clone(), sandbox(), time, Arc::new(MachineEntropy));
        let component = embedded.add_component(component(GUEST)).expect("the guest compiles");
        Self { _place: place, store, embedded, component }
    }

    /// Attacks while others work, and sees to it that they are well.
    pub(crate) fn run(&self, attack: Attack) -> Outcome {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let others = scope.spawn(|| {
                let mut healthy = 0;
                while !over.load(Ordering::Relaxed) || healthy == 0 {
                    self.healthy();
                    healthy += 1;
                }
            });
            let outcome = self.execute(attack);
            over.store(true, Ordering::Relaxed);
            others.join().expect("the others are well");
            outcome
        })
    }

    fn healthy(&self) {
        let watching = Arc::new(Watching::default());
        let environment = Environment { simulated: true, ..Environment::default() };
        let (end, _) = self.drive(json!({ "case": "healthy" }), ExecutionConfig::default(), &environment, watching);
        assert_eq!(end, Ok(json!({ "sum": 150_000 })), "a workflow beside the attack");
    }

    fn execute(&self, attack: Attack) -> Outcome {
        let input = json!({ "case": attack.case, "inside": attack.inside, "targets": attack.targets });
        let watching = Arc::new(Watching::default());
        let (end, log_bytes) = self.drive(input, attack.config, &attack.environment, watching.clone());
        let faults = std::mem::take(&mut *watching.faults.lock().expect("nobody panicked"));
        let notices = std::mem::take(&mut *watching.notices.lock().expect("nobody panicked"));
        Outcome { end, faults, notices, log_bytes }
    }

    /// Runs an execution to its end.
    fn drive(
        &self,
        input: Value,
        config: ExecutionConfig,
        environment: &Environment,
        observer: Arc<Watching>,
    ) -> (Result<Value, ErrorObject>, usize) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let request = StartExecution {
            function: GUEST.into(),
            version: "$LATEST".into(),
            name: Some(format!("execution-{number}")),
            input: Some(input.to_string()),
            component: self.component,
            config,
            seed: Some(Seed(seed)),
        };
        let arn = self.embedded.start(request).expect("it starts").arn().clone();
        let observer: Arc<dyn Observer> = observer;
        let driven = self.embedded.drive(&arn, environment, &observer, None).expect("it can be driven");
        let description = self.embedded.service().describe(&arn).expect("it is there");
        let summary = self.store.find_arn(&arn).expect("readable").expect("it is there");
        let log = self.store.load(summary.key).expect("readable");
        let log_bytes = log.iter().map(|row| row.encode().len()).sum();
        let end = match driven {
            Driven::Closed(ExecutionStatus::Succeeded) => {
                Ok(serde_json::from_str(description.result.as_deref().unwrap_or("null")).expect("JSON"))
            }
            Driven::Closed(ExecutionStatus::Failed) => Err(description.error.expect("a failure has an error")),
            other => panic!("it ended {other:?}"),
        };
        (end, log_bytes)
    }
}

impl Outcome {
    /// The execution FAILED, with this type and text.
    #[track_caller]
    pub(crate) fn fails(&self, kind: &str, message: &str) -> &Self {
        let error = self.end.as_ref().expect_err("it fails");
        let found = (error.error_type.as_deref().unwrap_or_default(), error.message.as_deref().unwrap_or_default());
        assert_eq!(found, (kind, message), "{self:?}");
        self
    }

    /// The body that tried was struck down, in these words, and the workflow went on with that.
    #[track_caller]
    pub(crate) fn interrupts(&self, message: &str) -> &Self {
        assert_eq!(self.end, Ok(json!({ "error": "StepInterruptedError" })), "{self:?}");
        let expected = format!("Runtime.ExitError: the body of step attack died: {message}");
        assert_eq!(self.faults, [expected], "{self:?}");
        self
    }

    /// What it got.
    #[track_caller]
    pub(crate) fn value(&self) -> &Value {
        let value = self.end.as_ref().unwrap_or_else(|error| panic!("{error}: {self:?}"));
        value.get("value").unwrap_or(value)
    }
}
