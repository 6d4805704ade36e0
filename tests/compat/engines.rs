//! Random programs, recorded by one engine and replayed by the other, both ways round: nothing shows which it was.

use crate::generate::generate;
use crate::in_process::{NoEntropy, component, request};
use crate::{Engine, Recording, engines};
use everstep::embedded::{Embedded, SimulatedTime};
use everstep::worker::{Environment, Observer, Silent};
use everstep_core::protocol::{ComponentDigest, ExecutionConfig, Transition};
use everstep_core::service::StartExecution;
use everstep_core::store::Store;
use everstep_core::store::memory::MemoryStore;
use serde_json::json;
use std::sync::Arc;

/// Generated programs.
const PROGRAMS: u64 = 150;
/// Cases of `guest-faults`.
const FAULTS: [&str; 9] = [
    "panic",
    "panic_in_step_once",
    "panic_in_step_always",
    "exit",
    "exit_in_step_once",
    "recursion",
    "recursion_in_step_always",
    "allocation",
    "handler_error",
];

/// Runs an execution to its end, every invocation verified, in simulated time and with simulated chance.
fn recorded(engine: &Engine, request: StartExecution) -> Vec<Transition> {
    let store = Arc::new(MemoryStore::new());
    let time = Arc::new(SimulatedTime::default());
    let process = Embedded::new(store.clone(), engine.sandbox.clone(), time, Arc::new(NoEntropy));
    process.add_component(component(&request.function)).expect("the guest is a workflow");
    let started = process.start(request).expect("it can be started");
    let environment = Environment { simulated: true, ..Environment::default() };
    let silent: Arc<dyn Observer> = Arc::new(Silent);
    process.drive(started.arn(), &environment, &silent, None).expect("it can be driven");
    let summary = store.find_arn(started.arn()).unwrap().expect("it was started");
    assert!(summary.status.is_terminal(), "{:?}", summary.status);
    store.load(summary.key).unwrap()
}

/// Both engines record the same, row by row, and each replays what the other recorded to the same end and memory.
/// Answers the rows, and the host calls of the guest.
fn same_everywhere(request: StartExecution, shown: &str) -> (usize, u64) {
    let function = request.function.clone();
    let [native, interpreted] = engines().each_ref().map(|engine| recorded(engine, request.clone()));
    for (row, (native, interpreted)) in native.iter().zip(&interpreted).enumerate() {
        assert_eq!(native, interpreted, "{shown}: row {row}");
    }
    assert_eq!(native.len(), interpreted.len(), "{shown}: the rows of the log");
    let component = component(&function).to_vec();
    let component_digest = ComponentDigest::of(&component);
    let recording = Recording { log: native, component, component_digest, bundle: None };
    recording.memory(shown);
    let last = recording.log.iter().filter_map(|row| row.journal).next_back();
    (recording.log.len(), last.map_or(0, |journal| journal.calls))
}

#[test]
fn what_one_engine_records_the_other_records_and_replays() {
    let (mut rows, mut calls) = (0, 0);
    for seed in 0..PROGRAMS {
        let program = generate(seed);
        let input = serde_json::to_string(&program).expect("a program is JSON");
        let request = request("guest-chaos", &input, seed);
        let config = ExecutionConfig {
            memory_bytes: program.memory_bytes,
            environment: program.environment,
            arguments: program.arguments,
            ..request.config
        };
        let recorded = same_everywhere(StartExecution { config, ..request }, &format!("program {seed}"));
        (rows, calls) = (rows + recorded.0, calls + recorded.1);
    }
    println!("{PROGRAMS} programs of {rows} rows and {calls} host calls");
}

/// Traps, exits and exhaustion, with the stack traces that go into the log.
#[test]
fn faults_are_the_same_on_both_engines() {
    for case in FAULTS {
        same_everywhere(request("guest-faults", &json!({ "case": case }).to_string(), 1), case);
    }
}
