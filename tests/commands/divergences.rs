//! Replays that diverge, with a guest whose input says how its code was edited: what is reported, for every code, is
//! what its page shows, wherever it is printed.
//!
//! After a change of the reports, `EVERSTEP_GOLDEN=write` puts them in the pages.

use super::record::history;
use super::verbs::crates_target;
use crate::support::{Place, Ran, native_code_cache, root};
use everstep::embedded::{Embedded, MachineEntropy, SimulatedTime};
use everstep::worker::{Backend, Diverged, Divergence, Environment, ReplayError, Silent, Worker};
use everstep_core::protocol::{Event, ExecutionConfig, InvocationOutput, OperationId, Seed, Transition};
use everstep_core::service::{Invoked, StartExecution};
use everstep_core::store::Store;
use everstep_sandbox::{CompiledWorkflow, Sandbox};
use everstep_store::{Options, SqliteStore};
use serde_json::json;
use std::fs;
use std::process::Command;
use std::sync::{Arc, OnceLock};

const FUNCTION: &str = "guest-divergence";

/// The guest as a workflow crate with source lines is built.
fn component() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "-p", FUNCTION])
            .env("CARGO_TARGET_DIR", crates_target())
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the guest does not build");
        let path = crates_target().join(format!("wasm32-wasip2/release/{FUNCTION}.wasm"));
        fs::read(path).expect("the component is readable")
    })
}

fn input(code: &str, edited: u8) -> String {
    json!({ "code": code, "edited": edited }).to_string()
}

/// A process with the guest in it.
struct Process {
    place: Place,
    embedded: Arc<Embedded>,
    store: Arc<SqliteStore>,
    workflow: CompiledWorkflow,
}

impl Process {
    fn new() -> Self {
        let place = Place::new();
        let sandbox = Sandbox::new(Some(native_code_cache())).expect("a sandbox");
        let workflow = sandbox.load(component()).expect("the guest is a workflow");
        let store = Arc::new(SqliteStore::open(place.database(), Options::default()).expect("a database"));
        let time = Arc::new(SimulatedTime::default());
        let embedded = Arc::new(Embedded::new(store.clone(), sandbox, time, Arc::new(MachineEntropy)));
        Self { place, embedded, store, workflow }
    }

    fn environment() -> Environment {
        Environment { simulated: true, ..Environment::default() }
    }

    fn start(&self, code: &str) -> everstep_core::protocol::ExecutionArn {
        let request = StartExecution {
            function: FUNCTION.into(),
            version: "$LATEST".into(),
            name: Some(code.into()),
            input: Some(input(code, 0)),
            component: self.embedded.add_component(component()).expect("the component is kept"),
            config: ExecutionConfig::default(),
            seed: Some(Seed([7; 32])),
        };
        self.embedded.start(request).expect("it starts").arn().clone()
    }

    /// Runs the first invocation of the guest, verified against the edited one.
    fn fails_verification(&self, code: &str) {
        let arn = self.start(code);
        let service = self.embedded.service();
        let Invoked::Run(invocation) = service.invoke(&arn).expect("it is invoked") else { panic!("nothing to run") };
        let worker = Worker::new(service.clone() as Arc<dyn Backend>, Self::environment(), Arc::new(Silent));
        let report = worker.invoke_and_replay_with(&self.workflow, *invocation, &input(code, 1)).expect("it reports");
        let completed = service.complete_invocation(&arn, &report.token, report.output, Some(report.journal));
        completed.expect("it is recorded");
    }

    /// Runs the guest to its end, edits it, and replays its log.
    fn replays_edited(&self, code: &str) -> Result<InvocationOutput, Box<Diverged>> {
        let arn = self.start(code);
        let observer = Arc::new(Silent) as Arc<_>;
        self.embedded.drive(&arn, &Self::environment(), &observer, None).expect("it runs");
        let summary = self.store.find_arn(&arn).expect("it reads").expect("it is there");
        let mut log: Vec<Transition> = self.store.load(summary.key).expect("the log reads");
        let worker = Worker::offline(Self::environment(), observer);
        worker.replay(&self.workflow, &log).expect("unedited, it does the same again");
        for event in &mut log[0].events {
            if let Event::ExecutionStarted(started) = event {
                Arc::make_mut(started).input = Some(input(code, 1));
            }
        }
        worker.replay(&self.workflow, &log).map_err(|error| match error {
            ReplayError::Diverged(diverged) => diverged,
            damaged => panic!("{damaged}"),
        })
    }

    /// The process is over: the binary may have the database.
    fn leave(self) -> Place {
        fs::write(self.place.path().join(format!("{FUNCTION}.wasm")), component()).expect("a file can be written");
        drop((self.embedded, self.store));
        self.place
    }
}

/// The example in the page that `everstep explain` prints; with `EVERSTEP_GOLDEN=write`, written into it first.
fn example(place: &Place, code: &str, report: &str) -> String {
    if std::env::var_os("EVERSTEP_GOLDEN").is_some_and(|what| what == "write") {
        let path = root().join(format!("docs/errors/{code}.md"));
        let page = fs::read_to_string(&path).expect("the code has a page");
        let (before, rest) = page.split_once("```text\n").expect("the page has an example");
        let (_, after) = rest.split_once("```\n").expect("the example ends");
        fs::write(path, format!("{before}```text\n{report}```\n{after}")).expect("the page can be written");
        return report.to_owned();
    }
    let page = place.run(&["explain", code]).exits(0).stdout;
    assert!(page.starts_with(&format!("# {code}: ")), "{page}");
    let (_, example) = page.split_once("```text\n").expect("the page has an example");
    example.split_once("```\n").expect("the example ends").0.to_owned()
}

/// Where things lie in memory is for the compiler to say, with every change of the SDK anew.
fn without_addresses(report: &str) -> String {
    let line = |line: &str| line.split_once(" differ, the first at address 0x").map_or(line, |_| "memory").to_owned();
    report.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_code_has_a_page_with_the_report_as_it_is_printed() {
    let process = Process::new();
    let codes = ["E0101", "E0102", "E0103", "E0104", "E0105", "E0106"];
    codes.iter().for_each(|code| process.fails_verification(code));
    let place = process.leave();
    for code in codes {
        let ran = place.run(&["run", &format!("{FUNCTION}.wasm"), "--name", code]).exits(1);
        assert_eq!(ran.stdout, "", "a failure has no result");
        let (_, report) = ran.stderr.split_once("FAILED: NonDeterministicExecutionError: ").expect(&ran.stderr);
        assert!(report.starts_with(&format!("[{code}] ")), "{report}");
        let (printed, example) = (without_addresses(report), without_addresses(&example(&place, code, report)));
        assert_eq!(printed, example, "docs/errors/{code}.md says otherwise");
        // Readable, and whole.
        let shown = place.run(&["show", code]).exits(0).stdout;
        for line in report.lines().map(|line| &line[..line.floor_char_boundary(76)]) {
            assert!(shown.contains(line), "{line:?} is missing in:\n{shown}");
        }
        let history = history(&place, FUNCTION, code);
        let error = &history.last().expect("it ended")["ExecutionFailedDetails"]["Error"]["Payload"];
        assert_eq!((&error["ErrorData"], &error["ErrorMessage"]), (&json!(code), &json!(report.trim_end())));
    }
    let request = Divergence::Request {
        id: OperationId::position(None, 2),
        recorded: "POST https://bank.example/charges?amount body {\"order\":42,\"amount\":9.5}".into(),
        requested: "POST https://bank.example/charges?amount body {\"order\":42,\"amount\":9.75}".into(),
    };
    let report = format!("{}\n", Diverged::from(request));
    assert_eq!(report, example(&place, "E0107", &report), "docs/errors/E0107.md says otherwise");
}

#[test]
fn what_is_no_code_is_refused() {
    let place = Place::new();
    assert_eq!(place.run(&["explain", "e0101"]).exits(0).stdout, place.run(&["explain", "E0101"]).exits(0).stdout);
    let Ran { stdout, stderr, .. } = place.run(&["explain", "E0999"]).exits(2);
    let words = "error: there is no error with the code \"E0999\"; give one of E0101, E0102, E0103, E0104, E0105, \
                 E0106, E0107\n";
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", words));
}

/// In a live invocation the first call that differs is found, and where it is made: a replay of the log alone knows the
/// checkpoints around it.
#[test]
fn a_replay_of_the_log_alone_finds_the_same_differences() {
    let process = Process::new();
    let report = |code: &str| *process.replays_edited(code).expect_err("it diverges");
    for code in ["E0101", "E0102", "E0103", "E0104", "E0106"] {
        assert_eq!(report(code).code(), code, "{}", report(code));
    }
    let calls = report("E0104");
    let Divergence::HostCalls { first, last, recorded, requested } = &calls.divergence else { panic!("{calls}") };
    assert!(last > first, "only checkpoints are known: {calls}");
    assert!(recorded.contains("calls with digest"), "{recorded}");
    assert!(requested.contains("random bytes drawn") && !requested.contains("clock"), "{requested}");
    assert!(process.replays_edited("E0105").is_ok(), "memory is not recorded");
}

#[test]
fn a_panic_names_the_workflow_s_source_lines() {
    let place = Process::new().leave();
    let run = ["run", "guest-divergence.wasm", "--name", "p", "--input", &input("panic", 0), "--simulate", "7"];
    place.run(&run).exits(1);
    let history = history(&place, FUNCTION, "p");
    let error = &history.last().expect("it ended")["ExecutionFailedDetails"]["Error"]["Payload"];
    let frames = error["StackTrace"].as_array().expect("it has frames");
    let source = include_str!("../guests/divergence/src/main.rs");
    let line = 1 + source.lines().position(|line| line.contains("panic!")).expect("it panics");
    // An async function's body, inlined: it has no name of its own.
    let expected = format!("{{async_fn#0}} (src/main.rs:{line})");
    assert!(frames.iter().any(|frame| *frame == expected), "{frames:#?}");
}

/// A workflow cannot hide it: not by ignoring what comes of an operation, nor in a branch that loses.
#[test]
fn what_is_swallowed_or_loses_is_reported_all_the_same() {
    let process = Process::new();
    for (case, recorded, requested) in [
        ("swallowed", r#"STEP "charge""#, r#"STEP "charge-card""#),
        ("losing", r#"WAIT "patience" of 3600 s"#, r#"WAIT "other" of 3600 s"#),
    ] {
        let diverged = process.replays_edited(case).expect_err("it is found");
        let report = diverged.to_string();
        assert!(report.contains("[E0101]") && report.contains(recorded) && report.contains(requested), "{report}");
    }
}
