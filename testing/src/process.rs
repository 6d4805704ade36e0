//! The process that a test runs in the place of a real one: its store and its worker die where the test says.

use crate::crash::{At, Crash};
use crate::plan::{Function, Plan, is_called};
use everstep::embedded::{FunctionCall, Functions};
use everstep::worker::{Intercept, Intercepted, Place};
use everstep_core::protocol::{ComponentDigest, ErrorObject, ExecutionArn, FunctionName, Timestamp, Transition};
use everstep_core::service::{self, Deployed, Entropy, Target};
use everstep_core::store::memory::MemoryStore;
use everstep_core::store::{Append, ExecutionKey, ExecutionSummary, Filter, Projection, Store, StoreError};
use everstep_http::{HttpError, Request, Response};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What outlives a process: the log, and where the next one dies.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    fate: Mutex<Fate>,
}

#[derive(Debug, Default)]
struct Fate {
    counted: Counted,
    crashes: Vec<Crash>,
    fired: usize,
}

/// How often each kind of place was passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) commits: u64,
    pub(crate) bodies: u64,
    pub(crate) deliveries: u64,
    /// Instances that workflows ran in, without those that verify.
    pub(crate) instances: u64,
}

impl World {
    pub(crate) fn new(crashes: Vec<Crash>) -> Self {
        let fate = Fate { crashes, ..Fate::default() };
        Self { store: MemoryStore::new(), fate: Mutex::new(fate) }
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counted(&self) -> Counted {
        self.fate().counted
    }

    /// Crashes that happened.
    pub(crate) fn crashes(&self) -> usize {
        self.fate().fired
    }

    /// Crashes that did not happen yet.
    pub(crate) fn to_come(&self) -> Vec<Crash> {
        self.fate().crashes.clone()
    }
}

impl Fate {
    /// Whether a crash is due here; it is not due again.
    fn strikes(&mut self, here: impl Fn(&At) -> bool) -> bool {
        let Some(place) = self.crashes.iter().position(|crash| here(&crash.0)) else { return false };
        self.crashes.remove(place);
        self.fired += 1;
        true
    }
}

/// One process: alive until it dies, and then nothing it does has an effect.
pub(crate) struct Process {
    world: Arc<World>,
    plan: Arc<Plan>,
    dead: AtomicBool,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("dead", &self.is_dead()).finish_non_exhaustive()
    }
}

impl Process {
    pub(crate) fn new(world: Arc<World>, plan: Arc<Plan>) -> Self {
        Self { world, plan, dead: AtomicBool::new(false) }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn alive(&self) -> Result<&MemoryStore, StoreError> {
        match self.is_dead() {
            true => Err(StoreError::Unavailable("the process has died".into())),
            false => Ok(&self.world.store),
        }
    }

    /// A commit, with what is left of it where the process dies.
    fn commit<T>(&self, write: impl FnOnce(&MemoryStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let store = self.alive()?;
        let (before, after) = {
            let mut fate = self.world.fate();
            fate.counted.commits += 1;
            let n = fate.counted.commits;
            (fate.strikes(|at| *at == At::BeforeCommit(n)), fate.strikes(|at| *at == At::AfterCommit(n)))
        };
        if before {
            self.die();
            self.alive()?;
        }
        let written = write(store)?;
        if after {
            self.die();
            self.alive()?;
        }
        Ok(written)
    }
}

impl Store for Process {
    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError> {
        self.alive()?.put_component(digest, wasm)
    }
    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.alive()?.component(digest)
    }
    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError> {
        // The execution that is tested is there, or there is no test.
        if self.alive()?.list(&Filter { limit: 1, ..Filter::default() })?.is_empty() {
            return self.alive()?.create(first, projection);
        }
        self.commit(|store| store.create(first, projection))
    }
    fn append(&self, append: Append) -> Result<(), StoreError> {
        self.commit(|store| store.append(append))
    }
    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError> {
        self.alive()?.load(execution)
    }
    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError> {
        self.alive()?.find(function, name)
    }
    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError> {
        self.alive()?.find_arn(arn)
    }
    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError> {
        self.alive()?.find_key(key)
    }
    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.alive()?.list(filter)
    }
    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.alive()?.due(now)
    }
    fn epoch(&self) -> u64 {
        self.world.store.epoch()
    }
}

impl Intercept for Process {
    fn body(&self, step: Intercepted<'_>) -> Option<Result<Option<String>, ErrorObject>> {
        let outcome = self.plan.body(step.operation, step.name, step.attempt)?;
        Some(outcome.map(|result| Some(result.to_string())))
    }

    fn request(&self, step: Intercepted<'_>, request: &Request) -> Option<Result<Response, HttpError>> {
        self.plan.answer(request, step.attempt)
    }

    fn dies(&self, place: Place, operation: Intercepted<'_>) -> bool {
        let called = |name: &str| is_called(name, operation.operation, operation.name);
        let mut fate = self.world.fate();
        let strikes = match place {
            Place::Body => {
                fate.counted.bodies += 1;
                let n = fate.counted.bodies;
                fate.strikes(|at| match at {
                    At::NthBody(nth) => *nth == n,
                    At::Body { name, attempt } => *attempt == operation.attempt && called(name),
                    _ => false,
                })
            }
            Place::Delivery => {
                fate.counted.deliveries += 1;
                let n = fate.counted.deliveries;
                fate.strikes(|at| match at {
                    At::NthDelivery(nth) => *nth == n,
                    At::Delivery { name } => called(name),
                    _ => false,
                })
            }
        };
        if strikes {
            self.die();
        }
        strikes
    }

    fn replays_everything(&self) -> bool {
        // Asked once an instance.
        self.world.fate().counted.instances += 1;
        self.plan.replay_everything
    }
}

/// The functions that a test has registered.
#[derive(Debug)]
pub(crate) struct Registered(pub(crate) Arc<Plan>);

impl Registered {
    fn find(&self, name: &str) -> Option<&Function> {
        self.0.functions.iter().find(|(registered, _)| registered == name).map(|(_, function)| function)
    }
}

impl service::Functions for Registered {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        let function = name.function().to_owned();
        // An alias stands for the newest.
        let number = |qualifier: &&str| qualifier.bytes().all(|byte| byte.is_ascii_digit());
        let version = name.qualifier().filter(number).unwrap_or("$LATEST").to_owned();
        match self.find(&function).ok_or_else(|| service::function_not_found(name))? {
            Function::Plain(_) => Ok(Target::Plain { function, version }),
            Function::Durable(workflow) => Ok(Target::Durable(Deployed {
                function,
                version,
                component: ComponentDigest::of(&workflow.wasm),
                config: self.0.config.clone(),
            })),
        }
    }
}

impl Functions for Registered {
    fn call(&self, call: &FunctionCall) -> Result<Option<String>, ErrorObject> {
        let Some(Function::Plain(function)) = self.find(&call.function) else {
            return Err(ErrorObject::new("ResourceNotFoundException", format!("no function {}", call.function)));
        };
        let payload = serde_json::from_str(&call.payload)
            .map_err(|error| ErrorObject::new("InvalidRequestContentException", error.to_string()))?;
        function(payload, call.tenant_id.as_deref()).map(|result| Some(result.to_string()))
    }
}

/// Derived from the test's seed: each 32 bytes once.
#[derive(Debug)]
pub(crate) struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn bytes(&self) -> [u8; 32] {
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(n.to_le_bytes()).finalize().into()
    }
}
