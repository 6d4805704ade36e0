//! The checkpoint log, and its fold.
//!
//! The log is a sequence of transitions, each all or nothing. Everything else here can be computed from it again.

use crate::trace::End;
use serde::Serialize;
use std::collections::BTreeMap;

/// A point in time as the log knows it: milliseconds since the Unix epoch.
pub type Millis = u64;

/// One event of the log. Ids are position paths: `1`, `2`, `2-1`...
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are AWS's, and so is the meaning.
pub enum Event {
    ExecutionStarted,
    ExecutionSucceeded {
        result: String,
    },
    InvocationCompleted(Ending),
    /// A START that is not an attempt's: of a CONTEXT or a WAIT.
    Started {
        id: String,
        what: What,
    },
    /// An attempt's START.
    StepStarted {
        id: String,
        what: What,
    },
    StepEnded {
        id: String,
        end: End,
    },
    /// RETRY. In AWS's history, `StepFailed`.
    StepRetried {
        id: String,
        seconds: u32,
        error: String,
    },
    /// RETRY of a condition that is not met. In AWS's history, `StepSucceeded`.
    StepAgain {
        id: String,
        seconds: u32,
        state: i64,
    },
    /// A retry delay is over. Not in AWS's history: takes no event id.
    StepReady {
        id: String,
    },
    WaitSucceeded {
        id: String,
    },
    WaitCancelled {
        id: String,
    },
    ContextEnded {
        id: String,
        end: End,
    },
    CallbackEnded {
        id: String,
        end: End,
        how: How,
    },
    /// Not in AWS's history: takes no event id.
    CallbackHeartbeat {
        id: String,
    },
    InvokeEnded {
        id: String,
        end: End,
        how: How,
    },
}

/// How something ended that was not up to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are AWS's.
pub enum How {
    Succeeded,
    Failed,
    TimedOut,
    Stopped,
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It said that it suspends, or that the program has ended.
    Reported,
    /// It said that it suspends, and had not heard of something that came from outside meanwhile.
    Unaware,
    /// It failed: a step's body trapped.
    Failed,
    /// Its process died.
    Lost,
}

/// How the newest row left the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// An invocation may be under way, or is due now.
    UnderWay,
    /// An invocation suspended, and nothing has changed since.
    Suspended,
    /// An invocation suspended, and something was done from outside that it has not heard of.
    Woken,
    /// An invocation failed, then.
    Failed(Millis),
}

/// What an operation is: all that a replay compares when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A step, and its name. A short blocking sleep is one named [`SLEEP`].
    Step(String),
    /// A timer of so many seconds.
    Wait {
        /// None for a plain wait, [`SLEEP`] for a blocking sleep.
        name: Option<String>,
        /// From 1.
        seconds: u32,
    },
    /// A child context of this name.
    Context(String),
    /// A polled condition, and its name.
    Condition(String),
    /// A callback.
    Callback {
        /// Its name; none within a [`Statement::Submit`](crate::Statement::Submit)'s context, whose name it is.
        name: Option<String>,
        /// Seconds; 0: none.
        timeout: u32,
        /// Seconds; 0: none.
        heartbeat: u32,
    },
    /// A chained invoke.
    Invoke {
        /// Its name.
        name: String,
        /// The function.
        function: String,
    },
}

impl What {
    /// Whether it has attempts.
    pub fn is_step(&self) -> bool {
        matches!(self, Self::Step(_) | Self::Condition(_))
    }
}

/// The name of a blocking sleep's operation.
pub const SLEEP: &str = "sleep";

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The timestamp of all its events.
    pub at: Millis,
    /// The event id of its first event that takes one: 1, 2, 3... without gaps through the log.
    pub first_event: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// It was recorded because of something that was done from outside.
    pub outside: bool,
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Begun; for a step: an attempt was started and has no outcome.
    Started,
    /// A step between two attempts, until the delay is over.
    Pending,
    /// A step whose next attempt may start.
    Ready,
    /// Ended: what it yields, and the event that says so.
    Ended {
        /// Its result or error.
        end: End,
        /// The terminal event: completions are handed to a guest in this order.
        event: u64,
        /// The terminal event's timestamp.
        at: Millis,
    },
    /// A wait that was dropped.
    Cancelled,
}

/// An operation, folded from its events.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What it is.
    pub what: What,
    /// Where it stands.
    pub status: Status,
    /// Attempts that have an outcome.
    pub finished_attempts: u32,
    /// When its timer (a WAIT's, a retry's, a callback's) is due.
    pub due: Option<Millis>,
    /// When it was begun.
    pub started_at: Millis,
    /// What a condition's next poll starts from.
    pub state: Option<i64>,
    /// Heartbeats so far.
    pub heartbeats: usize,
}

/// One line of the history as AWS shows it, without payloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryEvent {
    /// AWS's `EventType`.
    pub event: &'static str,
    /// The operation's id; none for events of the execution.
    pub id: Option<String>,
}

/// Which of an operation's events is handed to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A callback's start, which brings its id.
    Start,
    /// The end.
    End,
}

/// A log and its fold.
#[derive(Clone, Debug)]
pub struct Log {
    transitions: Vec<Transition>,
    operations: BTreeMap<String, Recorded>,
    /// Operations by terminal event, contexts apart: a context's end is nothing that its guest waits for.
    completions: Vec<String>,
    /// What is handed to the guest, in order: the operation, and whether it is its start (of a callback) or its end.
    deliveries: Vec<(String, Delivery)>,
    /// Operations with a timer, in the order in which they were started.
    started: Vec<String>,
    next_event: u64,
    result: Option<String>,
}

impl Log {
    /// The log of an execution that has just been started.
    pub fn start(at: Millis) -> Self {
        Self::read(&[Transition { at, first_event: 1, events: vec![Event::ExecutionStarted], outside: false }])
    }

    /// Folds these rows, the first of which starts the execution.
    pub fn read(rows: &[Transition]) -> Self {
        let mut log = Self {
            transitions: Vec::new(),
            operations: BTreeMap::new(),
            completions: Vec::new(),
            deliveries: Vec::new(),
            started: Vec::new(),
            next_event: 1,
            result: None,
        };
        for row in rows {
            log.append(row.at, row.events.clone(), row.outside).expect("rows that were appended once fold again");
        }
        log
    }

    /// Appends one row. An error says which event cannot follow what is there; the row is then not appended, and the
    /// fold is of no use any more.
    pub(crate) fn append(&mut self, at: Millis, events: Vec<Event>, outside: bool) -> Result<(), String> {
        let first_event = self.next_event;
        for event in &events {
            self.fold(at, event)?;
            self.next_event += u64::from(event.in_history().is_some());
        }
        self.transitions.push(Transition { at, first_event, events, outside });
        Ok(())
    }

    fn fold(&mut self, at: Millis, event: &Event) -> Result<(), String> {
        let due_after = |seconds: u32| Some(at + u64::from(seconds) * 1000);
        match event {
            Event::ExecutionStarted | Event::InvocationCompleted(_) => {}
            Event::ExecutionSucceeded { result } => self.result = Some(result.clone()),
            Event::Started { id, what } | Event::StepStarted { id, what } => {
                let due = match what {
                    What::Wait { seconds, .. } => due_after(*seconds),
                    What::Callback { timeout, heartbeat, .. } => {
                        [*timeout, *heartbeat].into_iter().filter(|seconds| *seconds > 0).filter_map(due_after).min()
                    }
                    _ => None,
                };
                if !self.operations.contains_key(id) {
                    self.started.push(id.clone());
                }
                if matches!(what, What::Callback { .. }) {
                    self.deliveries.push((id.clone(), Delivery::Start));
                }
                let begun = Recorded {
                    what: what.clone(),
                    status: Status::Started,
                    finished_attempts: 0,
                    due,
                    started_at: at,
                    state: None,
                    heartbeats: 0,
                };
                self.operations.entry(id.clone()).or_insert(begun);
                self.open(id)?.status = Status::Started;
            }
            Event::StepEnded { id, end } => {
                self.open(id)?.finished_attempts += 1;
                self.end(at, id, end)?;
            }
            Event::ContextEnded { id, end } => self.end(at, id, end)?,
            Event::WaitSucceeded { id } => self.end(at, id, &End::Value(0))?,
            Event::StepRetried { id, seconds, .. } => {
                let step = self.open(id)?;
                step.finished_attempts += 1;
                (step.status, step.due) = (Status::Pending, due_after(*seconds));
            }
            Event::StepAgain { id, seconds, state } => {
                let step = self.open(id)?;
                step.finished_attempts += 1;
                (step.status, step.due) = (Status::Pending, due_after(*seconds));
                step.state = Some(*state);
            }
            Event::CallbackEnded { id, end, .. } | Event::InvokeEnded { id, end, .. } => self.end(at, id, end)?,
            Event::CallbackHeartbeat { id } => {
                let callback = self.open(id)?;
                callback.heartbeats += 1;
                if let What::Callback { timeout, heartbeat, .. } = callback.what {
                    let after = |from: Millis, seconds: u32| (seconds > 0).then(|| from + u64::from(seconds) * 1000);
                    let due = [after(callback.started_at, timeout), after(at, heartbeat)];
                    callback.due = due.into_iter().flatten().min();
                }
            }
            Event::StepReady { id } => {
                let step = self.open(id)?;
                (step.status, step.due) = (Status::Ready, None);
            }
            Event::WaitCancelled { id } => {
                let wait = self.open(id)?;
                (wait.status, wait.due) = (Status::Cancelled, None);
            }
        }
        Ok(())
    }

    /// An operation that has begun and not ended.
    fn open(&mut self, id: &str) -> Result<&mut Recorded, String> {
        match self.operations.get_mut(id) {
            None => Err(format!("operation {id} has no START; send that first")),
            Some(Recorded { status: status @ (Status::Ended { .. } | Status::Cancelled), .. }) => {
                Err(format!("operation {id} is {status:?} already; nothing can happen to it any more"))
            }
            Some(operation) => Ok(operation),
        }
    }

    fn end(&mut self, at: Millis, id: &str, end: &End) -> Result<(), String> {
        let event = self.next_event;
        let operation = self.open(id)?;
        (operation.status, operation.due) = (Status::Ended { end: end.clone(), event, at }, None);
        if !matches!(operation.what, What::Context(_)) {
            self.completions.push(id.to_owned());
            self.deliveries.push((id.to_owned(), Delivery::End));
        }
        Ok(())
    }

    /// The rows.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// An operation, if it has been started.
    pub fn operation(&self, id: &str) -> Option<&Recorded> {
        self.operations.get(id)
    }

    /// All operations, by id.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &Recorded)> {
        self.operations.iter().map(|(id, operation)| (id.as_str(), operation))
    }

    /// The same in the order in which they began.
    pub(crate) fn started(&self) -> impl Iterator<Item = (&str, &Recorded)> {
        self.started.iter().map(|id| (id.as_str(), &self.operations[id]))
    }

    /// Attempts (operation id, number from 1) that were started and have no outcome.
    pub fn open_attempts(&self) -> impl Iterator<Item = (String, u32)> {
        let open = |operation: &Recorded| operation.what.is_step() && operation.status == Status::Started;
        let attempts = self.operations.iter().filter(move |(_, operation)| open(operation));
        attempts.map(|(id, operation)| (id.clone(), operation.finished_attempts + 1))
    }

    /// What is handed to the guest, in the order in which it was recorded.
    pub fn deliveries(&self) -> &[(String, Delivery)] {
        &self.deliveries
    }

    /// Ids of what ended, contexts apart, in the order of their terminal events.
    pub fn completions(&self) -> &[String] {
        &self.completions
    }

    /// The execution's result, once it has ended.
    pub fn result(&self) -> Option<&str> {
        self.result.as_deref()
    }

    /// When the execution started.
    pub fn started_at(&self) -> Millis {
        self.transitions[0].at
    }

    /// When something was last recorded.
    pub fn last_at(&self) -> Millis {
        self.transitions[self.transitions.len() - 1].at
    }

    /// The timers in the order in which they are due, the one started first among equals. An execution that ended has
    /// none.
    pub fn timers(&self) -> Vec<(Millis, &str)> {
        let timers = self.started.iter().filter_map(|id| Some((self.operations[id].due?, id.as_str())));
        let mut timers: Vec<_> = timers.filter(|_| self.result.is_none()).collect();
        timers.sort_by_key(|(due, _)| *due);
        timers
    }

    /// How the newest row left the execution. A timer wakes a suspended one, and so does what comes from outside, but
    /// for a heartbeat; neither makes a failed one hurry.
    pub(crate) fn rest(&self) -> Rest {
        let (mut woken, mut by_timer) = (false, false);
        for row in self.transitions.iter().rev() {
            match row.events.last() {
                Some(Event::InvocationCompleted(Ending::Failed)) => return Rest::Failed(row.at),
                Some(Event::InvocationCompleted(Ending::Reported)) if !woken => return Rest::Suspended,
                // The service fires timers in order to invoke.
                Some(Event::InvocationCompleted(Ending::Reported | Ending::Unaware)) if by_timer => break,
                Some(Event::InvocationCompleted(Ending::Reported | Ending::Unaware)) => return Rest::Woken,
                _ if row.events.iter().all(Event::is_from_outside) => {
                    woken |= !row.events.iter().all(|event| matches!(event, Event::CallbackHeartbeat { .. }));
                    by_timer |= !row.outside;
                }
                _ => break,
            }
        }
        Rest::UnderWay
    }

    /// The events in order, as AWS's history has them.
    pub fn history(&self) -> Vec<HistoryEvent> {
        self.transitions.iter().flat_map(|row| &row.events).filter_map(Event::in_history).collect()
    }
}

impl Event {
    /// Whether it is none of the worker's doing.
    pub fn is_from_outside(&self) -> bool {
        matches!(
            self,
            Self::StepReady { .. }
                | Self::WaitSucceeded { .. }
                | Self::CallbackEnded { .. }
                | Self::CallbackHeartbeat { .. }
                | Self::InvokeEnded { .. }
        )
    }

    /// The event's name and operation in AWS's history, if it is in there.
    pub fn in_history(&self) -> Option<HistoryEvent> {
        let (event, id) = match self {
            Self::ExecutionStarted => ("ExecutionStarted", None),
            Self::ExecutionSucceeded { .. } => ("ExecutionSucceeded", None),
            Self::InvocationCompleted(_) => ("InvocationCompleted", None),
            Self::Started { id, what: What::Wait { .. } } => ("WaitStarted", Some(id)),
            Self::Started { id, what: What::Callback { .. } } => ("CallbackStarted", Some(id)),
            Self::Started { id, what: What::Invoke { .. } } => ("ChainedInvokeStarted", Some(id)),
            Self::Started { id, .. } => ("ContextStarted", Some(id)),
            Self::StepStarted { id, .. } => ("StepStarted", Some(id)),
            Self::StepEnded { id, end: End::Value(_) } => ("StepSucceeded", Some(id)),
            Self::StepEnded { id, .. } | Self::StepRetried { id, .. } => ("StepFailed", Some(id)),
            Self::StepAgain { id, .. } => ("StepSucceeded", Some(id)),
            Self::StepReady { .. } | Self::CallbackHeartbeat { .. } => return None,
            Self::CallbackEnded { id, how, .. } => {
                let name = match how {
                    How::Succeeded => "CallbackSucceeded",
                    How::Failed => "CallbackFailed",
                    How::TimedOut | How::Stopped => "CallbackTimedOut",
                };
                (name, Some(id))
            }
            Self::InvokeEnded { id, how, .. } => {
                let name = match how {
                    How::Succeeded => "ChainedInvokeSucceeded",
                    How::Failed => "ChainedInvokeFailed",
                    How::TimedOut => "ChainedInvokeTimedOut",
                    How::Stopped => "ChainedInvokeStopped",
                };
                (name, Some(id))
            }
            Self::WaitSucceeded { id } => ("WaitSucceeded", Some(id)),
            Self::WaitCancelled { id } => ("WaitCancelled", Some(id)),
            Self::ContextEnded { id, end: End::Value(_) } => ("ContextSucceeded", Some(id)),
            Self::ContextEnded { id, .. } => ("ContextFailed", Some(id)),
        };
        Some(HistoryEvent { event, id: id.cloned() })
    }
}
