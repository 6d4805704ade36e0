//! Steps without the SDK, so that the same loop can ask for its events with `next` and with `next-unsealed`.

use std::cell::UnsafeCell;

const PAGE: usize = 4096;
/// Pages that each body writes to, spread over the ballast.
const DIRTIED: usize = 4;
const RUN: u8 = 0;

/// Where the host writes events: `event` is 56 bytes, aligned to 8.
struct EventArea(UnsafeCell<[u64; 7]>);

// SAFETY: a guest has one thread.
unsafe impl Sync for EventArea {}

static EVENT: EventArea = EventArea(UnsafeCell::new([0; 7]));

#[link(wasm_import_module = "everstep:workflow/durable@1.2.0")]
unsafe extern "C" {
    #[link_name = "begin-step"]
    fn begin_step(parent: u64, named: u32, name: u32, length: u32, semantics: u32) -> u64;
    #[link_name = "next"]
    fn next(frame: u32, event: *mut u8);
    #[link_name = "next-unsealed"]
    fn next_unsealed(event: *mut u8);
    #[link_name = "end"]
    #[allow(clippy::too_many_arguments, reason = "the canonical flat form of `step-outcome`")]
    fn end(
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

/// Runs that many steps with that much memory in use, beyond what any program has.
pub(crate) fn run(sealed: bool, steps: usize, mebibytes: usize) {
    let ballast = vec![1_u8; (mebibytes << 20).max(DIRTIED * PAGE)].leak();
    let (start, size) = (ballast.as_mut_ptr(), ballast.len());
    for _ in 0..steps {
        // SAFETY: the ballast is leaked, and nothing refers to it but this pointer.
        unsafe { step(sealed, start, size) };
    }
}

/// Nothing in this frame is alive across `next` but scalars and raw pointers.
#[inline(never)]
unsafe fn step(sealed: bool, ballast: *mut u8, size: usize) {
    let area = EVENT.0.get().cast::<u8>();
    let mut anchor = 0_u128;
    let frame = (&raw mut anchor).expose_provenance() as u32;
    // SAFETY: the flat forms of the interface; the area is large and aligned enough for an event.
    unsafe {
        let operation = begin_step(0, 0, 0, 0, 0);
        loop {
            if sealed {
                next(frame, area)
            } else {
                next_unsealed(area)
            }
            #[cfg(target_arch = "wasm32")]
            core::arch::wasm32::memory_grow::<0>(0);
            if area.read_volatile() != RUN {
                // Completed, without a payload: nothing to take over.
                return;
            }
            body(operation, ballast, size);
        }
    }
}

#[inline(never)]
unsafe fn body(operation: u64, ballast: *mut u8, size: usize) {
    for place in 0..DIRTIED {
        // SAFETY: within the ballast.
        unsafe { ballast.add(place * (size / DIRTIED)).write_volatile(2) };
    }
    // SAFETY: `succeed` without a payload.
    unsafe { end(operation, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) };
}
