//! What is read: logs, summaries, components. Each call is one statement, hence one consistent view.

use everstep_core::protocol::{
    ComponentDigest, ExecutionArn, ExecutionStatus, Timestamp, Transition, TransitionFormatError,
};
use everstep_core::store::{ExecutionKey, ExecutionSummary, Filter, StoreError};
use rusqlite::types::{ToSql, Type};
use rusqlite::{Connection, Error, OptionalExtension, Params, Row};

const SUMMARY: &str =
    "SELECT key, arn, function, version, name, component, status, started_at, ended_at, wake_at FROM execution";

/// Why a row could not be read: SQLite's reasons, or what is in it.
pub(crate) enum Unreadable {
    Sqlite(Error),
    Content(StoreError),
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

pub(crate) fn component(connection: &Connection, digest: ComponentDigest) -> Result<Option<Vec<u8>>, Unreadable> {
    let mut statement = connection.prepare_cached("SELECT wasm FROM component WHERE digest = ?1")?;
    Ok(statement.query_row([digest.0], |row| row.get(0)).optional()?)
}

pub(crate) fn log(connection: &Connection, ExecutionKey(key): ExecutionKey) -> Result<Vec<Transition>, Unreadable> {
    let mut statement =
        connection.prepare_cached("SELECT sequence, body FROM transition WHERE execution = ?1 ORDER BY sequence")?;
    let mut rows = statement.query([key])?;
    let mut log = Vec::new();
    while let Some(row) = rows.next()? {
        let at = |reason: String| format!("row {} of execution {key}: {reason}", log.len());
        if row.get::<_, i64>(0)? != log.len() as i64 {
            let gone = StoreError::Corrupt(at("is missing; restore the database from a copy".into()));
            return Err(Unreadable::Content(gone));
        }
        let body = row.get_ref(1)?.as_blob().map_err(|_| Error::InvalidColumnType(1, "body".into(), Type::Null))?;
        let transition = Transition::decode(body).map_err(|error| {
            Unreadable::Content(match &error {
                TransitionFormatError::Newer { .. } => StoreError::Newer(at(error.to_string())),
                TransitionFormatError::Malformed { .. } => StoreError::Corrupt(at(error.to_string())),
            })
        })?;
        log.push(transition);
    }
    Ok(log)
}

pub(crate) fn named(connection: &Connection, function: &str, name: &str) -> Result<Vec<ExecutionSummary>, Unreadable> {
    summaries(connection, &format!("{SUMMARY} WHERE function = ?1 AND name = ?2"), [function, name])
}

pub(crate) fn with_arn(connection: &Connection, arn: &ExecutionArn) -> Result<Vec<ExecutionSummary>, Unreadable> {
    summaries(connection, &format!("{SUMMARY} WHERE arn = ?1"), [arn.as_str()])
}

pub(crate) fn with_key(
    connection: &Connection,
    ExecutionKey(key): ExecutionKey,
) -> Result<Vec<ExecutionSummary>, Unreadable> {
    summaries(connection, &format!("{SUMMARY} WHERE key = ?1"), [key])
}

pub(crate) fn due(connection: &Connection, now: Timestamp) -> Result<Vec<ExecutionSummary>, Unreadable> {
    let sql = format!("{SUMMARY} WHERE status = 'RUNNING' AND wake_at <= ?1 ORDER BY wake_at, key");
    summaries(connection, &sql, [now.0])
}

pub(crate) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<ExecutionSummary>, Unreadable> {
    let mut conditions = Vec::new();
    let mut values: Vec<&dyn ToSql> = Vec::new();
    if let Some(function) = &filter.function {
        conditions.push("function = ?".to_owned());
        values.push(function);
    }
    if let Some(name) = &filter.name {
        conditions.push("name = ?".to_owned());
        values.push(name);
    }
    if !filter.statuses.is_empty() {
        let statuses: Vec<_> = filter.statuses.iter().map(|status| format!("'{}'", status.as_str())).collect();
        conditions.push(format!("status IN ({})", statuses.join(", ")));
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
    values.push(&limit);
    summaries(connection, &format!("{SUMMARY}{conditions} ORDER BY key DESC LIMIT ?"), values.as_slice())
}

fn summaries(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<ExecutionSummary>, Unreadable> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, summary)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn summary(row: &Row<'_>) -> Result<ExecutionSummary, Error> {
    fn foreign<T>(column: usize) -> impl FnOnce(T) -> Error
    where
        T: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |error| Error::FromSqlConversionFailure(column, Type::Text, error.into())
    }
    let time = |column: usize| Ok::<_, Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp));
    Ok(ExecutionSummary {
        key: ExecutionKey(row.get(0)?),
        arn: ExecutionArn::try_from(row.get_ref(1)?.as_str()?).map_err(|error| foreign(1)(error.to_string()))?,
        function: row.get(2)?,
        version: row.get(3)?,
        name: row.get(4)?,
        component: ComponentDigest(row.get(5)?),
        status: row.get_ref(6)?.as_str()?.parse::<ExecutionStatus>().map_err(foreign(6))?,
        started_at: Timestamp(row.get(7)?),
        ended_at: time(8)?,
        wake_at: time(9)?,
    })
}
