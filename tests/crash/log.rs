//! The execution's log as a dead process left it.

use crate::process::NAME;
use crate::support::{Place, component, native_code_cache};
use crate::told::Workflow;
use everstep::worker::{Environment, Observer, ReplayError, Worker};
use everstep_core::protocol::{Event, ExecutionStarted, InvocationOutput, OperationType, Transition};
use everstep_core::service::{Execution, history_of};
use everstep_core::store::{ExecutionKey, Store};
use everstep_sandbox::{CompiledWorkflow, Sandbox};
use everstep_store::SqliteStore;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

/// A step's attempt: operation id and attempt, from 1.
pub(crate) type Attempt = (String, u32);

/// The log of the one execution in a place; empty if that had not begun.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Log(pub(crate) Vec<Transition>);

impl Log {
    pub(crate) fn of(place: &Place, guest: &str) -> Self {
        if !place.database().is_file() {
            return Self::default();
        }
        let store = SqliteStore::open_read_only(place.database()).expect("a killed process leaves a database");
        let function = guest.rsplit('/').next().unwrap_or(guest);
        match store.find(function, NAME).expect("it can be read") {
            Some(summary) => Self(store.load(summary.key).expect("the log can be read")),
            None => Self::default(),
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().flat_map(|row| &row.events)
    }

    pub(crate) fn started(&self) -> &ExecutionStarted {
        match self.events().next() {
            Some(Event::ExecutionStarted(started)) => started,
            other => panic!("the log begins with {other:?}"),
        }
    }

    /// Attempts whose outcome is durable.
    pub(crate) fn ended_attempts(&self) -> BTreeSet<Attempt> {
        let ended = |event: &Event| match event {
            Event::StepSucceeded { id, attempt, .. }
            | Event::StepFailed { id, attempt, .. }
            | Event::StepRetried { id, attempt, .. } => Some((id.as_str().to_owned(), *attempt)),
            _ => None,
        };
        self.events().filter_map(ended).collect()
    }

    /// Operations that ended, whatever they are.
    pub(crate) fn ended_operations(&self) -> BTreeSet<String> {
        let Some(execution) = self.fold() else { return BTreeSet::new() };
        let ended = execution.operations().iter().filter(|operation| operation.status.is_terminal());
        ended.map(|operation| operation.id.as_str().to_owned()).collect()
    }

    /// Attempts that are durably begun and not ended: what a process that dies now leaves interrupted.
    pub(crate) fn open_attempts(&self) -> BTreeSet<Attempt> {
        let Some(execution) = self.fold() else { return BTreeSet::new() };
        let open = execution.operations().iter().filter(|operation| {
            operation.operation_type == OperationType::Step
                && operation.status == everstep_core::protocol::OperationStatus::Started
        });
        open.map(|operation| (operation.id.as_str().to_owned(), operation.attempt + 1)).collect()
    }

    /// Attempts that ended as interrupted.
    pub(crate) fn interrupted_attempts(&self) -> BTreeSet<Attempt> {
        let interrupted = |event: &Event| match event {
            Event::StepFailed { id, attempt, error } | Event::StepRetried { id, attempt, error: Some(error), .. }
                if error.error_type.as_deref() == Some("StepInterruptedError") =>
            {
                Some((id.as_str().to_owned(), *attempt))
            }
            _ => None,
        };
        self.events().filter_map(interrupted).collect()
    }

    /// Operations by name.
    pub(crate) fn names(&self) -> BTreeMap<String, String> {
        let Some(execution) = self.fold() else { return BTreeMap::new() };
        let named = |operation: &everstep_core::protocol::Operation| {
            (operation.id.as_str().to_owned(), operation.name.clone().unwrap_or_default())
        };
        execution.operations().iter().map(|operation| named(operation)).collect()
    }

    pub(crate) fn fold(&self) -> Option<Execution> {
        (!self.0.is_empty()).then(|| Execution::fold(ExecutionKey(0), &self.0).expect("the log folds"))
    }

    /// Text with what differs between any two executions taken out: the ids of it, of its callbacks and of what it
    /// invoked.
    pub(crate) fn plain(&self, text: &str) -> String {
        let mut text = text.replace(self.started().arn().id(), "ID");
        for event in self.events() {
            let (id, stands_for) = match event {
                Event::CallbackStarted { callback_id, .. } => (callback_id, "CALLBACK"),
                Event::ChainedInvokeStarted { child_arn: Some(arn), .. } => (arn, "CHILD"),
                _ => continue,
            };
            text = text.replace(id, stands_for);
        }
        text
    }

    /// The history without InvocationCompleted, an event a line with its time, numbered anew.
    pub(crate) fn history(&self) -> Vec<String> {
        let shown = history_of(&self.0).into_iter().filter(|event| event.event_type() != "InvocationCompleted");
        shown
            .enumerate()
            .map(|(index, event)| {
                let text = format!("{} {} {:?} {:?}", event.event_type(), event.at.0, event.subject, event.event);
                format!("{} {}", index + 1, self.plain(&text))
            })
            .collect()
    }

    /// The result that is recorded.
    pub(crate) fn result(&self) -> Option<String> {
        match self.events().last() {
            Some(Event::ExecutionSucceeded { result }) => result.as_deref().map(|result| self.plain(result)),
            other => panic!("the log ends with {other:?}"),
        }
    }

    /// Replays the log offline: the result must be the recorded one. Answers what workflow code printed and logged.
    pub(crate) fn replay(&self, guest: &'static str) -> Vec<Value> {
        let workflow = Arc::new(Workflow::default());
        let output = self.try_replay(guest, workflow.clone()).unwrap_or_else(|error| panic!("{guest}: {error}"));
        let InvocationOutput::Succeeded(result) = output else { panic!("{guest}: the replay ended with {output:?}") };
        assert_eq!(result.map(|result| self.plain(&result)), self.result());
        workflow.told()
    }

    pub(crate) fn try_replay(
        &self,
        guest: &'static str,
        observer: Arc<dyn Observer>,
    ) -> Result<InvocationOutput, ReplayError> {
        Worker::offline(Environment::default(), observer).replay(&compiled(guest), &self.0)
    }
}

/// Its native code; compiled once, and cached for other processes.
pub(crate) fn compiled(name: &'static str) -> CompiledWorkflow {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    static COMPILED: Mutex<BTreeMap<&'static str, CompiledWorkflow>> = Mutex::new(BTreeMap::new());
    let sandbox = SANDBOX.get_or_init(|| Sandbox::new(Some(native_code_cache())).expect("a sandbox"));
    let load = || {
        let wasm = std::fs::read(component(name)).expect("the component can be read");
        sandbox.load(&wasm).expect("the component loads")
    };
    let mut compiled = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    compiled.entry(name).or_insert_with(load).clone()
}
