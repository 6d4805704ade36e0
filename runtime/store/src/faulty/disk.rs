//! The simulated disk: its files, its faults, and what loss of power leaves of it.

use super::locks::{FileLocks, Shared};
use super::vfs;
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

/// The unit that is written whole or not at all.
const SECTOR: usize = 512;

/// What happens at one operation (write, sync, truncation or deletion).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails once, without effect.
    Error,
    /// From here on every write fails: the disk is full. Ended by [`FaultyDisk::repair`].
    Full,
    /// A write keeps a random subset of its sectors and fails; anything else fails without effect.
    Torn,
    /// A sync answers success without having synced; anything else works.
    LoseSync,
    /// From here on no sync has an effect, and all answer success. Ended by [`FaultyDisk::repair`].
    LoseSyncs,
    /// From here on everything fails: the power is gone. See [`FaultyDisk::crash`].
    PowerOff,
}

/// What becomes of changes that no sync had covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// Loss of power; they had all reached the disk.
    Kept,
    /// Loss of power; none had.
    Lost,
    /// Loss of power; a random subset of their sectors had.
    Torn,
    /// Only the process died (`kill -9`): the operating system still has them all, and they are still not synced.
    Killed,
}

/// How much a disk was asked to do, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Truncations.
    pub truncates: u64,
    /// Deletions.
    pub deletes: u64,
}

impl Counts {
    /// Everything a fault can be planned for.
    pub fn operations(&self) -> u64 {
        self.writes + self.syncs + self.truncates + self.deletes
    }
}

/// One simulated disk. Clones are handles of the same disk.
#[derive(Clone)]
pub struct FaultyDisk(pub(super) Arc<Device>);

pub(super) struct Device {
    id: u64,
    state: Mutex<State>,
    held: Mutex<bool>,
    released: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    files: BTreeMap<String, File>,
    /// Deleted files whose deletion is not durable: name and durable content.
    ghosts: BTreeMap<String, Vec<u8>>,
    counts: Counts,
    plan: Vec<(u64, Fault)>,
    full: bool,
    lying: bool,
    off: bool,
    pub(super) read_only: bool,
    random: u64,
    pub(super) connections: u64,
    pub(super) locks: BTreeMap<String, FileLocks>,
    pub(super) shared: BTreeMap<String, Shared>,
}

#[derive(Clone, Default)]
struct File {
    content: Vec<u8>,
    /// None: not even its directory entry is durable.
    durable: Option<Vec<u8>>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { size: usize },
}

/// A SQLite result code other than OK.
pub(super) type Code = i32;

enum Verdict {
    Proceed,
    Tear,
    Lie,
}

static DISKS: Mutex<BTreeMap<u64, Weak<Device>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

impl std::fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyDisk({}, {:?})", self.0.id, self.counts())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        DISKS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Device {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while syncs are held.
    pub(super) fn pass(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.released.wait_while(held, |held| *held).unwrap_or_else(PoisonError::into_inner));
    }
}

impl FaultyDisk {
    /// An empty disk. The seed decides what [`Fault::Torn`] keeps.
    pub fn new(seed: u64) -> Self {
        Self::with(State { random: seed, ..State::default() })
    }

    fn with(state: State) -> Self {
        vfs::register();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let device =
            Arc::new(Device { id, state: Mutex::new(state), held: Mutex::default(), released: Condvar::new() });
        DISKS.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::downgrade(&device));
        Self(device)
    }

    /// The disk that a path from [`path`](Self::path) is on.
    pub(super) fn of(path: &str) -> Option<Self> {
        let id = path.strip_prefix("/disk-")?.split('/').next()?.parse().ok()?;
        DISKS.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?.upgrade().map(Self)
    }

    /// `path` as SQLite sees it.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").unwrap_or(path);
        Path::new(&format!("/disk-{}", self.0.id)).join(path)
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|name| self.0.state().files.contains_key(name))
    }

    pub(crate) fn vfs(&self) -> &'static std::ffi::CStr {
        vfs::NAME
    }

    /// Plans a fault for the `at`-th operation (counted from 1 since the disk was made). Several may be planned.
    pub fn plan(&self, at: u64, fault: Fault) {
        self.0.state().plan.push((at, fault));
    }

    /// Ends [`Fault::Full`] and [`Fault::LoseSyncs`], and forgets faults still planned. Power stays off.
    pub fn repair(&self) {
        let mut state = self.0.state();
        state.plan.clear();
        state.full = false;
        state.lying = false;
    }

    /// Lets nobody open a file for writing any more.
    pub fn make_read_only(&self) {
        self.0.state().read_only = true;
    }

    /// Holds every sync before it begins (`true`), or lets them all go on (`false`): for tests that need a commit to
    /// take as long as they say.
    pub fn hold_syncs(&self, hold: bool) {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = hold;
        self.0.released.notify_all();
    }

    /// What was asked of the disk so far.
    pub fn counts(&self) -> Counts {
        self.0.state().counts
    }

    /// The files, by name, as the running system sees them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.state();
        let name = |path: &str| path.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
        state.files.iter().map(|(path, file)| (name(path), file.content.clone())).collect()
    }

    /// Puts a file there, durably, as if it had always been.
    pub fn put(&self, path: impl AsRef<Path>, content: Vec<u8>) {
        let name = self.path(path.as_ref()).to_string_lossy().into_owned();
        let file = File { durable: Some(content.clone()), content, unsynced: Vec::new() };
        self.0.state().files.insert(name, file);
    }

    /// The disk after the crash: a new one, healthy, with counters at 0. This one stays what it was, so that one
    /// moment can be crashed in several ways.
    pub fn crash(&self, mode: CrashMode, seed: u64) -> FaultyDisk {
        let state = self.0.state();
        let mut random = seed ^ 0x6a09_e667_f3bc_c908;
        let mut files = BTreeMap::new();
        let name = |path: &str| path.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
        for (path, file) in &state.files {
            if path.contains("/temporary-") {
                continue;
            }
            let keep = match mode {
                CrashMode::Killed => Some(file.clone()),
                CrashMode::Kept => Some(File::durable(file.content.clone())),
                CrashMode::Lost => file.durable.clone().map(File::durable),
                CrashMode::Torn if file.durable.is_none() && chance(&mut random) => None,
                CrashMode::Torn => {
                    let mut content = file.durable.clone().unwrap_or_default();
                    file.unsynced.iter().for_each(|change| change.tear(&mut content, &mut random));
                    Some(File::durable(content))
                }
            };
            files.extend(keep.map(|file| (name(path), file)));
        }
        if matches!(mode, CrashMode::Lost | CrashMode::Torn) {
            for (path, content) in &state.ghosts {
                if mode == CrashMode::Lost || chance(&mut random) {
                    files.entry(name(path)).or_insert_with(|| File::durable(content.clone()));
                }
            }
        }
        drop(state);
        let after = Self::new(seed);
        let files = files.into_iter().map(|(name, file)| (after.path(Path::new(&name)).to_string_lossy().into(), file));
        after.0.state().files = files.collect();
        after
    }
}

impl File {
    fn durable(content: Vec<u8>) -> Self {
        Self { durable: Some(content.clone()), content, unsynced: Vec::new() }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate { size } => content.resize(*size, 0),
            Self::Write { at, bytes } => write(content, *at, bytes),
        }
    }

    /// Applies what a torn change leaves: each sector is there or not.
    fn tear(&self, content: &mut Vec<u8>, random: &mut u64) {
        match self {
            Self::Truncate { .. } => {
                if chance(random) {
                    self.apply(content);
                }
            }
            Self::Write { at, bytes } => {
                let mut start = 0;
                while start < bytes.len() {
                    let end = bytes.len().min(start + SECTOR - (at + start) % SECTOR);
                    if chance(random) {
                        write(content, at + start, &bytes[start..end]);
                    }
                    start = end;
                }
            }
        }
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

fn chance(random: &mut u64) -> bool {
    next(random) & 1 == 0
}

/// SplitMix64.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl State {
    /// The fate of the operation that `count` counts. Nothing is counted on a disk without power.
    fn operation(&mut self, failed: Code, count: impl FnOnce(&mut Counts)) -> Result<Verdict, Code> {
        self.powered()?;
        count(&mut self.counts);
        let now = self.counts.operations();
        let mut verdict = Ok(Verdict::Proceed);
        for (_, fault) in self.plan.iter().filter(|(at, _)| *at == now) {
            match fault {
                Fault::Error => verdict = Err(failed),
                Fault::Torn => verdict = Ok(Verdict::Tear),
                Fault::LoseSync => verdict = Ok(Verdict::Lie),
                Fault::Full => self.full = true,
                Fault::LoseSyncs => self.lying = true,
                Fault::PowerOff => self.off = true,
            }
        }
        self.powered()?;
        verdict
    }

    pub(super) fn powered(&self) -> Result<(), Code> {
        if self.off { Err(ffi::SQLITE_IOERR) } else { Ok(()) }
    }

    fn file(&mut self, name: &str) -> Result<&mut File, Code> {
        self.files.get_mut(name).ok_or(ffi::SQLITE_IOERR)
    }

    /// Creates the file if it is missing and `create`.
    pub(super) fn open(&mut self, name: &str, create: bool) -> Result<(), Code> {
        self.powered().map_err(|_| ffi::SQLITE_CANTOPEN)?;
        if create && !self.read_only {
            self.files.entry(name.to_owned()).or_default();
        }
        if self.files.contains_key(name) { Ok(()) } else { Err(ffi::SQLITE_CANTOPEN) }
    }

    pub(super) fn access(&self, name: &str) -> Result<bool, Code> {
        self.powered().map_err(|_| ffi::SQLITE_IOERR_ACCESS)?;
        Ok(self.files.contains_key(name))
    }

    /// Bytes read; the rest of `into` is zeroed.
    pub(super) fn read(&mut self, name: &str, at: usize, into: &mut [u8]) -> Result<usize, Code> {
        self.powered()?;
        let content = &self.file(name)?.content;
        let there = content.get(at.min(content.len())..).unwrap_or_default();
        let read = there.len().min(into.len());
        into[..read].copy_from_slice(&there[..read]);
        into[read..].fill(0);
        Ok(read)
    }

    pub(super) fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> Result<(), Code> {
        let verdict = self.operation(ffi::SQLITE_IOERR_WRITE, |counts| {
            counts.writes += 1;
            counts.bytes += bytes.len() as u64;
        })?;
        if self.full {
            return Err(ffi::SQLITE_FULL);
        }
        let mut random = self.random;
        let file = self.file(name)?;
        let change = Change::Write { at, bytes: bytes.to_vec() };
        if !matches!(verdict, Verdict::Tear) {
            change.apply(&mut file.content);
            file.unsynced.push(change);
            return Ok(());
        }
        change.tear(&mut file.content, &mut random);
        // What was torn is whatever the file now holds there.
        let end = file.content.len().min(at + bytes.len());
        if at < end {
            let bytes = file.content[at..end].to_vec();
            file.unsynced.push(Change::Write { at, bytes });
        }
        self.random = random;
        Err(ffi::SQLITE_IOERR_WRITE)
    }

    pub(super) fn truncate(&mut self, name: &str, size: usize) -> Result<(), Code> {
        let verdict = self.operation(ffi::SQLITE_IOERR_TRUNCATE, |counts| counts.truncates += 1)?;
        if matches!(verdict, Verdict::Tear) {
            return Err(ffi::SQLITE_IOERR_TRUNCATE);
        }
        let file = self.file(name)?;
        let change = Change::Truncate { size };
        change.apply(&mut file.content);
        file.unsynced.push(change);
        Ok(())
    }

    pub(super) fn sync(&mut self, name: &str) -> Result<(), Code> {
        match self.operation(ffi::SQLITE_IOERR_FSYNC, |counts| counts.syncs += 1)? {
            Verdict::Tear => return Err(ffi::SQLITE_IOERR_FSYNC),
            Verdict::Lie => return Ok(()),
            Verdict::Proceed if self.lying => return Ok(()),
            Verdict::Proceed => {}
        }
        self.ghosts.remove(name);
        let file = self.file(name)?;
        let durable = file.durable.get_or_insert_default();
        file.unsynced.drain(..).for_each(|change| change.apply(durable));
        Ok(())
    }

    pub(super) fn delete(&mut self, name: &str, sync_directory: bool) -> Result<(), Code> {
        if matches!(self.operation(ffi::SQLITE_IOERR_DELETE, |counts| counts.deletes += 1)?, Verdict::Tear) {
            return Err(ffi::SQLITE_IOERR_DELETE);
        }
        let file = self.files.remove(name).ok_or(ffi::SQLITE_IOERR_DELETE_NOENT)?;
        if sync_directory && !self.lying {
            self.ghosts.clear();
        } else if let Some(content) = file.durable {
            self.ghosts.insert(name.to_owned(), content);
        }
        Ok(())
    }

    /// Removes a temporary file, which no crash keeps: not an operation.
    pub(super) fn discard(&mut self, name: &str) {
        self.files.remove(name);
    }

    pub(super) fn size(&mut self, name: &str) -> Result<usize, Code> {
        self.powered()?;
        Ok(self.file(name)?.content.len())
    }
}
