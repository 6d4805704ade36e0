//! The files a guest sees, put together from what the execution was started with and what this process has.

use super::Worker;
use everstep_core::protocol::{ComponentDigest, ExecutionConfig};
use everstep_sandbox::{Bundle, GuestDirectory, GuestFiles};

impl Worker {
    /// This worker, for executions that were started with this bundle.
    #[must_use]
    pub fn with_bundle(mut self, digest: ComponentDigest, bundle: Bundle) -> Self {
        self.add_bundle(digest, bundle);
        self
    }

    /// From now on for executions that were started with this bundle.
    pub(crate) fn add_bundle(&mut self, digest: ComponentDigest, bundle: Bundle) {
        self.bundle = Some((digest, bundle));
    }

    /// Err: the bundle that the execution needs and this worker does not have.
    pub(super) fn check_bundle(&self, config: &ExecutionConfig) -> Result<(), ComponentDigest> {
        let needed = config.files.as_ref().and_then(|files| files.bundle);
        match needed {
            Some(needed) if self.bundle.as_ref().is_none_or(|(digest, _)| *digest != needed) => Err(needed),
            _ => Ok(()),
        }
    }

    pub(super) fn files(&self, config: &ExecutionConfig) -> Option<GuestFiles> {
        let files = config.files.as_ref()?;
        let bundle = self.bundle.as_ref().filter(|(digest, _)| files.bundle == Some(*digest));
        let directories = files.directories.iter().map(|directory| GuestDirectory {
            path: directory.path.clone(),
            writable: directory.writable,
            grant: self.environment.directories.iter().find(|granted| granted.path() == directory.path).cloned(),
        });
        Some(GuestFiles { bundle: bundle.map(|(_, bundle)| bundle.clone()), directories: directories.collect() })
    }
}
