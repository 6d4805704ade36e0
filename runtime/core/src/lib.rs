//! The pure heart of Everstep: the vocabulary of AWS's durable executions and the durable service that decides what
//! may happen to one.
//!
//! Nothing here does I/O, reads a clock or draws a random number: a [`service::Clock`], an [`service::Entropy`] and a
//! [`store::Store`] are handed in, so the whole service can be simulated. `clippy.toml` beside this crate's manifest
//! makes the rule a compile-time one.

pub mod protocol;
pub mod service;
pub mod store;
