//! Makes the frozen databases of a release: everything a release leaves behind is recorded here, with its own guests.

use crate::generate::generate;
use crate::program::{Act, Attempt, Op, Program, Step};
use crate::server::Server;
use crate::support::{Place, guest, root};
use crate::{frozen, resumed};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An execution, up to where it is frozen.
struct Case {
    name: String,
    /// The file of databases that it is in, without `.db`: one for each component.
    database: &'static str,
    component: PathBuf,
    /// Beside the component and the name.
    arguments: Vec<String>,
    /// Left in its first suspension. `false`: it is over.
    suspended: bool,
    /// The workflow FAILS in the end.
    fails: bool,
    /// The machine's clock: simulated time stands still while a request is under way, and a timer cannot win.
    real_time: bool,
}

impl Case {
    fn new(name: impl Into<String>, database: &'static str, component: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let component = component.to_owned();
        Self { name: name.into(), database, component, arguments, suspended: true, fails: false, real_time: false }
    }

    fn over(self) -> Self {
        Self { suspended: false, ..self }
    }

    fn failing(self) -> Self {
        Self { fails: true, ..self }
    }

    fn in_real_time(self) -> Self {
        Self { real_time: true, ..self }
    }
}

/// The last line of what a command prints, which must succeed.
fn last_line(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "{command:?} failed");
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().last().unwrap_or_default().to_owned()
}

/// The guests that are built for this alone.
fn compat_guests() -> PathBuf {
    let target = guest("order").ancestors().nth(3).expect("target/wasm32-wasip2/guest/order.wasm").join("compat");
    let build = ["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2", "--manifest-path"];
    let manifest = root().join("tests/guests/compat/Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    last_line(command.args(build).arg(manifest).env("CARGO_TARGET_DIR", &target));
    target.join("wasm32-wasip2/release")
}

fn cases(server: &Server, bundle: &Path) -> Vec<Case> {
    let compat = compat_guests();
    let (requests, plain) = (compat.join("guest-compat.wasm"), compat.join("compat-plain.wasm"));
    let authority = server.authority();
    let ask = |case: &str| json!({"case": case, "server": server.url()}).to_string();
    let network = ["--allow-http", &authority];
    let compat = |name: &str, options: &[&str]| {
        Case::new(name, "compat", &requests, &[&["--input", &ask(name)], options].concat())
    };
    let fetch = |case: &str| {
        let input = ask(case);
        let arguments = [&["--input", &input][..], &network].concat();
        Case::new(format!("fetch-{case}"), "fetch", &guest("guest-fetch"), &arguments).over()
    };
    let mut all = vec![
        compat("fetches", &network),
        compat("race", &network).in_real_time(),
        compat("files", &[]),
        compat("bundle", &["--bundle", bundle.to_str().expect("a path of text")]),
        compat("chance", &[]),
        compat("ties", &[]),
        compat("fails", &[]).failing(),
        Case { name: "chance-over".into(), ..compat("chance", &[]).over() },
        Case { name: "files-over".into(), ..compat("files", &[]).over() },
        Case { name: "fails-over".into(), ..compat("fails", &[]).failing().over() },
        Case::new("plain", "plain", &plain, &[&network[..], &["--", &authority]].concat()),
        Case {
            name: "plain-over".into(),
            ..Case::new("", "plain", &plain, &[&network[..], &["--", &authority]].concat()).over()
        },
        Case::new("http-over", "http", &guest("guest-plain-http"), &[&network[..], &["--", &authority]].concat())
            .over()
            .in_real_time(),
        Case::new("c", "c", &c_program(), &["--input", r#"["call mum","water the plants"]"#]),
    ];
    all.extend(["mixed", "many", "retried", "bytes", "refused"].map(fetch));
    let example = |name: &str, input: &str, options: &[&str]| {
        Case::new(name, "operations", &guest(name), &[&["--input", input], options].concat())
    };
    let order = format!("order={}", guest("order").display());
    let fulfil = r#"{"orderId":"7","amount":5,"payment":"order:$LATEST","shipping":"nobody:1"}"#;
    all.extend([
        example("approval", r#"{"purpose":"a boat","amount":12}"#, &[]),
        example("orchestrate", fulfil, &["--function", &order]),
        example("saga", r#"{"traveller":"Ann","parts":["flight","car"],"amount":9,"sold_out":["car"]}"#, &[]).over(),
        example("fanout", r#"{"images":40,"brokenEvery":20}"#, &[]).over(),
    ]);
    all.push(chaos("everything".into(), &everything()));
    all.push(chaos("everything-over".into(), &everything()).over());
    all.extend((0..GENERATED).map(|seed| chaos(format!("program-{seed}"), &generate(seed)).over()));
    all
}

/// In seconds.
const YEAR: &str = "31622400";
/// Generated programs.
const GENERATED: u64 = 12;

fn c_program() -> PathBuf {
    last_line(&mut Command::new(root().join("examples/c/build"))).into()
}

fn chaos(name: String, program: &Program) -> Case {
    let memory = (program.memory_bytes >> 20).to_string();
    let input = serde_json::to_string(program).expect("a program is JSON");
    let mut arguments = vec!["--input".to_owned(), input, "--memory".to_owned(), memory];
    for (name, value) in &program.environment {
        arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
    }
    arguments.push("--".to_owned());
    arguments.extend(program.arguments.iter().cloned());
    Case { arguments, fails: program.fails, ..Case::new(name, "chaos", &guest("guest-chaos"), &[]) }
}

/// Every kind of act that needs no network, before a suspension and after it, around operations that end at one time.
fn everything() -> Program {
    let acts = || {
        let acts = [
            Act::Wall,
            Act::Monotonic,
            Act::Random(33),
            Act::Insecure(9),
            Act::HashSeed,
            Act::Environment,
            Act::Arguments,
            Act::Stdin(7),
            Act::Print(40),
            Act::Complain(3),
            Act::Budget,
            Act::Log,
            Act::Timers(3, true),
            Act::Map(40),
            Act::Set(30),
            Act::Tree(30),
            Act::Keep(70_000),
            Act::Aligned(3_000, 12),
            Act::Extend(9_000),
            Act::Leak(500),
            Act::Scribble,
            Act::Count,
            Act::Pages(2),
            Act::Edge,
            Act::TooMuch,
            Act::Deep(100),
            Act::Stack(60),
            Act::Float(28),
            Act::Vector(28),
            Act::Drop(2),
            Act::Look,
        ];
        acts.map(Op::Do).to_vec()
    };
    let step = |attempts: Vec<Attempt>, at_most_once| {
        let body = vec![Act::Wall, Act::Random(8), Act::Count, Act::Pages(1), Act::Float(3)];
        Op::Step(Step { body, attempts, at_most_once, eager: at_most_once })
    };
    let ended = |wait| vec![Op::Wait(wait), step(vec![Attempt::Draw], false)];
    let at_once = vec![
        vec![Op::Wait(2)],
        ended(2),
        vec![Op::Child(ended(2)), Op::Send],
        vec![step(vec![Attempt::Fail(2), Attempt::Value(5)], false)],
        vec![step(vec![Attempt::Panic, Attempt::Text(2_000)], true)],
        vec![Op::Receive(3)],
    ];
    let mut ops = acts();
    ops.extend([
        step(vec![Attempt::Draw], false),
        Op::Spawn(ended(2)),
        Op::Spawn(vec![Op::Wait(9)]),
        Op::Peek(vec![Op::Wait(2)]),
        Op::Unordered(at_once.clone()),
        Op::Select(at_once.clone()),
        Op::Collect,
        Op::Abandon,
        Op::Branch(ended(1), ended(3)),
        Op::Join(at_once),
        Op::Do(Act::Sleep(1_700)),
        Op::Do(Act::Poll(vec![1_500, 700, 700])),
    ]);
    ops.extend(acts());
    let environment = vec![("A".to_owned(), "of everything".to_owned())];
    Program { memory_bytes: 9 << 20, environment, arguments: vec!["one".into(), "two".into()], fails: false, ops }
}

/// Not a test: makes `tests/compat/NAME` with NAME from `EVERSTEP_FREEZE`, which must not exist yet.
#[test]
#[ignore = "freezes a release; see tests/compat/README.md"]
fn freeze() {
    let name = std::env::var("EVERSTEP_FREEZE").expect("EVERSTEP_FREEZE=vN names what is frozen");
    let release = frozen().join(name);
    assert!(!release.exists(), "what is frozen is never changed: choose a new name");
    let (recording, server) = (Place::new(), Server::start());
    let bundle = recording.path().join("bundle");
    fs::create_dir_all(bundle.join("sub")).unwrap();
    fs::write(bundle.join("numbers"), (0..=255).collect::<Vec<u8>>()).unwrap();
    fs::write(bundle.join("sub/letters"), "abcdefgh").unwrap();
    let cases = cases(&server, &bundle);
    for case in &cases {
        record(&recording, case);
    }
    drop(server);
    let mut expected = Map::new();
    for Case { name, database, component, fails, .. } in cases {
        let function = component.file_stem().and_then(|stem| stem.to_str()).expect("a component has a name");
        let mut end = resumed(&recording.path().join(format!("{database}.db")), &name, function).value;
        assert_eq!(end["exit"], i32::from(fails), "{name}: {end:#}");
        assert!(!end["history"].to_string().contains("ExecutionTimedOut"), "{name}: {end:#}");
        end["database"] = json!(database);
        expected.insert(name, end);
    }
    // Only now: what could not be resumed is not frozen.
    fs::create_dir(&release).unwrap();
    for database in expected.values().map(|end| end["database"].as_str().unwrap()) {
        let file = format!("{database}.db");
        assert!(!recording.path().join(format!("{file}-wal")).exists(), "the write-ahead log was not merged");
        fs::copy(recording.path().join(&file), release.join(&file)).unwrap();
    }
    fs::write(release.join("expected.json"), format!("{:#}\n", Value::Object(expected))).unwrap();
}

fn record(place: &Place, case: &Case) {
    let database = format!("{}.db", case.database);
    let mut arguments = vec!["run", case.component.to_str().unwrap(), "--name", &case.name, "--data", &database];
    arguments.extend(["--execution-timeout", YEAR]);
    if !case.real_time {
        arguments.extend(["--simulate", "7"]);
    }
    if case.suspended {
        arguments.extend(["--detach-after", "0s"]);
    }
    arguments.extend(case.arguments.iter().map(String::as_str));
    let ran = place.run(&arguments);
    let planned = if case.suspended { 3 } else { i32::from(case.fails) };
    assert_eq!(ran.exit, Some(planned), "{}: {ran:?}", case.name);
}
