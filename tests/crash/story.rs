//! An execution that is killed is the execution that is not: result, history, timestamps and what it told are those of
//! an uninterrupted run, and of the offline replay of its own log.

use crate::log::{Attempt, Log};
use crate::process::{Case, Life, POINTS, Until};
use crate::support::Place;
use crate::told::Told;
use everstep_core::protocol::{Event, OperationStatus, OperationType};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

/// A life, and the log it left.
pub(crate) struct Lived {
    pub(crate) life: Life,
    pub(crate) told: Told,
    pub(crate) log: Log,
}

/// The lives of one execution: all but the last were killed.
pub(crate) struct Story {
    case: Case,
    pub(crate) lives: Vec<Lived>,
}

impl Story {
    /// Lives until each of `kills` and then to the end. A life that ends before it is held is the last.
    pub(crate) fn of(case: &Case, kills: &[Until]) -> Self {
        let place = Place::new();
        let mut lives = Vec::new();
        for until in kills.iter().cloned().chain([Until::TheEnd]) {
            // Whatever is frozen when the execution starts is frozen once that is in the log.
            let started = lives.last().is_some_and(|lived: &Lived| !lived.log.0.is_empty());
            let life = if started { case.resumed().live(&place, until) } else { case.live(&place, until) };
            let (told, log) = (Told::by(&life.said), Log::of(&place, case.guest));
            let killed = life.killed;
            lives.push(Lived { life, told, log });
            if !killed {
                break;
            }
        }
        Self { case: case.clone(), lives }
    }

    pub(crate) fn kills(&self) -> usize {
        self.lives.len() - 1
    }

    pub(crate) fn last(&self) -> &Log {
        &self.lives.last().expect("there is one").log
    }

    /// For messages.
    pub(crate) fn title(&self) -> String {
        let killed: Vec<_> = self.lives.iter().map(|lived| format!("{:?}", lived.life.until)).collect();
        format!("{} {}", self.case.guest, killed.join(", "))
    }

    /// What must hold of every execution, whatever its steps are.
    pub(crate) fn check(&self) {
        self.check_durability();
        self.check_workflow_output();
    }

    /// No row of the log goes, and what was acknowledged is in it.
    fn check_durability(&self) {
        let mut before: &[_] = &[];
        for lived in &self.lives {
            let rows = &lived.log.0;
            assert!(rows.starts_with(before), "{}: the log lost rows", self.title());
            before = rows;
            let durable = lived.log.ended_operations();
            for id in &lived.told.ended {
                assert!(durable.contains(id), "{}: the end of {id} was reported and is not durable", self.title());
            }
        }
    }

    /// What workflow code told is what the replay of the final log tells, in order, without gaps. Only what was told
    /// after a life's last checkpoint is told again.
    fn check_workflow_output(&self) {
        let all = self.last().replay(self.case.guest);
        let (mut acknowledged, mut told) = (0, 0);
        for lived in &self.lives {
            let (said, title) = (&lived.told.workflow, self.title());
            let fits = |&from: &usize| all[from..].starts_with(said);
            let from = (acknowledged..=told).rev().find(fits).unwrap_or_else(|| {
                panic!(
                    "{title}: {said:#?} does not go on anywhere from {acknowledged} to {told} of what the replay tells: {all:#?}"
                )
            });
            if lived.told.acknowledged > 0 {
                acknowledged = from + lived.told.acknowledged;
            }
            told = told.max(from + said.len());
        }
        assert_eq!(told, all.len(), "{}: some of this was never told: {all:#?}", self.title());
    }

    /// How often each attempt's body began.
    pub(crate) fn bodies(&self) -> BTreeMap<Attempt, usize> {
        let mut bodies = BTreeMap::new();
        for (attempt, _) in self.lives.iter().flat_map(|lived| &lived.told.bodies) {
            *bodies.entry(attempt.clone()).or_default() += 1;
        }
        bodies
    }

    /// At-least-once: a body begins once, and once more for each life that it began in and that did not commit it.
    fn check_bodies(&self) {
        let mut ended = BTreeSet::new();
        let mut expected: BTreeMap<Attempt, usize> = BTreeMap::new();
        for lived in &self.lives {
            let ended_now = lived.log.ended_attempts();
            for (attempt, _) in &lived.told.bodies {
                assert!(!ended.contains(attempt), "{}: {attempt:?} had ended and ran again", self.title());
                let lost = !ended_now.contains(attempt);
                *expected.entry(attempt.clone()).or_insert(1) += usize::from(lost);
            }
            ended = ended_now;
        }
        assert_eq!(self.bodies(), expected, "{}: how often each body began", self.title());
    }

    /// What each body printed and logged: in its last run all of it, in one that was killed the beginning of it.
    fn effects(&self) -> BTreeMap<Attempt, Vec<Value>> {
        let mut effects: BTreeMap<Attempt, Vec<Value>> = BTreeMap::new();
        for (attempt, said) in self.lives.iter().rev().flat_map(|lived| lived.told.bodies.iter().rev()) {
            match effects.get(attempt) {
                Some(last) => assert!(last.starts_with(said), "{}: {attempt:?} {said:?} {last:?}", self.title()),
                None => _ = effects.insert(attempt.clone(), said.clone()),
            }
        }
        for value in effects.values_mut().flatten() {
            *value = serde_json::from_str(&self.last().plain(&value.to_string())).expect("JSON is left");
        }
        // Idempotency keys are of one execution: the same in all of its lives, and other ones in any other.
        for value in effects.values_mut().flatten() {
            if let Some(key) = value["fields"].get_mut("key") {
                *key = json!("KEY");
            }
        }
        effects
    }

    /// As if it had not been killed.
    pub(crate) fn check_against(&self, oracle: &Self) {
        self.check();
        self.check_bodies();
        assert_eq!(self.last().result(), oracle.last().result(), "{}", self.title());
        let (history, expected) = (self.last().history(), oracle.last().history());
        if history != expected {
            let differs = (0..).find(|&at| history.get(at) != expected.get(at)).unwrap_or_default();
            panic!(
                "{}: event {}\n  is {:?}\n  of an uninterrupted run {:?}\n{:#?}",
                self.title(),
                differs + 1,
                history.get(differs),
                expected.get(differs),
                self.last().0
            );
        }
        assert_eq!(self.effects(), oracle.effects(), "{}", self.title());
    }
}

/// `work(point, N)` for each failpoint in a thread of its own, N from 1 until it answers false.
pub(crate) fn every_operation(work: impl Fn(&'static str, u32) -> bool + Sync) {
    std::thread::scope(|scope| {
        for point in POINTS {
            let work = &work;
            scope.spawn(move || (1..).take_while(|&count| work(point, count)).count());
        }
    });
}

/// The run that is not interrupted.
pub(crate) fn oracle(case: &Case) -> Story {
    let oracle = Story::of(case, &[]);
    oracle.check();
    oracle.check_bodies();
    assert!(oracle.bodies().values().all(|&count| count == 1));
    oracle
}

/// States of the log in which a process was killed, beyond those that the failpoints are named after.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) kills: AtomicU32,
    pub(crate) suspended_in_a_wait: AtomicU32,
    pub(crate) between_attempts: AtomicU32,
}

impl Seen {
    fn note(&self, story: &Story) {
        self.kills.fetch_add(story.kills() as u32, Ordering::Relaxed);
        for lived in story.lives.iter().filter(|lived| lived.life.killed) {
            let Some(execution) = lived.log.fold() else { continue };
            if !matches!(lived.log.events().last(), Some(Event::InvocationCompleted { error: None, .. })) {
                continue;
            }
            for operation in execution.operations() {
                match (operation.operation_type, operation.status) {
                    (OperationType::Wait, OperationStatus::Started) => &self.suspended_in_a_wait,
                    (OperationType::Step, OperationStatus::Pending) => &self.between_attempts,
                    _ => continue,
                }
                .fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Kills the case at every operation, resumes it, and compares with the run that is not interrupted. Answers that run,
/// and where it was killed.
pub(crate) fn sweep(case: &Case) -> (Story, Seen) {
    let (oracle, seen) = (oracle(case), Seen::default());
    every_operation(|point, count| {
        let story = Story::of(case, &[Until::HeldAt(point, count)]);
        story.check_against(&oracle);
        seen.note(&story);
        story.lives[0].life.killed
    });
    println!("{}: {} kills", case.guest, seen.kills.load(Ordering::Relaxed));
    (oracle, seen)
}
