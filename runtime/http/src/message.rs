//! A whole request, and a whole response.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use url::Url;

use crate::HttpError;
use crate::headers::{of_connection, sensitive};
use crate::policy::Site;

/// What [`Request::new`] sets: 60 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What [`Request::new`] sets: 16 MiB.
pub const DEFAULT_MAX_RESPONSE_BYTES: usize = 16 << 20;

/// A request with its body in memory. `Debug` shows neither path, query nor values.
#[derive(Clone)]
pub struct Request {
    /// Any but CONNECT.
    pub method: Method,
    /// http or https, without user and password. A fragment is not sent.
    pub url: Url,
    /// Sent in this order, one name's values together. What belongs to the connection is left out (`host`,
    /// `connection`, `te`, ...), and `content-length` is the body's.
    pub headers: HeaderMap,
    /// Empty: none.
    pub body: Bytes,
    /// Of the whole attempt, from resolving the name to the last byte, redirects included.
    pub timeout: Duration,
    /// How many redirects to follow. 0: a redirect is the response.
    pub redirects: u32,
    /// The longest body of a response that is taken, in bytes.
    pub max_response_bytes: usize,
}

impl Request {
    /// A request from what a guest says. It has [`DEFAULT_TIMEOUT`], [`DEFAULT_MAX_RESPONSE_BYTES`], and follows no
    /// redirect.
    ///
    /// Refused are headers that belong to the connection: `host`, `connection`, `keep-alive`, `proxy-*`, `te`,
    /// `trailer`, `transfer-encoding`, `upgrade`; and a `content-length` that is not the body's.
    pub fn new(method: &str, url: &str, headers: Vec<(String, Vec<u8>)>, body: Bytes) -> Result<Request, HttpError> {
        let method = Method::from_bytes(method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT)
            .ok_or_else(|| HttpError::InvalidMethod { method: method.chars().take(32).collect() })?;
        let mut map = HeaderMap::with_capacity(headers.len().min(64));
        for (name, value) in headers {
            let invalid = |problem: String| HttpError::InvalidHeader { name: name.chars().take(64).collect(), problem };
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid("has a name that HTTP does not allow: use letters, digits and `-`".into()))?;
            if of_connection(&key) {
                return Err(invalid("belongs to the connection and is set by the client: leave it out".into()));
            }
            if key == CONTENT_LENGTH {
                if value != body.len().to_string().as_bytes() {
                    return Err(invalid(format!("is not the body's length, {} bytes: leave it out", body.len())));
                }
                continue;
            }
            let mut value = HeaderValue::from_maybe_shared(Bytes::from(value))
                .map_err(|_| invalid("has a value with control characters (line breaks, NUL): take them out".into()))?;
            value.set_sensitive(sensitive(&key));
            map.try_append(key, value).map_err(|_| invalid("is one too many: send fewer headers".into()))?;
        }
        Ok(Request {
            method,
            url: parse_url(url)?,
            headers: map,
            body,
            timeout: DEFAULT_TIMEOUT,
            redirects: 0,
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
        })
    }
}

/// A URL that can be requested, without its fragment.
pub(crate) fn parse_url(text: &str) -> Result<Url, HttpError> {
    let mut url = Url::parse(text).map_err(|error| HttpError::InvalidUrl {
        problem: format!("cannot be read: {error}; write it in full, like https://api.example.com/orders"),
    })?;
    url.set_fragment(None);
    Site::of(&url)?;
    uri(&url)?;
    Ok(url)
}

/// The same URL for hyper. That both read the same host and port is checked: the one is what the policy judged, the
/// other is what is connected to.
pub(crate) fn uri(url: &Url) -> Result<Uri, HttpError> {
    let invalid = |problem: String| HttpError::InvalidUrl { problem };
    let uri: Uri =
        url.as_str().parse().map_err(|error: http::uri::InvalidUri| invalid(format!("cannot be sent: {error}")))?;
    let port = uri.port().map(|port| port.as_u16());
    if uri.host() != url.host_str() || port != url.port() || uri.scheme_str() != Some(url.scheme()) {
        return Err(invalid("can be read in more than one way: write it in its plain form".to_owned()));
    }
    Ok(uri)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &self.headers.keys())
            .field("body", &self.body.len())
            .field("timeout", &self.timeout)
            .field("redirects", &self.redirects)
            .field("max_response_bytes", &self.max_response_bytes)
            .finish()
    }
}

/// A response with its body in memory, as it came: nothing is decompressed. `Debug` shows no values.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 999 (hyper takes care of 1xx).
    pub status: u16,
    /// In order of arrival, names in lower case. A name's second value comes right behind its first.
    pub headers: Vec<(String, Bytes)>,
    /// At most [`Request::max_response_bytes`].
    pub body: Bytes,
    /// What came behind a chunked body, as `headers`.
    pub trailers: Vec<(String, Bytes)>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, Bytes)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &names(&self.headers))
            .field("body", &self.body.len())
            .field("trailers", &names(&self.trailers))
            .finish()
    }
}

/// Headers as [`Response`] has them.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}
