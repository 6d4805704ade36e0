//! The simulated disks as a SQLite VFS: a thin translation; all that is decided is decided in `disk`.

use super::disk::{Code, FaultyDisk, State};
use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Once;

/// The VFS's name.
pub(super) const NAME: &CStr = c"everstep-faulty";
const LONGEST_PATH: c_int = 512;

/// Makes the VFS known to SQLite, once, for the life of the process.
pub(super) fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let vfs = Box::leak(Box::new(sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: LONGEST_PATH,
            pNext: std::ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_millis),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the structure is leaked, hence valid for ever, and complete for its version.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "registering the faulty VFS");
    });
}

/// An open file as SQLite allocates it: its header, then our state.
#[repr(C)]
struct File {
    base: sqlite3_file,
    open: *mut Open,
}

struct Open {
    disk: FaultyDisk,
    name: String,
    connection: u64,
    temporary: bool,
    attached: bool,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn code(result: Result<(), Code>) -> c_int {
    result.err().unwrap_or(ffi::SQLITE_OK)
}

/// # Safety
/// `file` was opened by [`open`] and not closed yet; SQLite uses a file from one thread at a time.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a mut Open {
    // SAFETY: `open` put a live box there, and by the contract above nobody else refers to it now.
    unsafe { &mut *(*file.cast::<File>()).open }
}

/// Runs `act` on the state of the file's disk.
///
/// # Safety
/// As for [`opened`].
unsafe fn on_file(file: *mut sqlite3_file, act: impl FnOnce(&mut State, &Open) -> Result<(), Code>) -> c_int {
    // SAFETY: passed on to the caller.
    let open = unsafe { opened(file) };
    code(act(&mut open.disk.0.state(), open))
}

/// # Safety
/// `name` is null or a C string.
unsafe fn named(name: *const c_char) -> Option<(FaultyDisk, String)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: by the contract above.
    let name = unsafe { CStr::from_ptr(name) }.to_str().ok()?;
    Some((FaultyDisk::of(name)?, name.to_owned()))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: `file` points to `szOsFile` bytes that SQLite allocated; no methods means that there is nothing to close.
    unsafe { (*file).pMethods = std::ptr::null() };
    // SAFETY: SQLite hands over a C string, or null for a temporary file. Those belong to no disk: `temp_store` keeps
    // them in memory, so that refusing them is right.
    let Some((disk, name)) = (unsafe { named(name) }) else { return ffi::SQLITE_CANTOPEN };
    let connection = {
        let mut state = disk.0.state();
        if let Err(code) = state.open(&name, flags & ffi::SQLITE_OPEN_CREATE != 0) {
            return code;
        }
        if !out_flags.is_null() {
            let read_only = ffi::SQLITE_OPEN_READONLY;
            let downgraded = (flags & !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE)) | read_only;
            // SAFETY: checked against null; SQLite's own variable.
            unsafe { *out_flags = if state.read_only { downgraded } else { flags } };
        }
        state.connections += 1;
        state.connections
    };
    let temporary = flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
    let open = Box::new(Open { disk, name, connection, temporary, attached: false });
    // SAFETY: as above; `File` is what `szOsFile` promised.
    unsafe {
        (*file.cast::<File>()).open = Box::into_raw(open);
        (*file).pMethods = &raw const METHODS;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once, and unmaps shared memory before.
    let open = unsafe { Box::from_raw((*file.cast::<File>()).open) };
    // SAFETY: still SQLite's allocation.
    unsafe { (*file).pMethods = std::ptr::null() };
    let mut state = open.disk.0.state();
    if let Some(locks) = state.locks.get_mut(&open.name) {
        locks.unlock(open.connection, ffi::SQLITE_LOCK_NONE);
    }
    if open.temporary {
        state.discard(&open.name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut sqlite3_file, into: *mut c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite's buffer of `amount` bytes, nobody else's during the call.
    let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), amount as usize) };
    // SAFETY: an open file.
    unsafe {
        on_file(file, |state, open| match state.read(&open.name, at as usize, into)? {
            read if read == into.len() => Ok(()),
            _ => Err(ffi::SQLITE_IOERR_SHORT_READ),
        })
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite's buffer of `amount` bytes.
    let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), amount as usize) };
    // SAFETY: an open file.
    unsafe { on_file(file, |state, open| state.write(&open.name, at as usize, from)) }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    unsafe { on_file(file, |state, open| state.truncate(&open.name, size as usize)) }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file, twice.
    unsafe {
        opened(file).disk.0.pass();
        on_file(file, |state, open| state.sync(&open.name))
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file; `size` is SQLite's variable.
    unsafe {
        on_file(file, |state, open| {
            *size = state.size(&open.name)? as i64;
            Ok(())
        })
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe {
        on_file(file, |state, open| state.locks.entry(open.name.clone()).or_default().lock(open.connection, level))
    }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe {
        on_file(file, |state, open| {
            state.locks.entry(open.name.clone()).or_default().unlock(open.connection, level);
            Ok(())
        })
    }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: an open file; `reserved` is SQLite's variable.
    unsafe {
        on_file(file, |state, open| {
            *reserved = c_int::from(state.locks.get(&open.name).is_some_and(|locks| locks.reserved()));
            Ok(())
        })
    }
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

// The next two answer as SQLite's VFS for Unix does, so that SQLite takes the same paths here as there.
unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    into: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let mut state = open.disk.0.state();
    let shared = state.shared.entry(open.name.clone()).or_default();
    if !open.attached {
        open.attached = true;
        shared.attached += 1;
    }
    // SAFETY: `into` is SQLite's variable. The region outlives the mapping: it goes when the last one detaches.
    unsafe { *into = shared.region(region as usize, bytes as usize, extend != 0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, amount: c_int, flags: c_int) -> c_int {
    let slots = offset as usize..(offset + amount) as usize;
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    // SAFETY: an open file.
    unsafe {
        on_file(file, |state, open| {
            let shared = state.shared.get_mut(&open.name).ok_or(ffi::SQLITE_IOERR_SHMLOCK)?;
            if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
                shared.unlock(slots, exclusive);
                return Ok(());
            }
            shared.lock(slots, exclusive)
        })
    }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: an open file. Taking the disk's lock orders memory for all threads that do.
    drop(unsafe { opened(file) }.disk.0.state());
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { opened(file) };
    let mut state = open.disk.0.state();
    if std::mem::take(&mut open.attached)
        && let Some(shared) = state.shared.get_mut(&open.name)
    {
        shared.attached -= 1;
        if shared.attached == 0 {
            state.shared.remove(&open.name);
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite hands over a C string.
    match unsafe { named(name) } {
        Some((disk, name)) => code(disk.0.state().delete(&name, sync_directory != 0)),
        None => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(_: *mut sqlite3_vfs, name: *const c_char, flags: c_int, answer: *mut c_int) -> c_int {
    // SAFETY: SQLite hands over a C string.
    let Some((disk, name)) = (unsafe { named(name) }) else { return ffi::SQLITE_IOERR_ACCESS };
    let state = disk.0.state();
    match state.access(&name) {
        Ok(there) => {
            let writable = flags != ffi::SQLITE_ACCESS_READWRITE || !state.read_only;
            // SAFETY: SQLite's variable.
            unsafe { *answer = c_int::from(there && writable) };
            ffi::SQLITE_OK
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn full_pathname(_: *mut sqlite3_vfs, name: *const c_char, room: c_int, into: *mut c_char) -> c_int {
    // SAFETY: SQLite hands over a C string.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if name.len() > room as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: `into` has `room` bytes, and they do not overlap with the name.
    unsafe { std::ptr::copy_nonoverlapping(name.as_ptr().cast(), into, name.len()) };
    ffi::SQLITE_OK
}

/// SQLite seeds one generator for all connections of the process, so this cannot be a disk's: it only has to be the
/// same in every run.
unsafe extern "C" fn randomness(_: *mut sqlite3_vfs, bytes: c_int, into: *mut c_char) -> c_int {
    // SAFETY: SQLite's buffer of that many bytes.
    unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), bytes as usize) }.fill(7);
    bytes
}

/// Nobody waits in a simulation.
unsafe extern "C" fn sleep(_: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::yield_now();
    microseconds
}

/// 2026-01-01, as a Julian day in milliseconds.
const TODAY: i64 = 212_633_942_400_000;

unsafe extern "C" fn current_time(_: *mut sqlite3_vfs, now: *mut f64) -> c_int {
    // SAFETY: SQLite's variable.
    unsafe { *now = TODAY as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_millis(_: *mut sqlite3_vfs, now: *mut i64) -> c_int {
    // SAFETY: SQLite's variable.
    unsafe { *now = TODAY };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}
