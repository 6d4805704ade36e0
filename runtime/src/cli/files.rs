//! Which files an execution has: `--dir` and `--bundle`.

use super::exit::Failure;
use super::run::shell_quoted;
use crate::bundle;
use everstep_core::protocol::{ComponentDigest, DirectoryConfig, FilesConfig};
use everstep_sandbox::Directory;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Files {
    /// Let step bodies use this directory, in the workflow at the absolute path GUEST (default: `/` and its name), with
    /// `:ro` only to read; may be repeated. The paths are frozen when the execution starts
    #[arg(long = "dir", value_name = "HOST[:GUEST][:ro]", value_parser = Grant::parse)]
    grants: Vec<Grant>,
    /// Give the workflow the files of this directory, read-only under `/bundle`; frozen when the execution starts
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
}

/// One `--dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    host: PathBuf,
    guest: String,
    writable: bool,
}

impl Grant {
    fn parse(text: &str) -> Result<Self, String> {
        let (rest, writable) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, false),
            None => (text, true),
        };
        if let Some((host, guest)) = rest.rsplit_once(":/") {
            return Ok(Self { host: host.into(), guest: format!("/{guest}"), writable });
        }
        let host = PathBuf::from(rest);
        let real = host.canonicalize().map_err(|error| format!("the directory cannot be opened: {error}"))?;
        let name = real.file_name().and_then(|name| name.to_str());
        let name = name.ok_or("the directory has no name to go by in the workflow: give HOST:GUEST")?;
        Ok(Self { guest: format!("/{name}"), host, writable })
    }

    /// As it was given, in full.
    fn option(&self) -> String {
        let read_only = if self.writable { "" } else { ":ro" };
        let option = format!("{}:{}{read_only}", self.host.display(), self.guest);
        format!("--dir {}", shell_quoted(Path::new(&option)))
    }
}

impl Files {
    /// The directories for step bodies, opened.
    pub(crate) fn directories(&self) -> Result<Vec<Directory>, Failure> {
        let mut directories: Vec<Directory> = Vec::new();
        for grant in &self.grants {
            if directories.iter().any(|other| other.path() == grant.guest) {
                return Err(Failure::wrong(format!(
                    "two directories are to be at {} in the workflow; give one of them another place with \
                     --dir HOST:GUEST",
                    grant.guest
                )));
            }
            let directory = Directory::open(&grant.host, &grant.guest, grant.writable);
            directories.push(directory.map_err(Failure::wrong)?);
        }
        Ok(directories)
    }

    /// The archive of what is to be bundled.
    pub(crate) fn pack(&self) -> Result<Option<Vec<u8>>, Failure> {
        self.bundle.as_deref().map(|directory| bundle::pack(directory).map_err(Failure::wrong)).transpose()
    }

    /// What is frozen at the start.
    pub(crate) fn config(bundle: Option<ComponentDigest>, directories: &[Directory]) -> FilesConfig {
        let frozen = |directory: &Directory| DirectoryConfig {
            path: directory.path().to_owned(),
            writable: directory.writable(),
        };
        FilesConfig { bundle, directories: directories.iter().map(frozen).collect() }
    }

    /// A workflow sees the directories that it was started with, and no others.
    pub(crate) fn check_resumed(started: Option<&FilesConfig>, given: &[Directory], name: &str) -> Result<(), Failure> {
        let frozen = started.map(|files| files.directories.as_slice()).unwrap_or_default();
        match given.iter().find(|given| frozen.iter().all(|frozen| frozen.path != given.path())) {
            Some(other) => Err(Failure::wrong(format!(
                "the execution {name} was started without a directory at {}; leave that --dir out to resume it, or \
                 choose another --name",
                other.path()
            ))),
            None => Ok(()),
        }
    }

    /// The options to go on with.
    pub(crate) fn hint(&self) -> impl Iterator<Item = String> {
        self.grants.iter().map(Grant::option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_directory_a_place_and_whether_it_may_be_written() {
        let parse = |text: &str| Grant::parse(text).map(|grant| (grant.host, grant.guest, grant.writable));
        let place = tempfile::tempdir().unwrap();
        let here = place.path().join("data:1");
        std::fs::create_dir(&here).unwrap();
        let text = here.to_str().unwrap();
        assert_eq!(parse(text), Ok((here.clone(), "/data:1".into(), true)));
        assert_eq!(parse(&format!("{text}:ro")), Ok((here.clone(), "/data:1".into(), false)));
        assert_eq!(parse(&format!("{text}:/in")), Ok((here.clone(), "/in".into(), true)));
        assert_eq!(parse(&format!("{text}:/in/deep:ro")), Ok((here.clone(), "/in/deep".into(), false)));
        assert_eq!(parse(&format!("{text}/.:/in")), Ok((here.join("."), "/in".into(), true)));
        assert!(parse(&format!("{text}/none")).is_err());
        assert!(parse("/").is_err());
        let again = Grant::parse(&format!("{text}:ro")).unwrap();
        assert_eq!(again.option(), format!("--dir {text}:/data:1:ro"));
    }

    #[test]
    fn a_directory_has_a_place_of_its_own() {
        let at = |guest: &str| Directory::open(Path::new("/"), guest, true).is_ok();
        assert!(at("/data") && at("/data/in") && at("/bundled"));
        for guest in ["", "/", "data", "/bundle", "/bundle/x", "/a//b", "/a/", "/a/../b", "/.", "/a\0"] {
            assert!(!at(guest), "{guest:?}");
        }
    }
}
