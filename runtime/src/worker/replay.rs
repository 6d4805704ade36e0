//! Offline replay: a stored log is run again in a fresh instance, with every effect cut off and everything compared.

use super::host::WorkflowHost;
use super::{
    Backend, Diverged, Divergence, Environment, FinalMemory, Observer, Worker, conclude, divergence_of, own, summary,
};
use everstep_core::protocol::{
    CheckpointRequest, CheckpointResponse, ComponentDigest, Event, ExecutionArn, ExecutionStatus, Invocation,
    InvocationOutput, ServiceError, Transition,
};
use everstep_core::service::{Execution, IllegalTransition};
use everstep_core::store::ExecutionKey;
use everstep_sandbox::CompiledWorkflow;
use std::sync::Arc;

/// Why a log was not replayed to the end that it records.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log itself makes no sense.
    #[error("the recorded log is damaged: {0}; restore it from a copy")]
    Log(#[from] IllegalTransition),
    /// The worker does not have the execution's bundle.
    #[error("the execution's bundle {0} is missing; give it to the worker with `with_bundle`")]
    BundleMissing(ComponentDigest),
    /// The guest did otherwise.
    #[error("{0}")]
    Diverged(Box<Diverged>),
}

impl From<Divergence> for ReplayError {
    fn from(divergence: Divergence) -> Self {
        Self::Diverged(Box::new(divergence.into()))
    }
}

/// Nothing is recorded: a replay has no service.
struct Offline;

impl Backend for Offline {
    fn checkpoint(&self, _: &ExecutionArn, _: CheckpointRequest) -> Result<CheckpointResponse, ServiceError> {
        Err(ServiceError::InvalidParameterValue("an offline replay records nothing".into()))
    }
}

impl Worker {
    /// A worker that can replay and nothing else.
    pub fn offline(environment: Environment, observer: Arc<dyn Observer>) -> Self {
        Self::new(Arc::new(Offline), environment, observer)
    }

    /// Runs the workflow again over the whole log of an execution, on this thread. No step's body runs, nothing is
    /// recorded and nothing leaves the sandbox: only the observer is told what workflow code prints and logs, all of
    /// it, as the execution told it.
    ///
    /// Compared are every operation, every journaled position and, if the execution SUCCEEDED, its result. Answers how
    /// the replay ended; for an execution that something else than its workflow ended (a timeout, a stop, faults of
    /// its host) that is where it stood then, so comparing it with the recorded error is the caller's business.
    pub fn replay(&self, workflow: &CompiledWorkflow, log: &[Transition]) -> Result<InvocationOutput, ReplayError> {
        self.replay_to_memory(workflow, log).map(|(output, _)| output)
    }

    /// As [`Worker::replay`], with the memory that the replay left: the same wherever the log is replayed.
    pub fn replay_to_memory(
        &self,
        workflow: &CompiledWorkflow,
        log: &[Transition],
    ) -> Result<(InvocationOutput, FinalMemory), ReplayError> {
        let execution = Execution::fold(ExecutionKey(0), log)?;
        let recorded = execution_end(log);
        let ended_otherwise = |requested: String| Divergence::End {
            recorded: recorded.as_ref().map_or_else(|| execution.status().as_str().to_owned(), summary),
            requested,
        };
        let mut host =
            WorkflowHost::replaying(invocation(&execution, log), self.environment.clone(), self.observer.clone());
        self.check_bundle(&host.started().config).map_err(ReplayError::BundleMissing)?;
        host.stdout_is_result = !workflow.shape().uses_durable;
        let observer = self.observer.clone();
        let guest = self.guest(host.started(), Arc::new(move |stream, bytes: &[u8]| observer.output(stream, bytes)));
        let run = guest.run(workflow, Box::new(host));
        let memory = FinalMemory { memory: run.memory, from: run.memory_from };
        let mut host = own(run.host);
        if let Some(diverged) = divergence_of(&mut host, &run.backtrace) {
            return Err(ReplayError::Diverged(diverged));
        }
        let output = match conclude(run.ended, &run.backtrace, &mut host) {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(ended_otherwise(error.error.to_string()).into()),
            Err(_) => return Err(ended_otherwise("it was abandoned".into()).into()),
        };
        if recorded.as_ref().is_some_and(|recorded| *recorded != output) {
            return Err(ended_otherwise(summary(&output)).into());
        }
        if execution.status() == ExecutionStatus::Succeeded {
            // What is found is left in `halt`.
            drop(host.check_end());
        }
        match divergence_of(&mut host, &run.backtrace) {
            Some(diverged) => Err(ReplayError::Diverged(diverged)),
            None => Ok((output, memory)),
        }
    }
}

/// The envelope that brings a worker to the end of the log.
fn invocation(execution: &Execution, log: &[Transition]) -> Invocation {
    let [Event::ExecutionStarted(started)] = log[0].events.as_slice() else {
        unreachable!("a log that folds begins with ExecutionStarted");
    };
    Invocation {
        arn: started.arn(),
        checkpoint_token: String::new(),
        started: started.clone(),
        started_at: log[0].at,
        operations: execution.operations().to_vec(),
        journals: log.iter().filter_map(|row| row.journal).collect(),
        request_id: String::new(),
    }
}

/// What the workflow returned, if that is how it ended.
fn execution_end(log: &[Transition]) -> Option<InvocationOutput> {
    match log.last()?.events.last()? {
        Event::ExecutionSucceeded { result } => Some(InvocationOutput::Succeeded(result.clone())),
        _ => None,
    }
}
