//! The embedded service and its driver: everything in one process, on one SQLite file.

mod time;

pub use time::{RealTime, SimulatedTime, Time};

use crate::bundle::{self, ArchiveError};
use crate::failpoint::{Failpoint, hit};
use crate::worker::{Abandoned, Backend, Environment, Observer, Worker};
use everstep_core::protocol::{
    CheckpointRequest, CheckpointResponse, ComponentDigest, ErrorObject, ExecutionArn, ExecutionStatus,
    InvocationError, InvocationOutput, ServiceError, Timestamp,
};
use everstep_core::service::{Clock, DurableService, Entropy, Invoked, StartExecution, Started};
use everstep_core::store::{Store, StoreError};
use everstep_sandbox::{Bundle, CompiledWorkflow, Sandbox, SandboxError};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    /// Executions that are being driven.
    driving: Mutex<HashSet<ExecutionArn>>,
}

/// One driver an execution: a second one would supersede the first while the body of an at-most-once step still runs,
/// and take the attempt for interrupted.
struct Driving<'a> {
    all: &'a Mutex<HashSet<ExecutionArn>>,
    arn: &'a ExecutionArn,
}

impl<'a> Driving<'a> {
    fn enter(all: &'a Mutex<HashSet<ExecutionArn>>, arn: &'a ExecutionArn) -> Option<Self> {
        let entered = all.lock().unwrap_or_else(PoisonError::into_inner).insert(arn.clone());
        entered.then_some(Self { all, arn })
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(self.arn);
    }
}

/// Where [`Embedded::drive`] left an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driven {
    /// It is closed.
    Closed(ExecutionStatus),
    /// It is suspended for longer than the caller wants to wait; none: until something outside happens.
    Suspended {
        /// When it goes on.
        until: Option<Timestamp>,
    },
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
}

impl From<StoreError> for DriveError {
    fn from(error: StoreError) -> Self {
        Self::Service(ServiceError::Store(error))
    }
}

impl Embedded {
    /// A service on this store, with this time.
    pub fn new<T: Time + Clock + 'static>(
        store: Arc<dyn Store>,
        sandbox: Sandbox,
        time: Arc<T>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let service = Arc::new(DurableService::new(store, time.clone(), entropy));
        Self {
            service,
            sandbox,
            time,
            workflows: Mutex::default(),
            bundles: Mutex::default(),
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

    /// Invokes the execution as often as it has something to do, on this thread. Waits at most `patience` at a time
    /// for it to go on, with zero not even where time is simulated; none: as long as it takes.
    ///
    /// If the process dies during this call, nothing acknowledged is lost: drive it again.
    pub fn drive(
        &self,
        arn: &ExecutionArn,
        environment: &Environment,
        observer: &Arc<dyn Observer>,
        patience: Option<Duration>,
    ) -> Result<Driven, DriveError> {
        let _driving = Driving::enter(&self.driving, arn).ok_or_else(|| DriveError::Busy(arn.clone()))?;
        let mut worker = Worker::new(self.service.clone(), environment.clone(), observer.clone());
        loop {
            // It commits what has come due, and the loss of an earlier invocation.
            hit(Failpoint::BeforeCommit);
            let invoked = self.service.invoke(arn);
            hit(Failpoint::AfterCommit);
            match invoked? {
                Invoked::Closed(status) => return Ok(Driven::Closed(status)),
                Invoked::Waiting { until } => {
                    let left = until.map(|until| self.time.until(until));
                    match (until, left) {
                        (Some(until), Some(left)) if patience.is_none_or(|most| !most.is_zero() && left <= most) => {
                            observer.waiting(until, left);
                            self.time.sleep_until(until);
                        }
                        _ => return Ok(Driven::Suspended { until }),
                    }
                }
                Invoked::Run(invocation) => {
                    let workflow = self.workflow(invocation.started.component)?;
                    let files = invocation.started.config.files.as_ref();
                    if let Some(digest) = files.and_then(|files| files.bundle) {
                        worker = worker.with_bundle(digest, self.bundle(digest)?);
                    }
                    match worker.invoke(&workflow, *invocation) {
                        Ok(report) => {
                            if let Err(error) = &report.output {
                                observer.invocation_failed(&error.error);
                            }
                            self.complete(arn, &report.token, report.output, report.journal)?;
                        }
                        Err(Abandoned::Revoked) => {}
                        Err(Abandoned::Service(error)) => return Err(error.into()),
                        Err(Abandoned::BundleMissing(digest)) => return Err(DriveError::BundleLost(digest)),
                    }
                }
            }
        }
    }

    fn complete(
        &self,
        arn: &ExecutionArn,
        token: &str,
        output: Result<InvocationOutput, InvocationError>,
        journal: everstep_core::protocol::Journal,
    ) -> Result<(), DriveError> {
        hit(Failpoint::BeforeCommit);
        let completed = self.service.complete_invocation(arn, token, output, Some(journal));
        hit(Failpoint::AfterCommit);
        match completed {
            Ok(_) => Ok(()),
            // Stopped or superseded meanwhile: the log knows better.
            Err(error) if error.is_invalid_token() => Ok(()),
            // The service will not have this outcome (too large, say): that is the execution's error, not ours.
            Err(ServiceError::InvalidParameterValue(message)) => {
                let error = ErrorObject::new("InvalidParameterValueException", message);
                let failed = Ok(InvocationOutput::Failed(error));
                Ok(self.service.complete_invocation(arn, token, failed, Some(journal)).map(drop)?)
            }
            Err(error) => Err(error.into()),
        }
    }
}
