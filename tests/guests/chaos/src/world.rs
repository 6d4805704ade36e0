//! What the program has: its digest, what it allocated, and where it is.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

pub(crate) static COUNTED: AtomicU64 = AtomicU64::new(1);

thread_local! {
    pub(crate) static LOCAL: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Shared by all that runs, bodies included: whatever they do to it is undone.
#[derive(Clone, Default)]
pub(crate) struct World(Rc<State>);

#[derive(Default)]
pub(crate) struct State {
    digest: Cell<u64>,
    sights: Cell<u64>,
    /// In a step's body. Set by the body itself, hence undone with everything else.
    inside: Cell<bool>,
    last_clock: Cell<u64>,
    pub(crate) memory_bytes: Cell<u64>,
    pub(crate) environment: RefCell<Vec<(String, String)>>,
    pub(crate) arguments: RefCell<Vec<String>>,
    pub(crate) kept: RefCell<Vec<Block>>,
    pub(crate) sent: RefCell<VecDeque<u64>>,
    pub(crate) receivers: RefCell<Vec<Waker>>,
}

impl std::ops::Deref for World {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

impl State {
    /// Takes a number into the digest.
    pub(crate) fn see(&self, number: u64) {
        let mixed = (self.digest.get() ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.digest.set(mixed ^ (mixed >> 31));
        self.sights.set(self.sights.get() + 1);
    }

    pub(crate) fn see_bytes(&self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.see(u64::from_le_bytes(word));
        }
        self.see(bytes.len() as u64);
    }

    pub(crate) fn see_address<T: ?Sized>(&self, at: *const T) {
        self.see(at.addr() as u64);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest.get()
    }

    pub(crate) fn sights(&self) -> u64 {
        self.sights.get()
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.inside.get()
    }

    pub(crate) fn enter_body(&self) {
        self.inside.set(true);
    }

    /// A reading of a clock, nanoseconds. Outside bodies both clocks are one, and move with every read.
    pub(crate) fn see_clock(&self, now: u64) {
        if !self.is_inside() {
            let last = self.last_clock.replace(now);
            assert!(now > last, "the clock went from {last} to {now}");
        }
        self.see(now);
    }

    /// Everything that a body could have changed and must not have.
    pub(crate) fn look(&self) {
        self.see(COUNTED.load(Ordering::Relaxed));
        LOCAL.with_borrow(|local| local.iter().for_each(|number| self.see(*number)));
        for block in self.kept.borrow().iter() {
            self.see_address(block.bytes().as_ptr());
            let stride = 1 + block.bytes().len() / 64;
            block.bytes().iter().step_by(stride).for_each(|byte| self.see(u64::from(*byte)));
        }
    }
}

/// Bytes that are kept, at an address and with an alignment that can be chosen.
pub(crate) struct Block {
    at: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// None if there is no memory for it.
    pub(crate) fn new(size: usize, align: usize, zeroed: bool) -> Option<Self> {
        let layout = Layout::from_size_align(size.max(1), align).ok()?;
        // SAFETY: the layout is not of size zero.
        let at = unsafe { if zeroed { std::alloc::alloc_zeroed(layout) } else { std::alloc::alloc(layout) } };
        let mut block = Self { at: NonNull::new(at)?, layout };
        if !zeroed {
            block.bytes_mut().fill(0x5a);
        }
        Some(block)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size, and written in full when it was made.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.layout.size()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; it is this value's alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.layout.size()) }
    }

    /// False if there is no memory for it.
    pub(crate) fn extend(&mut self, by: usize) -> bool {
        let size = self.layout.size() + by;
        let Ok(layout) = Layout::from_size_align(size, self.layout.align()) else { return false };
        // SAFETY: allocated with this layout; the new size is not zero and did not overflow.
        let Some(at) = NonNull::new(unsafe { std::alloc::realloc(self.at.as_ptr(), self.layout, size) }) else {
            return false;
        };
        let old = self.layout.size();
        (self.at, self.layout) = (at, layout);
        // SAFETY: the tail is this value's, and not initialised yet.
        unsafe { at.as_ptr().add(old).write_bytes(0xa5, by) };
        true
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, once.
        unsafe { std::alloc::dealloc(self.at.as_ptr(), self.layout) };
    }
}
