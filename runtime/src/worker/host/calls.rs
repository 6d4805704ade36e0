//! What each of the guest's calls does: `everstep:workflow/durable`, and the parts of WASI that depend on the log.

use super::super::Place;
use super::super::divergence::Divergence;
use super::super::guest_values::{check_seconds, check_sub_type, error_in, quoted};
use super::super::journal::Call;
use super::super::random::{hash_seed, idempotency_key};
use super::{Halt, Mode, STDERR_TAIL, WorkflowHost};
use crate::failpoint::{Failpoint, hit};
use everstep_core::protocol::{ErrorObject, OperationAction, OperationStatus, OperationType, OperationUpdate, limits};
use everstep_sandbox::durable::{
    self, CallbackOptions, Event, ExecutionInfo, FetchOptions, HttpRequest, HttpResponse, InvokeOptions, LogLevel,
    RetryReason, StepOptions, StepOutcome, StepSemantics,
};
use everstep_sandbox::{Delivered, Host, Stop, Stream, Woken};

impl Host for WorkflowHost {
    fn execution(&mut self) -> ExecutionInfo {
        ExecutionInfo {
            arn: self.started.arn.clone(),
            name: self.started.name.clone(),
            function_name: self.started.function.clone(),
            function_version: self.started.version.clone(),
        }
    }

    fn input(&mut self) -> Option<String> {
        self.started.input.clone()
    }

    fn begin_step(&mut self, parent: u64, options: StepOptions) -> Result<u64, Stop> {
        let at_most_once = options.semantics == StepSemantics::AtMostOncePerRetry;
        self.calls.call(Call::BeginStep).word(parent).optional(options.name.as_deref()).word(u64::from(at_most_once));
        self.step(parent, options.name, "Step", at_most_once)
    }

    fn begin_wait(&mut self, parent: u64, name: Option<String>, seconds: u32) -> Result<u64, Stop> {
        check_seconds(seconds)?;
        self.calls.call(Call::BeginWait).word(parent).optional(name.as_deref()).word(u64::from(seconds));
        let (number, recorded) = self.begin(parent, OperationType::Wait, name, "Wait".into(), Some(seconds))?;
        if recorded.is_none() {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        self.check_journal()?;
        Ok(number)
    }

    fn begin_context(&mut self, parent: u64, name: Option<String>, sub_type: String) -> Result<u64, Stop> {
        check_sub_type(&sub_type)?;
        self.calls.call(Call::BeginContext).word(parent).optional(name.as_deref()).text(&sub_type);
        let (number, recorded) = self.begin(parent, OperationType::Context, name, sub_type.into(), None)?;
        if recorded.is_none() {
            let start = self.update(number, OperationAction::Start);
            self.batch.push(start);
        }
        self.check_journal()?;
        Ok(number)
    }

    fn begin_virtual_context(&mut self, parent: u64) -> Result<u64, Stop> {
        self.virtual_context(parent)
    }

    fn begin_condition(&mut self, parent: u64, name: Option<String>) -> Result<u64, Stop> {
        self.calls.call(Call::BeginCondition).word(parent).optional(name.as_deref());
        self.step(parent, name, "WaitForCondition", false)
    }

    fn begin_callback(&mut self, parent: u64, options: CallbackOptions) -> Result<u64, Stop> {
        self.callback(parent, options)
    }

    fn begin_invoke(&mut self, parent: u64, options: InvokeOptions) -> Result<u64, Stop> {
        self.invoke(parent, options)
    }

    fn begin_fetch(
        &mut self,
        parent: u64,
        request: HttpRequest,
        options: FetchOptions,
        delivered: Delivered,
    ) -> Result<u64, Stop> {
        self.fetch(parent, request, options, delivered)
    }

    fn response(&mut self, operation: u64) -> Result<HttpResponse, Stop> {
        self.take_response(operation)
    }

    fn end_context(&mut self, context: u64, outcome: Result<Option<String>, durable::ErrorObject>) -> Result<(), Stop> {
        let outcome = outcome.map_err(|error| error_in(error, self.started.config.error_bytes));
        let entry = self.calls.call(Call::EndContext).word(context);
        match &outcome {
            Ok(result) => entry.word(1).optional(result.as_deref()),
            Err(error) => entry.word(0).optional(error.message.as_deref()),
        };
        let slot = self.slot(context)?;
        if slot.kind != OperationType::Context || slot.stands_in.is_some() {
            let text = format!("operation {context} is no context that is recorded: it cannot be ended as one");
            return Err(Stop::Refused(text));
        }
        slot.ended = true;
        let id = slot.id.clone();
        let recorded = self.recorded.get(&id).filter(|operation| operation.status.is_terminal());
        let omitted = matches!(&outcome, Ok(Some(result)) if result.len() > limits::CONTEXT_RESULT_BYTES);
        match recorded {
            // What it was, the journal's digest tells.
            Some(operation) if operation.result_omitted && omitted => {}
            Some(operation) => {
                let before = match operation.status {
                    OperationStatus::Succeeded => Ok(operation.result.clone()),
                    _ => Err(operation.error.clone().unwrap_or_default()),
                };
                if before != outcome {
                    let (recorded, requested) = (quoted(&before), quoted(&outcome));
                    return Err(self.diverged(Divergence::Outcome { id, recorded, requested }));
                }
            }
            None => {
                let action = if outcome.is_ok() { OperationAction::Succeed } else { OperationAction::Fail };
                let mut update = self.update(context, action);
                update.replay_children = true;
                update.result_omitted = omitted;
                match outcome {
                    Ok(result) => update.payload = result.filter(|_| !omitted),
                    Err(error) => update.error = Some(error),
                }
                self.batch.push(update);
            }
        }
        self.check_journal()
    }

    fn cancel(&mut self, operation: u64) -> Result<(), Stop> {
        self.calls.call(Call::Cancel).word(operation);
        self.cancel_operation(operation)?;
        self.check_journal()
    }

    fn next(&mut self) -> Result<Event, Stop> {
        loop {
            if let Some(event) = self.deliver()? {
                return Ok(event);
            }
            self.check_claims()?;
            if matches!(self.mode, Mode::Shadow) {
                return Err(self.suspended());
            }
            self.send_fetches()?;
            self.collect_fetches();
            if self.urgent() && self.flush()? {
                continue;
            }
            let Some(number) = self.runnable.first().copied() else {
                if self.flush()? || (self.fetches.any_under_way() && self.await_fetches(None)?) {
                    continue;
                }
                return Err(self.suspended());
            };
            let interrupted = self.interrupted(number);
            let begun = &self.begun[number as usize - 1];
            if begun.at_most_once && !interrupted && !begun.start_sent {
                let start = self.update(number, OperationAction::Start);
                self.batch.push(start);
                self.begun[number as usize - 1].start_sent = true;
                self.flush()?;
            }
            self.runnable.remove(&number);
            if let Some(event) = self.open_attempt(number, interrupted)? {
                return Ok(event);
            }
        }
    }

    fn unsealed(&mut self) {
        self.unsealed = true;
    }

    fn end(&mut self, operation: u64, outcome: StepOutcome) -> Result<(), Stop> {
        hit(Failpoint::InBody);
        if self.halt.is_some() {
            return Err(Stop::Host);
        }
        if let Some((_, attempt)) = self.body.take() {
            self.outlive(Place::Body, operation, attempt)?;
        }
        self.start_attempt(operation);
        let update = match self.with_stubbed_error(outcome) {
            StepOutcome::Succeed(Some(result)) if result.len() as u64 > self.started.config.payload_bytes => {
                // The attempt happened: better a recorded failure than a refused checkpoint that loses it.
                let message = format!(
                    "the step's result has {} bytes; at most {} are allowed: store it in the step and return a reference",
                    result.len(),
                    self.started.config.payload_bytes
                );
                let error = ErrorObject::new("StepResultTooLarge", message);
                OperationUpdate { error: Some(error), ..self.update(operation, OperationAction::Fail) }
            }
            StepOutcome::Succeed(result) => {
                OperationUpdate { payload: result, ..self.update(operation, OperationAction::Succeed) }
            }
            StepOutcome::Fail(error) => OperationUpdate {
                error: Some(error_in(error, self.started.config.error_bytes)),
                ..self.update(operation, OperationAction::Fail)
            },
            StepOutcome::Retry(retry) => {
                check_seconds(retry.delay_seconds)?;
                let mut update = self.update(operation, OperationAction::Retry);
                update.seconds = Some(retry.delay_seconds);
                match retry.reason {
                    RetryReason::Error(error) => update.error = Some(error_in(error, self.started.config.error_bytes)),
                    RetryReason::State(state) => update.payload = state,
                }
                update
            }
        };
        self.batch.push(update);
        Ok(())
    }

    fn operation_id(&mut self, operation: u64) -> Result<String, Stop> {
        if operation == 0 {
            return Ok(self.arn.id().to_owned());
        }
        Ok(self.slot(operation)?.id.as_str().to_owned())
    }

    fn idempotency_key(&mut self, operation: u64) -> Result<String, Stop> {
        let id = self.operation_id(operation)?;
        Ok(idempotency_key(&self.started.arn, &id))
    }

    fn log(&mut self, in_body: bool, operation: u64, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        if in_body {
            hit(Failpoint::InBody);
        } else {
            let repeats = self.repeats();
            self.calls.call(Call::Log).word(operation).text(&message);
            if repeats {
                return;
            }
        }
        let name = self.operation(operation).map(|(id, name)| name.unwrap_or(id.as_str()).to_owned());
        self.observer.log(name.as_deref(), level, &message, &fields);
    }

    fn finish(&mut self, outcome: Result<Option<String>, durable::ErrorObject>) -> Result<(), Stop> {
        let outcome = outcome.map_err(|error| error_in(error, self.started.config.error_bytes));
        // What came before; how it ends is compared in full when it has ended.
        self.check_journal()?;
        let entry = self.calls.call(Call::Finish);
        match &outcome {
            Ok(result) => entry.word(1).optional(result.as_deref()),
            Err(error) => entry.word(0).optional(error.message.as_deref()),
        };
        self.outcome = Some(outcome);
        Ok(())
    }

    fn time(&self) -> u64 {
        self.clock.nanos()
    }

    fn clock(&mut self) -> u64 {
        if self.unsealed {
            return self.clock.look();
        }
        let now = self.clock.read();
        self.calls.call(Call::Clock).word(now);
        now
    }

    fn block(&mut self, deadline: Option<u64>, fetches: &[u64]) -> Result<Woken, Stop> {
        self.blocked(deadline, fetches)
    }

    fn random(&mut self, bytes: &mut [u8]) {
        self.random.fill(bytes);
        self.calls.call(Call::Random).bytes(bytes);
    }

    fn body_random(&mut self, bytes: &mut [u8]) {
        if let Err(error) = self.body_random.fill(bytes) {
            // The guest cannot be told; the run ends at its next call.
            self.halt = Some(Halt::Machine(format!("the machine gives no random bytes: {error}")));
        }
    }

    fn check(&mut self) -> Result<(), Stop> {
        self.check_journal()
    }

    fn hash_seed(&mut self) -> (u64, u64) {
        hash_seed(&self.started.seed)
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Stop> {
        let repeats = self.repeats();
        self.calls.call(Call::Output).word(stream as u64).bytes(bytes);
        match stream {
            Stream::Stdout => self.stdout.extend_from_slice(bytes),
            Stream::Stderr => {
                self.stderr_tail.extend_from_slice(bytes);
                let excess = self.stderr_tail.len().saturating_sub(STDERR_TAIL);
                self.stderr_tail.drain(..excess);
            }
        }
        let is_result = self.stdout_is_result && stream == Stream::Stdout;
        if !repeats && !is_result {
            self.observer.output(stream, bytes);
        }
        self.check_journal()
    }
}
