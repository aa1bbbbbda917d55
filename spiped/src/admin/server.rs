//! Answers HTTP requests, one for each connection. Each has a deadline and the connections are few,
//! so that a client costs little however it behaves.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use spiped_tokio::{Listener, Socket};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::metrics::{self, Format};
use super::rendering::LastRendering;
use super::slots::{ConnectionSlots, Pin};
use super::status::Status;
use crate::log::{self, Class};
use crate::os::os_error::os_error;
use crate::pipe::registry::{Phase, Registry};

/// The most connections; the oldest is closed for one more.
const CONNECTIONS_MAX: usize = 16;
/// The most reloads that are waited for. Fewer than the connections, so that one of those can
/// always be closed.
const RELOADS_MAX: usize = 8;
/// The time for the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(2);
/// The time for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time for a request and its answer at the control socket, as a reload may look names up.
const CONTROL_PATIENCE: Duration = Duration::from_secs(300);
/// The longest head of a request, in bytes: the least limit that hyper takes.
const HEAD_MAX: usize = 8192;
/// How long accepting pauses after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A request to reload: the channel for its answer, which is a line about what has changed, or a
/// line for each mistake.
pub type Reload = oneshot::Sender<Result<String, Vec<String>>>;

/// The requests that a socket answers.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Metrics and health.
    Metrics,
    /// These, the status, and to reload.
    Control(mpsc::Sender<Reload>),
}

/// Answers the requests of all connections at a socket.
#[derive(Debug)]
struct Responder {
    access: Access,
    registry: Arc<Registry>,
    /// A permit for each further reload that may be waited for.
    reloads: Semaphore,
    /// The last metrics in each format.
    rendered: Mutex<[LastRendering; 2]>,
}

/// Answers at a socket for ever.
pub(super) async fn serve(listener: Arc<Listener>, access: Access, registry: Arc<Registry>) {
    let patience = match access {
        Access::Metrics => PATIENCE,
        Access::Control(_) => CONTROL_PATIENCE,
    };
    let responder = Arc::new(Responder {
        access,
        registry,
        reloads: Semaphore::new(RELOADS_MAX),
        rendered: Mutex::default(),
    });
    let mut slots = ConnectionSlots::new(CONNECTIONS_MAX);
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let (responder, pin) = (Arc::clone(&responder), Pin::default());
                let of_task = pin.clone();
                let task = tokio::spawn(async move {
                    let _ =
                        tokio::time::timeout(patience, responder.converse(&socket, &of_task)).await;
                });
                slots.enter(task.abort_handle(), pin);
            }
            Err(error) => {
                log::warning(
                    Class::Accept,
                    format_args!("cannot accept a request: {}", os_error(&error)),
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

type Answer = Response<Full<Bytes>>;

impl Responder {
    async fn converse(&self, socket: &Socket, pin: &Pin) {
        let answer = service_fn(|request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answer(&request, pin).await)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(HEAD_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), answer)
            .await;
        if served.is_ok() {
            socket.finish();
        }
    }

    async fn answer(&self, request: &Request<Incoming>, pin: &Pin) -> Answer {
        let method = request.method();
        let reading = matches!(*method, Method::GET | Method::HEAD);
        match (request.uri().path(), &self.access) {
            ("/reload", Access::Control(_)) if *method != Method::POST => refuse("POST"),
            ("/reload", Access::Control(requests)) => self.reload(requests, pin).await,
            (path, access) if !is_known(path, access) => {
                text(StatusCode::NOT_FOUND, "there is no such page")
            }
            _ if !reading => refuse("GET, HEAD"),
            ("/metrics", _) => self.metrics(request.headers()),
            ("/healthz", _) => text(StatusCode::OK, "alive"),
            ("/readyz", _) => match self.registry.phase() {
                Phase::Serving => text(StatusCode::OK, "ready"),
                other => text(StatusCode::SERVICE_UNAVAILABLE, other.word()),
            },
            _ => json(&Status::of(&self.registry)),
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Answer {
        let accepts = headers.get_all(ACCEPT).iter();
        let mut accepts = accepts.filter_map(|value| value.to_str().ok());
        let format = match accepts.any(|text| text.contains("application/openmetrics-text")) {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        };
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let rendered = rendered[format as usize]
            .get(Instant::now(), || metrics::render(&self.registry, format));
        match rendered {
            Ok(rendered) => response(StatusCode::OK, format.content_type(), rendered),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    async fn reload(&self, requests: &mpsc::Sender<Reload>, pin: &Pin) -> Answer {
        let unavailable = |line| text(StatusCode::SERVICE_UNAVAILABLE, line);
        let Ok(_permit) = self.reloads.try_acquire() else {
            return unavailable("too many reloads are under way");
        };
        let _pinned = pin.take();
        let (outcome, told) = oneshot::channel();
        // A daemon that ends takes no more requests, so sending fails.
        let ending = "the daemon is about to end";
        if requests.send(outcome).await.is_err() {
            return unavailable(ending);
        }
        match told.await {
            Ok(Ok(changes)) => text(StatusCode::OK, &changes),
            Ok(Err(lines)) => text(StatusCode::UNPROCESSABLE_ENTITY, &lines.join("\n")),
            Err(_) => unavailable(ending),
        }
    }
}

fn is_known(path: &str, access: &Access) -> bool {
    match path {
        "/metrics" | "/healthz" | "/readyz" => true,
        "/status" => matches!(access, Access::Control(_)),
        _ => false,
    }
}

fn refuse(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "that cannot be done here");
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn json(status: &Status) -> Answer {
    match serde_json::to_string(status) {
        Ok(rendered) => response(StatusCode::OK, "application/json", rendered),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(status: StatusCode, line: &str) -> Answer {
    response(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
