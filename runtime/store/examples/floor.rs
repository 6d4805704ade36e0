//! What the store costs over a bare loop of SQLite commits at the same durability, side by side on this machine.
//!
//!     cargo run --release -p everstep-store --example floor --features faulty [-- DIRECTORY]
//!
//! The figures are ratios: both sides run in turns in one process, on files in one directory.

use everstep_core::protocol::*;
use everstep_core::store::{Append, ExecutionKey, Projection, Store};
use everstep_store::faulty::FaultyDisk;
use everstep_store::{Options, SqliteStore};
use rusqlite::{Connection, params};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STEPS: u64 = 10_000;
/// Commits of each side before the other one's turn: few, so that whatever else keeps the disk busy meets both alike.
const TURN: u64 = 20;

fn step(sequence: u64) -> Transition {
    let id = OperationId::position(None, sequence);
    Transition {
        at: Timestamp(1_790_000_000_000 + sequence as i64),
        cause: Cause::Checkpoint,
        first_event: sequence * 2,
        events: vec![
            Event::StepStarted {
                id: id.clone(),
                parent: None,
                name: Some("charge-card".into()),
                sub_type: None,
                rerun: false,
            },
            Event::StepSucceeded { id, attempt: 1, result: Some("{\"ok\":true}".into()) },
        ],
        journal: Some(Journal { calls: sequence * 6, digest: 0x9e37_79b9_7f4a_7c15 ^ sequence, delivered: sequence }),
        client_token: None,
    }
}

fn create(store: &SqliteStore, name: &str) -> Result<ExecutionKey, Box<dyn Error>> {
    let started = ExecutionStarted {
        arn: ExecutionArn::local("order", "1", name, name).as_str().into(),
        function: "order".into(),
        version: "1".into(),
        name: name.into(),
        input: None,
        component: ComponentDigest([0; 32]),
        seed: Seed([0; 32]),
        config: ExecutionConfig::default(),
        invoked_by: None,
    };
    let first = Transition { events: vec![Event::ExecutionStarted(Arc::new(started))], ..step(0) };
    Ok(store.create(&first, Projection { status: ExecutionStatus::Running, ended_at: None, wake_at: None })?)
}

fn bare(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000;
         PRAGMA cache_size = -8192;
         CREATE TABLE log(execution INTEGER, sequence INTEGER, body BLOB, PRIMARY KEY (execution, sequence)) WITHOUT ROWID",
    )?;
    Ok(connection)
}

fn sequential(directory: &Path) -> Result<(), Box<dyn Error>> {
    let floor = bare(&directory.join("bare.db"))?;
    let store = SqliteStore::open(directory.join("store.db"), Options::default())?;
    let execution = create(&store, "one")?;
    let (mut bare_turns, mut store_turns) = (Vec::new(), Vec::new());
    for turn in 0..STEPS / TURN {
        let numbers = turn * TURN + 1..=(turn + 1) * TURN;
        let bodies: Vec<_> = numbers.clone().map(|n| (n, step(n).encode())).collect();
        let start = Instant::now();
        let mut insert = floor.prepare_cached("INSERT INTO log VALUES (1, ?1, ?2)")?;
        for (n, body) in &bodies {
            insert.execute(params![*n as i64, body])?;
        }
        bare_turns.push(start.elapsed());

        let transitions: Vec<_> = numbers.map(|n| (n, step(n))).collect();
        let start = Instant::now();
        for (sequence, transition) in transitions {
            store.append(Append { execution, sequence, transition, projection: None })?;
        }
        store_turns.push(start.elapsed());
    }
    let median = |turns: &mut Vec<Duration>| {
        turns.sort();
        turns[turns.len() / 2].as_secs_f64()
    };
    let (bare_turn, store_turn) = (median(&mut bare_turns), median(&mut store_turns));
    println!("bare loop            {:>8.0} commits/s (median turn)", TURN as f64 / bare_turn);
    println!("store, sequential    {:>8.0} appends/s (median turn)", TURN as f64 / store_turn);
    println!("ratio                {:>8.3}", bare_turn / store_turn);
    drop(store);
    let bytes = std::fs::metadata(directory.join("store.db"))?.len();
    println!("row                  {:>8} bytes", step(STEPS).encode().len());
    println!("file per step        {:>8.1} bytes", bytes as f64 / STEPS as f64);
    Ok(())
}

/// The same without a disk: what the processor does for one append.
fn counted() -> Result<(), Box<dyn Error>> {
    let disk = FaultyDisk::new(1);
    let store = SqliteStore::open("floor.db", Options::on(&disk))?;
    let execution = create(&store, "one")?;
    let before = disk.counts();
    for sequence in 1..=STEPS {
        store.append(Append { execution, sequence, transition: step(sequence), projection: None })?;
    }
    let after = disk.counts();
    println!("syncs per step       {:>8.4}", (after.syncs - before.syncs) as f64 / STEPS as f64);
    println!("written per step     {:>8.0} bytes", (after.bytes - before.bytes) as f64 / STEPS as f64);
    Ok(())
}

fn grouped(directory: &Path, threads: u64) -> Result<(), Box<dyn Error>> {
    let store = SqliteStore::open(directory.join(format!("group-{threads}.db")), Options::default())?;
    let keys = (0..threads).map(|n| create(&store, &format!("e{n}"))).collect::<Result<Vec<_>, _>>()?;
    let each = STEPS / threads;
    let start = Instant::now();
    let failed = std::thread::scope(|scope| {
        let run = |execution: ExecutionKey| {
            let store = &store;
            scope.spawn(move || {
                (1..=each).try_for_each(|sequence| {
                    store.append(Append { execution, sequence, transition: step(sequence), projection: None })
                })
            })
        };
        let threads: Vec<_> = keys.into_iter().map(run).collect();
        threads.into_iter().filter_map(|thread| thread.join().map_or(None, Result::err)).next()
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let rate = (each * threads) as f64 / start.elapsed().as_secs_f64();
    println!("{threads:>4} threads         {rate:>8.0} appends/s");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let above = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let directory = tempfile::tempdir_in(above)?;
    sequential(directory.path())?;
    counted()?;
    [10, 50, 200].into_iter().try_for_each(|threads| grouped(directory.path(), threads))
}
