//! The executor: one thread, tasks polled in the order they were woken, deliveries taken only when all are quiet.
//!
//! That is the whole of determinism on this side. The host hands over deliveries in the order of the log, live as on
//! replay, and nothing else wakes a task; so every poll happens in the same order in both.

use crate::seal::{self, Body, Delivery};
use crate::wire::Outcome;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Executor {
    tasks: RefCell<BTreeMap<u64, Task>>,
    next_task: Cell<u64>,
    woken: Arc<Mutex<VecDeque<u64>>>,
    pending: RefCell<BTreeMap<u64, Pending>>,
    in_body: Cell<bool>,
    /// The handler has returned.
    over: Cell<bool>,
}

struct Task {
    /// Absent while it is polled.
    future: Option<TaskFuture>,
    waker: Arc<TaskWaker>,
}

/// An operation that began and was not taken by its future yet.
struct Pending {
    body: Option<(*mut u8, Body)>,
    started: Option<String>,
    outcome: Option<Outcome>,
    waiting: Option<Waker>,
}

thread_local! {
    static EXECUTOR: Executor = Executor::default();
}

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    woken: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.task);
        }
    }
}

/// Adds a task, woken.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> u64 {
    EXECUTOR.with(|executor| {
        let task = executor.next_task.get();
        executor.next_task.set(task + 1);
        let woken = Arc::clone(&executor.woken);
        let waker = Arc::new(TaskWaker { task, queued: AtomicBool::new(false), woken });
        Arc::clone(&waker).wake();
        executor.tasks.borrow_mut().insert(task, Task { future: Some(Box::pin(future)), waker });
        task
    })
}

/// Drops a task, whatever it waits for.
pub(crate) fn abort(task: u64) {
    let task = EXECUTOR.with(|executor| executor.tasks.borrow_mut().remove(&task));
    // Its future's destructors may come back to the executor.
    drop(task);
}

/// Runs `main` and everything it spawns until `main` is done, then drops what is left.
pub(crate) fn drive<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
    EXECUTOR.with(|executor| executor.over.set(false));
    let result = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&result);
    spawn(async move {
        let value = main.await;
        *slot.borrow_mut() = Some(value);
    });
    loop {
        while let Some(task) = EXECUTOR.with(next_woken) {
            poll_task(task);
            let done = result.borrow_mut().take();
            if let Some(value) = done {
                EXECUTOR.with(|executor| executor.over.set(true));
                drop(EXECUTOR.with(|executor| executor.tasks.take()));
                return value;
            }
        }
        // What is buffered here would be flushed again by the body, and once more after the roll-back.
        seal::flush_output();
        deliver(seal::next_delivery());
    }
}

fn next_woken(executor: &Executor) -> Option<u64> {
    executor.woken.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn poll_task(id: u64) {
    let taken = EXECUTOR.with(|executor| {
        let mut tasks = executor.tasks.borrow_mut();
        let task = tasks.get_mut(&id)?;
        task.waker.queued.store(false, Ordering::Relaxed);
        Some((task.future.take()?, Waker::from(Arc::clone(&task.waker))))
    });
    let Some((mut future, waker)) = taken else { return };
    let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    let finished = EXECUTOR.with(|executor| {
        let mut tasks = executor.tasks.borrow_mut();
        match tasks.get_mut(&id) {
            Some(task) if !done => {
                task.future = Some(future);
                None
            }
            _ => Some((future, tasks.remove(&id))),
        }
    });
    drop(finished);
}

fn deliver(delivery: Delivery) {
    let waiting = EXECUTOR.with(|executor| {
        let mut pending = executor.pending.borrow_mut();
        match delivery {
            Delivery::Started { operation, value } => {
                let operation = pending.get_mut(&operation)?;
                operation.started = Some(value);
                operation.waiting.take()
            }
            Delivery::Completed { operation, outcome } => {
                let operation = pending.get_mut(&operation)?;
                operation.outcome = Some(outcome);
                operation.waiting.take()
            }
        }
    });
    if let Some(waker) = waiting {
        waker.wake();
    }
}

/// An operation that began. Dropping it before its outcome was taken cancels the operation.
pub(crate) struct Operation {
    id: u64,
    taken: bool,
}

impl Operation {
    /// Registers what the host began under `id`. The environment of a step's body must outlive this value.
    pub(crate) fn register(id: u64, body: Option<(*mut u8, Body)>) -> Self {
        let pending = Pending { body, started: None, outcome: None, waiting: None };
        EXECUTOR.with(|executor| executor.pending.borrow_mut().insert(id, pending));
        Self { id, taken: false }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What the operation yields when it starts: to be asked for once, and before its outcome.
    pub(crate) async fn started(&mut self) -> String {
        std::future::poll_fn(|context| self.poll(context, |pending| pending.started.take())).await
    }

    /// How the operation ended.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        let outcome = std::future::poll_fn(|context| self.poll(context, |pending| pending.outcome.take())).await;
        EXECUTOR.with(|executor| executor.pending.borrow_mut().remove(&self.id));
        self.taken = true;
        outcome
    }

    /// `take` what was delivered, or be woken by the next delivery.
    fn poll<T>(&self, context: &mut Context<'_>, take: impl FnOnce(&mut Pending) -> Option<T>) -> Poll<T> {
        refuse_misplaced(Misplaced::Awaited);
        EXECUTOR.with(|executor| {
            let mut pending = executor.pending.borrow_mut();
            let Some(operation) = pending.get_mut(&self.id) else { return Poll::Pending };
            match take(operation) {
                Some(value) => Poll::Ready(value),
                None => {
                    operation.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // Inside a body the roll-back revives this value, and it will be dropped again outside.
        if self.taken || in_body() {
            return;
        }
        let pending = EXECUTOR.with(|executor| executor.pending.borrow_mut().remove(&self.id));
        if pending.is_some_and(|operation| operation.outcome.is_none()) {
            crate::bindings::cancel(self.id);
        }
    }
}

/// The body that a `run` event asks for; from here on the guest is inside it, until the roll-back.
pub(crate) fn enter_body(operation: u64) -> (*mut u8, Body) {
    EXECUTOR.with(|executor| {
        executor.in_body.set(true);
        let body = executor.pending.borrow().get(&operation).and_then(|pending| pending.body);
        body.unwrap_or_else(|| panic!("the host asks to run operation {operation}, which is not a pending step"))
    })
}

pub(crate) fn in_body() -> bool {
    EXECUTOR.with(|executor| executor.in_body.get())
}

/// Durable operations belong to a handler that runs, and do not nest in steps. What is begun inside a step's body the
/// host refuses by itself; what is awaited there would never come.
///
/// # Panics
///
/// If called after the handler returned.
pub(crate) fn refuse_misplaced(what: Misplaced) {
    let over = EXECUTOR.with(|executor| executor.over.get());
    assert!(
        !over,
        "a durable operation was {} after the workflow's end: await everything before the handler returns",
        match what {
            Misplaced::Begun => "begun",
            Misplaced::Awaited => "awaited",
        }
    );
    if in_body() && what == Misplaced::Awaited {
        // Does not return: the host ends the execution and says why.
        crate::bindings::next(0);
    }
}

/// What was done in the wrong place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misplaced {
    Begun,
    Awaited,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the future of a step's body to its end, on its own: siblings stand still meanwhile.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        assert!(
            flag.0.swap(false, Ordering::Relaxed),
            "a step's body waits for something that nothing in it can wake: await only futures that make progress \
             by themselves, or use blocking calls, which are fine inside a step"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pending once, woken at once.
    async fn yield_now() {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn tasks_are_polled_in_the_order_they_were_woken() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&order);
        drive(async move {
            for task in 0..3 {
                let order = Rc::clone(&order);
                spawn(async move {
                    order.borrow_mut().push((task, 0));
                    yield_now().await;
                    order.borrow_mut().push((task, 1));
                });
            }
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(*seen.borrow(), [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]);
    }

    #[test]
    fn an_aborted_task_is_dropped_and_never_polled() {
        let witness = Rc::new(());
        let held = Rc::clone(&witness);
        drive(async move {
            let task = spawn(async move {
                let _held = held;
                panic!("an aborted task was polled");
            });
            abort(task);
            yield_now().await;
        });
        assert_eq!(Rc::strong_count(&witness), 1);
    }

    #[test]
    fn what_main_leaves_behind_is_dropped_with_it() {
        let witness = Rc::new(());
        let held = Rc::clone(&witness);
        drive(async move {
            spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            yield_now().await;
        });
        assert_eq!(Rc::strong_count(&witness), 1);
    }

    #[test]
    fn what_was_delivered_before_anybody_asked_is_kept() {
        let mut operation = Operation::register(7, None);
        deliver(Delivery::Started { operation: 7, value: "callback-1".to_owned() });
        deliver(Delivery::Completed { operation: 7, outcome: Outcome::Succeeded(None) });
        let (started, ended) = drive(async move { (operation.started().await, operation.outcome().await) });
        assert_eq!(started, "callback-1");
        assert!(matches!(ended, Outcome::Succeeded(None)), "{ended:?}");
    }

    #[test]
    fn a_delivery_wakes_whoever_waits_for_it() {
        let mut operation = Operation::register(8, None);
        let started = drive(async move {
            spawn(async {
                yield_now().await;
                deliver(Delivery::Started { operation: 8, value: "callback-2".to_owned() });
                deliver(Delivery::Completed { operation: 8, outcome: Outcome::Succeeded(None) });
            });
            let started = operation.started().await;
            operation.outcome().await;
            started
        });
        assert_eq!(started, "callback-2");
    }

    #[test]
    #[should_panic(expected = "nothing in it can wake")]
    fn a_body_that_can_never_continue_is_an_error() {
        block_on(std::future::pending::<()>());
    }

    #[test]
    fn a_body_that_wakes_itself_runs_to_its_end() {
        block_on(async {
            yield_now().await;
            yield_now().await;
        });
    }
}
