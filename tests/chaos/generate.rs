//! Programs by number: the same on every machine.

use crate::program::{Act, Attempt, Batch, Callback, Condition, Op, Program, Step};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Operations of one program, nested ones included, at most; `Repeat` multiplies.
const OPS: u32 = 22;
const KINDS: u32 = 37;

struct Author {
    chance: ChaCha8Rng,
    /// Each program uses few kinds of acts, hence each of them often.
    kinds: Vec<u32>,
    left: u32,
}

/// The program with this number.
pub(crate) fn generate(seed: u64) -> Program {
    let mut author = Author { chance: ChaCha8Rng::seed_from_u64(seed), kinds: Vec::new(), left: OPS };
    let kinds = 2 + author.below(9);
    author.kinds = (0..kinds).map(|_| author.below(KINDS)).collect();
    let environment =
        (0..author.below(4)).map(|number| (["A", "HOME", "TZ"][number as usize].to_owned(), format!("{seed}")));
    let environment = environment.collect();
    let mut ops = Vec::new();
    if author.one_in(6) {
        // A memory that is put back by mapping it anew.
        ops.push(Op::Do(Act::Keep(1 << 20)));
    }
    while author.left > OPS / 2 || author.one_in(2) && author.left > 0 {
        ops.push(author.op(3));
    }
    Program {
        memory_bytes: (5 + u64::from(author.below(12))) << 20,
        environment,
        fails: author.one_in(12),
        arguments: (0..author.below(3)).map(|number| format!("argument {number}")).collect(),
        ops,
    }
}

/// A component's table of handles is not put back after a body: a body that gives several back in another order than the
/// reverse leaves other numbers to what follows.
fn in_a_body(act: Act) -> Act {
    match act {
        Act::Timers(count, _) => Act::Timers(count, false),
        other => other,
    }
}

impl Author {
    fn below(&mut self, bound: u32) -> u32 {
        self.chance.next_u32() % bound
    }

    fn one_in(&mut self, of: u32) -> bool {
        self.below(of) == 0
    }

    fn ops(&mut self, depth: u32) -> Vec<Op> {
        (0..1 + self.below(3)).map(|_| self.op(depth)).collect()
    }

    fn branches(&mut self, depth: u32) -> Vec<Vec<Op>> {
        (0..2 + self.below(3)).map(|_| self.ops(depth)).collect()
    }

    fn op(&mut self, depth: u32) -> Op {
        self.left = self.left.saturating_sub(1);
        let nests = depth > 0 && self.left > 0;
        match self.below(if nests { 38 } else { 22 }) {
            0..=5 => Op::Step(self.step()),
            6..=8 => Op::Wait(1 + self.below(4)),
            9 => Op::Send,
            10 => Op::Receive(1 + self.below(3)),
            11 => Op::Collect,
            12 => Op::Abandon,
            13..=17 => Op::Do(self.act()),
            18 => Op::Condition(self.condition()),
            19 => Op::Callback(self.callback()),
            20 => Op::Submit(self.callback(), (0..self.below(3)).map(|_| self.act()).map(in_a_body).collect()),
            21 => Op::Invoke(self.one_in(2)),
            22 | 23 => Op::Child(self.ops(depth - 1)),
            24 => Op::Join(self.branches(depth - 1)),
            25 | 26 => Op::Select(self.branches(depth - 1)),
            27 => Op::Unordered(self.branches(depth - 1)),
            28 => Op::Spawn(self.ops(depth - 1)),
            29 => Op::Peek(self.ops(depth - 1)),
            30 => Op::Branch(self.ops(depth - 1), self.ops(depth - 1)),
            31 => Op::Virtual(self.ops(depth - 1)),
            32..=34 => Op::Batch(self.batch(depth - 1)),
            35 => Op::Combine(self.below(8) as u8, self.one_in(3), self.branches(depth - 1)),
            36 => Op::Retry(self.below(4) as u8, self.ops(depth - 1)),
            _ => Op::Repeat(2, self.ops(depth - 1)),
        }
    }

    fn batch(&mut self, depth: u32) -> Batch {
        Batch {
            items: if self.one_in(8) { Vec::new() } else { self.branches(depth) },
            at_once: self.below(4) as u8,
            over: self.below(5) as u8,
            flat: self.one_in(2),
            map: self.one_in(2),
            eager: self.one_in(3),
        }
    }

    fn condition(&mut self) -> Condition {
        let body = (0..self.below(3)).map(|_| self.act()).map(in_a_body).collect();
        Condition { polls: 1 + self.below(3) as u8, seconds: 1 + self.below(2), body, eager: self.one_in(3) }
    }

    fn callback(&mut self) -> Callback {
        let (answered, eager) = (self.one_in(2), self.one_in(3));
        Callback { answered, timeout: 1 + self.below(4), heartbeat: self.below(3), eager }
    }

    fn step(&mut self) -> Step {
        let attempts = match self.below(16) {
            0 | 1 => vec![Attempt::Fail(1 + self.below(3)), self.success()],
            2 => vec![Attempt::Panic, self.success()],
            3 => vec![Attempt::Fail(1), Attempt::Fail(2)],
            _ => vec![self.success()],
        };
        Step {
            body: (0..self.below(4)).map(|_| self.act()).map(in_a_body).collect(),
            attempts,
            at_most_once: self.one_in(4),
            eager: self.one_in(4),
        }
    }

    fn success(&mut self) -> Attempt {
        match self.below(6) {
            0 if self.one_in(20) => Attempt::Text(300_000),
            0 => Attempt::Text(self.below(3000)),
            1 | 2 => Attempt::Draw,
            _ => Attempt::Value(self.below(100)),
        }
    }

    fn act(&mut self) -> Act {
        let among = self.below(self.kinds.len() as u32);
        let small = self.below(40) as u16;
        let size = match self.below(12) {
            0 => self.below(400_000),
            1 | 2 => self.below(20_000),
            _ => self.below(300),
        };
        match self.kinds[among as usize] {
            0 => Act::Wall,
            1 => Act::Monotonic,
            2 => Act::Random(small),
            3 => Act::Insecure(small),
            4 => Act::HashSeed,
            5 => Act::Environment,
            6 => Act::Arguments,
            7 => Act::Stdin(small),
            8 => Act::Print(small),
            9 => Act::Complain(small),
            10 => Act::Budget,
            11 => Act::Log,
            12 => Act::File(self.below(32) as u8),
            13 => Act::Socket(small as u8),
            14 => Act::Sleep(match self.below(3) {
                0 => 1000 + self.below(2000),
                _ => self.below(1000),
            }),
            15 => Act::Timers(1 + self.below(3) as u8, self.one_in(2)),
            16 => Act::Map(small),
            17 => Act::Set(small),
            18 => Act::Tree(small),
            19 | 20 => Act::Keep(size),
            21 => Act::Aligned(size as u16, self.below(15) as u8),
            22 => Act::Drop(1 + self.below(3) as u8),
            23 => Act::Extend(size),
            24 => Act::Leak(size),
            25 => Act::Scribble,
            26 => Act::Look,
            27 => Act::Count,
            28 | 29 => Act::Pages(1 + self.below(5) as u8),
            30 => Act::Edge,
            31 => Act::TooMuch,
            32 => Act::Deep(self.below(200) as u16),
            33 => Act::Stack(self.below(300) as u16),
            34 => Act::Poll((0..1 + self.below(3)).map(|_| self.below(2500) as u16).collect()),
            35 => Act::Float(1 + self.below(4) as u8),
            _ => Act::Vector(1 + self.below(4) as u8),
        }
    }
}
