//! Locks and shared memory between the connections of one simulated disk.

use super::disk::Code;
use rusqlite::ffi;
use std::collections::BTreeMap;

/// SQLite's lock levels on a database file, by connection.
#[derive(Default)]
pub(super) struct FileLocks(BTreeMap<u64, i32>);

impl FileLocks {
    pub(super) fn lock(&mut self, connection: u64, level: i32) -> Result<(), Code> {
        let others = self.0.iter().filter(|(other, _)| **other != connection).map(|(_, level)| *level).max();
        let others = others.unwrap_or(ffi::SQLITE_LOCK_NONE);
        let limit = match level {
            ffi::SQLITE_LOCK_SHARED => ffi::SQLITE_LOCK_RESERVED,
            _ => ffi::SQLITE_LOCK_SHARED,
        };
        if others > limit {
            return Err(ffi::SQLITE_BUSY);
        }
        if level == ffi::SQLITE_LOCK_EXCLUSIVE && others >= ffi::SQLITE_LOCK_SHARED {
            self.0.insert(connection, ffi::SQLITE_LOCK_PENDING);
            return Err(ffi::SQLITE_BUSY);
        }
        self.0.insert(connection, level);
        Ok(())
    }

    pub(super) fn unlock(&mut self, connection: u64, level: i32) {
        match level {
            ffi::SQLITE_LOCK_NONE => self.0.remove(&connection),
            _ => self.0.insert(connection, level),
        };
    }

    pub(super) fn reserved(&self) -> bool {
        self.0.values().any(|level| *level >= ffi::SQLITE_LOCK_RESERVED)
    }
}

const SLOTS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// The write-ahead log's index and its locks. Regions never move and live as long as anybody is attached.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) attached: u32,
    regions: Vec<Region>,
    readers: [u32; SLOTS],
    writer: [bool; SLOTS],
}

/// Memory that SQLite reads and writes through the pointer it was given.
struct Region(*mut u64, usize);

// SAFETY: the pointer is owned by the region alone; what is behind it is only touched by SQLite, which orders its
// accesses with the locks below.
unsafe impl Send for Region {}

impl Region {
    fn new(bytes: usize) -> Self {
        let words = bytes.div_ceil(8);
        Self(Box::into_raw(vec![0u64; words].into_boxed_slice()).cast(), words)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` from a slice of that many words, and dropped once.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.0, self.1)) });
    }
}

impl Shared {
    /// The region, or null if it is not there and not wanted.
    pub(super) fn region(&mut self, index: usize, bytes: usize, extend: bool) -> *mut std::ffi::c_void {
        while extend && self.regions.len() <= index {
            self.regions.push(Region::new(bytes));
        }
        self.regions.get(index).map_or(std::ptr::null_mut(), |region| region.0.cast())
    }

    pub(super) fn lock(&mut self, slots: std::ops::Range<usize>, exclusive: bool) -> Result<(), Code> {
        let free = |slot: usize| !self.writer[slot] && (!exclusive || self.readers[slot] == 0);
        if !slots.clone().all(free) {
            return Err(ffi::SQLITE_BUSY);
        }
        for slot in slots {
            if exclusive {
                self.writer[slot] = true;
            } else {
                self.readers[slot] += 1;
            }
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self, slots: std::ops::Range<usize>, exclusive: bool) {
        for slot in slots {
            if exclusive {
                self.writer[slot] = false;
            } else {
                self.readers[slot] = self.readers[slot].saturating_sub(1);
            }
        }
    }
}
