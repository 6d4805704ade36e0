//! What CHAINED_INVOKEs come to: the executions that they start, and how each end finds its way back.
//!
//! Parent and child are two logs with a lock each, and no lock is ever held while another is taken: the parent's row
//! comes first and names the child, then the child is started; the child's end comes first, then the parent's row. A
//! crash in between leaves what [`DurableService::chained`] completes, by the same code.

use super::DurableService;
use super::chained_invoke::{EMPTY_INPUT, derived};
use super::completion::{INVALID, bounded};
use super::draft::Draft;
use super::execution::{Execution, IllegalTransition};
use super::functions::{self, Target};
use super::warnings;
use crate::protocol::limits;
use crate::protocol::{
    Cause, ChainedInvokeDetails, ErrorObject, Event, ExecutionArn, ExecutionStarted, ExecutionStatus, FunctionName,
    InvokedBy, Operation, OperationId, OperationStatus, OperationType, Seed, ServiceError, Timestamp, Warning,
};
use crate::store::{Filter, StoreError};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

/// An open CHAINED_INVOKE: what its driver has to see to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chained {
    /// An execution: drive it. Its end is recorded by the service.
    Execution {
        /// The CHAINED_INVOKE.
        operation: OperationId,
        /// The execution that it is.
        arn: ExecutionArn,
    },
    /// A function that is not durable: run it, and report with [`DurableService::complete_chained`]. After a crash it
    /// is told of again.
    Function {
        /// The CHAINED_INVOKE.
        operation: OperationId,
        /// Its name.
        function: String,
        /// A number or `$LATEST`.
        version: String,
        /// AWS's `TenantId`.
        tenant_id: Option<String>,
        /// The payload.
        input: String,
    },
}

/// How and when.
pub(super) type Ended = (ChainedOutcome, Timestamp);

impl Chained {
    /// The CHAINED_INVOKE.
    pub fn operation(&self) -> &OperationId {
        match self {
            Self::Execution { operation, .. } | Self::Function { operation, .. } => operation,
        }
    }
}

/// How what a CHAINED_INVOKE invoked has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainedOutcome {
    /// With a result. One larger than [`limits::OPERATION_PAYLOAD_BYTES`] is recorded as a failure.
    Succeeded(Option<String>),
    /// With an error.
    Failed(ErrorObject),
    /// It took too long.
    TimedOut(ErrorObject),
    /// Somebody stopped it.
    Stopped(ErrorObject),
}

impl DurableService {
    /// The open CHAINED_INVOKEs of an execution, in the order they began, after every execution that one of them is has
    /// been started and the end of each that is closed was recorded. Of a closed execution the executions that it left
    /// behind: they run on, and nobody is told of their ends.
    ///
    /// Idempotent: what a crash or an error leaves undone, the next call does. The service calls it itself behind a
    /// checkpoint that begins a CHAINED_INVOKE and with every [`invoke`](Self::invoke).
    pub fn chained(&self, arn: &ExecutionArn) -> Result<Vec<Chained>, ServiceError> {
        let (started, open, closed) = self.look(arn, |execution| {
            let open: Vec<_> = execution.open(OperationType::ChainedInvoke).cloned().collect();
            (execution.started.clone(), open, execution.status().is_terminal())
        })?;
        let mut chained = Vec::with_capacity(open.len());
        for invoke in open {
            let Some(details) = &invoke.chained_invoke else { continue };
            let operation = invoke.id.clone();
            let Some(child) = &details.child_arn else {
                // Nobody could record that it was called: it would be called for ever.
                if closed {
                    continue;
                }
                let name = FunctionName::try_from(details.function.as_str());
                chained.push(Chained::Function {
                    operation,
                    function: name.map_or_else(|_| details.function.clone(), |name| name.function().to_owned()),
                    version: details.executed_version.clone().unwrap_or_default(),
                    tenant_id: details.tenant_id.clone(),
                    input: details.input.clone().unwrap_or_else(|| EMPTY_INPUT.to_owned()),
                });
                continue;
            };
            let child = ExecutionArn::try_from(child.as_str())
                .map_err(|error| StoreError::Corrupt(format!("operation {operation} of {arn}: {error}")))?;
            if !self.is_known_to_run(&child) {
                if let Some((outcome, ended_at)) = self.follow(&started, &invoke, details, &child)? {
                    self.end_chained(arn, &operation, outcome, ended_at)?;
                    continue;
                }
                self.known(|running| running.insert(child.clone()));
            }
            chained.push(Chained::Execution { operation, arn: child });
        }
        Ok(chained)
    }

    /// Whether this process has seen the child run and not end: then nothing is to be looked up.
    fn is_known_to_run(&self, child: &ExecutionArn) -> bool {
        self.known(|running| running.contains(child))
    }

    fn known<T>(&self, look: impl FnOnce(&mut BTreeSet<ExecutionArn>) -> T) -> T {
        // Each change is one call, so a panic elsewhere cannot have left it half done.
        look(&mut self.children.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does for every RUNNING execution what [`chained`](Self::chained) does: for a process that takes a store over,
    /// since an execution whose child ended just before a crash is not due for its own sake. Reads the logs of all
    /// that run.
    pub fn recover_chained(&self) -> Result<(), ServiceError> {
        let running = Filter { statuses: vec![ExecutionStatus::Running], ..Filter::default() };
        for summary in self.store.list(&running)? {
            self.chained(&summary.arn)?;
        }
        Ok(())
    }

    /// Records how what a CHAINED_INVOKE invoked has ended, which makes an execution that waits for it due. Durable on
    /// return. If that was recorded before, or the execution is closed, nothing happens.
    ///
    /// # Errors
    /// [`ServiceError::InvalidParameterValue`]: the execution has no such CHAINED_INVOKE.
    /// [`ServiceError::ResourceNotFound`]: there is no such execution. After a [`ServiceError::Store`] the end is
    /// recorded or not: repeat the call.
    pub fn complete_chained(
        &self,
        arn: &ExecutionArn,
        operation: &OperationId,
        outcome: ChainedOutcome,
    ) -> Result<(), ServiceError> {
        self.end_chained(arn, operation, outcome, Timestamp(0))
    }

    /// `ended_at`: when it ended, by the clock of its own log. Its parent learns of it no earlier.
    fn end_chained(
        &self,
        arn: &ExecutionArn,
        operation: &OperationId,
        outcome: ChainedOutcome,
        ended_at: Timestamp,
    ) -> Result<(), ServiceError> {
        let mut end = Some(end_of(operation, outcome));
        let recorded = self.if_open(arn, |held| {
            self.record_outside(held, Cause::ChainedInvoke, ended_at, |execution, draft| {
                let status = match execution.operation(operation) {
                    Some(invoke) if invoke.operation_type == OperationType::ChainedInvoke => invoke.status,
                    _ => return Ok(false),
                };
                match end.take() {
                    Some(end) if status == OperationStatus::Started => record_end(execution, draft, operation, end)?,
                    _ => {}
                }
                Ok(true)
            })
        })?;
        match recorded {
            Ok(Some(false)) => Err(ServiceError::InvalidParameterValue(format!(
                "{arn} has no CHAINED_INVOKE {operation}: give the operation's id as `chained` answers it"
            ))),
            _ => Ok(()),
        }
    }

    /// How the child ended, if it did; it is started if it does not exist yet.
    fn follow(
        &self,
        parent: &ExecutionStarted,
        invoke: &Operation,
        details: &ChainedInvokeDetails,
        child: &ExecutionArn,
    ) -> Result<Option<Ended>, ServiceError> {
        match self.store.find_arn(child)? {
            Some(summary) if summary.status.is_terminal() => Ok(end_of_child(&self.fold(summary.key)?)),
            Some(_) => Ok(None),
            None => self.start_child(parent, invoke, details, child),
        }
    }

    fn start_child(
        &self,
        parent: &ExecutionStarted,
        invoke: &Operation,
        details: &ChainedInvokeDetails,
        child: &ExecutionArn,
    ) -> Result<Option<Ended>, ServiceError> {
        let version = details.executed_version.as_deref().unwrap_or_default();
        let deployed = FunctionName::try_from(details.function.as_str())
            .map_err(|error| ErrorObject::new(INVALID, error.to_string()))
            .and_then(|name| {
                let name = name.qualified(version);
                match functions::resolve(&*self.functions, &parent.arn(), &name)? {
                    Target::Durable(deployed) if deployed.version == version => Ok(deployed),
                    _ => Err(functions::function_not_found(&name)),
                }
            });
        // It was there when the parent's row was written, and is not any more.
        let deployed = match deployed {
            Ok(deployed) => deployed,
            Err(error) => return Ok(Some((ChainedOutcome::Failed(error), invoke.started_at))),
        };
        let invoked_by = InvokedBy {
            arn: parent.arn.clone(),
            operation: invoke.id.clone(),
            tenant_id: details.tenant_id.clone(),
            depth: 1 + parent.invoked_by.as_ref().map_or(0, |by| by.depth),
        };
        let started = Arc::new(ExecutionStarted {
            arn: child.as_str().to_owned(),
            function: deployed.function,
            version: deployed.version,
            name: child.name().to_owned(),
            input: details.input.clone(),
            component: deployed.component,
            // With the parent's seed the whole tree is reproducible.
            seed: Seed(derived(&[&parent.seed.0, invoke.id.as_str().as_bytes()])),
            config: deployed.config,
            invoked_by: Some(invoked_by),
        });
        match self.create(&started, invoke.started_at) {
            Ok(_) => Ok(None),
            // Another thread was faster; else somebody gave this name to an execution of his own.
            Err(StoreError::Conflict(_)) if self.store.find_arn(child)?.is_some() => Ok(None),
            Err(StoreError::Conflict(reason)) => match self.store.find(&started.function, &started.name)? {
                None => Err(StoreError::Conflict(reason).into()),
                Some(other) => {
                    let message = format!("Execution already started: {}", other.arn);
                    let error = ErrorObject::new("DurableExecutionAlreadyStartedException", message);
                    Ok(Some((ChainedOutcome::Failed(error), invoke.started_at)))
                }
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the parent of a child that has ended. Should that fail, `chained` finds it out.
    pub(super) fn tell_parent(&self, child: &ExecutionArn, by: &InvokedBy, (outcome, ended_at): Ended) {
        self.known(|running| running.remove(child));
        if let Ok(parent) = ExecutionArn::try_from(by.arn.as_str()) {
            let _ = self.end_chained(&parent, &by.operation, outcome, ended_at);
        }
    }
}

/// How an execution has ended, for who invoked it.
pub(super) fn end_of_child(child: &Execution) -> Option<Ended> {
    let error = || child.error.clone().unwrap_or_default();
    let outcome = match child.status() {
        ExecutionStatus::Running => return None,
        ExecutionStatus::Succeeded => ChainedOutcome::Succeeded(child.result.clone()),
        ExecutionStatus::Failed => ChainedOutcome::Failed(error()),
        ExecutionStatus::Stopped => ChainedOutcome::Stopped(error()),
        ExecutionStatus::TimedOut => {
            let seconds = child.started.config.execution_timeout_seconds;
            let message = format!("CHAINED_INVOKE timed out after {seconds} seconds.");
            ChainedOutcome::TimedOut(ErrorObject::new("ChainedInvoke.Timeout", message))
        }
    };
    Some((outcome, child.ended_at.unwrap_or(child.latest)))
}

/// The event of the end, within the bounds.
fn end_of(operation: &OperationId, outcome: ChainedOutcome) -> Event {
    let id = operation.clone();
    let most = limits::OPERATION_PAYLOAD_BYTES;
    let within = |error| bounded(error, limits::ERROR_BYTES as u64);
    match outcome {
        ChainedOutcome::Succeeded(Some(result)) if result.len() > most => {
            let message = format!("CHAINED_INVOKE output payload size must be less than or equal to {most} bytes.");
            Event::ChainedInvokeFailed { id, error: ErrorObject::new(INVALID, message) }
        }
        ChainedOutcome::Succeeded(result) => Event::ChainedInvokeSucceeded { id, result },
        ChainedOutcome::Failed(error) => Event::ChainedInvokeFailed { id, error: within(error) },
        ChainedOutcome::TimedOut(error) => Event::ChainedInvokeTimedOut { id, error: within(error) },
        ChainedOutcome::Stopped(error) => Event::ChainedInvokeStopped { id, error: within(error) },
    }
}

fn record_end(
    execution: &mut Execution,
    draft: &mut Draft,
    operation: &OperationId,
    end: Event,
) -> Result<(), IllegalTransition> {
    let large = matches!(&end, Event::ChainedInvokeSucceeded { result, .. } if warnings::is_large(result.as_deref()));
    draft.record(execution, end)?;
    match large {
        true => draft.warn(execution, Warning::LargePayload, Some(operation)),
        false => Ok(()),
    }
}
