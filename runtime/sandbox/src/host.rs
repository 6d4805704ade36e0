//! What the sandbox asks of whoever runs a workflow: the other side of every call a guest can make.

use crate::durable::{
    CallbackOptions, ErrorObject, Event, ExecutionInfo, FetchOptions, HttpRequest, HttpResponse, InvokeOptions,
    LogLevel, Operation, StepOptions, StepOutcome,
};

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a step body's output goes, at once.
pub type LiveOutput = std::sync::Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// A host's reason to end the run here. The instance is dropped; nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Nothing can go on before something outside happens.
    #[error("the execution is suspended")]
    Suspend,
    /// The guest did something no workflow may do; it would do it on every replay: the execution fails with this text.
    #[error("{0}")]
    Refused(String),
    /// A step's body did something no body may do; its workflow is wrong, and no further attempt would do better: the
    /// execution fails with this text.
    #[error("{0}")]
    Misused(String),
    /// A step's body has ended and left its instance in a state that cannot be put back: go on in a fresh one, which
    /// replays what is recorded by now.
    #[error("the run goes on in a fresh instance")]
    Afresh,
    /// The host cannot go on, or will not: only it knows why, and it remembers.
    #[error("the host stopped the run")]
    Host,
}

/// How the end of an HTTP request is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// By [`Host::next`], as any operation's.
    Next,
    /// By [`Host::block`].
    Blocking,
}

/// What a blocked guest goes on with.
#[derive(Debug)]
pub enum Woken {
    /// The deadline has come.
    Deadline(u64),
    /// This request has ended: with its answer, or with a code of wasi:http's `error-code`.
    Fetched(Operation, Result<HttpResponse, String>),
}

/// The other side of a guest's calls.
///
/// Calls come strictly one at a time. While a step's body runs (from [`Host::next`] answering
/// [`Event::Run`] until [`Host::end`]) only `body_random`, `log`, `operation_id` and `idempotency_key` are called;
/// output inside a body goes to the live sink given to the guest instead of [`Host::output`].
pub trait Host: std::any::Any + Send {
    /// Which execution this is.
    fn execution(&mut self) -> ExecutionInfo;
    /// The input payload.
    fn input(&mut self) -> Option<String>;
    /// See `everstep.wit`, as for all functions below of the same name.
    fn begin_step(&mut self, parent: Operation, options: StepOptions) -> Result<Operation, Stop>;
    /// A durable timer.
    fn begin_wait(&mut self, parent: Operation, name: Option<String>, seconds: u32) -> Result<Operation, Stop>;
    /// A child context.
    fn begin_context(&mut self, parent: Operation, name: Option<String>, sub_type: String) -> Result<Operation, Stop>;
    /// A context that is nowhere recorded.
    fn begin_virtual_context(&mut self, parent: Operation) -> Result<Operation, Stop>;
    /// A step that polls.
    fn begin_condition(&mut self, parent: Operation, name: Option<String>) -> Result<Operation, Stop>;
    /// Something outside completes it; its id arrives with [`Host::next`].
    fn begin_callback(&mut self, parent: Operation, options: CallbackOptions) -> Result<Operation, Stop>;
    /// Another function's result.
    fn begin_invoke(&mut self, parent: Operation, options: InvokeOptions) -> Result<Operation, Stop>;
    /// An HTTP request that the host performs.
    fn begin_fetch(
        &mut self,
        parent: Operation,
        request: HttpRequest,
        options: FetchOptions,
        delivered: Delivered,
    ) -> Result<Operation, Stop>;
    /// The answer to a request that has completed; once.
    fn response(&mut self, operation: Operation) -> Result<HttpResponse, Stop>;
    /// The child context's body ended.
    fn end_context(&mut self, context: Operation, outcome: Result<Option<String>, ErrorObject>) -> Result<(), Stop>;
    /// The operation's future was dropped.
    fn cancel(&mut self, operation: Operation) -> Result<(), Stop>;
    /// The next event; the guest is quiescent. [`Stop::Suspend`] if there is none.
    fn next(&mut self) -> Result<Event, Stop>;
    /// The guest asks for its events with `next-unsealed`: said once, before the first is asked for. What its bodies
    /// leave in memory stays there, so only a replay can tell whether the run depends on it.
    fn unsealed(&mut self);
    /// A body ended. The sandbox restores the guest's state after this returned, unless it is unsealed.
    fn end(&mut self, operation: Operation, outcome: StepOutcome) -> Result<(), Stop>;
    /// The operation's id in the log.
    fn operation_id(&mut self, operation: Operation) -> Result<String, Stop>;
    /// The same for every attempt and replay of this operation.
    fn idempotency_key(&mut self, operation: Operation) -> Result<String, Stop>;
    /// A log line; `in_body` if a step's body wrote it.
    fn log(
        &mut self,
        in_body: bool,
        operation: Operation,
        level: LogLevel,
        message: String,
        fields: Vec<(String, String)>,
    );
    /// The workflow's result.
    fn finish(&mut self, outcome: Result<Option<String>, ErrorObject>) -> Result<(), Stop>;

    /// A read of the virtual clock: nanoseconds since the Unix epoch. Never goes back, moves with every read.
    fn clock(&mut self) -> u64;
    /// The guest blocks until the virtual clock reaches `deadline` (nanoseconds since the epoch) or one of these
    /// requests has ended, whichever comes first in the order of the log.
    fn block(&mut self, deadline: Option<u64>, fetches: &[Operation]) -> Result<Woken, Stop>;
    /// Where the virtual clock stands: as [`Host::clock`], but nothing moves, and it is no call of the guest's. What
    /// times of files are taken from.
    fn time(&self) -> u64;
    /// Random bytes outside bodies: the same on every replay.
    fn random(&mut self, bytes: &mut [u8]);
    /// Random bytes inside a body: real.
    fn body_random(&mut self, bytes: &mut [u8]);
    /// What hash maps are seeded with: the same wherever it is asked for.
    fn hash_seed(&mut self) -> (u64, u64);
    /// After `log`, `clock` and `random` outside bodies, which cannot stop the run themselves: whether it may go on.
    fn check(&mut self) -> Result<(), Stop> {
        Ok(())
    }
    /// Output written outside bodies since the last call of this trait, in order.
    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Stop>;
}
