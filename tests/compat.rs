//! Frozen databases of earlier builds, with the components in them, resume to their recorded results, and replay to the
//! bit: on native code and on the portable interpreter.
//!
//! `tests/compat/README.md` says how a release adds its own.

#[path = "compat/engines.rs"]
mod engines;
#[path = "compat/freeze.rs"]
mod freeze;
#[path = "chaos/generate.rs"]
mod generate;
#[path = "deterministic/in_process.rs"]
mod in_process;
#[path = "guests/chaos/src/program.rs"]
mod program;
#[allow(dead_code)] // shared by several programs, as the next
#[path = "http/server.rs"]
mod server;
#[allow(unreachable_pub)]
mod support;

use everstep::bundle;
use everstep::worker::{Environment, Silent, Worker};
use everstep_core::protocol::{ComponentDigest, Event, InvocationOutput, Transition};
use everstep_core::service::{HistoryEvent, history_of};
use everstep_core::store::Store;
use everstep_sandbox::{CompiledWorkflow, Sandbox};
use everstep_store::SqliteStore;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use support::{Place, root};

fn frozen() -> PathBuf {
    root().join("tests/compat")
}

/// A machine's way to run code.
struct Engine {
    sandbox: Sandbox,
    compiled: Mutex<HashMap<ComponentDigest, CompiledWorkflow>>,
}

impl Engine {
    fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, compiled: Mutex::default() }
    }

    fn compile(&self, recording: &Recording) -> CompiledWorkflow {
        let mut compiled = self.compiled.lock().unwrap();
        let load = || self.sandbox.load(&recording.component).expect("the frozen component compiles");
        compiled.entry(recording.component_digest).or_insert_with(load).clone()
    }

    /// Replays all of it, every journaled position compared. Answers how it ended, and the digest of memory then.
    fn replay(&self, recording: &Recording) -> Result<(InvocationOutput, [u8; 32]), String> {
        let environment = Environment { simulated: true, ..Environment::default() };
        let mut worker = Worker::offline(environment, Arc::new(Silent));
        if let Some((digest, archive)) = &recording.bundle {
            worker = worker.with_bundle(*digest, bundle::open(archive).expect("the frozen bundle opens"));
        }
        let replayed = worker.replay_to_memory(&self.compile(recording), &recording.log);
        let (output, memory) = replayed.map_err(|error| error.to_string())?;
        Ok((output, memory.digest().expect("one memory")))
    }
}

/// Native code, and the interpreter.
fn engines() -> &'static [Engine; 2] {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    let cache = || Some(support::native_code_cache());
    let sandboxes = || [Sandbox::new(cache()), Sandbox::interpreted(cache())];
    ENGINES.get_or_init(|| sandboxes().map(|sandbox| Engine::new(sandbox.expect("a sandbox"))))
}

/// All that an execution needs to be replayed.
struct Recording {
    log: Vec<Transition>,
    component: Vec<u8>,
    component_digest: ComponentDigest,
    bundle: Option<(ComponentDigest, Vec<u8>)>,
}

impl Recording {
    fn of(database: &Path, function: &str, name: &str) -> Self {
        let store = SqliteStore::open_read_only(database).expect("the database opens");
        let summary = store.find(function, name).expect("it can be read").expect("the execution is there");
        let log = store.load(summary.key).expect("the log can be read");
        let [Event::ExecutionStarted(started)] = log[0].events.as_slice() else { panic!("{:?}", log[0]) };
        let stored = |digest| store.component(digest).expect("it can be read").expect("it is stored");
        let bundle = started.config.files.as_ref().and_then(|files| files.bundle);
        Self {
            component: stored(started.component),
            component_digest: started.component,
            bundle: bundle.map(|digest| (digest, stored(digest))),
            log,
        }
    }

    /// The history, without what no two runs share: the invocations' ids.
    fn history(&self) -> Vec<Value> {
        let mut history: Vec<Value> = history_of(&self.log).iter().map(HistoryEvent::to_json).collect();
        for event in &mut history {
            if let Some(details) = event.get_mut("InvocationCompletedDetails").and_then(Value::as_object_mut) {
                details.remove("RequestId");
            }
        }
        history
    }

    /// Where the guest stood last: its calls, and the digest of them and of what they answered.
    fn calls(&self) -> Value {
        let last = self.log.iter().rev().find_map(|row| row.journal).expect("somewhere the guest stood");
        json!({"calls": last.calls, "digest": format!("{:016x}", last.digest), "delivered": last.delivered})
    }

    /// The digest of memory after its last call: the same on both engines, and so is how it ended.
    #[track_caller]
    fn memory(&self, shown: &str) -> Value {
        let [native, interpreted] = engines()
            .each_ref()
            .map(|engine| engine.replay(self).unwrap_or_else(|error| panic!("{shown}: a replay diverged: {error}")));
        assert_eq!(native.0, interpreted.0, "{shown}: the interpreter comes to another end");
        assert_eq!(native.1, interpreted.1, "{shown}: the interpreter leaves other memory");
        json!(hexadecimal(&native.1))
    }
}

/// With digests in place of long texts.
fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > 500 => {
            json!({"bytes": text.len(), "sha256": hexadecimal(&Sha256::digest(&text))})
        }
        Value::Array(values) => values.into_iter().map(shortened).collect(),
        Value::Object(values) => values.into_iter().map(|(name, value)| (name, shortened(value))).collect(),
        other => other,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Resumes the database's execution, with a file in place of its workflow that is none: the frozen component runs. Then
/// replays what was frozen and what it came to, on both engines.
fn resumed(database: &Path, case: &str, function: &str) -> Resumed {
    let shown = format!("{case} of {}", database.display());
    let place = Place::new();
    fs::copy(database, place.database()).expect("the frozen database can be copied");
    // Read from the copy: even a reader leaves files beside a database.
    let before = Recording::of(&place.database(), function, case);
    let path = format!("{function}.wasm");
    fs::write(place.path().join(&path), "what the path holds by now is not asked").expect("a file can be written");
    let ran = place.run(&["run", &path, "--name", case, "--simulate", "7"]);
    assert!(matches!(ran.exit, Some(0 | 1)), "{shown}: {ran:?}");
    let after = Recording::of(&place.database(), function, case);
    let value = json!({
        "function": function,
        "exit": ran.exit,
        "result": ran.stdout,
        "history": after.history(),
        "calls": after.calls(),
        "memory": [before.memory(&shown), after.memory(&shown)],
    });
    let calls = [&before, &after].map(|recording| recording.log.iter().filter_map(|row| row.journal).next_back());
    let calls = calls.into_iter().flatten().map(|journal| journal.calls).sum();
    Resumed { value: shortened(value), rows: after.log.len(), calls }
}

/// What became of an execution.
struct Resumed {
    value: Value,
    /// Of its log.
    rows: usize,
    /// The host calls that were replayed, on each engine.
    calls: u64,
}

/// The directories of releases, each with what to expect there.
fn releases() -> Vec<(PathBuf, Map<String, Value>)> {
    let mut releases: Vec<PathBuf> =
        fs::read_dir(frozen()).expect("frozen databases are there").map(|entry| entry.unwrap().path()).collect();
    releases.retain(|path| path.is_dir());
    releases.sort();
    let expected = |release: PathBuf| {
        let expected = fs::read_to_string(release.join("expected.json")).expect("what to expect is frozen too");
        (release, serde_json::from_str(&expected).expect("it is JSON"))
    };
    releases.into_iter().map(expected).collect()
}

/// The frozen database of a case, and its function.
fn place_of<'a>(release: &Path, case: &str, expected: &'a Value) -> (PathBuf, &'a str) {
    // The first release has a database for each.
    let database = expected["database"].as_str().unwrap_or(case);
    (release.join(format!("{database}.db")), expected["function"].as_str().expect("the function is named"))
}

#[test]
fn what_earlier_builds_recorded_goes_on_to_the_same_end_and_replays_to_the_bit_everywhere() {
    let (mut executions, mut rows, mut calls) = (0, 0, 0);
    let releases = releases();
    assert!(!releases.is_empty(), "no release froze anything");
    for (release, expected) in releases {
        assert!(!expected.is_empty());
        for (case, expected) in &expected {
            let (database, function) = place_of(&release, case, expected);
            let before = fs::read(&database).expect("the database is there");
            let resumed = resumed(&database, case, function);
            let shown = format!("{} of {}", case, release.display());
            // The first release has neither all of it nor digests.
            let told = expected.as_object().expect("an object").iter().filter(|(what, _)| *what != "database");
            for (what, expected) in told {
                assert_eq!(resumed.value[what], shortened(expected.clone()), "{shown}: {what}");
            }
            assert!(fs::read(&database).unwrap() == before, "{shown}: the test changed it");
            (executions, rows, calls) = (executions + 1, rows + resumed.rows, calls + resumed.calls);
        }
    }
    println!("{executions} executions of {rows} rows; {calls} host calls replayed on each engine");
}

/// The comparison has teeth on both engines: one bit of one recorded digest is enough, anywhere.
#[test]
fn a_recording_that_was_touched_is_refused_everywhere() {
    let (release, expected) = releases().swap_remove(0);
    let (frozen, function) = place_of(&release, "order-waiting", &expected["order-waiting"]);
    let place = Place::new();
    let database = place.database();
    fs::copy(frozen, &database).expect("the frozen database can be copied");
    let untouched = Recording::of(&database, function, "order-waiting");
    let stood = |row: &usize| untouched.log[*row].journal.is_some();
    let rows: Vec<usize> = (0..untouched.log.len()).filter(stood).collect();
    assert!(rows.len() > 1, "{rows:?}");
    for row in rows {
        let mut touched = Recording::of(&database, function, "order-waiting");
        touched.log[row].journal.as_mut().expect("it has one").digest ^= 1 << row;
        let [native, interpreted] = engines().each_ref().map(|engine| engine.replay(&touched).expect_err("it differs"));
        assert_eq!(native, interpreted, "row {row}");
    }
}
