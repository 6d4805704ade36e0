//! The command line. One file a verb, thin: what a verb does is the library's.
//!
//! Data goes to stdout, everything else to stderr. Output is plain when it goes into a pipe.

mod callback;
mod database;
mod divergence;
mod exit;
mod explain;
mod files;
mod functions;
mod input;
mod list;
mod new;
mod progress;
mod run;
mod show;

pub use exit::Exit;
pub use show::timeline;

use clap::{Parser, Subcommand};
use everstep_core::protocol::Warning;
use everstep_core::service::Warned;
use exit::Failure;
use std::io::{ErrorKind, IsTerminal, Write};
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
    Run(Box<run::Run>),
    /// List executions, newest first
    List(list::List),
    /// Show one execution: its operations, as text or a page, or its whole history
    Show(show::Show),
    /// Complete a callback, or say that its work goes on
    Callback(callback::Callback),
    /// Explain an error by its code, such as E0101
    Explain(explain::Explain),
    /// Make a workflow crate that builds and runs
    New(new::New),
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
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    let done = match everstep.verb {
        Verb::Run(run) => run.execute(),
        Verb::List(list) => list.execute(),
        Verb::Show(show) => show.execute(),
        Verb::Callback(callback) => callback.execute(),
        Verb::Explain(explain) => explain.execute(),
        Verb::New(new) => new.execute(),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

/// Whether people are told of a warning. Whatever is run from a path is $LATEST and goes on with the code it was
/// started with, so that one is of the history alone.
fn is_for_people(warned: &Warned) -> bool {
    warned.warning != Warning::Latest
}

/// Hands a command's data over. A reader that has seen enough and went away, such as `head`, is no failure.
fn deliver(data: &str) -> Result<Exit, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(data.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::unavailable(format!("the output cannot be written: {error}; make room, or write elsewhere")))
        }
        _ => Ok(Exit::Done),
    }
}
