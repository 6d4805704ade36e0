//! The `order` example on a simulated disk: a run until the first error, a run that does not give up, and what must hold
//! of a disk afterwards.

#![allow(unreachable_pub, reason = "a module of a test program")]

use crate::in_process::{Dying, Ended, embedded, finish, start};
use everstep_core::protocol::{Event, Transition};
use everstep_core::store::{Store, StoreError};
use everstep_store::faulty::FaultyDisk;
use everstep_store::{Options, SqliteStore};
use std::sync::{Arc, OnceLock};

const GUEST: &str = "order";
const INPUT: &str = r#"{"orderId":"42","amount":12.5}"#;
const SEED: u64 = 1;
/// The clock of `everstep run --simulate`.
const TICK: u64 = 7;

/// What was told to whoever ran the order.
#[derive(Debug, Default)]
pub struct Told {
    /// The transitions that were acknowledged, in order.
    pub acknowledged: Vec<Transition>,
    /// Whether the execution was seen to end.
    pub ended: bool,
}

/// How the order ends where nothing breaks.
pub struct Expected {
    pub end: Ended,
    pub log: Vec<Transition>,
}

pub fn expected() -> &'static Expected {
    static EXPECTED: OnceLock<Expected> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let store = Arc::new(open(&FaultyDisk::new(0)).expect("a new database"));
        let process = embedded(store.clone(), TICK);
        let arn = start(&process, GUEST, INPUT, SEED).expect("starts");
        let end = finish(&process, &arn).expect("ends");
        let key = store.find(GUEST, "tested").expect("readable").expect("there").key;
        Expected { end, log: store.load(key).expect("readable") }
    })
}

fn open(disk: &FaultyDisk) -> Result<SqliteStore, StoreError> {
    SqliteStore::open("everstep.db", Options::on(disk))
}

/// Runs the order until the first error.
pub fn attempt(disk: &FaultyDisk) -> Told {
    let Ok(store) = open(disk) else { return Told::default() };
    let store = Arc::new(Dying::never(Arc::new(store)));
    let process = embedded(store.clone(), TICK);
    let ended = start(&process, GUEST, INPUT, SEED).is_ok_and(|arn| finish(&process, &arn).is_ok());
    Told { acknowledged: store.acknowledged(), ended }
}

/// Runs the order to its end in one process: after each error the disk is repaired and what failed is done again.
/// Answers the errors as well.
pub fn insist(disk: &FaultyDisk) -> (Told, Vec<String>) {
    let mut errors = Vec::new();
    let mut failed = |error: String| {
        errors.push(error);
        assert!(errors.len() < 20, "the store does not recover: {errors:?}");
        disk.repair();
    };
    let store = loop {
        match open(disk) {
            Ok(store) => break Arc::new(Dying::never(Arc::new(store))),
            Err(error) => failed(error.to_string()),
        }
    };
    let process = embedded(store.clone(), TICK);
    let arn = loop {
        match start(&process, GUEST, INPUT, SEED) {
            Ok(arn) => break arn,
            Err(error) => failed(error.to_string()),
        }
    };
    let end = loop {
        match crate::in_process::drive(&process, &arn) {
            Ok(_) => break finish(&process, &arn).expect("a closed execution can be read"),
            Err(error) => failed(error.to_string()),
        }
    };
    same_end(&end).expect("the same end in the same process");
    (Told { acknowledged: store.acknowledged(), ended: true }, errors)
}

fn lasting(log: &[Transition]) -> Vec<(i64, Event)> {
    let events = log.iter().flat_map(|row| row.events.iter().map(|event| (row.at.0, event.clone())));
    events.filter(|(_, event)| !matches!(event, Event::InvocationCompleted { .. })).collect()
}

fn same_end(end: &Ended) -> Result<(), String> {
    let expected = &expected().end;
    if end.result()? != expected.result()? {
        return Err(format!("ended with {:?} instead of {:?}", end.result(), expected.result()));
    }
    match end.essence() == expected.essence() {
        true => Ok(()),
        false => Err(format!("recorded {:#?} instead of {:#?}", end.essence(), expected.essence())),
    }
}

/// Opens what is left of a disk. The log is a prefix of the expected one, invocations' ends apart, and holds what was
/// acknowledged; the execution goes on to its end.
pub fn recover(disk: &FaultyDisk, told: &Told) -> Result<(), String> {
    let store = Arc::new(open(disk).map_err(|error| format!("does not open: {error}"))?);
    let log = match store.find(GUEST, "tested").map_err(|error| error.to_string())? {
        Some(found) => store.load(found.key).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    // In this order; between them may be what was refused and is in the log all the same.
    let mut rows = log.iter();
    if !told.acknowledged.iter().all(|acknowledged| rows.any(|row| row == acknowledged)) {
        return Err(format!("acknowledged {:#?}, and the log is {log:#?}", told.acknowledged));
    }
    if log.len() > told.acknowledged.len() + 1 && !told.ended {
        return Err(format!("of {} rows, only {} were acknowledged", log.len(), told.acknowledged.len()));
    }
    if !lasting(&expected().log).starts_with(&lasting(&log)) {
        return Err(format!("the log is no prefix of the expected one: {log:#?}"));
    }
    let process = embedded(store, TICK);
    let arn = start(&process, GUEST, INPUT, SEED).map_err(|error| format!("does not start: {error}"))?;
    same_end(&finish(&process, &arn)?)
}
