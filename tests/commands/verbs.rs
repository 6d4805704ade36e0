//! The verbs beside `run`: `list`, `show` and `new`; `explain` is in `divergences`.

use super::record::{content, history};
use crate::support::{Place, Ran, guest, root};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where crates that the command line builds are built, shared by all tests.
pub(crate) fn crates_target() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.ancestors().nth(3).expect("target/debug/deps/program").join("everstep-test-crates")
}

/// A finished `order`, a failed one, and one that is suspended.
fn three_orders() -> Place {
    let place = Place::new();
    let component = guest("order");
    let run = |name: &str, input: &str, detach_after: &str| {
        let run = ["run", component.to_str().unwrap(), "--name", name, "--input", input, "--simulate", "7"];
        place.run(&[&run[..], &["--detach-after", detach_after]].concat())
    };
    run("order-42", r#"{"orderId":"42","amount":12.5}"#, "5m").exits(0);
    run("order-43", r#"{"orderId":"43","amount":0}"#, "5m").exits(1);
    run("order-44", r#"{"orderId":"44","amount":1}"#, "0s").exits(3);
    place
}

/// What differs from one run to another, though time and chance are simulated: the ids of the execution and of its
/// invocations.
fn without_ids(place: &Place, name: &str, text: &str) -> String {
    let history = history(place, "order", name);
    let requests = history.iter().filter_map(|event| event["InvocationCompletedDetails"]["RequestId"].as_str());
    let ids = requests.chain(history[0]["Id"].as_str());
    ids.fold(text.to_owned(), |text, id| text.replace(id, "ID"))
}

/// Compares with `golden/FILE`; `EVERSTEP_GOLDEN=write` writes it instead.
#[track_caller]
fn is_golden(file: &str, text: &str) {
    let path = root().join("tests/commands/golden").join(file);
    if std::env::var_os("EVERSTEP_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} says otherwise", path.display());
}

#[test]
fn list_shows_what_there_is_newest_first() {
    let place = three_orders();
    let before = content(&place);
    let table = "\
FUNCTION  NAME      STATUS     STARTED               ENDED
order     order-44  RUNNING    2026-01-01T00:00:00Z  wakes 2026-01-01T00:00:10Z
order     order-43  FAILED     2026-01-01T00:00:00Z  2026-01-01T00:00:00Z
order     order-42  SUCCEEDED  2026-01-01T00:00:00Z  2026-01-01T00:00:10Z
";
    assert_eq!(place.run(&["list"]).exits(0).stdout, table);
    let closed = place.run(&["list", "--json", "--status", "failed,succeeded", "--limit", "1"]).exits(0);
    let closed: Vec<Value> = closed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((closed.len(), &closed[0]["DurableExecutionName"]), (1, &json!("order-43")));
    assert_eq!(place.run(&["list", "--function", "nothing"]).exits(0).stdout, "");
    let wrong = place.run(&["list", "--status", "done"]).exits(2).stderr;
    assert!(wrong.contains("'done'") && wrong.contains("SUCCEEDED"), "{wrong}");
    assert!(content(&place) == before, "list changed the database");
}

#[test]
fn show_tells_one_execution_in_every_format() {
    let place = three_orders();
    let before = content(&place);
    let show = |name: &str, format: &str| {
        let ran = place.run(&["show", name, "--format", format]).exits(0);
        assert_eq!(ran.stderr, "");
        without_ids(&place, name, &ran.stdout)
    };
    let text: Vec<_> = ["order-42", "order-43", "order-44"].map(|name| show(name, "text")).into();
    is_golden("orders.txt", &text.join("\n"));
    is_golden("order-42.json", &show("order-42", "json"));
    is_golden("order-42.mmd", &show("order-42", "mermaid"));
    // One page, with nothing from outside, and the whole execution in it.
    let page = show("order-42", "html");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");
    for part in ["order-42", "validate", "charge", "cooling-off", "confirm", "SUCCEEDED"] {
        assert!(page.contains(part), "{part} is missing in: {page}");
    }
    for outside in ["src=", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is in: {page}");
    }
    assert!(content(&place) == before, "show changed the database");
}

#[test]
fn show_refuses_what_is_not_there() {
    let place = three_orders();
    let before = content(&place);
    let refused = place.run(&["show", "nobody"]).exits(2);
    let words = "error: there is no execution nobody in everstep.db; `everstep list --data everstep.db` shows which \
                 there are\n";
    assert_eq!((refused.stdout.as_str(), refused.stderr.as_str()), ("", words));
    place.run(&["show", "order-42", "--function", "etl"]).exits(2);
    assert!(content(&place) == before);

    let empty = Place::new();
    for verb in [&["show", "nobody"][..], &["list"]] {
        let refused = empty.run(verb).exits(4).stderr;
        assert!(refused.contains("there is no database") && refused.contains("give another path"), "{refused}");
        assert!(!empty.database().exists(), "a refusal made a database");
    }
}

#[test]
fn a_new_crate_builds_and_runs() {
    let place = Place::new();
    let made = place.run(&["new", "greeter"]).exits(0).stderr;
    assert!(made.contains("  everstep run . --name first --input '{\"name\":\"Ada\"}'\n"), "{made}");
    let mut run = place.everstep(&["run", "greeter", "--name", "g", "--input", r#"{"name":"Ada"}"#, "--simulate", "7"]);
    run.env("CARGO_TARGET_DIR", crates_target()).env("CARGO_NET_OFFLINE", "true");
    let ran = Ran::from(run.output().unwrap()).exits(0);
    assert_eq!(ran.stdout, "{\"messages\":[\"welcomed Ada\",\"asked Ada\"]}\n");

    let refused = place.run(&["new", "greeter"]).exits(2).stderr;
    assert_eq!(refused, "error: greeter is not empty; choose another directory with --path\n");
    let refused = place.run(&["new", "1st"]).exits(2).stderr;
    assert!(refused.contains("give 1 to 64 letters, digits, - and _, a letter first"), "{refused}");
    assert!(!place.path().join("1st").exists());
}

/// Any language: the script says where the component is that it built.
#[test]
fn a_directory_with_a_build_script_builds_and_runs() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let directory = place.path().join("my.order");
    std::fs::create_dir(&directory).unwrap();
    let script = |text: &str, mode: u32| {
        let path = directory.join("build");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let run = ["run", "my.order", "--name", "o", "--input", r#"{"orderId":"42","amount":12.5}"#, "--simulate", "7"];
    let refused = |words: &str| {
        let refused = place.run(&run).exits(2).stderr;
        assert!(refused.contains(words), "{refused}");
        assert!(!place.database().exists(), "a refusal made a database");
    };
    script("#!/bin/sh\n", 0o644);
    refused("make it executable with `chmod +x`");
    script("#!/bin/sh\necho no compiler >&2\nexit 3\n", 0o755);
    refused("no compiler\nerror: ");
    script("#!/bin/sh\n", 0o755);
    refused("its last line has to be the path of the component");
    script(
        &format!("#!/bin/sh\ncp '{}' built.wasm\necho building\necho built.wasm\n", guest("order").display()),
        0o755,
    );
    place.run(&run).exits(0);
    // The function is called like the directory.
    assert!(place.run(&["list"]).exits(0).stdout.contains("my-order"));
}
