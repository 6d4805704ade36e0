//! `GetDurableExecution`: what can be told of one execution.

use super::DurableService;
use super::execution::Execution;
use super::history::{HistoryEvent, Warned, history_of, warnings_of};
use crate::protocol::{
    ErrorObject, ExecutionArn, ExecutionStarted, ExecutionStatus, Operation, ServiceError, Timestamp,
};
use std::sync::Arc;

/// An execution, without its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Which.
    pub arn: ExecutionArn,
    /// Input, function, version, component and configuration.
    pub started: Arc<ExecutionStarted>,
    /// When it started.
    pub started_at: Timestamp,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it ended with, if it SUCCEEDED.
    pub result: Option<String>,
    /// What it ended with, if it did not.
    pub error: Option<ErrorObject>,
    /// When it times out (AWS: `ExpectedExecutionTimeoutTimestamp`).
    pub timeout_at: Timestamp,
    /// Operations begun so far.
    pub operations: usize,
}

impl Execution {
    /// What can be told of it.
    pub fn describe(&self) -> Description {
        Description {
            arn: self.started.arn(),
            started: self.started.clone(),
            started_at: self.started_at,
            status: self.status,
            ended_at: self.ended_at,
            result: self.result.clone(),
            error: self.error.clone(),
            timeout_at: self.timeout_at(),
            operations: self.operations.len(),
        }
    }
}

impl DurableService {
    /// `GetDurableExecution`.
    pub fn describe(&self, arn: &ExecutionArn) -> Result<Description, ServiceError> {
        self.look(arn, Execution::describe)
    }

    /// All operations begun so far, in start order.
    pub fn operations(&self, arn: &ExecutionArn) -> Result<Vec<Arc<Operation>>, ServiceError> {
        self.look(arn, |execution| execution.operations().to_vec())
    }

    /// `GetDurableExecutionHistory`, whole.
    pub fn history(&self, arn: &ExecutionArn) -> Result<Vec<HistoryEvent>, ServiceError> {
        Ok(history_of(&self.store.load(self.summary(arn)?.key)?))
    }

    /// What the execution warned of so far.
    pub fn warnings(&self, arn: &ExecutionArn) -> Result<Vec<Warned>, ServiceError> {
        Ok(warnings_of(&self.store.load(self.summary(arn)?.key)?))
    }

    /// Looks at an execution without bringing it into memory.
    pub(super) fn look<T>(&self, arn: &ExecutionArn, look: impl Fn(&Execution) -> T) -> Result<T, ServiceError> {
        let seen = self.if_live(arn, |held| Ok(held.slot.execution.as_ref().map(&look)))?;
        match seen.flatten() {
            Some(seen) => Ok(seen),
            None => Ok(look(&self.fold(self.summary(arn)?.key)?)),
        }
    }
}
