//! HTTP requests outside step bodies: the host performs them, many at once, while the guest goes on or waits.
//!
//! A request is a STEP. It goes out when the guest is quiescent and nothing recorded is left to hand over, so that no
//! replay sends it again; how it ended is checkpointed before the guest is told.

use super::super::divergence::Divergence;
use super::super::fetch::{self, Requested};
use super::super::journal::Call;
use super::{Mode, WorkflowHost};
use everstep_core::protocol::{
    ErrorObject, Operation, OperationAction, OperationStatus, OperationType, OperationUpdate, Timestamp, limits,
};
use everstep_http::{HttpError, InFlight, Request, Response};
use everstep_sandbox::durable::{FetchOptions, HttpRequest, HttpResponse, Jitter, RetrySchedule, StepSemantics};
use everstep_sandbox::{Delivered, Stop};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Requests of one execution that are under way at the same time; more wait their turn.
const AT_ONCE: usize = 128;
/// Bytes of the bodies of all requests that are not over.
const BODIES: usize = 64 << 20;
/// Bytes of the body of one answer, since many are in memory at a time.
const ANSWER: usize = 8 << 20;
/// Of one attempt, unless the workflow says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that a workflow may ask for, as long as a Lambda invocation.
const MAX_TIMEOUT_MILLISECONDS: u32 = 900_000;
const MAX_REDIRECTS: u32 = 20;
/// Answers that say: try again.
const RETRIED: [u16; 6] = [408, 429, 500, 502, 503, 504];
/// How long a timer that is due may take to be recorded before the service is asked again.
const OVERDUE: Duration = Duration::from_millis(20);

/// A request that the guest began in this run.
pub(super) struct Fetch {
    request: Result<Request, HttpError>,
    requested: Requested,
    retry: Option<RetrySchedule>,
    pub(super) delivered: Delivered,
}

/// The requests of one run that are not over.
#[derive(Default)]
pub(super) struct Fetches {
    /// To be sent once nothing recorded is left to hand over; by number.
    waiting: BTreeSet<u64>,
    in_flight: BTreeMap<u64, InFlight>,
    arrivals: Option<(Sender<Arrival>, Receiver<Arrival>)>,
    /// Arrived, but another one's turn.
    early: BTreeMap<u64, Result<Response, HttpError>>,
    /// Bytes of the bodies of requests that are not over, by number.
    bodies: HashMap<u64, usize>,
    /// Handed over, but not taken.
    responses: HashMap<u64, HttpResponse>,
}

type Arrival = (u64, Result<Response, HttpError>);

impl Fetches {
    /// To be performed, again if need be.
    pub(super) fn wait(&mut self, number: u64) {
        if !self.in_flight.contains_key(&number) && !self.early.contains_key(&number) {
            self.waiting.insert(number);
        }
    }

    /// For a run that begins the same requests again under the same numbers.
    pub(super) fn carried_over(self) -> Self {
        Self { waiting: BTreeSet::new(), responses: HashMap::new(), ..self }
    }

    /// Nobody wants it any more: it is aborted wherever it is.
    pub(super) fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
        self.in_flight.remove(&number);
        self.early.remove(&number);
        self.bodies.remove(&number);
    }

    pub(super) fn any_under_way(&self) -> bool {
        !self.in_flight.is_empty() || !self.early.is_empty()
    }

    fn sender(&mut self) -> Sender<Arrival> {
        self.arrivals.get_or_insert_with(channel).0.clone()
    }

    fn arrived(&mut self, (number, result): Arrival) {
        // What was dropped meanwhile is no longer in flight.
        if self.in_flight.remove(&number).is_some() {
            self.early.insert(number, result);
        }
    }

    /// What has arrived, all of it, oldest operation first. Waits until `deadline` for the first (none: as long as it
    /// takes). With `in_order` one at a time, and none overtakes one that was begun earlier.
    fn take(&mut self, deadline: Option<Instant>, in_order: bool) -> Vec<Arrival> {
        loop {
            while let Some(arrival) = self.arrivals.as_ref().and_then(|(_, arrivals)| arrivals.try_recv().ok()) {
                self.arrived(arrival);
            }
            let taken = if in_order {
                let first_awaited = self.in_flight.keys().next().copied().unwrap_or(u64::MAX);
                let its_turn = self.early.first_entry().filter(|early| *early.key() < first_awaited);
                its_turn.map(|early| early.remove_entry()).into_iter().collect()
            } else {
                std::mem::take(&mut self.early)
            };
            if !taken.is_empty() || self.in_flight.is_empty() {
                return taken.into_iter().collect();
            }
            let Some((_, arrivals)) = &self.arrivals else { return Vec::new() };
            let arrival = match deadline {
                None => arrivals.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => arrivals.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            match arrival {
                Ok(arrival) => self.arrived(arrival),
                Err(_) => return Vec::new(),
            }
        }
    }
}

impl WorkflowHost {
    pub(super) fn fetch(
        &mut self,
        parent: u64,
        request: HttpRequest,
        options: FetchOptions,
        delivered: Delivered,
    ) -> Result<u64, Stop> {
        check_options(&options)?;
        let requested = Requested::of(&request);
        let at_most_once = match options.semantics {
            Some(semantics) => semantics == StepSemantics::AtMostOncePerRetry,
            None => !fetch::is_idempotent(&request),
        };
        let name = options.name.clone().unwrap_or_else(|| requested.name());
        let call = self.calls.call(Call::BeginFetch).word(parent).text(&name).word(u64::from(at_most_once));
        call.text(&requested.digest);
        let (number, status) = self.begin(parent, OperationType::Step, Some(name), "Fetch".into(), None)?;
        let begun = &mut self.begun[number as usize - 1];
        begun.at_most_once = at_most_once;
        if let Some(recorded) = self.recorded.get(&begun.id).and_then(Requested::recorded)
            && recorded != requested
        {
            let divergence = Divergence::Request {
                id: begun.id.clone(),
                recorded: recorded.to_string(),
                requested: requested.to_string(),
            };
            return Err(self.diverged(divergence));
        }
        if !status.is_some_and(OperationStatus::is_terminal) && status != Some(OperationStatus::Pending) {
            self.fetches.wait(number);
            self.fetches.bodies.insert(number, request.body.len());
            let bytes: usize = self.fetches.bodies.values().sum();
            if bytes > BODIES {
                return Err(Stop::Refused(format!(
                    "the bodies of HTTP requests that are not over take {bytes} bytes; at most {BODIES} are allowed: \
                     await some of them first"
                )));
            }
        }
        let timeout = options
            .timeout_milliseconds
            .map_or(DEFAULT_TIMEOUT, |milliseconds| Duration::from_millis(u64::from(milliseconds)));
        let request = fetch::prepared(request).map(|request| Request {
            timeout,
            redirects: options.redirects,
            max_response_bytes: ANSWER.min(usize::try_from(self.started.config.payload_bytes).unwrap_or(ANSWER)),
            ..request
        });
        self.begun[number as usize - 1].fetch =
            Some(Box::new(Fetch { request, requested, retry: options.retry, delivered }));
        self.check_journal()?;
        Ok(number)
    }

    /// Keeps the answer for the guest to take. `Err`: what is recorded is no answer.
    pub(super) fn keep_response(&mut self, number: u64, recorded: Option<&str>) -> Result<(), Stop> {
        let response = recorded.and_then(fetch::decode).ok_or_else(|| self.damaged(number))?;
        self.fetches.responses.insert(number, response);
        Ok(())
    }

    pub(super) fn damaged(&mut self, number: u64) -> Stop {
        let id = self.operation(number).map_or_else(String::new, |(id, _)| id.to_string());
        self.halt(super::Halt::Machine(format!(
            "what is recorded of operation {id} cannot be read; restore the database from a copy"
        )))
    }

    pub(super) fn take_response(&mut self, number: u64) -> Result<HttpResponse, Stop> {
        self.fetches.responses.remove(&number).ok_or_else(|| {
            Stop::Refused(format!(
                "operation {number} has no response to take: `response` can be called once for a begin-fetch that \
                 completed with `succeeded`"
            ))
        })
    }

    /// Sends what waits to be sent. Everything recorded has been handed over.
    pub(super) fn send_fetches(&mut self) -> Result<(), Stop> {
        if self.fetches.waiting.is_empty() || matches!(self.mode, Mode::Shadow) {
            return Ok(());
        }
        let room = AT_ONCE.saturating_sub(self.fetches.in_flight.len());
        let numbers: Vec<u64> = self.fetches.waiting.iter().take(room).copied().collect();
        let mut first = false;
        for number in &numbers {
            let interrupted = self.interrupted(*number);
            let begun = &mut self.begun[*number as usize - 1];
            if begun.at_most_once && !begun.start_sent && !interrupted {
                begun.start_sent = true;
                let start = self.update(*number, OperationAction::Start);
                self.batch.push(start);
                first = true;
            }
        }
        if first {
            self.flush()?;
        }
        for number in numbers {
            self.fetches.waiting.remove(&number);
            if self.interrupted(number) {
                let error = self.failure(number, "connection-terminated", INTERRUPTED.to_owned());
                self.attempt_failed(number, error, true);
                continue;
            }
            let begun = &self.begun[number as usize - 1];
            self.observer.step_running(&begun.id, begun.name.as_deref(), self.attempt(number));
            let request = begun.fetch.as_ref().map(|fetch| fetch.request.clone());
            match request {
                Some(Ok(request)) => {
                    if let Some(answer) = self.stubbed_answer(number, &request) {
                        self.fetch_ended(number, answer);
                        continue;
                    }
                    let arrivals = self.fetches.sender();
                    // If nobody listens any more, the run is over.
                    let done = move |result| drop(arrivals.send((number, result)));
                    let in_flight = self.environment.network.http.start(request, done);
                    self.fetches.in_flight.insert(number, in_flight);
                }
                Some(Err(error)) => self.fetch_ended(number, Err(error)),
                None => {}
            }
        }
        Ok(())
    }

    /// Puts into the batch what has arrived. Waits for something to arrive, or for a timer of the execution to be due,
    /// but no longer than `patience`. `false`: neither.
    pub(super) fn await_fetches(&mut self, patience: Option<Instant>) -> Result<bool, Stop> {
        let simulated = self.environment.simulated;
        // Simulated waits take no time, but only once nothing else is under way.
        let due = if simulated { None } else { self.next_due() };
        let deadline = [due, patience].into_iter().flatten().min();
        let arrivals = self.fetches.take(deadline, simulated);
        if arrivals.is_empty() {
            if due.is_some_and(|due| due <= Instant::now()) {
                // The service records what is due whenever it is spoken to.
                self.checkpoint()?;
                return Ok(true);
            }
            return Ok(false);
        }
        for (number, result) in arrivals {
            self.fetch_ended(number, result);
        }
        Ok(true)
    }

    /// Puts into the batch what has arrived by now. In a simulation nothing has: how fast a server is must not show.
    pub(super) fn collect_fetches(&mut self) {
        if self.environment.simulated || !self.fetches.any_under_way() {
            return;
        }
        for (number, result) in self.fetches.take(Some(Instant::now()), false) {
            self.fetch_ended(number, result);
        }
    }

    /// When the next timer of the execution is due.
    fn next_due(&self) -> Option<Instant> {
        let open = |status: OperationStatus| matches!(status, OperationStatus::Started | OperationStatus::Pending);
        let due = |operation: &Operation| match &operation.callback {
            // A heartbeat moves this timer, and nobody tells the worker.
            Some(callback) if callback.heartbeat_seconds > 0 => {
                let timeout = Some(callback.timeout_seconds).filter(|seconds| *seconds > 0);
                timeout.map(|seconds| operation.started_at.plus_seconds(seconds))
            }
            _ => operation.due_at,
        };
        let operations = self.recorded.operations().iter();
        let due = operations.filter(|operation| open(operation.status)).filter_map(|operation| due(operation)).min()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        Some(Instant::now() + Duration::from_millis(now.millis_until(due)).max(OVERDUE))
    }

    fn fetch_ended(&mut self, number: u64, result: Result<Response, HttpError>) {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let again = error.is_transient();
                let error = self.failure(number, error.code(), error.to_string());
                return self.attempt_failed(number, error, again);
            }
        };
        if RETRIED.contains(&response.status)
            && let Some(delay) = self.retry_delay(number, retry_after(&response))
        {
            let message = format!("the server answered with status {}", response.status);
            let error = self.failure(number, "internal-error", message);
            return self.retry(number, delay, error);
        }
        let Some(fetch) = &self.begun[number as usize - 1].fetch else { return };
        let most = self.started.config.payload_bytes;
        match fetch::encode(&fetch.requested, &response, most) {
            Ok(result) => {
                self.fetches.forget(number);
                self.start_attempt(number);
                let done = self.update(number, OperationAction::Succeed);
                self.batch.push(OperationUpdate { payload: Some(result), ..done });
            }
            Err(bytes) => {
                let message = format!(
                    "the answer takes {bytes} bytes in the log; at most {most} are allowed: make the request inside a \
                     step, store the answer there and return a reference"
                );
                let error = self.failure(number, "HTTP-response-body-size", message);
                self.attempt_failed(number, error, false);
            }
        }
    }

    fn failure(&self, number: u64, code: &str, message: String) -> ErrorObject {
        match &self.begun[number as usize - 1].fetch {
            Some(fetch) => fetch::error(&fetch.requested, code, message),
            None => ErrorObject::new(fetch::HTTP_ERROR, message),
        }
    }

    fn attempt_failed(&mut self, number: u64, error: ErrorObject, again: bool) {
        if let Some(delay) = again.then(|| self.retry_delay(number, None)).flatten() {
            return self.retry(number, delay, error);
        }
        self.fetches.forget(number);
        self.start_attempt(number);
        let failed = self.update(number, OperationAction::Fail);
        self.batch.push(OperationUpdate { error: Some(error), ..failed });
    }

    fn retry(&mut self, number: u64, delay: u32, error: ErrorObject) {
        self.start_attempt(number);
        let retry = self.update(number, OperationAction::Retry);
        self.batch.push(OperationUpdate { seconds: Some(delay), error: Some(error), ..retry });
    }

    /// Seconds until the next attempt, if there is to be one.
    fn retry_delay(&self, number: u64, asked: Option<u32>) -> Option<u32> {
        let attempt = self.attempt(number);
        let retry = self.begun[number as usize - 1].fetch.as_ref()?.retry?;
        if attempt >= retry.max_attempts {
            return None;
        }
        let mut chance = [0; 4];
        let mut random = self.attempt_random(number, attempt);
        random.fill(&mut chance).ok()?;
        let chance = f64::from(u32::from_le_bytes(chance)) / f64::from(u32::MAX);
        Some(delay(&retry, attempt, chance).max(asked.unwrap_or(0)).min(limits::MAX_SECONDS))
    }
}

const INTERRUPTED: &str = "the process died before the answer to this request was recorded; it may have arrived, and is \
                           not sent again: give it an `idempotency-key` header if that is safe";

/// AWS's exponential backoff with jitter, in seconds, as the SDK has it for steps; `chance` is 0 to 1.
fn delay(retry: &RetrySchedule, attempt: u32, chance: f64) -> u32 {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let base = retry.initial_delay_milliseconds as f64 * retry.backoff_rate.powi(exponent);
    let base = base.min(retry.max_delay_milliseconds as f64) / 1_000.0;
    let seconds = match retry.jitter {
        Jitter::None => base.ceil(),
        Jitter::Half => (base / 2.0 + base / 2.0 * chance).ceil(),
        Jitter::Full => (base * chance).round(),
    };
    // The cast saturates, and makes 0 of what is no number.
    (seconds as u32).clamp(1, limits::MAX_SECONDS)
}

/// The `retry-after` header, if it is a number of seconds.
fn retry_after(response: &Response) -> Option<u32> {
    let (_, value) = response.headers.iter().find(|(name, _)| name == "retry-after")?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn check_options(options: &FetchOptions) -> Result<(), Stop> {
    if let Some(milliseconds) = options.timeout_milliseconds.filter(|ms| !(1..=MAX_TIMEOUT_MILLISECONDS).contains(ms)) {
        return Err(Stop::Refused(format!(
            "{milliseconds} ms is no timeout of a request: give 1..{MAX_TIMEOUT_MILLISECONDS} ms"
        )));
    }
    if options.redirects > MAX_REDIRECTS {
        return Err(Stop::Refused(format!(
            "{} redirects are more than a request may follow: give 0..{MAX_REDIRECTS}",
            options.redirects
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(jitter: Jitter) -> RetrySchedule {
        RetrySchedule {
            max_attempts: 9,
            initial_delay_milliseconds: 4_500,
            max_delay_milliseconds: 60_000,
            backoff_rate: 2.0,
            jitter,
        }
    }

    #[test]
    fn delays_grow_up_to_the_longest_and_are_whole_seconds() {
        let delays: Vec<u32> = (1..=6).map(|attempt| delay(&schedule(Jitter::None), attempt, 0.5)).collect();
        assert_eq!(delays, [5, 9, 18, 36, 60, 60]);
        assert_eq!(delay(&schedule(Jitter::Full), 3, 0.0), 1);
        assert_eq!(delay(&schedule(Jitter::Full), 3, 1.0), 18);
        assert_eq!(delay(&schedule(Jitter::Half), 3, 0.0), 9);
        for backoff_rate in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            let odd = RetrySchedule { backoff_rate, max_delay_milliseconds: u64::MAX, ..schedule(Jitter::None) };
            let seconds = delay(&odd, 3, 0.5);
            assert!((1..=limits::MAX_SECONDS).contains(&seconds), "{backoff_rate}: {seconds}");
        }
    }
}
