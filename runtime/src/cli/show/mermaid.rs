//! The execution as a Mermaid gantt diagram, as Markdown renderers draw it.

use super::Record;
use super::attempts::attempts;
use super::notation::{kind, title};
use everstep_core::protocol::{Operation, OperationStatus, OperationType, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// A section for each context, a task for each operation, and for each attempt of a step.
pub(super) fn render(record: &Record) -> String {
    let end = record.description.ended_at.unwrap_or(record.latest);
    let span = record.description.started_at.millis_until(end);
    let axis = match span {
        0..10_000 => "%H:%M:%S.%L",
        10_000..86_400_000 => "%H:%M:%S",
        _ => "%Y-%m-%d %H:%M",
    };
    let mut out = format!(
        "gantt\n    title {} {}\n    dateFormat x\n    axisFormat {axis}\n",
        plain(&record.description.started.name),
        record.description.status.as_str()
    );
    let attempts = attempts(&record.history);
    // Tasks of one section have to stand together: a section that is opened again confuses the diagram.
    let mut sections: BTreeMap<usize, (String, String)> = BTreeMap::new();
    let places: HashMap<_, _> =
        record.operations.iter().enumerate().map(|(place, one)| (&one.id, (place + 1, one))).collect();
    for operation in &record.operations {
        let context = operation.parent_id.as_ref().and_then(|parent| places.get(parent));
        let (place, heading) = match context {
            Some((place, context)) => (*place, format!("{} ({})", plain(&title(context)), context.id)),
            None => (0, "workflow".to_owned()),
        };
        let (_, tasks) = sections.entry(place).or_insert_with(|| (heading, String::new()));
        let name = format!("{} {}", kind(operation.operation_type), plain(&title(operation)));
        match attempts.get(&operation.id).map(Vec::as_slice) {
            Some(several @ [_, _, ..]) => {
                for attempt in several {
                    let tag = if attempt.failed { "crit" } else { tag(operation) };
                    let name = format!("{name}, attempt {}", attempt.number);
                    task(tasks, &name, tag, attempt.from, attempt.until.unwrap_or(end));
                }
            }
            _ => task(tasks, &name, tag(operation), operation.started_at, operation.ended_at.unwrap_or(end)),
        }
    }
    for (heading, tasks) in sections.values() {
        let _ = write!(out, "    section {heading}\n{tasks}");
    }
    out
}

const fn tag(operation: &Operation) -> &'static str {
    match (operation.status, operation.operation_type) {
        (OperationStatus::Failed | OperationStatus::TimedOut | OperationStatus::Stopped, _) => "crit",
        (status, _) if !status.is_terminal() => "active",
        // Neither done nor to be done: the colour that is left tells waits from work.
        (_, OperationType::Wait) => "",
        _ => "done",
    }
}

fn task(out: &mut String, name: &str, tag: &str, from: Timestamp, until: Timestamp) {
    let tag = if tag.is_empty() { String::new() } else { format!("{tag}, ") };
    // What took no time that was recorded would be drawn as nothing at all.
    let milestone = if from == until { "milestone, " } else { "" };
    let _ = writeln!(out, "    {name} :{tag}{milestone}{}, {}", from.0, until.0);
}

/// Gantt diagrams have no way to escape what is syntax in them, so a character that reads alike takes its place.
fn plain(text: &str) -> String {
    let alike = |c: char| match c {
        ':' => '∶',
        ';' => ',',
        '#' => '♯',
        '%' => '％',
        '<' => '‹',
        '>' => '›',
        '{' => '(',
        '}' => ')',
        '"' | '`' => '\'',
        '\\' => '/',
        '&' => '+',
        '\n' | '\r' => ' ',
        other => other,
    };
    text.chars().map(alike).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn a_failed_execution_as_a_diagram() {
        let expected = "\
gantt
    title order-42 FAILED
    dateFormat x
    axisFormat %H:%M:%S.%L
    section workflow
    step validate :done, milestone, 1790000000040, 1790000000040
    step charge∶ card ♯1, ‹b›, attempt 1 :crit, 1790000000060, 1790000000560
    step charge∶ card ♯1, ‹b›, attempt 2 :done, 1790000002600, 1790000003100
    context deliver :done, 1790000003110, 1790000008130
    wait ♯4 :1790000008130, 1790000008200
    step notify :crit, 1790000008200, 1790000008300
    section deliver (3)
    step pack :done, milestone, 1790000003110, 1790000003110
    context courier :done, 1790000003120, 1790000008130
    section courier (3-2)
    wait pick-up :1790000003120, 1790000008120
";
        assert_eq!(render(&sample::record()), expected);
    }
}
