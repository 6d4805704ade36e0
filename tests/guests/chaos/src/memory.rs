//! Acts on memory: the heap, fresh pages, the stack.

use crate::world::{Block, COUNTED, LOCAL, World};
use core::arch::wasm32::{memory_grow, memory_size};
use std::hint::black_box;
use std::sync::atomic::Ordering;

const PAGE: usize = 64 << 10;
/// Left free for whatever else allocates, bytes.
const SPARE: u64 = 2 << 20;

fn address(at: usize) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(at)
}

fn is_room(world: &World, bytes: usize) -> bool {
    (memory_size::<0>() * PAGE + bytes) as u64 + SPARE <= world.memory_bytes.get()
}

pub(crate) fn keep(world: &World, size: u32, align: usize) {
    if !is_room(world, size as usize) {
        return world.see(0);
    }
    let zeroed = size.is_multiple_of(3);
    let mut block = Block::new(size as usize, align, zeroed).expect("there is room");
    if zeroed {
        let stride = 1 + block.bytes().len() / 512;
        block.bytes().iter().step_by(stride).for_each(|byte| world.see(u64::from(*byte)));
        let mark = world.digest() as u8;
        block.bytes_mut().iter_mut().step_by(997).for_each(|byte| *byte = mark);
    }
    world.see_address(block.bytes().as_ptr());
    world.kept.borrow_mut().push(block);
}

pub(crate) fn drop_every(world: &World, every: u8) {
    let mut number = 0;
    world.kept.borrow_mut().retain(|_| {
        number += 1;
        number % usize::from(every.max(1)) != 0
    });
}

pub(crate) fn extend(world: &World, by: u32) {
    if !is_room(world, by as usize) {
        return world.see(0);
    }
    if let Some(block) = world.kept.borrow_mut().last_mut() {
        assert!(block.extend(by as usize), "there is room");
        world.see_address(block.bytes().as_ptr());
    }
}

pub(crate) fn leak(world: &World, size: u32) {
    if !is_room(world, size as usize) {
        return world.see(0);
    }
    let leaked = Box::leak(vec![size as u8; size as usize].into_boxed_slice());
    world.see_address(leaked.as_ptr());
    world.see_address(Box::into_raw(Box::new(world.digest())));
}

pub(crate) fn scribble(world: &World) {
    let mark = world.digest() as u8 | 1;
    for block in world.kept.borrow_mut().iter_mut() {
        let stride = 1 + block.bytes().len() / 256;
        block.bytes_mut().iter_mut().step_by(stride).for_each(|byte| *byte = byte.wrapping_add(mark));
    }
}

pub(crate) fn count(world: &World) {
    COUNTED.fetch_add(world.digest() | 1, Ordering::Relaxed);
    LOCAL.with_borrow_mut(|local| {
        local.push(world.digest());
        if local.len() > 40 {
            *local = Vec::new();
        }
    });
}

/// Fresh memory that no allocator knows: it must be zero, whatever a body wrote where it now lies.
pub(crate) fn pages(world: &World, pages: u8) {
    let pages = usize::from(pages.max(1));
    if !is_room(world, pages * PAGE) {
        return world.see(0);
    }
    let first = memory_grow::<0>(pages);
    assert_ne!(first, usize::MAX, "memory within the bound was refused");
    world.see(first as u64);
    // All over it, and the last of each page.
    let lasts = (first + 1..=first + pages).map(|page| page * PAGE - 1);
    for at in (first * PAGE..(first + pages) * PAGE).step_by(1016).chain(lasts) {
        // SAFETY: within the pages that were just grown, which nobody else knows of.
        unsafe {
            world.see(u64::from(address(at).read_volatile()));
            address(at).write_volatile(0xee);
        }
    }
}

/// The end of memory, as the instance believes it.
pub(crate) fn edge(world: &World) {
    let end = memory_size::<0>() * PAGE;
    world.see(end as u64);
    let at = address(end - 1);
    // SAFETY: the last byte of memory, of which the allocator makes no use.
    unsafe {
        world.see(u64::from(at.read_volatile()));
        if world.is_inside() {
            at.write_volatile(0x77);
        }
    }
}

pub(crate) fn too_much(world: &World) {
    let free = (world.memory_bytes.get() as usize / PAGE).saturating_sub(memory_size::<0>());
    assert_eq!(memory_grow::<0>(free + 1), usize::MAX, "memory beyond the bound was given");
    world.see(free as u64);
}

/// Writes the stack so many KiB down.
#[inline(never)]
pub(crate) fn deep(kib: u16, mark: u64) -> u64 {
    let mut frame = [mark; 128];
    black_box(&mut frame);
    match kib {
        0 => frame[7],
        _ => deep(kib - 1, mark ^ u64::from(kib)).wrapping_add(black_box(&frame)[99]),
    }
}

/// Sees the stack so many KiB down: dead, and yet the same.
#[inline(never)]
pub(crate) fn stack(world: &World, kib: u16) {
    let anchor = 0_u64;
    let top = black_box(&raw const anchor).expose_provenance();
    let depth = (usize::from(kib) << 10).min(top.saturating_sub(64));
    for at in (top - depth..top).step_by(104) {
        // SAFETY: below this frame, in memory that is always there; nothing but this reads it.
        world.see(u64::from(unsafe { address(at).read_volatile() }));
    }
}
