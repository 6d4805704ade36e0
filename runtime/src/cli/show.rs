//! `everstep show`: one execution, for people or for programs.

mod attempts;
mod html;
mod json;
mod mermaid;
pub(super) mod notation;
#[cfg(test)]
mod sample;
mod text;

use super::database::Database;
use super::deliver;
use super::exit::{Exit, Failure};
use everstep_core::protocol::{ExecutionArn, Operation, Timestamp, Transition};
use everstep_core::service::{Description, Execution, HistoryEvent, Warned, history_of, warnings_of};
use everstep_core::store::{ExecutionKey, ExecutionSummary, Filter, Store, StoreError};
use std::io::IsTerminal;
use std::sync::Arc;

#[derive(clap::Args)]
pub(crate) struct Show {
    /// The execution's name or ARN
    name: String,
    #[command(flatten)]
    database: Database,
    /// The function, where several have an execution of that name
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// How to show it; html is one page without anything outside of it, json is AWS's GetDurableExecutionHistory
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
    Mermaid,
}

/// What is shown of an execution, all of it from one reading of the log: an owner may be writing it.
struct Record {
    description: Description,
    /// In start order.
    operations: Vec<Arc<Operation>>,
    history: Vec<HistoryEvent>,
    warnings: Vec<Warned>,
    /// Of the newest row.
    latest: Timestamp,
}

impl Record {
    fn of(key: ExecutionKey, log: &[Transition]) -> Result<Self, StoreError> {
        let execution = Execution::fold(key, log)
            .map_err(|illegal| StoreError::Corrupt(format!("{illegal}; restore the database from a copy")))?;
        Ok(Self {
            description: execution.describe(),
            operations: execution.operations().to_vec(),
            history: history_of(log),
            warnings: warnings_of(log),
            latest: log.last().map_or(Timestamp(0), |row| row.at),
        })
    }

    /// Operations in the order of a tree, each under its context, with how many contexts are around it.
    fn tree(&self) -> Vec<(usize, &Operation)> {
        let mut depths = std::collections::HashMap::new();
        let mut children: std::collections::HashMap<_, Vec<_>> = std::collections::HashMap::new();
        for operation in &self.operations {
            let depth = operation.parent_id.as_ref().and_then(|parent| depths.get(parent)).map_or(0, |depth| depth + 1);
            depths.insert(&operation.id, depth);
            children.entry(operation.parent_id.as_ref()).or_default().push(&**operation);
        }
        // A stack, since contexts may be nested deeper than calls may.
        let mut next: Vec<&Operation> = children.remove(&None).unwrap_or_default().into_iter().rev().collect();
        let mut tree = Vec::with_capacity(self.operations.len());
        while let Some(operation) = next.pop() {
            tree.push((depths[&operation.id], operation));
            next.extend(children.remove(&Some(&operation.id)).unwrap_or_default().into_iter().rev());
        }
        tree
    }
}

/// What a log tells, as `everstep show` shows it: a head, and the operations as a tree. At most `width` columns wide
/// (from 60 on), but for the ARN. `Err`: the log does not fold.
pub fn timeline(log: &[Transition], width: usize) -> Result<String, StoreError> {
    Ok(text::render(&Record::of(ExecutionKey(0), log)?, width))
}

impl Show {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let store = self.database.read()?;
        let summary = self.find(&store)?;
        let record = Record::of(summary.key, &store.load(summary.key)?)?;
        deliver(&match self.format {
            Format::Text => text::render(&record, width()),
            Format::Json => json::render(&record),
            Format::Html => html::render(&record),
            Format::Mermaid => mermaid::render(&record),
        })
    }

    fn find(&self, store: &dyn Store) -> Result<ExecutionSummary, Failure> {
        let mut found = if self.name.starts_with("arn:") {
            let arn = ExecutionArn::try_from(self.name.as_str()).map_err(Failure::wrong)?;
            let wanted = |found: &ExecutionSummary| self.function.as_ref().is_none_or(|given| *given == found.function);
            store.find_arn(&arn)?.filter(wanted).into_iter().collect()
        } else {
            let filter = Filter { name: Some(self.name.clone()), function: self.function.clone(), ..Filter::default() };
            store.list(&filter)?
        };
        let data = self.database.data.display();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                let functions: Vec<_> = found.iter().map(|execution| execution.function.as_str()).collect();
                Err(Failure::wrong(format!(
                    "{} functions have an execution named {}: {}; choose one with --function",
                    functions.len(),
                    self.name,
                    functions.join(", ")
                )))
            }
            (None, _) => {
                let of = self.function.as_ref().map_or_else(String::new, |function| format!(" of function {function}"));
                Err(Failure::wrong(format!(
                    "there is no execution {}{of} in {data}; `everstep list --data {data}` shows which there are",
                    self.name
                )))
            }
        }
    }
}

/// Columns of the terminal; in a pipe always as many as every terminal has, so that the output is the same everywhere.
fn width() -> usize {
    let terminal = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    terminal.map_or(80, |(terminal_size::Width(columns), _)| usize::from(columns).max(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_stand_under_their_context_in_the_order_they_began() {
        let record = sample::record();
        let tree: Vec<_> = record.tree().into_iter().map(|(depth, operation)| (depth, operation.id.as_str())).collect();
        assert_eq!(tree, [(0, "1"), (0, "2"), (0, "3"), (1, "3-1"), (1, "3-2"), (2, "3-2-1"), (0, "4"), (0, "5")]);
        assert_eq!(tree.len(), record.operations.len());
    }

    #[test]
    fn a_log_that_does_not_fold_is_refused_with_the_remedy() {
        let mut log = sample::log();
        log.remove(2);
        let error = Record::of(ExecutionKey(1), &log).err().unwrap().to_string();
        assert!(error.contains("cannot follow") && error.ends_with("restore the database from a copy"), "{error}");
    }
}
