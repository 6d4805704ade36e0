//! Loss of power, failing, full, torn and lying disks at every single operation of a workload.

mod fixture;

use everstep_core::store::{Store, StoreError};
use everstep_store::faulty::{CrashMode, Fault, FaultyDisk, Sweep};
use everstep_store::{Options, SqliteStore};
use fixture::{Action, State, act, expected, script, seen};

/// What a run was told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: usize,
    epoch: u64,
}

fn run_until_first_error(disk: &FaultyDisk, actions: &[Action]) -> Told {
    let mut told = Told::default();
    let mut store = None;
    for action in actions {
        let result = act(disk, &mut store, action);
        told.epoch = store.as_ref().map_or(told.epoch, |store| store.epoch());
        if result.is_err() {
            break;
        }
        told.acknowledged += 1;
    }
    told
}

/// How many actions the store shows: exactly those acknowledged, or the one in flight as well, whole.
fn position(state: &State, acknowledged: usize, actions: &[Action]) -> Result<usize, String> {
    let in_flight = (acknowledged + 1).min(actions.len());
    [in_flight, acknowledged]
        .into_iter()
        .find(|n| *state == expected(&actions[..*n]))
        .ok_or_else(|| format!("{acknowledged} actions were acknowledged, but the store shows {state:?}"))
}

/// Opens a crashed disk, compares what it shows with what was acknowledged, and finishes the workload on it.
fn recover(disk: &FaultyDisk, told: &Told, actions: &[Action]) -> Result<(), String> {
    let text = |error: StoreError| error.to_string();
    let store = SqliteStore::open("everstep.db", Options::on(disk)).map_err(text)?;
    if store.epoch() <= told.epoch {
        return Err(format!("epoch {} after {}", store.epoch(), told.epoch));
    }
    let state = seen(&store, actions).map_err(text)?;
    let from = position(&state, told.acknowledged, actions)?;
    // Whatever an opened store shows is durable, also what a killed process had only written.
    let again = disk.crash(CrashMode::Lost, 0);
    let shown = SqliteStore::open("everstep.db", Options::on(&again)).and_then(|store| seen(&store, actions));
    if shown.map_err(text)? != state {
        return Err("what the store showed after opening was not durable".into());
    }
    let mut store = Some(store);
    for action in &actions[from..] {
        act(disk, &mut store, action).map_err(text)?;
    }
    let end = seen(store.as_ref().ok_or("no store")?, actions).map_err(text)?;
    if end == expected(actions) { Ok(()) } else { Err(format!("the workload ended in {end:?}")) }
}

fn sweep_with_power_loss(sweep: &Sweep, actions: &[Action]) -> u64 {
    sweep.run(
        |disk| run_until_first_error(disk, actions),
        |point, disk, told| {
            assert!(point.reached || told.acknowledged == actions.len());
            recover(&disk, told, actions).unwrap_or_else(|why| panic!("{point:?}: {why}"));
        },
    )
}

#[test]
fn power_loss_at_any_operation_loses_nothing_acknowledged() {
    let actions = script(5000);
    let points = sweep_with_power_loss(&Sweep::power_off(), &actions);
    assert!(points > 100, "only {points} operations");
}

/// More than a write-ahead log's worth of pages: its checkpoint and restart, by samples.
#[test]
fn power_loss_around_a_checkpoint_loses_nothing_acknowledged() {
    let actions = script(4_200_000);
    let points = sweep_with_power_loss(&Sweep { stride: 61, ..Sweep::power_off() }, &actions);
    assert!(points > 40, "only {points} operations");
}

/// A fault that passes: the failing call says so, what was acknowledged stays, and the same store goes on.
fn sweep_with_passing_fault(fault: Fault) {
    let actions = script(5000);
    let points = Sweep::of(fault).run(
        |disk| {
            let (mut store, mut done) = (None, 0);
            let mut failures = 0;
            while done < actions.len() {
                let Err(error) = act(disk, &mut store, &actions[done]) else {
                    done += 1;
                    continue;
                };
                assert!(matches!(error, StoreError::Unavailable(_)), "action {done}: {error:?}");
                failures += 1;
                assert!(failures < 20, "the store does not recover: {error}");
                disk.repair();
                if let Some(store) = &store {
                    let state = seen(store, &actions).expect("reads go on");
                    done = position(&state, done, &actions).unwrap();
                }
            }
            Told { acknowledged: done, epoch: store.as_ref().map_or(0, |store| store.epoch()) }
        },
        |point, disk, told| recover(&disk, told, &actions).unwrap_or_else(|why| panic!("{point:?}: {why}")),
    );
    assert!(points > 100, "only {points} operations");
}

#[test]
fn an_io_error_at_any_operation_passes() {
    sweep_with_passing_fault(Fault::Error);
}

#[test]
fn a_torn_write_at_any_operation_passes() {
    sweep_with_passing_fault(Fault::Torn);
}

#[test]
fn a_full_disk_at_any_operation_passes() {
    sweep_with_passing_fault(Fault::Full);
}

/// The sweep has teeth: with a disk whose syncs do nothing (as with `synchronous=OFF`) it finds lost data, and it
/// notices a single dropped sync of any commit.
#[test]
fn a_lying_disk_is_found_out() {
    let actions = script(5000);
    let find = |sweep: Sweep| {
        let mut caught = 0;
        sweep.run(
            |disk| run_until_first_error(disk, &actions),
            |_, disk, told| caught += u64::from(recover(&disk, told, &actions).is_err()),
        );
        caught
    };
    let lost = vec![(CrashMode::Lost, 0)];
    let honest = find(Sweep { crashes: lost.clone(), ..Sweep::power_off() });
    assert_eq!(honest, 0);
    let lying = find(Sweep { crashes: lost.clone(), also: vec![(1, Fault::LoseSyncs)], ..Sweep::power_off() });
    assert!(lying > 100, "{lying}");

    let operations = {
        let disk = FaultyDisk::new(1);
        run_until_first_error(&disk, &actions);
        disk.counts().operations()
    };
    let mut caught = 0;
    for dropped in 1..operations {
        let disk = FaultyDisk::new(1);
        disk.plan(dropped, Fault::LoseSync);
        disk.plan(dropped + 1, Fault::PowerOff);
        let told = run_until_first_error(&disk, &actions);
        caught += u64::from(recover(&disk.crash(CrashMode::Lost, 0), &told, &actions).is_err());
    }
    // The last action's sync is followed by the checkpoint of closing, which syncs again.
    let commits = actions.iter().filter(|action| !matches!(action, Action::Reopen)).count() as u64;
    assert!(caught >= commits - 1, "{caught} of {commits} dropped commits were noticed");
}
