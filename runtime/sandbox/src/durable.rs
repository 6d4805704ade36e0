//! `everstep:workflow/durable`: the guest interface, generated from `wit/everstep.wit`, and its connection to a
//! [`Host`](crate::Host).

use crate::backtrace::without_backtrace;
use crate::guest::{Delivery, GuestState};
use crate::host::{Delivered, Stop, Stream};
use wasmtime::component::{HasData, Linker};

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "workflow",
    imports: { default: trappable },
});

pub use everstep::workflow::durable::{
    CallbackOptions, Completed, ErrorObject, Event, ExecutionInfo, FetchOptions, HttpRequest, HttpResponse,
    InvokeOptions, Jitter, LogLevel, Operation, Outcome, Retry, RetryReason, RetrySchedule, Run, Started, StepOptions,
    StepOutcome, StepSemantics,
};

struct Durable;

impl HasData for Durable {
    type Data<'a> = &'a mut GuestState;
}

pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    everstep::workflow::durable::add_to_linker::<_, Durable>(linker, |state| state)
}

pub(crate) fn stop(stop: Stop) -> wasmtime::Error {
    if matches!(stop, Stop::Suspend) { without_backtrace(stop) } else { wasmtime::Error::new(stop) }
}

impl everstep::workflow::durable::Host for GuestState {
    fn execution(&mut self) -> wasmtime::Result<ExecutionInfo> {
        self.outside("execution")?;
        Ok(self.host.execution())
    }

    fn input(&mut self) -> wasmtime::Result<Option<String>> {
        self.outside("input")?;
        Ok(self.host.input())
    }

    fn begin_step(&mut self, parent: Operation, options: StepOptions) -> wasmtime::Result<Operation> {
        self.outside("begin-step")?;
        self.host.begin_step(parent, options).map_err(stop)
    }

    fn begin_wait(&mut self, parent: Operation, name: Option<String>, seconds: u32) -> wasmtime::Result<Operation> {
        self.outside("begin-wait")?;
        self.host.begin_wait(parent, name, seconds).map_err(stop)
    }

    fn begin_context(
        &mut self,
        parent: Operation,
        name: Option<String>,
        sub_type: String,
    ) -> wasmtime::Result<Operation> {
        self.outside("begin-context")?;
        self.host.begin_context(parent, name, sub_type).map_err(stop)
    }

    fn begin_virtual_context(&mut self, parent: Operation) -> wasmtime::Result<Operation> {
        self.outside("begin-virtual-context")?;
        self.host.begin_virtual_context(parent).map_err(stop)
    }

    fn begin_condition(&mut self, parent: Operation, name: Option<String>) -> wasmtime::Result<Operation> {
        self.outside("begin-condition")?;
        self.host.begin_condition(parent, name).map_err(stop)
    }

    fn begin_callback(&mut self, parent: Operation, options: CallbackOptions) -> wasmtime::Result<Operation> {
        self.outside("begin-callback")?;
        self.host.begin_callback(parent, options).map_err(stop)
    }

    fn begin_invoke(&mut self, parent: Operation, options: InvokeOptions) -> wasmtime::Result<Operation> {
        self.outside("begin-invoke")?;
        self.host.begin_invoke(parent, options).map_err(stop)
    }

    fn begin_fetch(
        &mut self,
        parent: Operation,
        request: HttpRequest,
        options: FetchOptions,
    ) -> wasmtime::Result<Operation> {
        self.outside("begin-fetch")?;
        self.host.begin_fetch(parent, request, options, Delivered::Next).map_err(stop)
    }

    fn response(&mut self, fetch: Operation) -> wasmtime::Result<HttpResponse> {
        self.outside("response")?;
        self.host.response(fetch).map_err(stop)
    }

    fn end_context(
        &mut self,
        context: Operation,
        outcome: Result<Option<String>, ErrorObject>,
    ) -> wasmtime::Result<()> {
        self.outside("end-context")?;
        self.host.end_context(context, outcome).map_err(stop)
    }

    fn cancel(&mut self, operation: Operation) -> wasmtime::Result<()> {
        self.outside("cancel")?;
        self.host.cancel(operation).map_err(stop)
    }

    fn next(&mut self, frame: u32) -> wasmtime::Result<Event> {
        self.outside("next")?;
        self.choose_delivery(Delivery::Sealed)?;
        let event = self.host.next().map_err(stop)?;
        if let Event::Run(run) = &event {
            self.open_body(run.operation, frame)?;
        }
        self.start_stretch();
        Ok(event)
    }

    fn next_unsealed(&mut self) -> wasmtime::Result<Event> {
        self.leave_unsealed_body();
        self.outside("next-unsealed")?;
        self.choose_delivery(Delivery::Unsealed)?;
        let event = self.host.next().map_err(stop)?;
        if let Event::Run(run) = &event {
            self.open_unsealed_body(run.operation);
        }
        self.start_stretch();
        Ok(event)
    }

    fn end(&mut self, operation: Operation, outcome: StepOutcome) -> wasmtime::Result<()> {
        self.check_body(operation)?;
        self.host.end(operation, outcome).map_err(stop)?;
        if !self.close_body()? {
            return Err(stop(Stop::Afresh));
        }
        self.start_stretch();
        Ok(())
    }

    fn operation_id(&mut self, operation: Operation) -> wasmtime::Result<String> {
        self.host.operation_id(operation).map_err(stop)
    }

    fn idempotency_key(&mut self, operation: Operation) -> wasmtime::Result<String> {
        self.host.idempotency_key(operation).map_err(stop)
    }

    fn log(
        &mut self,
        operation: Operation,
        level: LogLevel,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let text = message.len() + fields.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.output.charge_line(text)?;
        let in_body = self.in_body();
        if !in_body {
            self.drain_output()?;
        }
        self.host.log(in_body, operation, level, message, fields);
        self.check_outside()
    }

    fn finish(&mut self, outcome: Result<Option<String>, ErrorObject>) -> wasmtime::Result<()> {
        self.outside("finish")?;
        self.host.finish(outcome).map_err(stop)
    }
}

impl GuestState {
    /// Hands over output written meanwhile, and refuses what a step's body may not do.
    fn outside(&mut self, function: &str) -> wasmtime::Result<()> {
        if let Some(operation) = self.ended_body() {
            return Err(stop(Stop::Refused(format!(
                "`{function}` was called after `end` of operation {operation}: call `next-unsealed` first; the \
                 outcome arrives through it"
            ))));
        }
        if self.in_body() {
            return Err(stop(Stop::Misused(format!(
                "`{function}` was called inside a step's body: durable operations do not nest in steps; \
                 use run_in_child_context to group them"
            ))));
        }
        self.drain_output()
    }

    /// After a call of the host that cannot answer with a stop itself.
    pub(crate) fn check_outside(&mut self) -> wasmtime::Result<()> {
        if self.in_body() { Ok(()) } else { self.host.check().map_err(stop) }
    }

    pub(crate) fn drain_output(&mut self) -> wasmtime::Result<()> {
        while let Some((stream, bytes)) = self.output.take() {
            self.host.output(stream, &bytes).map_err(stop)?;
        }
        Ok(())
    }
}

impl Stream {
    /// `stdout` or `stderr`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}
