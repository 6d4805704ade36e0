//! HTTP of workflows: outside steps performed by the host and recorded, inside them real; against a real server, with
//! the process killed wherever that could matter.

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

#[path = "http/edited.rs"]
mod edited;
#[path = "http/execution.rs"]
mod execution;
#[path = "http/order.rs"]
mod order;
#[path = "http/patience.rs"]
mod patience;
#[path = "http/refusals.rs"]
mod refusals;
#[path = "http/requests.rs"]
mod requests;
#[path = "http/server.rs"]
mod server;
