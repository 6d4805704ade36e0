//! The client against servers on loopback, written by hand so that they misbehave exactly as told.

mod bodies;
mod failures;
mod redirects;
mod refusals;
mod server;
mod streams;
mod tls;
