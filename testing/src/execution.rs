//! An execution under test, and the loop that drives it from event to event.

use crate::log::{Listener, LogLine, Said};
use crate::operation::Operation;
use crate::plan::{CallbackAction, Function, Plan, is_called};
use crate::process::{Counted, Process, Registered, SeededEntropy, World};
use crate::recording::Recording;
use crate::runner::json_text;
use crate::workflow::sandbox;
use everstep::embedded::{Driven, Embedded, MachineEntropy, RealTime, SimulatedTime, Time};
use everstep::worker::{Environment, Observer, Verify};
use everstep_core::protocol::{
    ComponentDigest, ErrorObject, ExecutionArn, OperationStatus, OperationType, Seed, ServiceError, Timestamp,
};
use everstep_core::service::{Entropy, StartExecution};
use everstep_core::store::{Filter, Store};
use everstep_http::Policy;
use everstep_sandbox::Network;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest stretch of workflow code, and longest body: a test that hangs is to fail.
const STRETCH: Duration = Duration::from_secs(60);

/// An execution that a test runs. What can be asked of it and asserted on it is a [`Recording`]'s: as of the last call
/// that drove it.
pub struct Execution {
    plan: Arc<Plan>,
    world: Arc<World>,
    process: Arc<Process>,
    embedded: Embedded,
    environment: Environment,
    clock: Clock,
    entropy: Arc<dyn Entropy>,
    arn: ExecutionArn,
    said: Arc<Mutex<Said>>,
    /// Plans for callbacks that were carried out: by plan and callback id.
    done: BTreeSet<(usize, String)>,
    /// At-most-once attempts that a crash interrupted: execution and operation.
    interrupted: BTreeSet<(String, String)>,
    /// How far the clock was moved.
    now: Timestamp,
    recording: Recording,
}

/// The service's clock and the driver's are one.
#[derive(Clone)]
enum Clock {
    Simulated(Arc<SimulatedTime>),
    Real(Arc<RealTime>),
}

impl Clock {
    fn sleep_until(&self, then: Timestamp) {
        match self {
            Self::Simulated(time) => time.sleep_until(then),
            Self::Real(time) => time.sleep_until(then),
        }
    }
}

/// How far to go.
#[derive(Clone, Copy, PartialEq)]
enum Goal {
    /// To the end.
    End,
    /// Until it is suspended, with a callback open that nothing is planned for.
    Callback,
    /// Until everything up to then has happened.
    Until(Timestamp),
}

/// What is planned for an open callback.
struct Planned {
    at: Timestamp,
    plan: usize,
    callback_id: String,
}

impl Execution {
    #[track_caller]
    pub(crate) fn start(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let world = Arc::new(World::new(plan.crashes.clone()));
        let process = Arc::new(Process::new(world.clone(), plan.clone()));
        let (clock, entropy): (Clock, Arc<dyn Entropy>) = if plan.real_time {
            (Clock::Real(Arc::new(RealTime)), Arc::new(MachineEntropy))
        } else {
            (Clock::Simulated(Arc::default()), Arc::new(SeededEntropy::new(plan.seed)))
        };
        let embedded = open(&process, &clock, &entropy, &plan);
        let durable = plan.functions.iter().filter_map(|(_, function)| match function {
            Function::Durable(workflow) => Some(workflow),
            Function::Plain(_) => None,
        });
        for workflow in durable.chain([&plan.workflow]) {
            if let Err(error) = embedded.add_component(&workflow.wasm) {
                panic!("{}: {error}", workflow.function);
            }
        }
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&plan.seed.to_le_bytes());
        let started = embedded.start(StartExecution {
            function: plan.workflow.function.to_string(),
            version: plan.version.clone(),
            name: Some(plan.name.clone()),
            input: plan.input.clone(),
            component: ComponentDigest::of(&plan.workflow.wasm),
            config: plan.config.clone(),
            seed: (!plan.real_time).then_some(Seed(seed)),
        });
        let arn = started.unwrap_or_else(|error| panic!("the execution cannot start: {error}")).arn().clone();
        let recording = recording_of(&world, &arn);
        Self {
            environment: environment(&plan, &process),
            plan,
            world,
            process,
            embedded,
            clock,
            entropy,
            arn,
            said: Arc::default(),
            done: BTreeSet::new(),
            interrupted: BTreeSet::new(),
            now: recording.latest(),
            recording,
        }
    }

    /// Runs to the end, through all that is planned.
    ///
    /// # Panics
    /// If it waits for a callback that nothing is planned for, if a planned crash did not happen, or if a component
    /// cannot be run.
    #[track_caller]
    pub fn run(&mut self) -> &mut Self {
        let open = self.drive(Goal::End);
        if !self.status().is_terminal() {
            let titles: Vec<String> = open.iter().map(title).collect();
            self.fail(&format!(
                "the execution waits for {}, and nothing is planned for it: plan it with `on_callback`, or run \
                 `until_callback` and complete it by hand",
                titles.join(", ")
            ));
        }
        let to_come = self.world.to_come();
        if !to_come.is_empty() {
            let to_come: Vec<String> = to_come.iter().map(ToString::to_string).collect();
            self.fail(&format!("a crash was planned and did not happen: {}", to_come.join(", ")));
        }
        self
    }

    /// Runs until the execution is suspended with a callback open that nothing is planned for, and answers it.
    ///
    /// # Panics
    /// If the execution ends before.
    #[track_caller]
    pub fn until_callback(&mut self) -> OpenCallback {
        match self.drive(Goal::Callback).into_iter().next() {
            Some(operation) => OpenCallback { operation },
            None => self.fail("the execution ended without waiting for a callback"),
        }
    }

    /// Runs, and goes on with everything that happens within so much time. Without a callback to wait for or a timer
    /// to fire, time passes all the same.
    pub fn run_for(&mut self, duration: Duration) -> &mut Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp(self.now.max(self.recording.latest()).0.saturating_add(millis));
        self.drive(Goal::Until(until));
        self
    }

    /// Completes an open callback with this result, as JSON. It goes by its name, by `#` and its id, or by the name of
    /// the context it was begun in. Goes on with [`run`](Self::run) and the like.
    ///
    /// # Panics
    /// If there is no such open callback.
    #[track_caller]
    pub fn succeed_callback(&mut self, name: &str, result: impl Serialize) -> &mut Self {
        let text = json_text(&result);
        self.by_hand(name, &CallbackAction::Complete(Ok(Some(text))))
    }

    /// Fails an open callback.
    ///
    /// # Panics
    /// As [`succeed_callback`](Self::succeed_callback).
    #[track_caller]
    pub fn fail_callback(&mut self, name: &str, error: ErrorObject) -> &mut Self {
        self.by_hand(name, &CallbackAction::Complete(Err(error)))
    }

    /// Sends an open callback a heartbeat.
    ///
    /// # Panics
    /// As [`succeed_callback`](Self::succeed_callback).
    #[track_caller]
    pub fn heartbeat_callback(&mut self, name: &str) -> &mut Self {
        self.by_hand(name, &CallbackAction::Heartbeat)
    }

    /// The process dies here, and another one takes over what is in the log.
    pub fn crash(&mut self) -> &mut Self {
        self.process.die();
        self.take_over();
        self.look();
        self
    }

    /// Planned crashes that happened.
    pub fn crashes(&self) -> usize {
        self.world.crashes()
    }

    /// Instances that workflows ran in, without those that verified an invocation: one an invocation, or with
    /// [`replay_everything`](crate::Runner::replay_everything) one for each event that they were handed.
    pub fn instances(&self) -> u64 {
        self.world.counted().instances
    }

    /// The execution as its log has it now; stays as it is when the execution goes on.
    pub fn recording(&self) -> Recording {
        self.recording.clone()
    }

    /// Executions that this one invoked, and those that they invoked, oldest first.
    pub fn invoked(&self) -> Vec<Recording> {
        self.all().into_iter().filter(|recording| *recording.arn() != self.arn).collect()
    }

    /// What was given to loggers, by all executions of this test.
    pub fn logs(&self) -> Vec<LogLine> {
        self.said().lines.clone()
    }

    /// What was written to stdout, but for a result. A body that a crash interrupted may have written twice.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.said().stdout).into_owned()
    }

    /// What was written to stderr.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.said().stderr).into_owned()
    }

    pub(crate) fn counted(&self) -> Counted {
        self.world.counted()
    }

    pub(crate) fn interrupted(&self) -> &BTreeSet<(String, String)> {
        &self.interrupted
    }

    pub(crate) fn all(&self) -> Vec<Recording> {
        let mut all = self.world.store.list(&Filter::default()).unwrap_or_default();
        all.reverse();
        all.iter().map(|summary| Recording::of(&self.world.store, summary.key)).collect()
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&mut self) {
        self.recording = recording_of(&self.world, &self.arn);
    }

    /// Drives the execution from suspension to suspension. What happens next is whichever comes first: a timer of the
    /// service, or what a test has planned. Answers the open callbacks that nothing is planned for.
    #[track_caller]
    fn drive(&mut self, goal: Goal) -> Vec<Operation> {
        let observer: Arc<dyn Observer> = Arc::new(Listener::new(self.arn.clone(), self.said.clone()));
        loop {
            let driven = self.embedded.drive(&self.arn, &self.environment, &observer, Some(Duration::ZERO));
            self.look();
            let until = match driven {
                Ok(Driven::Closed(_)) => return Vec::new(),
                Ok(Driven::Suspended { until, .. }) => until,
                Err(_) if self.process.is_dead() => {
                    self.take_over();
                    continue;
                }
                Err(error) => self.fail(&error.to_string()),
            };
            let (planned, unplanned) = self.callbacks();
            if goal == Goal::Callback && !unplanned.is_empty() {
                return unplanned;
            }
            let next = planned.as_ref().map(|planned| planned.at).into_iter().chain(until).min();
            if let Goal::Until(end) = goal
                && next.is_none_or(|next| next > end)
            {
                self.sleep_until(end);
                return unplanned;
            }
            let end = self.recording.description().timeout_at;
            match (planned, until) {
                (Some(planned), until) if until.is_none_or(|until| planned.at <= until) => {
                    self.sleep_until(planned.at);
                    let action = self.plan.callbacks[planned.plan].action.clone();
                    self.done.insert((planned.plan, planned.callback_id.clone()));
                    self.act(&planned.callback_id, &action);
                }
                // Only that would end the wait for a callback that nobody completes.
                (_, Some(until)) if goal == Goal::End && until >= end && !unplanned.is_empty() => return unplanned,
                (_, Some(until)) => self.sleep_until(until),
                (_, None) => return unplanned,
            }
        }
    }

    fn sleep_until(&mut self, then: Timestamp) {
        self.now = self.now.max(then);
        self.clock.sleep_until(then);
    }

    /// Open callbacks of all executions: what is planned for them next, and those that nothing is planned for.
    fn callbacks(&self) -> (Option<Planned>, Vec<Operation>) {
        let mut next: Option<Planned> = None;
        let mut unplanned = Vec::new();
        for callback in self.open_callbacks() {
            let Some(callback_id) = callback.callback_id().map(str::to_owned) else { continue };
            let context = callback.parent();
            let plans = self.plan.callbacks.iter().enumerate();
            let plans = plans.filter(|(index, plan)| {
                plan.is_for(callback.recorded(), context.as_ref().map(Operation::recorded))
                    && !self.done.contains(&(*index, callback_id.clone()))
            });
            let at = |after: Duration| {
                let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
                Timestamp(callback.started_at().0.saturating_add(millis))
            };
            let first = plans.map(|(plan, planned)| (at(planned.after), plan)).min();
            match first {
                None => unplanned.push(callback),
                Some((at, plan)) => {
                    if next.as_ref().is_none_or(|next| at < next.at) {
                        next = Some(Planned { at, plan, callback_id });
                    }
                }
            }
        }
        (next, unplanned)
    }

    fn open_callbacks(&self) -> Vec<Operation> {
        let is_open = |operation: &Operation| {
            operation.kind() == OperationType::Callback && operation.status() == OperationStatus::Started
        };
        let running = self.all().into_iter().filter(|recording| !recording.status().is_terminal());
        running.flat_map(|recording| recording.operations()).filter(is_open).collect()
    }

    #[track_caller]
    fn by_hand(&mut self, name: &str, action: &CallbackAction) -> &mut Self {
        let wanted = |callback: &Operation| {
            let context = callback.parent();
            is_called(name, &callback.recorded().id, callback.name())
                || context.as_ref().and_then(Operation::name) == Some(name)
        };
        let found = self.open_callbacks().into_iter().find(wanted);
        match found.as_ref().and_then(Operation::callback_id) {
            Some(callback_id) => self.act(callback_id, action),
            None => self.fail(&format!("there is no open callback {name:?}")),
        }
        self.look();
        self
    }

    /// As whoever completes a callback does it: again if nobody answered, and a refusal then means that it is done.
    #[track_caller]
    fn act(&mut self, callback_id: &str, action: &CallbackAction) {
        let mut again = false;
        loop {
            let service = self.embedded.service();
            let acted = match action {
                CallbackAction::Complete(outcome) => service.complete_callback(callback_id, outcome.clone()),
                CallbackAction::Heartbeat => service.heartbeat_callback(callback_id),
            };
            match acted {
                Ok(()) => return,
                Err(_) if self.process.is_dead() => {
                    self.take_over();
                    again = true;
                }
                // A timer was faster, or the call that a crash left without an answer was.
                Err(ServiceError::CallbackTimeout) if again => return,
                Err(ServiceError::CallbackTimeout) => return,
                Err(error) => {
                    self.look();
                    self.fail(&format!("the callback cannot be completed: {error}"))
                }
            }
        }
    }

    /// What a new process on the same log does.
    fn take_over(&mut self) {
        let cut_off = |operation: &Operation| {
            operation.kind() == OperationType::Step && operation.status() == OperationStatus::Started
        };
        for recording in self.all() {
            let arn = recording.arn().as_str().to_owned();
            let cut = recording.operations().into_iter().filter(cut_off);
            self.interrupted.extend(cut.map(|operation| (arn.clone(), operation.id().to_owned())));
        }
        loop {
            self.world.store.reopen();
            self.process = Arc::new(Process::new(self.world.clone(), self.plan.clone()));
            self.environment = environment(&self.plan, &self.process);
            self.embedded = open(&self.process, &self.clock, &self.entropy, &self.plan);
            match self.embedded.service().recover_chained() {
                Err(_) if self.process.is_dead() => {}
                _ => return,
            }
        }
    }
}

impl Deref for Execution {
    type Target = Recording;
    fn deref(&self) -> &Recording {
        &self.recording
    }
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution").field("arn", &self.arn).field("status", &self.status()).finish_non_exhaustive()
    }
}

/// A callback that waits for somebody outside.
#[derive(Clone, Debug)]
pub struct OpenCallback {
    operation: Operation,
}

impl OpenCallback {
    /// What completes it.
    pub fn id(&self) -> &str {
        self.operation.callback_id().unwrap_or_default()
    }

    /// It, as it is recorded.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }
}

fn title(operation: &Operation) -> String {
    format!("callback {}", operation.title())
}

fn recording_of(world: &World, arn: &ExecutionArn) -> Recording {
    let found = world.store.find_arn(arn).ok().flatten();
    let summary = found.unwrap_or_else(|| panic!("the execution {arn} has gone"));
    Recording::of(&world.store, summary.key)
}

fn open(process: &Arc<Process>, clock: &Clock, entropy: &Arc<dyn Entropy>, plan: &Arc<Plan>) -> Embedded {
    let (store, functions) = (process.clone(), Arc::new(Registered(plan.clone())));
    match clock {
        Clock::Simulated(time) => Embedded::with_functions(store, sandbox(), time.clone(), entropy.clone(), functions),
        Clock::Real(time) => Embedded::with_functions(store, sandbox(), time.clone(), entropy.clone(), functions),
    }
}

fn environment(plan: &Plan, process: &Arc<Process>) -> Environment {
    Environment {
        stretch: STRETCH,
        network: Network {
            allow: Arc::new(plan.allow_net.clone()),
            http: everstep_http::Client::new(Policy {
                rules: plan.allow_http.clone(),
                addresses: plan.allow_net.clone(),
            }),
        },
        verify: if plan.verify { Verify::Always } else { Verify::Off },
        simulated: !plan.real_time,
        intercept: Some(process.clone()),
        ..Environment::default()
    }
}
