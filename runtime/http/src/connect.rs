//! From a name to a connection: the addresses that are checked are the ones that are connected to.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::policy::Reach;
use crate::{HttpError, Policy, tls};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Work<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// How long a connection may take that no request waits for any more. Requests have timeouts of their own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(120);

/// From names to addresses. The default asks the operating system.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a name, best first. May block: it is called on a thread for that.
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// `getaddrinfo`.
pub(crate) struct System;

impl Resolve for System {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// What connections are made with, whoever they are for.
pub(crate) struct Ground {
    pub(crate) policy: Policy,
    pub(crate) resolver: Arc<dyn Resolve>,
    /// None: the platform's.
    pub(crate) roots: Option<Vec<CertificateDer<'static>>>,
    /// Made for the first https request.
    pub(crate) tls: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

/// Makes connections for requests of one reach. A pool must not mix them: a connection that was right for one would be
/// handed to the other unchecked.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) ground: Arc<Ground>,
    pub(crate) reach: Reach,
}

impl Connector {
    fn tls(&self, uri: &Uri) -> Result<Arc<ClientConfig>, BoxError> {
        if uri.scheme_str() != Some("https") {
            // Never used; hyper-rustls wants one.
            static NONE: OnceLock<Result<Arc<ClientConfig>, rustls::Error>> = OnceLock::new();
            return Ok(NONE.get_or_init(|| tls::config(Some(&[])).map(Arc::new)).clone()?);
        }
        let ground = &self.ground;
        let config = ground.tls.get_or_init(|| tls::config(ground.roots.as_deref()).map(Arc::new)).clone();
        Ok(config.map_err(|error| HttpError::TlsSetup { reason: error.to_string() })?)
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Work<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = match self.tls(&uri) {
            Ok(tls) => tls,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let checked = Checked { ground: self.ground.clone(), reach: self.reach, port };
        // A host that is an IP address is not resolved: the policy has judged it with the rule that allowed it.
        let mut http = HttpConnector::new_with_resolver(checked);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        HttpsConnector::from((http, tls)).call(uri)
    }
}

/// A resolver that leaves out what the policy does not admit.
#[derive(Clone)]
struct Checked {
    ground: Arc<Ground>,
    reach: Reach,
    port: u16,
}

impl Service<Name> for Checked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Work<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Checked { ground, reach, port } = self.clone();
        Box::pin(async move {
            let site = format!("{name}:{port}");
            let resolver = ground.resolver.clone();
            let found = tokio::task::spawn_blocking(move || resolver.resolve(name.as_str())).await?;
            let dns = |reason: String| HttpError::Dns { site: site.clone(), reason };
            let found = found.map_err(|error| dns(error.to_string()))?;
            let mut refused = None;
            let mut admitted = Vec::with_capacity(found.len());
            for ip in found {
                let address = SocketAddr::new(ip, port);
                match ground.policy.admits(reach, address) {
                    Ok(()) => admitted.push(address),
                    Err(what) => refused = refused.or(Some((ip, what))),
                }
            }
            match refused {
                Some((address, what)) if admitted.is_empty() => {
                    Err(HttpError::DeniedAddress { site, address, what }.into())
                }
                None if admitted.is_empty() => Err(dns("the name has no addresses".to_owned()).into()),
                _ => Ok(admitted.into_iter()),
            }
        })
    }
}
