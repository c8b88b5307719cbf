//! Requests passed on, each by itself to whose turn it is. Both sides speak the same version of HTTP, through hyper.
//!
//! What the proxy answers itself, and what it adds to requests and answers, is in the words of Envoy, which it is on AWS.

use super::sidecar::Unreachable;
use super::{Place, tcp};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, SERVER, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1 as client1, http2 as client2};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use routing::connect::{Destination, Listener, RETRIES};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Connections to one target that are kept for requests to come, and for how long.
const MOST_KEPT: usize = 64;
const KEPT_FOR: Duration = Duration::from_mins(1);
/// Headers that belong to one connection.
const OF_CONNECTION: [HeaderName; 4] =
    [CONNECTION, HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), TRANSFER_ENCODING];
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// Connections to a target, kept.
#[derive(Default)]
pub(super) struct Kept {
    one: Vec<(client1::SendRequest<Passed>, Instant)>,
    two: Option<client2::SendRequest<Passed>>,
}

/// Two ends of a connection that changes its protocol.
type Switched = Rc<RefCell<Option<(OnUpgrade, OnUpgrade)>>>;

/// Serves a connection of HTTP/1.1 to its end.
pub(super) async fn serve(stream: TcpStream, listener: Rc<Listener>, place: Rc<Place>) {
    let idle = Duration::from_millis(listener.idle_ms);
    let switched = Switched::default();
    let service = service_fn(|request| {
        let passing = Passing { listener: listener.clone(), place: place.clone(), switched: Some(switched.clone()) };
        async move { Ok::<_, Infallible>(passing.request(request).await) }
    });
    let mut server = http1::Builder::new();
    // A client may end its side once it has asked, and wants its answer all the same.
    server.timer(TokioTimer::new()).half_close(true).header_read_timeout((!idle.is_zero()).then_some(idle));
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    let ends = switched.borrow_mut().take();
    if let Some((client, target)) = ends
        && let (Ok(client), Ok(target)) = tokio::join!(client, target)
    {
        tcp::both_ways(TokioIo::new(client), TokioIo::new(target), idle).await;
    }
}

/// Serves a connection of HTTP/2 to its end.
pub(super) async fn serve_http2(stream: TcpStream, listener: Rc<Listener>, place: Rc<Place>) {
    let idle = Duration::from_millis(listener.idle_ms);
    let (active, last) = (Rc::new(Cell::new(0_usize)), Rc::new(Cell::new(Instant::now())));
    let service = service_fn(|request| {
        let passing = Passing { listener: listener.clone(), place: place.clone(), switched: None };
        active.set(active.get() + 1);
        let ended = Ended(active.clone(), last.clone());
        async move {
            let answer = passing.request(request).await;
            Ok::<_, Infallible>(answer.map(|body| Counted { body, active: ended }))
        }
    });
    let connection = http2::Builder::new(LocalExecutor).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        let quiet = async {
            if idle.is_zero() {
                std::future::pending::<()>().await;
            } else {
                sleep_until(last.get().max(Instant::now()) + idle).await;
            }
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            () = quiet => if active.get() == 0 && last.get().elapsed() >= idle { return },
        }
    }
}

#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// A request's body on its way to a target; none where there was none.
pub(super) struct Passed(Option<Incoming>);

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// How a request is passed on.
struct Passing {
    listener: Rc<Listener>,
    place: Rc<Place>,
    switched: Option<Switched>,
}

/// A target has answered: what, and the connection that it did so on, where that may be used again.
struct Answered {
    response: Response<Incoming>,
    connection: Option<client1::SendRequest<Passed>>,
}

/// No target has answered.
enum Failed {
    /// There is no connection.
    Unreachable(Unreachable),
    /// It broke before an answer began.
    Broken,
}

impl Passing {
    async fn request(self, mut request: Request<Incoming>) -> Response<Answer> {
        let is_grpc = begins_with(request.headers(), &CONTENT_TYPE, b"application/grpc");
        let began = Instant::now();
        let until = (self.listener.request_ms > 0).then(|| began + Duration::from_millis(self.listener.request_ms));
        let upgrade = self.switched.is_some() && wants_upgrade(request.headers());
        let client_end = upgrade.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        prepare(&mut parts, upgrade, self.listener.as_ref());
        let answering = self.answer(&parts, body);
        let answered = match until {
            Some(until) => tokio::time::timeout_at(until, answering).await,
            None => Ok(answering.await),
        };
        let (target, answered) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(None)) => return own(503, "no healthy upstream", is_grpc),
            Ok(Err(Some(failed))) => return own(503, &failed.text(), is_grpc),
            Err(_) => return own(504, "upstream request timeout", is_grpc),
        };
        let Answered { mut response, connection } = answered;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(slot), Some(client_end)) = (&self.switched, client_end) else {
                return own(503, &Failed::Broken.text(), is_grpc);
            };
            *slot.borrow_mut() = Some((client_end, hyper::upgrade::on(&mut response)));
            return response.map(|_| Answer::Own(None));
        }
        let headers = response.headers_mut();
        OF_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
        if let Destination::Endpoint(_) = self.listener.to {
            headers.insert(SERVER, HeaderValue::from_static("envoy"));
            headers.insert(SERVICE_TIME, HeaderValue::from(began.elapsed().as_millis() as u64));
        }
        let back = connection.map(|connection| Back { place: self.place, listener: self.listener, target, connection });
        response.map(|body| {
            Answer::Passed(Box::new(Passage { body, back, until: until.map(|until| Box::pin(sleep_until(until))) }))
        })
    }

    /// Asks one target after another, as often as it may be tried.
    async fn answer(&self, parts: &Parts, body: Incoming) -> Result<(SocketAddr, Answered), Option<Failed>> {
        // What has a body can be sent once; what changes something must not be done twice.
        let again = body.is_end_stream() && parts.method.is_idempotent();
        let mut body = Some(body).filter(|body| !body.is_end_stream());
        let (mut tried, mut last) = (Vec::new(), None);
        while tried.len() <= RETRIES {
            let Some(target) = self.place.choose(&self.listener, &tried) else { break };
            match self.ask(parts, &mut body, target).await {
                Ok(answered) => {
                    self.place.remember(&self.listener, target, true);
                    return Ok((target, answered));
                }
                Err(Failed::Broken) => {
                    self.place.remember(&self.listener, target, false);
                    if !again {
                        return Err(Some(Failed::Broken));
                    }
                    last = Some(Failed::Broken);
                }
                Err(unreachable) => last = Some(unreachable),
            }
            tried.push(target);
        }
        Err(last)
    }

    async fn ask(&self, parts: &Parts, body: &mut Option<Incoming>, target: SocketAddr) -> Result<Answered, Failed> {
        match self.listener.protocol {
            routing::connect::Protocol::Http2 => self.ask_http2(parts, body, target).await,
            _ => self.ask_http1(parts, body, target).await,
        }
    }

    async fn ask_http1(
        &self,
        parts: &Parts,
        body: &mut Option<Incoming>,
        target: SocketAddr,
    ) -> Result<Answered, Failed> {
        loop {
            let kept = self.place.with(&self.listener, target, |known| known.kept.take());
            let is_kept = kept.is_some();
            let mut connection = if let Some(kept) = kept {
                kept
            } else {
                let stream = self.connect(target).await?;
                let (connection, driver) =
                    client1::handshake(TokioIo::new(stream)).await.map_err(|_| Failed::Broken)?;
                tokio::task::spawn_local(driver.with_upgrades());
                connection
            };
            let request = Request::from_parts(parts.clone(), Passed(body.take()));
            match connection.try_send_request(request).await {
                Ok(response) => return Ok(Answered { response, connection: Some(connection) }),
                Err(mut error) => match error.take_message() {
                    // A kept one that the target has closed meanwhile: nothing was sent.
                    Some(request) if is_kept => *body = request.into_body().0,
                    _ => return Err(Failed::Broken),
                },
            }
        }
    }

    async fn ask_http2(
        &self,
        parts: &Parts,
        body: &mut Option<Incoming>,
        target: SocketAddr,
    ) -> Result<Answered, Failed> {
        let kept = self.place.with(&self.listener, target, |known| known.kept.two.clone());
        let mut connection = if let Some(kept) = kept.filter(|kept| !kept.is_closed()) {
            kept
        } else {
            let stream = self.connect(target).await?;
            let io = TokioIo::new(stream);
            let (connection, driver) = client2::handshake(LocalExecutor, io).await.map_err(|_| Failed::Broken)?;
            tokio::task::spawn_local(driver);
            self.place.with(&self.listener, target, |known| known.kept.two = Some(connection.clone()));
            connection
        };
        connection.ready().await.map_err(|_| Failed::Broken)?;
        let request = Request::from_parts(parts.clone(), Passed(body.take()));
        let answered = connection.try_send_request(request).await;
        if answered.is_err() && connection.is_closed() {
            self.place.with(&self.listener, target, |known| known.kept.two = None);
        }
        answered.map(|response| Answered { response, connection: None }).map_err(|_| Failed::Broken)
    }

    async fn connect(&self, target: SocketAddr) -> Result<TcpStream, Failed> {
        self.place.connect(&self.listener, target).await.map_err(Failed::Unreachable)
    }
}

impl Kept {
    /// One that is free, as far as is known.
    fn take(&mut self) -> Option<client1::SendRequest<Passed>> {
        self.one.retain(|(kept, since)| !kept.is_closed() && since.elapsed() < KEPT_FOR);
        let at = self.one.iter().rposition(|(kept, _)| kept.is_ready())?;
        Some(self.one.swap_remove(at).0)
    }

    fn put(&mut self, connection: client1::SendRequest<Passed>) {
        if self.one.len() < MOST_KEPT {
            self.one.push((connection, Instant::now()));
        }
    }
}

impl Failed {
    fn text(&self) -> String {
        let reason = match self {
            Self::Unreachable(Unreachable::Silent) => "connection timeout".to_owned(),
            Self::Unreachable(Unreachable::Refused(errno)) => {
                format!("remote connection failure, transport failure reason: delayed connect error: {errno}")
            }
            Self::Broken => "connection termination".to_owned(),
        };
        format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}")
    }
}

fn begins_with(headers: &HeaderMap, name: &HeaderName, with: &[u8]) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().starts_with(with))
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let says = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("upgrade")))
    };
    headers.contains_key(UPGRADE) && headers.get_all(CONNECTION).iter().any(says)
}

/// The head as the target gets it.
fn prepare(parts: &mut Parts, upgrade: bool, listener: &Listener) {
    let headers = &mut parts.headers;
    OF_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
    if let Destination::Endpoint(_) = listener.to {
        headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if !headers.contains_key(REQUEST_ID)
            && let Ok(id) = HeaderValue::from_str(&request_id())
        {
            headers.insert(REQUEST_ID, id);
        }
    }
    if parts.version == Version::HTTP_2 {
        if parts.uri.authority().is_none() {
            let host = headers.remove(HOST).and_then(|host| host.to_str().ok().map(str::to_owned));
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            if let Ok(uri) = format!("http://{}{path}", host.as_deref().unwrap_or("localhost")).parse() {
                parts.uri = uri;
            }
        }
    } else {
        headers.remove(TE);
        // A client may name host and scheme as if it asked a proxy.
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        if parts.method != Method::CONNECT
            && let Ok(uri) = path.parse::<Uri>()
        {
            parts.uri = uri;
        }
        parts.version = Version::HTTP_11;
    }
}

/// A random UUID.
fn request_id() -> String {
    let (high, low) = (crate::clock::random(), crate::clock::random());
    let (version, variant) = (high >> 12 & 0xfff | 0x4000, low >> 48 & 0x3fff | 0x8000);
    format!("{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}", high >> 32, high & 0xffff, low & 0xffff_ffff_ffff)
}

/// An answer of the proxy's own.
fn own(status: u16, text: &str, is_grpc: bool) -> Response<Answer> {
    let mut response = Response::new(Answer::Own(None));
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("envoy"));
    if is_grpc {
        // gRPC's own status, UNAVAILABLE or DEADLINE_EXCEEDED, in an answer of headers alone.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(if status == 504 { "4" } else { "14" }));
        if let Ok(text) = HeaderValue::from_str(text) {
            headers.insert("grpc-message", text);
        }
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    *response.body_mut() = Answer::Own(Some(Bytes::copy_from_slice(text.as_bytes())));
    response
}

/// An answer's body.
enum Answer {
    Own(Option<Bytes>),
    Passed(Box<Passage>),
}

/// A target's answer, while it comes.
struct Passage {
    body: Incoming,
    back: Option<Back>,
    until: Option<Pin<Box<Sleep>>>,
}

/// Where a connection is kept when the answer has come whole.
struct Back {
    place: Rc<Place>,
    listener: Rc<Listener>,
    target: SocketAddr,
    connection: client1::SendRequest<Passed>,
}

impl Passage {
    fn finish(&mut self) {
        if let Some(Back { place, listener, target, connection }) = self.back.take() {
            place.with(&listener, target, |known| known.kept.put(connection));
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let passage = match self.get_mut() {
            Self::Own(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passed(passage) => passage,
        };
        let polled = Pin::new(&mut passage.body).poll_frame(cx);
        match polled {
            Poll::Ready(None) => {
                passage.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(frame)) => {
                if passage.body.is_end_stream() {
                    passage.finish();
                }
                Poll::Ready(Some(frame.map_err(io::Error::other)))
            }
            Poll::Pending => {
                let late = passage.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready());
                if late { Poll::Ready(Some(Err(io::Error::other("the answer took too long")))) } else { Poll::Pending }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            // One that has no body is never polled, and its connection is kept all the same.
            Self::Passed(passage) => passage.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Passed(passage) => passage.body.size_hint(),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        // Of an answer that was given up the connection is in the middle of something.
        if self.body.is_end_stream() {
            self.finish();
        }
    }
}

/// Notes the end of an exchange with its drop.
struct Ended(Rc<Cell<usize>>, Rc<Cell<Instant>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
        self.1.set(Instant::now());
    }
}

/// A body that is counted while it lasts.
struct Counted {
    body: Answer,
    active: Ended,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        this.active.1.set(Instant::now());
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_uuid() {
        let id = request_id();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes()[14], b'4', "{id}");
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
    }

    #[test]
    fn headers_of_a_connection_stay_there() {
        let listener = Listener {
            address: "127.255.0.1:61001".parse().unwrap(),
            instead_of: None,
            protocol: routing::connect::Protocol::Http,
            to: Destination::Endpoint("e".to_owned()),
            idle_ms: 0,
            request_ms: 0,
        };
        let request = Request::builder()
            .uri("http://api:8080/x?y")
            .header("Connection", "keep-alive, Upgrade")
            .header("Keep-Alive", "timeout=5")
            .header("Upgrade", "websocket")
            .header("Transfer-Encoding", "chunked")
            .header("X-Request-Id", "mine");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        assert!(wants_upgrade(&parts.headers));
        let mut plain = parts.clone();
        prepare(&mut parts, true, &listener);
        assert_eq!(
            (parts.uri.to_string().as_str(), &parts.headers[CONNECTION]),
            ("/x?y", &HeaderValue::from_static("upgrade"))
        );
        assert_eq!(parts.headers[REQUEST_ID], "mine");
        assert_eq!(parts.headers[FORWARDED_PROTO], "http");
        assert!(!parts.headers.contains_key("keep-alive") && !parts.headers.contains_key(TRANSFER_ENCODING));
        prepare(&mut plain, false, &listener);
        assert!(!plain.headers.contains_key(UPGRADE) && !plain.headers.contains_key(CONNECTION));
    }
}
