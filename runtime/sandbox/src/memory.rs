//! Linear memory that a step's body cannot leave a trace in.
//!
//! At [`SealedMemory::seal`] the memory's content is set aside, at [`SealedMemory::unseal`] it is put back, growth
//! included. Two ways, by size:
//!
//! * small memories are copied; of the dead part of the shadow stack only the pages that were ever touched (Rust's
//!   default stack is 1 MiB, of which a quiescent guest uses a few hundred bytes). They count, dead as they are: padding
//!   and unused enum variants carry what lay on the stack before into the heap;
//! * large ones live in a memory file mapped copy-on-write: sealing writes the few pages that changed since to the
//!   file, unsealing maps it anew. The cost follows the pages dirtied, not the size.
//!
//! Growth is undone by reporting the old size from [`LinearMemory::byte_size`]: wasmtime takes the old size from there
//! at the guest's next `memory.grow` (of 0, which the SDK issues after every event) and republishes base and length. The
//! tail stays mapped and becomes zero, so a stale bound can never fault in the host. The unit tests pin this.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

const PAGE: usize = 4096;
/// Memories with more live bytes than this are remapped instead of copied: about where the two cost the same when a
/// body dirties a dozen pages.
const COPY_AT_MOST: usize = 768 << 10;

/// One linear memory, owned by the host.
pub struct SealedMemory {
    base: NonNull<u8>,
    reserved: usize,
    size: AtomicUsize,
    /// The largest size there ever was. A guest whose growth was undone believes it until it next grows, which may be in
    /// another body: what it writes up to here is undone as well.
    opened: AtomicUsize,
    seal: Mutex<Seal>,
}

// SAFETY: the mapping belongs to this value alone and is accessed by the thread that runs the guest, or after the
// guest's store is gone; the rest is atomics and a mutex.
unsafe impl Send for SealedMemory {}
// SAFETY: as above.
unsafe impl Sync for SealedMemory {}

#[derive(Default)]
struct Seal {
    /// Size in bytes at the seal; growth beyond it is undone.
    size: usize,
    /// From here on everything is copied; below, in the dead stack, `touched` pages are.
    from: usize,
    copy: Vec<u8>,
    touched: Vec<usize>,
    touched_copy: Vec<u8>,
    /// The memory file behind a large memory, once it needed one.
    file: Option<std::fs::File>,
    remapped: bool,
}

impl SealedMemory {
    fn reserve(minimum: usize, reserved: usize) -> Result<Self, String> {
        // SAFETY: a fresh anonymous mapping; no existing memory is touched.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        let base = NonNull::new(base.cast::<u8>())
            .filter(|base| base.as_ptr().cast() != libc::MAP_FAILED)
            .ok_or_else(|| format!("cannot reserve {reserved} bytes of address space"))?;
        let (size, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let memory = Self { base, reserved, size, opened, seal: Mutex::default() };
        memory.open_up_to(minimum).map_err(|error| format!("cannot map {minimum} bytes: {error}"))?;
        Ok(memory)
    }

    fn open_up_to(&self, size: usize) -> std::io::Result<()> {
        if size > 0 {
            // SAFETY: the range lies within our reservation: wasmtime never grows beyond `byte_capacity`.
            let done = unsafe { libc::mprotect(self.base.as_ptr().cast(), size, libc::PROT_READ | libc::PROT_WRITE) };
            if done != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        self.size.store(size, Ordering::Relaxed);
        self.opened.fetch_max(size, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes the guest can use.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// The content. Call it only while the guest is not running.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `size` bytes from `base` are mapped readable for as long as `self` lives, and the caller promises
        // that nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.size()) }
    }

    /// Sets the content aside. Below `from` lies dead stack, most of which was never touched (0: unknown).
    pub(crate) fn seal(&self, from: usize) -> std::io::Result<()> {
        let mut seal = self.seal.lock().unwrap_or_else(PoisonError::into_inner);
        seal.size = self.size();
        seal.from = from.min(seal.size) & !(PAGE - 1);
        // A memory that has its file stays with it: dropping pages would bring the file's content back, not zeroes.
        seal.remapped = seal.file.is_some() || seal.size - seal.from > COPY_AT_MOST;
        if seal.remapped {
            seal.copy = Vec::new();
            return self.write_back(&mut seal);
        }
        let touched = self.pages(seal.from, |entry| entry >> 62 != 0);
        let Seal { copy, touched_copy, .. } = &mut *seal;
        copy.clear();
        touched_copy.clear();
        match touched {
            Ok(touched) => {
                touched.iter().for_each(|page| touched_copy.extend_from_slice(&self.bytes()[page * PAGE..][..PAGE]));
                seal.touched = touched;
            }
            Err(_) => {
                // Without a page map every page may have been touched.
                seal.touched.clear();
                seal.from = 0;
            }
        }
        let from = seal.from;
        seal.copy.extend_from_slice(&self.bytes()[from..]);
        Ok(())
    }

    /// Puts the content back as it was at [`SealedMemory::seal`].
    pub(crate) fn unseal(&self) -> std::io::Result<()> {
        let seal = self.seal.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = self.opened.load(Ordering::Relaxed);
        if seal.remapped {
            let (size, file) = (seal.size, seal.file.as_ref());
            let file = file.ok_or_else(|| std::io::Error::other("sealed memory lost its file"))?;
            self.map(file, size)?;
        } else {
            // Only what lies between the touched pages is dropped: dropping those as well would cost a fault each.
            let mut untouched = 0;
            for (page, content) in seal.touched.iter().zip(seal.touched_copy.chunks_exact(PAGE)) {
                self.zero(untouched, page * PAGE)?;
                self.put(page * PAGE, content);
                untouched = (page + 1) * PAGE;
            }
            self.zero(untouched, seal.from)?;
            self.put(seal.from, &seal.copy);
        }
        if grown > seal.size {
            self.zero(seal.size, grown)?;
            self.size.store(seal.size, Ordering::Relaxed);
        }
        Ok(())
    }

    fn put(&self, at: usize, content: &[u8]) {
        debug_assert!(at + content.len() <= self.size());
        // SAFETY: the content was taken from here at the seal, and the memory has not become smaller since.
        unsafe { std::ptr::copy_nonoverlapping(content.as_ptr(), self.base.as_ptr().add(at), content.len()) }
    }

    /// Anonymous pages read as zero again.
    fn zero(&self, from: usize, to: usize) -> std::io::Result<()> {
        if from == to {
            return Ok(());
        }
        // SAFETY: the range is ours and mapped.
        let done = unsafe { libc::madvise(self.base.as_ptr().add(from).cast(), to - from, libc::MADV_DONTNEED) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    /// Brings the memory file up to date with the pages written since, and maps it copy-on-write.
    fn write_back(&self, seal: &mut Seal) -> std::io::Result<()> {
        use std::os::unix::fs::FileExt;
        let fresh = seal.file.is_none();
        let file = match seal.file.take() {
            Some(file) => file,
            None => memory_file()?,
        };
        file.set_len(seal.size as u64)?;
        let bytes = self.bytes();
        let dirty: Vec<usize> = if fresh {
            (0..bytes.len() / PAGE).filter(|page| bytes[page * PAGE..][..PAGE].iter().any(|byte| *byte != 0)).collect()
        } else {
            // Copied on write since the last mapping: no longer the file's. Without a page map all may be.
            self.pages(bytes.len(), |entry| entry >> 62 != 0 && entry & (1 << 61) == 0)
                .unwrap_or_else(|_| (0..bytes.len() / PAGE).collect())
        };
        for page in dirty {
            file.write_all_at(&bytes[page * PAGE..][..PAGE], (page * PAGE) as u64)?;
        }
        self.map(&file, seal.size)?;
        seal.file = Some(file);
        Ok(())
    }

    fn map(&self, file: &std::fs::File, size: usize) -> std::io::Result<()> {
        use std::os::fd::AsRawFd;
        // SAFETY: replaces the first `size` bytes of our own reservation; no Rust reference into them is alive.
        let mapped = unsafe {
            libc::mmap(
                self.base.as_ptr().cast(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                file.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Pages of the first `size` bytes whose entries in the kernel's page map are as wanted: bits 63 and 62 say that a
    /// page is there (in memory, swapped out), bit 61 that it is a file's.
    fn pages(&self, size: usize, wanted: impl Fn(u64) -> bool) -> std::io::Result<Vec<usize>> {
        use std::os::unix::fs::FileExt;
        let mut entries = vec![0u8; size / PAGE * 8];
        let start = (self.base.as_ptr() as usize / PAGE * 8) as u64;
        PAGEMAP.with(|file| match file {
            Ok(file) => file.read_exact_at(&mut entries, start),
            Err(error) => Err(std::io::Error::new(error.kind(), format!("/proc/self/pagemap: {error}"))),
        })?;
        let entries = entries.chunks_exact(8).map(|entry| u64::from_ne_bytes(entry.try_into().expect("eight bytes")));
        Ok(entries.enumerate().filter(|(_, entry)| wanted(*entry)).map(|(page, _)| page).collect())
    }
}

thread_local! {
    static PAGEMAP: std::io::Result<std::fs::File> = std::fs::File::open("/proc/self/pagemap");
}

fn memory_file() -> std::io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: a plain system call with a literal name; the descriptor is ours alone.
    unsafe {
        let fd = libc::memfd_create(c"everstep-memory".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 { Err(std::io::Error::last_os_error()) } else { Ok(std::fs::File::from_raw_fd(fd)) }
    }
}

impl Drop for SealedMemory {
    fn drop(&mut self) {
        // SAFETY: our own reservation, and nobody holds the memory any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.reserved) };
    }
}

struct Linear(Arc<SealedMemory>);

// SAFETY: the base never moves, `byte_capacity` bytes are reserved, growth opens pages that read as zero.
unsafe impl LinearMemory for Linear {
    fn byte_size(&self) -> usize {
        self.0.size()
    }
    fn byte_capacity(&self) -> usize {
        self.0.reserved
    }
    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        Ok(self.0.open_up_to(size)?)
    }
    fn as_ptr(&self) -> *mut u8 {
        self.0.base.as_ptr()
    }
}

thread_local! {
    /// Memories created on this thread since [`collect`] was last called: instantiation happens on one thread.
    static CREATED: std::cell::RefCell<Vec<Arc<SealedMemory>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Gives every component instance memories of this module.
pub(crate) struct Creator;

// SAFETY: what it creates is reserved with the guard wasmtime asks for and zero-filled.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.unwrap_or(1 << 32).max(minimum) + guard;
        let memory = Arc::new(SealedMemory::reserve(minimum, reserved)?);
        CREATED.with(|created| created.borrow_mut().push(memory.clone()));
        Ok(Box::new(Linear(memory)))
    }
}

/// The memories created on this thread since the last call.
pub(crate) fn collect() -> Vec<Arc<SealedMemory>> {
    CREATED.with(|created| std::mem::take(&mut *created.borrow_mut()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(memory: &SealedMemory, at: usize, byte: u8) {
        assert!(at < memory.size());
        // SAFETY: within the mapped size; the test is the only user.
        unsafe { memory.base.as_ptr().add(at).write(byte) }
    }

    fn seal_and_restore(size: usize, from: usize) {
        let memory = SealedMemory::reserve(size, 256 << 20).unwrap();
        for round in 0..3u8 {
            write(&memory, size - 1, 10 + round);
            write(&memory, from, 20 + round);
            if from > 0 {
                write(&memory, 3 * PAGE + 7, 30 + round);
            }
            memory.seal(from).unwrap();
            let before = memory.bytes().to_vec();
            (0..size).step_by(PAGE / 2).for_each(|at| write(&memory, at, 99));
            memory.open_up_to(size + (64 << 10)).unwrap();
            write(&memory, size + 5, 77);
            memory.unseal().unwrap();
            assert_eq!(memory.size(), size, "growth is undone");
            assert!(memory.bytes() == before, "content is back, round {round}");
            memory.open_up_to(size + (64 << 10)).unwrap();
            assert!(memory.bytes()[size..].iter().all(|byte| *byte == 0), "grown memory reads as zero again");
            memory.open_up_to(size).unwrap();
        }
    }

    #[test]
    fn small_memories_are_put_back_by_copy() {
        seal_and_restore(2 << 20, (2 << 20) - (512 << 10));
    }

    #[test]
    fn large_memories_are_put_back_by_mapping() {
        seal_and_restore(16 << 20, 0);
    }

    /// Between two bodies with nothing handed over, the guest's own size is still that of the first one's growth.
    #[test]
    fn what_a_body_writes_behind_the_end_is_gone_when_memory_grows() {
        for size in [256 << 10, 16 << 20] {
            let memory = SealedMemory::reserve(size, 256 << 20).unwrap();
            write(&memory, size - 1, 1);
            memory.seal(0).unwrap();
            memory.open_up_to(size + (64 << 10)).unwrap();
            memory.unseal().unwrap();
            memory.seal(0).unwrap();
            // SAFETY: mapped since it was open once, and the test is the only user.
            unsafe { memory.base.as_ptr().add(size + 9).write(2) };
            memory.unseal().unwrap();
            memory.open_up_to(size + (64 << 10)).unwrap();
            assert_eq!((memory.bytes()[size - 1], memory.bytes()[size + 9]), (1, 0));
        }
    }

    #[test]
    fn a_memory_that_grows_past_the_bound_changes_its_way() {
        let memory = SealedMemory::reserve(256 << 10, 256 << 20).unwrap();
        write(&memory, 9, 1);
        memory.seal(0).unwrap();
        write(&memory, 9, 2);
        memory.unseal().unwrap();
        memory.open_up_to(8 << 20).unwrap();
        write(&memory, 7 << 20, 3);
        memory.seal(0).unwrap();
        write(&memory, 9, 4);
        write(&memory, 7 << 20, 5);
        memory.unseal().unwrap();
        assert_eq!((memory.bytes()[9], memory.bytes()[7 << 20]), (1, 3));
    }
}
