//! The files of a workflow, through the real binary: what it sees outside steps is rebuilt by replay, what a body does
//! to it is undone, and what is outside the workflow stays there.
//!
//! Every run is verified: an invocation that its replay does not repeat call by call and byte by byte of memory fails.

#[allow(unreachable_pub)]
mod support;

use everstep::embedded::{Embedded, MachineEntropy, SimulatedTime};
use everstep::worker::{Environment, Observer, Silent};
use everstep_core::protocol::{ErrorObject, ExecutionConfig};
use everstep_core::service::{HistoryEvent, StartExecution, history_of};
use everstep_core::store::Store;
use everstep_core::store::memory::MemoryStore;
use everstep_sandbox::Sandbox;
use everstep_store::SqliteStore;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use support::{Place, Ran, guest};

fn run(place: &Place, input: &Value, options: &[&str]) -> Ran {
    let component = guest("guest-files");
    let input = input.to_string();
    let run = ["run", component.to_str().unwrap(), "--name", "tested", "--input", &input, "--simulate", "7"];
    place.run(&[&run[..], options].concat())
}

fn case(name: &str) -> Value {
    json!({ "case": name })
}

fn result(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// A fresh execution of a case, to its result.
#[track_caller]
fn sees(input: &Value, options: &[&str]) -> Value {
    result(&run(&Place::new(), input, options).exits(0))
}

/// The history, with what no two executions share taken out.
fn history(place: &Place) -> Vec<String> {
    let store = SqliteStore::open_read_only(place.database()).expect("the database opens");
    let summary = store.find("guest-files", "tested").unwrap().expect("the execution is there");
    let log = store.load(summary.key).expect("the log can be read");
    let mut events: Vec<Value> = history_of(&log).iter().map(HistoryEvent::to_json).collect();
    for event in &mut events {
        if let Some(details) = event.get_mut("InvocationCompletedDetails").and_then(Value::as_object_mut) {
            details.remove("RequestId");
        }
    }
    events.iter().map(|event| event.to_string().replace(summary.arn.id(), "ID")).collect()
}

#[test]
fn all_that_std_does_with_files_works_outside_steps_and_is_the_same_every_time() {
    let (one, other) = (Place::new(), Place::new());
    let seen = result(&run(&one, &case("world"), &[]).exits(0));
    assert_eq!(
        seen,
        json!({
            "at_first": [],
            "waited_an_hour": true,
            "made_now": true,
            "read": "one\ntwo\nthree\n",
            "around": [7, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 7],
            "rest": [7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 33],
            "set": 86_400_000_000_005_u64,
            "renamed": [
                "/work/", "/work/deep/", "/work/moved/", "/work/moved/copy 14", "/work/moved/data 111",
                "/work/moved/log 14",
            ],
            "refused": [
                ["a file that is not there", "NotFound"],
                ["a new file that is there", "AlreadyExists"],
                ["a directory that is there", "AlreadyExists"],
                ["removing what is not empty", "errno 55"],
                ["removing a directory as a file", "IsADirectory"],
                ["a file as a directory", "NotADirectory"],
                ["a directory in itself", "InvalidInput"],
                ["a hard link", "Unsupported"],
                ["a path out", "PermissionDenied"],
                ["a long name", "InvalidFilename"],
            ],
            "last": "one\ntwo\nthree\n",
            "listed": ["/C 1", "/a 1", "/b 1", "/ä 2"],
            "cwd": "/",
            "canonical": "/a",
        })
    );
    assert_eq!(result(&run(&other, &case("world"), &[]).exits(0)), seen);
    assert_eq!(history(&one), history(&other));
}

#[test]
fn what_a_body_does_to_files_is_gone_when_it_ends() {
    assert_eq!(
        sees(&case("overlay"), &[]),
        json!({
            "in_body": {
                "rest": "456789",
                "file": "abXY456789",
                "tree": ["/dir/", "/dir/renamed 7", "/file 10", "/made 4"],
            },
            "rest": "456789",
            "file": "abcd456789",
            "kept": "kept",
            "tree": ["/dir/", "/dir/kept 4", "/file 10", "/removed 7"],
            "untouched": true,
        })
    );
    assert_eq!(
        sees(&case("first_in_step"), &[]),
        json!({
            "seen": ["in the body", ["/scratch 11"]],
            "between": [],
            "again": ["in the body", ["/own 7", "/scratch 11"]],
            "after": ["/own 7"],
        })
    );
}

/// Handles are numbered in the guest, where no roll-back reaches: what follows such a body runs in a fresh instance.
#[test]
fn a_body_may_leave_files_open_and_close_what_it_was_given() {
    assert_eq!(sees(&case("leak"), &[]), json!(null));
    assert_eq!(sees(&case("late_read"), &[]), json!(["0123456789", "0123456789"]));
    assert_eq!(sees(&case("closes_what_it_was_given"), &[]), json!([null, "456789"]));
}

#[test]
fn bytes_and_handles_run_out_at_the_same_place_every_time() {
    let full = sees(&case("bounds"), &["--memory", "8"]);
    assert_eq!(full["written"], 8 << 20);
    assert_eq!(full["full"], 8 << 20);
    assert!(full["error"].is_string());
    assert_eq!(full["sparse"], "StorageFull");
    assert_eq!((&full["small"], &full["hole"]), (&json!(64 << 10), &json!(true)));

    let handles = sees(&case("handles"), &[]);
    assert!(handles["count"].as_u64().unwrap() > 4_000, "{handles}");
    assert_eq!((&handles["error"], &handles["read"]), (&json!("OutOfMemory"), &json!("content")));
}

/// A directory beside a secret, with links to it.
fn outside_world(place: &Path) {
    fs::create_dir_all(place.join("data/sub")).unwrap();
    fs::write(place.join("secret"), "secret").unwrap();
    fs::write(place.join("data/file"), "hello").unwrap();
    symlink("file", place.join("data/within")).unwrap();
    symlink(place.join("secret"), place.join("data/absolute")).unwrap();
    symlink("../secret", place.join("data/out")).unwrap();
    symlink("..", place.join("data/up")).unwrap();
}

/// What is tried, what comes of it in a body with the directory granted to write, and granted to read.
fn tries() -> Vec<(&'static str, &'static str, Value, Value)> {
    let error = |kind: &str| json!({ "error": kind });
    let denied = || error("PermissionDenied");
    vec![
        ("read", "/data/file", json!("hello"), json!("hello")),
        ("read", "/data/within", json!("hello"), json!("hello")),
        ("read", "/data/absolute", denied(), denied()),
        ("read", "/data/out", denied(), denied()),
        ("read", "/data/up/secret", denied(), denied()),
        ("read", "/data/../secret", denied(), denied()),
        ("write", "/data/out", denied(), denied()),
        ("list", "/data/sub", json!([]), json!([])),
        ("write", "/data/new", Value::Null, denied()),
        ("append", "/data/file", Value::Null, denied()),
        ("mkdir", "/data/sub/dir", Value::Null, denied()),
        ("rmdir", "/data/sub/dir", Value::Null, denied()),
        ("rename", "/data/new", Value::Null, denied()),
        ("remove", "/data/new.renamed", Value::Null, denied()),
        ("here", "/data/file", error("CrossesDevices"), error("CrossesDevices")),
        ("list", "/", json!([]), json!([])),
    ]
}

fn trying(case: &str) -> Value {
    let tries: Vec<_> = tries().iter().map(|(what, path, ..)| json!([what, path])).collect();
    json!({ "case": case, "tries": tries })
}

#[test]
fn granted_directories_are_real_in_bodies_and_nothing_leads_out_of_them() {
    for writable in [true, false] {
        let place = Place::new();
        outside_world(place.path());
        let grant = if writable { "data" } else { "data:ro" };
        let seen = result(&run(&place, &trying("inside"), &["--dir", grant]).exits(0));
        for (at, (what, path, to_write, to_read)) in tries().into_iter().enumerate() {
            assert_eq!(seen[0][at], if writable { to_write } else { to_read }, "{what} {path} with {grant}");
        }
        let file = if writable { "hello+appended+appended" } else { "hello" };
        assert_eq!(fs::read_to_string(place.path().join("data/file")).unwrap(), file);
        assert_eq!(fs::read_to_string(place.path().join("secret")).unwrap(), "secret");
        assert_eq!(seen[1][0], json!(if writable { "hello+appended" } else { "hello" }), "the second body sees it");
    }
}

#[test]
fn granted_directories_are_refused_outside_bodies_the_same_with_and_without_the_grant() {
    let denied = json!({ "error": "PermissionDenied" });
    let expected: Vec<Value> =
        tries().iter().map(|(_, path, ..)| if *path == "/" { json!([]) } else { denied.clone() }).collect();
    let place = Place::new();
    outside_world(place.path());
    let notice = "everstep: /data refused outside a step: use granted directories inside ctx.step()\n";

    let ran = run(&place, &trying("outside"), &["--dir", "data", "--detach-after", "0s"]).exits(3);
    assert_eq!(ran.stderr.matches(notice).count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("--dir data:/data"), "how to go on: {}", ran.stderr);
    let ran = run(&place, &trying("outside"), &[]).exits(0);
    assert_eq!(result(&ran), json!([expected, expected]));
    assert!(!ran.stderr.contains(notice), "what a replay repeats is not told again: {}", ran.stderr);
    assert_eq!(fs::read_to_string(place.path().join("data/file")).unwrap(), "hello");
}

#[test]
fn bodies_of_a_resumed_execution_are_refused_directories_that_it_is_not_given_again() {
    let place = Place::new();
    outside_world(place.path());
    fs::create_dir(place.path().join("other")).unwrap();
    fs::write(place.path().join("other/file"), "another").unwrap();
    run(&place, &trying("inside"), &["--dir", "data:ro", "--detach-after", "0s"]).exits(3);

    let ran = run(&place, &trying("inside"), &["--dir", "other"]).exits(2);
    assert!(ran.stderr.contains("started without a directory at /other"), "{}", ran.stderr);
    let copy = Place::new();
    fs::copy(place.database(), copy.database()).unwrap();

    let ran = run(&place, &trying("inside"), &[]).exits(0);
    let seen = result(&ran);
    assert_eq!((&seen[0][0], &seen[1][0]), (&json!("hello"), &json!({ "error": "PermissionDenied" })));
    let notice = "everstep: /data is not granted to this run; resume with --dir DIRECTORY:/data\n";
    assert_eq!(ran.stderr.matches(notice).count(), 1, "{}", ran.stderr);

    // Whoever runs it says which directory it is, but not that more may be done there.
    let other = format!("{}:/data", place.path().join("other").display());
    let seen = result(&run(&copy, &trying("inside"), &["--dir", &other]).exits(0));
    assert_eq!(seen[1][0], "another");
    let append = tries().iter().position(|(what, ..)| *what == "append").unwrap();
    assert_eq!(seen[1][append], json!({ "error": "PermissionDenied" }));
    assert_eq!(fs::read_to_string(place.path().join("other/file")).unwrap(), "another");
}

#[test]
fn what_is_bundled_is_read_only_and_stays_what_it_was() {
    let read_only = json!({ "error": "ReadOnlyFilesystem" });
    let tries = json!([
        ["list", "/"],
        ["read", "/bundle/a"],
        ["read", "bundle/sub/b"],
        ["write", "/bundle/a"],
        ["append", "/bundle/a"],
        ["write", "/bundle/new"],
        ["remove", "/bundle/a"],
        ["rename", "/bundle/sub"],
        ["rmdir", "/bundle/sub"],
        ["mkdir", "/bundle/dir"],
        ["here", "/bundle/a"],
        ["rename", "/bundle"],
    ]);
    let all = json!(["/bundle/", "/bundle/a 1", "/bundle/sub/", "/bundle/sub/b 3"]);
    let mut seen = vec![all, json!("a"), json!("bee")];
    seen.resize(12, read_only);
    for case in ["outside", "inside"] {
        let place = Place::new();
        let (directory, input) = (place.path().join("files"), json!({ "case": case, "tries": tries }));
        fs::create_dir_all(directory.join("sub")).unwrap();
        fs::write(directory.join("sub/b"), "bee").unwrap();
        fs::write(directory.join("a"), "a").unwrap();
        run(&place, &input, &["--bundle", "files", "--detach-after", "0s"]).exits(3);
        fs::write(directory.join("a"), "other").unwrap();
        fs::remove_dir_all(directory.join("sub")).unwrap();
        let resumed = run(&place, &input, &["--bundle", "files"]).exits(0);
        assert_eq!(result(&resumed), json!([seen, seen]), "{case}");
        fs::remove_dir_all(directory).unwrap();
        assert_eq!(result(&run(&place, &input, &["--bundle", "files"]).exits(0)), json!([seen, seen]), "{case}");
    }
}

#[test]
fn what_cannot_be_granted_or_bundled_is_refused_and_leaves_nothing_behind() {
    let place = Place::new();
    outside_world(place.path());
    for (options, said) in [
        (&["--bundle", "data"][..], "symbolic link"),
        (&["--bundle", "none"], "none cannot be bundled"),
        (&["--dir", "none"], "cannot be opened"),
        (&["--dir", "none:/data"], "cannot be opened"),
        (&["--dir", "data/file:/data"], "cannot be opened"),
        (&["--dir", "data:/bundle/x"], "no place for a directory"),
        (&["--dir", "data:/"], "no place for a directory"),
        (&["--dir", "data:/../x"], "no place for a directory"),
        (&["--dir", "data", "--dir", "data/sub:/data"], "two directories are to be at /data"),
    ] {
        let ran = run(&place, &case("world"), options).exits(2);
        assert!(ran.stderr.contains(said), "{options:?}: {}", ran.stderr);
        assert!(!place.database().exists(), "{options:?} made a database");
    }
}

/// What was started before there were files has none, ever.
#[test]
fn an_execution_that_was_started_without_files_has_no_directory_at_all() {
    let sandbox = Sandbox::new(Some(support::native_code_cache())).expect("a sandbox");
    let time = Arc::new(SimulatedTime::default());
    let process = Embedded::new(Arc::new(MemoryStore::default()), sandbox, time, Arc::new(MachineEntropy));
    let component = process.add_component(&fs::read(guest("guest-files")).unwrap()).unwrap();
    let request = StartExecution {
        function: "guest-files".into(),
        version: "$LATEST".into(),
        name: None,
        input: Some(
            json!({ "case": "outside", "tries": [["list", "/"], ["write", "file"], ["read", "/x"]] }).to_string(),
        ),
        component,
        config: ExecutionConfig::default(),
        seed: None,
    };
    let arn = process.start(request).unwrap().arn().clone();
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    process.drive(&arn, &Environment { simulated: true, ..Environment::default() }, &observer, None).unwrap();
    let ended = process.service().describe(&arn).unwrap();
    assert_eq!(ended.error.map(|error: ErrorObject| error.to_string()), None);
    let none = json!({ "error": "NotFound" });
    let seen: Value = serde_json::from_str(&ended.result.unwrap()).unwrap();
    assert_eq!(seen[0], json!([none, none, none]));
}
