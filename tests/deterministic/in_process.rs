//! The real host in this process: one sandbox and one compilation of each guest for all tests, simulated time and
//! chance, and stores that die where a test wants it.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use crate::support;
use everstep::embedded::{DriveError, Driven, Embedded, SimulatedTime, Time};
use everstep::worker::{Environment, Observer, Silent};
use everstep_core::protocol::{
    ComponentDigest, ExecutionArn, ExecutionConfig, FilesConfig, Seed, Timestamp, Transition,
};
use everstep_core::service::{Clock, Description, Entropy, HistoryEvent, StartExecution};
use everstep_core::store::{Append, ExecutionKey, ExecutionSummary, Filter, Projection, Store, StoreError};
use everstep_sandbox::Sandbox;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

pub fn sandbox() -> Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(Some(support::native_code_cache())).expect("a sandbox")).clone()
}

/// A guest's component, read once.
pub fn component(guest: &str) -> &'static [u8] {
    static READ: Mutex<BTreeMap<String, &'static [u8]>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let bytes = || &*std::fs::read(support::guest(guest)).expect("the component is readable").leak();
    read.entry(guest.to_owned()).or_insert_with(bytes)
}

pub fn environment() -> Environment {
    Environment { stretch: Duration::from_secs(60), simulated: true, ..Environment::default() }
}

pub fn silent() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

/// As [`SimulatedTime`], with another time between two transitions: timers come due while steps run if it is in the
/// order of their seconds.
pub struct SlowTime {
    tick: i64,
    skipped_to: AtomicI64,
}

impl SlowTime {
    /// It is `at` when the first execution starts, at the earliest; `tick` milliseconds lie between two transitions.
    pub fn from(at: Timestamp, tick: i64) -> Self {
        Self { tick, skipped_to: AtomicI64::new(at.0) }
    }

    /// So many milliseconds between two transitions.
    pub fn ticking(tick: u64) -> Self {
        Self::from(Timestamp(0), i64::try_from(tick).expect("a small tick"))
    }
}

impl Clock for SlowTime {
    fn now(&self, after: Timestamp) -> Timestamp {
        let start = Timestamp(1_767_225_600_000);
        Timestamp(after.0 + self.tick).max(Timestamp(self.skipped_to.load(Ordering::Relaxed))).max(start)
    }
}

impl Time for SlowTime {
    fn until(&self, _: Timestamp) -> Duration {
        Duration::ZERO
    }
    fn sleep_until(&self, then: Timestamp) {
        self.skipped_to.fetch_max(then.0, Ordering::Relaxed);
    }
}

/// Always the same bytes, so that an execution that is started again has the same ARN. Good for one execution a store.
pub struct NoEntropy;

impl Entropy for NoEntropy {
    fn bytes(&self) -> [u8; 32] {
        [7; 32]
    }
}

/// A process on this store.
pub fn embedded(store: Arc<dyn Store>, tick: u64) -> Embedded {
    let entropy = Arc::new(NoEntropy);
    if tick == 7 {
        return Embedded::new(store, sandbox(), Arc::new(SimulatedTime::default()), entropy);
    }
    Embedded::new(store, sandbox(), Arc::new(SlowTime::ticking(tick)), entropy)
}

/// What the tests start: always the same name.
pub fn request(guest: &str, input: &str, seed: u64) -> StartExecution {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    StartExecution {
        function: guest.into(),
        version: "$LATEST".into(),
        name: Some("tested".into()),
        input: Some(input.into()),
        component: ComponentDigest::of(component(guest)),
        config: ExecutionConfig { files: Some(FilesConfig::default()), ..ExecutionConfig::default() },
        seed: Some(Seed(bytes)),
    }
}

/// Keeps the component and starts the execution.
pub fn start(process: &Embedded, guest: &str, input: &str, seed: u64) -> Result<ExecutionArn, DriveError> {
    process.add_component(component(guest))?;
    Ok(process.start(request(guest, input, seed))?.arn().clone())
}

pub fn drive(process: &Embedded, arn: &ExecutionArn) -> Result<Driven, DriveError> {
    process.drive(arn, &environment(), &silent(), None)
}

/// An execution that is over, as whoever started it sees it.
#[derive(Debug)]
pub struct Ended {
    pub description: Description,
    pub history: Vec<HistoryEvent>,
}

/// Runs the execution to its end.
pub fn finish(process: &Embedded, arn: &ExecutionArn) -> Result<Ended, String> {
    match drive(process, arn) {
        Ok(Driven::Closed(_)) => {}
        other => return Err(format!("the execution did not end: {other:?}")),
    }
    let text = |error: everstep_core::protocol::ServiceError| error.to_string();
    Ok(Ended {
        description: process.service().describe(arn).map_err(text)?,
        history: process.service().history(arn).map_err(text)?,
    })
}

impl Ended {
    /// The result of an execution that succeeded.
    pub fn result(&self) -> Result<&str, String> {
        match (&self.description.result, &self.description.error) {
            (Some(result), None) => Ok(result),
            (_, error) => Err(format!("{:?}: {error:?}", self.description.status)),
        }
    }

    /// The history without the ends of invocations, hence without event ids: what a crash must not change.
    pub fn essence(&self) -> Vec<(Timestamp, everstep_core::protocol::Event)> {
        let lasting = self.history.iter().filter(|event| event.event_type() != "InvocationCompleted");
        lasting.map(|event| (event.at, event.event.clone())).collect()
    }
}

/// How a [`Dying`] store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Nothing of the append is in the log.
    BeforeCommit,
    /// The append is in the log, and nobody heard.
    AfterCommit,
}

/// A store whose process dies at its n-th append, from 1: from then on every call fails.
pub struct Dying<S> {
    pub inner: Arc<S>,
    at: u64,
    how: Death,
    /// Appends to this execution's log count; none: to any.
    counted: Option<ExecutionKey>,
    appends: AtomicU64,
    dead: AtomicBool,
    acknowledged: Mutex<Vec<Transition>>,
}

impl<S: Store> Dying<S> {
    pub fn at(inner: Arc<S>, at: u64, how: Death) -> Self {
        let (appends, dead) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { inner, at, how, counted: None, appends, dead, acknowledged: Mutex::default() }
    }

    /// Only appends to this execution's log count.
    pub fn counting(self, execution: ExecutionKey) -> Self {
        Self { counted: Some(execution), ..self }
    }

    /// Does not die: it only takes note.
    pub fn never(inner: Arc<S>) -> Self {
        Self::at(inner, u64::MAX, Death::BeforeCommit)
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// The transitions that were acknowledged, in order.
    pub fn acknowledged(&self) -> Vec<Transition> {
        self.acknowledged.lock().expect("nobody panics here").clone()
    }

    fn alive(&self) -> Result<&S, StoreError> {
        match self.is_dead() {
            true => Err(StoreError::Unavailable("the process died; start it again".into())),
            false => Ok(&self.inner),
        }
    }

    fn acknowledge(&self, transition: &Transition) {
        self.acknowledged.lock().expect("nobody panics here").push(transition.clone());
    }
}

impl<S: Store> Store for Dying<S> {
    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError> {
        self.alive()?.put_component(digest, wasm)
    }
    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.alive()?.component(digest)
    }
    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError> {
        let key = self.alive()?.create(first, projection)?;
        self.acknowledge(first);
        Ok(key)
    }
    fn append(&self, append: Append) -> Result<(), StoreError> {
        self.alive()?;
        let counts = self.counted.is_none_or(|counted| counted == append.execution);
        if counts && self.appends.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            self.dead.store(true, Ordering::Relaxed);
            if self.how == Death::AfterCommit {
                self.inner.append(append)?;
            }
            self.alive()?;
            return Ok(());
        }
        let transition = append.transition.clone();
        self.inner.append(append)?;
        self.acknowledge(&transition);
        Ok(())
    }
    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError> {
        self.alive()?.load(execution)
    }
    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError> {
        self.alive()?.find(function, name)
    }
    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError> {
        self.alive()?.find_key(key)
    }
    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError> {
        self.alive()?.find_arn(arn)
    }
    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.alive()?.list(filter)
    }
    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.alive()?.due(now)
    }
    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }
}
