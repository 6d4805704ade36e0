//! The sandbox: runs a workflow component under wasmtime such that nothing which differs between two runs can reach
//! it, except through a [`Host`].
//!
//! Outside step bodies the clock, randomness, sleeping and output are the [`Host`]'s; inside a body they are real, and
//! what the body leaves behind in memory is undone ([`memory`]). The sandbox knows nothing of logs, replay or SQL: it
//! turns a component's calls into calls of [`Host`], and what the host answers into a run or a stop.
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`engine`] | compile ahead of time, cache native code |
//! | [`inspect`] | is this a workflow, and can its steps be sealed? |
//! | [`memory`] | linear memory that can be put back |
//! | [`durable`] | `everstep:workflow/durable`, the guest interface |
//! | `wasi` | deterministic WASI 0.2, live inside bodies |
//! | [`guest`] | one run of one component |
//! | [`backtrace`] | where in the guest's code it ended |

pub mod backtrace;
pub mod durable;
pub mod engine;
pub mod guest;
pub mod host;
pub mod inspect;
pub mod memory;
mod wasi;

pub use backtrace::{Backtrace, Frame};
pub use engine::{CompiledWorkflow, Sandbox, SandboxError};
pub use guest::{Ended, Guest, GuestLimits, Network, Run, Trap, TrapKind};
pub use host::{Delivered, Host, LiveOutput, Stop, Stream, Woken};
pub use memory::SealedMemory;
pub use wasi::{Bundle, BundleEntry, BundleError, Directory, DirectoryError, GuestDirectory, GuestFiles};
