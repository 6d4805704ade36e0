//! What a CHAINED_INVOKE can invoke: handed in, since the service knows executions, not deployments.

use super::DurableService;
use super::completion::INVALID;
use super::start::check;
use crate::protocol::{ComponentDigest, ErrorObject, ExecutionArn, ExecutionConfig, FunctionName};
use std::sync::Arc;

/// The functions that there are.
pub trait Functions: Send + Sync {
    /// The function of that name and qualifier. Asked when a CHAINED_INVOKE is recorded, and again, with the version it
    /// was resolved to, when its execution is started: a numbered version has to mean the same for ever. Called with
    /// the execution locked: it must not call the service.
    ///
    /// # Errors
    /// What the CHAINED_INVOKE fails with: [`function_not_found`] if there is no such function or version.
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject>;
}

/// A function that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A durable one: invoking it starts an execution.
    Durable(Deployed),
    /// Any other: whoever drives the executions runs it, and reports with
    /// [`complete_chained`](DurableService::complete_chained).
    Plain {
        /// Its name.
        function: String,
        /// A number or `$LATEST`.
        version: String,
    },
}

/// A durable function, as [`StartExecution`](super::StartExecution) needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    /// Its name: 1..64 characters of `[a-zA-Z0-9-_]`.
    pub function: String,
    /// A number or `$LATEST`.
    pub version: String,
    /// Its code.
    pub component: ComponentDigest,
    /// Environment, arguments and limits of its executions.
    pub config: ExecutionConfig,
}

/// AWS's error where there is no such function or version.
pub fn function_not_found(name: &FunctionName) -> ErrorObject {
    ErrorObject::new("ResourceNotFoundException", format!("Function not found: {name}"))
}

/// No functions at all.
pub(super) struct NoFunctions;

impl Functions for NoFunctions {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        Err(function_not_found(name))
    }
}

/// The target of a CHAINED_INVOKE of `caller`, or what it fails with.
pub(super) fn resolve(
    functions: &dyn Functions,
    caller: &ExecutionArn,
    name: &FunctionName,
) -> Result<Target, ErrorObject> {
    if !name.is_beside(caller) {
        let message = format!(
            "Cannot invoke {name}: a CHAINED_INVOKE's target is in its execution's account and Region, {} in {}.",
            caller.account(),
            caller.region()
        );
        return Err(ErrorObject::new(INVALID, message));
    }
    let target = functions.resolve(name)?;
    if let Target::Durable(deployed) = &target {
        if name.qualifier().is_none() {
            return Err(ErrorObject::new(INVALID, "You cannot invoke a durable function using an unqualified ARN."));
        }
        check(&deployed.function, &deployed.version, None, None, &deployed.config)
            .map_err(|error| ErrorObject::new(INVALID, format!("Cannot invoke {name}: {error}")))?;
    }
    Ok(target)
}

impl DurableService {
    /// The same service, whose executions can invoke these functions. Without any, each CHAINED_INVOKE fails with
    /// `ResourceNotFoundException`.
    #[must_use]
    pub fn with_functions(self, functions: Arc<dyn Functions>) -> Self {
        Self { functions, ..self }
    }
}
