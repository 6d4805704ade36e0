//! The root in memory with everything that is open in it, shared by descriptors and streams.

use super::tree::{Inode, Time, Tree};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

/// A handle on the files of one run.
#[derive(Clone)]
pub(super) struct MemoryFiles(Arc<Mutex<Shared>>);

struct Shared {
    state: State,
    /// Where the virtual clock stands: nanoseconds since the Unix epoch.
    now: u64,
    body: Option<OpenBody>,
}

/// All that a guest can change. A copy costs nothing until either is changed.
#[derive(Clone)]
struct State {
    tree: Tree,
    cursors: Arc<BTreeMap<u64, Cursor>>,
    next_id: u64,
}

struct OpenBody {
    before: State,
    disturbed: bool,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    position: u64,
    /// A write failed, so the stream is over.
    closed: bool,
}

impl Shared {
    /// A body sees the real time; what it does to files is undone.
    fn now(&self) -> Time {
        match self.body {
            Some(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() }
            }
            None => Time::from_nanos(self.now),
        }
    }
}

impl MemoryFiles {
    pub(super) fn new(tree: Tree) -> Self {
        let state = State { tree, cursors: Arc::default(), next_id: 0 };
        Self(Arc::new(Mutex::new(Shared { state, now: 0, body: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tick(&self, now: u64) {
        self.lock().now = now;
    }

    pub(super) fn open_body(&self) {
        let mut shared = self.lock();
        shared.body = Some(OpenBody { before: shared.state.clone(), disturbed: false });
    }

    pub(super) fn disturbed(&self) -> bool {
        self.lock().body.as_ref().is_some_and(|body| body.disturbed)
    }

    pub(super) fn close_body(&self) {
        let mut shared = self.lock();
        if let Some(body) = shared.body.take() {
            shared.state = body.before;
        }
    }

    /// Does something to the tree, at the time that it is.
    pub(super) fn tree<R>(&self, act: impl FnOnce(&mut Tree, Time) -> R) -> R {
        let mut shared = self.lock();
        let now = shared.now();
        act(&mut shared.state.tree, now)
    }

    /// Something that is open on `inode` until it is dropped.
    pub(super) fn open(&self, inode: Inode) -> Opened {
        self.open_at(inode, 0)
    }

    /// The same, standing at a position.
    pub(super) fn open_at(&self, inode: Inode, position: u64) -> Opened {
        let mut shared = self.lock();
        let State { tree, cursors, next_id } = &mut shared.state;
        let id = *next_id;
        *next_id += 1;
        tree.opened(inode);
        Arc::make_mut(cursors).insert(id, Cursor { position, closed: false });
        Opened { files: self.clone(), id, inode }
    }
}

/// A descriptor's, a listing's or a stream's hold on a file.
pub(super) struct Opened {
    pub(super) files: MemoryFiles,
    id: u64,
    pub(super) inode: Inode,
}

impl Opened {
    /// Moves on by `steps` and answers where it stood.
    pub(super) fn advance(&self, steps: u64) -> u64 {
        let mut shared = self.files.lock();
        let cursor = Arc::make_mut(&mut shared.state.cursors).entry(self.id).or_default();
        let position = cursor.position;
        cursor.position = position.saturating_add(steps);
        position
    }

    /// Reads at most `length` bytes from where it stands, and moves on by as many.
    pub(super) fn read(&self, length: u64) -> Result<Bytes, ErrorCode> {
        let position = self.advance(0);
        let bytes = self.files.tree(|tree, _| tree.read(self.inode, position, length))?;
        self.advance(bytes.len() as u64);
        Ok(bytes)
    }

    /// Writes all of it or nothing where it stands, or at the end; the first failure closes it.
    pub(super) fn write(&self, bytes: &[u8], append: bool) -> Result<(), ErrorCode> {
        let position = self.advance(0);
        let written = self.files.tree(|tree, now| {
            let offset = if append { tree.size(self.inode)? } else { position };
            tree.write(self.inode, offset, bytes, now)
        });
        match written {
            Ok(()) => _ = self.advance(bytes.len() as u64),
            Err(_) => {
                let mut shared = self.files.lock();
                Arc::make_mut(&mut shared.state.cursors).entry(self.id).or_default().closed = true;
            }
        }
        written
    }

    pub(super) fn is_closed(&self) -> bool {
        self.files.lock().state.cursors.get(&self.id).is_none_or(|cursor| cursor.closed)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut shared = self.files.lock();
        let Shared { state, body, .. } = &mut *shared;
        if let Some(body) = body {
            // Its number in the guest would go to somebody else, which no roll-back can undo.
            body.disturbed |= self.id < body.before.next_id;
        }
        Arc::make_mut(&mut state.cursors).remove(&self.id);
        state.tree.closed(self.inode);
    }
}
