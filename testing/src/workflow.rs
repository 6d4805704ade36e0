//! The workflow that is tested.

use everstep::workflow::{Source, SourceError, native_code_cache};
use everstep_sandbox::Sandbox;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A workflow's component, with the name of its function. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    pub(crate) function: Arc<str>,
    pub(crate) wasm: Arc<[u8]>,
}

impl Workflow {
    /// Builds what `everstep run PATH` would run: a crate, a directory with a `build` script, or a component as it is.
    /// In a crate's own tests that is `Workflow::build(env!("CARGO_MANIFEST_DIR"))`. Once for each path in a test
    /// process; the others wait for it.
    ///
    /// # Panics
    /// If it does not build; what the compiler says goes to stderr.
    #[track_caller]
    pub fn build(path: impl AsRef<Path>) -> Self {
        static BUILT: Mutex<BTreeMap<PathBuf, Result<Workflow, SourceError>>> = Mutex::new(BTreeMap::new());
        let path = path.as_ref();
        let key = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let build = || {
            let source = Source::at(path)?;
            let function = source.function()?;
            Ok(Self::from_bytes(&function, source.component()?))
        };
        let built = {
            let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
            built.entry(key).or_insert_with(build).clone()
        };
        built.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A component that is at hand.
    pub fn from_bytes(function: &str, wasm: impl Into<Vec<u8>>) -> Self {
        Self { function: function.into(), wasm: wasm.into().into() }
    }

    /// The function's name: the crate's or the file's.
    pub fn function(&self) -> &str {
        &self.function
    }
}

/// One for all tests of a process.
pub(crate) fn sandbox() -> Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    let start =
        || Sandbox::new(native_code_cache()).unwrap_or_else(|error| panic!("the sandbox cannot start: {error}"));
    SANDBOX.get_or_init(start).clone()
}
