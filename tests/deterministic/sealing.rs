//! Step bodies leave no trace: every case of `guest-sealing`, compiled with the optimiser at its most eager, run,
//! replayed, and resumed from its log cut behind every row. The workflow sees the same numbers and addresses, ends with
//! the same memory, and the numbers are those of a workflow whose bodies changed nothing.

use crate::in_process::{NoEntropy, component, environment, request, sandbox, silent};
use everstep::embedded::SimulatedTime;
use everstep::worker::{Observer, Silent, Worker};
use everstep_core::protocol::{
    ComponentDigest, ErrorObject, ExecutionStatus, InvocationOutput, Operation, OperationId, Timestamp, Transition,
};
use everstep_core::service::{DurableService, Invoked};
use everstep_core::store::memory::MemoryStore;
use everstep_core::store::{Append, Projection, Store};
use everstep_sandbox::durable::LogLevel;
use everstep_sandbox::{CompiledWorkflow, Stream};
use serde_json::Value;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

const GUEST: &str = "guest-sealing";
/// A number of which only is known that it is always the same.
const ANY: u64 = u64::MAX;

fn workflow() -> &'static CompiledWorkflow {
    static LOADED: OnceLock<CompiledWorkflow> = OnceLock::new();
    LOADED.get_or_init(|| sandbox().load(component(GUEST)).expect("the guest compiles"))
}

/// The cases as the guest's source names them.
fn cases() -> Vec<&'static str> {
    let source = include_str!("../guests/sealing/src/cases.rs");
    let matched = source.split_once("match case {").expect("the cases are the arms of a match").1;
    let arms = matched.split_once("other =>").expect("with a last arm for what is none of them").0;
    arms.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect()
}

/// How a run ended: its result, what its memory was then, and its log.
#[derive(PartialEq)]
struct End {
    result: String,
    memory: [u8; 32],
    log: Vec<Transition>,
}

/// Drives what is in the store to its end, each invocation compared with a replay of it in a fresh instance, memory
/// included.
fn drive(store: &Arc<MemoryStore>, observer: Arc<dyn Observer>) -> End {
    let clock = Arc::new(SimulatedTime::default());
    let service = Arc::new(DurableService::new(store.clone(), clock, Arc::new(NoEntropy)));
    let worker = Worker::new(service.clone(), environment(), observer);
    let summary = store.find(GUEST, "tested").unwrap().expect("the execution exists");
    let mut memory = None;
    loop {
        match service.invoke(&summary.arn).unwrap() {
            Invoked::Run(invocation) => {
                let report = worker.invoke(workflow(), *invocation).expect("the service is in memory");
                memory = report.memory.digest();
                service.complete_invocation(&summary.arn, &report.token, report.output, Some(report.journal)).unwrap();
            }
            Invoked::Closed(ExecutionStatus::Succeeded) => break,
            other => panic!("{other:?}: {:?}", service.describe(&summary.arn).map(|description| description.error)),
        }
    }
    let result = service.describe(&summary.arn).unwrap().result.expect("a result");
    End { result, memory: memory.expect("one memory"), log: store.load(summary.key).unwrap() }
}

fn run(input: &str, observer: Arc<dyn Observer>) -> End {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SimulatedTime::default());
    let service = DurableService::new(store.clone(), clock, Arc::new(NoEntropy));
    service.start(request(GUEST, input, 1)).unwrap();
    store.reopen();
    drive(&store, observer)
}

/// A store with the beginning of a log.
fn with(rows: &[Transition]) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let running = Projection { status: ExecutionStatus::Running, ended_at: None, wake_at: Some(rows[0].at) };
    store.put_component(ComponentDigest::of(component(GUEST)), component(GUEST)).unwrap();
    let execution = store.create(&rows[0], running).unwrap();
    for (sequence, row) in (1..).zip(&rows[1..]) {
        store.append(Append { execution, sequence, transition: row.clone(), projection: None }).unwrap();
    }
    Arc::new(store)
}

/// Runs the case, replays it, and resumes it behind every row. Answers how it ended, and how often it was resumed.
fn everywhere(input: &str) -> (End, usize) {
    let live = run(input, silent());
    let offline = Worker::offline(environment(), silent());
    let replayed = offline.replay(workflow(), &live.log).unwrap_or_else(|error| panic!("{input}: {error}"));
    assert_eq!(replayed, InvocationOutput::Succeeded(Some(live.result.clone())), "{input}: replayed");
    for cut in 1..live.log.len() {
        let resumed = drive(&with(&live.log[..cut]), silent());
        assert_eq!(resumed.result, live.result, "{input}: resumed behind row {cut}");
        assert!(resumed.memory == live.memory, "{input}: resumed behind row {cut}, it ends with other memory");
    }
    let cuts = live.log.len() - 1;
    (live, cuts)
}

fn numbers(result: &str) -> Vec<u64> {
    let seen: Value = serde_json::from_str(result).unwrap();
    seen["numbers"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

/// What the workflow sees if no body leaves a trace. A body itself sees its own changes, made to what the workflow had.
fn untouched(case: &str) -> Vec<u64> {
    let rounds = |of: &dyn Fn(u64) -> Vec<u64>| (0..5).flat_map(of).collect::<Vec<u64>>();
    match case {
        "static_atomic" => [rounds(&|_| vec![100, 100]), vec![101]].concat(),
        "static_growth" => rounds(&|r| vec![1_010 * (r + 1), 10 * (r + 1)]),
        "thread_local" => rounds(&|r| vec![101 * r + 1, r]),
        "arc_mutex" => rounds(&|r| vec![1_001 + r, 1, 1]),
        "rc_refcell" => rounds(&|r| vec![5 + r + 1_000 * (r + 1), 5 + r, 1]),
        "cell" => rounds(&|r| vec![7 + r, 7 + r, 1]),
        "captured_by_move" => rounds(&|_| vec![100 + 50_000 + 7 + 10_000]),
        "box_taken" => rounds(&|r| vec![65 * r, r]),
        "own_future" => rounds(&|r| vec![64 * r + 1_000]),
        "guard" => {
            let mut report = 0;
            (0..5)
                .flat_map(|r| {
                    report = report * 31 + r + 1;
                    [1_000_000 + r, report]
                })
                .collect()
        }
        "growth" => {
            let (mut length, mut keys) = (0, 0);
            (0..5)
                .flat_map(|r| {
                    let inside = 9 * (length + 3_000 * (r + 1)) + 3_000 * (r + 1);
                    length += 10 + r;
                    keys = 10 + r;
                    // The third is a hash over the map's order, which is the seed's.
                    [inside, 9 * length + keys, ANY]
                })
                .collect()
        }
        // One byte in 4,096 of 32 MiB is written.
        "large_dropped" | "large_leaked" => [rounds(&|r| vec![8_192 * (r + 1)]), vec![3 << 20]].concat(),
        "loops" => rounds(&|turns| vec![100 + turns, turns]),
        "nested" => rounds(&|r| vec![4 * (r + 1), 4 * (r + 1)]),
        "async_body" => rounds(&|r| vec![20_000 + 3 * r + 5 + 1, 0]),
        "joined" => rounds(&|r| vec![r + 10 + r, r + 1_000, r]),
        "printed" => rounds(&|r| vec![r]),
        other => panic!("case {other} has no expectation; add it here"),
    }
}

fn check(case: &str, ballast_mib: u64) -> usize {
    let (live, cuts) = everywhere(&format!(r#"{{"case":"{case}","ballast_mib":{ballast_mib}}}"#));
    let mut seen = numbers(&live.result);
    let mut expected = untouched(case);
    if ballast_mib > 0 {
        expected.extend([ballast_mib << 20; 2]);
    }
    assert_eq!(seen.len(), expected.len(), "{case}");
    for (seen, _) in seen.iter_mut().zip(&expected).filter(|(_, expected)| **expected == ANY) {
        *seen = ANY;
    }
    assert_eq!(seen, expected, "{case} with {ballast_mib} MiB of ballast: a body left a trace");
    cuts
}

#[test]
fn bodies_leave_no_trace_in_small_memories() {
    assert_eq!(cases().len(), 18, "{:?}", cases());
    let cuts: usize = cases().into_iter().map(|case| check(case, 0)).sum();
    println!("resumed {cuts} times");
}

#[test]
fn bodies_leave_no_trace_in_large_memories() {
    let cuts: usize = cases().into_iter().map(|case| check(case, 9)).sum();
    println!("resumed {cuts} times");
}

/// The digest has teeth: it tells runs apart that differ in a number.
#[test]
fn different_runs_leave_different_memory() {
    let memory = |case: &str| run(&format!(r#"{{"case":"{case}"}}"#), silent()).memory;
    assert!(memory("cell") == memory("cell"));
    assert!(memory("cell") != memory("joined"));
}

/// Keeps what is written.
#[derive(Default)]
struct Written(Mutex<String>);

impl Observer for Written {
    fn output(&self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stdout {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
        }
    }
    fn step_running(&self, id: &OperationId, name: Option<&str>, attempt: u32) {
        Silent.step_running(id, name, attempt);
    }
    fn changed(&self, _: &Operation) {}
    fn sleeping(&self, _: Duration) {}
    fn waiting(&self, _: Timestamp, _: Duration) {}
    fn invocation_failed(&self, error: &ErrorObject) {
        panic!("{error}");
    }
    fn log(&self, _: Option<&str>, _: LogLevel, _: &str, _: &[(String, String)]) {}
}

#[test]
fn what_workflow_and_bodies_print_comes_out_once_and_in_order() {
    let written = Arc::new(Written::default());
    run(r#"{"case":"printed"}"#, written.clone());
    let rounds = (0..5).map(|r| format!("before {r};body {r}\nno newline {r};after {r}\n"));
    assert_eq!(*written.0.lock().unwrap(), rounds.collect::<String>());
}
