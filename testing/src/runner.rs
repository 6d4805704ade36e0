//! The builder of a test's execution.

use crate::crash::Crash;
use crate::execution::Execution;
use crate::plan::{CallbackAction, CallbackPlan, Function, Outcome, Plan, RequestPattern};
use crate::workflow::Workflow;
use everstep_core::protocol::{ErrorObject, ExecutionConfig};
use everstep_http::{HttpError, Request, Response, Rule};
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// An execution to be: a workflow with its input, and what stands in the place of the world. It is named `test`, runs
/// on a clock that is skipped forward whenever everything waits, and is verified by replay; with the same seed it has
/// the same history, timestamps included.
#[derive(Clone, Debug)]
#[must_use = "a runner does nothing until `run` or `start`"]
pub struct Runner {
    pub(crate) plan: Plan,
}

impl Runner {
    /// An execution of this workflow, without an input.
    pub fn new(workflow: &Workflow) -> Self {
        Self { plan: Plan::new(workflow) }
    }

    fn with(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }

    /// The input, as JSON.
    ///
    /// # Panics
    /// If it cannot be serialised.
    pub fn input(self, input: impl Serialize) -> Self {
        let text = json_text(&input);
        self.with(|plan| plan.input = Some(text))
    }

    /// The input as it is, whatever it is.
    pub fn raw_input(self, input: impl Into<String>) -> Self {
        self.with(|plan| plan.input = Some(input.into()))
    }

    /// The execution's name.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|plan| plan.name = name.into())
    }

    /// The version that the execution is pinned to: a number or `$LATEST`.
    pub fn version(self, version: impl Into<String>) -> Self {
        self.with(|plan| plan.version = version.into())
    }

    /// What randomness is derived from: the workflow's, its steps' and the service's.
    pub fn seed(self, seed: u64) -> Self {
        self.with(|plan| plan.seed = seed)
    }

    /// An environment variable of the workflow.
    pub fn env(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|plan| plan.config.environment.push((name.into(), value.into())))
    }

    /// Command-line arguments of the workflow.
    pub fn arguments<A: Into<String>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.with(|plan| plan.config.arguments = arguments.into_iter().map(Into::into).collect())
    }

    /// How long the execution may take, in whole seconds: without this a day, as everywhere.
    pub fn timeout(self, timeout: Duration) -> Self {
        let seconds = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
        self.with(|plan| plan.config.execution_timeout_seconds = seconds)
    }

    /// Any other setting that is frozen when an execution starts: limits, files.
    pub fn configure(self, change: impl FnOnce(&mut ExecutionConfig)) -> Self {
        self.with(|plan| change(&mut plan.config))
    }

    /// Waits as long as it says, with the machine's clock and entropy.
    pub fn real_time(self) -> Self {
        self.with(|plan| plan.real_time = true)
    }

    /// Does not replay each invocation in a fresh instance before it counts.
    pub fn unverified(self) -> Self {
        self.with(|plan| plan.verify = false)
    }

    /// Replays after every event that the workflow is handed: a fresh instance goes on from what is recorded. What it
    /// records is the same; a workflow that carries something past the log fails.
    pub fn replay_everything(self) -> Self {
        self.with(|plan| plan.replay_everything = true)
    }

    /// Lets the workflow and its steps make real HTTP requests: `localhost:8080`, `GET,POST *.example.com`.
    ///
    /// # Panics
    /// If that is no rule.
    #[track_caller]
    pub fn allow_http(self, rule: &str) -> Self {
        let rule: Rule = rule.parse().unwrap_or_else(|error| panic!("{error}"));
        self.with(|plan| plan.allow_http.push(rule))
    }

    /// Lets steps connect to this address.
    pub fn allow_net(self, address: SocketAddr) -> Self {
        self.with(|plan| plan.allow_net.push(address))
    }

    /// Something in the place of a step's body, or of a polled condition's. Steps without a name go by their id, as
    /// timelines show it: `#3`. Of several stubs for one step the first counts.
    pub fn on_step(self, name: impl Into<String>) -> OnStep {
        OnStep { runner: self, name: name.into() }
    }

    /// Something in the place of the servers that HTTP requests outside step bodies go to: `GET
    /// https://shop.example/*`, or the URL alone for any method; each `*` stands for any text. Of several that match,
    /// the first counts.
    pub fn on_fetch(self, pattern: &str) -> OnFetch {
        OnFetch { runner: self, pattern: RequestPattern::new(pattern) }
    }

    /// Something that completes a callback, at once after it began. A callback goes by its name, its id (`#3`), or the
    /// name of the context it was begun in.
    pub fn on_callback(self, name: impl Into<String>) -> OnCallback {
        OnCallback { runner: self, name: name.into(), after: Duration::ZERO }
    }

    /// A plain function that the workflow can invoke, under any qualifier: given the payload and the tenant id.
    pub fn function(
        self,
        name: impl Into<String>,
        function: impl Fn(Value, Option<&str>) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.with(|plan| plan.functions.push((name.into(), Function::Plain(std::sync::Arc::new(function)))))
    }

    /// A durable function that the workflow can invoke, under any qualifier: each invoke is an execution of its own.
    /// Stubs, callbacks and crashes are for all executions of a test.
    pub fn workflow(self, name: impl Into<String>, workflow: &Workflow) -> Self {
        self.with(|plan| plan.functions.push((name.into(), Function::Durable(workflow.clone()))))
    }

    /// Has the process die there: the service's memory is gone, the log stays, and a new process goes on. May be given
    /// several times.
    pub fn crash(self, crash: Crash) -> Self {
        self.with(|plan| plan.crashes.push(crash))
    }

    /// Starts the execution. Nothing has run yet.
    ///
    /// # Panics
    /// If it cannot start: the component cannot be run, or what it is started with is refused.
    #[track_caller]
    pub fn start(self) -> Execution {
        Execution::start(self.plan)
    }

    /// Runs the execution to its end.
    ///
    /// # Panics
    /// As [`Runner::start`] and [`Execution::run`].
    #[track_caller]
    pub fn run(self) -> Execution {
        let mut execution = self.start();
        execution.run();
        execution
    }
}

/// A step's stub to be: made by [`Runner::on_step`]. The log looks as if the body had run.
#[derive(Debug)]
#[must_use = "say what the step yields"]
pub struct OnStep {
    runner: Runner,
    name: String,
}

impl OnStep {
    /// Its result.
    ///
    /// # Panics
    /// If it cannot be serialised.
    pub fn succeed(self, result: impl Serialize) -> Runner {
        let result = value(result);
        self.with(move |_| Ok(result.clone()))
    }

    /// Every attempt fails with this error; the step's retry strategy decides, as about an interrupted attempt.
    pub fn fail(self, error: ErrorObject) -> Runner {
        self.with(move |_| Err(error.clone()))
    }

    /// The outcome of each attempt in turn; the last one is that of all further attempts.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn attempts(self, outcomes: impl IntoIterator<Item = Outcome>) -> Runner {
        let outcomes: Vec<Outcome> = outcomes.into_iter().collect();
        assert!(!outcomes.is_empty(), "a step that is attempted has an outcome: give at least one");
        self.with(move |attempt| outcomes[(attempt as usize - 1).min(outcomes.len() - 1)].clone())
    }

    /// The outcome of an attempt, from 1. A crash may ask for one again.
    pub fn with(self, stub: impl Fn(u32) -> Outcome + Send + Sync + 'static) -> Runner {
        let Self { runner, name } = self;
        runner.with(|plan| plan.bodies.push((name, std::sync::Arc::new(stub))))
    }
}

/// A server's stub to be: made by [`Runner::on_fetch`].
#[derive(Debug)]
#[must_use = "say what is answered"]
pub struct OnFetch {
    runner: Runner,
    pattern: RequestPattern,
}

impl OnFetch {
    /// An answer with this body as JSON, or without one if that is `()` or null.
    ///
    /// # Panics
    /// If the body cannot be serialised.
    pub fn respond(self, status: u16, body: impl Serialize) -> Runner {
        let answer = response(status, body);
        self.with(move |_, _| Ok(answer.clone()))
    }

    /// No answer.
    pub fn fail(self, error: HttpError) -> Runner {
        self.with(move |_, _| Err(error.clone()))
    }

    /// The answer to a request at an attempt, from 1. A crash may ask for one again.
    pub fn with(self, stub: impl Fn(&Request, u32) -> Result<Response, HttpError> + Send + Sync + 'static) -> Runner {
        let Self { runner, pattern } = self;
        runner.with(|plan| plan.requests.push((pattern, std::sync::Arc::new(stub))))
    }
}

/// What completes a callback: made by [`Runner::on_callback`].
#[derive(Debug)]
#[must_use = "say what happens to the callback"]
pub struct OnCallback {
    runner: Runner,
    name: String,
    after: Duration,
}

impl OnCallback {
    /// So long after the callback began; at the earliest when its execution is suspended.
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// It succeeds with this result, as JSON.
    ///
    /// # Panics
    /// If the result cannot be serialised.
    pub fn succeed(self, result: impl Serialize) -> Runner {
        let text = json_text(&result);
        self.act(CallbackAction::Complete(Ok(Some(text))))
    }

    /// It succeeds with these bytes as they are.
    pub fn succeed_raw(self, result: impl Into<String>) -> Runner {
        self.act(CallbackAction::Complete(Ok(Some(result.into()))))
    }

    /// It fails.
    pub fn fail(self, error: ErrorObject) -> Runner {
        self.act(CallbackAction::Complete(Err(error)))
    }

    /// A heartbeat comes. Give it a time of its own, and say what else happens with further `on_callback`s.
    pub fn heartbeat(self) -> Runner {
        self.act(CallbackAction::Heartbeat)
    }

    fn act(self, action: CallbackAction) -> Runner {
        let Self { runner, name, after } = self;
        runner.with(|plan| plan.callbacks.push(CallbackPlan { name, after, action }))
    }
}

/// An answer with this body as JSON, or without one if that is `()` or null.
///
/// # Panics
/// If the body cannot be serialised.
pub fn response(status: u16, body: impl Serialize) -> Response {
    let (headers, body) = match value(body) {
        Value::Null => (Vec::new(), String::new()),
        body => (vec![("content-type".to_owned(), "application/json".into())], body.to_string()),
    };
    Response { status, headers, body: body.into(), trailers: Vec::new() }
}

fn value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| panic!("this cannot be JSON: {error}"))
}

pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| panic!("this cannot be JSON: {error}"))
}
