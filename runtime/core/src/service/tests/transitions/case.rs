//! One generated case: an execution, its worker, its outside and its time, and what is expected of the service.

use super::restated::{Expected, Restated, allowed, recorded};
use super::*;

/// A world with what can be invoked: `long` and `short`, which are durable, and `plain`.
fn world() -> World {
    let world = World::new();
    let default = ExecutionConfig::default();
    for (function, execution_timeout_seconds) in [("long", default.execution_timeout_seconds), ("short", SHORT)] {
        let (version, component) = ("1".into(), ComponentDigest::of(b"wasm"));
        let config = ExecutionConfig { execution_timeout_seconds, ..default.clone() };
        let deployed = Deployed { function: function.into(), version, component, config };
        world.deploy("1", Target::Durable(deployed));
    }
    world.deploy("$LATEST", Target::Plain { function: "plain".into(), version: "$LATEST".into() });
    world
}

pub(super) struct Case {
    world: World,
    arn: ExecutionArn,
    random: Random,
    expected: Expected,
    token: Option<String>,
    /// When the invocation that runs began.
    began: i64,
    crashes: u32,
    seen: Seen,
}

impl Case {
    pub(super) fn new(case: u64) -> Self {
        let mut random = Random(case);
        let world = world();
        let execution_timeout_seconds = if random.one_in(8) { 6 } else { 1_000_000 };
        let config = ExecutionConfig { execution_timeout_seconds, ..Default::default() };
        let arn = world.service.start(StartExecution { config, ..request("e") }).unwrap().arn().clone();
        let times_out_at = EPOCH + i64::from(execution_timeout_seconds) * 1000;
        let expected = Expected { times_out_at, ..Default::default() };
        let seen = Seen { cases: 1, ..Default::default() };
        Self { world, arn, random, expected, token: None, began: 0, crashes: 0, seen }
    }

    fn now(&self) -> i64 {
        let latest = self.world.rows(&self.arn).last().unwrap().at;
        self.world.clock.now(latest).0
    }

    /// Runs an invocation, if none does.
    fn invoke(&mut self) {
        while self.token.is_none() && self.expected.ended.is_none() {
            let mut fired = self.expected.clone();
            fired.fire(self.now());
            let answer = self.world.service.invoke(&self.arn).unwrap();
            // After a crash what came due waits for the first checkpoint.
            let operations = self.recorded();
            if operations == fired.operations {
                self.expected.operations = fired.operations;
            }
            match answer {
                Invoked::Run(invocation) => {
                    self.token = Some(invocation.checkpoint_token);
                    self.began = self.now();
                }
                Invoked::Waiting(Waiting { until, .. }) => {
                    let until = until.unwrap().0 - self.world.clock.now(Timestamp(0)).0;
                    self.world.clock.0.fetch_add(until.max(1), Ordering::Relaxed);
                }
                Invoked::Closed(status) => {
                    assert_eq!(Some(status), fired.ended);
                    self.expected.ended = fired.ended;
                }
            }
        }
    }

    fn recorded(&self) -> Vec<Restated> {
        self.world.service.operations(&self.arn).unwrap().iter().map(|operation| recorded(operation)).collect()
    }

    /// An update that is well-formed, if not legal. The id says the type, nearly always.
    fn update(&mut self) -> OperationUpdate {
        let kind = TYPES[self.random.below(5) as usize];
        let number = self.random.below(4);
        let action =
            if self.random.one_in(3) { OperationAction::Start } else { ACTIONS[self.random.below(5) as usize] };
        let mut update = update(&format!("{}{number}", &kind.as_str()[..2]), kind, action);
        if kind == Type::Callback {
            update.id = id(&format!("CB{number}"));
        }
        let short = 1 + self.random.below(6) as u32;
        match (kind, action) {
            (Type::Step, OperationAction::Retry) => {
                update.seconds = Some(short);
                match self.random.one_in(2) {
                    true => update.error = Some(ErrorObject::new("Busy", "not yet")),
                    false => update.payload = Some(self.random.below(100).to_string()),
                }
            }
            (Type::Wait, OperationAction::Start) => update.seconds = Some(short),
            (Type::Callback, OperationAction::Start) => {
                let (timeout_seconds, heartbeat_seconds) =
                    (self.random.below(4) as u32 * 2, self.random.below(4) as u32);
                update.callback = Some(CallbackOptions { timeout_seconds, heartbeat_seconds });
            }
            (Type::ChainedInvoke, OperationAction::Start) => {
                let functions = ["long:1", "long:1", "short:1", "plain", "plain", "nobody:1"];
                let function_name = functions[self.random.below(6) as usize].to_owned();
                update.chained_invoke = Some(Box::new(ChainedInvokeOptions { function_name, tenant_id: None }));
            }
            (_, OperationAction::Succeed) => update.payload = Some(self.random.below(100).to_string()),
            (_, OperationAction::Fail) => update.error = Some(ErrorObject::new("E", "no")),
            _ => {}
        }
        if self.random.one_in(40) && self.expected.status(update.id.as_str()).is_some() {
            update.operation_type = TYPES[self.random.below(5) as usize];
        }
        update
    }

    fn checkpoint(&mut self) {
        let Some(token) = self.token.clone() else { return };
        let update = self.update();
        let now = self.now();
        let mut fired = self.expected.clone();
        fired.fire(now);
        let (name, kind) = (update.id.as_str().to_owned(), update.operation_type);
        let there = fired.operations.iter().find(|operation| operation.id == name);
        let malformed = match (kind, update.action) {
            (Type::Wait, OperationAction::Start) => update.seconds.is_none(),
            (Type::ChainedInvoke, OperationAction::Start) => update.chained_invoke.is_none(),
            (Type::Step, action) => (action == OperationAction::Retry) != update.seconds.is_some(),
            _ => false,
        };
        let answer = match there {
            _ if fired.ended.is_some() => Err(ServiceError::INVALID_TOKEN),
            Some(there) if there.kind != kind => Err("Inconsistent operation type."),
            _ if malformed => return,
            there => allowed(kind, there.map(|there| there.status), update.action),
        };
        let key = (kind.as_str(), there.map_or("-", |there| there.status.as_str()), update.action.as_str());
        let request =
            CheckpointRequest { checkpoint_token: token, updates: vec![update.clone()], ..Default::default() };
        let given = self.world.service.checkpoint(&self.arn, request);
        match (answer, given) {
            (Ok(()), Ok(response)) => {
                self.token = response.checkpoint_token;
                fired.record(&update, now);
                self.expected = fired;
                self.seen.actions.entry(key).or_insert((0, "")).0 += 1;
                self.remember_child(&name, now);
            }
            (Err(expected), Err(ServiceError::InvalidParameterValue(said))) if fired.ended.is_some() => {
                assert!(said.starts_with(expected), "{said}");
                (self.expected, self.token) = (fired, None);
            }
            (Err(expected), Err(ServiceError::InvalidParameterValue(said))) => {
                assert_eq!(said, expected, "{update:?}");
                if expected != "Inconsistent operation type." {
                    self.seen.actions.entry(key).or_insert((0, expected)).0 += 1;
                }
            }
            (expected, given) => panic!("{update:?} should give {expected:?}, and gave {given:?}"),
        }
    }

    fn remember_child(&mut self, name: &str, now: i64) {
        let operations = self.world.service.operations(&self.arn).unwrap();
        let operation = operations.iter().find(|operation| operation.id.as_str() == name).unwrap();
        let Some(invoke) = operation.chained_invoke.as_ref().filter(|_| operation.started_at.0 == now) else { return };
        let times_out_at = invoke.function.starts_with("short").then_some(now + i64::from(SHORT) * 1000);
        let child = invoke.child_arn.as_deref().map(|child| ExecutionArn::try_from(child).unwrap());
        self.expected.children.entry(name.to_owned()).or_insert((child, times_out_at));
    }

    /// Somebody outside answers a callback, or ends what was invoked.
    fn outside(&mut self) {
        let kinds = [Type::Callback, Type::ChainedInvoke];
        let of_kind = |operation: &&Restated| kinds.contains(&operation.kind);
        let candidates: Vec<Restated> = self.expected.operations.iter().filter(of_kind).cloned().collect();
        if candidates.is_empty() {
            return;
        }
        let chosen = &candidates[self.random.below(candidates.len() as u64) as usize];
        // What is as old as the invocation's start would count as part of what it was told.
        let at = self.now().max(if self.token.is_some() { self.began + 1 } else { 0 });
        let mut fired = self.expected.clone();
        fired.fire(at);
        let open = fired.ended.is_none() && fired.status(&chosen.id) == Some(Running);
        let status = fired.status(&chosen.id).map_or("-", OperationStatus::as_str);
        let deed = if chosen.kind == Type::Callback {
            self.answer(&chosen.id, open, at, &mut fired)
        } else {
            self.end_invoked(&chosen.id, open, &mut fired)
        };
        let Some(deed) = deed else { return };
        *self.seen.outside.entry((chosen.kind.as_str(), status, deed)).or_default() += 1;
        self.expected = fired;
    }

    fn answer(&mut self, name: &str, open: bool, at: i64, fired: &mut Expected) -> Option<&'static str> {
        let operations = self.world.service.operations(&self.arn).unwrap();
        let operation = operations.iter().find(|operation| operation.id.as_str() == name).unwrap();
        let callback_id = operation.callback.as_ref().unwrap().callback_id.clone();
        let service = &self.world.service;
        let (deed, answered) = match self.random.below(4) {
            0 => ("succeed", service.complete_callback(&callback_id, Ok(Some("7".into())))),
            1 => ("fail", service.complete_callback(&callback_id, Err(ErrorObject::new("Declined", "no")))),
            _ => ("heartbeat", service.heartbeat_callback(&callback_id)),
        };
        match answered {
            Ok(()) => assert!(open, "{deed} of {name}, which is over"),
            Err(ServiceError::CallbackTimeout) => assert!(!open, "{deed} of {name} is refused"),
            Err(error) => panic!("{deed} of {name}: {error}"),
        }
        match deed {
            _ if !open => {}
            "succeed" => fired.end(name, Succeeded, Some("7".into()), None),
            "fail" => fired.end(name, Failed, None, Some("Declined")),
            _ => {
                let timeouts = fired.timeouts.get_mut(name).unwrap();
                timeouts.beat = at;
                let due = timeouts.due().map(|(due, _)| due);
                fired.at(name).due = due;
            }
        }
        Some(deed)
    }

    fn end_invoked(&mut self, name: &str, open: bool, fired: &mut Expected) -> Option<&'static str> {
        let (child, times_out_at) = self.expected.children.get(name).cloned()?;
        let (service, error) = (&self.world.service, || ErrorObject::new("Child", "no"));
        let deeds = ["succeed", "fail", "time out", "stop"];
        let mut deed = deeds[self.random.below(4) as usize];
        match child {
            None => {
                let outcome = match deed {
                    "succeed" => ChainedOutcome::Succeeded(Some("8".into())),
                    "fail" => ChainedOutcome::Failed(error()),
                    "time out" => ChainedOutcome::TimedOut(ErrorObject::new("ChainedInvoke.Timeout", "late")),
                    _ => ChainedOutcome::Stopped(error()),
                };
                service.complete_chained(&self.arn, &id(name), outcome).unwrap();
            }
            // Its own log is closed once.
            Some(_) if fired.status(name) != Some(Running) || fired.ended.is_some() => return None,
            Some(child) if deed == "stop" => drop(service.stop(&child, Some(error())).unwrap()),
            Some(child) => {
                let late = times_out_at.is_some_and(|at| at <= self.world.clock.now(Timestamp(0)).0);
                match service.invoke(&child).unwrap() {
                    Invoked::Closed(status) => {
                        assert!(late && status == ExecutionStatus::TimedOut, "{child} is {status:?}");
                        deed = "time out";
                    }
                    Invoked::Run(_) if deed == "time out" => return None,
                    Invoked::Run(invocation) => {
                        assert!(!late, "{child} runs beyond its time");
                        let output = match deed {
                            "succeed" => InvocationOutput::Succeeded(Some("8".into())),
                            _ => InvocationOutput::Failed(error()),
                        };
                        let token = &invocation.checkpoint_token;
                        service.complete_invocation(&child, token, Ok(output), None).unwrap();
                    }
                    other => panic!("{child} does not run: {other:?}"),
                }
            }
        }
        match deed {
            _ if !open => {}
            "succeed" => fired.end(name, Succeeded, Some("8".into()), None),
            "fail" => fired.end(name, Failed, None, Some("Child")),
            "time out" => fired.end(name, TimedOut, None, Some("ChainedInvoke.Timeout")),
            _ => fired.end(name, Stopped, None, Some("Child")),
        }
        Some(deed)
    }

    /// The invocation says that it suspends.
    fn suspend(&mut self) {
        let outstanding = |it: &Restated| match (it.kind, it.status) {
            (Type::Step, status) => status == Pending,
            (Type::Context, _) => false,
            (_, status) => status == Running,
        };
        if !self.expected.operations.iter().any(outstanding) {
            return;
        }
        if let Some(token) = self.token.take() {
            let pending = Ok(InvocationOutput::Pending);
            let status = self.world.service.complete_invocation(&self.arn, &token, pending, None).unwrap();
            assert_eq!(status, self.expected.ended.unwrap_or(ExecutionStatus::Running));
        }
    }

    fn end(&mut self) {
        let Some(token) = self.token.take().filter(|_| self.expected.ended.is_none()) else { return };
        let service = &self.world.service;
        let report = |output| service.complete_invocation(&self.arn, &token, Ok(output), None).unwrap();
        let status = match self.random.below(3) {
            0 => report(InvocationOutput::Succeeded(Some("done".into()))),
            1 => report(InvocationOutput::Failed(ErrorObject::new("E", "no"))),
            _ => {
                service.stop(&self.arn, None).unwrap();
                ExecutionStatus::Stopped
            }
        };
        self.expected.ended = Some(status);
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.token = None;
        self.world.crash();
    }

    pub(super) fn run(mut self) -> Seen {
        for _ in 0..COMMANDS {
            self.seen.commands += 1;
            if self.random.one_in(2) {
                let most = if self.random.one_in(3) { 4000 } else { 900 };
                self.world.clock.0.fetch_add(self.random.below(most) as i64, Ordering::Relaxed);
            }
            match self.random.below(24) {
                0..=14 => {
                    self.invoke();
                    self.checkpoint();
                }
                15..=20 => self.outside(),
                21 => self.suspend(),
                22 if self.crashes < 3 => self.crash(),
                23 if self.random.one_in(4) => self.end(),
                _ => {}
            }
            assert_eq!(self.recorded(), self.expected.operations);
            let status = self.world.service.describe(&self.arn).unwrap().status;
            assert_eq!(status, self.expected.ended.unwrap_or(ExecutionStatus::Running));
        }
        self.note_transitions();
        self.seen
    }

    /// What the log says happened, event by event.
    fn note_transitions(&mut self) {
        let rows = self.world.rows(&self.arn);
        let mut execution = Execution::begin(ExecutionKey(1), &rows[0]).unwrap();
        for row in &rows[1..] {
            let mut event_id = row.first_event;
            for event in &row.events {
                let about = super::super::execution::operation_id(event);
                let stands = |execution: &Execution| match about {
                    Some(id) => execution
                        .operation(id)
                        .map_or(("", "-"), |operation| (operation.operation_type.as_str(), operation.status.as_str())),
                    None => ("EXECUTION", execution.status().as_str()),
                };
                let from = stands(&execution).1.to_owned();
                execution.apply(row.at, event_id, event).unwrap();
                event_id += u64::from(event.in_history());
                let (kind, to) = stands(&execution);
                let happened = match event {
                    Event::Warned { .. } | Event::InvocationCompleted { .. } => continue,
                    Event::StepReady { .. } => "StepReady".to_owned(),
                    Event::StepRetried { .. } => "StepRetried".to_owned(),
                    Event::CallbackTimedOut { error, .. } => {
                        format!("CallbackTimedOut of {}", error.error_type.as_deref().unwrap_or_default())
                    }
                    event => super::super::history::event_type(event).to_owned(),
                };
                *self.seen.transitions.entry((kind.to_owned(), from, happened, to.to_owned())).or_default() += 1;
            }
            execution.close_row(row.at, row.cause, row.journal);
        }
    }
}
