//! A replay that went another way than the log says, as a report that reads like a compiler's error.

mod diff;

pub(crate) use diff::shows_as_itself;

use diff::Diff;
use everstep_core::protocol::{ErrorObject, Operation, OperationId, OperationType};
use everstep_sandbox::Backtrace;
use std::fmt;

/// Frames of the workflow that a report shows; the error's stack trace has all.
const FRAMES: usize = 8;

/// How a replay differs from what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// The guest began another operation at a position than the log has there.
    Operation {
        /// The position.
        id: OperationId,
        /// What the log has.
        recorded: String,
        /// What the guest began.
        requested: String,
    },
    /// The log has an operation that the guest never began.
    Missing {
        /// What the log has.
        recorded: String,
        /// Its position.
        id: OperationId,
    },
    /// A child context's outcome differs from the recorded one.
    Outcome {
        /// The context.
        id: OperationId,
        /// What the log has.
        recorded: String,
        /// What the body yielded now.
        requested: String,
    },
    /// Same operations, but other host calls between them.
    HostCalls {
        /// The first call of the run that may differ, from 1.
        first: u64,
        /// The last that may be the first to differ: `first`, if the run is compared call by call.
        last: u64,
        /// What was called there.
        recorded: String,
        /// What is called there now.
        requested: String,
    },
    /// Same host calls, but the guest's memory differs at the end.
    Memory {
        /// Address of the first byte that differs.
        first: usize,
        /// How many bytes differ.
        bytes: usize,
    },
    /// Shadow replay ended otherwise than the run it repeats.
    End {
        /// How the run ended.
        recorded: String,
        /// How the replay ended.
        requested: String,
    },
    /// The same operation at the same position, with another request.
    Request {
        /// The operation.
        id: OperationId,
        /// What was requested when it was recorded, without secrets.
        recorded: String,
        /// What is requested now, likewise.
        requested: String,
    },
}

/// `STEP "charge"` as people read it.
pub(crate) fn describe(
    kind: OperationType,
    sub_type: Option<&str>,
    name: Option<&str>,
    seconds: Option<u32>,
) -> String {
    let mut text = kind.as_str().to_owned();
    // AWS's sub-type of a plain step or wait repeats its type.
    if let Some(sub_type) = sub_type.filter(|sub_type| !sub_type.eq_ignore_ascii_case(kind.as_str())) {
        text += &format!(" ({sub_type})");
    }
    match name {
        Some(name) => text += &format!(" {name:?}"),
        None => text += " without a name",
    }
    if let Some(seconds) = seconds {
        text += &format!(" of {seconds} s");
    }
    text
}

pub(crate) fn describe_recorded(operation: &Operation) -> String {
    let seconds = operation.seconds.filter(|_| operation.operation_type == OperationType::Wait);
    describe(operation.operation_type, operation.sub_type.as_deref(), operation.name.as_deref(), seconds)
}

impl Divergence {
    /// Stable, for scripts and for the page that explains it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Operation { .. } => "E0101",
            Self::Missing { .. } => "E0102",
            Self::Outcome { .. } => "E0103",
            Self::HostCalls { .. } => "E0104",
            Self::Memory { .. } => "E0105",
            Self::End { .. } => "E0106",
            Self::Request { .. } => "E0107",
        }
    }

    /// What happened, in one line.
    pub const fn title(&self) -> &'static str {
        match self {
            Self::Operation { .. } => "the workflow began another operation than it recorded",
            Self::Missing { .. } => "the workflow does not begin an operation that it recorded",
            Self::Outcome { .. } => "a child context ended otherwise than it recorded",
            Self::HostCalls { .. } => "the workflow did something else between its operations",
            Self::Memory { .. } => "the workflow did the same again, but its memory differs",
            Self::End { .. } => "the workflow ended otherwise on replay",
            Self::Request { .. } => "the workflow made another request than it recorded",
        }
    }

    /// What to do about it, in lines.
    const fn help(&self) -> &'static [&'static str] {
        match self {
            Self::Operation { .. } | Self::Missing { .. } => &[
                "was the code changed? Continue this execution with the",
                "component it was started with, and start changed code anew.",
                "Otherwise the operations depend on something that is not in the",
                "log: let a step return it as its result.",
            ],
            Self::Outcome { .. } => &[
                "was the code changed? Continue this execution with the",
                "component it was started with. Otherwise the outcome depends on",
                "something that is not in the log: let a step in the context",
                "return it as its result.",
            ],
            Self::HostCalls { .. } => &[
                "was the code changed? Continue this execution with the",
                "component it was started with. Otherwise something that a",
                "step's body left behind decides here: let the step return it",
                "as its result.",
            ],
            Self::Memory { .. } => &[
                "a step's body left something in memory, which is missing after",
                "a restart: let the step return it as its result. If no step",
                "does, please report this.",
            ],
            Self::End { .. } => &[
                "was the code changed? Replay this execution with the component",
                "it was started with. Otherwise the result depends on something",
                "that is not in the log: let a step return it as its result.",
            ],
            Self::Request { .. } => &[
                "was the code changed? Continue this execution with the",
                "component it was started with, and start changed code anew.",
                "Otherwise build the request from the input and from results of",
                "operations alone.",
            ],
        }
    }

    /// The operation it is about.
    pub const fn operation(&self) -> Option<&OperationId> {
        match self {
            Self::Operation { id, .. } | Self::Missing { id, .. } => Some(id),
            Self::Outcome { id, .. } | Self::Request { id, .. } => Some(id),
            Self::HostCalls { .. } | Self::Memory { .. } | Self::End { .. } => None,
        }
    }

    /// Recorded against requested, where there are both.
    fn diff(&self) -> Option<Diff> {
        match self {
            Self::Operation { recorded, requested, .. }
            | Self::Outcome { recorded, requested, .. }
            | Self::HostCalls { recorded, requested, .. }
            | Self::Request { recorded, requested, .. }
            | Self::End { recorded, requested } => Some(Diff::of(recorded, requested)),
            Self::Missing { recorded, .. } => Some(Diff::of(recorded, "nothing")),
            Self::Memory { .. } => None,
        }
    }

    /// Where in the run: its own words, then what the run knows of that place.
    fn position(&self, known: Option<&str>) -> String {
        let after = known.map_or_else(String::new, |known| format!(", {known}"));
        match self {
            Self::HostCalls { first, last, .. } if first == last => format!("host call {first}{after}"),
            Self::HostCalls { first, last, .. } => format!("among the host calls {first} to {last}{after}"),
            Self::Memory { .. } | Self::End { .. } => "the end of the run".to_owned(),
            _ => match (known, self.operation()) {
                (Some(known), _) => known.to_owned(),
                (None, Some(id)) => format!("operation {id}"),
                (None, None) => "the run".to_owned(),
            },
        }
    }
}

/// A divergence with where it was found: what is reported and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// What differs.
    pub divergence: Divergence,
    /// The operation with its name and context, or the one begun last; none if neither is known.
    pub position: Option<String>,
    /// Where the guest was; empty if it had ended.
    pub backtrace: Backtrace,
}

impl From<Divergence> for Diverged {
    fn from(divergence: Divergence) -> Self {
        Self { divergence, position: None, backtrace: Backtrace::default() }
    }
}

impl Diverged {
    /// The type of the error that an execution fails with.
    pub const ERROR_TYPE: &str = "NonDeterministicExecutionError";

    /// See [`Divergence::code`].
    pub const fn code(&self) -> &'static str {
        self.divergence.code()
    }

    /// As the execution's error: the report as its message, the code as its data, every frame in its stack trace. A few
    /// KiB, whatever the guest's texts are.
    pub fn to_error(&self) -> ErrorObject {
        ErrorObject {
            data: Some(self.code().to_owned()),
            stack_trace: self.backtrace.lines(),
            ..ErrorObject::new(Self::ERROR_TYPE, self.to_string())
        }
    }

    fn fmt_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own: Vec<_> = self.backtrace.own().collect();
        for (index, frame) in own.iter().take(FRAMES).enumerate() {
            let lead = if index == 0 { "   = at " } else { "        " };
            write!(f, "\n{lead}{}", frame.title())?;
        }
        if own.len() > FRAMES {
            write!(f, "\n        and {} more; the stack trace has all", own.len() - FRAMES)?;
        }
        if !own.is_empty() && own.iter().all(|frame| frame.line.is_none()) {
            f.write_str("\n   = note: there are source lines if it is built with\n")?;
            f.write_str("           debug = \"line-tables-only\" and strip = \"none\"")?;
        }
        Ok(())
    }
}

/// Plain text; see `everstep run` for colours.
impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (divergence, code) = (&self.divergence, self.code());
        write!(f, "[{code}] {}", divergence.title())?;
        write!(f, "\n  --> {}", divergence.position(self.position.as_deref()))?;
        if let Divergence::Memory { first, bytes } = divergence {
            let bytes = if *bytes == 1 { "1 byte differs".to_owned() } else { format!("{bytes} bytes differ") };
            write!(f, "\n   | {bytes}, the first at address {first:#x}")?;
        }
        if let Some(Diff { recorded, requested, marks }) = divergence.diff() {
            write!(f, "\n   |  recorded: {recorded}\n   | requested: {requested}")?;
            if let Some(marks) = marks {
                write!(f, "\n   |            {marks}")?;
            }
        }
        self.fmt_place(f)?;
        for (index, line) in divergence.help().iter().enumerate() {
            let lead = if index == 0 { "   = help: " } else { "           " };
            write!(f, "\n{lead}{line}")?;
        }
        write!(f, "\n   = see docs/errors/{code}.md, or `everstep explain {code}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everstep_sandbox::Frame;

    fn operation(recorded: &str, requested: &str) -> Divergence {
        let id = OperationId::position(Some(&OperationId::position(None, 1)), 2);
        Divergence::Operation { id, recorded: recorded.into(), requested: requested.into() }
    }

    fn frame(function: &str, line: Option<u32>) -> Frame {
        Frame {
            function: function.into(),
            file: line.map(|_| "src/main.rs".into()),
            line,
            own: function.contains("order"),
        }
    }

    #[test]
    fn a_report_has_position_difference_place_and_help() {
        let frames = vec![
            frame("std::panicking::panic", Some(1)),
            frame("order::handler::{{closure}}", Some(45)),
            frame("order::main", Some(71)),
            frame("_start", None),
        ];
        let id = OperationId::position(Some(&OperationId::position(None, 1)), 2);
        let describe = |name| describe(OperationType::Step, Some("Step"), Some(name), None);
        let diverged = Diverged {
            divergence: Divergence::Operation { id, recorded: describe("charge"), requested: describe("charge-card") },
            position: Some("operation 1-2 \"charge\" in context 1 \"payments\"".into()),
            backtrace: Backtrace { frames },
        };
        let expected = r#"[E0101] the workflow began another operation than it recorded
  --> operation 1-2 "charge" in context 1 "payments"
   |  recorded: STEP "charge"
   | requested: STEP "charge-card"
   |                        ^^^^^
   = at order::handler::{{closure}} (src/main.rs:45)
        order::main (src/main.rs:71)
   = help: was the code changed? Continue this execution with the
           component it was started with, and start changed code anew.
           Otherwise the operations depend on something that is not in the
           log: let a step return it as its result.
   = see docs/errors/E0101.md, or `everstep explain E0101`"#;
        assert_eq!(diverged.to_string(), expected);
        let error = diverged.to_error();
        assert_eq!(error.message.as_deref(), Some(expected));
        assert_eq!((error.data.as_deref(), error.stack_trace.len()), (Some("E0101"), 4), "the raw frames are kept");
    }

    #[test]
    fn a_report_stays_small_and_whole_whatever_the_guest_s_texts_are() {
        let long = "x\u{1b}[2J".repeat(100_000);
        let (recorded, requested) = (format!("{long}yes"), format!("{long}no"));
        let frames = vec![frame(&"order::deep::".repeat(40), None); 64];
        let diverged = Diverged { backtrace: Backtrace { frames }, ..operation(&recorded, &requested).into() };
        let text = diverged.to_string();
        assert!(text.len() < 8_000, "{}", text.len());
        assert!(text.contains("yes\n") && text.contains("no\n"), "the difference is in view: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("and 56 more") && text.contains("note: there are source lines"), "{text}");
        assert!(text.ends_with("`everstep explain E0101`"), "{text}");
    }

    #[test]
    fn operations_are_described_by_what_is_compared() {
        let described = [
            describe(OperationType::Step, Some("Step"), None, None),
            describe(OperationType::Context, Some("Map"), Some("all"), None),
            describe(OperationType::Wait, None, Some("nap"), Some(3)),
        ];
        assert_eq!(described, ["STEP without a name", "CONTEXT (Map) \"all\"", "WAIT \"nap\" of 3 s"]);
    }
}
