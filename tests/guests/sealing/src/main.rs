//! What a workflow sees after step bodies that changed memory in every way there is. The input names a case; the result
//! is what the workflow saw outside its steps: numbers, and the addresses of what it allocated afterwards. Both must be
//! the same live, on replay, and when resumed half-way; the numbers are those of a workflow whose bodies left no trace.

mod cases;

use everstep_sdk as durable;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Input {
    case: String,
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
    cases::run(&input.case, &ctx).await
}

fn main() {
    durable::run(handler)
}
