//! Standard streams. Budgets and chunks never depend on what was written before: a guest could see them.

use crate::host::{LiveOutput, Stop, Stream};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_io::bytes::Bytes;

/// Bytes a guest may write in one call, always.
const WRITE_BUDGET: usize = 64 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both output streams of one guest.
#[derive(Clone)]
pub(crate) struct Output(Arc<OutputState>);

struct OutputState {
    in_body: AtomicBool,
    queue: Mutex<VecDeque<(Stream, Vec<u8>)>>,
    live: LiveOutput,
    limit: u64,
    /// What a log line counts for beyond its text.
    line: u64,
    written: AtomicU64,
    written_in_body: AtomicU64,
}

impl Output {
    pub(crate) fn new(live: LiveOutput, limit: u64, line: u32) -> Self {
        Self(Arc::new(OutputState {
            in_body: AtomicBool::new(false),
            queue: Mutex::default(),
            live,
            limit,
            line: u64::from(line),
            written: AtomicU64::new(0),
            written_in_body: AtomicU64::new(0),
        }))
    }

    pub(crate) fn stream(&self, stream: Stream) -> OutputHalf {
        OutputHalf { output: self.clone(), stream }
    }

    /// The oldest piece of output written outside bodies that nobody took yet.
    pub(crate) fn take(&self) -> Option<(Stream, Vec<u8>)> {
        lock(&self.0.queue).pop_front()
    }

    /// Shows what nobody took, without anybody taking it.
    pub(crate) fn show_pending(&self) {
        while let Some((stream, bytes)) = self.take() {
            (self.0.live)(stream, &bytes);
        }
    }

    /// Counts a log line, with the bytes of its text, against the bound.
    pub(crate) fn charge_line(&self, bytes: usize) -> wasmtime::Result<()> {
        self.charge(self.0.line.saturating_add(bytes as u64))
    }

    fn charge(&self, bytes: u64) -> wasmtime::Result<()> {
        let in_body = self.in_body();
        let counter = if in_body { &self.0.written_in_body } else { &self.0.written };
        let written = counter.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if written <= self.0.limit {
            return Ok(());
        }
        Err(wasmtime::Error::new(Stop::Refused(format!(
            "more than {} bytes of output; write large data somewhere inside a step",
            self.0.limit
        ))))
    }

    pub(crate) fn in_body(&self) -> bool {
        self.0.in_body.load(Ordering::Relaxed)
    }

    /// Tells whoever reads a body's output something the guest is not told.
    pub(crate) fn notice(&self, text: &str) {
        (self.0.live)(Stream::Stderr, text.as_bytes());
    }

    /// From here on output goes out at once.
    pub(crate) fn body_opened(&self) {
        self.0.in_body.store(true, Ordering::Relaxed);
        self.0.written_in_body.store(0, Ordering::Relaxed);
    }

    pub(crate) fn body_closed(&self) {
        self.0.in_body.store(false, Ordering::Relaxed);
    }

    fn write(&self, stream: Stream, bytes: &[u8]) -> StreamResult<()> {
        if bytes.is_empty() {
            // How a guest opens its streams: nothing anybody wants to see.
            return Ok(());
        }
        self.charge(bytes.len() as u64).map_err(StreamError::Trap)?;
        let in_body = self.in_body();
        if in_body {
            (self.0.live)(stream, bytes);
            return Ok(());
        }
        let mut queue = lock(&self.0.queue);
        match queue.back_mut() {
            Some((last, pending)) if *last == stream => pending.extend_from_slice(bytes),
            _ => queue.push_back((stream, bytes.to_vec())),
        }
        Ok(())
    }
}

/// One of the two streams.
#[derive(Clone)]
pub(crate) struct OutputHalf {
    output: Output,
    stream: Stream,
}

impl IsTerminal for OutputHalf {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputHalf {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for OutputHalf {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi_io::async_trait]
impl OutputStream for OutputHalf {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.write(self.stream, &bytes)
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BUDGET)
    }
}

/// Standard input: the execution's input, with a position that bodies cannot move.
#[derive(Clone)]
pub(crate) struct Stdin {
    content: Bytes,
    position: Arc<Mutex<usize>>,
}

impl Stdin {
    pub(crate) fn new(content: Vec<u8>) -> Self {
        Self { content: content.into(), position: Arc::default() }
    }
    pub(crate) fn position(&self) -> usize {
        *lock(&self.position)
    }
    pub(crate) fn seek(&self, position: usize) {
        *lock(&self.position) = position;
    }
}

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi_io::async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut position = lock(&self.position);
        if *position == self.content.len() {
            return Err(StreamError::Closed);
        }
        let end = position.saturating_add(size).min(self.content.len());
        let chunk = self.content.slice(*position..end);
        *position = end;
        Ok(chunk)
    }
}
