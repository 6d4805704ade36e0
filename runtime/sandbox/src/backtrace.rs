//! Where in the guest's code a run ended: names always, source lines if the component carries DWARF.

use crate::host::Stop;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use wasmtime::{Config, Engine, Store, WasmBacktrace};

/// Longest function name kept, bytes: generic ones have no bound of their own.
const LONGEST_NAME: usize = 512;

/// Crates whose frames say nothing about the workflow's own code.
const MACHINERY: [&str; 12] = [
    "alloc",
    "compiler_builtins",
    "core",
    "dlmalloc",
    "everstep_sdk",
    "hashbrown",
    "std",
    "wasi",
    "wasip2",
    "wit_bindgen",
    "wit_bindgen_rt",
    "__rustc",
];

/// Parts of paths under which sources lie that are not the workflow's own.
const FOREIGN: [&str; 6] =
    ["/rustc/", "/registry/src/", "/git/checkouts/", "/guest-sdk/src/", "/everstep-sdk/src/", "wasi-libc/"];

/// One function that was running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its demangled name without a hash, at most 512 bytes. What the compiler inlined has a name without a path.
    pub function: String,
    /// Its source file, relative to its crate; none if the component has no DWARF.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// It is the workflow's code; otherwise the language's runtime, the SDK, generated bindings or, as far as that is
    /// known, a library.
    pub own: bool,
}

impl Frame {
    fn new(name: &str, file: Option<&str>, line: Option<u32>) -> Self {
        let mut function = format!("{:#}", rustc_demangle::demangle(name));
        // Type arguments, which can be very long and say little.
        if let Some(arguments) = function.find('<').filter(|at| *at > 0 && !function[..*at].contains("::")) {
            function.truncate(arguments);
        }
        function.truncate(function.floor_char_boundary(LONGEST_NAME));
        let own = match file {
            Some(file) => !FOREIGN.iter().any(|part| file.contains(part)) && !is_machinery(&function),
            None => !is_machinery(&function) && !is_start(&function),
        };
        Self { function, file: file.map(|file| in_crate(file).to_owned()), line: line.filter(|line| *line > 0), own }
    }

    /// For people: what has no name is named by what it is.
    pub fn title(&self) -> String {
        let title = match self.function.split('#').next().unwrap_or_default() {
            "{async_fn" => "an async function",
            "{async_block" => "an async block",
            "{closure" => "a closure",
            _ => &self.function,
        };
        Self { function: title.to_owned(), ..self.clone() }.to_string()
    }
}

fn is_machinery(function: &str) -> bool {
    let generated = function.starts_with("everstep::workflow::") || function.starts_with("__");
    generated || crate_of(function).is_some_and(|krate| MACHINERY.contains(&krate))
}

/// A name without a path, as programs in any language start and end with; anything else is a function of C, say.
fn is_start(function: &str) -> bool {
    let known = ["_start", "main", "abort", "_Exit", "exit", "run", "undefined_stub"];
    !function.contains("::") && (known.contains(&function) || function.contains([':', '#', '[', ' ']))
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            (Some(file), None) => write!(f, " ({file})"),
            _ => Ok(()),
        }
    }
}

/// The functions that were running, innermost first, inlined ones included; none if the run ended by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backtrace {
    /// At most [`Backtrace::FRAMES`] of the guest's functions, and what is inlined in them.
    pub frames: Vec<Frame>,
}

impl Backtrace {
    /// The most functions of the guest that are looked at.
    pub const FRAMES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(64).expect("64 is not 0");

    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Self::default() };
        let mut frames = Vec::new();
        for frame in backtrace.frames() {
            if frame.symbols().is_empty() {
                frames.extend(frame.func_name().map(|name| Frame::new(name, None, None)));
            }
            for symbol in frame.symbols() {
                if let Some(name) = symbol.name().or(frame.func_name()) {
                    frames.push(Frame::new(name, symbol.file(), symbol.line()));
                }
            }
        }
        Self { frames }
    }

    /// The frames of the workflow's own code.
    pub fn own(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.own)
    }

    /// Where the workflow's own code was: its innermost frame.
    pub fn place(&self) -> Option<&Frame> {
        self.own().next()
    }

    /// A line for each frame.
    pub fn lines(&self) -> Vec<String> {
        self.frames.iter().map(ToString::to_string).collect()
    }
}

/// The crate in whose path a function lies: of `<order::Total as core::fmt::Debug>::fmt`, `order`.
fn crate_of(function: &str) -> Option<&str> {
    // Not one of its type arguments.
    let path =
        function.get(1..)?.find('<').filter(|_| !function.starts_with('<')).map_or(function, |at| &function[..=at]);
    let end = path.find("::")?;
    let start = function[..end].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    Some(&function[start..end]).filter(|krate| !krate.is_empty())
}

/// `src/main.rs` of the crate that is being built, `uuid-1.0.0/src/lib.rs` of a dependency, `std/src/time.rs`.
fn in_crate(file: &str) -> &str {
    let after = |mark: &str| file.rfind(mark).map(|at| &file[at + mark.len()..]);
    if let Some(dependency) = after("/registry/src/") {
        return dependency.split_once('/').map_or(dependency, |(_registry, path)| path);
    }
    if file.starts_with("/rustc/")
        && let Some(library) = after("/library/")
    {
        return library;
    }
    ["/src/", "/examples/", "/tests/"]
        .iter()
        .filter_map(|directory| file.rfind(directory))
        .max()
        .map_or(file, |at| &file[at + 1..])
}

/// As an error whose backtrace is not looked for: a suspension is no fault, and source lines are slow to find.
pub(crate) fn without_backtrace(stop: Stop) -> wasmtime::Error {
    static IDLE: Mutex<Option<Store<()>>> = Mutex::new(None);
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.is_none() {
        let mut config = Config::new();
        config.wasm_backtrace_max_frames(None);
        *idle = Engine::new(&config).ok().map(|engine| Store::new(&engine, ()));
    }
    let error = wasmtime::Error::new(stop);
    match idle.as_ref() {
        // wasmtime adds a backtrace to an error that has none yet; this one is empty.
        Some(idle) => error.context(WasmBacktrace::capture(idle)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(function: &str) -> Frame {
        Frame::new(function, None, None)
    }

    #[test]
    fn the_workflow_s_own_frames_are_told_from_machinery() {
        for own in [
            "order::main",
            "_ZN5order7handler28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
            "<order::Total as core::fmt::Debug>::fmt",
            "<&mut order::Total>::add",
            "uuid::Uuid::new_v4",
            "charge_the_card",
        ] {
            assert!(named(own).own, "{own}");
        }
        for machinery in [
            "core::ops::function::FnOnce::call_once",
            "<core::pin::Pin<P> as core::future::future::Future>::poll",
            "<alloc::boxed::Box<F> as core::ops::function::FnOnce>::call_once",
            "everstep_sdk::executor::drive",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "_RNvCs1234_7___rustc10rust_panic",
            "__main_void",
            "_start",
            "abort",
            "wit-component:shim",
            "wasi:cli/run@0.2.6#run",
        ] {
            assert!(!named(machinery).own, "{machinery}: {:?}", named(machinery));
        }
        assert_eq!(named("_ZN5order7handler17h0123456789abcdefE").function, "order::handler");
        assert_eq!(named("call_once<fn(order::Total), ()>").function, "call_once");
        assert_eq!(named(&"x".repeat(2_000)).function.len(), LONGEST_NAME);
    }

    #[test]
    fn files_are_shown_as_their_crate_has_them() {
        let shown = |file: &str| Frame::new("f", Some(file), Some(7)).to_string();
        assert_eq!(shown("/home/ada/src/shop/order/src/main.rs"), "f (src/main.rs:7)");
        assert_eq!(
            shown("/root/.cargo/registry/src/index.crates.io-1949/uuid-1.0.0/src/v4.rs"),
            "f (uuid-1.0.0/src/v4.rs:7)"
        );
        assert_eq!(shown("/rustc/59807616e1/library/std/src/time.rs"), "f (std/src/time.rs:7)");
        assert_eq!(shown("workflow.c"), "f (workflow.c:7)");
        let own = |file: &str| Frame::new("{async_fn#0}", Some(file), Some(7)).own;
        assert!(own("/home/ada/order/src/main.rs"));
        assert!(!own("/home/ada/everstep/guest-sdk/src/lib.rs"));
        assert!(!own("/rustc/59807616e1/library/std/src/time.rs"));
        let title = Frame::new("{async_fn#0}<order::Input>", Some("/order/src/main.rs"), Some(7)).title();
        assert_eq!(title, "an async function (src/main.rs:7)");
    }

    #[test]
    fn a_suspension_carries_no_backtrace_and_is_still_one() {
        let error = without_backtrace(Stop::Suspend);
        assert_eq!(Backtrace::of(&error), Backtrace::default());
        assert!(error.is::<WasmBacktrace>(), "otherwise wasmtime captures one");
        assert!(matches!(error.downcast_ref::<Stop>(), Some(Stop::Suspend)));
        assert!(matches!(error.downcast::<Stop>(), Ok(Stop::Suspend)));
    }
}
