//! Requests whose bodies flow: for step bodies, which talk to the server themselves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::client::{Core, run};
use crate::message::{parse_url, uri};
use crate::{Client, HttpError, headers};

/// How long to wait for what, as in wasi:http's `request-options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// For the name, the connection and the TLS handshake together.
    pub connect_timeout: Duration,
    /// From there until the head of the response.
    pub first_byte_timeout: Duration,
    /// Between any two parts of the response's body. Counted while the reader waits for one.
    pub between_bytes_timeout: Duration,
}

impl Default for StreamOptions {
    /// 600 s each, as wasmtime has it.
    fn default() -> StreamOptions {
        let timeout = Duration::from_secs(600);
        StreamOptions { connect_timeout: timeout, first_byte_timeout: timeout, between_bytes_timeout: timeout }
    }
}

impl Client {
    /// Sends a request while its body is still being made, and returns once the head of the response is there.
    ///
    /// The policy is the same as for whole requests; redirects are not followed; headers that belong to the connection
    /// are left out, but `content-length` is kept. The request's body is polled on the client's thread. May be awaited
    /// on any executor. Dropping the future, or the response's body, closes the connection.
    pub async fn stream<B>(
        &self,
        request: http::Request<B>,
        options: StreamOptions,
    ) -> Result<http::Response<ResponseBody>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        let url = parse_url(&head.uri.to_string())?;
        let (reach, site) = self.core.check(&head.method, &url)?;
        head.uri = uri(&url)?;
        head.version = http::Version::HTTP_11;
        head.extensions.clear();
        headers::strip(&mut head.headers);
        let request = http::Request::from_parts(head, body.map_err(Into::into).boxed_unsync());
        let core = self.core.clone();
        let response = async move {
            let (mut sending, mut connection) = core.send(reach, request)?;
            let connected = tokio::select! {
                biased;
                response = &mut sending => Some(response),
                () = connection.wait() => None,
                () = sleep(options.connect_timeout) => {
                    let after = options.connect_timeout;
                    return Err(HttpError::ConnectTimeout { site: site.to_string(), after });
                }
            };
            let response = match connected {
                Some(response) => response,
                None => tokio::select! {
                    biased;
                    response = sending => response,
                    () = sleep(options.first_byte_timeout) => {
                        let (site, after) = (site.to_string(), options.first_byte_timeout);
                        return Err(HttpError::ResponseTimeout { site, after, received: 0 });
                    }
                },
            };
            let response = response.map_err(|error| HttpError::of_request(&site, &error))?;
            tracing::debug!(%site, status = response.status().as_u16(), "answered a stream");
            Ok(response.map(|incoming| ResponseBody {
                incoming,
                site: site.to_string(),
                received: 0,
                timeout: options.between_bytes_timeout,
                waiting: None,
                core,
            }))
        };
        run(&self.core, response).await
    }
}

/// The body of a streamed response. May be polled on any executor; dropping it early closes the connection.
pub struct ResponseBody {
    incoming: Incoming,
    site: String,
    received: u64,
    timeout: Duration,
    /// Since when the reader waits for the next part.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Keeps the client's thread, which reads the connection.
    core: Arc<Core>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let body = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut body.incoming).poll_frame(cx) {
            body.waiting = None;
            return Poll::Ready(match frame {
                Some(Ok(frame)) => {
                    body.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                    Some(Ok(frame))
                }
                Some(Err(error)) => Some(Err(HttpError::of_body(&body.site, body.received, &error))),
                None => None,
            });
        }
        if body.waiting.is_none() {
            // A timer belongs to a runtime, and whoever polls may have none.
            let _runtime = body.core.handle()?.enter();
            body.waiting = Some(Box::pin(sleep(body.timeout)));
        }
        if let Some(timer) = &mut body.waiting {
            ready!(timer.as_mut().poll(cx));
        }
        let (site, after) = (body.site.clone(), body.timeout);
        Poll::Ready(Some(Err(HttpError::ReadTimeout { site, after, received: body.received })))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
