//! Handles that libc opens once and keeps for ever.
//!
//! It notes them in memory. If a step's body were the first to need one, the note would be lost in the roll-back, and
//! every later body would open another: so they are opened before the first step.

/// Opens stdin (reading nothing), stdout and stderr (writing nothing), the preopened directories and the network
/// (connecting to nothing).
pub(crate) fn open_shared_handles() {
    #[cfg(target_os = "wasi")]
    {
        use std::io::{Read as _, Write as _};
        use std::mem::ManuallyDrop;
        use std::os::fd::FromRawFd as _;

        // SAFETY: as below.
        let mut stdin = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(0) });
        let _ = stdin.read(&mut []);
        for descriptor in [1, 2] {
            // std would keep an empty write to itself: it must reach libc.
            // SAFETY: the standard streams are open from start to end, and `ManuallyDrop` leaves them open.
            let mut stream = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(descriptor) });
            let _ = stream.write(&[]);
        }
        // SAFETY: a function of wasi-libc without arguments or preconditions; idempotent.
        unsafe { __wasilibc_populate_preopens() };
        // SAFETY: likewise. Every socket is opened on the handle that it answers and keeps.
        unsafe { __wasi_sockets_utils__borrow_network() };
    }
}

#[cfg(target_os = "wasi")]
unsafe extern "C" {
    fn __wasilibc_populate_preopens();
    fn __wasi_sockets_utils__borrow_network() -> i32;
}
