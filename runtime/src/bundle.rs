//! Files that an execution is started with, as one archive: what is stored in the database under its digest.
//!
//! The same files make the same archive, wherever and whenever it is made: sorted by name, without times, owners and
//! modes. *Part of the database format*: [`MAGIC`], then for each directory `d`, the length of its path (u32, little
//! endian) and its path; for each file `f`, the same, the length of its content (u64) and its content.

use everstep_sandbox::{Bundle, BundleEntry, BundleError};
use std::fs;
use std::path::{Path, PathBuf};

/// How an archive begins.
pub const MAGIC: &[u8] = b"everstep bundle 1\n";
/// Bytes in all files together.
pub const MAX_BYTES: u64 = 64 << 20;

/// Why a directory cannot be bundled.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It cannot be read.
    #[error("{0} cannot be bundled: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// Symbolic links are refused: what they lead to need not be there, nor inside.
    #[error("{0} cannot be bundled: it is a symbolic link; put the file itself there, or take the link away")]
    Link(PathBuf),
    /// A socket, a pipe, a device.
    #[error("{0} cannot be bundled: it is neither a file nor a directory; take it away")]
    Special(PathBuf),
    /// Names are UTF-8 in a guest.
    #[error("{0} cannot be bundled: its name is not UTF-8; rename it")]
    Name(PathBuf),
    /// More than [`MAX_BYTES`].
    #[error("the files of the bundle have more than {MAX_BYTES} bytes, with {0}; bundle less, or read it in a step")]
    TooLarge(PathBuf),
    /// A guest could not open all of it.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// Why bytes are no archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// They break off or are something else.
    #[error("no bundle, or damaged at byte {0}; restore the database from a copy")]
    Damaged(usize),
    /// They hold what no bundle holds.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// The archive of the files in a directory.
pub fn pack(directory: &Path) -> Result<Vec<u8>, PackError> {
    let mut packing = Packing { archive: MAGIC.to_vec(), entries: 0, bytes: 0 };
    let unreadable = |error| PackError::Unreadable(directory.to_owned(), error);
    // The directory itself may be a link: it is what the user pointed at.
    packing.directory(&directory.canonicalize().map_err(unreadable)?, "")?;
    open(&packing.archive).map(drop).map_err(|error| match error {
        ArchiveError::Bundle(error) => error.into(),
        ArchiveError::Damaged(_) => unreadable(std::io::ErrorKind::InvalidData.into()),
    })?;
    Ok(packing.archive)
}

struct Packing {
    archive: Vec<u8>,
    entries: u32,
    bytes: u64,
}

impl Packing {
    fn directory(&mut self, directory: &Path, prefix: &str) -> Result<(), PackError> {
        let unreadable = |error| PackError::Unreadable(directory.to_owned(), error);
        let mut entries = fs::read_dir(directory)
            .map_err(unreadable)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(unreadable)?;
        entries.sort();
        for path in entries {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Err(PackError::Name(path)) };
            let inside = format!("{prefix}{name}");
            self.entries += 1;
            if self.entries > Bundle::MAX_ENTRIES {
                return Err(BundleError::TooMany.into());
            }
            if inside.len() > Bundle::MAX_PATH {
                return Err(BundleError::Path(inside).into());
            }
            let metadata = fs::symlink_metadata(&path).map_err(|error| PackError::Unreadable(path.clone(), error))?;
            if metadata.is_symlink() {
                return Err(PackError::Link(path));
            } else if metadata.is_dir() {
                self.head(b'd', &inside);
                self.directory(&path, &format!("{inside}/"))?;
            } else if metadata.is_file() {
                self.file(path, &inside, metadata.len())?;
            } else {
                return Err(PackError::Special(path));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, inside: &str, expected: u64) -> Result<(), PackError> {
        if expected > MAX_BYTES - self.bytes {
            return Err(PackError::TooLarge(path));
        }
        let content = fs::read(&path).map_err(|error| PackError::Unreadable(path.clone(), error))?;
        if content.len() as u64 > MAX_BYTES - self.bytes {
            return Err(PackError::TooLarge(path));
        }
        self.bytes += content.len() as u64;
        self.head(b'f', inside);
        self.archive.extend((content.len() as u64).to_le_bytes());
        self.archive.extend(content);
        Ok(())
    }

    fn head(&mut self, kind: u8, path: &str) {
        self.archive.push(kind);
        self.archive.extend((path.len() as u32).to_le_bytes());
        self.archive.extend(path.as_bytes());
    }
}

/// The bundle in an archive.
pub fn open(archive: &[u8]) -> Result<Bundle, ArchiveError> {
    let rest = archive.strip_prefix(MAGIC).ok_or(ArchiveError::Damaged(0))?;
    let mut reading = Reading(rest);
    let mut entries = Vec::new();
    while !reading.0.is_empty() {
        entries.push(reading.entry().ok_or_else(|| ArchiveError::Damaged(archive.len() - reading.0.len()))?);
    }
    Ok(Bundle::new(entries)?)
}

struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn entry(&mut self) -> Option<BundleEntry<'a>> {
        let kind = self.take(1)?[0];
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        let path = std::str::from_utf8(self.take(length.into())?).ok()?;
        match kind {
            b'd' => Some(BundleEntry::Directory { path }),
            b'f' => {
                let length = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
                Some(BundleEntry::File { path, content: self.take(length)? })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_frozen_and_the_order_is_that_of_names() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("b/empty")).unwrap();
        fs::write(place.path().join("c.txt"), "sea").unwrap();
        fs::write(place.path().join("b/a"), "").unwrap();
        let archive = pack(place.path()).unwrap();
        let expected: &[u8] = b"everstep bundle 1\n\
            d\x01\0\0\0b\
            f\x03\0\0\0b/a\0\0\0\0\0\0\0\0\
            d\x07\0\0\0b/empty\
            f\x05\0\0\0c.txt\x03\0\0\0\0\0\0\0sea";
        assert_eq!(archive, expected);
        // Broken off anywhere but between two entries it is refused, and nothing panics.
        let ends = [18, 24, 40, 52, archive.len()];
        for length in 0..=archive.len() {
            assert_eq!(open(&archive[..length]).is_ok(), ends.contains(&length), "{length} bytes");
        }
    }

    #[test]
    fn what_no_bundle_holds_is_refused() {
        let entry = |kind: u8, path: &str, length: u64| {
            let mut archive = MAGIC.to_vec();
            archive.push(kind);
            archive.extend((path.len() as u32).to_le_bytes());
            archive.extend(path.as_bytes());
            archive.extend(length.to_le_bytes());
            open(&archive).map(drop)
        };
        assert!(entry(b'f', "file", 0).is_ok());
        for path in ["", "/file", "../file", "a/../file", ".", "a//b", "missing/file", &"n".repeat(256)] {
            let refused = entry(b'f', path, 0);
            assert!(matches!(refused, Err(ArchiveError::Bundle(BundleError::Path(_)))), "{path}: {refused:?}");
        }
        assert!(matches!(entry(b'f', "file", u64::MAX), Err(ArchiveError::Damaged(_))));
        assert!(matches!(entry(b'x', "file", 0), Err(ArchiveError::Damaged(_))));
    }

    #[test]
    fn links_and_large_files_are_not_packed() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(matches!(pack(place.path()), Err(PackError::Link(at)) if at.ends_with("link")));
        fs::remove_file(&link).unwrap();
        let large = fs::File::create(place.path().join("large")).unwrap();
        large.set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(pack(place.path()), Err(PackError::TooLarge(_))));
        assert!(matches!(pack(&place.path().join("none")), Err(PackError::Unreadable(..))));
    }
}
