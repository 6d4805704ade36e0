//! Randomness: derived from the execution's seed outside step bodies, real inside. Hash seeds are the execution's
//! everywhere, so that a map filled in a body iterates like one filled outside.

use crate::durable::stop;
use crate::guest::GuestState;
use crate::host::Stop;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

/// More in one call is a mistake.
const MAX_BYTES: u64 = 1 << 20;

impl GuestState {
    fn random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        if count > MAX_BYTES {
            return Err(stop(Stop::Refused(format!(
                "{count} random bytes asked for in one call; at most {MAX_BYTES} are given"
            ))));
        }
        let mut bytes = vec![0; count as usize];
        if self.in_body() {
            self.host.body_random(&mut bytes)
        } else {
            self.host.random(&mut bytes)
        }
        self.check_outside()?;
        Ok(bytes)
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        if self.in_body() {
            self.host.body_random(&mut bytes)
        } else {
            self.host.random(&mut bytes)
        }
        self.check_outside()?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl random::Host for GuestState {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(count)
    }
    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for GuestState {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(count)
    }
    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for GuestState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(self.host.hash_seed())
    }
}
