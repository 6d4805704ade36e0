//! `everstep callback`: what something outside does to a callback.

use super::database::Database;
use super::exit::{Exit, Failure};
use super::input::payload;
use crate::embedded::{MachineEntropy, RealTime};
use everstep_core::protocol::ErrorObject;
use everstep_core::service::DurableService;
use std::sync::Arc;

#[derive(clap::Args)]
pub(crate) struct Callback {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Complete a callback with a result
    Succeed {
        #[command(flatten)]
        target: Target,
        /// The result as JSON, or @FILE with JSON in it; it is handed over as it is written
        #[arg(long, value_name = "JSON|@FILE")]
        result: Option<String>,
        /// The result as text, or @FILE with text in it; it is handed over as a JSON string
        #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "result")]
        text: Option<String>,
    },
    /// Complete a callback with an error
    Fail {
        #[command(flatten)]
        target: Target,
        /// What kind of error it is
        #[arg(long, value_name = "TYPE")]
        error_type: Option<String>,
        /// What went wrong
        #[arg(long, value_name = "TEXT")]
        error_message: Option<String>,
        /// Anything machine-readable
        #[arg(long, value_name = "TEXT")]
        error_data: Option<String>,
    },
    /// Say that the work behind a callback is still going on: its heartbeat timeout starts anew
    Heartbeat {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(clap::Args)]
struct Target {
    /// The callback's id: `everstep show` and a suspended `everstep run` print it
    id: String,
    #[command(flatten)]
    database: Database,
}

impl Callback {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        match self.action {
            Action::Succeed { target, result, text } => {
                let result = payload("result", result.as_deref(), text.as_deref())?;
                target.service()?.complete_callback(&target.id, Ok(result))?;
            }
            Action::Fail { target, error_type, error_message: message, error_data: data } => {
                let error = ErrorObject { error_type, message, data, ..ErrorObject::default() };
                target.service()?.complete_callback(&target.id, Err(error))?;
            }
            Action::Heartbeat { target } => target.service()?.heartbeat_callback(&target.id)?,
        }
        Ok(Exit::Done)
    }
}

impl Target {
    fn service(&self) -> Result<DurableService, Failure> {
        if !self.database.data.exists() {
            return Err(Failure::wrong(format!(
                "there is no database at {}; give the one of the execution with --data",
                self.database.data.display()
            )));
        }
        Ok(DurableService::new(self.database.own()?, Arc::new(RealTime), Arc::new(MachineEntropy)))
    }
}
