//! `not-applicable.md`: what of the suite is not for us, with the reason.

use crate::support;

pub(crate) struct NotApplicable {
    rows: Vec<(String, Part)>,
}

#[derive(PartialEq)]
enum Part {
    /// All of the requirement.
    Requirement,
    /// What it wants to see logged.
    Logs,
}

impl NotApplicable {
    /// Rows of the form `| 10-1 | requirement | why |`.
    pub(crate) fn read() -> Self {
        let path = support::root().join("tests/conformance/not-applicable.md");
        let text = std::fs::read_to_string(path).expect("the list is readable");
        let rows =
            text.lines().filter(|line| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit()));
        let rows = rows.map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [id, part, reason] = cells[..] else { panic!("three cells: {line}") };
            let part = match part {
                "requirement" => Part::Requirement,
                "logs" => Part::Logs,
                other => panic!("{other:?} is neither `requirement` nor `logs`: {line}"),
            };
            assert!(!reason.is_empty(), "a reason: {line}");
            (id.to_owned(), part)
        });
        Self { rows: rows.collect() }
    }

    pub(crate) fn covers_requirement(&self, id: &str) -> bool {
        self.rows.iter().any(|(row, part)| row == id && *part == Part::Requirement)
    }

    pub(crate) fn covers_logs(&self, id: &str) -> bool {
        self.rows.iter().any(|(row, part)| row == id && *part == Part::Logs)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.rows.iter().map(|(id, _)| id)
    }
}
