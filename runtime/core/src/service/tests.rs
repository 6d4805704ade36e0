//! The service on a store in memory, with a clock that stands until it is moved.

mod callbacks;
mod chained_invokes;
mod concurrency;
mod fold;
mod histories;
mod invocations;
mod refusals;
mod simulation;
mod tokens;
mod transitions;
mod warnings;

use super::*;
use crate::protocol::*;
use crate::store::memory::MemoryStore;
use crate::store::{Append, ExecutionKey, Projection, StoreError};
use simulation::Random;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

const EPOCH: i64 = 1_790_000_000_000;

pub(super) struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self, after: Timestamp) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed)).max(after)
    }
}

struct Counter(AtomicU64);

impl Entropy for Counter {
    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes
    }
}

/// When an append fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    /// Nothing was written.
    Before,
    /// It is durable, but nobody knows.
    After,
}

/// A store whose next append fails on demand.
#[derive(Default)]
pub(super) struct FaultyStore {
    memory: MemoryStore,
    next: Mutex<Option<Failure>>,
    /// Appends that work before the one that fails.
    good: AtomicU64,
    /// Nothing can be created.
    no_create: Mutex<bool>,
    projections: AtomicU64,
}

impl Store for FaultyStore {
    fn append(&self, append: Append) -> Result<(), StoreError> {
        let good = self.good.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |good| good.checked_sub(1)).is_ok();
        let failure = self.next.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| !good);
        if failure != Some(Failure::Before) {
            self.projections.fetch_add(u64::from(append.projection.is_some()), Ordering::Relaxed);
            self.memory.append(append)?;
        }
        match failure {
            None => Ok(()),
            Some(_) => Err(StoreError::Unavailable("the disk is full".into())),
        }
    }

    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError> {
        self.memory.put_component(digest, wasm)
    }
    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.component(digest)
    }
    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError> {
        if *self.no_create.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(StoreError::Unavailable("the disk is full".into()));
        }
        self.memory.create(first, projection)
    }
    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError> {
        self.memory.load(execution)
    }
    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError> {
        self.memory.find(function, name)
    }
    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError> {
        self.memory.find_arn(arn)
    }
    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError> {
        self.memory.find_key(key)
    }
    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.memory.list(filter)
    }
    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.memory.due(now)
    }
    fn epoch(&self) -> u64 {
        self.memory.epoch()
    }
}

/// The functions that there are, by name and qualifier.
#[derive(Default)]
pub(super) struct Registry(Mutex<BTreeMap<(String, String), Target>>);

impl Functions for Registry {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        let key = (name.function().to_owned(), name.qualifier().unwrap_or("$LATEST").to_owned());
        self.0.lock().unwrap().get(&key).cloned().ok_or_else(|| function_not_found(name))
    }
}

pub(super) struct World {
    registry: Arc<Registry>,
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    entropy: Arc<Counter>,
    pub(super) service: DurableService,
}

impl World {
    pub(super) fn new() -> Self {
        let store = Arc::new(FaultyStore::default());
        let clock = Arc::new(ManualClock(AtomicI64::new(EPOCH)));
        let entropy = Arc::new(Counter(AtomicU64::new(1)));
        let registry = Arc::new(Registry::default());
        let service = DurableService::new(store.clone(), clock.clone(), entropy.clone());
        let service = service.with_functions(registry.clone());
        Self { registry, store, clock, entropy, service }
    }

    /// The process dies, and another one opens the store.
    pub(super) fn crash(&mut self) {
        self.store.memory.reopen();
        let service = DurableService::new(self.store.clone(), self.clock.clone(), self.entropy.clone());
        self.service = service.with_functions(self.registry.clone());
    }

    pub(super) fn pass_seconds(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(super) fn fail_next(&self, failure: Failure) {
        *self.store.next.lock().unwrap() = Some(failure);
    }

    /// There is a function of that name and qualifier.
    pub(super) fn deploy(&self, qualifier: &str, target: Target) {
        let name = match &target {
            Target::Durable(deployed) => deployed.function.clone(),
            Target::Plain { function, .. } => function.clone(),
        };
        self.registry.0.lock().unwrap().insert((name, qualifier.into()), target);
    }

    /// So many appends work, and the next one fails.
    pub(super) fn fail_after(&self, good: u64) {
        self.store.good.store(good, Ordering::Relaxed);
        self.fail_next(Failure::Before);
    }

    pub(super) fn start(&self, name: &str) -> ExecutionArn {
        self.service.start(request(name)).unwrap().arn().clone()
    }

    pub(super) fn run(&self, arn: &ExecutionArn) -> Worker<'_> {
        match self.service.invoke(arn).unwrap() {
            Invoked::Run(invocation) => Worker {
                service: &self.service,
                arn: arn.clone(),
                token: invocation.checkpoint_token.clone(),
                invocation,
            },
            other => panic!("{arn} does not run: {other:?}"),
        }
    }

    /// A new execution's first invocation.
    pub(super) fn begin(&self) -> Worker<'_> {
        let arn = self.start("e");
        self.run(&arn)
    }

    pub(super) fn waiting(&self, arn: &ExecutionArn) -> i64 {
        match self.service.invoke(arn).unwrap() {
            Invoked::Waiting(Waiting { until: Some(until), .. }) => until.0 - EPOCH,
            other => panic!("{arn} does not wait: {other:?}"),
        }
    }

    pub(super) fn rows(&self, arn: &ExecutionArn) -> Vec<Transition> {
        self.store.load(self.service.summary(arn).unwrap().key).unwrap()
    }

    pub(super) fn history(&self, arn: &ExecutionArn) -> Vec<&'static str> {
        let history = self.service.history(arn).unwrap();
        assert!(history.iter().map(|event| event.event_id).eq(1..=history.len() as u64), "ids have no gaps");
        history.iter().map(HistoryEvent::event_type).collect()
    }
}

pub(super) fn request(name: &str) -> StartExecution {
    StartExecution {
        function: "order".into(),
        version: "1".into(),
        name: Some(name.into()),
        input: Some("{\"n\":1}".into()),
        component: ComponentDigest::of(b"wasm"),
        config: ExecutionConfig::default(),
        seed: None,
    }
}

pub(super) struct Worker<'a> {
    service: &'a DurableService,
    pub(super) arn: ExecutionArn,
    pub(super) token: String,
    pub(super) invocation: Box<Invocation>,
}

impl Worker<'_> {
    pub(super) fn checkpoint(&mut self, updates: Vec<OperationUpdate>) -> Result<Vec<Arc<Operation>>, ServiceError> {
        let request = CheckpointRequest { checkpoint_token: self.token.clone(), updates, ..Default::default() };
        let response = self.service.checkpoint(&self.arn, request)?;
        if let Some(token) = response.checkpoint_token {
            self.token = token;
        }
        Ok(response.changed)
    }

    /// The text with which the updates are refused.
    pub(super) fn refused(&mut self, updates: Vec<OperationUpdate>) -> String {
        match self.checkpoint(updates) {
            Err(ServiceError::InvalidParameterValue(message)) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(super) fn end(self, output: InvocationOutput) -> ExecutionStatus {
        self.service.complete_invocation(&self.arn, &self.token, Ok(output), None).unwrap()
    }

    pub(super) fn die(self, kind: &str) -> ExecutionStatus {
        let error = InvocationError { error: ErrorObject::new(kind, "it broke") };
        self.service.complete_invocation(&self.arn, &self.token, Err(error), None).unwrap()
    }
}

pub(super) fn id(text: &str) -> OperationId {
    OperationId::try_from(text).unwrap()
}

pub(super) fn update(text: &str, operation_type: OperationType, action: OperationAction) -> OperationUpdate {
    OperationUpdate::new(id(text), operation_type, action)
}

pub(super) fn start(text: &str) -> OperationUpdate {
    update(text, OperationType::Step, OperationAction::Start)
}

pub(super) fn succeed(text: &str, result: &str) -> OperationUpdate {
    OperationUpdate { payload: Some(result.into()), ..update(text, OperationType::Step, OperationAction::Succeed) }
}

pub(super) fn fail(text: &str) -> OperationUpdate {
    let error = Some(ErrorObject::new("E", "no"));
    OperationUpdate { error, ..update(text, OperationType::Step, OperationAction::Fail) }
}

pub(super) fn retry(text: &str, seconds: u32) -> OperationUpdate {
    let error = Some(ErrorObject::new("E", "not yet"));
    OperationUpdate { error, seconds: Some(seconds), ..update(text, OperationType::Step, OperationAction::Retry) }
}

pub(super) fn wait(text: &str, seconds: u32) -> OperationUpdate {
    OperationUpdate { seconds: Some(seconds), ..update(text, OperationType::Wait, OperationAction::Start) }
}

pub(super) fn context(text: &str, action: OperationAction) -> OperationUpdate {
    update(text, OperationType::Context, action)
}

pub(super) fn within(parent: &str, update: OperationUpdate) -> OperationUpdate {
    OperationUpdate { parent_id: Some(id(parent)), ..update }
}
