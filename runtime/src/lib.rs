//! Everstep: deterministic durable workflows in WebAssembly.
//!
//! The library behind the `everstep` binary. A [`worker`] runs one invocation of one execution in the sandbox; an
//! [`embedded`] driver owns a durable service on SQLite and invokes the worker whenever an execution has something to
//! do; a [`bundle`] holds files that an execution is started with; [`workflow`] builds components; [`cli`] is a thin
//! face on them.

pub mod bundle;
pub mod cli;
pub mod embedded;
mod failpoint;
pub mod worker;
pub mod workflow;
