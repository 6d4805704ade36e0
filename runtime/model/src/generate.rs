//! Programs to test with: small, and full of things that happen at once.

use crate::program::{Outcome, Program, Statement};
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

fn statements() -> impl Strategy<Value = Statement> {
    let step = (names(), vec(outcomes(), 1..4), any::<bool>())
        .prop_map(|(name, attempts, at_most_once)| Statement::Step { name, attempts, at_most_once });
    let millis = prop_oneof![Just(0), 1..1000u64, 1000..4000u64];
    let leaf = prop_oneof![
        6 => step,
        3 => (1..5u32).prop_map(|seconds| Statement::Wait { seconds }),
        1 => millis.prop_map(|millis| Statement::Sleep { millis }),
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
            1 => (0..3u32, body()).prop_map(|(times, body)| Statement::Repeat { times, body }),
        ]
    })
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
