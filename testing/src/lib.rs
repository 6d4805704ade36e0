//! Tests of [Everstep](https://docs.rs/everstep) workflows, in process and with the real host: the component that is
//! deployed runs in the sandbox it is deployed to, against a log in memory.
//!
//! Time is skipped: a wait of a year takes none, and the same seed gives the same history, timestamps included. Every
//! invocation is verified by replaying it. Step bodies, HTTP servers, callbacks and invoked functions are stubbed by
//! name; the process dies wherever a test says.
//!
//! ```no_run
//! use everstep_test::{Crash, ErrorObject, Runner, Workflow, crash_everywhere};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! // In a workflow crate's `tests/`: built as `everstep run` builds it, once for each test program.
//! let workflow = Workflow::build(env!("CARGO_MANIFEST_DIR"));
//! let order = json!({ "orderId": "42", "amount": 9.5 });
//!
//! // The world: a card that is declined once, a stock service, a person who approves after two days.
//! let scenario = |runner: Runner| {
//!     runner
//!         .input(&order)
//!         .on_step("charge")
//!         .attempts([Err(ErrorObject::new("Declined", "try again")), Ok(json!("charged"))])
//!         .on_fetch("GET https://stock.example/*")
//!         .respond(200, json!({ "left": 3 }))
//!         .on_callback("approval")
//!         .after(Duration::from_secs(2 * 24 * 3600))
//!         .succeed(true)
//!         .run()
//! };
//!
//! let execution = scenario(Runner::new(&workflow));
//! assert_eq!(execution.result::<serde_json::Value>()["status"], "confirmed");
//! execution.operation("charge").assert_succeeded().assert_attempts(2);
//! execution.assert_operations([
//!     "step charge, attempt 2",
//!     "step GET stock.example/items/7",
//!     "callback approval",
//!     "step confirm",
//! ]);
//! // The whole history against a file; EVERSTEP_UPDATE_HISTORIES=1 writes it.
//! execution.assert_history("tests/histories/order.json");
//!
//! // The process dies in one place, or in each that there is: it makes no difference.
//! scenario(Runner::new(&workflow).crash(Crash::in_step("confirm")));
//! crash_everywhere(&workflow, scenario);
//! ```
//!
//! An assertion that fails says what differs, and shows the execution's timeline as `everstep show` does.

mod compare;
mod crash;
mod diff;
mod execution;
mod log;
mod operation;
mod plan;
mod process;
mod recording;
mod runner;
mod workflow;

pub use crash::{Crash, crash_everywhere};
pub use execution::{Execution, OpenCallback};
pub use log::LogLine;
pub use operation::Operation;
pub use plan::Outcome;
pub use recording::Recording;
pub use runner::{OnCallback, OnFetch, OnStep, Runner, response};
pub use workflow::Workflow;

pub use everstep_core::protocol::{
    ErrorObject, ExecutionConfig, ExecutionStatus, OperationStatus, OperationType, Timestamp, Warning,
};
pub use everstep_http::{HttpError, Request, Response};
