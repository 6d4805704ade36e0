//! The state machines and the timers, restated.

use super::*;

/// Statuses in which an operation of this type can be.
pub(super) fn statuses(kind: Type) -> &'static [OperationStatus] {
    match kind {
        Type::Step => &[Running, Pending, Ready, Succeeded, Failed],
        Type::Wait => &[Running, Succeeded, Cancelled],
        Type::Callback => &[Running, Succeeded, Failed, TimedOut],
        Type::ChainedInvoke => &[Running, Succeeded, Failed, TimedOut, Stopped],
        Type::Context => &[Running, Succeeded, Failed],
        Type::Execution => &[],
    }
}

/// Whether a worker may do this to an operation in this status (none: it does not exist), and if not, what it is told.
pub(super) fn allowed(
    kind: Type,
    status: Option<OperationStatus>,
    action: OperationAction,
) -> Result<(), &'static str> {
    use OperationAction::{Cancel, Fail, Retry, Start, Succeed};
    let (may, else_said) = match (kind, action) {
        (Type::Step, Start) => (matches!(status, None | Some(Ready)), "Invalid current STEP state to start."),
        (Type::Step, Succeed | Fail) => {
            (matches!(status, None | Some(Running | Ready)), "Invalid current STEP state to close.")
        }
        (Type::Step, Retry) => {
            (matches!(status, None | Some(Running | Ready)), "Invalid current STEP state to re-attempt.")
        }
        (Type::Wait, Start) => (status.is_none(), "Cannot start a WAIT that already exist."),
        (Type::Wait, Cancel) => {
            (status == Some(Running), "Cannot cancel a WAIT that does not exist or has already completed.")
        }
        (Type::Callback, Start) => (status.is_none(), "Cannot start a CALLBACK that already exist."),
        (Type::ChainedInvoke, Start) => {
            (status.is_none(), "Cannot start a CHAINED_INVOKE operation that already exists.")
        }
        (Type::Context, Start) => (status.is_none(), "Cannot start a CONTEXT that already exist."),
        (Type::Context, Succeed | Fail) => {
            (matches!(status, None | Some(Running)), "Invalid current CONTEXT state to close.")
        }
        _ => (false, "Invalid action for the given operation type."),
    };
    if may { Ok(()) } else { Err(else_said) }
}

/// An operation as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Restated {
    pub(super) id: String,
    pub(super) kind: Type,
    pub(super) status: OperationStatus,
    pub(super) attempt: u32,
    pub(super) result: Option<String>,
    pub(super) error_type: Option<String>,
    /// When its timer fires, if one runs.
    pub(super) due: Option<i64>,
}

/// What the timers of a callback need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeouts {
    pub(super) started: i64,
    pub(super) timeout: i64,
    pub(super) heartbeat: i64,
    pub(super) beat: i64,
}

impl Timeouts {
    pub(super) fn due(self) -> Option<(i64, &'static str)> {
        let timeout = (self.timeout > 0).then_some((self.started + self.timeout, "Callback.Timeout"));
        let beat = (self.heartbeat > 0).then_some((self.beat + self.heartbeat, "Callback.Heartbeat"));
        // Of two that are due at once it is the whole time that is over.
        timeout.into_iter().chain(beat).min_by_key(|(due, _)| *due)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) operations: Vec<Restated>,
    pub(super) timeouts: BTreeMap<String, Timeouts>,
    /// Where invoked functions run: the child's ARN, if it is an execution, and when that times out, if soon.
    pub(super) children: BTreeMap<String, (Option<ExecutionArn>, Option<i64>)>,
    pub(super) ended: Option<ExecutionStatus>,
    pub(super) times_out_at: i64,
}

impl Expected {
    pub(super) fn status(&self, id: &str) -> Option<OperationStatus> {
        self.operations.iter().find(|operation| operation.id == id).map(|operation| operation.status)
    }

    pub(super) fn at(&mut self, id: &str) -> &mut Restated {
        self.operations.iter_mut().find(|operation| operation.id == id).unwrap()
    }

    pub(super) fn end(&mut self, id: &str, status: OperationStatus, result: Option<String>, error_type: Option<&str>) {
        let operation = self.at(id);
        (operation.status, operation.result, operation.due) = (status, result, None);
        operation.error_type = error_type.map(str::to_owned);
    }

    /// What fires until then, and the execution's timeout.
    pub(super) fn fire(&mut self, now: i64) {
        if self.ended.is_some() {
            return;
        }
        let until = now.min(self.times_out_at);
        while let Some(next) =
            self.operations.iter().filter(|it| it.due.is_some_and(|due| due <= until)).min_by_key(|it| it.due)
        {
            let (id, kind) = (next.id.clone(), next.kind);
            match kind {
                Type::Callback => {
                    let error = self.timeouts[&id].due().map(|(_, error)| error);
                    self.end(&id, TimedOut, None, error);
                }
                Type::Wait => self.end(&id, Succeeded, None, None),
                _ => {
                    let step = self.at(&id);
                    (step.status, step.due) = (Ready, None);
                }
            }
        }
        if self.times_out_at <= now {
            self.ended = Some(ExecutionStatus::TimedOut);
        }
    }

    /// A legal update.
    pub(super) fn record(&mut self, update: &OperationUpdate, now: i64) {
        use OperationAction::{Cancel, Fail, Retry, Start, Succeed};
        let id = update.id.as_str();
        let seconds = |seconds: u32| i64::from(seconds) * 1000;
        if self.status(id).is_none() {
            let (kind, due) = (update.operation_type, update.seconds.filter(|_| update.action == Start));
            let due = due.map(|after| now + seconds(after));
            let (status, id) = (Running, id.to_owned());
            self.operations.push(Restated { id, kind, status, attempt: 0, result: None, error_type: None, due });
        }
        if let Some(options) = update.callback {
            let (timeout, heartbeat) = (seconds(options.timeout_seconds), seconds(options.heartbeat_seconds));
            let timeouts = Timeouts { started: now, timeout, heartbeat, beat: now };
            self.timeouts.insert(id.to_owned(), timeouts);
            self.at(id).due = timeouts.due().map(|(due, _)| due);
        }
        if update.chained_invoke.as_ref().is_some_and(|options| options.function_name.starts_with("nobody")) {
            self.end(id, Failed, None, Some("ResourceNotFoundException"));
        }
        let operation = self.at(id);
        if operation.kind == Type::Step && update.action != Start {
            operation.attempt += 1;
        }
        let error_type = update.error.as_ref().and_then(|error| error.error_type.clone());
        match update.action {
            Start => operation.status = if operation.status.is_terminal() { operation.status } else { Running },
            Succeed => self.end(id, Succeeded, update.payload.clone(), None),
            Fail => self.end(id, Failed, None, error_type.as_deref()),
            Cancel => self.end(id, Cancelled, None, None),
            Retry => {
                operation.status = Pending;
                operation.due = update.seconds.map(|after| now + seconds(after));
                if error_type.is_none() {
                    operation.result.clone_from(&update.payload);
                }
                operation.error_type = error_type;
            }
        }
    }
}

pub(super) fn recorded(operation: &Operation) -> Restated {
    let timer = matches!(
        (operation.operation_type, operation.status),
        (Type::Step, Pending) | (Type::Wait | Type::Callback, Running)
    );
    Restated {
        id: operation.id.as_str().to_owned(),
        kind: operation.operation_type,
        status: operation.status,
        attempt: operation.attempt,
        result: operation.result.clone(),
        error_type: operation.error.as_ref().and_then(|error| error.error_type.clone()),
        due: operation.due_at.filter(|_| timer).map(|due| due.0),
    }
}
