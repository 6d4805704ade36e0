//! The files of a workflow: `wasi:filesystem` with one root in memory, and real directories for step bodies.
//!
//! | preopened | outside a body | inside |
//! | --- | --- | --- |
//! | `/` ([`memory`]) | in memory, empty at first; a pure function of the guest's calls, hence rebuilt by replay | an overlay, gone when the body ends |
//! | `/bundle` in it ([`bundle`]) | read-only, the same for the whole life of the execution | likewise |
//! | granted directories ([`granted`]) | every call answers `access` | real |
//!
//! Times are the virtual clock's, in a body the real one's. There are no links: nothing leads out of the directory that
//! a path starts from. Nothing of this is journaled.

mod bundle;
mod content;
mod descriptor;
mod granted;
mod memory;
mod path;
mod streams;
mod tree;

pub use bundle::{Bundle, BundleEntry, BundleError};
pub use granted::{Directory, DirectoryError, GuestDirectory};

use crate::guest::GuestState;
use descriptor::MemoryDescriptor;
use granted::Granted;
use memory::MemoryFiles;
use tree::{ROOT, Tree};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::preopens;

/// What a guest has of a filesystem, beside an empty root.
#[derive(Clone, Default)]
pub struct GuestFiles {
    /// Read-only under `/bundle`.
    pub bundle: Option<Bundle>,
    /// Real directories for step bodies. Their paths, in this order, are what the guest sees.
    pub directories: Vec<GuestDirectory>,
}

/// The filesystem of one run. Without a root nothing is preopened: so it was before there were files.
pub(crate) struct Filesystem {
    memory: Option<MemoryFiles>,
    directories: Vec<GuestDirectory>,
    told_outside: bool,
    told_missing: bool,
}

impl Filesystem {
    /// `limit`: bytes in all files together.
    pub(crate) fn new(files: Option<GuestFiles>, limit: u64) -> Self {
        let (memory, directories) = match files {
            Some(GuestFiles { bundle, directories }) => {
                let mut tree = bundle.map_or_else(|| Tree::new(limit), Bundle::into_tree);
                tree.set_limit(limit);
                (Some(MemoryFiles::new(tree)), directories)
            }
            None => (None, Vec::new()),
        };
        Self { memory, directories, told_outside: false, told_missing: false }
    }

    /// The virtual clock stands there now: nanoseconds since the Unix epoch.
    pub(crate) fn tick(&self, now: u64) {
        if let Some(memory) = &self.memory {
            memory.tick(now);
        }
    }

    /// From here on changes are undone by [`Filesystem::close_body`].
    pub(crate) fn open_body(&self) {
        if let Some(memory) = &self.memory {
            memory.open_body();
        }
    }

    /// Whether the open body closed something that it had not opened.
    pub(crate) fn disturbed(&self) -> bool {
        self.memory.as_ref().is_some_and(MemoryFiles::disturbed)
    }

    /// Puts everything back, positions of streams included.
    pub(crate) fn close_body(&self) {
        if let Some(memory) = &self.memory {
            memory.close_body();
        }
    }
}

impl preopens::Host for GuestState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(memory) = self.files.memory.clone() else { return Ok(Vec::new()) };
        let root = self.table.push(MemoryDescriptor::new(memory.open(ROOT), true, false))?;
        let mut preopened = vec![(Resource::new_own(root.rep()), "/".to_owned())];
        for directory in &self.files.directories {
            let granted = Granted::push(&mut self.table, directory)?;
            preopened.push((Resource::new_own(granted.rep()), directory.path.clone()));
        }
        Ok(preopened)
    }
}
