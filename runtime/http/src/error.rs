//! Why there is no answer, in the words of wasi:http's `error-code`.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use hyper_util::client::legacy;

use crate::policy::Site;

/// Why a request has no [`Response`](crate::Response).
///
/// Messages name host and port, numbers and the remedy; never a path, a query, a header's value or a user. In every case
/// `site`, `from` and `to` are `host:port`, `grant` is the [`Rule`](crate::Rule) that is missing, `after` is the timeout
/// that struck, and `received` counts bytes of the response's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No rule of the policy allows the request.
    #[error("{method} to {site} is not allowed: grant it with --allow-http '{grant}'")]
    Denied { method: Method, site: String, grant: String },
    /// The host is an IP address that is not public, and no rule names it.
    #[error("{site} is not a public address ({what}): name it, with --allow-http '{grant}'")]
    DeniedLiteral { site: String, what: &'static str, grant: String },
    /// The name is allowed, and every address that it resolves to is one that names may not lead to.
    #[error(
        "{site} resolves to {address}, which may not be connected to ({what}): names lead to public addresses, and \
         `localhost` to loopback; other addresses are granted one by one, with their port"
    )]
    DeniedAddress { site: String, address: IpAddr, what: &'static str },
    /// Nothing that could be requested.
    #[error("the URL {problem}")]
    InvalidUrl { problem: String },
    /// Not a method, or CONNECT.
    #[error("`{method}` is not a method that can be requested: use one like GET or POST, in capitals, and not CONNECT")]
    InvalidMethod { method: String },
    /// Not a header, or one that belongs to the connection.
    #[error("the header `{name}` {problem}")]
    InvalidHeader { name: String, problem: String },
    /// The name could not be resolved.
    #[error("{site} could not be resolved: {reason}")]
    Dns { site: String, reason: String },
    /// Nothing listens there.
    #[error("{site} refused the connection: check that the server runs and the port is right")]
    ConnectionRefused { site: String },
    /// Resolving, connecting and the TLS handshake together took too long.
    #[error("{site} could not be connected to in {} ms: raise the timeout, or check that the host can be reached", after.as_millis())]
    ConnectTimeout { site: String, after: Duration },
    /// There is no way there, or the connection ended before it could be used.
    #[error("{site} could not be connected to: {reason}")]
    Unavailable { site: String, reason: String },
    /// The server's certificate is not one to trust.
    #[error(
        "{site} has a certificate that is not trusted: {reason}; add its authority to the CA certificates of the host"
    )]
    TlsCertificate { site: String, reason: String },
    /// There is no TLS in this process: most often, no CA certificates on the host.
    #[error("TLS cannot be set up: {reason}; install the CA certificates of the system, or set SSL_CERT_FILE")]
    TlsSetup { reason: String },
    /// Server and client did not agree on TLS.
    #[error("{site} did not complete a TLS handshake: {reason}; check that the server speaks TLS on this port")]
    Tls { site: String, reason: String },
    /// The connection ended before the head of the response was complete.
    #[error("{site} closed the connection before it answered: {reason}")]
    Terminated { site: String, reason: String },
    /// No complete response in time. What the server did is not known.
    #[error("{site} did not answer in full in {} ms ({received} bytes of the body came): raise the timeout", after.as_millis())]
    ResponseTimeout { site: String, after: Duration, received: u64 },
    /// The body stopped coming (streams only).
    #[error("{site} sent nothing for {} ms after {received} bytes of the body: raise the timeout", after.as_millis())]
    ReadTimeout { site: String, after: Duration, received: u64 },
    /// The body ended early.
    #[error("{site} broke off the body after {received} bytes: {reason}")]
    Incomplete { site: String, received: u64, reason: String },
    /// The body is longer than the request allows.
    #[error("{site} sent a body of more than {limit} bytes: raise the limit, or ask for less")]
    BodyTooLarge { site: String, limit: usize },
    /// The head of the response is longer, or has more headers, than the client takes.
    #[error("{site} sent a longer head of a response than the client takes")]
    HeadTooLarge { site: String },
    /// What came is not HTTP/1.1.
    #[error("{site} did not answer in HTTP/1.1: {reason}; check that scheme and port are right")]
    Protocol { site: String, reason: String },
    /// More redirects than the request allows.
    #[error("{site} redirects on, after {limit} redirects: raise the limit, or check for a loop")]
    TooManyRedirects { site: String, limit: u32 },
    /// A redirect from https to http.
    #[error("{site} redirects from https to http ({to}): follow it with a request of its own, if it is to be trusted")]
    InsecureRedirect { site: String, to: String },
    /// The caller's body failed while it was sent (streams only).
    #[error("the body of the request to {site} failed: {reason}")]
    RequestBody { site: String, reason: String },
    /// Failed after a redirect: a server had answered before.
    #[error("redirected by {from}: {error}")]
    Redirected { from: String, error: Box<HttpError> },
    /// The client itself failed.
    #[error("the HTTP client failed: {reason}")]
    Internal { reason: String },
}

impl HttpError {
    /// The case of wasi:http's `error-code` (`wasi:http/types`) that says the same.
    pub fn code(&self) -> &'static str {
        match self {
            HttpError::Denied { .. } | HttpError::InsecureRedirect { .. } => "HTTP-request-denied",
            HttpError::DeniedLiteral { .. } | HttpError::DeniedAddress { .. } => "destination-IP-prohibited",
            HttpError::InvalidUrl { .. } => "HTTP-request-URI-invalid",
            HttpError::InvalidMethod { .. } => "HTTP-request-method-invalid",
            HttpError::InvalidHeader { .. } | HttpError::Protocol { .. } => "HTTP-protocol-error",
            HttpError::Dns { .. } => "DNS-error",
            HttpError::ConnectionRefused { .. } => "connection-refused",
            HttpError::ConnectTimeout { .. } => "connection-timeout",
            HttpError::Unavailable { .. } => "destination-unavailable",
            HttpError::TlsCertificate { .. } => "TLS-certificate-error",
            HttpError::TlsSetup { .. } => "configuration-error",
            HttpError::Tls { .. } => "TLS-protocol-error",
            HttpError::Terminated { .. } => "connection-terminated",
            HttpError::ResponseTimeout { .. } => "HTTP-response-timeout",
            HttpError::ReadTimeout { .. } => "connection-read-timeout",
            HttpError::Incomplete { .. } => "HTTP-response-incomplete",
            HttpError::BodyTooLarge { .. } => "HTTP-response-body-size",
            HttpError::HeadTooLarge { .. } => "HTTP-response-header-section-size",
            HttpError::TooManyRedirects { .. } => "loop-detected",
            HttpError::Redirected { error, .. } => error.code(),
            HttpError::RequestBody { .. } | HttpError::Internal { .. } => "internal-error",
        }
    }

    /// Whether another attempt may go better: the network or the server failed, not the request.
    pub fn is_transient(&self) -> bool {
        match self {
            HttpError::Dns { .. }
            | HttpError::ConnectionRefused { .. }
            | HttpError::ConnectTimeout { .. }
            | HttpError::Unavailable { .. }
            | HttpError::Terminated { .. }
            | HttpError::ResponseTimeout { .. }
            | HttpError::ReadTimeout { .. }
            | HttpError::Incomplete { .. } => true,
            HttpError::Redirected { error, .. } => error.is_transient(),
            _ => false,
        }
    }

    /// Whether it is certain that no server received any part of the request. `false` means: not known.
    pub fn before_sending(&self) -> bool {
        match self {
            HttpError::Denied { .. }
            | HttpError::DeniedLiteral { .. }
            | HttpError::DeniedAddress { .. }
            | HttpError::InvalidUrl { .. }
            | HttpError::InvalidMethod { .. }
            | HttpError::InvalidHeader { .. }
            | HttpError::Dns { .. }
            | HttpError::ConnectionRefused { .. }
            | HttpError::ConnectTimeout { .. }
            | HttpError::Unavailable { .. }
            | HttpError::TlsCertificate { .. }
            | HttpError::TlsSetup { .. }
            | HttpError::Tls { .. } => true,
            HttpError::Terminated { .. }
            | HttpError::ResponseTimeout { .. }
            | HttpError::ReadTimeout { .. }
            | HttpError::Incomplete { .. }
            | HttpError::BodyTooLarge { .. }
            | HttpError::HeadTooLarge { .. }
            | HttpError::Protocol { .. }
            | HttpError::TooManyRedirects { .. }
            | HttpError::InsecureRedirect { .. }
            | HttpError::RequestBody { .. }
            | HttpError::Redirected { .. }
            | HttpError::Internal { .. } => false,
        }
    }

    /// For a request that got no head of a response.
    pub(crate) fn of_request(site: &Site, error: &legacy::Error) -> HttpError {
        let site = site.to_string();
        let reason = || reason(error);
        if error.is_connect() {
            if let Some(known) = find::<HttpError>(error) {
                return known.clone();
            }
            return match find::<rustls::Error>(error) {
                Some(rustls::Error::InvalidCertificate(problem)) => {
                    HttpError::TlsCertificate { site, reason: problem.to_string() }
                }
                Some(problem) => HttpError::Tls { site, reason: problem.to_string() },
                None => match find::<io::Error>(error).map(io::Error::kind) {
                    Some(io::ErrorKind::ConnectionRefused) => HttpError::ConnectionRefused { site },
                    _ => HttpError::Unavailable { site, reason: reason() },
                },
            };
        }
        match find::<hyper::Error>(error) {
            // hyper has a question for this (`is_parse_too_large`) in builds with its server alone.
            Some(error) if error.is_parse() && error.to_string().contains("too large") => {
                HttpError::HeadTooLarge { site }
            }
            Some(error) if error.is_parse() => HttpError::Protocol { site, reason: reason() },
            Some(error) if error.is_user() => HttpError::RequestBody { site, reason: reason() },
            _ => HttpError::Terminated { site, reason: reason() },
        }
    }

    /// For a response whose body did not come in full.
    pub(crate) fn of_body(site: &str, received: u64, error: &hyper::Error) -> HttpError {
        HttpError::Incomplete { site: site.to_owned(), received, reason: reason(error) }
    }
}

/// The innermost cause. The outer ones only say where in the client it was met.
fn reason(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(|cause| cause.to_string()).unwrap_or_default()
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error and everything behind it. An `io::Error` does not name what it holds as its source: it is looked into.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source())
    })
}
