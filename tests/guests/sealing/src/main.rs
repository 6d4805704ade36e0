//! What a workflow sees after step bodies that changed memory in every way there is. The input names a case; the result
//! is what the workflow saw outside its steps: numbers, and the addresses of what it allocated afterwards. Both must be
//! the same live, on replay, and when resumed half-way; the numbers are those of a workflow whose bodies left no trace.

mod cases;

use everstep_sdk as durable;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

#[derive(Deserialize)]
struct Input {
    case: String,
    /// Memory that is alive throughout, MiB: with some, the host puts memory back by mapping it anew, not by copying.
    #[serde(default)]
    ballast_mib: usize,
}

/// What the workflow saw.
#[derive(Default, Serialize)]
struct Seen {
    numbers: Vec<u64>,
    /// Of what the workflow allocated after each step.
    addresses: Vec<u32>,
    #[serde(skip)]
    kept: Vec<Vec<u8>>,
}

impl Seen {
    /// Notes a number, and where the allocator puts the next blocks.
    fn note(&mut self, number: u64) {
        self.numbers.push(number);
        for size in [24, 5_000, 200_000] {
            let block = vec![number as u8; size];
            self.addresses.push(block.as_ptr().addr() as u32);
            self.kept.push(block);
        }
    }
}

async fn handler(input: Input, ctx: durable::DurableContext) -> Result<Seen, durable::BoxError> {
    let ballast = Rc::new(RefCell::new(black_box(vec![1_u8; input.ballast_mib << 20])));
    let mut seen = cases::run(&input.case, &ctx).await?;
    if input.ballast_mib > 0 {
        let captured = Rc::clone(&ballast);
        let body = move |_| async move {
            let mut ballast = captured.borrow_mut();
            ballast.iter_mut().step_by(1_000).for_each(|byte| *byte = 9);
            Ok(ballast.len() as u64)
        };
        seen.note(ctx.step(body).name("ballast").await?);
        seen.note(ballast.borrow().iter().map(|byte| u64::from(*byte)).sum());
    }
    Ok(seen)
}

fn main() {
    durable::run(handler)
}
