//! What workflows can invoke.

use everstep_core::protocol::{ErrorObject, FunctionName};
use everstep_core::service::{self, Target};

/// The functions that workflows can invoke: how their names resolve, and what a plain one does.
pub trait Functions: service::Functions {
    /// Runs a plain function to its end, on a thread that waits for it. It may be called again with the same call, if
    /// the process dies before its answer is durable: at least once.
    ///
    /// The payload is JSON text, as is the answer. An error is what the caller's `invoke` fails with.
    fn call(&self, call: &FunctionCall) -> Result<Option<String>, ErrorObject>;
}

/// A plain function is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function's name, without its version.
    pub function: String,
    /// The version it was resolved to.
    pub version: String,
    /// AWS's `TenantId`.
    pub tenant_id: Option<String>,
    /// JSON text.
    pub payload: String,
}

/// There are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFunctions;

impl service::Functions for NoFunctions {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        Err(service::function_not_found(name))
    }
}

impl Functions for NoFunctions {
    fn call(&self, call: &FunctionCall) -> Result<Option<String>, ErrorObject> {
        Err(ErrorObject::new("ResourceNotFoundException", format!("Function not found: {}", call.function)))
    }
}
