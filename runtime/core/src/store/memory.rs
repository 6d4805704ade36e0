//! A store in memory: for tests and models. It keeps rows as bytes, so that what it gives back went through the format.

use super::{Append, ExecutionKey, ExecutionSummary, Filter, Projection, Store, StoreError};
use crate::protocol::{ComponentDigest, Event, ExecutionArn, ExecutionStatus, Timestamp, Transition};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A [`Store`] that lives as long as it is held: "durable" means that a service which is dropped and made anew on the
/// same store finds everything.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    epoch: u64,
    components: BTreeMap<[u8; 32], Vec<u8>>,
    /// By key, from 1.
    executions: Vec<Execution>,
}

#[derive(Debug)]
struct Execution {
    summary: ExecutionSummary,
    rows: Vec<Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes ownership, as the next process to open a database does: the epoch grows.
    pub fn reopen(&self) {
        self.content().epoch += 1;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // No method leaves the content half changed.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn execution(&mut self, key: ExecutionKey) -> Result<&mut Execution, StoreError> {
        let index = key.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| self.executions.get_mut(index))
            .ok_or_else(|| StoreError::Corrupt(format!("there is no execution with key {}", key.0)))
    }

    fn select(&self, wanted: impl Fn(&ExecutionSummary) -> bool) -> impl DoubleEndedIterator<Item = &ExecutionSummary> {
        self.executions.iter().map(|execution| &execution.summary).filter(move |summary| wanted(summary))
    }
}

impl Store for MemoryStore {
    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError> {
        self.content().components.entry(digest.0).or_insert_with(|| wasm.to_vec());
        Ok(())
    }

    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().components.get(&digest.0).cloned())
    }

    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError> {
        let [Event::ExecutionStarted(started)] = first.events.as_slice() else {
            return Err(StoreError::Corrupt("the first row of a log is ExecutionStarted, alone".into()));
        };
        let mut content = self.content();
        if content.select(|other| other.function == started.function && other.name == started.name).next().is_some() {
            return Err(StoreError::Conflict(format!(
                "function {} has an execution named {}",
                started.function, started.name
            )));
        }
        let key = ExecutionKey(content.executions.len() as i64 + 1);
        let summary = ExecutionSummary {
            key,
            arn: started.arn(),
            function: started.function.clone(),
            version: started.version.clone(),
            name: started.name.clone(),
            component: started.component,
            status: projection.status,
            started_at: first.at,
            ended_at: projection.ended_at,
            wake_at: projection.wake_at,
        };
        content.executions.push(Execution { summary, rows: vec![first.encode()] });
        Ok(key)
    }

    fn append(&self, append: Append) -> Result<(), StoreError> {
        let mut content = self.content();
        let execution = content.execution(append.execution)?;
        if append.sequence != execution.rows.len() as u64 {
            return Err(StoreError::Conflict(format!(
                "row {} of {} was to be written, the log has {} rows",
                append.sequence,
                execution.summary.arn,
                execution.rows.len()
            )));
        }
        execution.rows.push(append.transition.encode());
        if let Some(Projection { status, ended_at, wake_at }) = append.projection {
            let summary = &mut execution.summary;
            (summary.status, summary.ended_at, summary.wake_at) = (status, ended_at, wake_at);
        }
        Ok(())
    }

    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError> {
        let mut content = self.content();
        let rows = &content.execution(execution)?.rows;
        rows.iter().map(|row| Transition::decode(row).map_err(|error| StoreError::Corrupt(error.to_string()))).collect()
    }

    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError> {
        Ok(self.content().select(|summary| summary.function == function && summary.name == name).next().cloned())
    }

    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError> {
        Ok(self.content().select(|summary| summary.arn == *arn).next().cloned())
    }

    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError> {
        Ok(self.content().execution(key).ok().map(|execution| execution.summary.clone()))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError> {
        let content = self.content();
        let found = content.select(|summary| {
            filter.function.as_ref().is_none_or(|function| *function == summary.function)
                && filter.name.as_ref().is_none_or(|name| *name == summary.name)
                && (filter.statuses.is_empty() || filter.statuses.contains(&summary.status))
        });
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit as usize };
        Ok(found.rev().take(limit).cloned().collect())
    }

    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError> {
        let content = self.content();
        let mut due: Vec<_> = content
            .select(|summary| {
                summary.status == ExecutionStatus::Running && summary.wake_at.is_some_and(|wake_at| wake_at <= now)
            })
            .cloned()
            .collect();
        due.sort_by_key(|summary| (summary.wake_at, summary.key));
        Ok(due)
    }

    fn epoch(&self) -> u64 {
        self.content().epoch
    }
}
