//! Looking at, and reaching for, what is not the workflow's own.

use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

/// `what` for each target: what came out, or the error's text.
fn each<T: Into<Value>, E: Display>(targets: &[String], mut what: impl FnMut(&str) -> Result<T, E>) -> Value {
    let tried = targets.iter().map(|target| {
        let outcome = match what(target) {
            Ok(value) => json!({ "got": value.into() }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        (target.clone(), outcome)
    });
    Value::Object(tried.collect::<Map<_, _>>())
}

/// Reads each, lists it, and writes over it.
pub(crate) fn files(paths: &[String]) -> Value {
    let read = each(paths, |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    let listed = each(paths, |path| {
        let names = std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<std::io::Result<Vec<_>>>()
    });
    let appended = each(paths, |path| {
        std::fs::OpenOptions::new().append(true).open(path)?.write_all(b"overwritten").map(|()| "written")
    });
    json!({ "read": read, "listed": listed, "appended": appended })
}

/// Everything a program can ask about where it runs.
pub(crate) fn surroundings() -> Value {
    let mut stdin = String::new();
    let read = std::io::stdin().read_to_string(&mut stdin);
    json!({
        "environment": std::env::vars().collect::<Vec<_>>(),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "stdin": read.is_ok().then_some(stdin),
        "terminals": [
            wasip2::cli::terminal_stdin::get_terminal_stdin().is_some(),
            wasip2::cli::terminal_stdout::get_terminal_stdout().is_some(),
            wasip2::cli::terminal_stderr::get_terminal_stderr().is_some(),
        ],
        "cwd": wasip2::cli::environment::initial_cwd(),
    })
}

pub(crate) fn connect(addresses: &[String]) -> Value {
    each(addresses, |address| TcpStream::connect(address).map(|_| "connected"))
}

pub(crate) fn send(addresses: &[String]) -> Value {
    each(addresses, |address| {
        let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any)?;
        socket.send_to(b"escaped", address).map(|_| "sent")
    })
}

/// Listens there.
pub(crate) fn listen(addresses: &[String]) -> Value {
    each(addresses, |address| TcpListener::bind(address).map(|_| "listening"))
}

const MARK: &[u8; 16] = b"left by another!";

/// Fills memory with something to be found.
pub(crate) fn leave_a_mark() -> Value {
    let mark = black_box(MARK.repeat(2 << 20));
    std::mem::forget(mark);
    identity()
}

/// Reads memory that was never written to.
pub(crate) fn look_for_marks() -> Value {
    let mut identity = identity();
    let size = 64 << 20;
    // SAFETY: a layout that is not empty; the block is leaked. Fresh pages of linear memory are initialized by wasm's
    // rules, and what is read through is volatile.
    let found = unsafe {
        let block = std::alloc::alloc(std::alloc::Layout::from_size_align_unchecked(size, 16));
        (0..size).step_by(16).filter(|at| block.add(*at).cast::<[u8; 16]>().read_volatile() == *MARK).count()
    };
    identity["found"] = json!(found);
    identity
}

/// What nobody else has: the first random number, and a key.
fn identity() -> Value {
    json!({ "random": crate::first_random(), "hash_seed": wasip2::random::insecure_seed::insecure_seed().0 })
}
