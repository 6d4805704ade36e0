//! An operation of a recorded execution.

use crate::recording::Recording;
use everstep_core::protocol::{self, ErrorObject, OperationStatus, OperationType, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// An operation as its execution's log has it.
#[derive(Clone, Debug)]
pub struct Operation {
    recording: Recording,
    index: usize,
}

impl Operation {
    pub(crate) fn new(recording: &Recording, index: usize) -> Self {
        Self { recording: recording.clone(), index }
    }

    /// Everything that is recorded of it.
    pub fn recorded(&self) -> &protocol::Operation {
        &self.recording.inner.operations[self.index]
    }

    /// Its id: `2` is the second operation begun by the workflow, `2-1` the first in that context.
    pub fn id(&self) -> &str {
        self.recorded().id.as_str()
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        self.recorded().name.as_deref()
    }

    /// Its name, or its id as timelines show it: `#3`.
    pub fn title(&self) -> String {
        self.name().map_or_else(|| format!("#{}", self.id()), str::to_owned)
    }

    /// What it is.
    pub fn kind(&self) -> OperationType {
        self.recorded().operation_type
    }

    /// AWS's `SubType`: `Step`, `RunInChildContext`, `WaitForCondition`, ...
    pub fn sub_type(&self) -> Option<&str> {
        self.recorded().sub_type.as_deref()
    }

    /// Where it stands.
    pub fn status(&self) -> OperationStatus {
        self.recorded().status
    }

    /// What came out of it.
    ///
    /// # Panics
    /// If it has not succeeded, or yielded something else.
    #[track_caller]
    pub fn result<T: DeserializeOwned>(&self) -> T {
        self.assert_succeeded();
        let text = self.raw_result().unwrap_or("null");
        match serde_json::from_str(text) {
            Ok(result) => result,
            Err(error) => self.fail(&format!(
                "the result of {} is no {}: {error}: {text}",
                self.title(),
                std::any::type_name::<T>()
            )),
        }
    }

    /// Its result as it is recorded; of a polled condition that goes on, the state.
    pub fn raw_result(&self) -> Option<&str> {
        self.recorded().result.as_deref()
    }

    /// The error of its end, or of its last attempt.
    pub fn error(&self) -> Option<&ErrorObject> {
        self.recorded().error.as_ref()
    }

    /// Attempts of a step that began; 0 of anything else.
    pub fn attempts(&self) -> u32 {
        let operation = self.recorded();
        let open = operation.operation_type == OperationType::Step && operation.status == OperationStatus::Started;
        operation.attempt + u32::from(open)
    }

    /// A wait's length in seconds.
    pub fn seconds(&self) -> Option<u32> {
        self.recorded().seconds
    }

    /// What completes a callback from outside.
    pub fn callback_id(&self) -> Option<&str> {
        self.recorded().callback.as_ref().map(|callback| callback.callback_id.as_str())
    }

    /// The execution that a chained invoke is, if its target is durable.
    pub fn invoked(&self) -> Option<&str> {
        self.recorded().chained_invoke.as_ref()?.child_arn.as_deref()
    }

    /// The context that it was begun in; none: the workflow itself.
    pub fn parent(&self) -> Option<Operation> {
        let parent = self.recorded().parent_id.as_ref()?;
        let index = self.recording.inner.operations.iter().position(|operation| operation.id == *parent)?;
        Some(Self::new(&self.recording, index))
    }

    /// What was begun in it, in that order.
    pub fn children(&self) -> Vec<Operation> {
        let operations = self.recording.inner.operations.iter().enumerate();
        let children = operations.filter(|(_, operation)| operation.parent_id.as_ref() == Some(&self.recorded().id));
        children.map(|(index, _)| Self::new(&self.recording, index)).collect()
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        self.recorded().started_at
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.recorded().ended_at
    }

    /// How long it took, if it has ended.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.started_at().millis_until(self.ended_at()?)))
    }

    /// # Panics
    /// If it does not stand there.
    #[track_caller]
    pub fn assert_status(&self, expected: OperationStatus) -> &Self {
        if self.status() != expected {
            self.fail(&format!("{} is {}, not {}", self.title(), self.status().as_str(), expected.as_str()));
        }
        self
    }

    /// # Panics
    /// If it has not succeeded.
    #[track_caller]
    pub fn assert_succeeded(&self) -> &Self {
        self.assert_status(OperationStatus::Succeeded)
    }

    /// # Panics
    /// If it has not failed, or with an error of another type or without this text in its message.
    #[track_caller]
    pub fn assert_failed(&self, error_type: &str, text: &str) -> &Self {
        self.assert_status(OperationStatus::Failed);
        let error = self.error().cloned().unwrap_or_default();
        if !is_of(&error, error_type, text) {
            self.fail(&format!("{} failed with another error than {error_type}: ...{text}...: {error}", self.title()));
        }
        self
    }

    /// # Panics
    /// If it has not succeeded, or yielded something else.
    #[track_caller]
    pub fn assert_result(&self, expected: Value) -> &Self {
        let result: Value = self.result();
        if result != expected {
            self.fail(&format!("the result of {} is {result}, not {expected}", self.title()));
        }
        self
    }

    /// # Panics
    /// If another number of attempts began.
    #[track_caller]
    pub fn assert_attempts(&self, expected: u32) -> &Self {
        if self.attempts() != expected {
            self.fail(&format!("{} began {} attempts, not {expected}", self.title(), self.attempts()));
        }
        self
    }

    #[track_caller]
    fn fail(&self, message: &str) -> ! {
        self.recording.fail(message)
    }
}

/// Whether the error is of this type and has this text in its message.
pub(crate) fn is_of(error: &ErrorObject, error_type: &str, text: &str) -> bool {
    error.error_type.as_deref() == Some(error_type) && error.message.as_deref().unwrap_or_default().contains(text)
}
