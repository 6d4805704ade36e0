//! Wrong requests and machines that fail: the exit status, the words, the remedy, and that nothing was changed.

use super::record::{content, held, history, lines};
use crate::support::{Place, Ran, guest};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

const ORDER: &str = r#"{"orderId":"42","amount":12.5}"#;

/// A component that has only this import and exports nothing.
fn importing(name: &str) -> Vec<u8> {
    let mut import = vec![1, 0, name.len() as u8];
    import.extend(name.as_bytes());
    import.extend([5, 0]);
    // The component's head, the type of an empty instance, the import.
    let mut component = b"\0asm\x0d\0\x01\0\x07\x03\x01\x42\0\x0a".to_vec();
    component.push(import.len() as u8);
    component.extend(import);
    component
}

/// A place with an execution `o` of `order` in it that is suspended, and the component beside it.
fn suspended() -> Place {
    let place = Place::new();
    fs::copy(guest("order"), place.path().join("order.wasm")).unwrap();
    let run = ["run", "order.wasm", "--name", "o", "--input", ORDER, "--simulate", "7", "--detach-after", "0s"];
    place.run(&run).exits(3);
    place
}

/// Asserts the refusal, word for word, with `PLACE` for the directory; and that the database says what it said.
#[track_caller]
fn refuses(place: &Place, arguments: &[&str], exit: i32, stderr: &str) {
    let before = content(place);
    let ran = place.run(arguments).exits(exit);
    assert_eq!(ran.stdout, "");
    assert_eq!(shown(place, &ran.stderr), stderr);
    assert!(content(place) == before, "the refused command changed the database");
}

/// With `PLACE` for the directory, however it is spelled.
fn shown(place: &Place, text: &str) -> String {
    let real = place.path().canonicalize().expect("the directory is there");
    text.replace(&*real.to_string_lossy(), "PLACE").replace(&*place.path().to_string_lossy(), "PLACE")
}

#[test]
fn what_is_no_workflow() {
    let empty = Place::new();
    for place in [&empty, &suspended()] {
        let refuses = |path: &str, stderr: &str| refuses(place, &["run", path, "--input", "1"], 2, stderr);
        let file = |name: &str, content: &[u8]| fs::write(place.path().join(name), content).unwrap();
        refuses("absent.wasm", "error: there is nothing at absent.wasm; give a workflow crate or a .wasm component\n");
        refuses(
            ".",
            "error: . is a directory without a Cargo.toml or a `build` script; give a workflow crate or a .wasm component \
             (`everstep new NAME` makes a crate)\n",
        );
        let built = "built with `cargo build --target wasm32-wasip2`";
        for (name, content) in [("empty.wasm", &b""[..]), ("script.wasm", b"#!/bin/sh\n")] {
            file(name, content);
            refuses(name, &format!("error: {name}: not a WebAssembly file; give a component {built}\n"));
        }
        file("module.wasm", b"\0asm\x01\0\0\0");
        refuses(
            "module.wasm",
            "error: module.wasm: a core WebAssembly module, not a component; build it with `cargo build --target \
             wasm32-wasip2`\n",
        );
        file("library.wasm", b"\0asm\x0d\0\x01\0");
        refuses(
            "library.wasm",
            &format!(
                "error: library.wasm: exports no `wasi:cli/run`, so it has nothing to run; a workflow is a program \
                 with a `fn main`, {built} (a library or an HTTP proxy component is not one)\n"
            ),
        );
        file("queue.wasm", &importing("acme:queue/send@1.0.0"));
        refuses(
            "queue.wasm",
            "error: queue.wasm: imports `acme:queue/send@1.0.0`, which this host does not provide; workflows may \
             import WASI 0.2 and everstep:workflow@1\n",
        );
        let whole = fs::read(guest("order")).unwrap();
        file("cut.wasm", &whole[..whole.len() / 2]);
        let before = content(place);
        let cut = place.run(&["run", "cut.wasm"]).exits(2).stderr;
        assert!(cut.starts_with("error: cut.wasm: damaged at byte ") && cut.ends_with("; build it again\n"), "{cut}");
        assert!(content(place) == before);
        let directory = place.path().join("library");
        fs::create_dir_all(directory.join("src")).unwrap();
        fs::write(directory.join("Cargo.toml"), "[package]\nname = \"library\"\nedition = \"2024\"\n[workspace]\n")
            .unwrap();
        fs::write(directory.join("src/lib.rs"), "").unwrap();
        let mut run = place.everstep(&["run", "library"]);
        let none = Ran::from(run.env("CARGO_TERM_QUIET", "true").output().unwrap()).exits(2);
        let words = "error: library builds no program; a workflow is a binary crate with a `fn main`\n";
        assert!(none.stderr.ends_with(words), "{}", none.stderr);
        assert!(content(place) == before);
    }
    assert!(!empty.database().exists(), "a refusal made a database");
}

#[test]
fn what_is_no_request() {
    let empty = Place::new();
    fs::copy(guest("order"), empty.path().join("order.wasm")).unwrap();
    let suspended = suspended();
    for place in [&empty, &suspended] {
        let refuses = |more: &[&str], stderr: &str| {
            refuses(place, &[&["run", "order.wasm"], more].concat(), 2, &format!("error: {stderr}\n"));
        };
        refuses(
            &["--input", r#"{"orderId":"#],
            "the input is not JSON: EOF while parsing a value at line 1 column 11; quote it for the shell, or use \
             --text to pass plain text",
        );
        refuses(
            &["--input", "@absent.json"],
            "the input file absent.json cannot be read: No such file or directory (os error 2)",
        );
        let usage = "\n\nFor more information, try '--help'.";
        refuses(&["--env", "COLOUR"], &format!("invalid value 'COLOUR' for '--env <K=V>': give NAME=VALUE{usage}"));
        refuses(&["--memory", "0"], &format!("invalid value '0' for '--memory <MIB>': 0 is not in 1..=4095{usage}"));
        refuses(
            &["--execution-timeout", "31622401"],
            &format!(
                "invalid value '31622401' for '--execution-timeout <SECONDS>': 31622401 is not in 1..=31622400{usage}"
            ),
        );
    }
    assert!(!empty.database().exists(), "a refusal made a database");
    for name in ["a b", "", &"x".repeat(65)] {
        let words = format!("error: execution name {name:?} is not allowed: give 1..64 characters of [a-zA-Z0-9-_]\n");
        refuses(&suspended, &["run", "order.wasm", "--name", name, "--input", ORDER], 2, &words);
    }
    refuses(
        &suspended,
        &["run", "order.wasm", "--name", "o", "--input", r#"{"orderId":"43","amount":12.5}"#],
        2,
        "error: the execution o of order was started with another input; leave --input out to resume it, or choose \
         another --name\n",
    );
    let sole = content(&suspended).unwrap();
    // An input that the workflow cannot read is the workflow's to refuse: that execution fails.
    let unread = suspended.run(&["run", "order.wasm", "--name", "unread", "--input", "{}"]).exits(1);
    assert_eq!(
        unread.stderr,
        "execution unread\nFAILED: InvalidInputError: cannot read the input as order::Order: missing field `orderId` \
         at line 1 column 2; start the execution with an input that fits\n"
    );
    assert!(content(&suspended).unwrap() != sole);
}

#[test]
fn databases_that_are_not_ours_to_write() {
    let place = suspended();
    let (database, resume) = (place.database(), ["run", "order.wasm", "--name", "o", "--simulate", "7"]);
    let whole = fs::read(&database).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let refused = |bytes: &[u8], stderr: &str| {
        fs::write(&database, bytes).unwrap();
        let ran = place.run(&resume).exits(4);
        assert_eq!(shown(&place, &ran.stderr), stderr);
        assert!(fs::read(&database).unwrap() == bytes, "the refused database was changed");
    };
    // SQLite's header: `user_version` at 60, `application_id` at 68, big-endian.
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
    refused(
        &newer,
        &format!(
            "error: database PLACE/everstep.db has schema version 9; everstep {version} reads up to 1: use everstep \
             {version}, which wrote it, or a newer one\n"
        ),
    );
    let mut foreign = whole.clone();
    foreign[68..72].copy_from_slice(&0x1234_u32.to_be_bytes());
    refused(
        &foreign,
        "error: PLACE/everstep.db is not an everstep database (its application id is 0x1234, not 0x65767374); give \
         another path\n",
    );
    refused(
        b"not a database at all, but long enough to have a header, which SQLite wants to see first of all",
        "error: PLACE/everstep.db is not an everstep database; give another path\n",
    );
    fs::write(&database, &whole).unwrap();
    place.run(&resume).exits(0);
}

#[test]
fn a_database_that_another_process_owns() {
    let place = suspended();
    let resume = ["run", "order.wasm", "--name", "o", "--simulate", "7"];
    let mut owner = held(&place, &resume, "in-body:1");
    let locked = format!(
        "error: database PLACE/everstep.db is owned by process {}: talk to that process, end it, or give another path\n",
        owner.id()
    );
    refuses(&place, &resume, 4, &locked);
    refuses(&place, &["run", "order.wasm", "--name", "other", "--input", ORDER], 4, &locked);
    owner.kill().unwrap();
    owner.wait().unwrap();
    place.run(&resume).exits(0);
}

/// Gives the directory and what is in it these permissions, and makes the command run as somebody whom they bind.
fn bound_by(place: &Place, command: &mut Command, directory: u32, files: u32) {
    for entry in fs::read_dir(place.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(files)).unwrap();
    }
    fs::set_permissions(place.path(), Permissions::from_mode(directory)).unwrap();
    if fs::metadata(place.path()).unwrap().uid() == 0 {
        // Root may write anywhere; nobody may not.
        command.uid(65534).gid(65534);
    }
}

#[test]
fn a_place_that_cannot_be_written() {
    let place = suspended();
    let before = content(&place);
    let mut resume = place.everstep(&["run", "order.wasm", "--name", "o", "--simulate", "7"]);
    bound_by(&place, &mut resume, 0o555, 0o444);
    let refused = Ran::from(resume.output().unwrap()).exits(4);
    let words = "error: cannot lock PLACE/everstep.db.lock: Permission denied (os error 13); give this user write access \
                 to the directory, on a file system with locks\n";
    assert_eq!(shown(&place, &refused.stderr), words);

    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
    fs::remove_file(place.path().join("everstep.db.lock")).unwrap();
    bound_by(&place, &mut resume, 0o777, 0o444);
    let refused = Ran::from(resume.output().unwrap()).exits(4);
    let words = "error: cannot take ownership of PLACE/everstep.db: the file or its directory is read-only; give this user \
                 write access, or use another path\n";
    assert_eq!(shown(&place, &refused.stderr), words);

    let empty = Place::new();
    fs::copy(guest("order"), empty.path().join("order.wasm")).unwrap();
    let mut start = empty.everstep(&["run", "order.wasm", "--name", "o", "--input", ORDER]);
    bound_by(&empty, &mut start, 0o555, 0o444);
    Ran::from(start.output().unwrap()).exits(4);
    assert!(!empty.database().exists());

    fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(place.path()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(0o600)).unwrap();
    }
    assert!(content(&place) == before, "the refused commands changed the database");
    place.run(&["run", "order.wasm", "--name", "o", "--simulate", "7"]).exits(0);
}

/// The command with files bounded to so many kibibytes: writes beyond that fail, like those to a full disk.
fn bounded(command: &Command, kibibytes: u64) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -f {}; exec \"$0\" \"$@\"", kibibytes * 2)]);
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    shell.current_dir(command.get_current_dir().expect("it has a place"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Ran::from(shell.output().expect("sh runs"))
}

#[test]
fn a_disk_that_is_full_before_anything_is_written() {
    let place = suspended();
    let before = content(&place);
    let refused = bounded(&place.everstep(&["run", "order.wasm", "--name", "o", "--simulate", "7"]), 1).exits(4);
    let words = "error: cannot open PLACE/everstep.db: disk I/O error (SQLite 4874); check the disk, then try again\n";
    assert_eq!(shown(&place, &refused.stderr), words);
    assert!(content(&place) == before, "the refused command changed the database");
    place.run(&["run", "order.wasm", "--name", "o", "--simulate", "7"]).exits(0);
}

#[test]
fn a_disk_that_fills_up_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let component = guest("guest-faults");
    let run = ["run", component.to_str().unwrap(), "--name", "t", "--simulate", "7"];
    let started = ["--input", r#"{"case":"thousand_steps"}"#, "--json"];
    let room = kibibytes(&component) + 1024;
    let full = bounded(&place.everstep(&[&run[..], &started].concat()), room).exits(4);
    let words = "cannot append to PLACE/everstep.db: disk I/O error (SQLite 778); check the disk, then try again\n";
    let said = shown(&place, &full.stderr);
    assert!(said.ends_with(&format!("\nerror: {words}")), "{said}");
    assert!(!said.contains('\u{1b}'), "colours in a pipe: {said}");
    let acknowledged = full.stdout.lines().filter(|line| line.contains(r#""status":"SUCCEEDED""#)).count();
    let succeeded =
        |history: &[serde_json::Value]| lines(history).iter().filter(|line| line.starts_with("StepSucceeded")).count();
    assert!((1..1000).contains(&acknowledged), "{acknowledged} of 1000 steps fit");
    assert_eq!(succeeded(&history(&place, "guest-faults", "t")), acknowledged);
    let resumed = place.run(&run).exits(0);
    assert_eq!(resumed.stdout, "{\"sum\":999000}\n");
    let history = history(&place, "guest-faults", "t");
    assert_eq!((succeeded(&history), history.len()), (1000, 2 * 1000 + 4));
}

fn kibibytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len().div_ceil(1024)
}
