//! Where a test's [`Intercept`](super::super::Intercept) takes part.

use super::super::guest_values::error_out;
use super::super::{Intercept, Intercepted, Place};
use super::{Halt, Mode, WorkflowHost};
use everstep_core::protocol::ServiceError;
use everstep_core::store::StoreError;
use everstep_http::{HttpError, Request, Response};
use everstep_sandbox::durable::{Event, RetryReason, StepOutcome};
use everstep_sandbox::{Host, Stop};
use std::sync::Arc;

impl WorkflowHost {
    fn intercept(&self) -> Option<Arc<dyn Intercept>> {
        self.environment.intercept.clone().filter(|_| matches!(self.mode, Mode::Live { .. }))
    }

    fn intercepted(&self, number: u64, attempt: u32) -> Intercepted<'_> {
        let begun = &self.begun[number as usize - 1];
        Intercepted { execution: &self.arn, operation: &begun.id, name: begun.name.as_deref(), attempt }
    }

    /// Opens the body of a step's next attempt, unless a test has its result: then it has ended, and there is no event.
    pub(super) fn open_attempt(&mut self, number: u64, interrupted: bool) -> Result<Option<Event>, Stop> {
        let attempt = self.attempt(number);
        let intercept = self.intercept().filter(|_| !interrupted);
        let Some(stub) = intercept.and_then(|intercept| intercept.body(self.intercepted(number, attempt))) else {
            return Ok(Some(self.open_body(number, interrupted)));
        };
        let mut event = self.open_body(number, false);
        match stub {
            Ok(result) => {
                self.end(number, StepOutcome::Succeed(result))?;
                Ok(None)
            }
            Err(error) => {
                if let Event::Run(run) = &mut event {
                    run.interrupted = true;
                }
                self.stubbed_error = Some(error);
                Ok(Some(event))
            }
        }
    }

    /// The retry strategy was asked about an interruption: what is recorded is the error that stands for the body's.
    pub(super) fn with_stubbed_error(&mut self, outcome: StepOutcome) -> StepOutcome {
        let Some(error) = self.stubbed_error.take() else { return outcome };
        let error = error_out(error);
        match outcome {
            StepOutcome::Fail(_) => StepOutcome::Fail(error),
            StepOutcome::Retry(mut retry) => {
                retry.reason = RetryReason::Error(error);
                StepOutcome::Retry(retry)
            }
            succeeded @ StepOutcome::Succeed(_) => succeeded,
        }
    }

    /// The answer that a test has for a request.
    pub(super) fn stubbed_answer(&self, number: u64, request: &Request) -> Option<Result<Response, HttpError>> {
        self.intercept()?.request(self.intercepted(number, self.attempt(number)), request)
    }

    /// `Err`: a test has the process die here.
    pub(super) fn outlive(&mut self, place: Place, number: u64, attempt: u32) -> Result<(), Stop> {
        let Some(intercept) = self.intercept() else { return Ok(()) };
        if !intercept.dies(place, self.intercepted(number, attempt)) {
            return Ok(());
        }
        let died = StoreError::Unavailable("the process was made to die here".into());
        Err(self.halt(Halt::Service(ServiceError::Store(died))))
    }

    /// Whether a test wants what comes next handed to a fresh instance. Not while something is to be made durable
    /// first: the log is the same with and without.
    pub(super) fn is_spent(&self) -> bool {
        self.handed_over >= self.handed_over_at_most && !self.urgent()
    }

    pub(super) fn go_on_afresh(&mut self) -> Stop {
        // Contexts and cancellations: the fresh instance comes by them again.
        self.batch.clear();
        Stop::Afresh
    }

    /// As [`Intercept::replays_everything`] has it, with so many events handed over before.
    pub(super) fn replay_everything_after(&mut self, handed_over: u64) {
        if self.intercept().is_some_and(|intercept| intercept.replays_everything()) {
            self.handed_over_at_most = handed_over + 1;
        }
    }
}
