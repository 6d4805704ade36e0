//! Sockets exist inside step bodies only: what they answer is different every time. A body closes what it opens.

use crate::guest::GuestState;
use crate::host::Stream;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::{DynPollable, IoError, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::WasiSocketsView;

/// Sockets a body may hold at once: each is a file descriptor of the process that all executions share.
const MAX_SOCKETS: usize = 128;
/// Names a body may look up: each occupies a thread of the process, or waits for one, also once nobody wants to know.
const MAX_LOOK_UPS: u32 = 1_024;

impl GuestState {
    fn room_for_a_socket(&mut self) -> SocketResult<()> {
        let sockets = |entry: &&mut (dyn std::any::Any + Send)| entry.is::<TcpSocket>() || entry.is::<UdpSocket>();
        if self.table.iter_mut().filter(sockets).count() < MAX_SOCKETS {
            return Ok(());
        }
        self.output.notice(&format!("everstep: socket refused: the body holds {MAX_SOCKETS}; drop some of them\n"));
        Err(ErrorCode::NewSocketLimit.into())
    }

    /// Outside a body the guest gets the error code, and whoever reads its output the reason.
    fn only_in_body(&mut self, what: &str) -> SocketResult<()> {
        if self.in_body() {
            return Ok(());
        }
        let notice = format!("everstep: {what} refused outside a step: do network I/O inside ctx.step()\n");
        self.drain_output().map_err(SocketError::trap)?;
        self.host
            .output(Stream::Stderr, notice.as_bytes())
            .map_err(|stop| SocketError::trap(crate::durable::stop(stop)))?;
        Err(ErrorCode::AccessDenied.into())
    }
}

impl tcp_create_socket::Host for GuestState {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.only_in_body("a TCP socket")?;
        self.room_for_a_socket()?;
        tcp_create_socket::Host::create_tcp_socket(&mut self.sockets(), family)
    }
}

impl udp_create_socket::Host for GuestState {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.only_in_body("a UDP socket")?;
        self.room_for_a_socket()?;
        udp_create_socket::Host::create_udp_socket(&mut self.sockets(), family)
    }
}

impl ip_name_lookup::Host for GuestState {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.only_in_body("a name look-up")?;
        if self.look_ups == MAX_LOOK_UPS {
            self.output.notice(&format!("everstep: name look-up refused: a body may make {MAX_LOOK_UPS}\n"));
            return Err(ErrorCode::TemporaryResolverFailure.into());
        }
        self.look_ups += 1;
        ip_name_lookup::Host::resolve_addresses(&mut self.sockets(), network, name)
    }
}

impl ip_name_lookup::HostResolveAddressStream for GuestState {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.sockets(), stream)
    }
    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.sockets(), stream)
    }
    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets(), stream)
    }
}

// Required by the interfaces above to convert errors; the interface itself stays wasmtime's.
impl network::Host for GuestState {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets(), error)
    }
    fn network_error_code(&mut self, error: Resource<IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network::HostNetwork for GuestState {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}
