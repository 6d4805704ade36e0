//! Compilation ahead of time, and the cache of native code.
//!
//! Native code is trusted as much as the host itself, so it is only ever read from the cache directory, which must
//! belong to this user alone, under a name that says exactly what it was made from and for. It is never read from a
//! database, a recording or anything else a user hands in.

use crate::backtrace::Backtrace;
use crate::durable;
use crate::guest::GuestState;
use crate::inspect::{self, NotAWorkflow, Shape};
use crate::memory::Creator;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, WasmBacktraceDetails};
use wasmtime_wasi::p2::bindings::sync::CommandPre;

/// How often running guests look whether they are over their time.
const TICK: Duration = Duration::from_millis(50);

/// The interpreter's instruction set, for machines with little-endian words of 64 bits: all that Everstep runs on.
const INTERPRETER: &str = "pulley64";

/// The engine with everything that can be linked, shared by all runs of a process.
#[derive(Clone)]
pub struct Sandbox {
    engine: Engine,
    linker: Arc<Linker<GuestState>>,
    cache: Option<PathBuf>,
}

/// A workflow ready to run.
#[derive(Clone)]
pub struct CompiledWorkflow {
    pre: CommandPre<GuestState>,
    shape: Arc<Shape>,
}

/// Why a component cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It is no workflow.
    #[error(transparent)]
    NotAWorkflow(#[from] NotAWorkflow),
    /// Its steps could not be undone.
    #[error(
        "its step bodies cannot be sealed: {0}; build it with `cargo build --target wasm32-wasip2` and without wasm \
         post-processing, or have it call `next-unsealed` instead of `next`"
    )]
    Unsealable(String),
    /// wasmtime refuses it.
    #[error("cannot be compiled or linked: {0:#}")]
    Wasmtime(wasmtime::Error),
}

impl From<wasmtime::Error> for SandboxError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasmtime(error)
    }
}

/// Everything that decides what native code means. Part of the cache key through wasmtime's own compatibility hash.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .max_wasm_stack(512 << 10)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_init_cow(false)
        .epoch_interruption(true)
        // Whatever the environment says: what a run records must not depend on it.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(Some(Backtrace::FRAMES))
        .with_host_memory(Arc::new(Creator));
    config
}

impl Sandbox {
    /// `cache`: directory for native code, made (mode 0700) if missing; none: compile every time. A directory that
    /// others can write to is not used.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, SandboxError> {
        Self::configured(&config(), cache)
    }

    /// Compiles to the bytecode of wasmtime's portable interpreter instead of native code, with everything else as in
    /// [`Sandbox::new`], so that whatever runs does and leaves the same: for comparing the two, and for machines
    /// that may not make native code. It computes far more slowly. Both may share a cache.
    pub fn interpreted(cache: Option<PathBuf>) -> Result<Self, SandboxError> {
        let mut config = config();
        config.target(INTERPRETER)?;
        Self::configured(&config, cache)
    }

    fn configured(config: &Config, cache: Option<PathBuf>) -> Result<Self, SandboxError> {
        let engine = Engine::new(config)?;
        let mut linker = Linker::new(&engine);
        crate::wasi::add_to_linker(&mut linker)?;
        durable::add_to_linker(&mut linker)?;
        let ticking = engine.weak();
        std::thread::Builder::new()
            .name("everstep-tick".into())
            .spawn(move || {
                while let Some(engine) = ticking.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|error| SandboxError::Wasmtime(error.into()))?;
        let cache = cache.filter(|directory| match private_directory(directory) {
            Ok(()) => true,
            Err(reason) => {
                tracing::warn!(directory = %directory.display(), %reason, "native code is not cached");
                false
            }
        });
        Ok(Self { engine, linker: Arc::new(linker), cache })
    }

    /// Compiles a component, or takes its native code from the cache.
    pub fn load(&self, wasm: &[u8]) -> Result<CompiledWorkflow, SandboxError> {
        let cached = self.cache.as_ref().map(|directory| directory.join(self.cache_key(wasm)));
        if let Some(path) = &cached
            && let Some(workflow) = self.load_cached(path)
        {
            return Ok(workflow);
        }
        let shape = inspect::inspect(wasm)?;
        if let (true, false, Some(reason)) = (shape.uses_durable, shape.imports_unsealed, &shape.unsealable) {
            return Err(SandboxError::Unsealable(reason.clone()));
        }
        let component = Component::new(&self.engine, wasm)?;
        if let Some(path) = &cached
            && let Err(error) = store(path, &shape, &component)
        {
            tracing::warn!(path = %path.display(), %error, "native code is not cached");
        }
        self.link(component, shape)
    }

    fn link(&self, component: Component, shape: Shape) -> Result<CompiledWorkflow, SandboxError> {
        let pre = CommandPre::new(self.linker.instantiate_pre(&component)?)?;
        Ok(CompiledWorkflow { pre, shape: Arc::new(shape) })
    }

    /// Names digest, wasmtime version, target, flags and CPU features (all but the first through wasmtime's hash).
    fn cache_key(&self, wasm: &[u8]) -> String {
        struct Sha(Sha256);
        impl Hasher for Sha {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        let mut hash = Sha(Sha256::new());
        hash.write(wasm);
        self.engine.precompile_compatibility_hash().hash(&mut hash);
        hash.write(env!("CARGO_PKG_VERSION").as_bytes());
        hash.0.finalize().iter().take(24).map(|byte| format!("{byte:02x}")).collect()
    }

    fn load_cached(&self, path: &Path) -> Option<CompiledWorkflow> {
        let shape = std::fs::read(path.with_extension("shape")).ok()?;
        let shape = Shape::from_bytes(&shape)?;
        let code = path.with_extension("cwasm");
        if !code.exists() {
            return None;
        }
        // SAFETY: the file was written by `store` below into a directory that only this user can write to, completely
        // before it got this name; the name binds it to the component, wasmtime's version and its flags.
        match unsafe { Component::deserialize_file(&self.engine, &code) } {
            Ok(component) => self.link(component, shape).ok(),
            Err(error) => {
                tracing::warn!(path = %code.display(), %error, "cached native code is unusable; compiling again");
                None
            }
        }
    }
}

impl CompiledWorkflow {
    pub(crate) fn instantiate_pre(&self) -> &CommandPre<GuestState> {
        &self.pre
    }
    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }
    /// What it is made of.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

impl Shape {
    fn to_bytes(&self) -> Vec<u8> {
        let (durable, unsealed) = (u8::from(self.uses_durable), u8::from(self.imports_unsealed));
        let unsealable = self.unsealable.as_deref().unwrap_or_default();
        format!("2 {durable} {unsealed} {} {unsealable}", self.stack_top).into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(bytes).ok()?.splitn(5, ' ');
        (fields.next()? == "2").then_some(())?;
        let uses_durable = fields.next()? == "1";
        let imports_unsealed = fields.next()? == "1";
        let stack_top = fields.next()?.parse().ok()?;
        let unsealable = Some(fields.next()?.to_owned()).filter(|reason| !reason.is_empty());
        Some(Self { uses_durable, imports_unsealed, stack_top, unsealable })
    }
}

/// Two files, each whole before it gets its name; the shape comes last, so that it vouches for the code.
fn store(path: &Path, shape: &Shape, component: &Component) -> Result<(), Box<dyn std::error::Error>> {
    let put = |extension: &str, content: &[u8]| -> std::io::Result<()> {
        // A name of its own for each writer: two threads may be storing the same component.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{extension}.{}.{number}", std::process::id()));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_data()?;
        std::fs::rename(&temporary, path.with_extension(extension))
    };
    put("cwasm", &component.serialize().map_err(|error| error.to_string())?)?;
    put("shape", &shape.to_bytes())?;
    Ok(())
}

fn private_directory(directory: &Path) -> Result<(), String> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| format!("cannot make it: {error}"))?;
    let metadata = std::fs::symlink_metadata(directory).map_err(|error| error.to_string())?;
    // SAFETY: a system call without arguments or failure.
    let user = unsafe { libc::geteuid() };
    if !metadata.is_dir() {
        Err("it is no directory".into())
    } else if metadata.uid() != user {
        Err("it belongs to somebody else".into())
    } else if metadata.mode() & 0o022 != 0 {
        Err("others can write to it; `chmod go-w` it".into())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both may share a cache: neither takes the other's code for its own.
    #[test]
    fn the_interpreter_interprets_and_its_code_has_names_of_its_own() {
        let (native, interpreted) = (Sandbox::new(None).unwrap(), Sandbox::interpreted(None).unwrap());
        assert!(interpreted.engine.is_pulley());
        assert_ne!(native.cache_key(b"a component"), interpreted.cache_key(b"a component"));
        assert_eq!(native.cache_key(b"a component"), Sandbox::new(None).unwrap().cache_key(b"a component"));
    }

    #[test]
    fn a_cached_shape_is_the_shape() {
        let reasons = [None, Some("it has 2 linear memories instead of one".to_owned())];
        for (imports_unsealed, unsealable) in [false, true].into_iter().zip(reasons) {
            let shape = Shape { uses_durable: true, imports_unsealed, stack_top: 1 << 20, unsealable };
            assert_eq!(Shape::from_bytes(&shape.to_bytes()), Some(shape));
        }
        assert_eq!(Shape::from_bytes(b"1 1 1048576"), None, "an older one says too little");
    }
}
