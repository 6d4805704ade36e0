//! `wasi:io/streams`: wasmtime's, with blocking calls made ours. Outside step bodies nothing that a stream yields has to
//! be waited for, so no call blocks; inside, a blocking call is bounded by what is left of the body's time.

use crate::durable::stop;
use crate::guest::GuestState;
use crate::host::Stop;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::streams as asynchronous;
use wasmtime_wasi::p2::bindings::sync::io::poll::Pollable;
use wasmtime_wasi::p2::bindings::sync::io::streams::{
    self, HostInputStream, HostOutputStream, InputStream, OutputStream,
};
use wasmtime_wasi::p2::{StreamError, StreamResult};
use wasmtime_wasi::runtime::in_tokio;

/// WASI's bound of one blocking write, bytes.
const BLOCKING_WRITE: usize = 4096;

impl GuestState {
    /// A call of a step's body that may block.
    fn in_time<T>(&mut self, call: impl AsyncFnOnce(&mut ResourceTable) -> StreamResult<T>) -> StreamResult<T> {
        let left = self.stretch_left();
        let table = &mut self.table;
        in_tokio(async {
            let done = tokio::time::timeout(left, call(table)).await;
            done.unwrap_or_else(|_| Err(StreamError::Trap(wasmtime::Trap::Interrupt.into())))
        })
    }

    fn complete_requests(&mut self) -> StreamResult<()> {
        self.send_requests().map_err(StreamError::Trap)
    }

    /// Writes all of it. What a stream outside bodies has no room for, it will never have room for.
    fn write_all(
        &mut self,
        stream: u32,
        mut write: impl FnMut(&mut Self, usize) -> StreamResult<bool>,
    ) -> StreamResult<()> {
        let borrowed = || Resource::new_borrow(stream);
        loop {
            self.complete_requests()?;
            let room = HostOutputStream::check_write(&mut self.table, borrowed())?;
            if room == 0 {
                return Err(StreamError::Trap(stop(never_ready())));
            }
            if write(self, usize::try_from(room).unwrap_or(usize::MAX))? {
                break;
            }
        }
        HostOutputStream::flush(&mut self.table, borrowed())?;
        self.complete_requests()?;
        HostOutputStream::check_write(&mut self.table, borrowed()).map(drop)
    }
}

fn never_ready() -> Stop {
    Stop::Refused(
        "the workflow blocks on a stream that can never become ready outside a step; do I/O inside ctx.step()".into(),
    )
}

fn too_long(bytes: usize) -> StreamError {
    StreamError::Trap(wasmtime::Error::msg(format!(
        "a blocking write of {bytes} bytes; at most {BLOCKING_WRITE} are allowed in one call"
    )))
}

impl streams::Host for GuestState {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(&mut self.table, error)
    }
}

impl HostOutputStream for GuestState {
    fn drop(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<()> {
        <ResourceTable as HostOutputStream>::drop(&mut self.table, stream)
    }

    fn check_write(&mut self, stream: Resource<OutputStream>) -> StreamResult<u64> {
        self.complete_requests()?;
        HostOutputStream::check_write(&mut self.table, stream)
    }

    fn write(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        HostOutputStream::write(&mut self.table, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        if self.in_body() {
            return self.in_time(async |table| {
                asynchronous::HostOutputStream::blocking_write_and_flush(table, stream, bytes).await
            });
        }
        if bytes.len() > BLOCKING_WRITE {
            return Err(too_long(bytes.len()));
        }
        let (rep, mut left) = (stream.rep(), bytes);
        self.write_all(rep, |state, room| {
            let rest = left.split_off(room.min(left.len()));
            HostOutputStream::write(&mut state.table, Resource::new_borrow(rep), std::mem::replace(&mut left, rest))?;
            Ok(left.is_empty())
        })
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<OutputStream>, count: u64) -> StreamResult<()> {
        if self.in_body() {
            return self.in_time(async |table| {
                asynchronous::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, count).await
            });
        }
        if count > BLOCKING_WRITE as u64 {
            return Err(too_long(usize::try_from(count).unwrap_or(usize::MAX)));
        }
        let (rep, mut left) = (stream.rep(), count);
        self.write_all(rep, |state, room| {
            let now = left.min(room as u64);
            HostOutputStream::write_zeroes(&mut state.table, Resource::new_borrow(rep), now)?;
            left -= now;
            Ok(left == 0)
        })
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<Resource<Pollable>> {
        HostOutputStream::subscribe(&mut self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, count: u64) -> StreamResult<()> {
        HostOutputStream::write_zeroes(&mut self.table, stream, count)
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        HostOutputStream::flush(&mut self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        if self.in_body() {
            return self.in_time(async |table| asynchronous::HostOutputStream::blocking_flush(table, stream).await);
        }
        let rep = stream.rep();
        HostOutputStream::flush(&mut self.table, Resource::new_borrow(rep))?;
        self.complete_requests()?;
        HostOutputStream::check_write(&mut self.table, Resource::new_borrow(rep)).map(drop)
    }

    fn splice(&mut self, into: Resource<OutputStream>, from: Resource<InputStream>, count: u64) -> StreamResult<u64> {
        self.complete_requests()?;
        HostOutputStream::splice(&mut self.table, into, from, count)
    }

    fn blocking_splice(
        &mut self,
        into: Resource<OutputStream>,
        from: Resource<InputStream>,
        count: u64,
    ) -> StreamResult<u64> {
        if self.in_body() {
            return self.in_time(async |table| {
                asynchronous::HostOutputStream::blocking_splice(table, into, from, count).await
            });
        }
        self.splice(into, from, count)
    }
}

impl HostInputStream for GuestState {
    fn drop(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<()> {
        <ResourceTable as HostInputStream>::drop(&mut self.table, stream)
    }

    fn read(&mut self, stream: Resource<InputStream>, count: u64) -> StreamResult<Vec<u8>> {
        HostInputStream::read(&mut self.table, stream, count)
    }

    fn blocking_read(&mut self, stream: Resource<InputStream>, count: u64) -> StreamResult<Vec<u8>> {
        if self.in_body() {
            return self
                .in_time(async |table| asynchronous::HostInputStream::blocking_read(table, stream, count).await);
        }
        let bytes = HostInputStream::read(&mut self.table, stream, count)?;
        if bytes.is_empty() && count > 0 { Err(StreamError::Trap(stop(never_ready()))) } else { Ok(bytes) }
    }

    fn skip(&mut self, stream: Resource<InputStream>, count: u64) -> StreamResult<u64> {
        HostInputStream::skip(&mut self.table, stream, count)
    }

    fn blocking_skip(&mut self, stream: Resource<InputStream>, count: u64) -> StreamResult<u64> {
        if self.in_body() {
            return self
                .in_time(async |table| asynchronous::HostInputStream::blocking_skip(table, stream, count).await);
        }
        HostInputStream::skip(&mut self.table, stream, count)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<Resource<Pollable>> {
        HostInputStream::subscribe(&mut self.table, stream)
    }
}
