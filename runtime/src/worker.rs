//! The worker: one invocation of one execution. Envelope in, checkpoints out, status out.
//!
//! It runs the guest in the sandbox against a `WorkflowHost`, which replays what is recorded and checkpoints what is
//! new. A suspension is a trap and a dropped instance; resume is replay: nothing is kept between invocations but the
//! log. Before it reports, a *shadow replay* of the log in a fresh instance must do the same host calls, end the same
//! way and leave the same memory.

mod clock;
mod divergence;
mod fetch;
mod files;
mod guest_values;
mod host;
mod intercept;
mod journal;
mod random;
mod recorded;
mod replay;
mod verification;

pub(crate) use divergence::shows_as_itself;
pub use divergence::{Diverged, Divergence};
pub use intercept::{Intercept, Intercepted, Place};
pub use replay::ReplayError;
pub use verification::FinalMemory;

use everstep_core::protocol::{
    CheckpointRequest, CheckpointResponse, ComponentDigest, ErrorObject, ExecutionArn, ExecutionStatus, Invocation,
    InvocationError, InvocationOutput, Journal, Operation, OperationId, ServiceError, Timestamp, limits,
};
use everstep_sandbox::durable::LogLevel;
use everstep_sandbox::{
    Backtrace, Bundle, CompiledWorkflow, Directory, Ended, Guest, GuestLimits, LiveOutput, Network, Run, Stop, Stream,
    Trap, TrapKind,
};
use host::{Halt, WorkflowHost};
use std::sync::Arc;
use std::time::Duration;
use verification::{error_of, unverified};

/// The durable service as a worker needs it: the protocol's checkpoint call. The embedded service is one; a client of
/// AWS's HTTP API can be another.
pub trait Backend: Send + Sync {
    /// AWS's `CheckpointDurableExecution`. On `Ok` the updates are durable; on `Err` they may be.
    fn checkpoint(&self, arn: &ExecutionArn, request: CheckpointRequest) -> Result<CheckpointResponse, ServiceError>;
}

/// Whoever watches a run. Called on the thread that runs the guest; must not block for long.
pub trait Observer: Send + Sync {
    /// A step's attempt starts now.
    fn step_running(&self, id: &OperationId, name: Option<&str>, attempt: u32);
    /// The log has something new about an operation.
    fn changed(&self, operation: &Operation);
    /// The workflow pauses for less than a second.
    fn sleeping(&self, duration: Duration);
    /// The workflow, or a step's body, wrote something. What a replay repeats is not reported.
    fn output(&self, stream: Stream, bytes: &[u8]);
    /// The execution is suspended, and goes on then.
    fn waiting(&self, until: Timestamp, left: Duration);
    /// An invocation ended without an outcome of the workflow; the service invokes again, or gives up.
    fn invocation_failed(&self, error: &ErrorObject);
    /// A log line of the workflow (`operation`: none) or of a step. What a replay repeats is not reported.
    fn log(&self, operation: Option<&str>, level: LogLevel, message: &str, fields: &[(String, String)]);
    /// The execution is closed, and goes on with what it has invoked and left behind: this many.
    fn left_behind(&self, _: ExecutionStatus, _: usize) {}
    /// Who watches an execution that this one invoked. Unless said otherwise, nobody.
    fn invoked(&self, _: &ExecutionArn) -> Arc<dyn Observer> {
        Arc::new(Silent)
    }
}

/// Watches nothing.
pub struct Silent;

impl Observer for Silent {
    fn step_running(&self, _: &OperationId, _: Option<&str>, _: u32) {}
    fn changed(&self, _: &Operation) {}
    fn sleeping(&self, _: Duration) {}
    fn output(&self, _: Stream, _: &[u8]) {}
    fn waiting(&self, _: Timestamp, _: Duration) {}
    fn invocation_failed(&self, _: &ErrorObject) {}
    fn log(&self, _: Option<&str>, _: LogLevel, _: &str, _: &[(String, String)]) {}
}

/// Whether an invocation is replayed in a fresh instance before it reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// It is: any difference fails the execution.
    #[default]
    Always,
    /// It is not, unless its step bodies are not sealed (`next-unsealed`): those are always verified.
    Off,
}

/// What bounds and surrounds the runs of a worker.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Wall time of one stretch of guest code: a step's body, or workflow code between two events.
    pub stretch: Duration,
    /// Where step bodies may connect to.
    pub network: Network,
    /// Real directories for step bodies, at the guest's paths. Of those that an execution was not started with it sees
    /// nothing; without one that it was started with, its bodies are refused there.
    pub directories: Arc<Vec<Directory>>,
    /// Shadow replay.
    pub verify: Verify,
    /// Step bodies draw randomness that follows from the seed, and sub-second sleeps take no time: for tests.
    pub simulated: bool,
    /// What stands in the place of step bodies and HTTP servers, and where the process dies: for tests.
    pub intercept: Option<Arc<dyn Intercept>>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            stretch: Duration::from_secs(900),
            network: Network::default(),
            directories: Arc::default(),
            verify: Verify::default(),
            simulated: false,
            intercept: None,
        }
    }
}

impl Environment {
    fn pause(&self, duration: Duration) {
        if !self.simulated {
            std::thread::sleep(duration);
        }
    }
}

/// What became of an invocation.
#[derive(Debug)]
pub struct Report {
    /// What to tell the service; `Err`: the invocation ended without an outcome of the workflow.
    pub output: Result<InvocationOutput, InvocationError>,
    /// The newest checkpoint token.
    pub token: String,
    /// Where the guest stood.
    pub journal: Journal,
    /// The guest's memory, as the run left it.
    pub memory: FinalMemory,
    /// The workflow has begun a CHAINED_INVOKE.
    pub invokes: bool,
}

/// Why there is nothing to report.
#[derive(Debug)]
pub enum Abandoned {
    /// The invocation was superseded or the execution closed meanwhile.
    Revoked,
    /// The service could not be reached or could not write: what is durable, the log knows.
    Service(ServiceError),
    /// The worker does not have the execution's bundle: give it with [`Worker::with_bundle`].
    BundleMissing(ComponentDigest),
}

/// Runs invocations.
#[derive(Clone)]
pub struct Worker {
    backend: Arc<dyn Backend>,
    environment: Environment,
    observer: Arc<dyn Observer>,
    bundle: Option<(ComponentDigest, Bundle)>,
}

impl Worker {
    /// A worker that checkpoints to `backend`.
    pub fn new(backend: Arc<dyn Backend>, environment: Environment, observer: Arc<dyn Observer>) -> Self {
        Self { backend, environment, observer, bundle: None }
    }

    /// Runs one invocation on this thread, from replay to its end or suspension.
    ///
    /// If the process dies during this call, the log holds every checkpoint that was acknowledged, and invoking again
    /// goes on from there.
    pub fn invoke(&self, workflow: &CompiledWorkflow, invocation: Invocation) -> Result<Report, Abandoned> {
        self.invoke_and_replay(workflow, invocation, WorkflowHost::shadow_of)
    }

    /// For tests of what is reported: the shadow replay gets another input than the run, as if the workflow's code had
    /// changed or did not do the same twice.
    #[cfg(feature = "failpoints")]
    pub fn invoke_and_replay_with(
        &self,
        workflow: &CompiledWorkflow,
        invocation: Invocation,
        input: &str,
    ) -> Result<Report, Abandoned> {
        self.invoke_and_replay(workflow, invocation, |live| WorkflowHost::shadow_with_input(live, input))
    }

    fn invoke_and_replay(
        &self,
        workflow: &CompiledWorkflow,
        invocation: Invocation,
        replaying: impl FnOnce(&WorkflowHost) -> WorkflowHost,
    ) -> Result<Report, Abandoned> {
        let started = invocation.started.clone();
        self.check_bundle(&started.config).map_err(Abandoned::BundleMissing)?;
        let mut host =
            WorkflowHost::live(invocation, self.backend.clone(), self.environment.clone(), self.observer.clone());
        host.stdout_is_result = !workflow.shape().uses_durable;
        let Run { ended, backtrace, host, memory, memory_from } = loop {
            let observer = self.observer.clone();
            let guest = self.guest(&started, Arc::new(move |stream, bytes: &[u8]| observer.output(stream, bytes)));
            let mut run = guest.run(workflow, Box::new(host));
            if !matches!(run.ended, Ended::Stopped(Stop::Afresh)) {
                break run;
            }
            let mut before = own(run.host);
            if before.flush().is_err() {
                run.ended = Ended::Stopped(Stop::Host);
                run.host = before;
                break run;
            }
            host = WorkflowHost::afresh(*before);
        };
        // What the service or the machine decided, no replay of the guest can repeat.
        let decided = !matches!(ended, Ended::Stopped(Stop::Host));
        let refused = matches!(ended, Ended::Stopped(Stop::Refused(_) | Stop::Misused(_)));
        let memory = FinalMemory { memory, from: memory_from };
        let mut host = own(host);
        let mut output = conclude(ended, &backtrace, &mut host)?;
        // What is not sealed, only a replay can vouch for.
        let verify = if refused && (host.unsealed || host.in_body()) {
            // What was refused inside a body, or between `end` and the next event, a replay cannot repeat: there is no
            // such stretch in it.
            false
        } else {
            host.unsealed || self.environment.verify == Verify::Always
        };
        if decided
            && verify
            && let Ok(reported) = &output
        {
            match self.shadow(workflow, &host, replaying(&host), reported, &memory) {
                Ok(None) => {}
                Ok(Some(reason)) if host.unsealed => output = Err(unverified(&reason)),
                Ok(Some(reason)) => tracing::warn!(%reason, "the invocation could not be verified"),
                Err(diverged) => output = Ok(InvocationOutput::Failed(error_of(&diverged, &host))),
            }
        }
        Ok(Report { output, token: host.token().to_owned(), journal: host.journal(), memory, invokes: host.invokes })
    }

    fn guest(&self, started: &everstep_core::protocol::ExecutionStarted, live_output: LiveOutput) -> Guest {
        let config = &started.config;
        let mut arguments = vec![started.function.clone()];
        arguments.extend(config.arguments.iter().cloned());
        Guest {
            environment: config.environment.clone(),
            arguments,
            stdin: started.input.clone().unwrap_or_default().into_bytes(),
            limits: GuestLimits {
                memory_bytes: config.memory_bytes,
                stretch: self.environment.stretch,
                output_bytes: config.output_bytes,
                log_line_bytes: config.log_line_bytes,
            },
            network: self.environment.network.clone(),
            files: self.files(config),
            live_output,
        }
    }
}

fn own(host: Box<dyn everstep_sandbox::Host>) -> Box<WorkflowHost> {
    let host: Box<dyn std::any::Any> = host;
    host.downcast().expect("the sandbox gives back the host it was given")
}

fn summary(output: &InvocationOutput) -> String {
    match output {
        InvocationOutput::Succeeded(Some(result)) => format!("SUCCEEDED with {result}"),
        InvocationOutput::Succeeded(None) => "SUCCEEDED".into(),
        InvocationOutput::Failed(error) => format!("FAILED: {error}"),
        InvocationOutput::Pending => "PENDING".into(),
    }
}

/// From how the guest ended to what is reported; makes durable what is still in the batch.
fn conclude(
    ended: Ended,
    backtrace: &Backtrace,
    host: &mut WorkflowHost,
) -> Result<Result<InvocationOutput, InvocationError>, Abandoned> {
    let output = match ended {
        Ended::Stopped(Stop::Suspend) => return Ok(Ok(InvocationOutput::Pending)),
        Ended::Stopped(Stop::Host | Stop::Afresh) => return halted(host, backtrace),
        Ended::Stopped(Stop::Refused(text) | Stop::Misused(text)) => InvocationOutput::Failed(ErrorObject {
            stack_trace: backtrace.lines(),
            ..ErrorObject::new("WorkflowError", text)
        }),
        Ended::Returned => match host.outcome.take() {
            Some(Ok(result)) => InvocationOutput::Succeeded(result),
            Some(Err(error)) => InvocationOutput::Failed(error),
            None => stdout_result(&mut host.stdout),
        },
        Ended::Exited(status) => match host.outcome.take() {
            Some(Err(error)) => InvocationOutput::Failed(error),
            _ => InvocationOutput::Failed(ErrorObject::new(
                "WorkflowExited",
                format!("the workflow exited with status {status}{}", said(&host.stderr_tail)),
            )),
        },
        Ended::Trapped(trap) => match fault(&trap, backtrace, host) {
            Fault::Workflow(error) => InvocationOutput::Failed(error),
            Fault::Invocation(error) => {
                if trap.body.is_none() {
                    host.body_never_opened();
                }
                if let Err(stop) = host.flush_interrupted(trap.exited) {
                    tracing::debug!(%stop, "the interrupted attempt could not be recorded");
                    return halted(host, backtrace);
                }
                return Ok(Err(InvocationError { error }));
            }
        },
    };
    // A cancellation that came too late holds others back for a batch.
    loop {
        match host.flush() {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(output)),
            Err(_) => return halted(host, backtrace),
        }
    }
}

/// What the host stopped the run for, with where the guest was then, if that is a divergence.
fn divergence_of(host: &mut WorkflowHost, backtrace: &Backtrace) -> Option<Box<Diverged>> {
    match host.halt.take() {
        Some(Halt::Diverged(mut diverged)) => {
            diverged.backtrace = backtrace.clone();
            Some(diverged)
        }
        other => {
            host.halt = other;
            None
        }
    }
}

fn halted(
    host: &mut WorkflowHost,
    backtrace: &Backtrace,
) -> Result<Result<InvocationOutput, InvocationError>, Abandoned> {
    if let Some(diverged) = divergence_of(host, backtrace) {
        return Ok(Ok(InvocationOutput::Failed(error_of(&diverged, host))));
    }
    match host.halt.take() {
        Some(Halt::Service(ServiceError::InvalidParameterValue(message))) => {
            Ok(Ok(InvocationOutput::Failed(ErrorObject::new("InvalidParameterValueException", message))))
        }
        Some(Halt::Service(error)) => Err(Abandoned::Service(error)),
        Some(Halt::Machine(message)) => {
            Ok(Err(InvocationError { error: ErrorObject::new("Sandbox.Failure", message) }))
        }
        Some(Halt::Revoked | Halt::Diverged(_)) | None => Err(Abandoned::Revoked),
    }
}

/// A program without the SDK: what it wrote to stdout is its result.
fn stdout_result(stdout: &mut Vec<u8>) -> InvocationOutput {
    if stdout.len() > limits::EXECUTION_PAYLOAD_BYTES {
        return InvocationOutput::Failed(ErrorObject::new(
            "ResultTooLarge",
            format!(
                "the result on stdout has {} bytes; at most {} are allowed: store it in a step and return a reference",
                stdout.len(),
                limits::EXECUTION_PAYLOAD_BYTES
            ),
        ));
    }
    match String::from_utf8(std::mem::take(stdout)) {
        Ok(text) if text.is_empty() => InvocationOutput::Succeeded(None),
        Ok(text) => InvocationOutput::Succeeded(Some(text)),
        Err(_) => InvocationOutput::Failed(ErrorObject::new(
            "ResultNotText",
            "the result on stdout is not UTF-8; encode binary results, as base64 say",
        )),
    }
}

enum Fault {
    /// It would happen on every replay: the execution's outcome.
    Workflow(ErrorObject),
    /// A fault of this invocation; another may do better.
    Invocation(ErrorObject),
}

fn fault(trap: &Trap, backtrace: &Backtrace, host: &WorkflowHost) -> Fault {
    if let Some(body) = trap.body {
        let step =
            host.operation(body).map_or_else(String::new, |(id, name)| format!(" {}", name.unwrap_or(id.as_str())));
        let message = format!("the body of step{step} died: {}", trap.message);
        return Fault::Invocation(ErrorObject {
            stack_trace: backtrace.lines(),
            ..ErrorObject::new("Runtime.ExitError", message)
        });
    }
    let error =
        |kind: &str, message: String| ErrorObject { stack_trace: backtrace.lines(), ..ErrorObject::new(kind, message) };
    match trap.kind {
        TrapKind::Deterministic => Fault::Workflow(error(
            "WorkflowPanicked",
            format!("the workflow died: {}{}", trap.message, said(&host.stderr_tail)),
        )),
        TrapKind::StackOverflow => Fault::Invocation(error("Runtime.StackOverflow", trap.message.clone())),
        TrapKind::Timeout => Fault::Invocation(error("Sandbox.Timedout", trap.message.clone())),
        TrapKind::Host => Fault::Invocation(error("Sandbox.Failure", trap.message.clone())),
    }
}

/// What the guest last wrote to stderr: for a panic, its message and place.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("; it said:\n{text}") }
}
