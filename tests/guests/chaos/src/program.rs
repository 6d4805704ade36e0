//! The language of the programs: what the guest interprets, and the generator writes. Shared by both as a file.
//!
//! A program is a list of [`Op`]s, run one after the other by an async interpreter. An [`Act`] happens at once, and may
//! stand outside steps or in a step's body. Whatever is seen outside goes into a running digest, on which names and
//! branches of what follows depend: a program that sees anything else goes another way.

use serde::{Deserialize, Serialize};

/// A program, and what was frozen with it at the start: the guest asserts that it sees exactly that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Bound of its memory, bytes.
    pub(crate) memory_bytes: u64,
    /// Environment variables.
    pub(crate) environment: Vec<(String, String)>,
    /// Arguments, without the program's name.
    pub(crate) arguments: Vec<String>,
    /// Whether it fails in the end.
    pub(crate) fails: bool,
    /// What it does.
    pub(crate) ops: Vec<Op>,
}

/// Something that takes time, or has parts that do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// At once.
    Do(Act),
    /// A step, awaited.
    Step(Step),
    /// A durable timer, seconds; awaited.
    Wait(u32),
    /// A child context, awaited.
    Child(Vec<Op>),
    /// All at once, to the last.
    Join(Vec<Vec<Op>>),
    /// All at once, to the first; the others are dropped.
    Select(Vec<Vec<Op>>),
    /// All at once in a `FuturesUnordered`; the order in which they end is seen.
    Unordered(Vec<Vec<Op>>),
    /// A child context as a task of its own; [`Op::Collect`] or [`Op::Abandon`] takes it up.
    Spawn(Vec<Op>),
    /// Awaits the oldest spawned task of this body.
    Collect,
    /// Drops the oldest spawned task of this body.
    Abandon,
    /// Sends the digest to whoever receives.
    Send,
    /// Takes what was sent, or gives up after so many seconds.
    Receive(u32),
    /// Polls once, then drops.
    Peek(Vec<Op>),
    /// One or the other, by a bit of the digest.
    Branch(Vec<Op>, Vec<Op>),
    /// Several times.
    Repeat(u8, Vec<Op>),
    /// A virtual child context, awaited.
    Virtual(Vec<Op>),
    /// A `map` or `parallel`.
    Batch(Batch),
    /// One of the four combinators, by number, of child contexts that fail like those of [`Op::Child`]; begun at once if
    /// the flag is set.
    Combine(u8, bool, Vec<Vec<Op>>),
    /// A block that fails so many times before it succeeds, with waits of a second.
    Retry(u8, Vec<Op>),
    /// A condition that is met after so many polls, with so many seconds in between.
    Condition(Condition),
    /// A callback, awaited. It is answered when the execution is at rest, or nobody answers and it times out.
    Callback(Callback),
    /// A callback with a step that gives its id away, and does this.
    Submit(Callback, Vec<Act>),
    /// A function that does not exist.
    Invoke(bool),
}

/// Many bodies at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Each of them fails like an [`Op::Child`].
    pub(crate) items: Vec<Vec<Op>>,
    /// In flight at a time; 0: all.
    pub(crate) at_once: u8,
    /// When it is over: by number.
    pub(crate) over: u8,
    /// Items are virtual contexts.
    pub(crate) flat: bool,
    /// A `map`, else a `parallel`.
    pub(crate) map: bool,
    /// Begun at once and awaited, instead of begun when first polled.
    pub(crate) eager: bool,
}

/// A polled condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// Polls until it is met, from 1.
    pub(crate) polls: u8,
    /// Seconds in between, from 1.
    pub(crate) seconds: u32,
    /// What each poll does besides.
    pub(crate) body: Vec<Act>,
    /// As [`Batch::eager`].
    pub(crate) eager: bool,
}

/// A callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Callback {
    /// Somebody answers; the name says so.
    pub(crate) answered: bool,
    /// Seconds, from 1.
    pub(crate) timeout: u32,
    /// Seconds; 0: none is asked for.
    pub(crate) heartbeat: u32,
    /// As [`Batch::eager`].
    pub(crate) eager: bool,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// What its body does, in every attempt.
    pub(crate) body: Vec<Act>,
    /// How attempt 1, 2, 3... ends; at least one.
    pub(crate) attempts: Vec<Attempt>,
    /// At most once per attempt.
    pub(crate) at_most_once: bool,
    /// Begun at once and awaited, instead of begun when first polled.
    pub(crate) eager: bool,
}

/// How an attempt ends. Whatever is not a success is tried again if there is another attempt in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attempt {
    /// With a number.
    Value(u32),
    /// With a number that the body draws.
    Draw,
    /// With so many bytes of text.
    Text(u32),
    /// It fails; the next one comes so many seconds later.
    Fail(u32),
    /// The body panics: the attempt is interrupted.
    Panic,
}

/// Something that happens at once, outside a step or in a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// The wall clock.
    Wall,
    /// The monotonic clock.
    Monotonic,
    /// So many random bytes.
    Random(u16),
    /// The same of the insecure kind.
    Insecure(u16),
    /// The hash seed.
    HashSeed,
    /// Environment variables.
    Environment,
    /// Arguments.
    Arguments,
    /// Reads so many bytes of standard input.
    Stdin(u16),
    /// Writes so many bytes to standard output.
    Print(u16),
    /// And to standard error.
    Complain(u16),
    /// How much standard output would take.
    Budget,
    /// A log line.
    Log,
    /// A file is opened, made or removed, a directory listed: by number.
    File(u8),
    /// A socket is opened, a name looked up: by number.
    Socket(u8),
    /// `thread::sleep`, milliseconds; in a body at most one.
    Sleep(u32),
    /// So many timers are made and dropped again, in this order or in reverse; their handles' numbers are seen. In a
    /// generated body always in reverse.
    Timers(u8, bool),
    /// Polls timers that are due after so many milliseconds each; in a body after as many microseconds.
    Poll(Vec<u16>),
    /// A `HashMap` of so many keys, iterated.
    Map(u16),
    /// A `HashSet` of so many texts, iterated.
    Set(u16),
    /// A `BTreeMap` of so many keys.
    Tree(u16),
    /// So many bytes are allocated and kept; the address is seen.
    Keep(u32),
    /// So many bytes, aligned to two to the power of so much, kept.
    Aligned(u16, u8),
    /// What was kept is dropped, every so-manieth.
    Drop(u8),
    /// What was kept last becomes so many bytes longer.
    Extend(u32),
    /// So many bytes are forgotten for ever.
    Leak(u32),
    /// Everything that is kept is written over.
    Scribble,
    /// What is kept, the statics and the thread's locals are seen.
    Look,
    /// Statics and thread locals change.
    Count,
    /// So many pages of fresh memory, seen, then filled.
    Pages(u8),
    /// The last bytes of memory are seen and written.
    Edge,
    /// More memory than there may be is asked for.
    TooMuch,
    /// So many KiB of stack are written.
    Deep(u16),
    /// So many KiB of dead stack are seen.
    Stack(u16),
    /// Floating-point arithmetic, most of it on NaNs.
    Float(u8),
    /// The same with vectors.
    Vector(u8),
}
