//! The workflow that is tested.

use everstep::workflow::{Source, native_code_cache};
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
        static BUILT: Mutex<BTreeMap<PathBuf, Workflow>> = Mutex::new(BTreeMap::new());
        let path = path.as_ref();
        let key = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        // A build that panicked has left nothing behind.
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workflow) = built.get(&key) {
            return workflow.clone();
        }
        let workflow = Source::at(path).and_then(|source| {
            let function = source.function()?;
            Ok(Self::from_bytes(&function, source.component()?))
        });
        match workflow {
            Ok(workflow) => built.entry(key).or_insert(workflow).clone(),
            Err(error) => panic!("{error}"),
        }
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
