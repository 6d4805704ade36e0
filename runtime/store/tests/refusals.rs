//! What is refused, in which words, and that the refused file stays as it was.

mod fixture;

use everstep_core::store::{Append, Filter, Store, StoreError};
use everstep_store::faulty::FaultyDisk;
use everstep_store::{APPLICATION_ID, Options, SCHEMA_VERSION, SqliteStore};
use fixture::{running, started, step, succeeded};
use std::path::Path;

fn refused(path: &Path) -> StoreError {
    SqliteStore::open(path, Options::default()).expect_err("it must be refused")
}

fn created(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path, Options::default()).unwrap();
    store.create(&started("a"), running(None)).unwrap();
    store
}

#[test]
fn a_second_owner_is_refused_until_the_first_is_gone_and_a_reader_never() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("deep/er/everstep.db");
    let owner = created(&path);
    assert_eq!(owner.path(), path);
    let StoreError::Locked(text) = refused(&path) else { panic!() };
    let (shown, pid) = (path.display(), std::process::id());
    assert_eq!(
        text,
        format!("database {shown} is owned by process {pid}: talk to that process, end it, or give another path")
    );
    #[cfg(unix)]
    {
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(refused(&link), StoreError::Locked(_)), "by another name");
    }

    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!((reader.list(&Filter::default()).unwrap().len(), reader.epoch()), (1, 1));
    owner.create(&started("b"), running(None)).unwrap();
    let found = reader.list(&Filter::default()).unwrap();
    assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["b", "a"], "newest first");
    let StoreError::Unavailable(text) = reader.create(&started("c"), running(None)).unwrap_err() else { panic!() };
    assert_eq!(text, format!("database {shown} is open for reading only: send the change to its owner"));
    drop(owner);

    let next = SqliteStore::open(&path, Options::default()).unwrap();
    assert_eq!(next.epoch(), 2);
    assert_eq!(reader.list(&Filter::default()).unwrap().len(), 2, "the reader outlives the owner");
}

#[test]
fn an_owner_whose_database_was_taken_over_writes_nothing_more() {
    let disk = FaultyDisk::new(1);
    let open = || SqliteStore::open("everstep.db", Options::on(&disk)).unwrap();
    let first = open();
    let key = first.create(&started("a"), running(None)).unwrap();
    let second = open();
    let append = |projection| Append { execution: key, sequence: 1, transition: step(1, 1), projection };
    for projection in [None, Some(succeeded(1))] {
        let StoreError::Conflict(text) = first.append(append(projection)).unwrap_err() else { panic!() };
        assert!(text.ends_with("over (its epoch is 2, ours was 1): stop this one"), "{text}");
    }
    assert!(matches!(first.create(&started("b"), running(None)), Err(StoreError::Conflict(_))));
    assert_eq!(second.load(key).unwrap().len(), 1);
    second.append(append(None)).unwrap();
}

#[test]
fn an_append_fits_in_one_place_only() {
    let disk = FaultyDisk::new(1);
    let store = SqliteStore::open("everstep.db", Options::on(&disk)).unwrap();
    let key = store.create(&started("a"), running(None)).unwrap();
    let append = |sequence, projection| {
        store.append(Append { execution: key, sequence, transition: step(sequence, 1), projection })
    };
    append(1, None).unwrap();
    for sequence in [0, 1, 3, u64::MAX] {
        for projection in [None, Some(succeeded(5))] {
            let StoreError::Conflict(text) = append(sequence, projection).unwrap_err() else { panic!() };
            assert!(text.ends_with("the next is 2: read the log again"), "{text}");
        }
    }
    let StoreError::Conflict(text) = store.create(&started("a"), running(None)).unwrap_err() else { panic!() };
    assert!(text.starts_with("function \"order\" has an execution named \"a\" already"), "{text}");
    let found = store.find("order", "a").unwrap().unwrap();
    assert_eq!(found.ended_at, None, "a refused append changes no projection");
    assert_eq!(store.load(key).unwrap().len(), 2);
}

#[test]
fn due_and_listed_executions_follow_the_projections() {
    let disk = FaultyDisk::new(1);
    let store = SqliteStore::open("everstep.db", Options::on(&disk)).unwrap();
    let keys: Vec<_> = [("a", Some(30)), ("b", Some(10)), ("c", None), ("d", Some(20))]
        .into_iter()
        .map(|(name, wake_at)| store.create(&started(name), running(wake_at)).unwrap())
        .collect();
    let end = Append { execution: keys[3], sequence: 1, transition: step(1, 1), projection: Some(succeeded(9)) };
    store.append(end).unwrap();
    let names = |found: Vec<everstep_core::store::ExecutionSummary>| -> String {
        found.into_iter().map(|found| found.name).collect()
    };
    let due = |now| names(store.due(everstep_core::protocol::Timestamp(now)).unwrap());
    assert_eq!((due(9), due(10), due(29), due(30)), ("".into(), "b".into(), "b".into(), "ba".into()));
    let list = |filter: Filter| names(store.list(&filter).unwrap());
    assert_eq!(list(Filter { limit: 3, ..Filter::default() }), "dcb");
    let ended = vec![everstep_core::protocol::ExecutionStatus::Succeeded];
    assert_eq!(list(Filter { statuses: ended, function: Some("order".into()), ..Filter::default() }), "d");
    assert_eq!(list(Filter { name: Some("c".into()), ..Filter::default() }), "c");
    assert_eq!(list(Filter { function: Some("other".into()), ..Filter::default() }), "");
    let arn = store.find("order", "b").unwrap().unwrap().arn;
    assert_eq!(store.find_arn(&arn).unwrap().map(|found| found.key), Some(keys[1]));
    assert_eq!(store.find_key(keys[1]).unwrap().map(|found| found.arn), Some(arn));
    assert_eq!(store.find_key(everstep_core::store::ExecutionKey(i64::MAX)).unwrap(), None);
}

#[test]
fn files_that_are_not_ours_are_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let text_file = directory.path().join("notes.txt");
    std::fs::write(&text_file, "not a database, but long enough to be one: ".repeat(50)).unwrap();
    let foreign = directory.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE theirs(x); INSERT INTO theirs VALUES (1)")
        .unwrap();

    for (path, expected) in [
        (&text_file, "is not an everstep database; give another path"),
        (&foreign, "is not an everstep database (its application id is 0x0, not 0x65767374); give another path"),
    ] {
        let before = std::fs::read(path).unwrap();
        let StoreError::Corrupt(text) = refused(path) else { panic!("{}", path.display()) };
        assert!(text.ends_with(expected) && text.contains(&*path.to_string_lossy()), "{text}");
        assert!(matches!(SqliteStore::open_read_only(path), Err(StoreError::Corrupt(_))));
        assert!(before == std::fs::read(path).unwrap(), "{} was changed", path.display());
    }
    assert_eq!(connection.query_row("SELECT x FROM theirs", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_newer_database_is_refused_and_a_first_one_opens() {
    assert_eq!(
        (APPLICATION_ID, SCHEMA_VERSION),
        (0x6576_7374, 1),
        "a new migration needs a database of the old kind here"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("everstep.db");
    drop(created(&path));
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 9; UPDATE owner SET release = '7.1.0'").unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let StoreError::Newer(text) = refused(&path) else { panic!() };
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "has schema version 9; everstep {version} reads up to 1: use everstep 7.1.0, which wrote it, or a newer one"
    );
    assert!(text.ends_with(&expected), "{text}");
    assert!(before == std::fs::read(&path).unwrap());

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(connection);
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    assert_eq!((store.epoch(), store.list(&Filter::default()).unwrap().len()), (2, 1));
}

#[test]
fn a_damaged_database_is_an_error_and_not_a_shorter_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("everstep.db");
    drop(created(&path));
    let damage = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let store = SqliteStore::open(&path, Options::default()).unwrap();
        let key = store.find("order", "a").unwrap().unwrap().key;
        store.load(key).unwrap_err()
    };
    let newer = damage("UPDATE transition SET body = x'ff'");
    assert!(matches!(&newer, StoreError::Newer(text) if text.starts_with("row 0 of execution 1")), "{newer:?}");
    let torn = damage("UPDATE transition SET body = x'01c1'");
    assert!(matches!(&torn, StoreError::Corrupt(text) if text.contains("restore the database")), "{torn:?}");
    let gap = damage("UPDATE transition SET sequence = 5");
    assert!(matches!(&gap, StoreError::Corrupt(text) if text.contains("row 0 of execution 1: is missing")), "{gap:?}");

    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0x5A);
    std::fs::write(&path, &bytes).unwrap();
    let broken = refused(&path);
    assert!(
        matches!(&broken, StoreError::Corrupt(text) if text.contains("restore the database from a copy")),
        "{broken:?}"
    );
}

#[test]
fn where_nothing_can_be_written_the_path_and_the_remedy_are_named() {
    let disk = FaultyDisk::new(1);
    drop(SqliteStore::open("everstep.db", Options::on(&disk)).unwrap());
    disk.make_read_only();
    let StoreError::Unavailable(text) = SqliteStore::open("everstep.db", Options::on(&disk)).unwrap_err() else {
        panic!()
    };
    assert!(text.contains("everstep.db") && text.contains("write access"), "{text}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let StoreError::Unavailable(text) = refused(&file.join("everstep.db")) else { panic!() };
    assert!(text.contains("file/everstep.db") && text.contains("give"), "{text}");

    let missing = directory.path().join("missing.db");
    let StoreError::Unavailable(text) = SqliteStore::open_read_only(&missing).unwrap_err() else { panic!() };
    assert!(text.contains("missing.db: start an execution, or give another path"), "{text}");
    assert!(!missing.exists());
}
