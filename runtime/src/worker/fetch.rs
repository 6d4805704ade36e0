//! What the log holds of an HTTP request that the host performed: enough to hand the answer out again on every replay,
//! and to notice that another request is made in its place. *Part of the log format.*
//!
//! The step's result, or the `data` of its error, is JSON. Bodies and header values are text if they are UTF-8, else
//! `{"base64": ...}`. Of the request only the method, the URL without its query, and a digest of everything are kept;
//! headers that carry secrets do not even enter the digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use everstep_core::protocol::{ErrorObject, Operation, limits};
use everstep_http::{HttpError, Request, Response};
use everstep_sandbox::durable::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The error type of a request that got no answer.
pub(super) const HTTP_ERROR: &str = "HttpError";

/// A request, as far as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Requested {
    pub(super) method: String,
    /// Without user, query and fragment.
    pub(super) url: String,
    /// Hexadecimal digits of the first 16 bytes of a SHA-256.
    pub(super) digest: String,
}

/// A request and its answer: the step's result.
#[derive(Serialize, Deserialize)]
struct Exchange {
    request: Requested,
    status: u16,
    headers: Vec<(String, Value)>,
    body: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trailers: Vec<(String, Value)>,
}

/// A request that got no answer: the `data` of the step's error.
#[derive(Serialize, Deserialize)]
struct Failure {
    /// Of wasi:http's `error-code`.
    code: String,
    request: Requested,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes { base64: String },
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        // Control characters take six characters each in JSON: what is full of them is no text.
        let escaped = bytes.iter().filter(|byte| **byte < 0x20 && !b"\t\n\r".contains(byte)).count();
        match std::str::from_utf8(bytes) {
            Ok(text) if escaped * 16 <= bytes.len() => Self::Text(text.to_owned()),
            _ => Self::Bytes { base64: BASE64.encode(bytes) },
        }
    }
}

impl Value {
    fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Bytes { base64 } => BASE64.decode(base64).ok(),
        }
    }
}

impl Requested {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        part(request.method.as_bytes());
        part(request.url.as_bytes());
        part(&request.body);
        let mut headers: Vec<(String, &[u8])> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_slice()))
            .filter(|(name, _)| !is_sensitive(name))
            .collect();
        headers.sort();
        for (name, value) in headers {
            part(name.as_bytes());
            part(value);
        }
        let digest = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let end = request.url.find(['?', '#']).unwrap_or(request.url.len());
        let url = without_user(&request.url[..end]);
        Self { method: request.method.clone(), url, digest }
    }

    /// What an operation of the log asked for, if it is a request that ended or failed an attempt.
    pub(super) fn recorded(operation: &Operation) -> Option<Self> {
        let text = operation.result.as_deref().or_else(|| operation.error.as_ref()?.data.as_deref())?;
        serde_json::from_str::<Failure>(text)
            .map(|failure| failure.request)
            .or_else(|_| serde_json::from_str::<Exchange>(text).map(|exchange| exchange.request))
            .ok()
    }

    /// What the step is called if nobody named it: method, host and path, as far as a name may go.
    pub(super) fn name(&self) -> String {
        let place = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        format!("{} {place}", self.method).chars().map(printable).take(limits::OPERATION_NAME).collect()
    }
}

impl std::fmt::Display for Requested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} (digest {} of all of it)", self.method, self.url, self.digest)
    }
}

/// A URL without its user and password, wherever a lenient parser would find them: to it slashes more or less mean
/// nothing, as in `http:user:password@host`.
fn without_user(url: &str) -> String {
    let scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let Some((scheme, rest)) = url.split_once("://").filter(|(text, _)| scheme(text)) else {
        return url[url.rfind('@').map_or(0, |at| at + 1)..].to_owned();
    };
    let (slashes, rest) = rest.split_at(rest.find(|c| !"/\\\t\r\n".contains(c)).unwrap_or(rest.len()));
    let authority = rest.find('/').unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{slashes}{}", &rest[host..])
}

fn is_sensitive(name: &str) -> bool {
    http::HeaderName::try_from(name).is_ok_and(|name| everstep_http::sensitive(&name))
}

/// Whether a request may be repeated when nobody knows whether it arrived: its method says so, or the key it carries.
pub(super) fn is_idempotent(request: &HttpRequest) -> bool {
    matches!(request.method.to_ascii_uppercase().as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
        || request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
}

/// The host's request, or why there can be none.
pub(super) fn prepared(request: HttpRequest) -> Result<Request, HttpError> {
    Request::new(&request.method, &request.url, request.headers, request.body.into())
}

/// The step's result. `Err`: it has more than `most` bytes: this many.
pub(super) fn encode(request: &Requested, response: &Response, most: u64) -> Result<String, usize> {
    let values = |list: &[(String, bytes::Bytes)]| {
        list.iter().map(|(name, value)| (name.clone(), Value::from(&value[..]))).collect()
    };
    let exchange = Exchange {
        request: request.clone(),
        status: response.status,
        headers: values(&response.headers),
        body: Value::from(&response.body[..]),
        trailers: values(&response.trailers),
    };
    let text = serde_json::to_string(&exchange).unwrap_or_default();
    if text.len() as u64 <= most { Ok(text) } else { Err(text.len()) }
}

/// The answer in a step's result; none if this is no such result.
pub(super) fn decode(result: &str) -> Option<HttpResponse> {
    let exchange: Exchange = serde_json::from_str(result).ok()?;
    let bytes = |list: Vec<(String, Value)>| {
        list.into_iter().map(|(name, value)| Some((name, value.into_bytes()?))).collect::<Option<Vec<_>>>()
    };
    Some(HttpResponse {
        status: exchange.status,
        headers: bytes(exchange.headers)?,
        body: exchange.body.into_bytes()?,
        trailers: bytes(exchange.trailers)?,
    })
}

/// The step's error.
pub(super) fn error(request: &Requested, code: &str, message: String) -> ErrorObject {
    let failure = Failure { code: code.to_owned(), request: request.clone() };
    ErrorObject { data: serde_json::to_string(&failure).ok(), ..ErrorObject::new(HTTP_ERROR, message) }
}

/// The code of wasi:http's `error-code` in a step's error.
pub(super) fn code_of(error: &ErrorObject) -> String {
    let failure = error.data.as_deref().and_then(|data| serde_json::from_str::<Failure>(data).ok());
    failure.map_or_else(|| "internal-error".to_owned(), |failure| failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        HttpRequest { method: "POST".into(), url: url.into(), headers, body: body.to_vec() }
    }

    /// If the digest changes, executions started by earlier releases are reported as diverged.
    #[test]
    fn the_digest_is_frozen_and_sees_everything_but_secrets() {
        let of = |url: &str, headers: &[(&str, &str)], body: &[u8]| Requested::of(&request(url, headers, body));
        let base = of("https://user:pw@api.example.com/charge?card=1", &[("Accept", "text/plain"), ("b", "2")], b"x");
        assert_eq!(
            (base.url.as_str(), base.digest.as_str()),
            ("https://api.example.com/charge", "2e43c245c0d032c83135e9916c643f81")
        );
        let same = of(
            "https://user:pw@api.example.com/charge?card=1",
            &[("B", "2"), ("accept", "text/plain"), ("Authorization", "Bearer 1"), ("X-Api-Key", "k")],
            b"x",
        );
        assert_eq!(same, base, "the order and case of headers mean nothing; secrets are left out");
        for other in [
            of("https://user:pw@api.example.com/charge?card=2", &[("Accept", "text/plain"), ("b", "2")], b"x"),
            of("https://user:pw@api.example.com/charge?card=1", &[("Accept", "text/plain"), ("b", "3")], b"x"),
            of("https://user:pw@api.example.com/charge?card=1", &[("Accept", "text/plain"), ("b", "2")], b"y"),
        ] {
            assert_ne!(other.digest, base.digest);
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was_whatever_its_bytes() {
        let requested = Requested::of(&request("http://localhost/", &[], b""));
        let response = Response {
            status: 207,
            headers: vec![("x".into(), "1".into()), ("x".into(), bytes::Bytes::from_static(b"\xff\xfe"))],
            body: bytes::Bytes::from_static(b"\0\x80\xffbinary"),
            trailers: vec![("sum".into(), "7".into())],
        };
        let back = decode(&encode(&requested, &response, 1 << 20).expect("small")).expect("readable");
        assert_eq!((back.status, back.body.as_slice()), (207, &response.body[..]));
        assert_eq!(back.headers, [("x".to_owned(), b"1".to_vec()), ("x".to_owned(), b"\xff\xfe".to_vec())]);
        assert_eq!(back.trailers, [("sum".to_owned(), b"7".to_vec())]);
        let large = Response { body: vec![b'"'; 600 << 10].into(), ..response };
        assert!(encode(&requested, &large, 1 << 20).is_err(), "what JSON makes of it counts");
    }

    #[test]
    fn users_are_left_out_however_the_url_is_written() {
        let url = |url: &str| Requested::of(&request(url, &[], b"")).url;
        assert_eq!(url("http://u:p@host:1/a@b?c"), "http://host:1/a@b");
        assert_eq!(url("http:////u:p@host/a@b"), "http:////host/a@b");
        for lenient in ["http:u:p@host/", "http:/u:p@host/", "http:\\\\u:p@host/", "http:u:p@host/", "//u:p@host/"] {
            assert_eq!(url(lenient), "host/", "{lenient}");
        }
        assert_eq!(url("http:u:p@host/://"), "host/://");
        assert_eq!(url(":"), ":");
    }

    #[test]
    fn unnamed_requests_are_called_by_what_they_ask_for() {
        let name = |url: &str| Requested::of(&request(url, &[], b"")).name();
        assert_eq!(name("https://u:p@api.example.com/a/b?secret=1"), "POST api.example.com/a/b");
        assert_eq!(name("https://api.example.com/ü"), "POST api.example.com/?");
        assert_eq!(name(&format!("https://api.example.com/{}", "a".repeat(999))).len(), 256);
    }
}
