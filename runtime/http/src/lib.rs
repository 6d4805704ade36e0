//! Everstep's HTTP client: HTTP/1.1 and TLS within an allow list, bounded, redirect by redirect.
//!
//! It knows nothing of wasm, logs or replay: a [`Request`] goes in, and one [`Response`] or [`HttpError`] comes out.
//! Nothing here outlives the process. Who must know after a crash whether a request was made records that it starts
//! one before calling [`Client::start`]; [`HttpError::before_sending`] says for certain that a failed one never left.
//!
//! What is allowed is decided twice. [`Policy`] holds method, scheme, host and port against its rules before anything
//! happens, and once a name is resolved holds every address that would be connected to against what is public: a name
//! inside an allow list is not a way into the network that the host is in. The connection goes to the address that was
//! checked; there is no second resolution. Redirects are requests of their own. Proxies are not used, whatever the
//! environment says.
//!
//! * [`Client::perform`] and [`Client::start`]: whole requests, one timeout over everything, bodies in memory.
//! * [`Client::stream`]: bodies flow in both directions, timeouts between events, no redirects.

mod address;
mod client;
mod connect;
mod error;
mod headers;
mod message;
pub mod policy;
mod redirect;
mod stream;
mod tls;

pub use client::{Client, InFlight, Options};
pub use connect::Resolve;
pub use error::HttpError;
pub use headers::sensitive;
pub use message::{DEFAULT_MAX_RESPONSE_BYTES, DEFAULT_TIMEOUT, Request, Response};
pub use policy::{Policy, Rule, RuleError};
pub use rustls::pki_types::CertificateDer;
pub use stream::{ResponseBody, StreamOptions};
