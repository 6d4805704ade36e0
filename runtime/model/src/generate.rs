//! Programs to test with: small, and full of things that happen at once.

use crate::program::{Callback, Combinator, Completion, Deed, Outcome, Outside, Poll, Program, Statement, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Names are few, so that a program with two statements swapped is often still plausible.
fn names() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => (-9..100i64).prop_map(Outcome::Succeed),
        3 => (1..4u32).prop_map(|retry_seconds| Outcome::Fail { error: "busy".into(), retry_seconds }),
        1 => Just(Outcome::GiveUp("refused".into())),
        1 => Just(Outcome::Trap),
    ]
}

/// Callbacks that end: by a deed, or by a timeout of theirs.
fn callbacks() -> impl Strategy<Value = Callback> {
    let heartbeats = vec((100..3000u64).prop_map(|after| (after, Deed::Heartbeat)), 0..3);
    let end = prop_oneof![
        3 => (100..4500u64, -9..100i64).prop_map(|(after, value)| Some((after, Deed::Succeed(value)))),
        1 => (100..4500u64).prop_map(|after| Some((after, Deed::Fail))),
        2 => Just(None),
    ];
    let seconds = || prop_oneof![2 => Just(0), 3 => 1..5u32];
    (heartbeats, end, seconds(), seconds()).prop_map(|(mut deeds, end, timeout, heartbeat)| {
        deeds.sort_unstable();
        deeds.extend(end);
        let timeout = if end.is_none() && timeout + heartbeat == 0 { 2 } else { timeout };
        Callback { timeout, heartbeat, outside: Outside(deeds) }
    })
}

/// The executions of [`Target::Short`] start up to a checkpoint's time after their START: they end later than that.
fn invokes() -> impl Strategy<Value = Statement> {
    let deeds = |deeds: &'static [Deed]| (100..4000u64, prop::sample::select(deeds)).prop_map(|deed| vec![deed]);
    let outside = prop_oneof![
        4 => deeds(&[Deed::Succeed(5), Deed::Succeed(60), Deed::Fail, Deed::Stop]).prop_map(|it| (Target::Durable, it)),
        2 => deeds(&[Deed::Succeed(7), Deed::Fail, Deed::TimeOut, Deed::Stop]).prop_map(|it| (Target::Plain, it)),
        1 => (2300..4000u64).prop_map(|after| (Target::Short, vec![(after, Deed::TimeOut)])),
        1 => Just((Target::Nobody, Vec::new())),
    ];
    outside.prop_map(|(target, deeds)| Statement::Invoke { target, outside: Outside(deeds) })
}

fn conditions() -> impl Strategy<Value = Statement> {
    let poll = prop_oneof![
        4 => (1..4u32).prop_map(Poll::Again),
        3 => Just(Poll::Met),
        1 => Just(Poll::Fail("no answer".into())),
        1 => Just(Poll::Trap),
    ];
    (names(), vec(poll, 1..5)).prop_map(|(name, polls)| Statement::Condition { name, polls })
}

fn completions() -> impl Strategy<Value = Completion> {
    let some = |most: std::ops::Range<usize>| prop_oneof![3 => Just(None), 1 => most.prop_map(Some)];
    let percent = prop_oneof![3 => Just(None), 2 => prop::sample::select(vec![0, 25, 33, 50, 100]).prop_map(Some)];
    (some(1..4), some(0..3), percent).prop_map(|(successes, failures, percent)| Completion {
        successes,
        failures,
        percent,
    })
}

fn statements() -> impl Strategy<Value = Statement> {
    let step = (names(), vec(outcomes(), 1..4), any::<bool>())
        .prop_map(|(name, attempts, at_most_once)| Statement::Step { name, attempts, at_most_once });
    let millis = prop_oneof![Just(0), 1..1000u64, 1000..4000u64];
    let leaf = prop_oneof![
        6 => step,
        3 => (1..5u32).prop_map(|seconds| Statement::Wait { seconds }),
        1 => millis.prop_map(|millis| Statement::Sleep { millis }),
        2 => callbacks().prop_map(Statement::Callback),
        1 => (callbacks(), vec(outcomes(), 1..3))
            .prop_map(|(callback, attempts)| Statement::Submit { callback, attempts }),
        2 => invokes(),
        2 => conditions(),
        3 => Just(Statement::ReadClock),
        2 => Just(Statement::Random),
        1 => Just(Statement::Print("line".into())),
        1 => Just(Statement::Return),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let body = || vec(inner.clone(), 1..4);
        prop_oneof![
            2 => (names(), body()).prop_map(|(name, body)| Statement::Child { name, body }),
            3 => vec(body(), 1..4).prop_map(Statement::Join),
            3 => vec(body(), 1..4).prop_map(Statement::Select),
            1 => body().prop_map(Statement::Virtual),
            3 => (names(), vec(body(), 0..5), 0..4usize, completions(), any::<bool>(), any::<bool>()).prop_map(
                |(name, items, at_once, completion, flat, map)| {
                    Statement::Batch { name, items, at_once, completion, flat, map }
                }
            ),
            2 => (names(), combinators(), vec(body(), 1..4))
                .prop_map(|(name, how, branches)| Statement::Combine { name, how, branches }),
            1 => (names(), 1..4u32, vec(body(), 1..4))
                .prop_map(|(name, seconds, attempts)| Statement::Retry { name, seconds, attempts }),
            1 => (0..3u32, body()).prop_map(|(times, body)| Statement::Repeat { times, body }),
        ]
    })
}

fn combinators() -> impl Strategy<Value = Combinator> {
    use Combinator::{JoinAll, Race, SelectOk, TryJoinAll};
    prop::sample::select(vec![TryJoinAll, JoinAll, SelectOk, Race])
}

/// Programs of one to six statements, nested up to three deep. Every program ends within a few hundred events.
pub fn programs() -> impl Strategy<Value = Program> {
    vec(statements(), 1..7).prop_map(Program)
}

fn tree(seed: u64) -> impl ValueTree<Value = Program> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    programs().new_tree(&mut runner).expect("nothing is filtered, so nothing is rejected")
}

/// The program with this number: the same on every machine.
pub fn program(seed: u64) -> Program {
    tree(seed).current()
}

/// The smallest variation of program `seed` that still `fails`, and what it fails with; none if the program does not.
pub fn smallest_failing(seed: u64, fails: impl Fn(&Program) -> Result<(), String>) -> Option<(Program, String)> {
    let mut tree = tree(seed);
    let mut smallest = (tree.current(), fails(&tree.current()).err()?);
    let mut simpler = tree.simplify();
    while simpler {
        simpler = match fails(&tree.current()) {
            Err(why) => {
                smallest = (tree.current(), why);
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    Some(smallest)
}
