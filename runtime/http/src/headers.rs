//! Which headers belong to the connection, and which hold secrets.

use http::header::{self, HeaderMap, HeaderName};

/// The client's own: they describe one connection, and a guest that could set them could smuggle a second request into
/// it. `content-length` is not among them: it is checked, and set from the body.
const CONNECTION: [&str; 8] =
    ["connection", "host", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Whether the client sets this header or leaves it out, and a caller may not set it.
pub(crate) fn of_connection(name: &HeaderName) -> bool {
    CONNECTION.contains(&name.as_str()) || name.as_str().starts_with("proxy-")
}

/// Takes out what [`of_connection`] says.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| of_connection(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a header's value is likely a secret: not to be logged, nor kept in a history.
///
/// `authorization`, `proxy-authorization`, `cookie`, `set-cookie`, and every name that holds `token`, `secret`,
/// `password`, `api-key`, `apikey`, `credential` or `signature` (so `x-api-key` and `x-amz-security-token` too).
pub fn sensitive(name: &HeaderName) -> bool {
    const WORDS: [&str; 7] = ["token", "secret", "password", "api-key", "apikey", "credential", "signature"];
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE].contains(name)
        || WORDS.iter().any(|word| name.as_str().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name() {
        let secret = "authorization cookie set-cookie proxy-authorization x-api-key x-amz-security-token x-csrf-token \
                      client-secret x-password apikey x-credential x-hub-signature-256";
        for name in secret.split_whitespace() {
            assert!(sensitive(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept", "content-type", "etag", "idempotency-key", "x-request-id"] {
            assert!(!sensitive(&HeaderName::from_static(name)), "{name}");
        }
    }
}
