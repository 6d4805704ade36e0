//! Streams on files in memory: always ready, and what they take and give never depends on what they did before.

use super::memory::Opened;
use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes a guest may write in one call, always.
const WRITE_BUDGET: usize = 64 << 10;

/// Reads from where it stands.
pub(super) struct Reader(pub(super) Opened);

#[wasmtime_wasi_io::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi_io::async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.0.read(size as u64).map_err(|error| StreamError::LastOperationFailed(error.into()))?;
        if bytes.is_empty() && size > 0 { Err(StreamError::Closed) } else { Ok(bytes) }
    }
}

/// Writes where it stands, or at the end.
pub(super) struct Writer {
    pub(super) opened: Opened,
    pub(super) append: bool,
}

impl Writer {
    fn check(&self) -> StreamResult<()> {
        if self.opened.is_closed() { Err(StreamError::Closed) } else { Ok(()) }
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi_io::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        self.opened.write(&bytes, self.append).map_err(|error| StreamError::LastOperationFailed(error.into()))
    }
    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        self.check().map(|()| WRITE_BUDGET)
    }
}
