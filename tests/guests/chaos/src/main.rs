//! Runs a random program, the input, and digests everything that it can see: every answer of the host, every address,
//! every bit of every NaN. Its result is the digest.
//!
//! Where a fault would be the same live and on replay, the guest asserts what it must see: a clock that moves with every
//! read, canonical NaNs, the frozen environment, the frozen bound of memory.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "built for wasm32-wasip2 alone"))]

mod program;

#[cfg(target_arch = "wasm32")]
mod acts;
#[cfg(target_arch = "wasm32")]
mod interpreter;
#[cfg(target_arch = "wasm32")]
mod memory;
#[cfg(target_arch = "wasm32")]
mod numbers;
#[cfg(target_arch = "wasm32")]
mod world;

fn main() {
    #[cfg(target_arch = "wasm32")]
    everstep_sdk::run(interpreter::handler);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("guest-chaos is a workflow; build it with `cargo build --target wasm32-wasip2`");
}
