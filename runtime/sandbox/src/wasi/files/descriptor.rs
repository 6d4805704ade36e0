//! `wasi:filesystem/types`: each call goes to the files in memory, or in a body to wasmtime's descriptors.

use super::granted::{At, Granted};
use super::memory::{MemoryFiles, Opened};
use super::streams::{Reader, Writer};
use super::tree::{Inode, OpenAs, Stat, Time, Tree};
use crate::guest::GuestState;
use std::sync::Arc;
use wasmtime::component::{Resource, ResourceTableError};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, Filesize,
    Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

/// A descriptor of a file or directory in memory.
pub(super) struct MemoryDescriptor {
    opened: Opened,
    read: bool,
    write: bool,
}

impl MemoryDescriptor {
    pub(super) fn new(opened: Opened, read: bool, write: bool) -> Self {
        Self { opened, read, write }
    }

    pub(super) fn held(&self) -> Held {
        Held { files: self.opened.files.clone(), inode: self.opened.inode, read: self.read, write: self.write }
    }
}

/// What a call needs of a [`MemoryDescriptor`].
pub(super) struct Held {
    files: MemoryFiles,
    inode: Inode,
    read: bool,
    write: bool,
}

impl Held {
    fn tree<R>(&self, act: impl FnOnce(&mut Tree, Time) -> Result<R, ErrorCode>) -> FsResult<R> {
        Ok(self.files.tree(act)?)
    }

    /// A stream on it, if it is a file.
    fn stream(&self, allowed: bool, position: u64) -> FsResult<Opened> {
        self.tree(|tree, _| tree.size(self.inode))?;
        if allowed { Ok(self.files.open_at(self.inode, position)) } else { Err(ErrorCode::BadDescriptor.into()) }
    }

    /// It must be open for writing.
    fn writing(&self) -> Result<(), ErrorCode> {
        if self.write { Ok(()) } else { Err(ErrorCode::BadDescriptor) }
    }
}

/// The entries of a directory in memory as they were when it was opened; where it stands is with [`Opened`].
struct Listing {
    opened: Opened,
    entries: Vec<(Arc<str>, bool)>,
}

/// Calls wasmtime's implementation.
macro_rules! real {
    ($self:ident, $function:ident $(, $argument:expr)*) => {
        HostDescriptor::$function(&mut $self.filesystem() $(, $argument)*)
    };
}

impl GuestState {
    /// A new handle. A guest that has too many gets an error that it gets on every replay.
    fn hand_out<T: Send + 'static>(&mut self, entry: T) -> FsResult<Resource<T>> {
        self.table.push(entry).map_err(|error| match error {
            ResourceTableError::Full => ErrorCode::InsufficientMemory.into(),
            error => FsError::trap(error),
        })
    }
}

fn stat_of(stat: Stat) -> DescriptorStat {
    let time = |time: Time| Some(Datetime { seconds: time.seconds, nanoseconds: time.nanoseconds });
    DescriptorStat {
        type_: type_of(stat.is_directory),
        link_count: u64::from(stat.linked),
        size: stat.size,
        data_access_timestamp: time(stat.accessed),
        data_modification_timestamp: time(stat.modified),
        status_change_timestamp: time(stat.changed),
    }
}

fn type_of(is_directory: bool) -> DescriptorType {
    if is_directory { DescriptorType::Directory } else { DescriptorType::RegularFile }
}

/// What tells files apart, for guests that ask for inode numbers. The upper half only has to differ from the lower.
fn hash_of(inode: Inode) -> MetadataHashValue {
    MetadataHashValue { lower: inode, upper: inode ^ 0x6576_6572_7374_6570 }
}

fn time_of(new: NewTimestamp, now: Time) -> Result<Option<Time>, ErrorCode> {
    match new {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(now)),
        NewTimestamp::Timestamp(Datetime { nanoseconds: 1_000_000_000.., .. }) => Err(ErrorCode::Invalid),
        NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => Ok(Some(Time { seconds, nanoseconds })),
    }
}

impl Host for GuestState {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        Host::convert_error_code(&mut self.filesystem(), error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        match self.table.get(&error)?.downcast_ref::<ErrorCode>() {
            Some(code) => Ok(Some((*code).into())),
            None => Host::filesystem_error_code(&mut self.filesystem(), error),
        }
    }
}

impl HostDescriptor for GuestState {
    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        match self.at(&descriptor)? {
            At::Memory(file) => {
                let stream: DynInputStream = Box::new(Reader(file.stream(file.read, offset)?));
                self.hand_out(stream)
            }
            At::Real(descriptor) => real!(self, read_via_stream, descriptor, offset),
        }
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        match self.at(&descriptor)? {
            At::Memory(file) => {
                let opened = file.stream(file.write, offset)?;
                let stream: DynOutputStream = Box::new(Writer { opened, append: false });
                self.hand_out(stream)
            }
            At::Real(descriptor) => real!(self, write_via_stream, descriptor, offset),
        }
    }

    fn append_via_stream(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        match self.at(&descriptor)? {
            At::Memory(file) => {
                let opened = file.stream(file.write, 0)?;
                let stream: DynOutputStream = Box::new(Writer { opened, append: true });
                self.hand_out(stream)
            }
            At::Real(descriptor) => real!(self, append_via_stream, descriptor),
        }
    }

    fn advise(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(file) => file.tree(|tree, _| tree.size(file.inode)).map(drop),
            At::Real(descriptor) => real!(self, advise, descriptor, offset, length, advice),
        }
    }

    fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(_) => Ok(()),
            At::Real(descriptor) => real!(self, sync_data, descriptor),
        }
    }

    fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        match self.at(&descriptor)? {
            At::Memory(file) => {
                let is_directory = file.tree(|tree, _| tree.stat(file.inode))?.is_directory;
                let flag = |flag, on| if on { flag } else { DescriptorFlags::empty() };
                Ok(flag(DescriptorFlags::READ, file.read)
                    | flag(DescriptorFlags::WRITE, file.write)
                    | flag(DescriptorFlags::MUTATE_DIRECTORY, is_directory))
            }
            At::Real(descriptor) => real!(self, get_flags, descriptor),
        }
    }

    fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        match self.at(&descriptor)? {
            At::Memory(file) => Ok(type_of(file.tree(|tree, _| tree.stat(file.inode))?.is_directory)),
            At::Real(descriptor) => real!(self, get_type, descriptor),
        }
    }

    fn set_size(&mut self, descriptor: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(file) => file.tree(|tree, now| {
                file.writing()?;
                tree.set_size(file.inode, size, now)
            }),
            At::Real(descriptor) => real!(self, set_size, descriptor, size),
        }
    }

    fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(file) => {
                file.tree(|tree, now| tree.set_times(file.inode, time_of(accessed, now)?, time_of(modified, now)?, now))
            }
            At::Real(descriptor) => real!(self, set_times, descriptor, accessed, modified),
        }
    }

    fn read(
        &mut self,
        descriptor: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        match self.at(&descriptor)? {
            At::Memory(file) => file.tree(|tree, _| {
                let size = tree.size(file.inode)?;
                if !file.read {
                    return Err(ErrorCode::BadDescriptor);
                }
                let bytes: Vec<u8> = tree.read(file.inode, offset, length)?.into();
                let at_end = offset.saturating_add(bytes.len() as u64) >= size;
                Ok((bytes, at_end))
            }),
            At::Real(descriptor) => real!(self, read, descriptor, length, offset),
        }
    }

    fn write(&mut self, descriptor: Resource<Descriptor>, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        match self.at(&descriptor)? {
            At::Memory(file) => file.tree(|tree, now| {
                file.writing()?;
                tree.write(file.inode, offset, &bytes, now)?;
                Ok(bytes.len() as u64)
            }),
            At::Real(descriptor) => real!(self, write, descriptor, bytes, offset),
        }
    }

    fn read_directory(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        match self.at(&descriptor)? {
            At::Memory(directory) => {
                let entries = directory.tree(|tree, _| tree.list(directory.inode))?;
                let listing = Listing { opened: directory.files.open(directory.inode), entries };
                Ok(Resource::new_own(self.hand_out(listing)?.rep()))
            }
            At::Real(descriptor) => real!(self, read_directory, descriptor),
        }
    }

    fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(_) => Ok(()),
            At::Real(descriptor) => real!(self, sync, descriptor),
        }
    }

    fn create_directory_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(directory) => {
                directory.tree(|tree, now| tree.create_directory(directory.inode, &path, now)).map(drop)
            }
            At::Real(descriptor) => real!(self, create_directory_at, descriptor, path),
        }
    }

    fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        match self.at(&descriptor)? {
            At::Memory(file) => Ok(stat_of(file.tree(|tree, _| tree.stat(file.inode))?)),
            At::Real(descriptor) => real!(self, stat, descriptor),
        }
    }

    fn stat_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        match self.at(&descriptor)? {
            At::Memory(directory) => {
                Ok(stat_of(directory.tree(|tree, _| tree.stat(tree.find(directory.inode, &path)?))?))
            }
            At::Real(descriptor) => real!(self, stat_at, descriptor, flags, path),
        }
    }

    fn set_times_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(directory) => directory.tree(|tree, now| {
                let inode = tree.find(directory.inode, &path)?;
                tree.set_times(inode, time_of(accessed, now)?, time_of(modified, now)?, now)
            }),
            At::Real(descriptor) => real!(self, set_times_at, descriptor, flags, path, accessed, modified),
        }
    }

    fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        match (self.at(&descriptor)?, self.at(&new_descriptor)?) {
            (At::Memory(_), At::Memory(_)) => Err(ErrorCode::Unsupported.into()),
            (At::Real(old), At::Real(new)) => real!(self, link_at, old, flags, old_path, new, new_path),
            _ => Err(ErrorCode::CrossDevice.into()),
        }
    }

    fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        match self.at(&descriptor)? {
            At::Memory(directory) => {
                let write = flags.contains(DescriptorFlags::WRITE);
                let how = OpenAs {
                    create: open_flags.contains(OpenFlags::CREATE),
                    exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
                    directory: open_flags.contains(OpenFlags::DIRECTORY),
                    truncate: open_flags.contains(OpenFlags::TRUNCATE),
                    write,
                };
                let inode = directory.tree(|tree, now| tree.open(directory.inode, &path, how, now))?;
                // What is not opened for writing can be read, whether asked for or not: as wasmtime has it.
                let read = flags.contains(DescriptorFlags::READ) || !write;
                let opened = MemoryDescriptor::new(directory.files.open(inode), read, write);
                Ok(Resource::new_own(self.hand_out(opened)?.rep()))
            }
            At::Real(descriptor) => real!(self, open_at, descriptor, path_flags, path, open_flags, flags),
        }
    }

    fn readlink_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<String> {
        match self.at(&descriptor)? {
            // How one asks whether something is a symbolic link: it is not.
            At::Memory(directory) => {
                directory.tree(|tree, _| tree.find(directory.inode, &path))?;
                Err(ErrorCode::Invalid.into())
            }
            At::Real(descriptor) => real!(self, readlink_at, descriptor, path),
        }
    }

    fn remove_directory_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(directory) => directory.tree(|tree, now| tree.remove_directory(directory.inode, &path, now)),
            At::Real(descriptor) => real!(self, remove_directory_at, descriptor, path),
        }
    }

    fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        match (self.at(&descriptor)?, self.at(&new_descriptor)?) {
            (At::Memory(old), At::Memory(new)) => {
                old.tree(|tree, now| tree.rename((old.inode, &old_path), (new.inode, &new_path), now))
            }
            (At::Real(old), At::Real(new)) => real!(self, rename_at, old, old_path, new, new_path),
            _ => Err(ErrorCode::CrossDevice.into()),
        }
    }

    fn symlink_at(&mut self, descriptor: Resource<Descriptor>, old_path: String, new_path: String) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(_) => Err(ErrorCode::Unsupported.into()),
            At::Real(descriptor) => real!(self, symlink_at, descriptor, old_path, new_path),
        }
    }

    fn unlink_file_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<()> {
        match self.at(&descriptor)? {
            At::Memory(directory) => directory.tree(|tree, now| tree.unlink(directory.inode, &path, now)),
            At::Real(descriptor) => real!(self, unlink_file_at, descriptor, path),
        }
    }

    fn is_same_object(
        &mut self,
        descriptor: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        if descriptor.rep() == other.rep() {
            return Ok(true);
        }
        let at = |state: &mut Self, descriptor| match state.at(descriptor) {
            Ok(at) => Ok(Some(at)),
            // There is no error code in the answer: what cannot be looked at is not the same.
            Err(error) => error.downcast().map(|_: ErrorCode| None),
        };
        match (at(self, &descriptor)?, at(self, &other)?) {
            (Some(At::Memory(one)), Some(At::Memory(other))) => Ok(one.inode == other.inode),
            (Some(At::Real(one)), Some(At::Real(other))) => real!(self, is_same_object, one, other),
            _ => Ok(false),
        }
    }

    fn metadata_hash(&mut self, descriptor: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        match self.at(&descriptor)? {
            At::Memory(file) => Ok(hash_of(file.inode)),
            At::Real(descriptor) => real!(self, metadata_hash, descriptor),
        }
    }

    fn metadata_hash_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        match self.at(&descriptor)? {
            At::Memory(directory) => Ok(hash_of(directory.tree(|tree, _| tree.find(directory.inode, &path))?)),
            At::Real(descriptor) => real!(self, metadata_hash_at, descriptor, flags, path),
        }
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        let entry = self.table.get_any_mut(descriptor.rep())?;
        if entry.is::<MemoryDescriptor>() {
            self.table.delete(Resource::<MemoryDescriptor>::new_own(descriptor.rep())).map(drop)?;
            Ok(())
        } else if entry.is::<Granted>() {
            Granted::delete(&mut self.table, Resource::new_own(descriptor.rep()))
        } else {
            HostDescriptor::drop(&mut self.filesystem(), descriptor)
        }
    }
}

impl HostDirectoryEntryStream for GuestState {
    fn read_directory_entry(&mut self, stream: Resource<DirectoryEntryStream>) -> FsResult<Option<DirectoryEntry>> {
        match self.table.get_any_mut(stream.rep())?.downcast_ref::<Listing>() {
            Some(listing) => {
                let position = usize::try_from(listing.opened.advance(1)).unwrap_or(usize::MAX);
                Ok(listing.entries.get(position).map(|(name, is_directory)| DirectoryEntry {
                    type_: type_of(*is_directory),
                    name: name.as_ref().to_owned(),
                }))
            }
            None => HostDirectoryEntryStream::read_directory_entry(&mut self.filesystem(), stream),
        }
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        if self.table.get_any_mut(stream.rep())?.is::<Listing>() {
            self.table.delete(Resource::<Listing>::new_own(stream.rep())).map(drop)?;
            return Ok(());
        }
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}
