//! The client, its thread and its connections.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use crate::connect::{BoxError, Connector, Ground, Resolve, System};
use crate::message::{pairs, uri};
use crate::policy::{Reach, Site};
use crate::{HttpError, Policy, Request, Response, headers, redirect};

/// Shorter than the keep-alive of most servers (5 s and up): a request on a connection that the server is about to close
/// fails without anybody knowing whether it was read.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections kept for one origin.
const MAX_IDLE: usize = 16;

/// Names resolved at the same time. Each holds a thread while it waits.
const MAX_RESOLVING: usize = 32;

/// What a client may be given in place of what the system has.
#[derive(Clone, Default)]
pub struct Options {
    /// None: the operating system's resolver.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// The certificate authorities to trust, and no others. None: the platform's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
}

/// An HTTP client within a [`Policy`]. Clones share its connections.
///
/// A client that is not used costs nothing: the thread `everstep-http`, on which everything happens, starts with the
/// first request, and CA certificates are read for the first https request. The thread ends with the last clone and the
/// last request under way.
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
}

pub(crate) struct Core {
    ground: Arc<Ground>,
    engine: OnceLock<Result<Engine, HttpError>>,
}

type Pool = legacy::Client<Connector, UnsyncBoxBody<Bytes, BoxError>>;

struct Engine {
    handle: Handle,
    public: Pool,
    loopback: Pool,
    /// Dropped with the engine, which ends the thread.
    _alive: oneshot::Sender<Infallible>,
}

impl Engine {
    fn start(ground: &Arc<Ground>) -> Result<Engine, HttpError> {
        let failed = |error: std::io::Error| HttpError::Internal { reason: format!("it has no thread: {error}") };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(MAX_RESOLVING)
            .thread_name("everstep-http")
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<Infallible>();
        let thread = move || {
            let _ = runtime.block_on(ended);
            // Not waiting for names that are still being resolved.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("everstep-http".to_owned()).spawn(thread).map_err(failed)?;
        let pool = |reach| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(MAX_IDLE)
                .build(Connector { ground: ground.clone(), reach })
        };
        Ok(Engine { handle, public: pool(Reach::Public), loopback: pool(Reach::Loopback), _alive: alive })
    }
}

impl Core {
    fn engine(&self) -> Result<&Engine, HttpError> {
        self.engine.get_or_init(|| Engine::start(&self.ground)).as_ref().map_err(Clone::clone)
    }

    /// The runtime of the client's thread.
    pub(crate) fn handle(&self) -> Result<&Handle, HttpError> {
        Ok(&self.engine()?.handle)
    }

    /// What the policy says: which addresses the request may reach, and where it goes.
    pub(crate) fn check(&self, method: &http::Method, url: &url::Url) -> Result<(Reach, Site), HttpError> {
        self.ground.policy.reach(method, url)
    }

    /// Hands a request that was checked to its pool. The response is awaited on the client's thread.
    pub(crate) fn send(
        &self,
        reach: Reach,
        mut request: http::Request<UnsyncBoxBody<Bytes, BoxError>>,
    ) -> Result<(legacy::ResponseFuture, Connection), HttpError> {
        let engine = self.engine()?;
        let connection = Connection(capture_connection(&mut request));
        let pool = match reach {
            Reach::Public => &engine.public,
            Reach::Loopback => &engine.loopback,
        };
        Ok((pool.request(request), connection))
    }

    /// One request and its redirects.
    async fn perform(&self, mut request: Request) -> Result<Response, HttpError> {
        let (timeout, start) = (request.timeout, Instant::now());
        // Longer than a clock can count is as good as for ever: 30 years.
        let deadline = start.checked_add(timeout).unwrap_or(start + Duration::from_secs(30 * 365 * 86_400));
        let mut redirector: Option<String> = None;
        let mut followed = 0;
        loop {
            let outcome = self.attempt(&request, timeout, deadline).await.and_then(|(site, response)| {
                let from = site.to_string();
                if request.redirects == 0 || !redirect::follow(&mut request, response.status(), response.headers())? {
                    return Ok(Err((from, response)));
                }
                if followed == request.redirects {
                    return Err(HttpError::TooManyRedirects { site: from, limit: request.redirects });
                }
                followed += 1;
                Ok(Ok(from))
            });
            let outcome = match outcome {
                Ok(Ok(from)) => {
                    redirector = Some(from);
                    continue;
                }
                Ok(Err((site, response))) => self.collect(&request, &site, response, deadline).await,
                Err(error) => Err(error),
            };
            return outcome.map_err(|error| match redirector {
                Some(from) => HttpError::Redirected { from, error: Box::new(error) },
                None => error,
            });
        }
    }

    /// One request up to the head of its response.
    async fn attempt(
        &self,
        request: &Request,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<(Site, http::Response<Incoming>), HttpError> {
        let (reach, site) = self.check(&request.method, &request.url)?;
        let body = if request.body.is_empty() {
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        } else {
            Full::new(request.body.clone()).map_err(|never| match never {}).boxed_unsync()
        };
        let mut message = http::Request::new(body);
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = uri(&request.url)?;
        *message.headers_mut() = request.headers.clone();
        headers::strip(message.headers_mut());
        message.headers_mut().remove(CONTENT_LENGTH);
        let (sending, connection) = self.send(reach, message)?;
        let response = match tokio::time::timeout_at(deadline, sending).await {
            Ok(response) => response.map_err(|error| HttpError::of_request(&site, &error))?,
            Err(_) if connection.made() => {
                return Err(HttpError::ResponseTimeout { site: site.to_string(), after: timeout, received: 0 });
            }
            Err(_) => return Err(HttpError::ConnectTimeout { site: site.to_string(), after: timeout }),
        };
        tracing::debug!(method = %request.method, %site, status = response.status().as_u16(), "answered");
        Ok((site, response))
    }

    /// The body of a response.
    async fn collect(
        &self,
        request: &Request,
        site: &str,
        response: http::Response<Incoming>,
        deadline: Instant,
    ) -> Result<Response, HttpError> {
        let limit = request.max_response_bytes;
        let too_large = || HttpError::BodyTooLarge { site: site.to_owned(), limit };
        let (head, mut incoming) = response.into_parts();
        let announced = incoming.size_hint().lower();
        if announced > limit as u64 {
            return Err(too_large());
        }
        // What is announced is not yet there: memory follows what comes.
        let mut body = BytesMut::with_capacity(announced.min(64 << 10) as usize);
        let mut trailers = Vec::new();
        loop {
            let received = body.len() as u64;
            let frame = tokio::time::timeout_at(deadline, incoming.frame())
                .await
                .map_err(|_| HttpError::ResponseTimeout { site: site.to_owned(), after: request.timeout, received })?;
            let Some(frame) = frame else { break };
            match frame.map_err(|error| HttpError::of_body(site, received, &error))?.into_data() {
                Ok(data) if data.len() > limit - body.len() => return Err(too_large()),
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers.extend(frame.into_trailers().iter().flat_map(pairs)),
            }
        }
        Ok(Response { status: head.status.as_u16(), headers: pairs(&head.headers), body: body.freeze(), trailers })
    }
}

/// Whether a request has a connection: before, nothing of it can have been sent.
pub(crate) struct Connection(CaptureConnection);

impl Connection {
    pub(crate) fn made(&self) -> bool {
        self.0.connection_metadata().is_some()
    }

    /// Returns once it has one, or never will.
    pub(crate) async fn wait(&mut self) {
        self.0.wait_for_connection_metadata().await;
    }
}

impl Client {
    /// A client for the platform's names and certificates.
    pub fn new(policy: Policy) -> Client {
        Client::with_options(policy, Options::default())
    }

    /// A client with a resolver or certificate authorities of its own.
    pub fn with_options(policy: Policy, options: Options) -> Client {
        let resolver = options.resolver.unwrap_or_else(|| Arc::new(System));
        let ground = Ground { policy, resolver, roots: options.roots, tls: OnceLock::new() };
        Client { core: Arc::new(Core { ground: Arc::new(ground), engine: OnceLock::new() }) }
    }

    /// What this client may do.
    pub fn policy(&self) -> &Policy {
        &self.core.ground.policy
    }

    /// Performs a request on the client's thread, with the redirects that it follows. May be awaited on any executor.
    /// Dropping the future aborts the request: its connection is closed.
    pub async fn perform(&self, request: Request) -> Result<Response, HttpError> {
        let core = self.core.clone();
        run(&self.core, async move { core.perform(request).await }).await
    }

    /// Starts a request, and calls `done` with its outcome on the client's thread; `done` must not block.
    ///
    /// `done` is called once, unless the [`InFlight`] is dropped first. Without a thread to start it is called from
    /// here.
    pub fn start(&self, request: Request, done: impl FnOnce(Result<Response, HttpError>) + Send + 'static) -> InFlight {
        let handle = match self.core.handle() {
            Ok(handle) => handle,
            Err(error) => {
                done(Err(error));
                return InFlight { task: None };
            }
        };
        let client = self.clone();
        let task = handle.spawn(async move { done(client.perform(request).await) });
        InFlight { task: Some(task.abort_handle()) }
    }
}

/// Denies everything.
impl Default for Client {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("policy", self.policy()).finish_non_exhaustive()
    }
}

/// A request under way. Dropping it aborts the request and closes its connection; what the server did with what it had
/// received is not known. If the outcome is already there, `done` may still be running, or run once, while this drops.
#[must_use = "dropping it aborts the request"]
#[derive(Debug)]
pub struct InFlight {
    task: Option<AbortHandle>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Runs work on the client's thread. Dropping the future aborts the work.
pub(crate) async fn run<T: Send + 'static>(
    core: &Core,
    work: impl Future<Output = Result<T, HttpError>> + Send + 'static,
) -> Result<T, HttpError> {
    struct Owned<T>(JoinHandle<T>);
    impl<T> Drop for Owned<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Owned(core.handle()?.spawn(work));
    (&mut task.0).await.unwrap_or_else(|error| Err(HttpError::Internal { reason: error.to_string() }))
}
