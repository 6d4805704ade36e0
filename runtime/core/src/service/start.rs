//! `Invoke` of a durable function: an execution begins.

use super::execution::Execution;
use super::{DurableService, uuid};
use crate::protocol::limits;
use crate::protocol::{
    Cause, ComponentDigest, Event, ExecutionArn, ExecutionConfig, ExecutionStarted, InvalidName, Seed, ServiceError,
    Timestamp, Transition, is_plain,
};
use crate::store::{ExecutionSummary, StoreError};
use std::sync::Arc;

/// A request to start an execution.
#[derive(Clone, Debug)]
pub struct StartExecution {
    /// The function: 1..64 characters of `[a-zA-Z0-9-_]`.
    pub function: String,
    /// The version it is pinned to: a number or `$LATEST`.
    pub version: String,
    /// Unique within the function, 1..64 characters of `[a-zA-Z0-9-_]`. None: one is generated.
    pub name: Option<String>,
    /// The input, at most [`limits::EXECUTION_PAYLOAD_BYTES`].
    pub input: Option<String>,
    /// The code it runs, for its whole life. The store should have it already.
    pub component: ComponentDigest,
    /// Environment, arguments and limits, for its whole life.
    pub config: ExecutionConfig,
    /// What its randomness is derived from. None: drawn.
    pub seed: Option<Seed>,
}

/// What a start came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// A new execution.
    New(ExecutionArn),
    /// One of that name, with the same input and version, exists: the request is a repetition.
    Existing(ExecutionArn),
}

impl Started {
    /// The execution, new or not.
    pub fn arn(&self) -> &ExecutionArn {
        match self {
            Self::New(arn) | Self::Existing(arn) => arn,
        }
    }
}

impl DurableService {
    /// Starts an execution, durably; it runs when it is invoked. After a crash or a [`ServiceError::Store`] it exists
    /// or not; a repeated request with the same name settles that.
    pub fn start(&self, request: StartExecution) -> Result<Started, ServiceError> {
        check(&request.function, &request.version, request.name.as_deref(), request.input.as_deref(), &request.config)?;
        let id = uuid(self.entropy.bytes());
        let name = match request.name {
            Some(name) => name,
            None => uuid(self.entropy.bytes()),
        };
        if let Some(existing) = self.store.find(&request.function, &name)? {
            return self.repeated(existing, &request.version, request.input.as_deref());
        }
        let seed = request.seed.unwrap_or_else(|| Seed(self.entropy.bytes()));
        let arn = ExecutionArn::local(&request.function, &request.version, &name, &id);
        let started = Arc::new(ExecutionStarted {
            arn: arn.as_str().to_owned(),
            function: request.function,
            version: request.version,
            name,
            input: request.input,
            component: request.component,
            seed,
            config: request.config,
            invoked_by: None,
        });
        match self.create(&started, Timestamp(0)) {
            Ok(()) => Ok(Started::New(arn)),
            // Somebody was faster, or the owner of the store changed.
            Err(StoreError::Conflict(reason)) => {
                let Some(existing) = self.store.find(&started.function, &started.name)? else {
                    return Err(StoreError::Conflict(reason).into());
                };
                self.repeated(existing, &started.version, started.input.as_deref())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates an execution, not before `after`. [`StoreError::Conflict`]: its name is taken.
    pub(super) fn create(&self, started: &Arc<ExecutionStarted>, after: Timestamp) -> Result<(), StoreError> {
        let first = Transition {
            at: self.now(after),
            cause: Cause::Start,
            first_event: 1,
            events: vec![Event::ExecutionStarted(started.clone())],
            journal: None,
            client_token: None,
        };
        self.create_held(&first, Execution::begin(crate::store::ExecutionKey(0), &first)?)
    }

    fn repeated(
        &self,
        existing: ExecutionSummary,
        version: &str,
        input: Option<&str>,
    ) -> Result<Started, ServiceError> {
        let log = self.store.load(existing.key)?;
        match log.first().map(|row| row.events.as_slice()) {
            Some([Event::ExecutionStarted(started)])
                if started.version == version && started.input.as_deref() == input =>
            {
                Ok(Started::Existing(existing.arn))
            }
            _ => Err(ServiceError::ExecutionAlreadyStarted { arn: existing.arn.as_str().to_owned() }),
        }
    }
}

/// What every execution has to start with.
pub(super) fn check(
    function: &str,
    version: &str,
    name: Option<&str>,
    input: Option<&str>,
    config: &ExecutionConfig,
) -> Result<(), ServiceError> {
    const PLAIN: &str = "1..64 characters of [a-zA-Z0-9-_]";
    let wrong = |what, given, expected| {
        Err(ServiceError::InvalidParameterValue(InvalidName::new(what, given, expected).to_string()))
    };
    if !is_plain(function, 64) {
        return wrong("function name", function, PLAIN);
    }
    if let Some(name) = name
        && !is_plain(name, limits::EXECUTION_NAME)
    {
        return wrong("execution name", name, PLAIN);
    }
    let number = (1..=20).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
    if !number && version != "$LATEST" {
        return wrong("version", version, "a number or $LATEST");
    }
    if let Some(input) = input
        && input.len() > limits::EXECUTION_PAYLOAD_BYTES
    {
        return Err(ServiceError::InvalidParameterValue(format!(
            "input is {} bytes and may be {}: pass a reference to the data instead",
            input.len(),
            limits::EXECUTION_PAYLOAD_BYTES
        )));
    }
    let timeout = config.execution_timeout_seconds;
    if !(1..=limits::MAX_SECONDS).contains(&timeout) {
        return Err(ServiceError::InvalidParameterValue(format!(
            "execution timeout is {timeout}: give 1..{} seconds",
            limits::MAX_SECONDS
        )));
    }
    Ok(())
}
