//! Operations that something outside completes, callbacks and chained invokes; and what else a workflow can begin
//! beside steps and waits.

use super::super::divergence::Divergence;
use super::super::guest_values::check_plain;
use super::super::journal::Call;
use super::{Begun, WorkflowHost, too_many};
use everstep_core::protocol::{
    self, CallbackDetails, ChainedInvokeDetails, ChainedInvokeOptions, FunctionName, OperationAction, OperationStatus,
    OperationType, limits,
};
use everstep_sandbox::Stop;
use everstep_sandbox::durable::{CallbackOptions, InvokeOptions};

/// Bytes of the inputs of invokes that were not checkpointed yet.
const INPUTS: usize = 64 << 20;

impl WorkflowHost {
    /// A step, whatever its sub-type: it can run unless it has ended or is parked.
    pub(super) fn step(
        &mut self,
        parent: u64,
        name: Option<String>,
        sub_type: &'static str,
        at_most_once: bool,
    ) -> Result<u64, Stop> {
        let (number, status) = self.begin(parent, OperationType::Step, name, sub_type.into(), None)?;
        self.begun[number as usize - 1].at_most_once = at_most_once;
        if matches!(status, None | Some(OperationStatus::Ready | OperationStatus::Started)) {
            self.runnable.insert(number);
        }
        self.check_journal()?;
        Ok(number)
    }

    pub(super) fn virtual_context(&mut self, parent: u64) -> Result<u64, Stop> {
        let most = self.started.config.max_operations;
        if self.virtual_contexts >= most {
            return Err(too_many(most, "virtual contexts"));
        }
        self.calls.call(Call::BeginVirtualContext).word(parent);
        let (recorded_in, id) = self.place(parent)?;
        self.virtual_contexts += 1;
        let stands_in = if parent == 0 { 0 } else { self.slot(parent)?.stands_in.unwrap_or(parent) };
        self.begun.push(Begun { stands_in: Some(stands_in), ..Begun::new(id, recorded_in, OperationType::Context) });
        self.check_journal()?;
        Ok(self.begun.len() as u64)
    }

    pub(super) fn callback(&mut self, parent: u64, options: CallbackOptions) -> Result<u64, Stop> {
        let CallbackOptions { name, timeout_seconds, heartbeat_seconds } = options;
        for (what, seconds) in [("timeout", timeout_seconds), ("heartbeat timeout", heartbeat_seconds)] {
            if seconds > limits::MAX_CALLBACK_SECONDS {
                let most = limits::MAX_CALLBACK_SECONDS;
                let text = format!("{seconds} s is no {what} of a callback: give 1..{most} s, or 0 for none");
                return Err(Stop::Refused(text));
            }
        }
        let entry = self.calls.call(Call::BeginCallback).word(parent).optional(name.as_deref());
        entry.word(u64::from(timeout_seconds)).word(u64::from(heartbeat_seconds));
        let (number, recorded) = self.begin(parent, OperationType::Callback, name, "Callback".into(), None)?;
        if recorded.is_none() {
            let mut start = self.update(number, OperationAction::Start);
            start.callback = Some(protocol::CallbackOptions { timeout_seconds, heartbeat_seconds });
            self.batch.push(start);
        } else {
            let id = self.begun[number as usize - 1].id.clone();
            let before = self.recorded.get(&id).and_then(|operation| operation.callback.as_ref());
            let timeouts = |callback: &CallbackDetails| (callback.timeout_seconds, callback.heartbeat_seconds);
            let before = before.map(|callback| timeouts(callback));
            let now = (timeout_seconds, heartbeat_seconds);
            if before != Some(now) {
                let words = |(timeout, heartbeat): (u32, u32)| {
                    format!("a callback with a timeout of {timeout} s and a heartbeat timeout of {heartbeat} s")
                };
                let recorded = before.map_or_else(|| "no callback".to_owned(), words);
                return Err(self.diverged(Divergence::Request { id, recorded, requested: words(now) }));
            }
        }
        self.check_journal()?;
        Ok(number)
    }

    pub(super) fn invoke(&mut self, parent: u64, options: InvokeOptions) -> Result<u64, Stop> {
        let InvokeOptions { name, function, payload, tenant_id } = options;
        if let Err(invalid) = FunctionName::try_from(function.as_str()) {
            return Err(Stop::Refused(invalid.to_string()));
        }
        if let Some(tenant) = &tenant_id {
            check_plain("tenant id", tenant, limits::FUNCTION_NAME, "._:/=+-@ ")?;
        }
        let size = payload.as_ref().map_or(0, String::len);
        if size > limits::OPERATION_PAYLOAD_BYTES {
            return Err(Stop::Refused(format!(
                "the input for function {function:?} has {size} bytes and may have {}: pass a reference to the data",
                limits::OPERATION_PAYLOAD_BYTES
            )));
        }
        self.unsent_inputs += size;
        if self.unsent_inputs > INPUTS {
            return Err(Stop::Refused(format!(
                "the inputs of invokes that are not under way yet take {} bytes; at most {INPUTS} are allowed: await \
                 some of them first",
                self.unsent_inputs
            )));
        }
        self.invokes = true;
        let entry = self.calls.call(Call::BeginInvoke).word(parent).optional(name.as_deref()).text(&function);
        entry.optional(tenant_id.as_deref()).optional(payload.as_deref());
        let (number, recorded) =
            self.begin(parent, OperationType::ChainedInvoke, name, "ChainedInvoke".into(), None)?;
        if recorded.is_none() {
            let mut start = self.update(number, OperationAction::Start);
            start.payload = payload;
            start.chained_invoke = Some(Box::new(ChainedInvokeOptions { function_name: function, tenant_id }));
            self.batch.push(start);
        } else {
            let id = self.begun[number as usize - 1].id.clone();
            let before = self.recorded.get(&id).and_then(|operation| operation.chained_invoke.as_deref());
            let same = |before: &ChainedInvokeDetails| {
                // A plain function's missing input is recorded as an empty object.
                let same_input =
                    before.input == payload || (payload.is_none() && before.input.as_deref() == Some("{}"));
                before.function == function && before.tenant_id == tenant_id && same_input
            };
            if !before.is_some_and(same) {
                let words = |function: &str, tenant: Option<&str>, input: Option<&str>| {
                    let tenant = tenant.map(|tenant| format!(" for tenant {tenant:?}")).unwrap_or_default();
                    format!("function {function:?}{tenant} with {}", input.unwrap_or("no input"))
                };
                let recorded = before.map_or_else(
                    || "no invoke".to_owned(),
                    |before| words(&before.function, before.tenant_id.as_deref(), before.input.as_deref()),
                );
                let requested = words(&function, tenant_id.as_deref(), payload.as_deref());
                return Err(self.diverged(Divergence::Request { id, recorded, requested }));
            }
        }
        self.check_journal()?;
        Ok(number)
    }
}
