//! The embedded service and its driver: everything in one process, on one SQLite file.

mod drive;
mod functions;
mod time;

pub use drive::Driven;
pub use functions::{FunctionCall, Functions, NoFunctions};
pub use time::{RealTime, SimulatedTime, Time};

use crate::bundle::{self, ArchiveError};
use crate::failpoint::{Failpoint, hit};
use crate::worker::Backend;
use everstep_core::protocol::{
    CheckpointRequest, CheckpointResponse, ComponentDigest, ExecutionArn, OperationId, ServiceError,
};
use everstep_core::service::{Clock, DurableService, Entropy, StartExecution, Started};
use everstep_core::store::{Store, StoreError};
use everstep_sandbox::{Bundle, CompiledWorkflow, Sandbox, SandboxError};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

impl Backend for DurableService {
    fn checkpoint(&self, arn: &ExecutionArn, request: CheckpointRequest) -> Result<CheckpointResponse, ServiceError> {
        DurableService::checkpoint(self, arn, request)
    }
}

/// The machine's entropy.
pub struct MachineEntropy;

impl Entropy for MachineEntropy {
    fn bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // A machine without entropy cannot make names, tokens or seeds that are safe to use.
        getrandom::fill(&mut bytes).unwrap_or_else(|error| panic!("the machine gives no random bytes: {error}"));
        bytes
    }
}

/// Runs executions to their end or suspension.
pub struct Embedded {
    service: Arc<DurableService>,
    sandbox: Sandbox,
    time: Arc<dyn Time>,
    workflows: Mutex<HashMap<ComponentDigest, CompiledWorkflow>>,
    bundles: Mutex<HashMap<ComponentDigest, Bundle>>,
    functions: Arc<dyn Functions>,
    /// Threads that run what executions have invoked.
    threads: AtomicUsize,
    /// Executions that are being driven.
    driving: Mutex<HashSet<ExecutionArn>>,
}

/// Why an execution cannot be driven on now. It stays as the log has it.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The service refuses or fails.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Its component cannot be run.
    #[error("the workflow's component {digest}: {error}")]
    Component {
        /// Which.
        digest: ComponentDigest,
        /// Why.
        error: SandboxError,
    },
    /// Its component is not there, or not what it was.
    #[error("the workflow's component {0} is missing from the database or damaged; restore the database from a copy")]
    ComponentLost(ComponentDigest),
    /// Its bundle cannot be used.
    #[error("the bundle {digest}: {error}")]
    Bundle {
        /// Which.
        digest: ComponentDigest,
        /// Why.
        error: ArchiveError,
    },
    /// Its bundle is not there, or not what it was.
    #[error("the bundle {0} is missing from the database or damaged; restore the database from a copy")]
    BundleLost(ComponentDigest),
    /// Another thread drives it.
    #[error("the execution {0} is being run already; wait for it")]
    Busy(ExecutionArn),
    /// A function given by the embedding program panicked.
    #[error("what operation {0} invoked panicked; what it did is not recorded, and it will be called again")]
    Panicked(OperationId),
}

impl From<StoreError> for DriveError {
    fn from(error: StoreError) -> Self {
        Self::Service(ServiceError::Store(error))
    }
}

impl Embedded {
    /// A service on this store, with this time. Workflows find no functions to invoke.
    pub fn new<T: Time + Clock + 'static>(
        store: Arc<dyn Store>,
        sandbox: Sandbox,
        time: Arc<T>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self::with_functions(store, sandbox, time, entropy, Arc::new(NoFunctions))
    }

    /// The same, with functions for workflows to invoke.
    pub fn with_functions<T: Time + Clock + 'static, F: Functions + 'static>(
        store: Arc<dyn Store>,
        sandbox: Sandbox,
        time: Arc<T>,
        entropy: Arc<dyn Entropy>,
        functions: Arc<F>,
    ) -> Self {
        let service = DurableService::new(store, time.clone(), entropy).with_functions(functions.clone());
        Self {
            service: Arc::new(service),
            sandbox,
            time,
            functions,
            workflows: Mutex::default(),
            bundles: Mutex::default(),
            threads: AtomicUsize::new(0),
            driving: Mutex::default(),
        }
    }

    /// The durable service.
    pub fn service(&self) -> &Arc<DurableService> {
        &self.service
    }

    /// Checks a component and keeps it: what an execution needs before it can start. Durable on return.
    pub fn add_component(&self, wasm: &[u8]) -> Result<ComponentDigest, DriveError> {
        let digest = ComponentDigest::of(wasm);
        let workflow = self.sandbox.load(wasm).map_err(|error| DriveError::Component { digest, error })?;
        self.service.store().put_component(digest, wasm)?;
        self.workflows.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, workflow);
        Ok(digest)
    }

    /// Checks an archive made by [`bundle::pack`] and keeps it: what an execution needs before it can start with it.
    /// Durable on return.
    pub fn add_bundle(&self, archive: &[u8]) -> Result<ComponentDigest, DriveError> {
        let digest = ComponentDigest::of(archive);
        let bundle = bundle::open(archive).map_err(|error| DriveError::Bundle { digest, error })?;
        self.service.store().put_component(digest, archive)?;
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, bundle);
        Ok(digest)
    }

    /// Starts an execution, or finds the one of that name. Durable on return.
    pub fn start(&self, request: StartExecution) -> Result<Started, ServiceError> {
        hit(Failpoint::BeforeCommit);
        let started = self.service.start(request);
        hit(Failpoint::AfterCommit);
        started
    }

    fn workflow(&self, digest: ComponentDigest) -> Result<CompiledWorkflow, DriveError> {
        let mut workflows = self.workflows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workflow) = workflows.get(&digest) {
            return Ok(workflow.clone());
        }
        let wasm = self.service.store().component(digest)?.filter(|wasm| ComponentDigest::of(wasm) == digest);
        let wasm = wasm.ok_or(DriveError::ComponentLost(digest))?;
        let workflow = self.sandbox.load(&wasm).map_err(|error| DriveError::Component { digest, error })?;
        workflows.insert(digest, workflow.clone());
        Ok(workflow)
    }

    fn bundle(&self, digest: ComponentDigest) -> Result<Bundle, DriveError> {
        let mut bundles = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundle) = bundles.get(&digest) {
            return Ok(bundle.clone());
        }
        let archive = self.service.store().component(digest)?.filter(|archive| ComponentDigest::of(archive) == digest);
        let archive = archive.ok_or(DriveError::BundleLost(digest))?;
        let bundle = bundle::open(&archive).map_err(|error| DriveError::Bundle { digest, error })?;
        bundles.insert(digest, bundle.clone());
        Ok(bundle)
    }
}
