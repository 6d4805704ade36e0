//! Real directories, for step bodies: what is in them is different every time.
//!
//! A guest sees them at their paths always, so that what is preopened is the same inside and outside bodies and whether
//! or not the directory is granted to this run. wasmtime's descriptors do the work, which refuse `..`, absolute paths
//! and symbolic links that lead out.

use super::descriptor::MemoryDescriptor;
use super::path::MAX_PATH;
use crate::durable::stop;
use crate::guest::GuestState;
use crate::host::Stream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

/// A real directory that step bodies may use, held open.
#[derive(Clone)]
pub struct Directory {
    path: Arc<str>,
    writable: bool,
    opened: Arc<std::fs::File>,
}

/// Why a directory cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is none, or it may not be read.
    #[error("the directory {0} cannot be opened: {1}")]
    Unreadable(std::path::PathBuf, std::io::Error),
    /// No place for it in the guest.
    #[error(
        "{0:?} is no place for a directory in the workflow: give an absolute path without `.` and `..`, other than `/` \
         and `/bundle`"
    )]
    Place(String),
}

impl Directory {
    /// Opens `host`, to be seen at the absolute path `guest`.
    pub fn open(host: &Path, guest: &str, writable: bool) -> Result<Self, DirectoryError> {
        let names = guest.strip_prefix('/').map(|names| names.split('/').collect::<Vec<_>>()).unwrap_or_default();
        let plain = |name: &&str| !matches!(*name, "" | "." | "..") && !name.contains('\0');
        if names.is_empty() || !names.iter().all(plain) || names[0] == "bundle" || guest.len() > MAX_PATH {
            return Err(DirectoryError::Place(guest.to_owned()));
        }
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(host);
        let opened = opened.map_err(|error| DirectoryError::Unreadable(host.to_owned(), error))?;
        Ok(Self { path: guest.into(), writable, opened: Arc::new(opened) })
    }

    /// Where the guest sees it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether bodies may change what is in it.
    pub fn writable(&self) -> bool {
        self.writable
    }

    fn descriptor(&self, writable: bool) -> std::io::Result<Descriptor> {
        let (perms, mode) = if writable {
            (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE)
        } else {
            (FsPerms::ReadOnly, OpenMode::READ)
        };
        Ok(Descriptor::Dir(Dir::new(self.opened.try_clone()?, perms, mode, true)))
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({:?}, writable: {})", self.path, self.writable)
    }
}

/// A directory as a guest sees it.
#[derive(Clone, Debug)]
pub struct GuestDirectory {
    /// Absolute.
    pub path: String,
    /// Whether bodies may change what is in it, if the grant says so too.
    pub writable: bool,
    /// What is there, if this run was given it.
    pub grant: Option<Directory>,
}

/// The descriptor of a granted directory. What does the work is an entry of its own: a placeholder if nothing was
/// granted, so that a guest that runs out of handles does so at the same place.
pub(super) struct Granted {
    path: Arc<str>,
    behind: Behind,
}

enum Behind {
    Real(Resource<Descriptor>),
    Nothing(Resource<Nothing>),
}

struct Nothing;

impl Granted {
    pub(super) fn push(table: &mut ResourceTable, directory: &GuestDirectory) -> wasmtime::Result<Resource<Self>> {
        let behind = match &directory.grant {
            Some(grant) => {
                let descriptor = grant.descriptor(directory.writable && grant.writable)?;
                Behind::Real(table.push(descriptor)?)
            }
            None => Behind::Nothing(table.push(Nothing)?),
        };
        Ok(table.push(Self { path: directory.path.as_str().into(), behind })?)
    }

    /// Takes it and what is behind it out of the table.
    pub(super) fn delete(table: &mut ResourceTable, granted: Resource<Self>) -> wasmtime::Result<()> {
        match table.delete(granted)?.behind {
            Behind::Real(real) => drop(table.delete(real)?),
            Behind::Nothing(nothing) => {
                table.delete(nothing)?;
            }
        }
        Ok(())
    }
}

/// What does the work of a descriptor.
pub(super) enum At {
    /// We do.
    Memory(super::descriptor::Held),
    /// wasmtime does, in a body.
    Real(Resource<Descriptor>),
}

impl GuestState {
    pub(super) fn at(&mut self, descriptor: &Resource<Descriptor>) -> FsResult<At> {
        let in_body = self.in_body();
        let entry = self.table.get_any_mut(descriptor.rep())?;
        if let Some(descriptor) = entry.downcast_ref::<MemoryDescriptor>() {
            return Ok(At::Memory(descriptor.held()));
        }
        let granted = entry.downcast_ref::<Granted>();
        let real = match granted.map(|granted| &granted.behind) {
            Some(Behind::Real(real)) => Some(real.rep()),
            Some(Behind::Nothing(_)) => None,
            None => Some(descriptor.rep()),
        };
        match real {
            Some(real) if in_body => return Ok(At::Real(Resource::new_borrow(real))),
            _ => {}
        }
        let path = granted.map_or_else(|| "an open file".into(), |granted| granted.path.clone());
        Err(if in_body { self.missing(&path) } else { self.real_outside(&path) })
    }

    /// The guest gets the error code, and whoever reads its output the reason, once: the same with and without a grant.
    fn real_outside(&mut self, path: &str) -> FsError {
        if !std::mem::replace(&mut self.files.told_outside, true) {
            let notice =
                format!("everstep: {path} refused outside a step: use granted directories inside ctx.step()\n");
            if let Err(error) = self.drain_output() {
                return FsError::trap(error);
            }
            if let Err(error) = self.host.output(Stream::Stderr, notice.as_bytes()) {
                return FsError::trap(stop(error));
            }
        }
        ErrorCode::Access.into()
    }

    fn missing(&mut self, path: &str) -> FsError {
        if !std::mem::replace(&mut self.files.told_missing, true) {
            let notice = format!("everstep: {path} is not granted to this run; resume with --dir DIRECTORY:{path}\n");
            self.output.notice(&notice);
        }
        ErrorCode::NotPermitted.into()
    }
}
