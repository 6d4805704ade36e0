//! What the log says of an execution, and assertions on it.

use crate::diff;
use crate::operation::{Operation, is_of};
use everstep_core::protocol::{
    ErrorObject, Event, ExecutionArn, ExecutionStatus, OperationStatus, OperationType, Timestamp, Transition, Warning,
};
use everstep_core::service::{Description, Execution, HistoryEvent, history_of};
use everstep_core::store::{ExecutionKey, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Set, [`Recording::assert_history`] writes the files that it would compare with.
const UPDATE: &str = "EVERSTEP_UPDATE_HISTORIES";
/// Columns of a timeline in a panic's message.
const WIDTH: usize = 100;

/// An execution as its log has it at one point in time.
///
/// Whatever is asserted on it, and on its operations, fails with its timeline in the message.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) description: Description,
    /// In the order they began.
    pub(crate) operations: Vec<Arc<everstep_core::protocol::Operation>>,
    pub(crate) log: Vec<Transition>,
}

impl Recording {
    pub(crate) fn of(store: &dyn Store, key: ExecutionKey) -> Self {
        let log = store.load(key).unwrap_or_else(|error| panic!("{error}"));
        let execution = Execution::fold(key, &log).unwrap_or_else(|illegal| panic!("the log does not fold: {illegal}"));
        let (description, operations) = (execution.describe(), execution.operations().to_vec());
        Self { inner: Arc::new(Inner { description, operations, log }) }
    }

    /// Which execution.
    pub fn arn(&self) -> &ExecutionArn {
        &self.inner.description.arn
    }

    /// Where it stands.
    pub fn status(&self) -> ExecutionStatus {
        self.inner.description.status
    }

    /// Everything that can be told of the execution but its operations.
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// What it returned.
    ///
    /// # Panics
    /// If it has not succeeded, or returned something else.
    #[track_caller]
    pub fn result<T: DeserializeOwned>(&self) -> T {
        self.assert_succeeded();
        let text = self.raw_result().unwrap_or("null");
        match serde_json::from_str(text) {
            Ok(result) => result,
            Err(error) => self.fail(&format!("the result is no {}: {error}: {text}", std::any::type_name::<T>())),
        }
    }

    /// What it returned, as it is recorded.
    pub fn raw_result(&self) -> Option<&str> {
        self.inner.description.result.as_deref()
    }

    /// What it ended with if it did not succeed.
    pub fn error(&self) -> Option<&ErrorObject> {
        self.inner.description.error.as_ref()
    }

    /// When its newest event was recorded.
    pub fn latest(&self) -> Timestamp {
        self.inner.log.last().map_or(Timestamp(0), |row| row.at)
    }

    /// All operations, in the order they began.
    pub fn operations(&self) -> Vec<Operation> {
        (0..self.inner.operations.len()).map(|index| Operation::new(self, index)).collect()
    }

    /// The first operation of that name that began.
    pub fn find(&self, name: &str) -> Option<Operation> {
        self.operations().into_iter().find(|operation| operation.name() == Some(name))
    }

    /// The first operation of that name that began.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn operation(&self, name: &str) -> Operation {
        match self.find(name) {
            Some(operation) => operation,
            None => self.fail(&format!("there is no operation named {name:?}")),
        }
    }

    /// Of the operations of that name the one that began as the `index`-th, from 0.
    ///
    /// # Panics
    /// If there are not so many.
    #[track_caller]
    pub fn operation_at(&self, name: &str, index: usize) -> Operation {
        let mut named = self.operations().into_iter().filter(|operation| operation.name() == Some(name));
        match named.nth(index) {
            Some(operation) => operation,
            None => self.fail(&format!("there is no operation {index} (from 0) of those named {name:?}")),
        }
    }

    /// The operation that began as the `index`-th, from 0.
    ///
    /// # Panics
    /// If there are not so many.
    #[track_caller]
    pub fn operation_by_index(&self, index: usize) -> Operation {
        if index >= self.inner.operations.len() {
            self.fail(&format!("there is no operation {index}: {} have begun", self.inner.operations.len()));
        }
        Operation::new(self, index)
    }

    /// The operation with that id, such as `2` or `2-1`.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn operation_by_id(&self, id: &str) -> Operation {
        match self.operations().into_iter().find(|operation| operation.id() == id) {
            Some(operation) => operation,
            None => self.fail(&format!("there is no operation with the id {id:?}")),
        }
    }

    /// The history's events.
    pub fn history(&self) -> Vec<HistoryEvent> {
        history_of(&self.inner.log)
    }

    /// The same as AWS's `GetDurableExecutionHistory` answers them, payloads included.
    pub fn history_json(&self) -> Value {
        Value::Array(self.history().iter().map(HistoryEvent::to_json).collect())
    }

    /// What the service warns of.
    pub fn warnings(&self) -> Vec<Warning> {
        let warning = |event: &Event| match event {
            Event::Warned { warning, .. } => Some(*warning),
            _ => None,
        };
        self.inner.log.iter().flat_map(|row| &row.events).filter_map(warning).collect()
    }

    /// Invocations that ended: with the last suspension or the end, by an error, or with their process.
    pub fn invocations(&self) -> usize {
        let ended = |event: &&Event| matches!(event, Event::InvocationCompleted { .. });
        self.inner.log.iter().flat_map(|row| &row.events).filter(ended).count()
    }

    /// What `everstep show` shows of it.
    pub fn timeline(&self) -> String {
        everstep::cli::timeline(&self.inner.log, WIDTH).unwrap_or_else(|error| error.to_string())
    }

    /// # Panics
    /// If the execution is not there.
    #[track_caller]
    pub fn assert_status(&self, expected: ExecutionStatus) -> &Self {
        if self.status() != expected {
            self.fail(&format!("the execution is {}, not {}", self.status().as_str(), expected.as_str()));
        }
        self
    }

    /// # Panics
    /// If the execution has not succeeded.
    #[track_caller]
    pub fn assert_succeeded(&self) -> &Self {
        self.assert_status(ExecutionStatus::Succeeded)
    }

    /// # Panics
    /// If the execution has not failed, or with an error of another type or without this text in its message.
    #[track_caller]
    pub fn assert_failed(&self, error_type: &str, text: &str) -> &Self {
        self.assert_status(ExecutionStatus::Failed);
        if !self.error().is_some_and(|error| is_of(error, error_type, text)) {
            self.fail(&format!("the execution failed with another error than {error_type}: ...{text}..."));
        }
        self
    }

    /// # Panics
    /// If the execution has not succeeded, or returned something else.
    #[track_caller]
    pub fn assert_result(&self, expected: Value) -> &Self {
        let result: Value = self.result();
        if result != expected {
            let difference = diff::lines(&format!("{expected:#}"), &format!("{result:#}"));
            self.fail(&format!("the result is another than expected:\n{difference}"));
        }
        self
    }

    /// The operations as [`Recording::assert_operations`] compares them.
    pub fn outline(&self) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.inner.operations.len());
        // A stack, since contexts may be nested deeper than calls may.
        let roots = self.operations().into_iter().filter(|operation| operation.parent().is_none());
        let mut next: Vec<(usize, Operation)> = roots.map(|operation| (0, operation)).collect();
        next.reverse();
        while let Some((depth, operation)) = next.pop() {
            lines.push(format!("{}{}", "  ".repeat(depth), outline_of(&operation)));
            next.extend(operation.children().into_iter().rev().map(|child| (depth + 1, child)));
        }
        lines
    }

    /// Compares all operations with lines such as these, each under the context it was begun in:
    ///
    /// ```text
    /// step charge
    /// step load-eu, attempt 2
    /// wait cooling-off 10 s
    /// context deliver
    ///   step pack FAILED
    /// ```
    ///
    /// An operation without a name goes by its id (`#3`); the status is given if it is not SUCCEEDED.
    ///
    /// # Panics
    /// If they differ, with the difference.
    #[track_caller]
    pub fn assert_operations<L: AsRef<str>>(&self, expected: impl IntoIterator<Item = L>) -> &Self {
        let expected: Vec<String> = expected.into_iter().map(|line| line.as_ref().to_owned()).collect();
        let found = self.outline();
        if found != expected {
            let difference = diff::lines(&expected.join("\n"), &found.join("\n"));
            self.fail(&format!("the operations are others than expected:\n{difference}"));
        }
        self
    }

    /// Compares [`history_json`](Self::history_json) with a file, of which the path is relative to the package. Good
    /// without [`real_time`](crate::Runner::real_time): the history is the same in every run then.
    ///
    /// With the environment variable `EVERSTEP_UPDATE_HISTORIES=1` the file is written instead.
    ///
    /// # Panics
    /// If they differ, with the difference.
    #[track_caller]
    pub fn assert_history(&self, path: impl AsRef<Path>) -> &Self {
        let (path, found) = (path.as_ref(), format!("{:#}\n", self.history_json()));
        let shown = path.display();
        if std::env::var_os(UPDATE).is_some_and(|set| !set.is_empty() && set != "0") {
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            if let Err(error) = made.and_then(|()| std::fs::write(path, &found)) {
                self.fail(&format!("{shown} cannot be written: {error}"));
            }
            return self;
        }
        let expected = match std::fs::read_to_string(path) {
            Ok(expected) => expected,
            Err(error) => self.fail(&format!("{shown} cannot be read: {error}; write it with {UPDATE}=1")),
        };
        if expected != found {
            let difference = diff::lines(&expected, &found);
            self.fail(&format!(
                "the history is another than in {shown}; if that is as it should be, write it with {UPDATE}=1:\n{difference}"
            ));
        }
        self
    }

    /// Panics with this message and the timeline: for assertions of your own.
    #[track_caller]
    pub fn fail(&self, message: &str) -> ! {
        panic!("{message}\n\n{}", self.timeline())
    }
}

fn outline_of(operation: &Operation) -> String {
    let kind = match operation.kind() {
        OperationType::Execution => "execution",
        OperationType::Context => "context",
        OperationType::Step => "step",
        OperationType::Wait => "wait",
        OperationType::Callback => "callback",
        OperationType::ChainedInvoke => "invoke",
    };
    let mut line = format!("{kind} {}", operation.title());
    if let Some(seconds) = operation.seconds() {
        line += &format!(" {seconds} s");
    }
    if operation.attempts() > 1 {
        line += &format!(", attempt {}", operation.attempts());
    }
    if operation.status() != OperationStatus::Succeeded {
        line += &format!(" {}", operation.status().as_str());
    }
    line
}
