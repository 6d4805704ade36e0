//! The sealed runner: the one place where `next` and `end` are called.
//!
//! At `end` the host puts linear memory back to where it was when `next` was called. For the compiler both are ordinary
//! external functions, so the runner must not give it anything to keep in a register across them, or to write to memory
//! after them, that a body could have changed:
//!
//! * one never-inlined function holds the loop, and nothing in it is alive across a call but raw pointers and scalars;
//! * bodies are type-erased, found through the registry in static memory, and called through a pointer that is read
//!   volatile, so that no body is ever inlined here;
//! * the outcome is lowered by hand and leaked. The generated bindings free their temporaries *after* the call, which
//!   here would be after the roll-back: a free into a heap that never allocated. `end` is the last action of its frame;
//! * an event is read only when it is not a `run`, out of a static area that the host wrote after it sealed the memory.

use crate::executor;
use crate::wire::{Outcome, WireError};
use std::cell::UnsafeCell;
use std::io::Write as _;
use std::mem::ManuallyDrop;

/// Why a body is to run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) operation: u64,
    pub(crate) attempt: u32,
    pub(crate) interrupted: bool,
    /// What the last [`StepEnd::Again`] left behind.
    pub(crate) state: Option<String>,
}

/// How an attempt ended, as `end` is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StepEnd {
    Succeed(String),
    Fail(WireError),
    Retry {
        delay_seconds: u32,
        error: WireError,
    },
    /// The attempt did what it should and the operation is not finished; the next one is given `state`.
    Again {
        delay_seconds: u32,
        state: String,
    },
}

/// What the host handed over.
#[derive(Debug)]
pub(crate) enum Delivery {
    Started { operation: u64, value: String },
    Completed { operation: u64, outcome: Outcome },
}

/// A step's body with its type erased: reads its environment, runs to its end, and encodes the outcome.
pub(crate) type Body = unsafe fn(*mut u8, Run) -> StepEnd;

const RUN: u8 = 0;
const STARTED: u8 = 1;

/// Where the host writes events: `event` is 56 bytes, aligned to 8.
struct EventArea(UnsafeCell<[u64; 7]>);

// SAFETY: a guest has one thread, and the area is accessed by the runner alone.
unsafe impl Sync for EventArea {}

static EVENT: EventArea = EventArea(UnsafeCell::new([0; 7]));

/// Runs bodies until the host delivers something else. Does not return if the execution suspends.
pub(crate) fn next_delivery() -> Delivery {
    let area = EVENT.0.get().cast::<u8>();
    // SAFETY: `area` is the static event area, and no reference into the guest's memory is alive here.
    unsafe {
        run_until_delivery(area);
        lift(area)
    }
}

#[inline(never)]
unsafe fn run_until_delivery(area: *mut u8) {
    // The only thing in this frame, as large and aligned as a frame is: its address is the stack pointer.
    let mut anchor = 0_u128;
    let frame = (&raw mut anchor).expose_provenance() as u32;
    loop {
        // SAFETY: the area is large and aligned enough for an event.
        unsafe { host::next(frame, area) };
        // The host shrank the memory that a body grew; a growth of zero pages makes the new size visible to the guest.
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::memory_grow::<0>(0);
        // SAFETY: the host has just written an event.
        let tag = unsafe { area.read_volatile() };
        if tag != RUN {
            break;
        }
        // SAFETY: a run event: u64, u32, bool and option<string>, at 8, 16, 20 and 24.
        unsafe {
            body_then_end(
                area.add(8).cast::<u64>().read_volatile(),
                area.add(16).cast::<u32>().read_volatile(),
                area.add(20).read_volatile(),
                area.add(24),
            );
        }
    }
}

#[inline(never)]
unsafe fn body_then_end(operation: u64, attempt: u32, interrupted: u8, state: *mut u8) {
    let (environment, body) = executor::enter_body(operation);
    // The host lowered it after the seal, so the roll-back takes it: it may be freed in here, and nowhere else.
    // SAFETY: the `option<string>` of the run event, lifted once.
    let state = unsafe { lift_optional(state) };
    let run = Run { operation, attempt, interrupted: interrupted != 0, state };
    // SAFETY: a plain read of a local; volatile keeps the compiler from knowing which function this is.
    let body: Body = unsafe { std::ptr::read_volatile(&raw const body) };
    // SAFETY: the registry pairs an environment with the body made for it, and keeps it alive while the step is
    // pending.
    let end = ManuallyDrop::new(unsafe { body(environment, run) });
    flush_output();
    let (case, flat) = lower(&end);
    // SAFETY: the flat form of `step-outcome`; everything it points to is leaked.
    unsafe { host::end(operation, case, flat) };
}

/// Hands what `print!` buffered to the host, so that no buffer is half-written at a seal.
pub(crate) fn flush_output() {
    // A closed stdout is no reason to fail a workflow.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
}

/// The canonical flat form of `step-outcome`: its case, and eleven slots.
fn lower(end: &StepEnd) -> (u32, [u32; 11]) {
    let mut flat = [0; 11];
    let case = match end {
        StepEnd::Succeed(payload) => {
            flat[0] = 1;
            lower_string(payload, &mut flat[1..3]);
            0
        }
        StepEnd::Fail(error) => {
            lower_error(error, &mut flat[..9]);
            1
        }
        StepEnd::Retry { delay_seconds, error } => {
            flat[0] = *delay_seconds;
            flat[1] = 0; // retry-reason: error
            lower_error(error, &mut flat[2..11]);
            2
        }
        StepEnd::Again { delay_seconds, state } => {
            flat[0] = *delay_seconds;
            flat[1] = 1; // retry-reason: state
            flat[2] = 1;
            lower_string(state, &mut flat[3..5]);
            2
        }
    };
    (case, flat)
}

fn lower_error(error: &WireError, slots: &mut [u32]) {
    lower_string(error.error_message().unwrap_or_default(), &mut slots[0..2]);
    lower_string(error.error_type().unwrap_or_default(), &mut slots[2..4]);
    if let Some(data) = error.error_data() {
        slots[4] = 1;
        lower_string(data, &mut slots[5..7]);
    }
    let frames: Vec<[u32; 2]> = error
        .stack_trace()
        .iter()
        .map(|frame| {
            let mut pair = [0; 2];
            lower_string(frame, &mut pair);
            pair
        })
        .collect();
    let frames = ManuallyDrop::new(frames);
    slots[7] = frames.as_ptr().expose_provenance() as u32;
    slots[8] = frames.len() as u32;
}

fn lower_string(text: &str, slots: &mut [u32]) {
    slots[0] = text.as_ptr().expose_provenance() as u32;
    slots[1] = text.len() as u32;
}

/// Takes over what the host lowered into the area.
///
/// # Safety
///
/// The area holds an event that is not a `run`, and nobody lifts it a second time.
unsafe fn lift(area: *mut u8) -> Delivery {
    // SAFETY (all blocks below): offsets and ownership are those of the canonical ABI for `event`.
    let tag = unsafe { area.read_volatile() };
    let operation = unsafe { area.add(8).cast::<u64>().read_volatile() };
    if tag == STARTED {
        let value = unsafe { lift_string(area.add(16)) };
        return Delivery::Started { operation, value };
    }
    let case = unsafe { area.add(16).read_volatile() };
    let payload = unsafe { area.add(20) };
    let outcome = match case {
        0 => Outcome::Succeeded(unsafe { lift_optional(payload) }),
        1 => Outcome::Failed(unsafe { lift_error(payload) }),
        2 => Outcome::TimedOut(unsafe { lift_error(payload) }),
        _ => Outcome::Stopped(unsafe { lift_error(payload) }),
    };
    Delivery::Completed { operation, outcome }
}

unsafe fn lift_error(at: *mut u8) -> WireError {
    // SAFETY: an `error-object`: message at 0, type at 8, data at 16, stack trace at 28.
    unsafe {
        let message = lift_string(at);
        let error_type = lift_string(at.add(8));
        let data = lift_optional(at.add(16));
        let frames = lift_list(at.add(28));
        WireError::new(Some(error_type), Some(message)).with_error_data(data).with_stack_trace(frames)
    }
}

unsafe fn lift_optional(at: *mut u8) -> Option<String> {
    // SAFETY: an `option<string>`: its case at 0, the string at 4.
    unsafe { if at.read_volatile() == 0 { None } else { Some(lift_string(at.add(4))) } }
}

unsafe fn lift_string(at: *mut u8) -> String {
    // SAFETY: pointer and length of bytes that the host wrote as UTF-8 into a block it got from `cabi_realloc`.
    unsafe {
        match lift_span(at) {
            (_, 0) => String::new(),
            (pointer, length) => String::from_raw_parts(pointer, length, length),
        }
    }
}

unsafe fn lift_list(at: *mut u8) -> Vec<String> {
    // SAFETY: pointer and length of pairs, in a block of 8 bytes an element aligned to 4 from `cabi_realloc`.
    unsafe {
        match lift_span(at) {
            (_, 0) => Vec::new(),
            (pointer, length) => {
                let mut spans = Vec::from_raw_parts(pointer.cast::<[u32; 2]>(), length, length);
                spans.iter_mut().map(|span| lift_string((&raw mut *span).cast())).collect()
            }
        }
    }
}

unsafe fn lift_span(at: *mut u8) -> (*mut u8, usize) {
    // SAFETY: two aligned words.
    let (address, length) = unsafe { (at.cast::<u32>().read_volatile(), at.add(4).cast::<u32>().read_volatile()) };
    (std::ptr::with_exposed_provenance_mut(address as usize), length as usize)
}

#[cfg(target_arch = "wasm32")]
mod host {
    #[link(wasm_import_module = "everstep:workflow/durable@1.2.0")]
    unsafe extern "C" {
        #[link_name = "next"]
        fn import_next(frame: u32, event: *mut u8);
        #[link_name = "end"]
        #[allow(clippy::too_many_arguments, reason = "the canonical flat form of `step-outcome`")]
        fn import_end(
            operation: u64,
            case: u32,
            f0: u32,
            f1: u32,
            f2: u32,
            f3: u32,
            f4: u32,
            f5: u32,
            f6: u32,
            f7: u32,
            f8: u32,
            f9: u32,
            f10: u32,
        );
    }

    #[inline(always)]
    pub(super) unsafe fn next(frame: u32, event: *mut u8) {
        // SAFETY: the caller hands over an event area.
        unsafe { import_next(frame, event) }
    }

    #[inline(always)]
    pub(super) unsafe fn end(operation: u64, case: u32, f: [u32; 11]) {
        // SAFETY: the caller hands over a lowered outcome.
        unsafe {
            import_end(operation, case, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10]);
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) unsafe fn next(_frame: u32, _event: *mut u8) {
        unreachable!("a workflow runs in Everstep only: build it for wasm32-wasip2");
    }

    pub(super) unsafe fn end(_operation: u64, _case: u32, _flat: [u32; 11]) {
        unreachable!("a workflow runs in Everstep only: build it for wasm32-wasip2");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_attempt_is_lowered_with_its_reason() {
        let state = "[1,2]".to_owned();
        let length = state.len() as u32;
        let address = state.as_ptr().expose_provenance() as u32;
        let again = ManuallyDrop::new(StepEnd::Again { delay_seconds: 7, state });
        assert_eq!(lower(&again), (2, [7, 1, 1, address, length, 0, 0, 0, 0, 0, 0]));

        let error = WireError::new(Some("Busy"), Some("later"));
        let retry = ManuallyDrop::new(StepEnd::Retry { delay_seconds: 9, error });
        let (case, flat) = lower(&retry);
        assert_eq!((case, flat[0], flat[1]), (2, 9, 0));
        assert_eq!((flat[3], flat[5], flat[6]), (5, 4, 0), "message, type, no data");
    }
}
