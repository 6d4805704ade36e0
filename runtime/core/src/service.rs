//! The durable service: the owner of the log, which decides what may happen to an execution and when.
//!
//! Its state is the fold of each execution's log ([`Execution`]). Live work drafts events, applies them with the code
//! that recovery uses, and acknowledges them once [`Store::append`] has made them durable as one transition. Whenever
//! it is not certain that memory and log agree, memory is forgotten and the log read again.
//!
//! Executions are independent of each other: each has a mutex of its own, so that any number of them can wait for
//! the store's shared sync at a time. In memory are those that run, and those that were started and never invoked;
//! nothing is kept for a suspended one.
//!
//! The driver's part: call [`DurableService::invoke`] for executions that [`Store::due`] names and that it is not
//! running itself, run what it answers, report with [`DurableService::complete_invocation`], and invoke again, at
//! once or when [`Invoked::Waiting`] says. It sees to what an execution at rest invoked, which [`Waiting`] names: other
//! executions, whose ends the service records itself, and plain functions, whose ends it reports with
//! [`DurableService::complete_chained`]. A driver that dies owes nothing: the next one finds all of it in the log, with
//! [`Store::due`] and [`DurableService::recover_chained`].

mod callback;
mod callback_id;
mod chained_invoke;
mod checkpoint;
mod children;
mod completion;
mod context;
mod description;
mod draft;
mod ending;
mod execution;
mod functions;
mod history;
mod history_json;
mod invocations;
mod invoke;
mod live;
mod operation;
mod outside;
mod refusal;
mod start;
mod step;
mod stop;
mod timers;
mod token;
mod wait;
mod warnings;

#[cfg(test)]
mod tests;

pub use children::{Chained, ChainedOutcome};
pub use description::Description;
pub use execution::{Execution, Found, IllegalTransition};
pub use functions::{Deployed, Functions, Target, function_not_found};
pub use history::{HistoryEvent, Subject, Warned, history_of, warnings_of};
pub use invoke::{Invoked, Waiting};
pub use start::{StartExecution, Started};

pub use crate::protocol::FunctionName;
use crate::protocol::{ExecutionArn, ServiceError, Timestamp};
use crate::store::{ExecutionSummary, Filter, Store};
use live::Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

/// What time it is.
pub trait Clock: Send + Sync {
    /// Now; never before `after`, the execution's latest timestamp.
    fn now(&self, after: Timestamp) -> Timestamp;
}

/// Where seeds and ids come from.
pub trait Entropy: Send + Sync {
    /// 32 bytes that nobody can guess and that never repeat.
    fn bytes(&self) -> [u8; 32];
}

/// The embedded durable service. One per store: it takes itself for the only writer.
pub struct DurableService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// What can be invoked.
    functions: Arc<dyn Functions>,
    /// Of the store when this service took it: tokens of other owners are refused.
    epoch: u64,
    /// Invocations so far: the next one's number.
    invocations: AtomicU64,
    /// Executions that others invoked and that this process has seen run and not end.
    children: Mutex<BTreeSet<ExecutionArn>>,
    /// Executions that this process is at work on.
    live: Mutex<BTreeMap<ExecutionArn, Arc<Mutex<Slot>>>>,
}

impl DurableService {
    /// A service that owns `store` from now on. What was under way when its last owner died is found out execution by
    /// execution, when each is next invoked.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let epoch = store.epoch();
        let functions = Arc::new(functions::NoFunctions);
        Self {
            store,
            clock,
            entropy,
            functions,
            epoch,
            invocations: AtomicU64::new(1),
            children: Mutex::default(),
            live: Mutex::default(),
        }
    }

    /// Now, for an execution whose latest row is of `after`: a clock that breaks its promise must not make a log that
    /// cannot be folded.
    fn now(&self, after: Timestamp) -> Timestamp {
        self.clock.now(after).max(after)
    }

    /// Executions, newest first, as the summaries have them.
    pub fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, ServiceError> {
        Ok(self.store.list(filter)?)
    }

    /// The log.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

/// A version-4 UUID of the first 16 bytes.
fn uuid(bytes: [u8; 32]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().take(16).enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => byte,
        };
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}
