//! What it costs that a body leaves no trace: memory put back, and a fresh instance where that is not enough.

use super::{Bench, line, median, timed};
use everstep::worker::{Environment, Verify};
use everstep_core::store::memory::MemoryStore;
use everstep_sandbox::durable::{
    CallbackOptions, Completed, ErrorObject, Event, ExecutionInfo, FetchOptions, HttpRequest, HttpResponse,
    InvokeOptions, LogLevel, Operation, Outcome, Run, StepOptions, StepOutcome,
};
use everstep_sandbox::{CompiledWorkflow, Delivered, Ended, Guest, GuestLimits, Host, Network, Stop, Stream, Woken};
use serde_json::json;
use std::any::Any;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Steps before the clock is started: the first seal of a large memory writes all of it to its file.
const WARM: u64 = 50;
const STEPS: u64 = 500;
const ROUNDS: usize = 9;

impl Bench {
    /// A live step of the sandbox alone, sealed and not, in turns: no log, no commits, four pages written in each body.
    /// The floor is the step that is not sealed.
    pub(super) fn sealing(&self) {
        let workflow = self.sandbox().load(&self.wasm).expect("a workflow");
        for mebibytes in [0_u64, 1, 4, 16, 64] {
            let rounds: Vec<(f64, f64)> = (0..ROUNDS)
                .map(|_| (live_step(&workflow, "sealed", mebibytes), live_step(&workflow, "unsealed", mebibytes)))
                .collect();
            let sealed = median(rounds.iter().map(|round| round.0));
            let unsealed = median(rounds.iter().map(|round| round.1));
            let memory = if mebibytes == 0 { "almost no".to_owned() } else { format!("{mebibytes} MiB of") };
            line(&format!("sealed step in the sandbox, {memory} memory"), sealed, unsealed, "us", false);
        }
    }

    /// A body that leaves a connection open after 100 operations: the run replays them in a fresh instance and goes on
    /// there. Beyond what a body costs that closes the connection; the floor is the target, that of a resume. No disk.
    pub(super) fn disturbed(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(drop));
        let embedded = self.simulated(Arc::new(MemoryStore::new()));
        let allow = Arc::new(vec![address]);
        let environment = Environment {
            verify: Verify::Off,
            network: Network { allow, ..Network::default() },
            ..Environment::default()
        };
        let bodies = [json!({"Leaks": address.to_string()}), json!({"Connects": address.to_string()})];
        let leaked = (0..60).map(|round| {
            let [leaks, closes] = [0, 1].map(|kind: usize| {
                let input = json!({"steps": 100, "waits": 0, "body": bodies[kind]});
                let arn = self.begin(&embedded, &format!("{round}-{kind}"), &input);
                timed(|| super::finish_in(&embedded, &arn, &environment)).as_secs_f64() * 1e6
            });
            leaks - closes
        });
        line("a body that leaks a handle, 100 operations", median(leaked), 1000.0, "us", false);
    }
}

/// Microseconds.
fn live_step(workflow: &CompiledWorkflow, delivery: &str, mebibytes: u64) -> f64 {
    let steps = (WARM + STEPS).to_string();
    let guest = Guest {
        environment: Vec::new(),
        arguments: vec!["bench".into(), delivery.into(), steps, mebibytes.to_string()],
        stdin: Vec::new(),
        limits: GuestLimits::default(),
        network: Network::default(),
        files: None,
        live_output: Arc::new(|_, _| {}),
    };
    let run = guest.run(workflow, Box::new(Bodies::default()));
    assert!(matches!(run.ended, Ended::Returned), "{:?}", run.ended);
    let host: Box<dyn Any> = run.host;
    let host = host.downcast::<Bodies>().expect("the host that was given");
    assert_eq!(host.ended, WARM + STEPS);
    host.taken.as_secs_f64() * 1e6 / STEPS as f64
}

/// Runs every step's body, and has nothing else.
#[derive(Default)]
struct Bodies {
    begun: u64,
    ended: u64,
    warm: Option<Instant>,
    /// By the steps after the first [`WARM`].
    taken: Duration,
}

const ONLY_STEPS: &str = "the guest begins steps, one after the other, and does nothing else";

impl Host for Bodies {
    fn begin_step(&mut self, _: Operation, _: StepOptions) -> Result<Operation, Stop> {
        if self.begun == WARM {
            self.warm = Some(Instant::now());
        }
        self.begun += 1;
        Ok(self.begun)
    }
    fn next(&mut self) -> Result<Event, Stop> {
        let operation = self.begun;
        if self.ended < self.begun {
            return Ok(Event::Run(Run { operation, attempt: 1, interrupted: false, state: None }));
        }
        self.taken = self.warm.map(|warm| warm.elapsed()).unwrap_or_default();
        Ok(Event::Completed(Completed { operation, outcome: Outcome::Succeeded(None) }))
    }
    fn unsealed(&mut self) {}
    fn end(&mut self, _: Operation, _: StepOutcome) -> Result<(), Stop> {
        self.ended += 1;
        Ok(())
    }
    fn clock(&mut self) -> u64 {
        0
    }
    fn time(&self) -> u64 {
        0
    }
    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
    fn body_random(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
    fn hash_seed(&mut self) -> (u64, u64) {
        (1, 2)
    }
    fn output(&mut self, _: Stream, _: &[u8]) -> Result<(), Stop> {
        Ok(())
    }

    fn execution(&mut self) -> ExecutionInfo {
        unreachable!("{ONLY_STEPS}")
    }
    fn input(&mut self) -> Option<String> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_wait(&mut self, _: Operation, _: Option<String>, _: u32) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_context(&mut self, _: Operation, _: Option<String>, _: String) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_virtual_context(&mut self, _: Operation) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_condition(&mut self, _: Operation, _: Option<String>) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_callback(&mut self, _: Operation, _: CallbackOptions) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_invoke(&mut self, _: Operation, _: InvokeOptions) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn begin_fetch(&mut self, _: Operation, _: HttpRequest, _: FetchOptions, _: Delivered) -> Result<Operation, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn response(&mut self, _: Operation) -> Result<HttpResponse, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn end_context(&mut self, _: Operation, _: Result<Option<String>, ErrorObject>) -> Result<(), Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn cancel(&mut self, _: Operation) -> Result<(), Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn operation_id(&mut self, _: Operation) -> Result<String, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn idempotency_key(&mut self, _: Operation) -> Result<String, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn log(&mut self, _: bool, _: Operation, _: LogLevel, _: String, _: Vec<(String, String)>) {
        unreachable!("{ONLY_STEPS}")
    }
    fn finish(&mut self, _: Result<Option<String>, ErrorObject>) -> Result<(), Stop> {
        unreachable!("{ONLY_STEPS}")
    }
    fn block(&mut self, _: Option<u64>, _: &[Operation]) -> Result<Woken, Stop> {
        unreachable!("{ONLY_STEPS}")
    }
}
