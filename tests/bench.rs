//! What durability costs here: each line beside its floor, measured in the same run on the same machine.
//!
//!     cargo bench -p everstep [-- LINE]
//!
//! The floor is a bare loop of SQLite commits of rows as long as ours, at the same durability, in the same directory,
//! in turns with what is measured. Absolute figures say little; the ratios are the point.

#[path = "bench/http.rs"]
mod http;
#[path = "bench/sealing.rs"]
mod sealing;
#[path = "bench/verification.rs"]
mod verification;

use everstep::embedded::{Driven, Embedded, MachineEntropy, RealTime, SimulatedTime};
use everstep::worker::{Environment, Observer, Silent, Verify, Worker};
use everstep_core::protocol::{ExecutionArn, ExecutionConfig, ExecutionStatus};
use everstep_core::service::{Execution, StartExecution, Started};
use everstep_core::store::memory::MemoryStore;
use everstep_core::store::{Append, Projection, Store};
use everstep_sandbox::Sandbox;
use everstep_store::faulty::FaultyDisk;
use everstep_store::{Options, SqliteStore};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn main() {
    let wasm = std::fs::read(guest()).expect("the guest was built");
    let directory =
        tempfile::tempdir_in(std::env::var_os("EVERSTEP_BENCH_DIR").unwrap_or_else(|| std::env::temp_dir().into()))
            .expect("a directory");
    let bench = Bench { wasm, directory: directory.path().to_owned() };
    println!("{:48} {:>14} {:>14} {:>8}", "", "everstep", "floor", "ratio");
    let only = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    let all: [Line; 11] = [
        ("sequential", Bench::sequential),
        ("at-once", Bench::at_once),
        ("replay", Bench::replay),
        ("resume", Bench::resume),
        ("recovery", Bench::recovery),
        ("cold", Bench::cold),
        ("log", Bench::log),
        ("sealing", Bench::sealing),
        ("disturbed", Bench::disturbed),
        ("shadow", Bench::shadow),
        ("http", Bench::http),
    ];
    for (name, line) in all {
        if only.as_deref().is_none_or(|only| only == name) {
            line(&bench);
        }
    }
}

fn guest() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .current_dir(ROOT)
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "guest", "-p", "guest-bench"])
        .args(["--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let artifact = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    text.lines().filter_map(artifact).next_back().expect("a component")
}

/// One line of the report. `higher`: more is better.
fn line(what: &str, ours: f64, floor: f64, unit: &str, higher: bool) {
    let ratio = if higher { ours / floor } else { floor / ours };
    println!("{what:48} {ours:>10.1} {unit:3} {floor:>10.1} {unit:3} {ratio:>8.2}");
}

/// A part of the report: what to call it by, and what prints it.
type Line = (&'static str, fn(&Bench));

struct Bench {
    wasm: Vec<u8>,
    directory: PathBuf,
}

impl Bench {
    fn sandbox(&self) -> Sandbox {
        Sandbox::new(Some(self.directory.join("cache"))).expect("a sandbox")
    }

    fn real(&self, name: &str) -> Embedded {
        let store = SqliteStore::open(self.directory.join(name), Options::default()).expect("a store");
        Embedded::new(Arc::new(store), self.sandbox(), Arc::new(RealTime), Arc::new(MachineEntropy))
    }

    fn simulated(&self, store: Arc<dyn Store>) -> Embedded {
        Embedded::new(store, self.sandbox(), Arc::new(SimulatedTime::default()), Arc::new(MachineEntropy))
    }

    fn start(&self, embedded: &Embedded, name: &str, steps: u64, waits: u64) -> ExecutionArn {
        self.begin(embedded, name, &serde_json::json!({"steps": steps, "waits": waits}))
    }

    /// Starts an execution with what the guest's `Input` says.
    fn begin(&self, embedded: &Embedded, name: &str, input: &serde_json::Value) -> ExecutionArn {
        let component = embedded.add_component(&self.wasm).expect("a workflow");
        let config = ExecutionConfig { max_operations: 1_000_000, ..ExecutionConfig::default() };
        let started = embedded.start(StartExecution {
            function: "bench".into(),
            version: "$LATEST".into(),
            name: Some(name.into()),
            input: Some(input.to_string()),
            component,
            config,
            seed: None,
        });
        match started.expect("started") {
            Started::New(arn) | Started::Existing(arn) => arn,
        }
    }

    /// Sequential steps against the bare loop, in turns, so that whatever else keeps the disk busy meets both alike.
    fn sequential(&self) {
        const STEPS: u64 = 500;
        const TURNS: u32 = 8;
        let embedded = self.real("sequential.db");
        let mut floor = Floor::open(&self.directory.join("floor.db"));
        for (label, verify) in
            [("sequential steps, verified", Verify::Always), ("sequential steps, not verified", Verify::Off)]
        {
            let (mut ours, mut bare) = (Duration::ZERO, Duration::ZERO);
            for turn in 0..TURNS {
                bare += timed(|| floor.commits(STEPS));
                let arn = self.start(&embedded, &format!("s{turn}-{verify:?}"), STEPS, 0);
                ours += timed(|| finish(&embedded, &arn, verify));
            }
            let per_second = |time: Duration| (STEPS * u64::from(TURNS)) as f64 / time.as_secs_f64();
            line(label, per_second(ours), per_second(bare), "/s", true);
        }
    }

    /// Many executions share syncs. The floor is the same number of commits one after the other.
    fn at_once(&self) {
        const EXECUTIONS: usize = 200;
        let embedded = self.real("at-once.db");
        let mut floor = Floor::open(&self.directory.join("floor-at-once.db"));
        let arns: Vec<_> = (0..EXECUTIONS).map(|number| self.start(&embedded, &format!("e{number}"), 5, 0)).collect();
        let bare = timed(|| floor.commits(EXECUTIONS as u64 * 6));
        let ours = timed(|| {
            std::thread::scope(|scope| {
                for arn in &arns {
                    scope.spawn(|| finish(&embedded, arn, Verify::Always));
                }
            });
        });
        let per_second = |time: Duration| EXECUTIONS as f64 / time.as_secs_f64();
        line("200 executions of 5 steps at once", per_second(ours), per_second(bare), "/s", true);
    }

    /// Handing recorded operations to a guest, and what comes before it; the floor is the target, a million a second.
    fn replay(&self) {
        for steps in [10_000, 100_000u64] {
            let store = Arc::new(
                SqliteStore::open(self.directory.join(format!("replay{steps}.db")), Options::default())
                    .expect("a store"),
            );
            let embedded = self.simulated(Arc::new(MemoryStore::new()));
            let arn = self.start(&embedded, "replay", steps, 0);
            finish(&embedded, &arn, Verify::Off);
            let found = embedded.service().store().find_arn(&arn).expect("found").expect("there");
            let log = embedded.service().store().load(found.key).expect("loaded");
            let projection = Projection { status: found.status, ended_at: None, wake_at: None };
            let key = store.create(&log[0], projection).expect("created");
            let rows = log.iter().enumerate().skip(1);
            for (sequence, transition) in rows {
                let append = Append {
                    execution: key,
                    sequence: sequence as u64,
                    transition: transition.clone(),
                    projection: None,
                };
                store.append(append).expect("appended");
            }
            let workflow = self.sandbox().load(&self.wasm).expect("a workflow");
            let worker = Worker::offline(Environment::default(), Arc::new(Silent));
            let best = |work: &mut dyn FnMut()| (0..5).map(|_| timed(&mut *work)).min().unwrap_or_default();
            let read = best(&mut || assert_eq!(store.load(key).expect("loaded").len(), log.len()));
            let fold = best(&mut || drop(Execution::fold(key, &log).expect("folded")));
            let replay = best(&mut || drop(worker.replay(&workflow, &log).expect("replayed")));
            let rate = |time: Duration| steps as f64 / time.as_secs_f64() / 1e6;
            line(
                &format!("replay of {steps} steps: the guest's run"),
                rate(replay.saturating_sub(fold)),
                1.0,
                "M/s",
                true,
            );
            line("  reading the log from SQLite", rate(read), 1.0, "M/s", true);
            line("  folding it", rate(fold), 1.0, "M/s", true);
        }
    }

    /// A suspended execution with 100 recorded operations goes on to its next wait: three commits and two replays, the
    /// second to verify the first.
    fn resume(&self) {
        const EXECUTIONS: u64 = 30;
        const WAITS: u64 = 10;
        let store = SqliteStore::open(self.directory.join("resume.db"), Options::default()).expect("a store");
        let embedded = self.simulated(Arc::new(store));
        let mut floor = Floor::open(&self.directory.join("floor-resume.db"));
        for (label, verify) in
            [("resume with 100 operations, verified", Verify::Always), ("  not verified", Verify::Off)]
        {
            let (mut ours, mut steps, mut bare) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
            for number in 0..EXECUTIONS {
                let plain = self.start(&embedded, &format!("plain{number}{verify:?}"), 100, 0);
                let waiting = self.start(&embedded, &format!("waiting{number}{verify:?}"), 100, WAITS);
                steps += timed(|| finish(&embedded, &plain, verify));
                ours += timed(|| finish(&embedded, &waiting, verify));
                bare += timed(|| floor.commits(3 * WAITS));
            }
            let each = |time: Duration| time.as_secs_f64() * 1e6 / (EXECUTIONS * WAITS) as f64;
            let resumed = each(ours.saturating_sub(steps));
            line(label, resumed, each(bare), "us", false);
            line("    beyond its commits; the floor is the target", resumed - each(bare), 1000.0, "us", false);
        }
    }

    /// Killed with 1,000 finished steps: from the new process's start to the next step's commit.
    fn recovery(&self) {
        let run = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_everstep"));
            command.current_dir(&self.directory).env("EVERSTEP_CACHE_DIR", self.directory.join("cache")).args([
                "run",
                &guest().display().to_string(),
                "--name",
                "recovery",
                "--data",
                "recovery.db",
                "--json",
                "--max-operations",
                "100000",
                "--input",
                "{\"steps\":20000,\"waits\":0}",
            ]);
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("everstep runs")
        };
        let steps_seen = |child: &mut std::process::Child, wanted: usize| {
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let done = lines.map_while(Result::ok).filter(|line| line.contains("SUCCEEDED"));
            assert_eq!(done.take(wanted).count(), wanted, "the run ended early");
        };
        let mut first = run();
        steps_seen(&mut first, 1000);
        first.kill().and_then(|()| first.wait()).expect("killed");
        let begun = Instant::now();
        let mut second = run();
        steps_seen(&mut second, 1);
        let recovered = begun.elapsed();
        second.kill().and_then(|()| second.wait()).expect("killed");
        let nothing = timed(|| drop(Command::new("true").status()));
        line(
            "recovery after kill -9, 1,000 steps",
            recovered.as_secs_f64() * 1e3,
            nothing.as_secs_f64() * 1e3,
            "ms",
            false,
        );
    }

    /// A new process, native code in the cache, to the result of one step.
    fn cold(&self) {
        let mut best = Duration::MAX;
        for number in 0..10 {
            let mut command = Command::new(env!("CARGO_BIN_EXE_everstep"));
            command.current_dir(&self.directory).env("EVERSTEP_CACHE_DIR", self.directory.join("cache")).args([
                "run",
                &guest().display().to_string(),
                "--data",
                &format!("cold{number}.db"),
                "--input",
                "{\"steps\":1,\"waits\":0}",
            ]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            best = best.min(timed(|| assert!(command.status().expect("everstep runs").success())));
        }
        let nothing = (0..10).map(|_| timed(|| drop(Command::new("true").status()))).min().unwrap_or_default();
        line(
            "cold process, new database, to its result",
            best.as_secs_f64() * 1e3,
            nothing.as_secs_f64() * 1e3,
            "ms",
            false,
        );
    }

    /// Bytes and syncs a step.
    fn log(&self) {
        const STEPS: u64 = 5_000;
        let disk = FaultyDisk::new(1);
        let store = Arc::new(SqliteStore::open("log.db", Options::on(&disk)).expect("a store"));
        let embedded = self.simulated(store);
        let arn = self.start(&embedded, "log", STEPS, 0);
        let before = disk.counts();
        finish(&embedded, &arn, Verify::Off);
        let after = disk.counts();
        drop(embedded);
        let bytes: usize =
            disk.files().iter().filter(|(name, _)| name.ends_with("log.db")).map(|(_, file)| file.len()).sum();
        line(
            "log, bytes a step in the database file",
            bytes.saturating_sub(self.wasm.len()) as f64 / STEPS as f64,
            200.0,
            "B",
            false,
        );
        line("log, syncs a step", (after.syncs - before.syncs) as f64 / STEPS as f64, 1.0, "", false);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// One figure a round.
type Measured = Vec<f64>;

fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Measured = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn finish(embedded: &Embedded, arn: &ExecutionArn, verify: Verify) {
    finish_in(embedded, arn, &Environment { verify, ..Environment::default() });
}

fn finish_in(embedded: &Embedded, arn: &ExecutionArn, environment: &Environment) {
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let driven = embedded.drive(arn, environment, &observer, None).expect("driven");
    assert_eq!(driven, Driven::Closed(ExecutionStatus::Succeeded));
}

/// A bare loop of SQLite commits.
struct Floor {
    connection: rusqlite::Connection,
    rows: i64,
}

impl Floor {
    fn open(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).expect("a database");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE log(execution INTEGER, sequence INTEGER, body BLOB, PRIMARY KEY (execution, sequence)) WITHOUT ROWID",
            )
            .expect("a table");
        Self { connection, rows: 0 }
    }

    fn commits(&mut self, count: u64) {
        let mut insert = self.connection.prepare("INSERT INTO log VALUES (1, ?, ?)").expect("a statement");
        for _ in 0..count {
            insert.execute(rusqlite::params![self.rows, [7u8; 80]]).expect("a commit");
            self.rows += 1;
        }
    }
}
