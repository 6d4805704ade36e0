//! The language of the programs that are run both here and on the real host.
//!
//! A program is a list of statements, run one after the other by an interpreter that behaves like Rust's `async`: a
//! statement may be pending, [`Statement::Join`] and [`Statement::Select`] poll their branches in order, and dropping
//! a branch cancels what it waits for.
//!
//! **Bodies.** The program itself, a [`Statement::Child`]'s body and each branch of a `Join` or `Select` is a *body*.
//! It ends with a value, at its last statement or at [`Statement::Return`], or with an error, at the first step of its
//! own that fails (as `?` would end an async block). Whoever owns the body observes how it ended and goes on. A body's
//! value is the wrapping sum of the values of what it awaited, of what ended with a value.
//! [`Statement::Repeat`] is no body: an error or a `Return` inside it ends the body around it.
//!
//! **JSON.** Serde's external tagging in `snake_case`, for instance
//!
//! ```json
//! [{"step": {"name": "charge", "attempts": [{"fail": {"error": "busy", "retry_seconds": 2}}, {"succeed": 7}]}},
//!  {"select": [[{"wait": {"seconds": 60}}], [{"child": {"name": "c", "body": ["read_clock", "return"]}}]]},
//!  {"sleep": {"millis": 1500}}, "random", {"print": "done"}, {"repeat": {"times": 2, "body": ["random"]}}]
//! ```

use serde::{Deserialize, Serialize};

/// A program: statements, in order. In JSON it is the bare array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Program(pub Vec<Statement>);

/// Something a program does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// A step; awaited, so that it is pending until its outcome is delivered.
    Step {
        /// Its name.
        name: String,
        /// What the body of attempt 1, 2, 3... does; at least one. [`Outcome::Fail`] in the last one is final.
        attempts: Vec<Outcome>,
        /// At most once per attempt, instead of at least once.
        #[serde(default)]
        at_most_once: bool,
    },
    /// A durable timer without a name; awaited.
    Wait {
        /// From 1.
        seconds: u32,
    },
    /// A plain blocking sleep, such as `std::thread::sleep`, outside a step. 0 returns at once and begins nothing.
    /// From 1,000 on it is a WAIT of that many seconds, rounded up; below, one implicit STEP.
    Sleep {
        /// How long.
        millis: u64,
    },
    /// A child context; its operations are begun in it. Its recorded result is its value as decimal text.
    Child {
        /// Its name.
        name: String,
        /// What runs in it.
        body: Vec<Statement>,
    },
    /// All branches at once; done when the last one is. Each poll polls the unfinished branches in order.
    Join(Vec<Vec<Statement>>),
    /// The first branch to end wins and the others are dropped, in order. Each poll polls the branches in order *up to*
    /// the first that is done: a branch after it may not even have started. Without branches: done, with nothing seen.
    Select(Vec<Vec<Statement>>),
    /// A virtual child context: recorded nowhere, but it numbers what is begun in it.
    Virtual(Vec<Statement>),
    /// A callback: its id is awaited, then its end.
    Callback(Callback),
    /// A callback with the step that gives its id away, in a context of their own.
    Submit {
        /// The callback.
        callback: Callback,
        /// The step, as a [`Statement::Step`]'s.
        attempts: Vec<Outcome>,
    },
    /// Another function's result.
    Invoke {
        /// Which kind of function.
        target: Target,
        /// What becomes of it: [`Deed::Succeed`], [`Deed::Fail`], [`Deed::TimeOut`] or [`Deed::Stop`], one of them.
        outside: Outside,
    },
    /// A polled condition. Its state is a number, 0 in the beginning, to which each poll adds one; its value is the state
    /// in the end.
    Condition {
        /// Its name.
        name: String,
        /// What poll 1, 2, 3... finds; at least one.
        polls: Vec<Poll>,
    },
    /// Many bodies at once, each in a context of its own (AWS's `map` and `parallel`). Its value is the sum of those of
    /// the items that succeeded; that items fail is no error of the batch.
    Batch {
        /// Its name.
        name: String,
        /// The items.
        items: Vec<Vec<Statement>>,
        /// In flight at a time, from 1; 0: all.
        #[serde(default)]
        at_once: usize,
        /// When it is over early.
        #[serde(default)]
        completion: Completion,
        /// Items are virtual contexts.
        #[serde(default)]
        flat: bool,
        /// A `map`, else a `parallel`.
        #[serde(default)]
        map: bool,
    },
    /// Child contexts at once, and what they come to together.
    Combine {
        /// Its name.
        name: String,
        /// How.
        how: Combinator,
        /// Bodies of child contexts without names, beside the combinator's own context; at least one.
        branches: Vec<Vec<Statement>>,
    },
    /// A block that is retried as a whole: attempt 1, 2, 3... runs these bodies, each in a context of its own, until one
    /// of them ends with a value.
    Retry {
        /// Its name.
        name: String,
        /// The wait between two attempts, from 1.
        seconds: u32,
        /// At least one.
        attempts: Vec<Vec<Statement>>,
    },
    /// Reads the wall clock.
    ReadClock,
    /// Draws a random `u64`.
    Random,
    /// Writes a line to stdout.
    Print(String),
    /// The statements of `body`, `times` times. Each time they begin operations anew.
    Repeat {
        /// How often; 0 is never.
        times: u32,
        /// What.
        body: Vec<Statement>,
    },
    /// Ends the body it stands in.
    Return,
}

/// What the body of one attempt does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The step succeeds with this value; recorded as decimal text.
    Succeed(i64),
    /// The attempt fails and, unless it is the last of the list, is retried.
    Fail {
        /// The message.
        error: String,
        /// Delay until the next attempt, from 1.
        retry_seconds: u32,
    },
    /// The step fails for good, with this message.
    GiveUp(String),
    /// The body traps: the invocation fails, and the attempt counts as interrupted on the next one.
    Trap,
}

/// A callback, and what is done about it. Its name says the latter, so that whoever plays the outside needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Seconds until it times out; 0: never.
    #[serde(default)]
    pub timeout: u32,
    /// Seconds without a heartbeat until it times out; 0: none is asked for.
    #[serde(default)]
    pub heartbeat: u32,
    /// What happens to it. Without an end in there, one of the timeouts has to be set.
    #[serde(default)]
    pub outside: Outside,
}

/// What is done from outside about an operation, in order: milliseconds after its START, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outside(pub Vec<(u64, Deed)>);

/// Something that is done from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It succeeds with this value.
    Succeed(i64),
    /// It fails with the message [`FAILED`].
    Fail,
    /// A callback's heartbeat. Of a callback that asks for none, nothing.
    Heartbeat,
    /// The invoked function times out.
    TimeOut,
    /// The invoked function is stopped, with the message [`STOPPED`].
    Stop,
}

/// The message of what [`Deed::Fail`] fails.
pub const FAILED: &str = "failed outside";
/// The message of what [`Deed::Stop`] stops.
pub const STOPPED: &str = "stopped outside";
/// The message of a plain function that timed out.
pub const TIMED_OUT: &str = "timed out outside";

impl Outside {
    /// As a name: `h500 s1200:7 f3000`.
    pub fn name(&self) -> String {
        let word = |(after, deed): &(u64, Deed)| match deed {
            Deed::Succeed(value) => format!("s{after}:{value}"),
            Deed::Fail => format!("f{after}"),
            Deed::Heartbeat => format!("h{after}"),
            Deed::TimeOut => format!("t{after}"),
            Deed::Stop => format!("x{after}"),
        };
        match self.0.is_empty() {
            true => "-".to_owned(),
            false => self.0.iter().map(word).collect::<Vec<_>>().join(" "),
        }
    }

    /// Reads a name; of one that [`name`](Self::name) did not write it is empty.
    pub fn read(name: &str) -> Self {
        let deed = |word: &str| {
            let (kind, rest) = word.split_at_checked(1)?;
            let (after, value) = rest.split_once(':').unwrap_or((rest, "0"));
            let deed = match kind {
                "s" => Deed::Succeed(value.parse().ok()?),
                "f" => Deed::Fail,
                "h" => Deed::Heartbeat,
                "t" => Deed::TimeOut,
                "x" => Deed::Stop,
                _ => return None,
            };
            Some((after.parse().ok()?, deed))
        };
        Self(name.split(' ').map(deed).collect::<Option<_>>().unwrap_or_default())
    }
}

/// What an invoke invokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A durable function: an execution of its own.
    Durable,
    /// A function that is not durable.
    Plain,
    /// A durable function whose executions time out after [`SHORT_SECONDS`].
    Short,
    /// There is no such function: it fails at once.
    Nobody,
}

/// How long the executions of [`Target::Short`] may take.
pub const SHORT_SECONDS: u32 = 1;

impl Target {
    /// The function's name, as it is invoked.
    pub const fn function(self) -> &'static str {
        match self {
            Self::Durable => "durable:1",
            Self::Plain => "plain",
            Self::Short => "short:1",
            Self::Nobody => "nobody:1",
        }
    }
}

/// What a poll finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Poll {
    /// Not yet; the next poll comes after so many seconds, from 1. As the last of a list: never.
    Again(u32),
    /// It is met.
    Met,
    /// The check fails, with this message.
    Fail(String),
    /// The check traps.
    Trap,
}

/// When a batch is over before all its items have ended: AWS's `CompletionConfig`. With nothing set, at the first
/// failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// After so many successes, from 1.
    #[serde(default)]
    pub successes: Option<usize>,
    /// After more failures than this.
    #[serde(default)]
    pub failures: Option<usize>,
    /// After a greater share of failures than this, percent of all items.
    #[serde(default)]
    pub percent: Option<usize>,
}

/// AWS's promise helpers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combinator {
    /// All must succeed.
    TryJoinAll,
    /// All must end.
    JoinAll,
    /// The first success.
    SelectOk,
    /// The first end.
    Race,
}

/// The message of a [`Combinator::SelectOk`] of which all failed.
pub const ALL_FAILED: &str = "all failed";
/// The message of a [`Statement::Condition`] that is never met.
pub const NEVER_MET: &str = "never met";

/// What the retry strategy made of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The step succeeded with this value.
    Succeed(i64),
    /// The step failed with this message.
    Fail(String),
    /// The next attempt comes after a delay.
    Retry {
        /// Why.
        error: String,
        /// The delay, from 1.
        seconds: u32,
    },
    /// A condition is not met; the next poll comes after a delay.
    Again {
        /// What the next poll starts from.
        state: i64,
        /// The delay, from 1.
        seconds: u32,
    },
    /// The body does not come back.
    Trap,
}

/// The message (and AWS's error type) of an attempt that was interrupted.
pub const INTERRUPTED: &str = "StepInterruptedError";

/// The delay after an interrupted attempt, seconds.
pub const INTERRUPTED_RETRY_SECONDS: u32 = 1;

/// The body of attempt `attempt` (from 1) of a step, and the retry strategy: another attempt exactly as long as the
/// list has one. Both the model and a guest that interprets programs use this.
///
/// If the attempt was `interrupted`, its body does not run: it counts as failed with [`INTERRUPTED`].
pub fn attempt(attempts: &[Outcome], attempt: u32, interrupted: bool) -> Verdict {
    let retried = (attempt as usize) < attempts.len();
    let failed = |error: &str, seconds| match retried {
        true => Verdict::Retry { error: error.into(), seconds },
        false => Verdict::Fail(error.into()),
    };
    if interrupted {
        return failed(INTERRUPTED, INTERRUPTED_RETRY_SECONDS);
    }
    match attempts.get(attempt.saturating_sub(1) as usize) {
        Some(Outcome::Succeed(value)) => Verdict::Succeed(*value),
        Some(Outcome::Fail { error, retry_seconds }) => failed(error, *retry_seconds),
        Some(Outcome::GiveUp(error)) => Verdict::Fail(error.clone()),
        Some(Outcome::Trap) => Verdict::Trap,
        None => Verdict::Fail(format!("attempt {attempt} of a step with {} attempts: list more", attempts.len())),
    }
}

/// Poll `attempt` (from 1) of a condition in this state, and its wait strategy. A check that was interrupted, since it
/// trapped, is not repeated.
pub fn poll(polls: &[Poll], attempt: u32, state: Option<i64>, interrupted: bool) -> Verdict {
    let state = state.unwrap_or(0) + 1;
    let last = attempt as usize >= polls.len();
    match polls.get(attempt.saturating_sub(1) as usize) {
        _ if interrupted => Verdict::Fail(INTERRUPTED.into()),
        Some(Poll::Met) => Verdict::Succeed(state),
        Some(Poll::Again(seconds)) if !last => Verdict::Again { state, seconds: *seconds },
        Some(Poll::Fail(error)) => Verdict::Fail(error.clone()),
        Some(Poll::Trap) => Verdict::Trap,
        Some(Poll::Again(_)) | None => Verdict::Fail(NEVER_MET.into()),
    }
}
