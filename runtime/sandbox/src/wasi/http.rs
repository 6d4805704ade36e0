//! `wasi:http/outgoing-handler`. Inside a step's body requests are the body's own: they go out at once and stream both
//! ways. Outside, a request becomes an operation of the execution as soon as its body is complete: the host performs
//! it, and its answer arrives when the guest blocks, in the order of the log.
//!
//! The interface's types stay wasmtime's. Between `handle` and the answer the guest holds a future that no one but us
//! completes, so what it can see of it depends on the order of its own calls alone.

use crate::durable::{FetchOptions, HttpRequest, HttpResponse, Operation, stop};
use crate::guest::GuestState;
use crate::host::Delivered;
use bytes::{Bytes, BytesMut};
use everstep_http::{Client, HttpError, StreamOptions};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::sync::http::types;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p2::{HttpError as Trappable, HttpResult};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Bytes of a request's body outside steps: it is in memory as a whole before it is sent.
const MAX_REQUEST_BODY: usize = 16 << 20;

const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

type Answer = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// HTTP of one guest.
pub(crate) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
    /// Requests made outside bodies whose answer was not handed over yet, oldest first.
    outgoing: Vec<Outgoing>,
}

struct Hooks {
    client: Client,
    in_body: bool,
    /// What the guest has just passed to `handle`.
    handled: Option<(http::Request<WasiBody>, RequestOptions)>,
}

struct Outgoing {
    /// Number of the guest's future in the resource table.
    future: u32,
    state: State,
}

enum State {
    /// The guest still writes its body.
    Writing { request: Box<http::Request<WasiBody>>, written: BytesMut, options: RequestOptions },
    /// The host performs it.
    Begun(Operation),
}

impl Http {
    pub(crate) fn new(client: Client) -> Self {
        let hooks = Hooks { client, in_body: false, handled: None };
        Self { context: WasiHttpCtx::new(), hooks, outgoing: Vec::new() }
    }

    /// Operations whose answer was not handed over yet.
    pub(super) fn operations(&self) -> Vec<Operation> {
        let begun = |outgoing: &Outgoing| match outgoing.state {
            State::Begun(operation) => Some(operation),
            State::Writing { .. } => None,
        };
        self.outgoing.iter().filter_map(begun).collect()
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let options = options.unwrap_or_default();
        if !self.in_body {
            self.handled = Some((request, options));
            return Box::new(std::future::pending());
        }
        let client = self.client.clone();
        Box::new(async move {
            let usual = StreamOptions::default();
            let options = StreamOptions {
                connect_timeout: options.connect_timeout.unwrap_or(usual.connect_timeout),
                first_byte_timeout: options.first_byte_timeout.unwrap_or(usual.first_byte_timeout),
                between_bytes_timeout: options.between_bytes_timeout.unwrap_or(usual.between_bytes_timeout),
            };
            let response = client.stream(request, options).await.map_err(|error| as_wasi(&error))?;
            let response = response.map(|body| body.map_err(|error| as_wasi(&error)).boxed_unsync());
            Ok((response, finished()))
        })
    }
}

/// There is nothing left to do beside the answer.
fn finished() -> Box<dyn Future<Output = Result<(), Error>> + Send> {
    Box::new(std::future::ready(Ok(())))
}

fn as_wasi(error: &HttpError) -> Error {
    error_of(error.code(), &error.to_string())
}

/// The error that a code of [`HttpError::code`] stands for, which is how it is recorded.
fn error_of(code: &str, message: &str) -> Error {
    match code {
        "DNS-timeout" => Error::DnsTimeout,
        "DNS-error" => Error::DnsError { rcode: None, info_code: None },
        "destination-not-found" => Error::DestinationNotFound,
        "destination-unavailable" => Error::DestinationUnavailable,
        "destination-IP-prohibited" => Error::DestinationIpProhibited,
        "connection-refused" => Error::ConnectionRefused,
        "connection-terminated" => Error::ConnectionTerminated,
        "connection-timeout" => Error::ConnectionTimeout,
        "connection-read-timeout" => Error::ConnectionReadTimeout,
        "TLS-protocol-error" => Error::TlsProtocolError,
        "TLS-certificate-error" => Error::TlsCertificateError,
        "HTTP-request-denied" => Error::HttpRequestDenied,
        "HTTP-request-method-invalid" => Error::HttpRequestMethodInvalid,
        "HTTP-request-URI-invalid" => Error::HttpRequestUriInvalid,
        "HTTP-response-incomplete" => Error::HttpResponseIncomplete,
        "HTTP-response-body-size" => Error::HttpResponseBodySize(None),
        "HTTP-response-timeout" => Error::HttpResponseTimeout,
        "HTTP-protocol-error" => Error::HttpProtocolError,
        _ => Error::InternalError(Some(message.to_owned())),
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.hooks.in_body = self.in_body();
        let Http { context, hooks, .. } = &mut self.http;
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: context }
    }
}

/// The types are wasmtime's, the handler is ours.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), GuestState::http)?;
    linker.instance(OUTGOING_HANDLER)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, GuestState>,
         (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
            let state = store.data_mut();
            let handled = match state.handle(request, options) {
                Ok(future) => Ok(future),
                Err(error) => Err(types::Host::convert_error_code(&mut state.http(), error)?),
            };
            Ok((handled,))
        },
    )
}

impl GuestState {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> HttpResult<Resource<HostFutureIncomingResponse>> {
        let future = outgoing_handler::Host::handle(&mut self.http(), request, options)?;
        if let Some((request, options)) = self.http.hooks.handled.take() {
            let state = State::Writing { request: Box::new(request), written: BytesMut::new(), options };
            self.http.outgoing.push(Outgoing { future: future.rep(), state });
            self.send_requests().map_err(Trappable::trap)?;
        }
        Ok(future)
    }
}

enum Written {
    Partly,
    Completely,
}

/// Takes what the guest has written of a body by now.
fn take_written(body: &mut WasiBody, written: &mut BytesMut) -> Result<Written, Error> {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut *body).poll_frame(&mut context) {
            Poll::Pending => return Ok(Written::Partly),
            Poll::Ready(None) => return Ok(Written::Completely),
            Poll::Ready(Some(frame)) => match frame?.into_data() {
                Ok(data) if written.len() + data.len() <= MAX_REQUEST_BODY => written.extend_from_slice(&data),
                Ok(_) => return Err(Error::HttpRequestBodySize(Some(MAX_REQUEST_BODY as u64))),
                Err(_) => return Err(Error::HttpRequestTrailerSectionSize(Some(0))),
            },
        }
    }
}

impl GuestState {
    /// Begins the requests that have become complete, and forgets those whose future the guest dropped. To be called
    /// wherever the guest may look at what depends on them.
    pub(super) fn send_requests(&mut self) -> wasmtime::Result<()> {
        if self.http.outgoing.is_empty() || self.in_body() {
            return Ok(());
        }
        self.drain_output()?;
        let mut left = std::collections::VecDeque::from(std::mem::take(&mut self.http.outgoing));
        while let Some(mut outgoing) = left.pop_front() {
            let future = Resource::<HostFutureIncomingResponse>::new_borrow(outgoing.future);
            // A later future of the same number can only have come after the guest dropped this one.
            let newer = left.iter().any(|other| other.future == outgoing.future);
            if newer || !matches!(self.table.get(&future), Ok(HostFutureIncomingResponse::Pending(_))) {
                if let State::Begun(operation) = outgoing.state {
                    self.host.cancel(operation).map_err(stop)?;
                }
                continue;
            }
            if let State::Writing { request, written, options } = &mut outgoing.state {
                match take_written(request.body_mut(), written) {
                    Ok(Written::Partly) => {}
                    Ok(Written::Completely) => {
                        let (request, options) = described(request, written.split().freeze(), *options);
                        let begun = self.host.begin_fetch(0, request, options, Delivered::Blocking).map_err(stop)?;
                        outgoing.state = State::Begun(begun);
                    }
                    Err(error) => {
                        *self.table.get_mut(&future)? = HostFutureIncomingResponse::Ready(Err(error));
                        continue;
                    }
                }
            }
            self.http.outgoing.push(outgoing);
        }
        Ok(())
    }

    /// The host has handed over how a request ended.
    pub(super) fn answered(
        &mut self,
        operation: Operation,
        outcome: Result<HttpResponse, String>,
    ) -> wasmtime::Result<()> {
        let is_it = |outgoing: &Outgoing| matches!(outgoing.state, State::Begun(begun) if begun == operation);
        let Some(index) = self.http.outgoing.iter().position(is_it) else { return Ok(()) };
        let outgoing = self.http.outgoing.remove(index);
        let answer = match outcome {
            Ok(response) => response_of(response)
                .map(|response| (response, wasmtime_wasi::runtime::spawn(async {})))
                .map_err(|error| Error::InternalError(Some(error.to_string()))),
            Err(code) => Err(error_of(&code, &code)),
        };
        let future = Resource::<HostFutureIncomingResponse>::new_borrow(outgoing.future);
        *self.table.get_mut(&future)? = HostFutureIncomingResponse::Ready(answer);
        Ok(())
    }
}

fn described(request: &http::Request<WasiBody>, body: Bytes, options: RequestOptions) -> (HttpRequest, FetchOptions) {
    let headers = request.headers().iter().filter(|(name, _)| **name != http::header::HOST);
    let described = HttpRequest {
        method: request.method().as_str().to_owned(),
        url: request.uri().to_string(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: body.into(),
    };
    // WASI bounds the phases of a request, an attempt is bounded as a whole.
    let timeout = [options.connect_timeout, options.first_byte_timeout].into_iter().flatten().sum::<Duration>();
    let timeout_milliseconds = (!timeout.is_zero()).then(|| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    let options = FetchOptions { name: None, semantics: None, timeout_milliseconds, redirects: 0, retry: None };
    (described, options)
}

fn response_of(response: HttpResponse) -> Result<http::Response<WasiBody>, http::Error> {
    let mut builder = http::Response::builder().status(response.status);
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    let mut trailers = http::HeaderMap::new();
    for (name, value) in response.trailers {
        trailers.append(http::HeaderName::try_from(name)?, http::HeaderValue::try_from(value)?);
    }
    let never = |error: std::convert::Infallible| match error {};
    let body = Full::new(Bytes::from(response.body)).map_err(never);
    if trailers.is_empty() {
        return builder.body(body.boxed_unsync());
    }
    let trailers = std::future::ready(Some(Ok(trailers)));
    builder.body(body.with_trailers(trailers).boxed_unsync())
}
