//! From what a user points at to a component's bytes: a `.wasm` file as it is, a crate by building it, anything else by
//! its own `build` script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-wasip2";
const SCRIPT: &str = "build";

/// Why there is no component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// What the path leads to is no workflow, or does not build.
    #[error("{0}")]
    Wrong(String),
    /// This machine cannot build workflows.
    #[error("{0}")]
    Unavailable(String),
}

/// What `everstep run PATH` was pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A component.
    Component(PathBuf),
    /// A crate with a binary.
    Crate(PathBuf),
    /// A directory with an executable `build`, which prints the component's path as its last line.
    Scripted(PathBuf),
}

impl Source {
    /// Looks at the path; reads nothing yet.
    pub fn at(path: &Path) -> Result<Self, SourceError> {
        if path.is_dir() {
            if path.join("Cargo.toml").is_file() {
                return Ok(Self::Crate(path.to_owned()));
            }
            if path.join(SCRIPT).is_file() {
                return Ok(Self::Scripted(path.to_owned()));
            }
            return Err(SourceError::Wrong(format!(
                "{} is a directory without a Cargo.toml or a `build` script; give a workflow crate or a .wasm component \
                 (`everstep new NAME` makes a crate)",
                path.display()
            )));
        }
        if path.is_file() {
            return Ok(Self::Component(path.to_owned()));
        }
        Err(SourceError::Wrong(format!(
            "there is nothing at {}; give a workflow crate or a .wasm component",
            path.display()
        )))
    }

    /// The function's name: the crate's, the file's or the directory's, with what an ARN does not allow replaced by
    /// `-`.
    pub fn function(&self) -> Result<String, SourceError> {
        let name = match self {
            Self::Component(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Crate(path) => package_name(&canonical(path)?)?,
            Self::Scripted(path) => canonical(path)?.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        Ok(name.chars().take(64).map(plain).collect())
    }

    /// The component's bytes; builds it first, with what the compiler says on stderr.
    pub fn component(&self) -> Result<Vec<u8>, SourceError> {
        let path = match self {
            Self::Component(path) => path.clone(),
            Self::Crate(path) => build(path)?,
            Self::Scripted(path) => run_script(path)?,
        };
        std::fs::read(&path).map_err(|error| SourceError::Wrong(format!("{} cannot be read: {error}", path.display())))
    }

    /// As people call it.
    pub fn path(&self) -> &Path {
        match self {
            Self::Component(path) | Self::Crate(path) | Self::Scripted(path) => path,
        }
    }
}

fn canonical(path: &Path) -> Result<PathBuf, SourceError> {
    path.canonicalize().map_err(|error| SourceError::Wrong(format!("{}: {error}", path.display())))
}

/// Runs `./build` in the directory. The last line that it prints to stdout is the component's path.
fn run_script(directory: &Path) -> Result<PathBuf, SourceError> {
    let directory = canonical(directory)?;
    let script = directory.join(SCRIPT);
    let output = Command::new(&script).current_dir(&directory).stderr(Stdio::inherit()).output().map_err(|error| {
        SourceError::Wrong(format!("{} cannot be run: {error}; make it executable with `chmod +x`", script.display()))
    })?;
    if !output.status.success() {
        return Err(SourceError::Wrong(format!("{} failed with {}; see above", script.display(), output.status)));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.lines().last().map(str::trim) {
        Some(path) if !path.is_empty() => Ok(directory.join(path)),
        _ => Err(SourceError::Wrong(format!(
            "{} printed nothing; its last line has to be the path of the component it built",
            script.display()
        ))),
    }
}

fn package_name(directory: &Path) -> Result<String, SourceError> {
    let manifest = directory.join("Cargo.toml");
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version=1", "--offline", "--manifest-path"])
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(no_cargo)?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| SourceError::Wrong(format!("cargo cannot read {}; see above", manifest.display())))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages
        .iter()
        .find(|package| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
        .and_then(|package| package["name"].as_str().map(str::to_owned))
        .ok_or_else(|| {
            SourceError::Wrong(format!("{} describes no package; give a workflow crate", manifest.display()))
        })
}

fn no_cargo(error: std::io::Error) -> SourceError {
    SourceError::Unavailable(format!("cargo cannot be run: {error}; install Rust, or give a built .wasm component"))
}

/// Builds the crate's binary for [`TARGET`], in release mode.
fn build(directory: &Path) -> Result<PathBuf, SourceError> {
    ensure_target()?;
    let output = Command::new("cargo")
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .current_dir(directory)
        .stderr(Stdio::inherit())
        .output()
        .map_err(no_cargo)?;
    if !output.status.success() {
        return Err(SourceError::Wrong(format!("{} does not build; see above", directory.display())));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built: Vec<PathBuf> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect();
    match built.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(SourceError::Wrong(format!(
            "{} builds no program; a workflow is a binary crate with a `fn main`",
            directory.display()
        ))),
        several => Err(SourceError::Wrong(format!(
            "{} builds {} programs; give one of the .wasm files: {}",
            directory.display(),
            several.len(),
            several.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// A `rust-toolchain.toml` alone does not add a target everywhere, so we do.
fn ensure_target() -> Result<(), SourceError> {
    let there = || {
        let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output().ok()?;
        let directory = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let mut entries = std::fs::read_dir(directory).ok()?;
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd")))
            .then_some(())
    };
    if there().is_some() {
        return Ok(());
    }
    eprintln!("adding the {TARGET} target with rustup");
    let added = Command::new("rustup").args(["target", "add", TARGET]).stdout(Stdio::null()).status();
    if added.is_ok_and(|status| status.success()) && there().is_some() {
        return Ok(());
    }
    Err(SourceError::Unavailable(format!(
        "the Rust target {TARGET} is missing; add it with `rustup target add {TARGET}`"
    )))
}

/// Where native code is cached: `EVERSTEP_CACHE_DIR`, `XDG_CACHE_HOME/everstep` or `~/.cache/everstep`; without any of
/// them it is compiled every time.
pub fn native_code_cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("EVERSTEP_CACHE_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("everstep")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/everstep")))
}
