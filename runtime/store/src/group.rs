//! Group commit without a thread of its own: whoever finds nobody committing does it, for all who have queued.
//!
//! A lone caller commits on its own thread, without a context switch. Under load one caller leads: it takes the queue,
//! commits it with one sync, hands leadership to one of those who queued meanwhile, and answers the others.

use crate::write::{Answer, Change, Writer};
use everstep_core::store::StoreError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A panic elsewhere leaves what a mutex guards usable here: SQLite's state is in SQLite, the queue is only moved.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The queue in front of the writer.
pub(crate) struct Group {
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
}

/// Invariant: while nobody leads, nobody waits.
#[derive(Default)]
struct Queue {
    waiting: Vec<(Change, Arc<Seat>)>,
    led: bool,
}

/// Where one caller waits.
#[derive(Default)]
struct Seat {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
enum Turn {
    #[default]
    Waiting,
    /// Commit what is queued, your own change among it.
    Lead,
    Answered(Answer),
}

impl Seat {
    fn wait(&self) -> Option<Answer> {
        let mut turn = lock(&self.turn);
        loop {
            match std::mem::take(&mut *turn) {
                Turn::Waiting => turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner),
                Turn::Lead => return None,
                Turn::Answered(answer) => return Some(answer),
            }
        }
    }

    fn set(&self, turn: Turn) {
        *lock(&self.turn) = turn;
        self.changed.notify_one();
    }
}

/// Leadership. Dropped, also by a panic, it passes on, and nobody is left waiting.
struct Lead<'a> {
    group: &'a Group,
    unanswered: Vec<Arc<Seat>>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.group.queue);
        match queue.waiting.first() {
            Some((_, next)) => next.set(Turn::Lead),
            None => queue.led = false,
        }
        drop(queue);
        for seat in self.unanswered.drain(..) {
            let lost = "the commit was abandoned by a panic; read the log again to see whether it is durable";
            seat.set(Turn::Answered(Err(StoreError::Unavailable(lost.into()))));
        }
    }
}

impl Group {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { queue: Mutex::default(), writer: Mutex::new(writer) }
    }

    /// Commits the change, alone or with others. Durable on return.
    pub(crate) fn submit(&self, change: Change) -> Answer {
        let seat = {
            let mut queue = lock(&self.queue);
            if !queue.led {
                queue.led = true;
                drop(queue);
                let _lead = Lead { group: self, unanswered: Vec::new() };
                return lock(&self.writer).commit_one(&change);
            }
            let seat = Arc::new(Seat::default());
            queue.waiting.push((change, Arc::clone(&seat)));
            seat
        };
        if let Some(answer) = seat.wait() {
            return answer;
        }
        self.lead(&seat)
    }

    /// Commits all that is queued, and answers the change of `own`.
    fn lead(&self, own: &Arc<Seat>) -> Answer {
        let (changes, seats): (Vec<Change>, Vec<_>) =
            std::mem::take(&mut lock(&self.queue).waiting).into_iter().unzip();
        let mut lead = Lead { group: self, unanswered: seats };
        let answers = lock(&self.writer).commit(&changes.iter().collect::<Vec<_>>());
        let seats = std::mem::take(&mut lead.unanswered);
        // The next commit starts while this one's callers wake.
        drop(lead);
        let mut mine = None;
        for (seat, answer) in seats.into_iter().zip(answers) {
            if Arc::ptr_eq(&seat, own) {
                mine = Some(answer);
            } else {
                seat.set(Turn::Answered(answer));
            }
        }
        mine.unwrap_or_else(|| Err(StoreError::Unavailable("a leader's own change was not in its group".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::faulty::FaultyDisk;
    use crate::open::Place;
    use everstep_core::protocol::ComponentDigest;
    use everstep_core::store::ExecutionKey;
    use std::path::Path;

    fn group(disk: &FaultyDisk) -> Group {
        let place = Place::new(Path::new("group.db"), &Options::on(disk)).unwrap();
        let owned = place.own().unwrap();
        let log = "INSERT INTO transition VALUES (1, 0, x'00'), (2, 0, x'00'), (3, 0, x'00')";
        owned.writer.execute_batch(log).unwrap();
        Group::new(Writer::new(place, owned.epoch, owned.writer))
    }

    fn append(execution: i64, sequence: u64) -> Change {
        Change::Append { execution: ExecutionKey(execution), sequence, body: vec![0; 50], projection: None }
    }

    /// Submits the first change, and, while its sync is held, all the others; then lets the disk go on.
    fn together(disk: &FaultyDisk, group: &Group, changes: Vec<Change>) -> Vec<Answer> {
        disk.hold_syncs(true);
        let others = changes.len() - 1;
        std::thread::scope(|scope| {
            let mut callers = Vec::new();
            for change in changes {
                callers.push(scope.spawn(move || group.submit(change)));
                while !lock(&group.queue).led {
                    std::thread::yield_now();
                }
            }
            while lock(&group.queue).waiting.len() < others {
                std::thread::yield_now();
            }
            disk.hold_syncs(false);
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        })
    }

    #[test]
    fn those_who_wait_share_one_sync_and_a_refused_append_fails_alone() {
        let disk = FaultyDisk::new(1);
        let group = group(&disk);
        let before = disk.counts().syncs;
        let mut changes = vec![append(1, 1), append(2, 1), append(3, 2), append(3, 0), append(9, 1)];
        changes.extend((0..60u8).map(|n| Change::Component { digest: ComponentDigest([n; 32]), wasm: vec![n; 100] }));
        let answers = together(&disk, &group, changes);
        assert_eq!(disk.counts().syncs - before, 2, "one for the first, one for all who queued meanwhile");
        let refused: Vec<_> = answers
            .iter()
            .enumerate()
            .filter_map(|(n, answer)| match answer {
                Err(StoreError::Conflict(text)) => Some((n, text.split(" in ").next().unwrap().to_owned())),
                Err(other) => panic!("{n}: {other}"),
                Ok(_) => None,
            })
            .collect();
        let expected = ["row 2 of execution 3", "row 0 of execution 3", "there is no execution 9"];
        assert_eq!(
            refused,
            expected.into_iter().map(str::to_owned).enumerate().map(|(n, t)| (n + 2, t)).collect::<Vec<_>>()
        );
        assert!(group.submit(append(2, 2)).is_ok(), "a lone caller after the crowd");
        assert_eq!(disk.counts().syncs - before, 3);
    }

    #[test]
    fn a_failed_sync_fails_all_who_share_it_and_nobody_after() {
        let disk = FaultyDisk::new(1);
        let group = group(&disk);
        group.submit(append(3, 1)).unwrap();
        disk.plan(disk.counts().operations() + 4, crate::faulty::Fault::Full);
        let answers = together(&disk, &group, vec![append(1, 1), append(2, 1), append(3, 2), append(3, 2)]);
        assert!(answers[0].is_ok(), "{:?}", answers[0]);
        for answer in &answers[1..] {
            assert!(
                matches!(answer, Err(StoreError::Unavailable(text)) if text.contains("the disk is full")),
                "{answer:?}"
            );
        }
        disk.repair();
        assert!(group.submit(append(2, 1)).is_ok());
        assert!(group.submit(append(3, 2)).is_ok());
    }

    #[test]
    fn a_poisoned_queue_or_writer_is_used_on() {
        let disk = FaultyDisk::new(1);
        let group = group(&disk);
        std::thread::scope(|scope| {
            let poisoned = scope.spawn(|| {
                let _queue = lock(&group.queue);
                let _writer = lock(&group.writer);
                panic!("on purpose");
            });
            assert!(poisoned.join().is_err());
        });
        assert!(group.submit(append(1, 1)).is_ok());
    }

    #[test]
    fn a_leader_that_panics_answers_its_group_and_passes_leadership_on() {
        let disk = FaultyDisk::new(1);
        let group = group(&disk);
        let (follower, next) = (Arc::new(Seat::default()), Arc::new(Seat::default()));
        lock(&group.queue).led = true;
        lock(&group.queue).waiting.push((append(1, 1), Arc::clone(&next)));
        drop(Lead { group: &group, unanswered: vec![Arc::clone(&follower)] });
        assert!(matches!(follower.wait(), Some(Err(StoreError::Unavailable(_)))));
        assert!(next.wait().is_none(), "the next in the queue leads");
        assert!(group.lead(&next).is_ok());
        assert!(!lock(&group.queue).led);
    }
}
