//! WASI 0.2 for workflows: wasmtime's implementation with the parts replaced through which time, chance or the outside
//! world could reach workflow code.
//!
//! | interface | outside a body | inside |
//! | --- | --- | --- |
//! | `clocks` ([`clock`]) | virtual | real |
//! | `io/poll` ([`poll`]) | blocking on a timer is a durable wait | real |
//! | `random` ([`random`]) | derived from the execution's seed | real |
//! | `cli` stdin, stdout, stderr ([`stdio`]) | the input; handed to the host in order | position restored; at once |
//! | `io/streams` ([`streams`]) | never blocks | real, within the body's time |
//! | `http` ([`http`]) | an operation of the execution, performed by the host | real, within the allow list |
//! | `sockets` ([`sockets`]) | refused | real, within the allow list |
//! | `filesystem` ([`files`]) | a root in memory | an overlay on it; granted directories |
//! | `cli` environment, arguments, exit | frozen with the execution | likewise |

mod clock;
mod error;
mod files;
mod http;
mod poll;
mod random;
mod sockets;
mod stdio;
mod streams;

pub(crate) use files::Filesystem;
pub use files::{Bundle, BundleEntry, BundleError, Directory, DirectoryError, GuestDirectory, GuestFiles};
pub(crate) use http::Http;
pub(crate) use stdio::{Output, Stdin};

use crate::guest::{GuestState, Network};
use crate::host::Stream;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// Marks the interfaces implemented on our own state.
struct Ours;

impl HasData for Ours {
    type Data<'a> = &'a mut GuestState;
}

pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    http::add_to_linker(linker)?;
    linker.allow_shadowing(true);
    wasi::sync::io::streams::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::clocks::wall_clock::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::random::random::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::random::insecure::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::random::insecure_seed::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::sync::io::poll::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::sockets::tcp_create_socket::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::sync::sockets::udp_create_socket::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::filesystem::preopens::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::sync::filesystem::types::add_to_linker::<_, Ours>(linker, |state| state)?;
    wasi::io::error::add_to_linker::<_, Ours>(linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

pub(crate) fn context(
    environment: &[(String, String)],
    arguments: &[String],
    output: &Output,
    stdin: &Stdin,
    network: &Network,
) -> WasiCtx {
    let (watched, allow) = (output.clone(), network.allow.clone());
    WasiCtxBuilder::new()
        .envs(environment)
        .args(arguments)
        .stdin(stdin.clone())
        .stdout(output.stream(Stream::Stdout))
        .stderr(output.stream(Stream::Stderr))
        // A guest's thread is its own.
        .allow_blocking_current_thread(true)
        .allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(!allow.is_empty())
        .socket_addr_check(move |address, purpose| {
            use SocketAddrUse::{TcpAccept, TcpBind, TcpConnect, TcpListen, UdpBind, UdpReceive, UdpSend};
            let allowed = watched.in_body()
                && match purpose {
                    // What is granted is to connect, not to be connected to.
                    TcpListen | TcpAccept => false,
                    // Every connection has a local address; one of the guest's choice serves to be connected to.
                    TcpBind | UdpBind => address.port() == 0,
                    TcpConnect | UdpSend | UdpReceive => allow.contains(&address),
                };
            if watched.in_body() && !allowed {
                watched.notice(&match purpose {
                    TcpConnect | UdpSend | UdpReceive => {
                        format!("everstep: {address} is not on the allow list; grant it with --allow-net {address}\n")
                    }
                    TcpListen | TcpAccept | TcpBind | UdpBind => {
                        format!("everstep: {address} refused: a step's body may connect, but not listen\n")
                    }
                });
            }
            Box::pin(async move { allowed })
        })
        .build()
}
