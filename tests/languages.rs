//! Programs in other languages. Plain ones, which know nothing of Everstep: the examples in C, Python and JavaScript.
//! And workflows with steps in Python and JavaScript, whose bodies are not sealed.
//!
//! The components are made by `tests/languages/build`.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[path = "crash/log.rs"]
#[allow(dead_code)] // used in parts, as the three below
mod log;
#[path = "crash/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "crash/story.rs"]
#[allow(dead_code)]
mod story;
#[path = "crash/told.rs"]
#[allow(dead_code)]
mod told;

#[path = "languages/plain.rs"]
mod plain;
#[path = "http/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "languages/steps.rs"]
mod steps;
