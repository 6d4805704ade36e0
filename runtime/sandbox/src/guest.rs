//! One run of one component: from a fresh instance to its end, its suspension or its fault.

use crate::backtrace::Backtrace;
use crate::durable::{Operation, stop};
use crate::engine::CompiledWorkflow;
use crate::host::{Host, LiveOutput, Stop};
use crate::memory::SealedMemory;
use crate::wasi::{Filesystem, GuestFiles, Http, Output, Stdin};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Resources a guest may hold at once.
const MAX_HANDLES: usize = 4096;
/// Frames below the one that calls `next` which may still be alive: its own spill area and the bindings'.
const LIVE_BELOW_FRAME: usize = 4096;

/// What one run may use.
#[derive(Clone, Debug)]
pub struct GuestLimits {
    /// Linear memory, bytes: `memory.grow` beyond it answers -1, the same on every replay. Files in memory may have as
    /// many again.
    pub memory_bytes: u64,
    /// Wall time of one stretch of guest code: a step's body, or workflow code between two events.
    pub stretch: Duration,
    /// Bytes of output in all, outside bodies, and again in each body.
    pub output_bytes: u64,
    /// What a log line counts for among them beyond its text, bytes.
    pub log_line_bytes: u32,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, stretch: Duration::from_secs(900), output_bytes: 16 << 20, log_line_bytes: 64 }
    }
}

/// Where step bodies may connect to. Default: nowhere.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Socket addresses, each with a port.
    pub allow: Arc<Vec<std::net::SocketAddr>>,
    /// Performs the HTTP requests of step bodies, and decides where they may go.
    pub http: everstep_http::Client,
}

/// What a guest is run with.
pub struct Guest {
    /// Environment variables, in order.
    pub environment: Vec<(String, String)>,
    /// The program's name, then its arguments.
    pub arguments: Vec<String>,
    /// What standard input yields.
    pub stdin: Vec<u8>,
    /// Bounds.
    pub limits: GuestLimits,
    /// Network for step bodies.
    pub network: Network,
    /// Files; none: not even a root is preopened.
    pub files: Option<GuestFiles>,
    /// Where output goes that a step's body writes: at once, unbuffered.
    pub live_output: LiveOutput,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// The program returned from `main`, or exited with status 0.
    Returned,
    /// The program exited with another status.
    Exited(i32),
    /// The host stopped it.
    Stopped(Stop),
    /// It trapped.
    Trapped(Trap),
}

/// A fault of the guest.
#[derive(Debug)]
pub struct Trap {
    /// What kind.
    pub kind: TrapKind,
    /// One line for people.
    pub message: String,
    /// The step whose body was running.
    pub body: Option<Operation>,
    /// The program exited in it, with whatever status.
    pub exited: bool,
}

/// Whether a trap would happen again on every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// It would: `unreachable` (how a Rust panic ends), memory out of bounds, division by zero...
    Deterministic,
    /// The stack overflowed: at what depth depends on the machine's code.
    StackOverflow,
    /// A stretch of guest code took longer than [`GuestLimits::stretch`].
    Timeout,
    /// The host failed, not the guest.
    Host,
}

/// A run that is over.
pub struct Run {
    /// How it ended.
    pub ended: Ended,
    /// Where the guest was if it was stopped or trapped; empty if it suspended or ended by itself.
    pub backtrace: Backtrace,
    /// The host that was given to it.
    pub host: Box<dyn Host>,
    /// The guest's memory as the end left it, if it has exactly one.
    pub memory: Option<Arc<SealedMemory>>,
    /// First byte of `memory` that means something: what lies below is dead stack.
    pub memory_from: usize,
}

impl Guest {
    /// Runs the workflow in a fresh instance on this thread, to whatever end.
    pub fn run(self, workflow: &CompiledWorkflow, host: Box<dyn Host>) -> Run {
        let output = Output::new(self.live_output, self.limits.output_bytes, self.limits.log_line_bytes);
        let stdin = Stdin::new(self.stdin);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let state = GuestState {
            host,
            wasi: crate::wasi::context(&self.environment, &self.arguments, &output, &stdin, &self.network),
            table,
            output,
            stdin,
            files: Filesystem::new(self.files, self.limits.memory_bytes),
            timers: HashMap::new(),
            http: Http::new(self.network.http),
            look_ups: 0,
            memory: Vec::new(),
            stack_top: workflow.shape().stack_top,
            unsealable: workflow.shape().unsealable.clone(),
            delivery: None,
            body: None,
            stretch_started: Instant::now(),
            limits: self.limits,
        };
        let mut store = Store::new(workflow.engine(), state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|context| {
            let state: &GuestState = context.data();
            let over = state.stretch_started.elapsed() >= state.limits.stretch;
            Ok(if over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        store.set_epoch_deadline(1);

        drop(crate::memory::collect());
        let result = workflow.instantiate_pre().instantiate(&mut store);
        store.data_mut().memory = crate::memory::collect();
        store.data_mut().start_stretch();
        let result = result.and_then(|command: Command| command.wasi_cli_run().call_run(&mut store));
        let state = store.data_mut();
        let backtrace = result.as_ref().err().map_or_else(Backtrace::default, Backtrace::of);
        // After `end` there is no body any more that a fault could interrupt.
        let body = state.body.as_ref().filter(|body| !body.ended).map(|body| body.operation);
        let mut ended = match (&result, state.ended_body()) {
            (Ok(_), Some(operation)) => Ended::Stopped(Stop::Refused(format!(
                "the program returned after `end` of operation {operation}: call `next-unsealed` for its outcome first"
            ))),
            _ => classify(result, body),
        };
        if let Ended::Trapped(Trap { kind: TrapKind::StackOverflow | TrapKind::Timeout | TrapKind::Host, .. }) = ended {
            // Where such a fault strikes differs from run to run: what was written since the last call is shown, but
            // is no call of the guest's.
            state.output.show_pending();
        } else if let (Err(error), Ended::Returned | Ended::Exited(_)) = (state.drain_output(), &ended) {
            ended = classify(Err(error), None);
        }
        let backtrace =
            if matches!(ended, Ended::Returned | Ended::Exited(_)) { Backtrace::default() } else { backtrace };
        let state = store.into_data();
        let memory = (state.memory.len() == 1).then(|| state.memory[0].clone());
        Run { ended, backtrace, host: state.host, memory, memory_from: state.stack_top }
    }
}

fn classify(result: wasmtime::Result<Result<(), ()>>, body: Option<Operation>) -> Ended {
    let error = match (result, body) {
        (Ok(_), Some(_)) => {
            let message = "the program ended inside it; return from the step first".to_owned();
            return Ended::Trapped(Trap { kind: TrapKind::Deterministic, message, body, exited: false });
        }
        (Ok(Ok(())), None) => return Ended::Returned,
        (Ok(Err(())), None) => return Ended::Exited(1),
        (Err(error), _) => error,
    };
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return match (body, exit.0) {
            (Some(_), status) => {
                let message = format!("it exited the whole program with status {status}; return an error instead");
                Ended::Trapped(Trap { kind: TrapKind::Deterministic, message, body, exited: true })
            }
            (None, 0) => Ended::Returned,
            (None, status) => Ended::Exited(status),
        };
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        let text = format!(
            "the guest holds {MAX_HANDLES} handles (files, sockets, timers, streams), which is as many as there are; \
             drop those that are done with"
        );
        return classify(Err(stop(Stop::Refused(text))), body);
    }
    let (kind, message) = match (error.downcast_ref::<wasmtime::Trap>(), error.downcast_ref::<Stop>()) {
        (_, Some(Stop::Refused(text))) if body.is_some() => (TrapKind::Deterministic, text.clone()),
        (_, Some(_)) => return Ended::Stopped(error.downcast::<Stop>().unwrap_or(Stop::Suspend)),
        (Some(wasmtime::Trap::StackOverflow), _) => {
            (TrapKind::StackOverflow, "the guest's call stack overflowed; look for recursion without an end".to_owned())
        }
        (Some(wasmtime::Trap::Interrupt), _) => (
            TrapKind::Timeout,
            "a stretch of guest code exceeded its time limit; look for a loop without an end".to_owned(),
        ),
        (Some(wasmtime::Trap::MemoryOutOfBounds), _) => {
            // The shadow stack grows down to address 0, so running off it is an access out of bounds: the same on every
            // machine, unlike an overflow of the host's stack.
            (TrapKind::Deterministic, "memory access out of bounds; often recursion without an end".to_owned())
        }
        (Some(trap), _) => (TrapKind::Deterministic, trap.to_string()),
        (None, None) => (TrapKind::Host, cause(&error)),
    };
    Ended::Trapped(Trap { kind, message, body, exited: false })
}

/// The error without the backtrace that wasmtime puts before it: that is in the frames.
fn cause(error: &wasmtime::Error) -> String {
    let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>().map(ToString::to_string);
    let texts = error.chain().map(ToString::to_string).filter(|text| Some(text) != backtrace.as_ref());
    texts.collect::<Vec<_>>().join(": ")
}

/// What the store of one run holds.
pub(crate) struct GuestState {
    pub(crate) host: Box<dyn Host>,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) output: Output,
    stdin: Stdin,
    pub(crate) files: Filesystem,
    /// Deadlines of the guest's timer pollables, nanoseconds since the epoch, by resource number.
    pub(crate) timers: HashMap<u32, u64>,
    pub(crate) http: Http,
    /// Names that this body has looked up.
    pub(crate) look_ups: u32,
    memory: Vec<Arc<SealedMemory>>,
    stack_top: usize,
    unsealable: Option<String>,
    /// How events are handed over, once the guest has asked for one.
    delivery: Option<Delivery>,
    body: Option<Body>,
    stretch_started: Instant,
    pub(crate) limits: GuestLimits,
}

/// Which of the two calls a guest asks for its events with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// `next`: what a body does to the guest's state is undone.
    Sealed,
    /// `next-unsealed`: it stays.
    Unsealed,
}

/// The resource table, as far as the guest's own table of handles follows it: a handle is made with each resource and
/// goes with it, and both tables give out the number that became free last.
#[derive(Default, PartialEq, Eq)]
struct Handles {
    /// Numbers in use.
    held: Vec<u32>,
    /// Numbers that come next, in order, up to the first that was never used.
    free: Vec<u32>,
}

/// An open body, with what has to be put back when it ends.
struct Body {
    operation: Operation,
    /// It was opened by `next`.
    sealed: bool,
    /// `end` was called, and what follows is still the body's: it is not sealed.
    ended: bool,
    handles: Handles,
    timers: HashMap<u32, u64>,
    stdin_position: usize,
    opened: Instant,
    opened_at: u64,
}

impl Body {
    fn unsealed(operation: Operation) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            operation,
            sealed: false,
            ended: false,
            handles: Handles::default(),
            timers: HashMap::new(),
            stdin_position: 0,
            opened: Instant::now(),
            opened_at: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX >> 1),
        }
    }
}

impl GuestState {
    pub(crate) fn in_body(&self) -> bool {
        self.body.is_some()
    }

    /// The real clock as a body sees it: nanoseconds since the epoch, never going back within the body.
    pub(crate) fn body_clock(&self) -> Option<u64> {
        let body = self.body.as_ref()?;
        Some(body.opened_at + u64::try_from(body.opened.elapsed().as_nanos()).unwrap_or(u64::MAX >> 1))
    }

    /// The guest goes on after the host did something: an event was handed over, or a wait is over.
    pub(crate) fn start_stretch(&mut self) {
        self.stretch_started = Instant::now();
        self.files.tick(self.host.time());
    }

    /// A read of the virtual clock by the guest.
    pub(crate) fn read_clock(&mut self) -> wasmtime::Result<u64> {
        let now = self.host.clock();
        self.files.tick(now);
        self.check_outside()?;
        Ok(now)
    }

    /// How much of this stretch is left.
    pub(crate) fn stretch_left(&self) -> Duration {
        self.limits.stretch.saturating_sub(self.stretch_started.elapsed())
    }

    fn handles(&mut self) -> Handles {
        let population = self.table.iter_mut().count();
        let held: Vec<u32> = (0..).filter(|rep| self.table.get_any_mut(*rep).is_ok()).take(population).collect();
        // Probing is the way to see in which order the free numbers will be given out. It ends at a number never given
        // before, or with the table full.
        let mut free = Vec::new();
        while let Ok(probe) = self.table.push(()) {
            free.push(probe.rep());
            if probe.rep() as usize + 1 >= held.len() + free.len() {
                break;
            }
        }
        for probe in free.iter().rev() {
            // The last one freed is the first given out again.
            drop(self.table.delete(Resource::<()>::new_own(*probe)));
        }
        Handles { held, free }
    }

    /// Sets aside everything a body could change. Called before the answer of `next` is written to guest memory.
    pub(crate) fn open_body(&mut self, operation: Operation, frame: u32) -> wasmtime::Result<()> {
        let frame = frame as usize;
        let from = if frame < self.stack_top { frame.saturating_sub(LIVE_BELOW_FRAME) } else { 0 };
        for memory in &self.memory {
            memory.seal(from)?;
        }
        let handles = self.handles();
        let stdin_position = self.stdin.position();
        self.body = Some(Body {
            sealed: true,
            handles,
            timers: self.timers.clone(),
            stdin_position,
            ..Body::unsealed(operation)
        });
        self.look_ups = 0;
        self.output.body_opened();
        self.files.open_body();
        Ok(())
    }

    /// Opens a body of which nothing will be undone.
    pub(crate) fn open_unsealed_body(&mut self, operation: Operation) {
        self.body = Some(Body::unsealed(operation));
        self.output.body_opened();
    }

    /// The body that was ended without being left: on replay the program gets from one call of `next-unsealed` to the
    /// next without what lies between, so all of that is the body's, also what an interpreter does after `end`.
    pub(crate) fn ended_body(&self) -> Option<Operation> {
        self.body.as_ref().filter(|body| body.ended).map(|body| body.operation)
    }

    pub(crate) fn leave_unsealed_body(&mut self) {
        if self.ended_body().is_some() {
            self.body = None;
            self.output.body_closed();
        }
    }

    /// The guest asks for its events in one way, always, and in one that its shape allows.
    pub(crate) fn choose_delivery(&mut self, delivery: Delivery) -> wasmtime::Result<()> {
        if self.delivery == Some(delivery) {
            return Ok(());
        }
        let unsealable = match self.memory.len() {
            1 => self.unsealable.clone(),
            memories => Some(format!("it has {memories} linear memories instead of one")),
        };
        let refused = match (self.delivery, delivery, unsealable) {
            (Some(_), ..) => {
                "the program calls both `next` and `next-unsealed`: it may call only one of them".to_owned()
            }
            (None, Delivery::Sealed, Some(reason)) => {
                format!("step bodies cannot be sealed: {reason}; call `next-unsealed` instead of `next`")
            }
            _ => {
                if delivery == Delivery::Unsealed {
                    self.host.unsealed();
                }
                self.delivery = Some(delivery);
                return Ok(());
            }
        };
        Err(stop(Stop::Refused(refused)))
    }

    pub(crate) fn check_body(&mut self, operation: Operation) -> wasmtime::Result<()> {
        let open = self.body.as_ref().filter(|body| !body.ended).map(|body| body.operation);
        if open != Some(operation) {
            return Err(stop(Stop::Refused(format!(
                "`end` of operation {operation}, but the open step is {open:?}; use everstep-sdk's step()"
            ))));
        }
        Ok(())
    }

    /// Puts back what [`GuestState::open_body`] set aside. `false`: that is not possible in this instance. A component's
    /// table of handles is wasmtime's: of what a body did to it, nothing but a fresh instance is free.
    pub(crate) fn close_body(&mut self) -> wasmtime::Result<bool> {
        if let Some(body) = self.body.as_mut().filter(|body| !body.sealed) {
            body.ended = true;
            return Ok(true);
        }
        let Some(body) = self.body.take() else { return Ok(true) };
        self.output.body_closed();
        if self.handles() != body.handles || self.timers != body.timers || self.files.disturbed() {
            return Ok(false);
        }
        for memory in &self.memory {
            memory.unseal()?;
        }
        self.stdin.seek(body.stdin_position);
        self.files.close_body();
        Ok(true)
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for GuestState {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= self.limits.memory_bytes)
    }
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // The limit is answered above, alike on every replay; a host that is out of memory is no answer at all.
        Err(error)
    }
    fn instances(&self) -> usize {
        64
    }
    fn memories(&self) -> usize {
        8
    }
    fn tables(&self) -> usize {
        64
    }
    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 1 << 20)
    }
}
