//! Clocks: virtual outside step bodies, real inside. Both count nanoseconds since the Unix epoch, so that an instant
//! taken before a step can be compared with one taken in it.

use crate::guest::GuestState;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// What a clock read moves the virtual clock by, and so its resolution: a microsecond, in nanoseconds.
const RESOLUTION: u32 = 1_000;

impl GuestState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        match self.body_clock() {
            Some(now) => Ok(now),
            None => self.read_clock(),
        }
    }

    pub(super) fn timer(&mut self, deadline: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer { deadline })?;
        let pollable = subscribe(&mut self.table, timer)?;
        self.timers.insert(pollable.rep(), deadline);
        Ok(pollable)
    }
}

impl wall_clock::Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = GuestState::now(self)?;
        Ok(wall_clock::Datetime { seconds: now / 1_000_000_000, nanoseconds: (now % 1_000_000_000) as u32 })
    }
    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION })
    }
}

impl monotonic_clock::Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        GuestState::now(self)
    }
    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::from(RESOLUTION))
    }
    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(when)
    }
    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = GuestState::now(self)?.saturating_add(duration);
        self.timer(deadline)
    }
}

/// A point in time a guest can poll for. Outside bodies `poll` knows its deadline and never asks whether it is ready.
struct Timer {
    deadline: u64,
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        tokio::time::sleep(Duration::from_nanos(self.deadline).saturating_sub(now)).await;
    }
}
