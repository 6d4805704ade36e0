//! A divergence's report on a terminal: what was recorded is green, what was requested red, as in a diff.

use crate::worker::Diverged;
use everstep_core::protocol::ErrorObject;

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const CYAN: &str = "\u{1b}[36m";
const PLAIN: &str = "\u{1b}[0m";

/// Whether this is the error of an execution whose replay diverged.
pub(super) fn is_one(error: &ErrorObject) -> bool {
    error.error_type.as_deref() == Some(Diverged::ERROR_TYPE)
}

/// The report with colours. They change nothing else: without them it is the same text.
pub(super) fn coloured(report: &str) -> String {
    let lines = report.lines().enumerate().map(|(index, line)| {
        let mark = line.trim_start();
        let colour = match () {
            () if index == 0 => return format!("{BOLD}{RED}{line}{PLAIN}"),
            () if mark.starts_with("-->") || mark.starts_with("= see ") => CYAN,
            () if mark.starts_with("|  recorded: ") => GREEN,
            () if mark.starts_with('|') => RED,
            () if mark.starts_with("= help:") => BOLD,
            () => return line.to_owned(),
        };
        format!("{colour}{line}{PLAIN}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Divergence;

    #[test]
    fn colours_tell_recorded_from_requested_and_change_no_text() {
        let report =
            Diverged::from(Divergence::End { recorded: "PENDING".into(), requested: "SUCCEEDED".into() }).to_string();
        let coloured = coloured(&report);
        assert!(coloured.contains("\u{1b}[32m   |  recorded: PENDING\u{1b}[0m\n"), "{coloured}");
        assert!(coloured.contains("\u{1b}[31m   | requested: SUCCEEDED\u{1b}[0m\n"), "{coloured}");
        let mut plain = coloured;
        for code in [BOLD, RED, GREEN, CYAN, PLAIN] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, report);
    }
}
