//! `wasi:io/error`: what an error says never depends on whether the host was told to collect backtraces.

use crate::guest::GuestState;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::error;

impl error::Host for GuestState {}

impl error::HostError for GuestState {
    fn to_debug_string(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<String> {
        Ok(format!("{:#}", self.table.get(&error)?))
    }

    fn drop(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<()> {
        self.table.delete(error).map(drop)?;
        Ok(())
    }
}
