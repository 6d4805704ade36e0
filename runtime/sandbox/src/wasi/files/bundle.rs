//! Files that an execution is started with: read-only under `/bundle`, for its whole life.

use super::path::{MAX_NAME, MAX_PATH};
use super::tree::{MAX_FILES, OpenAs, ROOT, Time, Tree};

const MOUNTED: &str = "bundle";

/// Something in a bundle. Paths are relative to it, with `/` between names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleEntry<'a> {
    /// A directory.
    Directory {
        /// Where. Its parent comes before it.
        path: &'a str,
    },
    /// A regular file.
    File {
        /// Where. Its parent comes before it.
        path: &'a str,
        /// What is in it.
        content: &'a [u8],
    },
}

/// Why entries make no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A path that no guest could open.
    #[error(
        "the path {0:?} cannot be bundled: names have 1..{name} bytes, paths at most {most}, and each is there once, \
         after the directory it is in",
        name = MAX_NAME,
        most = Bundle::MAX_PATH
    )]
    Path(String),
    /// More than a guest's tree holds.
    #[error("the bundle has more than {} files and directories; pack some into one file", Bundle::MAX_ENTRIES)]
    TooMany,
}

/// The files of a bundle, ready to be seen by a guest. Copies share them.
#[derive(Clone)]
pub struct Bundle(Tree);

impl Bundle {
    /// Bytes in a path, relative to the bundle.
    pub const MAX_PATH: usize = MAX_PATH - MOUNTED.len() - 1;
    /// Files and directories.
    pub const MAX_ENTRIES: u32 = MAX_FILES - 1;

    /// A bundle of these files. All times in it are the Unix epoch.
    pub fn new<'a>(entries: impl IntoIterator<Item = BundleEntry<'a>>) -> Result<Self, BundleError> {
        let mut tree = Tree::new(u64::MAX);
        let (epoch, how) = (Time::default(), OpenAs { create: true, exclusive: true, ..OpenAs::default() });
        let mount = tree.create_directory(ROOT, MOUNTED, epoch).map_err(|_| BundleError::Path(MOUNTED.into()))?;
        for (count, entry) in (1..).zip(entries) {
            let (BundleEntry::Directory { path } | BundleEntry::File { path, .. }) = entry;
            let plain = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
            if count > Self::MAX_ENTRIES {
                return Err(BundleError::TooMany);
            }
            if !plain || path.len() > Self::MAX_PATH {
                return Err(BundleError::Path(path.to_owned()));
            }
            let made = match entry {
                BundleEntry::Directory { path } => tree.create_directory(mount, path, epoch).map(drop),
                BundleEntry::File { path, content } => {
                    tree.open(mount, path, how, epoch).and_then(|inode| tree.write(inode, 0, content, epoch))
                }
            };
            made.map_err(|_| BundleError::Path(path.to_owned()))?;
        }
        tree.freeze();
        Ok(Self(tree))
    }

    pub(super) fn into_tree(self) -> Tree {
        self.0
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bundle(..)")
    }
}
