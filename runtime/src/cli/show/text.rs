//! The execution in a terminal: a head, and the operations as a tree.

use super::Record;
use super::notation::{attempts_begun, duration, instant, kind, shorten, title, wrapped};
use crate::cli::is_for_people;
use crate::cli::progress::mark;
use everstep_core::protocol::{Operation, OperationStatus, OperationType};

/// The part of the width that names may take, so that results have room beside them.
const LABEL_SHARE: usize = 3;
/// Contexts deeper than this are indented no further.
const DEEPEST_INDENT: usize = 8;
/// Columns that a result or error gets at least.
const SHORTEST_DETAIL: usize = 12;

/// At most `width` columns wide (from 60 on), but for the ARN, which is there to be copied.
pub(super) fn render(record: &Record, width: usize) -> String {
    let mut out = head(record, width);
    let rows: Vec<[String; 4]> =
        record.tree().into_iter().map(|(depth, operation)| row(depth, operation, width / LABEL_SHARE)).collect();
    if rows.is_empty() {
        return out;
    }
    out.push('\n');
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let [label, kind, took] = [0, 1, 2].map(widest);
    let room = width.saturating_sub(label + kind + took + 6).max(SHORTEST_DETAIL);
    for [left, what, time, detail] in &rows {
        let line = format!("{left:label$}  {what:kind$}  {time:>took$}  {}", shorten(detail, room));
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn head(record: &Record, width: usize) -> String {
    let description = &record.description;
    let started = &description.started;
    let took = description.ended_at.map_or_else(String::new, |ended_at| {
        format!(" after {}", duration(description.started_at.millis_until(ended_at)))
    });
    let mut out = format!("{}  {}{took}\n", started.name, description.status.as_str());
    let mut line = |member: &str, text: &str| {
        out += format!("  {member:9}{text}").trim_end();
        out.push('\n');
    };
    line("arn", description.arn.as_str());
    line("started", &instant(description.started_at));
    let room = width.saturating_sub(11);
    if let Some(input) = &started.input {
        line("input", &shorten(input, room));
    }
    if let Some(result) = &description.result {
        line("result", &shorten(result, room));
    }
    for warned in record.warnings.iter().filter(|warned| is_for_people(warned)) {
        line("warning", &shorten(&warned.to_string(), room));
    }
    if let Some(error) = &description.error {
        match error.message.as_deref().filter(|message| message.contains('\n')) {
            None => line("error", &shorten(&error.to_string(), room)),
            // A panic's or a divergence's, say: only readable as it is.
            Some(message) => {
                line("error", &shorten(error.error_type.as_deref().unwrap_or("Error"), room));
                for text in message.lines().flat_map(|text| wrapped(text, width.saturating_sub(4))) {
                    out += format!("    {text}").trim_end();
                    out.push('\n');
                }
            }
        }
    }
    out
}

fn row(depth: usize, operation: &Operation, longest: usize) -> [String; 4] {
    let label = format!("{}{} {}", "  ".repeat(depth.min(DEEPEST_INDENT)), mark(operation.status), title(operation));
    [shorten(&label, longest), what(operation), took(operation), detail(operation)]
}

fn what(operation: &Operation) -> String {
    let kind = kind(operation.operation_type);
    match (operation.seconds, attempts_begun(operation)) {
        (Some(seconds), _) => format!("{kind} {}", duration(u64::from(seconds) * 1000)),
        (None, attempt @ 2..) => format!("{kind}, attempt {attempt}"),
        _ => kind.to_owned(),
    }
}

/// How long it took; of a step whose start was recorded together with its end that is not known.
pub(super) fn took(operation: &Operation) -> String {
    match operation.ended_at {
        Some(ended_at) if ended_at > operation.started_at || operation.operation_type != OperationType::Step => {
            duration(operation.started_at.millis_until(ended_at))
        }
        _ => String::new(),
    }
}

/// What came out of it, or how it goes on.
pub(super) fn detail(operation: &Operation) -> String {
    let error = || operation.error.as_ref().map_or_else(String::new, ToString::to_string);
    let until = || operation.due_at.map_or_else(String::new, |due_at| format!("until {}", instant(due_at)));
    match operation.status {
        OperationStatus::Succeeded => operation.result.clone().unwrap_or_default(),
        OperationStatus::Failed | OperationStatus::TimedOut | OperationStatus::Stopped => error(),
        OperationStatus::Cancelled => "cancelled".into(),
        OperationStatus::Ready => format!("the next attempt is due: {}", error()),
        OperationStatus::Pending => format!("waits {} to try again: {}", until(), error()),
        OperationStatus::Started => match operation.operation_type {
            OperationType::Wait => until(),
            OperationType::Callback => {
                let id = operation.callback.as_ref().map_or("", |callback| &callback.callback_id);
                format!("waits for {id} {}", until()).trim_end().to_owned()
            }
            OperationType::ChainedInvoke => {
                let function = operation.chained_invoke.as_ref().map_or("", |invoke| &invoke.function);
                format!("{function} is running")
            }
            _ => "running".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn a_failed_execution_in_80_columns() {
        let expected = r#"order-42  FAILED after 8.3 s
  arn      arn:aws:lambda:us-east-1:000000000000:function:order:$LATEST/durable-execution/order-42/6f3c
  started  2026-09-21T14:13:20Z
  input    {"item":"<script>alert(1)</script> & 'tea'\u{1b}[2J"}
  error    StepError
    no courier
    <b>today</b>

✓ validate              step                     "order <42> is fine"
✓ charge: card #1; <b>  step, attempt 2     3 s  {"receipt":"xxxxxxxxxxxxxxxxxx…
✓ deliver               context             5 s  2
  ✓ pack                step                     null
  ✓ courier             context             5 s
    ✓ pick-up           wait 5 s            5 s
- #4                    wait 1 min        70 ms  cancelled
✗ notify                step             100 ms  StepError: no courier\n<b>toda…
"#;
        assert_eq!(render(&sample::record(), 80), expected);
    }

    #[test]
    fn a_suspended_execution_says_until_when() {
        let expected = r#"order-42  RUNNING
  arn      arn:aws:lambda:us-east-1:000000000000:function:order:$LATEST/durable-execution/order-42/6f3c
  started  2026-09-21T14:13:20Z
  input    {"item":"<script>alert(1)</script> & 'tea'\u{1b}[2J"}

✓ validate     step           1
· cooling-off  wait 10 min    until 2026-09-21T14:23:20Z
"#;
        assert_eq!(render(&sample::waiting(), 80), expected);
    }

    #[test]
    fn nothing_but_the_arn_is_wider_than_the_terminal() {
        for width in [60, 80, 132] {
            let text = render(&sample::record(), width);
            let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > width).collect();
            assert!(wide.iter().all(|line| line.starts_with("  arn ")), "{width}: {wide:?}");
        }
    }
}
