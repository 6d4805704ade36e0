//! Runs the items of a batch, each in a task of its own. The combinators are batches, too.

use super::CompletionReason;
use super::policy::Progress;
use crate::executor;
use crate::future::AbortOnDrop;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

pub(crate) type LocalBoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;
type Items<T, E> = Box<dyn Iterator<Item = LocalBoxFuture<Result<T, E>>>>;

/// How a batch ended.
#[derive(Debug)]
pub(crate) struct Ended<T, E> {
    /// One for each item that started, in the order of the input; none: it was dropped.
    pub(crate) items: Vec<Option<Result<T, E>>>,
    pub(crate) reason: CompletionReason,
}

struct Batch<T, E> {
    state: RefCell<State<T, E>>,
    // Apart from the state: starting an item may run code of the workflow.
    items: RefCell<Items<T, E>>,
}

struct State<T, E> {
    progress: Progress,
    ended: Vec<Option<Result<T, E>>>,
    tasks: BTreeMap<usize, AbortOnDrop>,
    waiting: Option<Waker>,
}

/// Runs `items`. The iterator is advanced when the next item is admitted: that begins it.
///
/// The end of an item decides at once, before anything else runs: either the next items start, or the batch is over and
/// what is in flight is dropped. Dropping the future drops the items.
pub(crate) async fn run<T: 'static, E: 'static>(
    progress: Progress,
    items: impl Iterator<Item = LocalBoxFuture<Result<T, E>>> + 'static,
) -> Ended<T, E> {
    let state = State { progress, ended: Vec::new(), tasks: BTreeMap::new(), waiting: None };
    let batch = Rc::new(Batch { state: RefCell::new(state), items: RefCell::new(Box::new(items)) });
    let in_flight = InFlight(Rc::clone(&batch));
    admit(&batch);
    let ended = std::future::poll_fn(|context| {
        executor::refuse_misplaced("awaited");
        let mut state = batch.state.borrow_mut();
        match state.progress.reason() {
            Some(reason) => Poll::Ready(Ended { items: std::mem::take(&mut state.ended), reason }),
            None => {
                state.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;
    drop(in_flight);
    ended
}

fn admit<T: 'static, E: 'static>(batch: &Rc<Batch<T, E>>) {
    while batch.state.borrow_mut().progress.admit() {
        let Some(item) = batch.items.borrow_mut().next() else { return };
        let index = batch.state.borrow().ended.len();
        let settling = Rc::clone(batch);
        let task = executor::spawn(async move {
            let outcome = item.await;
            settle(&settling, index, outcome);
        });
        let mut state = batch.state.borrow_mut();
        state.ended.push(None);
        state.tasks.insert(index, AbortOnDrop(task));
    }
}

fn settle<T: 'static, E: 'static>(batch: &Rc<Batch<T, E>>, index: usize, outcome: Result<T, E>) {
    let over = {
        let mut state = batch.state.borrow_mut();
        state.tasks.remove(&index);
        state.progress.settle(index, outcome.is_ok());
        state.ended[index] = Some(outcome);
        state.progress.reason().map(|_| (std::mem::take(&mut state.tasks), state.waiting.take()))
    };
    match over {
        None => admit(batch),
        Some((unfinished, waiting)) => {
            // Destructors of the workflow run here; the state is not borrowed.
            drop(unfinished);
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }
}

/// What is in flight goes with the batch.
struct InFlight<T: 'static, E: 'static>(Rc<Batch<T, E>>);

impl<T: 'static, E: 'static> Drop for InFlight<T, E> {
    fn drop(&mut self) {
        // An item may drop its own batch, and end after that: nothing starts any more.
        let items = self.0.items.replace(Box::new(std::iter::empty()));
        let tasks = std::mem::take(&mut self.0.state.borrow_mut().tasks);
        drop((tasks, items));
    }
}

#[cfg(test)]
mod tests {
    use super::super::CompletionConfig;
    use super::*;
    use std::cell::Cell;

    /// Pending `times` times, woken at once each time.
    async fn yield_times(mut times: usize) {
        std::future::poll_fn(|context| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[derive(Default)]
    struct Witness {
        begun: RefCell<Vec<usize>>,
        in_flight: Cell<usize>,
        most: Cell<usize>,
    }

    /// Counts itself out when its item ends or is dropped.
    struct Present(Rc<Witness>);

    impl Drop for Present {
        fn drop(&mut self) {
            self.0.in_flight.set(self.0.in_flight.get() - 1);
        }
    }

    /// Items that take `durations` polls and fail where that is a multiple of 7.
    fn items(witness: &Rc<Witness>, durations: &[usize]) -> Items<usize, usize> {
        let witness = Rc::clone(witness);
        let durations = durations.to_vec();
        Box::new(durations.into_iter().enumerate().map(move |(index, duration)| -> LocalBoxFuture<_> {
            witness.begun.borrow_mut().push(index);
            witness.in_flight.set(witness.in_flight.get() + 1);
            witness.most.set(witness.most.get().max(witness.in_flight.get()));
            let present = Present(Rc::clone(&witness));
            Box::pin(async move {
                yield_times(duration).await;
                drop(present);
                if duration % 7 == 0 { Err(index) } else { Ok(index) }
            })
        }))
    }

    fn drive(durations: &[usize], limit: usize, config: CompletionConfig) -> (Rc<Witness>, Ended<usize, usize>) {
        let witness = Rc::new(Witness::default());
        let progress = Progress::new(durations.len(), limit, config);
        let ended = executor::drive(run(progress, items(&witness, durations)));
        (witness, ended)
    }

    #[test]
    fn items_begin_in_order_never_exceed_the_limit_and_fill_it() {
        for limit in 1..=6 {
            for seed in 0..50_usize {
                let durations: Vec<usize> = (0..12).map(|item| (seed * 31 + item * item * 17) % 11).collect();
                let config = CompletionConfig::with_tolerated_failure_percentage(100);
                let (witness, ended) = drive(&durations, limit, config);
                assert_eq!(*witness.begun.borrow(), (0..12).collect::<Vec<_>>());
                assert_eq!(witness.most.get(), limit, "{durations:?}");
                assert_eq!(ended.reason, CompletionReason::AllCompleted);
                for (index, (outcome, duration)) in ended.items.into_iter().zip(&durations).enumerate() {
                    assert_eq!(outcome, Some(if duration % 7 == 0 { Err(index) } else { Ok(index) }));
                }
            }
        }
    }

    #[test]
    fn a_batch_that_is_over_drops_the_rest_before_anything_else_runs() {
        let (witness, ended) = drive(&[5, 1, 1, 1], 3, CompletionConfig::with_min_successful(1));
        assert_eq!(ended.reason, CompletionReason::MinSuccessfulReached);
        assert_eq!(ended.items, [None, Some(Ok(1)), None], "item 2 would have ended next, item 3 never started");
        assert_eq!(witness.in_flight.get(), 0, "what was in flight is dropped");
    }

    #[test]
    fn without_criteria_the_first_failure_ends_it() {
        let (_, ended) = drive(&[1, 7, 1], 1, CompletionConfig::default());
        assert_eq!(ended.reason, CompletionReason::FailureToleranceExceeded);
        assert_eq!(ended.items, [Some(Ok(0)), Some(Err(1))]);
    }

    #[test]
    fn a_batch_of_nothing_is_over() {
        let (_, ended) = drive(&[], 1, CompletionConfig::default());
        assert_eq!((ended.items.len(), ended.reason), (0, CompletionReason::AllCompleted));
    }

    #[test]
    fn dropping_a_batch_drops_its_items() {
        let witness = Rc::new(Witness::default());
        let seen = Rc::clone(&witness);
        executor::drive(async move {
            let progress = Progress::new(3, 2, CompletionConfig::default());
            let mut batch = Box::pin(run(progress, items(&witness, &[1_000, 1_000, 1])));
            std::future::poll_fn(|context| {
                assert!(batch.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            yield_times(3).await;
            assert_eq!(witness.in_flight.get(), 2);
            drop(batch);
            assert_eq!(witness.in_flight.get(), 0);
        });
        assert_eq!(Rc::strong_count(&seen), 1);
    }

    #[test]
    fn an_item_that_drops_its_batch_is_the_last() {
        executor::drive(async {
            let slot: Rc<RefCell<Option<LocalBoxFuture<()>>>> = Rc::default();
            let own_batch = Rc::clone(&slot);
            let items = (0..2).map(move |index| -> LocalBoxFuture<Result<(), ()>> {
                assert_eq!(index, 0, "an item of a dropped batch started");
                let own_batch = Rc::clone(&own_batch);
                Box::pin(async move {
                    yield_times(1).await;
                    own_batch.take();
                    Ok(())
                })
            });
            let batch = run(Progress::new(2, 1, CompletionConfig::default()), items);
            *slot.borrow_mut() = Some(Box::pin(async move { drop(batch.await) }));
            std::future::poll_fn(|context| {
                let mut slot = slot.borrow_mut();
                let batch = slot.as_mut().expect("not dropped yet");
                assert!(batch.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            yield_times(3).await;
            assert!(slot.borrow().is_none());
        });
    }
}
