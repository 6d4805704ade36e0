//! Frozen databases of earlier builds, with the components in them, resume to their recorded results.
//!
//! `tests/compat/README.md` says how a release adds its own.

#[allow(unreachable_pub)]
mod support;

use everstep_core::service::{HistoryEvent, history_of};
use everstep_core::store::Store;
use everstep_store::SqliteStore;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::{Place, guest, root};

/// What an execution is when it is frozen.
struct Case {
    /// The database is this with `.db`.
    name: &'static str,
    function: &'static str,
    input: String,
}

/// In a wait; between attempts; in the wait of a program that knows nothing of Everstep; after an attempt that died in
/// its body, of a step that must not run twice unless it is told to.
fn cases() -> Vec<Case> {
    let case = |name, function, input| Case { name, function, input };
    let sales = fs::read_to_string(root().join("examples/etl/sales.csv")).expect("the example's data is there");
    vec![
        case("order-waiting", "order", json!({ "orderId": "42", "amount": 12.5 }).to_string()),
        case("etl-retrying", "etl", json!(sales).to_string()),
        case("sleepy-asleep", "sleepy", "null".into()),
        case("step-interrupted", "guest-faults", json!({ "case": "panic_in_step_once" }).to_string()),
    ]
}

fn frozen() -> PathBuf {
    root().join("tests/compat")
}

/// Resumes the database's execution, with a file in place of its workflow that is none: the frozen component runs.
fn resume(database: &Path, case: &str, function: &str) -> Value {
    let place = Place::new();
    fs::copy(database, place.database()).expect("the frozen database can be copied");
    let path = format!("{function}.wasm");
    fs::write(place.path().join(&path), "what the path holds by now is not asked").expect("a file can be written");
    let ran = place.run(&["run", &path, "--name", case, "--simulate", "7"]).exits(0);
    json!({ "function": function, "result": ran.stdout, "history": history(&place.database(), function, case) })
}

/// The history, without what no two runs share: the invocations' ids.
fn history(database: &Path, function: &str, name: &str) -> Vec<Value> {
    let store = SqliteStore::open_read_only(database).expect("the database opens");
    let summary = store.find(function, name).expect("it can be read").expect("the execution is there");
    let log = store.load(summary.key).expect("the log can be read");
    let mut history: Vec<Value> = history_of(&log).iter().map(HistoryEvent::to_json).collect();
    for event in &mut history {
        if let Some(details) = event.get_mut("InvocationCompletedDetails").and_then(Value::as_object_mut) {
            details.remove("RequestId");
        }
    }
    history
}

#[test]
fn what_earlier_builds_left_suspended_goes_on_to_the_same_end() {
    let mut releases: Vec<PathBuf> =
        fs::read_dir(frozen()).expect("frozen databases are there").map(|entry| entry.unwrap().path()).collect();
    releases.retain(|path| path.is_dir());
    releases.sort();
    assert!(!releases.is_empty(), "no release froze anything");
    for release in releases {
        let expected = fs::read_to_string(release.join("expected.json")).expect("what to expect is frozen too");
        let expected: Map<String, Value> = serde_json::from_str(&expected).expect("it is JSON");
        assert!(!expected.is_empty());
        for (case, expected) in &expected {
            let database = release.join(format!("{case}.db"));
            let before = fs::read(&database).expect("the database is there");
            let function = expected["function"].as_str().expect("the function is named");
            let resumed = resume(&database, case, function);
            let shown = format!("{} of {}", case, release.display());
            assert_eq!(resumed["result"], expected["result"], "{shown}");
            assert_eq!(resumed["history"], expected["history"], "{shown}");
            assert!(fs::read(&database).unwrap() == before, "{shown}: the test changed it");
        }
    }
}

/// Not a test: makes `tests/compat/NAME` with NAME from `EVERSTEP_FREEZE`, which must not exist yet.
#[test]
#[ignore = "freezes a release; see tests/compat/README.md"]
fn freeze() {
    let name = std::env::var("EVERSTEP_FREEZE").expect("EVERSTEP_FREEZE=vN names what is frozen");
    let release = frozen().join(name);
    fs::create_dir(&release).expect("what is frozen is never changed: choose a new name");
    let mut expected = Map::new();
    for Case { name, function, input } in cases() {
        let place = Place::new();
        let component = guest(function);
        let run = ["run", component.to_str().unwrap(), "--name", name, "--input", &input, "--simulate", "7"];
        place.run(&[&run[..], &["--detach-after", "0s"]].concat()).exits(3);
        assert!(!place.path().join("everstep.db-wal").exists(), "the write-ahead log was not merged");
        let database = release.join(format!("{name}.db"));
        fs::copy(place.database(), &database).unwrap();
        expected.insert(name.to_owned(), resume(&database, name, function));
    }
    fs::write(release.join("expected.json"), format!("{:#}\n", Value::Object(expected))).unwrap();
}
