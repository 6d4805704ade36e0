//! `everstep run`: a workflow, durably, to its result.

use super::database::{Database, sandbox};
use super::exit::{Exit, Failure};
use super::files::Files;
use super::functions::{Named, Workflows};
use super::input::payload;
use super::progress::{Format, Progress};
use crate::embedded::{Driven, Embedded, MachineEntropy, RealTime, SimulatedTime};
use crate::worker::{Environment, Observer, Verify};
use crate::workflow::Source;
use everstep_core::protocol::{ComponentDigest, ErrorObject, ExecutionArn, ExecutionConfig, ExecutionStatus, Seed};
use everstep_core::service::{Description, StartExecution};
use everstep_core::store::ExecutionSummary;
use everstep_sandbox::{Directory, Network, SandboxError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The version that runs from a path are pinned to; the component's digest says which code it is.
pub(super) const VERSION: &str = "$LATEST";

#[derive(clap::Args)]
pub(crate) struct Run {
    /// A workflow crate, a `.wasm` component, or a directory with a `build` script
    path: PathBuf,
    /// The input as JSON, or @FILE with JSON in it
    #[arg(long, value_name = "JSON|@FILE")]
    input: Option<String>,
    /// The input as text, or @FILE with text in it; the workflow gets it as a JSON string
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "input")]
    text: Option<String>,
    /// The execution's name; run the same name again to resume it or to see its result
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    database: Database,
    /// Environment variable of the workflow; frozen when the execution starts
    #[arg(long = "env", value_name = "K=V", value_parser = key_value)]
    environment: Vec<(String, String)>,
    /// Let step bodies connect to this address; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    allow_net: Vec<std::net::SocketAddr>,
    /// Let the workflow make HTTP requests to this host, with these methods (all, if none are given); may be repeated:
    /// `api.example.com`, `'GET,POST *.example.com'`, `localhost:8080`
    #[arg(long, value_name = "[METHODS ]HOST[:PORT]")]
    allow_http: Vec<everstep_http::Rule>,
    #[command(flatten)]
    files: Files,
    /// A workflow that this one may invoke by that name; may be repeated. It is started with the same settings
    #[arg(long = "function", value_name = "NAME[:VERSION]=PATH")]
    functions: Vec<Named>,
    /// Leave the execution suspended when it waits longer than this
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    detach_after: Duration,
    /// Longest stretch of workflow code without a durable operation, and longest step body
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Seconds from its start after which the execution times out
    #[arg(long, value_name = "SECONDS", default_value_t = ExecutionConfig::default().execution_timeout_seconds,
          value_parser = clap::value_parser!(u32).range(1..=31_622_400))]
    execution_timeout: u32,
    /// Memory bound of the workflow in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=4095))]
    memory: u64,
    /// Operations that the execution may begin
    #[arg(long, value_name = "N", default_value_t = ExecutionConfig::default().max_operations)]
    max_operations: u32,
    /// Replay each invocation in a fresh instance before it counts
    #[arg(long, value_enum, default_value_t = VerifyMode::Always)]
    verify: VerifyMode,
    /// Print what happens as JSON, one object a line, to stdout
    #[arg(long)]
    json: bool,
    /// For tests: derive seed, time and chance from this number; waiting takes no time
    #[arg(long, value_name = "SEED")]
    simulate: Option<u64>,
    /// Arguments of the workflow; frozen when the execution starts
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum VerifyMode {
    Always,
    Off,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".into()),
    }
}

impl Run {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let input = payload("input", self.input.as_deref(), self.text.as_deref())?;
        let source = Source::at(&self.path)?;
        let function = source.function()?;
        let directories = self.files.directories()?;
        if !self.database.data.exists() {
            // There is nothing to resume, so the path must be runnable: what is refused leaves no database behind.
            let checked = sandbox()?.load(&source.component()?);
            checked.map_err(|error| not_runnable(&source, &error))?;
            self.files.pack()?;
        }
        let functions = Arc::new(Workflows::new(self.functions.clone())?);
        let embedded = self.embedded(functions.clone())?;
        let store = embedded.service().store();
        let existing = match &self.name {
            Some(name) => store.find(&function, name)?,
            None => None,
        };
        let format = if self.json { Format::Json } else { Format::for_this_terminal() };
        let resumed = existing.is_some();
        let arn = match existing {
            Some(existing) => self.resume(&embedded, &existing, input, &directories)?,
            None => self.start(&embedded, &source, function, input, &directories)?,
        };
        if !self.functions.is_empty() {
            // With the settings of the one that invokes them, whatever this command line says.
            functions.deploy(&embedded, &embedded.service().describe(&arn)?.started.config)?;
        }
        let progress = Arc::new(Progress::new(format, arn.name()));
        let hint = self.hint(arn.name());
        on_interrupt(hint.clone());
        let observer: Arc<dyn Observer> = progress.clone();
        let warned_before = if resumed { embedded.service().warnings(&arn)?.len() } else { 0 };
        let driven = embedded.drive(&arn, &self.surroundings(directories), &observer, Some(self.detach_after));
        progress.finish();
        let warnings = embedded.service().warnings(&arn)?.into_iter().skip(warned_before);
        for warned in warnings.filter(super::is_for_people) {
            progress.warning(&warned);
        }
        let exit = match driven? {
            Driven::Closed(_) => {
                let exit = conclude(&embedded.service().describe(&arn)?, &progress);
                progress.left_running(&embedded.service().chained(&arn)?, &hint);
                exit
            }
            Driven::Suspended { until, callbacks } => {
                progress.suspended(until, &callbacks, &self.database.data, &hint);
                Exit::Suspended
            }
        };
        Ok(exit)
    }

    fn embedded(&self, functions: Arc<Workflows>) -> Result<Embedded, Failure> {
        let (store, sandbox) = (self.database.own()?, sandbox()?);
        let entropy = Arc::new(MachineEntropy);
        Ok(match self.simulate {
            Some(_) => Embedded::with_functions(store, sandbox, Arc::new(SimulatedTime::default()), entropy, functions),
            None => Embedded::with_functions(store, sandbox, Arc::new(RealTime), entropy, functions),
        })
    }

    fn config(&self, bundle: Option<ComponentDigest>, directories: &[Directory]) -> ExecutionConfig {
        ExecutionConfig {
            environment: self.environment.clone(),
            arguments: self.arguments.clone(),
            memory_bytes: self.memory << 20,
            execution_timeout_seconds: self.execution_timeout,
            max_operations: self.max_operations,
            files: Some(Files::config(bundle, directories)),
            ..ExecutionConfig::default()
        }
    }

    fn surroundings(&self, directories: Vec<Directory>) -> Environment {
        Environment {
            stretch: self.timeout,
            network: Network {
                allow: Arc::new(self.allow_net.clone()),
                http: everstep_http::Client::new(everstep_http::Policy {
                    rules: self.allow_http.clone(),
                    addresses: self.allow_net.clone(),
                }),
            },
            directories: Arc::new(directories),
            verify: match self.verify {
                VerifyMode::Always => Verify::Always,
                VerifyMode::Off => Verify::Off,
            },
            simulated: self.simulate.is_some(),
            intercept: None,
        }
    }

    /// The execution goes on with the component it was started with, whatever the path holds by now.
    fn resume(
        &self,
        embedded: &Embedded,
        existing: &ExecutionSummary,
        input: Option<String>,
        directories: &[Directory],
    ) -> Result<ExecutionArn, Failure> {
        let started = embedded.service().describe(&existing.arn)?.started;
        if input.is_some() && input != started.input {
            return Err(Failure::wrong(format!(
                "the execution {} of {} was started with another input; leave --input out to resume it, or choose \
                 another --name",
                existing.name, existing.function
            )));
        }
        Files::check_resumed(started.config.files.as_ref(), directories, &existing.name)?;
        Ok(existing.arn.clone())
    }

    fn start(
        &self,
        embedded: &Embedded,
        source: &Source,
        function: String,
        input: Option<String>,
        directories: &[Directory],
    ) -> Result<ExecutionArn, Failure> {
        let wasm = source.component()?;
        let component = embedded.add_component(&wasm).map_err(|error| match error {
            crate::embedded::DriveError::Component { error, .. } => not_runnable(source, &error),
            other => other.into(),
        })?;
        let bundle = self.files.pack()?.map(|archive| embedded.add_bundle(&archive)).transpose()?;
        let request = StartExecution {
            function,
            version: VERSION.into(),
            name: self.name.clone(),
            input,
            component,
            config: self.config(bundle, directories),
            seed: self.simulate.map(|number| {
                let mut seed = [0; 32];
                seed[..8].copy_from_slice(&number.to_le_bytes());
                Seed(seed)
            }),
        };
        Ok(embedded.start(request)?.arn().clone())
    }

    /// How to go on with this execution.
    fn hint(&self, name: &str) -> String {
        let mut hint = format!("everstep run {} --name {name}", shell_quoted(&self.path));
        if self.database.data != Path::new("everstep.db") {
            hint += &format!(" --data {}", shell_quoted(&self.database.data));
        }
        for address in &self.allow_net {
            hint += &format!(" --allow-net {address}");
        }
        for rule in &self.allow_http {
            hint += &format!(" --allow-http {}", shell_quoted(Path::new(&rule.to_string())));
        }
        for option in self.files.hint() {
            hint += &format!(" {option}");
        }
        for function in &self.functions {
            hint += &format!(" --function {}", shell_quoted(Path::new(&function.to_string())));
        }
        hint
    }
}

pub(super) fn not_runnable(source: &Source, error: &SandboxError) -> Failure {
    Failure::wrong(format!("{}: {error}", source.path().display()))
}

/// As one word of a shell, for commands that are there to be copied.
pub(super) fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn conclude(description: &Description, progress: &Progress) -> Exit {
    progress.ended(description.status, description.result.as_deref(), description.error.as_ref());
    match description.status {
        ExecutionStatus::Succeeded => Exit::Done,
        _ => {
            let unknown = ErrorObject::new("Error", "no reason was recorded");
            progress.failed(description.status, description.error.as_ref().unwrap_or(&unknown));
            Exit::Failed
        }
    }
}

/// Dying is always safe; this only says how to go on.
fn on_interrupt(hint: String) {
    let watch = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("\ninterrupted; nothing is lost. Go on with:\n  {hint}");
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    // Without the watcher Ctrl-C ends the process all the same, just without the hint.
    drop(std::thread::Builder::new().name("everstep-signal".into()).spawn(watch));
}
