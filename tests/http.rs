//! HTTP of workflows: outside steps performed by the host and recorded, inside them real; against a real server, with
//! the process killed wherever that could matter.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[path = "http/requests.rs"]
mod requests;
#[path = "http/server.rs"]
mod server;
