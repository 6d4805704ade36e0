//! Operations as bars on one time axis.

use super::escaped;
use crate::cli::progress::mark;
use crate::cli::show::Record;
use crate::cli::show::attempts::{Attempt, attempts};
use crate::cli::show::notation::{duration, kind, shorten, title};
use crate::cli::show::text::{detail, took};
use everstep_core::protocol::{Operation, OperationStatus, OperationType, Timestamp};
use std::fmt::Write;

/// Time as per cent of the axis.
struct Axis {
    start: Timestamp,
    span: u64,
}

impl Axis {
    /// From start to end; of an execution that goes on a little beyond the newest row, so that what runs has a bar.
    fn of(record: &Record) -> Self {
        let start = record.description.started_at;
        let span = match record.description.ended_at {
            Some(ended_at) => start.millis_until(ended_at),
            None => start.millis_until(record.latest) * 10 / 9,
        };
        Self { start, span: span.max(1) }
    }

    fn at(&self, point: Timestamp) -> f64 {
        (self.start.millis_until(point) as f64 * 100.0 / self.span as f64).min(100.0)
    }

    /// `left` and `width`; no end: to the end of the axis.
    fn place(&self, from: Timestamp, until: Option<Timestamp>) -> String {
        let left = self.at(from);
        let width = until.map_or(100.0, |until| self.at(until)) - left;
        format!("left:{left:.3}%;width:{:.3}%", width.max(0.0))
    }

    /// Milliseconds between ticks, such that there are at most six and each says a round time.
    fn tick(&self) -> u64 {
        const ROUND: [u64; 22] = [
            1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
            1_800_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000,
        ];
        let fits = |tick: u64| self.span / tick <= 6;
        let days = || std::iter::successors(Some(86_400_000_u64), |tick| tick.checked_mul(2)).find(|&tick| fits(tick));
        ROUND.into_iter().find(|&tick| fits(tick)).or_else(days).unwrap_or(self.span)
    }
}

pub(super) fn render(out: &mut String, record: &Record) {
    if record.operations.is_empty() {
        return;
    }
    let axis = Axis::of(record);
    let attempts = attempts(&record.history);
    out.push_str("<section>\n<h2>Timeline</h2>\n<div class=\"timeline\">\n<div class=\"grid\">");
    let tick = axis.tick();
    for offset in (0..=axis.span).step_by(usize::try_from(tick).unwrap_or(usize::MAX)) {
        let left = offset as f64 * 100.0 / axis.span as f64;
        let edge = if offset == 0 { " class=\"first\"" } else { "" };
        let _ = write!(out, "<i{edge} style=\"left:{left:.3}%\"><span>{}</span></i>", duration(offset));
    }
    out.push_str("</div>\n<div class=\"corner\"></div><div class=\"corner\"></div><div class=\"corner\"></div>\n");
    for (depth, operation) in record.tree() {
        let class = class(operation);
        let _ = write!(
            out,
            "<div class=\"label\" style=\"--depth:{}\"><span class=\"mark {class}\">{}</span>\
             <span class=\"name\" title=\"{title}\">{title}</span> <small>{}</small></div>\n<div class=\"track\">",
            depth.min(12),
            mark(operation.status),
            kind(operation.operation_type),
            title = escaped(&title(operation)),
        );
        match attempts.get(&operation.id) {
            Some(attempts) => steps(out, &axis, operation, attempts),
            None => bar(out, &axis, operation.started_at, operation.ended_at, class, &hint(operation)),
        }
        let _ = writeln!(out, "</div>\n<div class=\"took\">{}</div>", took(operation));
    }
    out.push_str("</div>\n");
    out.push_str(
        "<p class=\"legend\"><span><i class=\"bar good\"></i>succeeded</span><span><i class=\"bar bad\"></i>failed</span>\
         <span><i class=\"bar running\"></i>under way</span><span><i class=\"bar wait\"></i>waiting</span>\
         <span><i class=\"bar context\"></i>context</span><span><i class=\"bar delay\"></i>until the next attempt</span></p>\n",
    );
    out.push_str("</section>\n");
}

/// Attempts as bars of their own, joined by the delays between them.
fn steps(out: &mut String, axis: &Axis, operation: &Operation, attempts: &[Attempt]) {
    for (index, attempt) in attempts.iter().enumerate() {
        let class = match (attempt.until, attempt.failed) {
            (None, _) => "running",
            (_, true) => "bad",
            _ => "good",
        };
        let hint = match attempts.len() {
            1 => hint(operation),
            _ => format!("attempt {}{}", attempt.number, if attempt.failed { " failed" } else { "" }),
        };
        bar(out, axis, attempt.from, attempt.until, class, &hint);
        let next = attempts.get(index + 1).map(|next| next.from);
        let delayed = next.is_some() || operation.status == OperationStatus::Pending;
        if let (Some(until), true) = (attempt.until, delayed) {
            bar(out, axis, until, next, "delay", "until the next attempt");
        }
    }
}

fn bar(out: &mut String, axis: &Axis, from: Timestamp, until: Option<Timestamp>, class: &str, hint: &str) {
    let open = if until.is_none() { " open" } else { "" };
    let offset = duration(axis.start.millis_until(from));
    let length = until.map_or_else(String::new, |until| format!(", {}", duration(from.millis_until(until))));
    let _ = write!(
        out,
        "<i class=\"bar {class}{open}\" style=\"{}\" title=\"{}\"></i>",
        axis.place(from, until),
        escaped(&format!("after {offset}{length}: {hint}"))
    );
}

fn hint(operation: &Operation) -> String {
    let status = operation.status.as_str().to_lowercase();
    match shorten(&detail(operation), 120) {
        detail if detail.is_empty() || detail == status => status,
        detail => format!("{status}, {detail}"),
    }
}

const fn class(operation: &Operation) -> &'static str {
    match (operation.operation_type, operation.status) {
        (_, OperationStatus::Failed | OperationStatus::TimedOut | OperationStatus::Stopped) => "bad",
        (_, OperationStatus::Cancelled) => "cancelled",
        (OperationType::Wait | OperationType::Callback, _) => "wait",
        (OperationType::Context, _) => "context",
        (_, status) if !status.is_terminal() => "running",
        _ => "good",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample::{self, EPOCH};

    #[test]
    fn bars_stand_where_their_time_is() {
        let axis = Axis { start: Timestamp(EPOCH), span: 200 };
        let at = |after| Timestamp(EPOCH + after);
        assert_eq!(axis.place(at(50), Some(at(150))), "left:25.000%;width:50.000%");
        assert_eq!(axis.place(at(150), None), "left:75.000%;width:25.000%");
        assert_eq!(axis.place(at(500), Some(at(900))), "left:100.000%;width:0.000%", "never off the axis");
        let ticks = |span| Axis { start: at(0), span }.tick();
        assert_eq!([ticks(1), ticks(8310), ticks(86_400_000), ticks(u64::MAX / 2)][..3], [1, 2_000, 21_600_000]);
    }

    #[test]
    fn a_retried_step_is_a_bar_an_attempt_and_the_delay_between() {
        let mut out = String::new();
        render(&mut out, &sample::record());
        let row = out.split("<div class=\"label\"").find(|row| row.contains("charge")).unwrap();
        let bars: Vec<_> = row.split("class=\"bar ").skip(1).map(|bar| bar.split('"').next().unwrap()).collect();
        assert_eq!(bars, ["bad", "delay", "good"]);
        assert_eq!(out.matches("class=\"track\"").count(), sample::record().operations.len());
    }
}
