//! How points in time, durations, payloads and operations are written down.

use crate::cli::progress::system_time;
use crate::worker::shows_as_itself;
use everstep_core::protocol::{ExecutionArn, Operation, OperationStatus, OperationType, Timestamp};
use serde_json::{Value, json};

/// RFC 3339 in UTC, to the second.
pub(crate) fn instant(at: Timestamp) -> String {
    humantime::format_rfc3339_seconds(system_time(at)).to_string()
}

/// As AWS's JSON has it: seconds since the epoch with a fraction.
pub(crate) fn epoch_seconds(at: Timestamp) -> Value {
    json!(at.0 as f64 / 1000.0)
}

/// The ARN of the function version that an execution runs.
pub(crate) fn function_arn(arn: &ExecutionArn) -> &str {
    arn.as_str().split("/durable-execution/").next().unwrap_or_default()
}

/// A duration in the one or two units that matter: `12 ms`, `3.1 s`, `4 min 10 s`, `2 d 3 h`.
pub(super) fn duration(millis: u64) -> String {
    let pair = |large: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {rest}"),
    };
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 if millis % 1000 < 50 => format!("{seconds} s"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// The type in a word.
pub(super) const fn kind(operation_type: OperationType) -> &'static str {
    match operation_type {
        OperationType::Execution => "execution",
        OperationType::Context => "context",
        OperationType::Step => "step",
        OperationType::Wait => "wait",
        OperationType::Callback => "callback",
        OperationType::ChainedInvoke => "invoke",
    }
}

/// The operation's name; without one, its id.
pub(super) fn title(operation: &Operation) -> String {
    operation.name.clone().unwrap_or_else(|| format!("#{}", operation.id))
}

/// Attempts of a step that have begun.
pub(super) fn attempts_begun(operation: &Operation) -> u32 {
    match (operation.operation_type, operation.status) {
        (OperationType::Step, OperationStatus::Started) => operation.attempt + 1,
        _ => operation.attempt,
    }
}

/// Columns that a character takes at most.
fn columns(c: char) -> usize {
    if c < '\u{1100}' { 1 } else { 2 }
}

/// A payload on one line, in at most so many columns. What could move the cursor or turn the text around is escaped:
/// payloads are anybody's.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let mut short = String::new();
    let mut taken = 0;
    // Where to cut if the text turns out to be too long: the last place that leaves room for the ellipsis.
    let mut cut = 0;
    for c in text.chars() {
        let piece = if shows_as_itself(c) { c.to_string() } else { c.escape_default().to_string() };
        taken += piece.chars().map(columns).sum::<usize>();
        if taken > width {
            short.truncate(cut);
            short.push('…');
            return short;
        }
        short += &piece;
        if taken < width {
            cut = short.len();
        }
    }
    short
}

/// One line of text, safe to print, in pieces of at most so many columns; what follows the first is indented as it is.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|c| *c == ' ').count().min(width / 2);
    let mut pieces = vec![String::new()];
    let mut taken = 0;
    for c in line.chars() {
        let piece = if shows_as_itself(c) { c.to_string() } else { c.escape_default().to_string() };
        let wide = piece.chars().map(columns).sum::<usize>();
        if taken + wide > width {
            pieces.push(" ".repeat(indent));
            taken = indent;
        }
        taken += wide;
        if let Some(last) = pieces.last_mut() {
            *last += &piece;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_and_keep_their_indent() {
        assert_eq!(wrapped("  = at order::main", 10), ["  = at ord", "  er::main"]);
        assert_eq!(wrapped("a\u{1b}b", 20), ["a\\u{1b}b"]);
        assert_eq!(wrapped("", 20), [""]);
    }

    #[test]
    fn durations_keep_the_units_that_matter() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (3_149, "3.1 s"),
            (59_999, "59.9 s"),
            (250_000, "4 min 10 s"),
            (3_600_000, "1 h"),
            (183_600_000, "2 d 3 h"),
        ];
        for (millis, expected) in cases {
            assert_eq!(duration(millis), expected);
        }
    }

    #[test]
    fn payloads_fit_and_cannot_command_the_terminal() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
        assert_eq!(shorten("a\n\u{1b}[2J\u{202e}b", 80), "a\\n\\u{1b}[2J\\u{202e}b");
        assert_eq!(shorten("日本語", 5), "日本…");
        assert_eq!(shorten("日本語", 6), "日本語");
        assert_eq!(shorten("x", 0), "…");
    }
}
