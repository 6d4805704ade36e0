//! Smaller programs that fail as well.

use crate::program::{Batch, Op, Program};
use std::time::{Duration, Instant};

/// How long a failing program is made smaller.
const PATIENCE: Duration = Duration::from_secs(15);

/// The smallest failing program found, and why it fails; `Err` if it does not fail this time.
pub(crate) fn smallest(
    program: Program,
    fails: impl Fn(&Program) -> Option<String>,
) -> Result<(Program, String), Program> {
    let begun = Instant::now();
    let Some(mut why) = fails(&program) else { return Err(program) };
    let mut smallest = program;
    'again: loop {
        for ops in simpler(&smallest.ops) {
            let program = Program { ops, ..smallest.clone() };
            if begun.elapsed() > PATIENCE {
                break 'again;
            }
            if let Some(reason) = fails(&program) {
                (smallest, why) = (program, reason);
                continue 'again;
            }
        }
        break;
    }
    Ok((smallest, why))
}

/// Every program that is simpler by one thing, the simplest first.
fn simpler(ops: &[Op]) -> Vec<Vec<Op>> {
    let mut all = Vec::new();
    if ops.len() > 3 {
        let (front, back) = ops.split_at(ops.len() / 2);
        all.extend([front.to_vec(), back.to_vec()]);
    }
    let with = |at: usize, instead: Vec<Op>| [&ops[..at], &instead, &ops[at + 1..]].concat();
    all.extend((0..ops.len()).map(|at| with(at, Vec::new())));
    for (at, op) in ops.iter().enumerate() {
        all.extend(parts(op).into_iter().map(|part| with(at, part)));
        all.extend(variations(op).into_iter().map(|op| with(at, vec![op])));
    }
    all
}

/// What it is made of, to stand in its place.
fn parts(op: &Op) -> Vec<Vec<Op>> {
    match op {
        Op::Child(ops) | Op::Spawn(ops) | Op::Peek(ops) | Op::Repeat(_, ops) | Op::Retry(_, ops) | Op::Virtual(ops) => {
            vec![ops.clone()]
        }
        Op::Batch(Batch { items: parts, .. }) | Op::Combine(_, _, parts) => parts.clone(),
        Op::Join(parts) | Op::Select(parts) | Op::Unordered(parts) => parts.clone(),
        Op::Branch(one, other) => vec![one.clone(), other.clone()],
        _ => Vec::new(),
    }
}

/// The same with a simpler inside.
fn variations(op: &Op) -> Vec<Op> {
    let within = |ops: &[Op], wrap: &dyn Fn(Vec<Op>) -> Op| simpler(ops).into_iter().map(wrap).collect::<Vec<_>>();
    let among = |parts: &[Vec<Op>], wrap: &dyn Fn(Vec<Vec<Op>>) -> Op| {
        let replaced = |at: usize, instead: &[Vec<Op>]| wrap([&parts[..at], instead, &parts[at + 1..]].concat());
        let mut all: Vec<Op> = (0..parts.len()).map(|at| replaced(at, &[])).collect();
        for (at, part) in parts.iter().enumerate() {
            all.extend(simpler(part).into_iter().map(|part| replaced(at, &[part])));
        }
        all
    };
    match op {
        Op::Step(step) => {
            let mut all = Vec::new();
            for at in 0..step.body.len() {
                let mut step = step.clone();
                step.body.remove(at);
                all.push(step);
            }
            for at in (0..step.attempts.len()).filter(|_| step.attempts.len() > 1) {
                let mut step = step.clone();
                step.attempts.remove(at);
                all.push(step);
            }
            if step.at_most_once || step.eager {
                all.push(crate::program::Step { at_most_once: false, eager: false, ..step.clone() });
            }
            all.into_iter().map(Op::Step).collect()
        }
        Op::Child(ops) => within(ops, &Op::Child),
        Op::Spawn(ops) => within(ops, &Op::Spawn),
        Op::Peek(ops) => within(ops, &Op::Peek),
        Op::Repeat(times, ops) => within(ops, &|ops| Op::Repeat(*times, ops)),
        Op::Branch(one, other) => {
            let mut all = within(one, &|one| Op::Branch(one, other.clone()));
            all.extend(within(other, &|other| Op::Branch(one.clone(), other)));
            all
        }
        Op::Virtual(ops) => within(ops, &Op::Virtual),
        Op::Retry(failures, ops) => within(ops, &|ops| Op::Retry(*failures, ops)),
        Op::Batch(batch) => among(&batch.items, &|items| Op::Batch(Batch { items, ..batch.clone() })),
        Op::Combine(how, eager, parts) => among(parts, &|parts| Op::Combine(*how, *eager, parts)),
        Op::Join(parts) => among(parts, &Op::Join),
        Op::Select(parts) => among(parts, &Op::Select),
        Op::Unordered(parts) => among(parts, &Op::Unordered),
        _ => Vec::new(),
    }
}
