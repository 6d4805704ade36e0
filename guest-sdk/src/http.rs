//! HTTP requests and answers: made durable by [`DurableContext::fetch`](crate::DurableContext::fetch), or sent from a
//! step's body with [`Request::send`].

use crate::BoxError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

mod send;

/// A request. `Debug` leaves out headers and body, which may be secrets.
///
/// A URL is converted to a GET of it. Nothing is checked until the request is sent; the host sends only what it was
/// allowed to send.
///
/// ```
/// use everstep_sdk::http::Request;
///
/// let request = Request::post("https://api.example.com/orders")
///     .header("accept", "application/json")
///     .idempotency_key("order-7")
///     .json(&["pencil", "paper"])?;
/// # Ok::<(), everstep_sdk::BoxError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request with this method for this absolute `http` or `https` URL.
    ///
    /// ```
    /// let request = everstep_sdk::http::Request::new("PATCH", "https://api.example.com/orders/7");
    /// ```
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// `GET`.
    ///
    /// ```
    /// let request = everstep_sdk::http::Request::get("https://api.example.com/orders?open=true");
    /// ```
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`.
    ///
    /// ```
    /// let request = everstep_sdk::http::Request::post("https://api.example.com/orders").body("pencil");
    /// ```
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// `PUT`.
    ///
    /// ```
    /// let request = everstep_sdk::http::Request::put("https://api.example.com/orders/7/state").body("paid");
    /// ```
    #[must_use]
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// `DELETE`.
    ///
    /// ```
    /// let request = everstep_sdk::http::Request::delete("https://api.example.com/orders/7");
    /// ```
    #[must_use]
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header, after those of the same name. `host`, `content-length` and what belongs to the connection are the
    /// host's to set.
    ///
    /// ```
    /// # use everstep_sdk::http::Request;
    /// let request = Request::get("https://api.example.com/me").header("authorization", "Bearer abc");
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds an `idempotency-key` header. With it a request may be sent again when nobody knows whether it arrived.
    ///
    /// ```
    /// let charge = everstep_sdk::http::Request::post("https://pay.example.com/charges").idempotency_key("order-7");
    /// ```
    #[must_use]
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        self.header("idempotency-key", key.into())
    }

    /// Sets the body; without this it is empty, and so is the request's.
    ///
    /// ```
    /// let upload = everstep_sdk::http::Request::put("https://files.example.com/a.bin").body(vec![0, 1, 2]);
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to `value` as JSON, and adds the header that says so.
    ///
    /// ```
    /// use everstep_sdk::http::Request;
    ///
    /// let request = Request::post("https://api.example.com/orders").json(&("pencil", 12))?;
    /// # Ok::<(), everstep_sdk::BoxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If `value` has no JSON form.
    pub fn json(self, value: &impl Serialize) -> Result<Self, BoxError> {
        let body = serde_json::to_vec(value)?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Whether it may be repeated when nobody knows whether it arrived.
    pub(crate) fn is_idempotent(&self) -> bool {
        let by_method = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
        by_method.iter().any(|method| self.method.eq_ignore_ascii_case(method))
            || self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
    }

    /// Sends it, and waits for the answer. For step bodies: there it is real, and may go where the allow list lets it.
    /// Redirects are not followed.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// use everstep_sdk::http::Request;
    ///
    /// let name: String = ctx
    ///     .step(|_| async { Request::get("https://api.example.com/name").send()?.error_for_status()?.json() })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no answer, or the request is malformed or not allowed. An answer, whatever its status, is no error.
    ///
    /// # Panics
    ///
    /// Outside a step's body: use [`DurableContext::fetch`](crate::DurableContext::fetch) there.
    pub fn send(self) -> Result<Response, BoxError> {
        assert!(
            crate::executor::in_body(),
            "an HTTP request was sent outside a step's body; use ctx.fetch(request) there, which is durable"
        );
        send::send(self)
    }
}

/// Header values and the body may be secrets: they are left out.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {} bytes)", self.method, self.url, self.body.len())
    }
}

impl From<&str> for Request {
    fn from(url: &str) -> Self {
        Self::get(url)
    }
}

impl From<String> for Request {
    fn from(url: String) -> Self {
        Self::get(url)
    }
}

impl From<Request> for crate::bindings::HttpRequest {
    fn from(request: Request) -> Self {
        let Request { method, url, headers, body } = request;
        Self { method, url, headers, body }
    }
}

/// What a server answered, of any status. `Debug` leaves out headers and body.
///
/// ```no_run
/// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
/// let answer = ctx.fetch("https://api.example.com/orders/7").await?;
/// match answer.status() {
///     404 => println!("no such order"),
///     _ => println!("{}", answer.error_for_status()?.text()?),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

impl Response {
    /// The status code, 100 to 599 as a rule.
    ///
    /// ```
    /// fn is_gone(answer: &everstep_sdk::http::Response) -> bool {
    ///     matches!(answer.status(), 404 | 410)
    /// }
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 200 to 299.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let available = ctx.fetch("https://api.example.com/health").await?.is_success();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name (in any case), if its value is text.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let answer = ctx.fetch("https://api.example.com/report").await?;
    /// let location = answer.header("Location").ok_or("the report is nowhere")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// All headers in order of arrival, names in lower case.
    ///
    /// ```
    /// fn cookies(answer: &everstep_sdk::http::Response) -> usize {
    ///     answer.headers().iter().filter(|(name, _)| name == "set-cookie").count()
    /// }
    /// ```
    #[must_use]
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// What came after the body: fields in order of arrival. Nearly always none.
    ///
    /// ```
    /// fn has_checksum(answer: &everstep_sdk::http::Response) -> bool {
    ///     answer.trailers().iter().any(|(name, _)| name == "x-checksum")
    /// }
    /// ```
    #[must_use]
    pub fn trailers(&self) -> &[(String, Vec<u8>)] {
        &self.trailers
    }

    /// The body. That of a durable request has at most 8 MiB; a longer answer fails the request.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let answer = ctx.fetch("https://files.example.com/logo.png").await?;
    /// println!("{} bytes", answer.body().len());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let answer = ctx.fetch("https://api.example.com/motto").await?;
    /// println!("{}", answer.text()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If it is not UTF-8.
    pub fn text(&self) -> Result<&str, BoxError> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// The body as JSON.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let prices: Vec<f64> = ctx.fetch("https://api.example.com/prices").await?.json()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If it is not JSON, or not of the type that is asked for.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// The answer, unless its status is 400 or higher.
    ///
    /// ```no_run
    /// # async fn example(ctx: everstep_sdk::DurableContext) -> Result<(), everstep_sdk::BoxError> {
    /// let answer = ctx.fetch("https://api.example.com/orders/7").await?.error_for_status()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`StatusError`] if it is.
    pub fn error_for_status(self) -> Result<Self, StatusError> {
        if self.status < 400 { Ok(self) } else { Err(StatusError { status: self.status }) }
    }
}

/// The body may be large: it is left out.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

impl From<crate::bindings::HttpResponse> for Response {
    fn from(response: crate::bindings::HttpResponse) -> Self {
        let crate::bindings::HttpResponse { status, headers, body, trailers } = response;
        Self { status, headers, body, trailers }
    }
}

/// A server answered with a status of 400 or higher: see [`Response::error_for_status`].
///
/// ```
/// fn is_our_fault(error: everstep_sdk::http::StatusError) -> bool {
///     error.status < 500
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusError {
    /// The status: 400 or higher.
    pub status: u16,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered with status {}", self.status)
    }
}

impl std::error::Error for StatusError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_repeated_is_known_by_its_method_or_its_key() {
        assert!(Request::get("http://a").is_idempotent() && Request::new("put", "http://a").is_idempotent());
        assert!(!Request::post("http://a").is_idempotent());
        assert!(Request::post("http://a").idempotency_key("k").is_idempotent());
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let request = Request::post("http://a/b").header("authorization", "Bearer 123").body("4111");
        assert_eq!(format!("{request:?}"), "Request(POST http://a/b, 4 bytes)");
    }

    #[test]
    fn an_answer_is_read_in_the_ways_people_need() {
        let response = Response {
            status: 404,
            headers: vec![("content-type".into(), b"application/json".to_vec())],
            body: br#"{"a":1}"#.to_vec(),
            trailers: Vec::new(),
        };
        assert_eq!(response.header("Content-Type"), Some("application/json"));
        assert_eq!(response.json::<serde_json::Value>().unwrap()["a"], 1);
        let error = response.error_for_status().unwrap_err();
        assert_eq!(error.to_string(), "the server answered with status 404");
    }
}
