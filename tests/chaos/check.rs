//! One program: run live with every invocation verified, replayed offline, and resumed behind rows of its log.

use crate::in_process::{NoEntropy, SlowTime, component, request, sandbox};
use crate::program::Program;
use everstep::embedded::Time;
use everstep::worker::{Backend, Environment, Observer, Worker};
use everstep_core::protocol::{
    Cause, CheckpointRequest, CheckpointResponse, ComponentDigest, ErrorObject, Event, ExecutionArn, ExecutionConfig,
    ExecutionStatus, FilesConfig, InvocationOutput, Journal, Operation, OperationId, ServiceError, Timestamp,
    Transition,
};
use everstep_core::service::{DurableService, Invoked, Waiting, history_of};
use everstep_core::store::memory::MemoryStore;
use everstep_core::store::{Append, Projection, Store};
use everstep_sandbox::durable::LogLevel;
use everstep_sandbox::{CompiledWorkflow, Network, Stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

const GUEST: &str = "guest-chaos";
/// Rows behind which a program is resumed, at most.
const CUTS: u64 = 4;
/// Invocations of one program; more are without end.
const INVOCATIONS: u32 = 400;

/// What was done.
#[derive(Default)]
pub(crate) struct Totals {
    programs: u64,
    operations: u64,
    host_calls: u64,
    invocations: u64,
    resumed: u64,
    /// Events of the live runs, by their names in the history.
    events: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Names of events that no program had.
    pub(crate) fn missing(&self, events: &str) -> Vec<String> {
        events.split_whitespace().filter(|event| !self.events.contains_key(event)).map(str::to_owned).collect()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.programs += other.programs;
        self.operations += other.operations;
        self.host_calls += other.host_calls;
        self.invocations += other.invocations;
        self.resumed += other.resumed;
        for (event, count) in &other.events {
            *self.events.entry(event).or_default() += count;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { programs, operations, host_calls, invocations, resumed, events } = self;
        write!(
            f,
            "{programs} programs of {operations} operations and {host_calls} host calls, resumed at {resumed} cut \
             points, {invocations} invocations each verified; {events:?}"
        )
    }
}

fn workflow() -> &'static CompiledWorkflow {
    static LOADED: OnceLock<CompiledWorkflow> = OnceLock::new();
    LOADED.get_or_init(|| sandbox().load(component(GUEST)).expect("the guest compiles"))
}

/// Bodies may connect to where nobody listens. A busy machine is no fault of the program's.
fn environment() -> Environment {
    let allow = Arc::new(vec![([127, 0, 0, 1], 9).into()]);
    let stretch = Duration::from_secs(900);
    Environment { network: Network { allow, ..Network::default() }, stretch, ..crate::in_process::environment() }
}

/// As the service's checkpoints are far apart, timers come due while steps run, or do not.
fn tick(seed: u64) -> u64 {
    [7, 350, 1100][seed as usize % 3]
}

/// What the workflow wrote outside its bodies: standard output and log lines.
#[derive(Default)]
struct Written(Mutex<Vec<u8>>);

impl Written {
    fn length(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Written {
    fn step_running(&self, _: &OperationId, _: Option<&str>, _: u32) {}
    fn changed(&self, _: &Operation) {}
    fn sleeping(&self, _: Duration) {}
    fn output(&self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stdout {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
    }
    fn waiting(&self, _: Timestamp, _: Duration) {}
    fn invocation_failed(&self, _: &ErrorObject) {}
    fn log(&self, _: Option<&str>, _: LogLevel, message: &str, fields: &[(String, String)]) {
        if message.starts_with("out") {
            self.0.lock().unwrap().extend_from_slice(format!("{message} {fields:?}").as_bytes());
        }
    }
}

/// The service; notes how much was written when the guest stood where.
struct Noting {
    service: DurableService,
    written: Arc<Written>,
    stood: Mutex<Vec<(Journal, usize)>>,
}

impl Noting {
    fn note(&self, journal: Option<Journal>) {
        self.stood.lock().unwrap().extend(journal.map(|journal| (journal, self.written.length())));
    }
}

impl Backend for Noting {
    fn checkpoint(&self, arn: &ExecutionArn, request: CheckpointRequest) -> Result<CheckpointResponse, ServiceError> {
        self.note(request.journal);
        self.service.checkpoint(arn, request)
    }
}

/// How a program ended.
pub(crate) struct End {
    pub(crate) result: InvocationOutput,
    /// What was in its memory then.
    pub(crate) memory: [u8; 32],
    log: Vec<Transition>,
    written: Vec<u8>,
    /// Where the guest stood at its checkpoints, and how much was written then.
    stood: Vec<(Journal, usize)>,
    invocations: u64,
}

/// What a crash must not change of a row.
#[derive(Debug, PartialEq)]
pub(crate) struct Lasting<'a> {
    at: Timestamp,
    events: Vec<&'a Event>,
    journal: Option<Journal>,
}

impl End {
    /// The log without the ends of invocations.
    pub(crate) fn essence(&self) -> Vec<Lasting<'_>> {
        let rows = self.log.iter().filter_map(|row| {
            let lasts = |event: &&Event| !matches!(event, Event::InvocationCompleted { .. });
            let events: Vec<_> = row.events.iter().filter(lasts).collect();
            (!events.is_empty()).then_some(Lasting { at: row.at, events, journal: row.journal })
        });
        rows.collect()
    }

    fn operations(&self) -> usize {
        let starts = |event: &&Event| {
            matches!(
                event,
                Event::StepStarted { .. }
                    | Event::WaitStarted { .. }
                    | Event::ContextStarted { .. }
                    | Event::CallbackStarted { .. }
                    | Event::ChainedInvokeStarted { .. }
            )
        };
        self.log.iter().flat_map(|row| &row.events).filter(starts).count()
    }

    fn host_calls(&self) -> u64 {
        self.stood.last().map_or(0, |(journal, _)| journal.calls)
    }

    /// How much an execution with these rows has written already, as its next invocation believes.
    fn written_before(&self, rows: usize) -> usize {
        let stood = self.log[..rows].iter().rev().find_map(|row| row.journal);
        let noted =
            |stood: Journal| self.stood.iter().find(|(journal, _)| *journal == stood).map(|(_, length)| *length);
        stood.and_then(noted).unwrap_or(0)
    }
}

/// By the name of the callback, or, of one with a submitter, of the context that it is alone in.
fn is_answered(callback: &Arc<Operation>) -> bool {
    callback.name.as_deref().is_none_or(|name| name.starts_with("answer"))
}

/// Drives what is in the store to its end, each invocation compared with a replay of it in a fresh instance.
fn drive(store: &Arc<MemoryStore>, tick: u64) -> Result<End, String> {
    let time = Arc::new(SlowTime::ticking(tick));
    let service = DurableService::new(store.clone(), time.clone(), Arc::new(NoEntropy));
    let written = Arc::new(Written::default());
    let noting = Arc::new(Noting { service, written: written.clone(), stood: Mutex::default() });
    let worker = Worker::new(noting.clone(), environment(), written.clone());
    let summary = store.find(GUEST, "tested").map_err(|error| error.to_string())?.ok_or("there is no execution")?;
    let mut memory = None;
    let mut invocations = 0;
    loop {
        match noting.service.invoke(&summary.arn).map_err(|error| error.to_string())? {
            Invoked::Run(invocation) => {
                invocations += 1;
                if invocations > INVOCATIONS {
                    return Err(format!("it does not end within {INVOCATIONS} invocations"));
                }
                let report = worker.invoke(workflow(), *invocation).map_err(|abandoned| format!("{abandoned:?}"))?;
                memory = Some(report.memory);
                noting.note(Some(report.journal));
                noting
                    .service
                    .complete_invocation(&summary.arn, &report.token, report.output, Some(report.journal))
                    .map_err(|error| error.to_string())?;
            }
            // Whoever is asked for an answer gives it at once.
            Invoked::Waiting(Waiting { callbacks, .. }) if callbacks.iter().any(is_answered) => {
                let asked =
                    callbacks.iter().find_map(|callback| callback.callback.as_ref().filter(|_| is_answered(callback)));
                let id = &asked.ok_or("a callback without an id")?.callback_id;
                let answer = format!("\"{}\"", id.len());
                match noting.service.complete_callback(id, Ok(Some(answer))) {
                    Ok(()) | Err(ServiceError::CallbackTimeout) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Invoked::Waiting(Waiting { until: Some(until), .. }) => time.sleep_until(until),
            Invoked::Closed(_) => break,
            Invoked::Waiting(Waiting { until: None, .. }) => return Err("it waits for ever".into()),
        }
    }
    let ended = noting.service.describe(&summary.arn).map_err(|error| error.to_string())?;
    let result = match (ended.result, ended.error) {
        (Some(result), None) => InvocationOutput::Succeeded(Some(result)),
        (_, Some(error)) if error.error_type.as_deref() == Some("HandlerError") => InvocationOutput::Failed(error),
        (_, error) => return Err(format!("{:?}: {error:#?}", ended.status)),
    };
    Ok(End {
        result,
        memory: memory.and_then(|memory| memory.digest()).ok_or("there is not one memory")?,
        log: store.load(summary.key).map_err(|error| error.to_string())?,
        written: written.take(),
        stood: std::mem::take(&mut noting.stood.lock().unwrap()),
        invocations: u64::from(invocations),
    })
}

/// Runs the program from its start.
pub(crate) fn live(program: &Program, seed: u64) -> Result<End, String> {
    let store = Arc::new(MemoryStore::new());
    let time = Arc::new(SlowTime::ticking(tick(seed)));
    let service = DurableService::new(store.clone(), time, Arc::new(NoEntropy));
    let input = serde_json::to_string(program).map_err(|error| error.to_string())?;
    let config = ExecutionConfig {
        environment: program.environment.clone(),
        arguments: program.arguments.clone(),
        memory_bytes: program.memory_bytes,
        files: Some(FilesConfig::default()),
        ..ExecutionConfig::default()
    };
    let mut request = request(GUEST, &input, seed);
    request.config = config;
    service.start(request).map_err(|error| error.to_string())?;
    store.reopen();
    drive(&store, tick(seed))
}

/// A store with the beginning of a log.
fn with(rows: &[Transition]) -> Result<Arc<MemoryStore>, String> {
    let store = MemoryStore::new();
    let running = Projection { status: ExecutionStatus::Running, ended_at: None, wake_at: Some(rows[0].at) };
    let text = |error: everstep_core::store::StoreError| error.to_string();
    store.put_component(ComponentDigest::of(component(GUEST)), component(GUEST)).map_err(text)?;
    let execution = store.create(&rows[0], running).map_err(text)?;
    for (sequence, row) in (1..).zip(&rows[1..]) {
        store.append(Append { execution, sequence, transition: row.clone(), projection: None }).map_err(text)?;
    }
    Ok(Arc::new(store))
}

/// Whether an execution that died behind these rows goes another way than one that did not, as it should. Either the
/// start of an attempt is in the log, which counts as interrupted then. Or timers came due after an invocation failed: it
/// cannot be told whether its retry was under way, so what comes due next is recorded before the retry, not with it.
fn goes_another_way(rows: &[Transition]) -> bool {
    let Some(last) = rows.last() else { return false };
    let failed = |event: &Event| matches!(event, Event::InvocationCompleted { error: Some(_), request_id, .. } if !request_id.starts_with("lost-"));
    let before_timers = rows.iter().rfind(|row| row.cause != Cause::Timer);
    if last.cause == Cause::Timer && before_timers.is_some_and(|row| row.events.iter().any(failed)) {
        return true;
    }
    let mut open = BTreeSet::new();
    for event in rows.iter().flat_map(|row| &row.events) {
        match event {
            Event::StepStarted { id, .. } => {
                open.insert(id.as_str());
            }
            Event::StepSucceeded { id, .. } | Event::StepFailed { id, .. } | Event::StepRetried { id, .. } => {
                open.remove(id.as_str());
            }
            _ => {}
        }
    }
    !open.is_empty()
}

fn same(end: &End, live: &End) -> Result<(), String> {
    let (one, other) = (end.essence(), live.essence());
    if let Some(row) = (0..one.len().max(other.len())).find(|row| one.get(*row) != other.get(*row)) {
        return Err(format!("row {row} differs:\n{:?}\nand live\n{:?}", one.get(row), other.get(row)));
    }
    if end.result != live.result {
        return Err(format!("the result is {:?} and was {:?}", end.result, live.result));
    }
    if end.memory != live.memory {
        return Err("it ends with other memory".into());
    }
    Ok(())
}

/// Runs it, replays it, and resumes it. `Err` says what differs.
pub(crate) fn check(program: &Program, seed: u64) -> Result<Totals, String> {
    let live = live(program, seed).map_err(|why| format!("live: {why}"))?;
    let mut totals = Totals {
        programs: 1,
        operations: live.operations() as u64,
        host_calls: live.host_calls(),
        invocations: live.invocations,
        resumed: 0,
        events: BTreeMap::new(),
    };
    for event in history_of(&live.log) {
        *totals.events.entry(event.event_type()).or_default() += 1;
    }
    let written = Arc::new(Written::default());
    let offline = Worker::offline(environment(), written.clone());
    let replayed = offline.replay(workflow(), &live.log).map_err(|error| format!("replayed: {error}"))?;
    if replayed != live.result {
        return Err(format!("replayed, it ends with {replayed:?} and ended with {:?}", live.result));
    }
    if written.take() != live.written {
        return Err("replayed, it writes something else".into());
    }
    let rows = live.log.len();
    let cuts: Vec<usize> = match rows as u64 - 1 {
        few @ 0..=CUTS => (1..=few as usize).collect(),
        many => (0..CUTS).map(|cut| 1 + ((seed.wrapping_mul(31) + cut * many / CUTS) % many) as usize).collect(),
    };
    for cut in cuts {
        let at = |why: String| format!("resumed behind row {cut} of {rows}: {why}");
        let resumed = drive(&with(&live.log[..cut])?, tick(seed)).map_err(at)?;
        totals.resumed += 1;
        totals.invocations += resumed.invocations;
        if goes_another_way(&live.log[..cut]) {
            continue;
        }
        same(&resumed, &live).map_err(at)?;
        if resumed.written != live.written[live.written_before(cut)..] {
            return Err(at("it writes something else".into()));
        }
    }
    Ok(totals)
}
