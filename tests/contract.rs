//! The determinism contract of other durable SDKs, broken on purpose: every rule by a workflow of `guest-contract`,
//! which quotes it. Each is run undisturbed, then killed with signal 9 at every place where that could matter and
//! resumed; it must end SUCCEEDED, with the result, the history and the output of the undisturbed run, and replay
//! offline.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[allow(dead_code, reason = "shared with the crash tests")]
#[path = "crash/log.rs"]
mod log;
#[allow(dead_code, reason = "shared with the crash tests")]
#[path = "crash/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with the crash tests")]
#[path = "crash/story.rs"]
mod story;
#[allow(dead_code, reason = "shared with the crash tests")]
#[path = "crash/told.rs"]
mod told;

#[path = "deterministic/in_process.rs"]
mod in_process;

#[path = "contract/broken.rs"]
mod broken;
#[path = "contract/dependence.rs"]
mod dependence;
