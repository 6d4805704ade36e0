//! What a user sees while an execution runs: a moving line on a terminal, plain lines in a pipe, or JSON.

use super::run::shell_quoted;
use crate::worker::Observer;
use everstep_core::protocol::{
    ErrorObject, ExecutionArn, ExecutionStatus, Operation, OperationId, OperationStatus, OperationType, Timestamp,
};
use everstep_core::service::{Chained, Warned};
use everstep_sandbox::Stream;
use everstep_sandbox::durable::LogLevel;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A moving line, on stderr.
    Terminal,
    /// A line for each thing that happened, on stderr.
    Plain,
    /// A JSON object for each thing that happened, on stdout.
    Json,
}

impl Format {
    pub(crate) fn for_this_terminal() -> Self {
        if std::io::stderr().is_terminal() { Self::Terminal } else { Self::Plain }
    }
}

/// Shows an execution's progress.
pub(crate) struct Progress {
    format: Format,
    bar: ProgressBar,
    /// The execution, if it is one that another invoked.
    invoked: Option<ExecutionArn>,
}

pub(crate) fn mark(status: OperationStatus) -> &'static str {
    match status {
        OperationStatus::Succeeded => "✓",
        OperationStatus::Failed | OperationStatus::TimedOut | OperationStatus::Stopped => "✗",
        OperationStatus::Cancelled => "-",
        OperationStatus::Pending => "↻",
        OperationStatus::Started | OperationStatus::Ready => "·",
    }
}

impl Progress {
    pub(crate) fn new(format: Format, name: &str) -> Self {
        let bar = match format {
            Format::Terminal => ProgressBar::new_spinner(),
            _ => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        let progress = Self { format, bar, invoked: None };
        match format {
            Format::Terminal => progress.bar.enable_steady_tick(Duration::from_millis(120)),
            Format::Plain => progress.line(&format!("execution {name}")),
            Format::Json => progress.json(&json!({ "event": "execution", "name": name })),
        }
        progress
    }

    fn line(&self, text: &str) {
        let text = match &self.invoked {
            Some(arn) => &format!("  | {}{text}", arn.function()),
            None => text,
        };
        match self.format {
            Format::Terminal => self.bar.println(text),
            _ => eprintln!("{text}"),
        }
    }

    fn json(&self, value: &serde_json::Value) {
        let mut value = value.clone();
        if let Some(arn) = &self.invoked {
            value["execution"] = json!(arn.as_str());
        }
        // A reader that went away is no reason to stop a durable execution.
        let _ = writeln!(std::io::stdout().lock(), "{value}");
    }

    /// What a closed execution has left running.
    pub(crate) fn left_running(&self, invoked: &[Chained], hint: &str) {
        for invoke in invoked {
            let what = match invoke {
                Chained::Execution { arn, .. } => arn.as_str(),
                Chained::Function { function, .. } => function,
            };
            match self.format {
                Format::Json => self.json(&json!({ "event": "left-running", "invoked": what, "resume": hint })),
                _ => eprintln!("it has left {what} running; go on with:\n  {hint}"),
            }
        }
    }

    /// The log has a new warning.
    pub(crate) fn warning(&self, warned: &Warned) {
        match self.format {
            Format::Json => self.json(&json!({ "event": "warning", "message": warned.to_string() })),
            _ => eprintln!("warning: {warned}"),
        }
    }

    /// The moving line goes away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// The execution closed.
    pub(crate) fn ended(&self, status: ExecutionStatus, result: Option<&str>, error: Option<&ErrorObject>) {
        if self.format == Format::Json {
            let parsed = result.map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
            let mut event = json!({ "event": "ended", "status": status.as_str() });
            if let Some(result) = parsed {
                event["result"] = result;
            }
            if let Some(error) = error {
                event["error"] = json!({ "type": error.error_type, "message": error.message });
            }
            self.json(&event);
        } else if let Some(result) = result {
            let mut stdout = std::io::stdout().lock();
            let end = if result.ends_with('\n') { "" } else { "\n" };
            let _ = write!(stdout, "{result}{end}").and_then(|()| stdout.flush());
        }
    }

    /// The execution closed without a result.
    pub(crate) fn failed(&self, status: ExecutionStatus, error: &ErrorObject) {
        if self.format != Format::Json {
            let text = format!("{}: {error}", status.as_str());
            let coloured = self.format == Format::Terminal && super::divergence::is_one(error);
            eprintln!("{}", if coloured { super::divergence::coloured(&text) } else { text });
        }
    }

    /// The execution waits for longer than this process wants to.
    pub(crate) fn suspended(&self, until: Option<Timestamp>, callbacks: &[Arc<Operation>], data: &Path, hint: &str) {
        let when = until.map(|until| humantime::format_rfc3339_seconds(system_time(until)).to_string());
        let open =
            || callbacks.iter().filter_map(|operation| Some((operation, &operation.callback.as_ref()?.callback_id)));
        if self.format == Format::Json {
            let callbacks: Vec<_> =
                open().map(|(operation, id)| json!({ "name": operation.name, "callbackId": id })).collect();
            return self.json(&json!({ "event": "suspended", "until": when, "callbacks": callbacks, "resume": hint }));
        }
        for (operation, id) in open() {
            let data = shell_quoted(data);
            eprintln!("waits for {}; complete it with:", label(operation));
            eprintln!("  everstep callback succeed {id} --data {data} --result JSON");
        }
        eprintln!(
            "suspended{}; go on with:\n  {hint}",
            when.map_or_else(|| " until something outside happens".to_owned(), |when| format!(" until {when}"))
        );
    }
}

pub(crate) fn system_time(at: Timestamp) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

fn label(operation: &Operation) -> String {
    let kind = operation.operation_type.as_str().to_lowercase();
    operation.name.as_ref().map_or_else(|| format!("{kind} {}", operation.id), |name| format!("{kind} {name}"))
}

impl Observer for Progress {
    fn step_running(&self, id: &OperationId, name: Option<&str>, attempt: u32) {
        let name = name.unwrap_or(id.as_str());
        match self.format {
            Format::Terminal => self.bar.set_message(format!("step {name}, attempt {attempt}")),
            Format::Plain => {}
            Format::Json => {
                self.json(&json!({ "event": "running", "id": id.as_str(), "name": name, "attempt": attempt }))
            }
        }
    }

    fn changed(&self, operation: &Operation) {
        let status = operation.status;
        if self.format == Format::Json {
            let mut event = json!({
                "event": "operation",
                "id": operation.id.as_str(),
                "type": operation.operation_type.as_str(),
                "status": status.as_str(),
            });
            if let Some(name) = &operation.name {
                event["name"] = json!(name);
            }
            if let Some(error) = &operation.error {
                event["error"] = json!({ "type": error.error_type, "message": error.message });
            }
            return self.json(&event);
        }
        let detail = match status {
            OperationStatus::Started if operation.operation_type == OperationType::Wait => {
                format!(" {} s", operation.seconds.unwrap_or_default())
            }
            OperationStatus::Started | OperationStatus::Ready => return,
            OperationStatus::Pending => operation.error.as_ref().map_or_else(String::new, |error| {
                format!(": attempt {} failed, will retry: {error}", operation.attempt)
            }),
            _ => operation.error.as_ref().map_or_else(String::new, |error| format!(": {error}")),
        };
        self.line(&format!("  {} {}{detail}", mark(status), label(operation)));
    }

    fn left_behind(&self, status: ExecutionStatus, invoked: usize) {
        if self.format != Format::Json {
            self.line(&format!("  {}; {invoked} that it invoked run on", status.as_str()));
        }
    }

    fn invoked(&self, arn: &ExecutionArn) -> Arc<dyn Observer> {
        Arc::new(Self { format: self.format, bar: self.bar.clone(), invoked: Some(arn.clone()) })
    }

    fn sleeping(&self, duration: Duration) {
        self.bar.set_message(format!("sleeping {} ms", duration.as_millis()));
    }

    fn waiting(&self, until: Timestamp, left: Duration) {
        let seconds = Duration::from_secs(left.as_millis().div_ceil(1000) as u64);
        match self.format {
            Format::Terminal => {
                self.bar.set_message(format!(
                    "waiting {} (until {})",
                    humantime::format_duration(seconds),
                    humantime::format_rfc3339_seconds(system_time(until))
                ));
            }
            Format::Plain => {}
            Format::Json => self.json(&json!({
                "event": "waiting",
                "until": humantime::format_rfc3339_millis(system_time(until)).to_string(),
            })),
        }
    }

    fn invocation_failed(&self, error: &ErrorObject) {
        match self.format {
            Format::Json => self.json(&json!({
                "event": "invocation-failed",
                "error": { "type": error.error_type, "message": error.message },
            })),
            _ => self.line(&format!("  ! invocation failed: {error}")),
        }
    }

    fn output(&self, stream: Stream, bytes: &[u8]) {
        match self.format {
            Format::Json => self.json(&json!({
                "event": "output",
                "stream": stream.as_str(),
                "text": String::from_utf8_lossy(bytes),
            })),
            Format::Plain => {
                let _ = std::io::stderr().lock().write_all(bytes);
            }
            Format::Terminal => self.bar.suspend(|| {
                let _ = std::io::stderr().lock().write_all(bytes);
            }),
        }
    }

    fn log(&self, operation: Option<&str>, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        if self.format == Format::Json {
            let fields: serde_json::Map<_, _> = fields.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            return self.json(&json!({
                "event": "log", "level": level, "operation": operation, "message": message, "fields": fields,
            }));
        }
        let mut text = format!("  {level:5} ");
        if let Some(operation) = operation {
            text += &format!("[{operation}] ");
        }
        text += message;
        for (key, value) in fields {
            text += &format!(" {key}={value}");
        }
        self.line(&text);
    }
}
