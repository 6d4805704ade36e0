//! One execution of the model's interpreter, driven to its end with everything that its program says is done from
//! outside: callbacks that are answered, and invoked functions that end.

use crate::in_process::{NoEntropy, SlowTime, component, environment, request, sandbox, silent};
use everstep::embedded::Time;
use everstep::worker::{Backend, Worker};
use everstep_core::protocol::{
    CheckpointRequest, CheckpointResponse, ComponentDigest, ErrorObject, Event, ExecutionArn, ExecutionConfig,
    FunctionName, InvocationOutput, Operation, OperationId, OperationStatus, OperationType, ServiceError, Timestamp,
};
use everstep_core::service::{
    Chained, ChainedOutcome, Clock, Deployed, Description, DurableService, Execution, Functions, HistoryEvent, Invoked,
    Target, function_not_found,
};
use everstep_core::store::{ExecutionKey, Store};
use everstep_model::program::{Deed, FAILED, Outside, SHORT_SECONDS, STOPPED, TIMED_OUT};
use everstep_sandbox::CompiledWorkflow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub(crate) const GUEST: &str = "guest-interpreter";

/// The execution's own: its children come after it.
pub(crate) const KEY: ExecutionKey = ExecutionKey(1);

fn workflow() -> &'static CompiledWorkflow {
    static LOADED: OnceLock<CompiledWorkflow> = OnceLock::new();
    LOADED.get_or_init(|| sandbox().load(component(GUEST)).expect("the guest compiles"))
}

/// What programs can invoke. None of it runs: how it ends is the outside's to say.
struct Invocable;

impl Functions for Invocable {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        let durable = |seconds: Option<u32>| {
            let default = ExecutionConfig::default();
            let execution_timeout_seconds = seconds.unwrap_or(default.execution_timeout_seconds);
            Target::Durable(Deployed {
                function: name.function().to_owned(),
                version: "1".into(),
                component: ComponentDigest::of(b"it never runs"),
                config: ExecutionConfig { execution_timeout_seconds, ..default },
            })
        };
        match name.function() {
            "durable" => Ok(durable(None)),
            "short" => Ok(durable(Some(SHORT_SECONDS))),
            "plain" => Ok(Target::Plain { function: "plain".into(), version: "$LATEST".into() }),
            _ => Err(function_not_found(name)),
        }
    }
}

/// A process that has one execution, and the world around it.
pub(crate) struct Process {
    service: DurableService,
    store: Arc<dyn Store>,
    time: Arc<SlowTime>,
    /// What is done from outside also comes while an invocation runs.
    meanwhile: bool,
    running: AtomicBool,
}

impl Backend for Process {
    fn checkpoint(&self, arn: &ExecutionArn, request: CheckpointRequest) -> Result<CheckpointResponse, ServiceError> {
        while self.meanwhile && self.do_one(arn)? {}
        self.service.checkpoint(arn, request)
    }
}

/// What is done next from outside, and when.
struct Next {
    due: Timestamp,
    operation: Arc<Operation>,
    deed: Deed,
}

impl Process {
    pub(crate) fn new(store: Arc<dyn Store>, time: Arc<SlowTime>, meanwhile: bool) -> Arc<Self> {
        let service = DurableService::new(store.clone(), time.clone(), Arc::new(NoEntropy));
        let service = service.with_functions(Arc::new(Invocable));
        Arc::new(Self { service, store, time, meanwhile, running: AtomicBool::new(false) })
    }

    pub(crate) fn start(&self, input: &str, seed: u64) -> Result<ExecutionArn, ServiceError> {
        Ok(self.service.start(request(GUEST, input, seed))?.arn().clone())
    }

    /// Whether an invocation is, or was when the process died, under way.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Runs the execution to its end.
    pub(crate) fn finish(self: &Arc<Self>, arn: &ExecutionArn) -> Result<(Description, Vec<HistoryEvent>), String> {
        self.drive(arn).map_err(|error| error.to_string())?;
        let described = self.service.describe(arn).and_then(|it| Ok((it, self.service.history(arn)?)));
        described.map_err(|error| error.to_string())
    }

    fn drive(self: &Arc<Self>, arn: &ExecutionArn) -> Result<(), Box<dyn std::error::Error>> {
        let worker = Worker::new(self.clone(), environment(), silent());
        loop {
            match self.service.invoke(arn)? {
                Invoked::Run(invocation) => {
                    self.running.store(true, Ordering::Relaxed);
                    let report = worker.invoke(workflow(), *invocation).map_err(|gone| format!("{gone:?}"))?;
                    while self.meanwhile && self.do_one(arn)? {}
                    self.service.complete_invocation(arn, &report.token, report.output, Some(report.journal))?;
                    self.running.store(false, Ordering::Relaxed);
                }
                Invoked::Waiting(waiting) => {
                    self.complain_about(arn, &waiting.invokes)?;
                    if !self.do_one(arn)? {
                        let deed = self.next(self.rows()?).map(|next| next.due);
                        let next = deed.into_iter().chain(waiting.until).min();
                        self.time.sleep_until(next.ok_or("it waits for ever")?);
                    }
                }
                Invoked::Closed(_) => return Ok(()),
            }
        }
    }

    /// What the service says is invoked is what is open in the log.
    fn complain_about(&self, arn: &ExecutionArn, invokes: &[Chained]) -> Result<(), Box<dyn std::error::Error>> {
        let rows = self.rows()?;
        let execution = Execution::fold(KEY, &rows).map_err(|error| error.to_string())?;
        let open = execution.operations().iter().filter(|operation| {
            operation.operation_type == OperationType::ChainedInvoke && operation.status == OperationStatus::Started
        });
        let told: Vec<&OperationId> = invokes.iter().map(Chained::operation).collect();
        match told.iter().copied().eq(open.map(|operation| &operation.id)) {
            true => Ok(()),
            false => Err(format!("{arn} is said to wait for {told:?}").into()),
        }
    }

    fn rows(&self) -> Result<Vec<everstep_core::protocol::Transition>, ServiceError> {
        Ok(self.store.load(KEY)?)
    }

    fn next(&self, rows: Vec<everstep_core::protocol::Transition>) -> Option<Next> {
        let execution = Execution::fold(KEY, &rows).ok()?;
        let heartbeats = |id: &OperationId| {
            let beat = |event: &&Event| matches!(event, Event::CallbackHeartbeat { id: of } if of == id);
            rows.iter().flat_map(|row| &row.events).filter(beat).count()
        };
        let open = execution.operations().iter().filter(|operation| {
            let outside = matches!(operation.operation_type, OperationType::Callback | OperationType::ChainedInvoke);
            outside && operation.status == OperationStatus::Started
        });
        let deeds = open.filter_map(|operation| {
            let parent = || execution.operation(operation.parent_id.as_ref()?)?.name.clone();
            let schedule = Outside::read(&operation.name.clone().or_else(parent)?);
            let beats = operation.callback.as_ref().is_some_and(|callback| callback.heartbeat_seconds > 0);
            let mut over = heartbeats(&operation.id);
            let (after, deed) = schedule.0.into_iter().find(|(_, deed)| match deed {
                Deed::Heartbeat if !beats => false,
                Deed::Heartbeat if over > 0 => {
                    over -= 1;
                    false
                }
                _ => true,
            })?;
            let due = Timestamp(operation.started_at.0 + after as i64);
            Some(Next { due, operation: operation.clone(), deed })
        });
        deeds.min_by_key(|next| next.due)
    }

    /// Does what is due; false if nothing is.
    fn do_one(&self, arn: &ExecutionArn) -> Result<bool, ServiceError> {
        let rows = self.rows()?;
        let (before, now) = (rows.len(), self.time.now(rows[rows.len() - 1].at));
        let Some(Next { operation, deed, .. }) = self.next(rows).filter(|next| next.due <= now) else {
            return Ok(false);
        };
        match (&operation.callback, &operation.chained_invoke) {
            (Some(callback), _) => self.answer(&callback.callback_id, deed)?,
            (None, Some(invoke)) => match &invoke.child_arn {
                Some(child) => {
                    let child = ExecutionArn::try_from(child.as_str()).expect("an ARN of the service's");
                    self.end(&child, deed, now)?;
                }
                None => self.service.complete_chained(arn, &operation.id, ended(deed))?,
            },
            (None, None) => {}
        }
        assert!(self.rows()?.len() > before, "nothing was recorded of {deed:?} of {operation:?}");
        Ok(true)
    }

    fn answer(&self, callback_id: &str, deed: Deed) -> Result<(), ServiceError> {
        let answered = match deed {
            Deed::Succeed(value) => self.service.complete_callback(callback_id, Ok(Some(value.to_string()))),
            Deed::Fail => self.service.complete_callback(callback_id, Err(ErrorObject::new("Outside", FAILED))),
            _ => self.service.heartbeat_callback(callback_id),
        };
        // It has timed out just then: whoever answers learns of it, and there is nothing more to do.
        if let Err(ServiceError::CallbackTimeout) = answered { Ok(()) } else { answered }
    }

    /// Ends an execution that was invoked.
    fn end(&self, child: &ExecutionArn, deed: Deed, now: Timestamp) -> Result<(), ServiceError> {
        let output = match deed {
            Deed::Stop => {
                return self.service.stop(child, Some(ErrorObject::new("Outside", STOPPED))).map(drop);
            }
            Deed::TimeOut => {
                self.time.sleep_until(now);
                return self.service.invoke(child).map(drop);
            }
            Deed::Succeed(value) => InvocationOutput::Succeeded(Some(value.to_string())),
            Deed::Fail | Deed::Heartbeat => InvocationOutput::Failed(ErrorObject::new("Outside", FAILED)),
        };
        match self.service.invoke(child)? {
            Invoked::Run(invocation) => {
                self.service.complete_invocation(child, &invocation.checkpoint_token, Ok(output), None).map(drop)
            }
            other => panic!("{child} does not run: {other:?}"),
        }
    }
}

/// How a plain function ended.
fn ended(deed: Deed) -> ChainedOutcome {
    let error = |message: &str| ErrorObject::new("Outside", message);
    match deed {
        Deed::Succeed(value) => ChainedOutcome::Succeeded(Some(value.to_string())),
        Deed::TimeOut => ChainedOutcome::TimedOut(error(TIMED_OUT)),
        Deed::Stop => ChainedOutcome::Stopped(error(STOPPED)),
        Deed::Fail | Deed::Heartbeat => ChainedOutcome::Failed(error(FAILED)),
    }
}
