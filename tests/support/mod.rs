//! What every end-to-end test stands on: guests built once, and the binary in a directory of its own.

#![allow(dead_code)] // each test program uses a part

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The component of a workspace member (`order`, `guest-faults`, ...), built for the sealing tests' profile: opt-level 3
/// with fat LTO. All guests are built in one go, the first time any is asked for.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let guests = [
            "order",
            "sleepy",
            "etl",
            "approval",
            "saga",
            "fanout",
            "orchestrate",
            "conformance",
            "guest-chaos",
            "guest-contract",
            "guest-escape",
            "guest-faults",
            "guest-fetch",
            "guest-files",
            "guest-interpreter",
            "guest-plain-http",
            "guest-sealing",
        ];
        let status = Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "guest"])
            .args(guests.iter().flat_map(|guest| ["-p", guest]))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the guests do not build; is the target there? rustup target add wasm32-wasip2");
        target_directory().join("wasm32-wasip2/guest")
    });
    let path = directory.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// A component by name: a workspace member's, or one that `tests/languages/build` made, such as
/// `languages/python/reminders`.
pub fn component(name: &str) -> PathBuf {
    if !name.contains('/') {
        return guest(name);
    }
    let path = target_directory().join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing; build it with tests/languages/build", path.display());
    path
}

/// Where cargo builds: this test program lies in `target/debug/deps`.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.ancestors().nth(3).expect("target/debug/deps/program").to_owned()
}

/// A directory of its own for each test, with a database in it; native code is cached for all tests together.
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn database(&self) -> PathBuf {
        self.path().join("everstep.db")
    }

    /// The real binary, in this directory.
    pub fn everstep(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everstep"));
        command
            .current_dir(self.path())
            .env("EVERSTEP_CACHE_DIR", target_directory().join("everstep-test-cache"))
            .env_remove("EVERSTEP_DATA")
            .env_remove("EVERSTEP_LOG")
            .env_remove("EVERSTEP_FAILPOINT")
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.everstep(arguments).output().expect("everstep runs"))
    }
}

/// What the binary said.
#[derive(Debug)]
pub struct Ran {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

impl Ran {
    /// Asserts the exit status, with everything that was said if it is another.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.exit, Some(status), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Where native code is cached for all tests together.
pub fn native_code_cache() -> PathBuf {
    target_directory().join("everstep-test-cache")
}
