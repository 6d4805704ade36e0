//! The process is killed with signal 9 at every place where that could matter, and resumed.
//!
//! A failpoint holds the real process before its N-th commit, between that commit and its acknowledgement, between
//! acknowledgement and delivery, or inside a step's body; for N = 1, 2, 3... until a run ends without being held.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[path = "crash/effects.rs"]
mod effects;
#[path = "crash/log.rs"]
mod log;
#[path = "crash/process.rs"]
mod process;
#[path = "crash/story.rs"]
mod story;
#[path = "crash/sweep.rs"]
mod sweep;
#[path = "crash/told.rs"]
mod told;
#[path = "crash/waiting.rs"]
mod waiting;
