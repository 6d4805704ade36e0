//! The command line. One file a verb, thin: what a verb does is the library's.
//!
//! Data goes to stdout, everything else to stderr. Output is plain when it goes into a pipe.

mod database;
mod exit;
mod progress;
mod run;
mod workflow;

pub use exit::Exit;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Deterministic durable workflows in WebAssembly.
///
/// Exit status: 0 the execution succeeded (or the command did what it says); 1 the execution failed, timed out or was
/// stopped; 2 the request is wrong, nothing was changed; 3 the execution is suspended and goes on later; 4 the
/// database or the machine failed, or another process owns the database; 130 interrupted by Ctrl-C.
#[derive(Parser)]
#[command(name = "everstep", version, max_term_width = 100)]
struct Everstep {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a workflow durably to its result; run it again under the same name and it resumes
    Run(run::Run),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let everstep = match Everstep::try_parse() {
        Ok(everstep) => everstep,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Wrong.into() } else { Exit::Done.into() };
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("EVERSTEP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let done = match everstep.verb {
        Verb::Run(run) => run.execute(),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
