//! An operation with a body: a step, or a polled condition.

use crate::executor::{self, Operation};
use crate::seal::Body;
use crate::wire::Outcome;

/// An operation that began, and what its body runs in: on the heap, behind a raw pointer, from the operation's
/// beginning to its end. Fields drop in order: the registry forgets the environment before it is freed.
pub(super) struct Embodied<E> {
    operation: Operation,
    environment: Owned<E>,
}

impl<E> Embodied<E> {
    /// Registers what the host began under `id`. `body` must be one that takes an `E`.
    pub(super) fn register(id: u64, environment: E, body: Body) -> Self {
        let environment = Box::into_raw(Box::new(environment));
        let operation = Operation::register(id, Some((environment.cast(), body)));
        Self { operation, environment: Owned(environment) }
    }

    pub(super) fn id(&self) -> u64 {
        self.operation.id()
    }

    /// How the operation ended, and the environment as if the body had never run, live as on replay.
    pub(super) async fn outcome(mut self) -> (Outcome, E) {
        let outcome = self.operation.outcome().await;
        (outcome, self.environment.into_inner())
    }
}

/// A box that is only ever reached through a raw pointer: while a body runs, its environment is not this value's alone.
struct Owned<T>(*mut T);

impl<T> Owned<T> {
    fn into_inner(self) -> T {
        let pointer = self.0;
        std::mem::forget(self);
        // SAFETY: made by `Box::into_raw`, and no longer this value's to free.
        *unsafe { Box::from_raw(pointer) }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // A body may drop the future of its own operation, and runs in this environment meanwhile. The roll-back
        // revives this value, and it will be dropped again outside.
        if executor::in_body() {
            return;
        }
        // SAFETY: made by `Box::into_raw`; `into_inner` forgets the value.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
