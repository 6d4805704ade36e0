//! The language of the programs that are run both here and on the real host.
//!
//! A program is a list of statements, run one after the other by an interpreter that behaves like Rust's `async`: a
//! statement may be pending, [`Statement::Join`] and [`Statement::Select`] poll their branches in order, and dropping
//! a branch cancels what it waits for.
//!
//! **Bodies.** The program itself, a [`Statement::Child`]'s body and each branch of a `Join` or `Select` is a *body*.
//! It ends with a value, at its last statement or at [`Statement::Return`], or with an error, at the first step of its
//! own that fails (as `?` would end an async block). Whoever owns the body observes how it ended and goes on. A body's
//! value is the wrapping sum of the values of its steps, children, joined branches and selected branches.
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
