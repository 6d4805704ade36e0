//! `wasi:io/poll`: outside step bodies, blocking on a timer is a durable wait.

use crate::durable::stop;
use crate::guest::GuestState;
use crate::host::{Stop, Woken};
use std::time::{SystemTime, UNIX_EPOCH};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::sync::io::poll::{Host, HostPollable};

impl GuestState {
    /// Which of these are ready without waiting.
    fn ready_now(&mut self, pollables: &[Resource<DynPollable>]) -> wasmtime::Result<Vec<u32>> {
        self.send_requests()?;
        let now = self.read_clock()?;
        let mut ready = Vec::new();
        for (index, pollable) in (0..).zip(pollables) {
            let is_ready = match self.timers.get(&pollable.rep()) {
                Some(deadline) => *deadline <= now,
                None => HostPollable::ready(&mut self.table, Resource::new_borrow(pollable.rep()))?,
            };
            if is_ready {
                ready.push(index);
            }
        }
        Ok(ready)
    }

    fn wait(&mut self, pollables: &[Resource<DynPollable>]) -> wasmtime::Result<Vec<u32>> {
        self.drain_output()?;
        let earliest = pollables.iter().filter_map(|pollable| self.timers.get(&pollable.rep())).min().copied();
        let deadline = loop {
            let ready = self.ready_now(pollables)?;
            if !ready.is_empty() {
                return Ok(ready);
            }
            let fetches = self.http.operations();
            if earliest.is_none() && fetches.is_empty() {
                return Err(stop(Stop::Refused(
                    "the workflow blocks on something that can never become ready outside a step; do I/O inside \
                     ctx.step()"
                        .into(),
                )));
            }
            let woken = self.host.block(earliest, &fetches).map_err(stop)?;
            self.start_stretch();
            match woken {
                Woken::Deadline(deadline) => break deadline,
                // Whether or not it is one of these: the answer is there, and the guest may look.
                Woken::Fetched(operation, outcome) => self.answered(operation, outcome)?,
            }
        };
        let is_due = |(index, pollable): (u32, &Resource<DynPollable>)| {
            self.timers.get(&pollable.rep()).is_some_and(|at| *at <= deadline).then_some(index)
        };
        Ok((0..).zip(pollables).filter_map(is_due).collect())
    }

    /// A body's wait, bounded by what is left of its time.
    fn wait_live(&mut self, mut pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limit = u64::try_from((now + self.stretch_left()).as_nanos()).unwrap_or(u64::MAX);
        let limit = self.timer(limit)?;
        let watched = pollables.len() as u32;
        pollables.push(Resource::new_borrow(limit.rep()));
        let ready = Host::poll(&mut self.table, pollables);
        HostPollable::drop(self, limit)?;
        let mut ready = ready?;
        ready.retain(|index| *index < watched);
        if ready.is_empty() { Err(wasmtime::Trap::Interrupt.into()) } else { Ok(ready) }
    }
}

impl Host for GuestState {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(stop(Stop::Refused("poll of an empty list".into())));
        }
        if self.in_body() { self.wait_live(pollables) } else { self.wait(&pollables) }
    }
}

impl HostPollable for GuestState {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        if self.in_body() {
            return HostPollable::ready(&mut self.table, pollable);
        }
        Ok(!self.ready_now(&[pollable])?.is_empty())
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        if self.in_body() { self.wait_live(vec![pollable]).map(drop) } else { self.wait(&[pollable]).map(drop) }
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.timers.remove(&pollable.rep());
        <ResourceTable as HostPollable>::drop(&mut self.table, pollable)
    }
}
