//! Files and directories in memory. Copies share everything until one of them is changed.
//!
//! A pure function of the calls made on it, inode numbers and times (which callers hand in) included.

use super::content::Content;
use super::path::{Part, Path};
use bytes::Bytes;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

/// The number of a file or directory: dense, from 1, never used again.
pub(super) type Inode = u64;

/// The directory that everything is in.
pub(super) const ROOT: Inode = 1;
/// Files and directories that a guest may have, those included that are only open.
pub(super) const MAX_FILES: u32 = 65_536;

/// A point in time: seconds since the Unix epoch, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: u64,
    pub(super) nanoseconds: u32,
}

impl Time {
    pub(super) fn from_nanos(nanos: u64) -> Self {
        Self { seconds: nanos / 1_000_000_000, nanoseconds: (nanos % 1_000_000_000) as u32 }
    }
}

/// What can be known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) is_directory: bool,
    /// Of a directory: 0.
    pub(super) size: u64,
    /// It has a name still.
    pub(super) linked: bool,
    pub(super) accessed: Time,
    pub(super) modified: Time,
    pub(super) changed: Time,
}

/// How to open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OpenAs {
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) directory: bool,
    pub(super) truncate: bool,
    /// The descriptor may write.
    pub(super) write: bool,
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    accessed: Time,
    modified: Time,
    changed: Time,
    linked: bool,
    /// Bundled: cannot be changed, and is not charged.
    read_only: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    File(Content),
    Directory { parent: Inode, entries: BTreeMap<Arc<str>, Inode> },
}

/// A tree of files, and what it may hold.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Arc<BTreeMap<Inode, Arc<Node>>>,
    /// Descriptors and streams on a node: it goes when it has neither these nor a name.
    open: Arc<BTreeMap<Inode, u32>>,
    next: Inode,
    limit: u64,
    bytes: u64,
    files: u32,
}

impl Tree {
    /// An empty one whose files may have `limit` bytes together.
    pub(super) fn new(limit: u64) -> Self {
        let nodes = Arc::new(BTreeMap::from([(ROOT, Arc::new(Node::directory(ROOT, Time::default())))]));
        Self { nodes, open: Arc::default(), next: ROOT + 1, limit, bytes: 0, files: 0 }
    }

    /// Changes the bound; what is there already stays.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Makes everything below the root read-only, and free of charge.
    pub(super) fn freeze(&mut self) {
        let nodes = Arc::make_mut(&mut self.nodes);
        for node in nodes.range_mut(ROOT + 1..).map(|(_, node)| node) {
            Arc::make_mut(node).read_only = true;
        }
        (self.bytes, self.files) = (0, 0);
    }

    fn node(&self, inode: Inode) -> Result<&Node, ErrorCode> {
        self.nodes.get(&inode).map(|node| &**node).ok_or(ErrorCode::NoEntry)
    }

    fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, ErrorCode> {
        Arc::make_mut(&mut self.nodes).get_mut(&inode).map(Arc::make_mut).ok_or(ErrorCode::NoEntry)
    }

    fn content(&self, inode: Inode) -> Result<&Content, ErrorCode> {
        match &self.node(inode)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Directory { .. } => Err(ErrorCode::IsDirectory),
        }
    }

    fn entries(&self, directory: Inode) -> Result<&BTreeMap<Arc<str>, Inode>, ErrorCode> {
        match &self.node(directory)?.kind {
            Kind::Directory { entries, .. } => Ok(entries),
            Kind::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    fn parent(&self, directory: Inode) -> Result<Inode, ErrorCode> {
        match self.node(directory)?.kind {
            Kind::Directory { parent, .. } => Ok(parent),
            Kind::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    /// One step from a directory; nothing leads out of `base`.
    fn step(&self, base: Inode, at: Inode, part: Part<'_>) -> Result<Inode, ErrorCode> {
        let entries = self.entries(at)?;
        match part {
            Part::Here => Ok(at),
            Part::Up if at == base => Err(ErrorCode::NotPermitted),
            Part::Up => self.parent(at),
            Part::Name(name) => entries.get(name).copied().ok_or(ErrorCode::NoEntry),
        }
    }

    /// The directory in which the last step is taken.
    fn directory_of(&self, base: Inode, path: &Path<'_>) -> Result<Inode, ErrorCode> {
        let at = path.way.iter().try_fold(base, |at, part| self.step(base, at, *part))?;
        self.entries(at)?;
        Ok(at)
    }

    /// What a path names, seen from the directory `base`.
    pub(super) fn find(&self, base: Inode, path: &str) -> Result<Inode, ErrorCode> {
        let path = Path::parse(path)?;
        let at = self.directory_of(base, &path)?;
        let inode = self.step(base, at, path.last)?;
        if path.directory {
            self.entries(inode)?;
        }
        Ok(inode)
    }

    /// A directory and the name in it that a path means, for what changes the directory.
    fn named<'p>(&self, base: Inode, path: &'p str) -> Result<(Inode, &'p str, bool), ErrorCode> {
        let path = Path::parse(path)?;
        let at = self.directory_of(base, &path)?;
        match path.last {
            Part::Name(name) => Ok((at, name, path.directory)),
            // `.` and `..` are there always, and stay.
            last => self.step(base, at, last).and(Err(ErrorCode::Invalid)),
        }
    }

    fn changeable(&self, inode: Inode) -> Result<(), ErrorCode> {
        if self.node(inode)?.read_only { Err(ErrorCode::ReadOnly) } else { Ok(()) }
    }

    /// Puts a new node into a directory.
    fn add(&mut self, directory: Inode, name: &str, node: Node, now: Time) -> Result<Inode, ErrorCode> {
        let parent = self.node(directory)?;
        if parent.read_only {
            return Err(ErrorCode::ReadOnly);
        }
        if !parent.linked {
            return Err(ErrorCode::NoEntry);
        }
        if self.files >= MAX_FILES {
            return Err(ErrorCode::InsufficientSpace);
        }
        let inode = self.next;
        self.next += 1;
        self.files += 1;
        Arc::make_mut(&mut self.nodes).insert(inode, Arc::new(node));
        self.change_entries(directory, now, |entries| entries.insert(name.into(), inode))?;
        Ok(inode)
    }

    fn change_entries<R>(
        &mut self,
        directory: Inode,
        now: Time,
        change: impl FnOnce(&mut BTreeMap<Arc<str>, Inode>) -> R,
    ) -> Result<R, ErrorCode> {
        let node = self.node_mut(directory)?;
        (node.modified, node.changed) = (now, now);
        match &mut node.kind {
            Kind::Directory { entries, .. } => Ok(change(entries)),
            Kind::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    /// Takes a node's name away.
    fn unname(&mut self, directory: Inode, name: &str, inode: Inode, now: Time) -> Result<(), ErrorCode> {
        self.change_entries(directory, now, |entries| entries.remove(name))?;
        let node = self.node_mut(inode)?;
        node.linked = false;
        node.changed = now;
        self.collect(inode);
        Ok(())
    }

    fn collect(&mut self, inode: Inode) {
        if self.nodes.get(&inode).is_some_and(|node| !node.linked)
            && !self.open.contains_key(&inode)
            && let Some(node) = Arc::make_mut(&mut self.nodes).remove(&inode)
        {
            self.files -= 1;
            self.bytes -= node.size();
        }
    }

    /// The object that a path names, made or emptied if that is asked for. Count it with [`Tree::opened`].
    pub(super) fn open(&mut self, base: Inode, path: &str, how: OpenAs, now: Time) -> Result<Inode, ErrorCode> {
        if how.directory && (how.create || how.exclusive || how.truncate) {
            return Err(ErrorCode::Invalid);
        }
        let inode = match self.find(base, path) {
            Ok(_) if how.create && how.exclusive => return Err(ErrorCode::Exist),
            Ok(inode) => inode,
            Err(ErrorCode::NoEntry) if how.create => {
                let (directory, name, ends_with_slash) = self.named(base, path)?;
                if ends_with_slash {
                    return Err(ErrorCode::IsDirectory);
                }
                return self.add(directory, name, Node::file(Content::default(), now), now);
            }
            Err(error) => return Err(error),
        };
        let node = self.node(inode)?;
        let is_directory = matches!(node.kind, Kind::Directory { .. });
        if how.directory && !is_directory {
            return Err(ErrorCode::NotDirectory);
        }
        if is_directory && (how.write || how.truncate || how.create) {
            return Err(ErrorCode::IsDirectory);
        }
        if node.read_only && (how.write || how.truncate) {
            return Err(ErrorCode::ReadOnly);
        }
        if how.truncate {
            self.set_size(inode, 0, now)?;
        }
        Ok(inode)
    }

    /// A descriptor or stream on it came into being.
    pub(super) fn opened(&mut self, inode: Inode) {
        *Arc::make_mut(&mut self.open).entry(inode).or_default() += 1;
    }

    /// A descriptor or stream on it is gone.
    pub(super) fn closed(&mut self, inode: Inode) {
        if let Entry::Occupied(mut count) = Arc::make_mut(&mut self.open).entry(inode) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
                self.collect(inode);
            }
        }
    }

    pub(super) fn create_directory(&mut self, base: Inode, path: &str, now: Time) -> Result<Inode, ErrorCode> {
        if self.find(base, path).is_ok() {
            return Err(ErrorCode::Exist);
        }
        let (directory, name, _) = self.named(base, path)?;
        if self.entries(directory)?.contains_key(name) {
            return Err(ErrorCode::Exist);
        }
        self.add(directory, name, Node::directory(directory, now), now)
    }

    pub(super) fn remove_directory(&mut self, base: Inode, path: &str, now: Time) -> Result<(), ErrorCode> {
        let (directory, name, _) = self.named(base, path)?;
        let inode = self.step(base, directory, Part::Name(name))?;
        let empty = self.entries(inode)?.is_empty();
        self.changeable(inode)?;
        if !empty {
            return Err(ErrorCode::NotEmpty);
        }
        self.unname(directory, name, inode, now)
    }

    pub(super) fn unlink(&mut self, base: Inode, path: &str, now: Time) -> Result<(), ErrorCode> {
        let inode = self.find(base, path)?;
        self.content(inode)?;
        self.changeable(inode)?;
        let (directory, name, _) = self.named(base, path)?;
        self.unname(directory, name, inode, now)
    }

    pub(super) fn rename(
        &mut self,
        (from, old_path): (Inode, &str),
        (to, new_path): (Inode, &str),
        now: Time,
    ) -> Result<(), ErrorCode> {
        let (old_directory, old_name, old_slash) = self.named(from, old_path)?;
        let (new_directory, new_name, new_slash) = self.named(to, new_path)?;
        let inode = self.step(from, old_directory, Part::Name(old_name))?;
        let is_directory = self.entries(inode).is_ok();
        if (old_slash || new_slash) && !is_directory {
            return Err(ErrorCode::NotDirectory);
        }
        self.changeable(inode)?;
        self.changeable(new_directory)?;
        if !self.node(new_directory)?.linked {
            return Err(ErrorCode::NoEntry);
        }
        // A directory cannot go into itself.
        let mut above = new_directory;
        while above != ROOT {
            if above == inode {
                return Err(ErrorCode::Invalid);
            }
            above = self.parent(above)?;
        }
        if let Some(&replaced) = self.entries(new_directory)?.get(new_name) {
            if replaced == inode {
                return Ok(());
            }
            self.changeable(replaced)?;
            match (is_directory, self.entries(replaced)) {
                (true, Err(_)) => return Err(ErrorCode::NotDirectory),
                (false, Ok(_)) => return Err(ErrorCode::IsDirectory),
                (true, Ok(entries)) if !entries.is_empty() => return Err(ErrorCode::NotEmpty),
                _ => self.unname(new_directory, new_name, replaced, now)?,
            }
        }
        self.change_entries(old_directory, now, |entries| entries.remove(old_name))?;
        self.change_entries(new_directory, now, |entries| entries.insert(new_name.into(), inode))?;
        let node = self.node_mut(inode)?;
        node.changed = now;
        if let Kind::Directory { parent, .. } = &mut node.kind {
            *parent = new_directory;
        }
        Ok(())
    }

    /// Names, and whether they are directories; sorted by name.
    pub(super) fn list(&self, directory: Inode) -> Result<Vec<(Arc<str>, bool)>, ErrorCode> {
        let entries = self.entries(directory)?.iter();
        Ok(entries.map(|(name, inode)| (name.clone(), self.entries(*inode).is_ok())).collect())
    }

    pub(super) fn stat(&self, inode: Inode) -> Result<Stat, ErrorCode> {
        let node = self.node(inode)?;
        Ok(Stat {
            is_directory: matches!(node.kind, Kind::Directory { .. }),
            size: node.size(),
            linked: node.linked,
            accessed: node.accessed,
            modified: node.modified,
            changed: node.changed,
        })
    }

    /// None: as it is.
    pub(super) fn set_times(
        &mut self,
        inode: Inode,
        accessed: Option<Time>,
        modified: Option<Time>,
        now: Time,
    ) -> Result<(), ErrorCode> {
        self.changeable(inode)?;
        let node = self.node_mut(inode)?;
        node.accessed = accessed.unwrap_or(node.accessed);
        node.modified = modified.unwrap_or(node.modified);
        node.changed = now;
        Ok(())
    }

    /// At most `length` bytes from `offset` on; fewer only at the end.
    pub(super) fn read(&self, inode: Inode, offset: u64, length: u64) -> Result<Bytes, ErrorCode> {
        Ok(self.content(inode)?.read(offset, length))
    }

    pub(super) fn size(&self, inode: Inode) -> Result<u64, ErrorCode> {
        Ok(self.content(inode)?.size())
    }

    /// Writes all of it or nothing.
    pub(super) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8], now: Time) -> Result<(), ErrorCode> {
        if bytes.is_empty() {
            return self.content(inode).map(drop);
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(ErrorCode::FileTooLarge)?;
        let size = self.size(inode)?.max(end);
        self.resize(inode, size, now, |content| content.write(offset, bytes))
    }

    pub(super) fn set_size(&mut self, inode: Inode, size: u64, now: Time) -> Result<(), ErrorCode> {
        self.resize(inode, size, now, |content| content.set_size(size))
    }

    /// A change that leaves the file with `size` bytes, if there is room for them.
    fn resize(
        &mut self,
        inode: Inode,
        size: u64,
        now: Time,
        change: impl FnOnce(&mut Content),
    ) -> Result<(), ErrorCode> {
        let before = self.size(inode)?;
        self.changeable(inode)?;
        let bytes = self.bytes - before;
        if size > before && size > self.limit.saturating_sub(bytes) {
            return Err(ErrorCode::InsufficientSpace);
        }
        let node = self.node_mut(inode)?;
        (node.modified, node.changed) = (now, now);
        if let Kind::File(content) = &mut node.kind {
            change(content);
        }
        self.bytes = bytes + size;
        Ok(())
    }
}

impl Node {
    fn new(kind: Kind, now: Time) -> Self {
        Self { kind, accessed: now, modified: now, changed: now, linked: true, read_only: false }
    }

    fn directory(parent: Inode, now: Time) -> Self {
        Self::new(Kind::Directory { parent, entries: BTreeMap::new() }, now)
    }

    fn file(content: Content, now: Time) -> Self {
        Self::new(Kind::File(content), now)
    }

    fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.size(),
            Kind::Directory { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests;
