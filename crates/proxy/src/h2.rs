//! HTTP/2 towards clients, through hyper; towards targets it is HTTP/1.1 as with any other request.
//!
//! A stream's request is sent as [`crate::h1`] sends it. The answer's body drives what is left of the request's, so that both directions live in the
//! stream's one task.

use crate::answer::Own;
use crate::decide::{self, Course};
use crate::forwarded::{self, Body as HeadBody, Hop, Incoming as Request, Unsendable};
use crate::h1::body::{Decoder, Framing, LAST_CHUNK, Piece, write_chunk_size};
use crate::h1::exchange::{Broken, poll_answer};
use crate::h1::response::Answer;
use crate::h1::serve::{TlsFacts, is_hop_by_hop};
use crate::shared;
use crate::stream::Stream;
use crate::upstream::{self, NoConnection, Upstream};
use crate::worker::{Door, LocalGroup, LocalTarget, Seat, Ticket, View};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, DATE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use routing::Headers;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

/// User guide, "HTTP/2": streams at a time, and requests before the connection is given up.
const MAX_STREAMS: u32 = 128;
const MAX_REQUESTS: u64 = 10_000;
const MAX_TRIES: usize = 3;
const MAX_HEADERS: u32 = 64 * 1024;
const FRAME: usize = 64 * 1024;

/// Serves a client's connection to its end.
pub(crate) async fn serve(stream: TlsStream<TcpStream>, client: SocketAddr, door: Rc<Door>) {
    let Some(view) = door.view() else { return };
    let (idle, lifetime) = (view.idle(), Duration::from_millis(view.attributes.client_keep_alive_ms));
    drop(view);
    let session = Rc::new(Session {
        client,
        tls: TlsFacts::of(stream.get_ref().1),
        door,
        active: Cell::new(0),
        requests: Cell::new(0),
        last: Cell::new(Instant::now()),
    });
    let service = {
        let session = Rc::clone(&session);
        hyper::service::service_fn(move |request| {
            let session = Rc::clone(&session);
            async move { Ok::<_, Infallible>(session.request(request).await) }
        })
    };
    let connection = http2::Builder::new(LocalExecutor)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let (began, mut ending) = (Instant::now(), false);
    loop {
        let wake = session.last.get().max(Instant::now()) + idle.min(Duration::from_secs(1));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = tokio::time::sleep_until(wake) => {}
        }
        let quiet = session.active.get() == 0 && session.last.get().elapsed() >= idle;
        let over =
            began.elapsed() >= lifetime || session.requests.get() >= MAX_REQUESTS || session.door.view().is_none();
        if (quiet || over) && !ending {
            connection.as_mut().graceful_shutdown();
            ending = true;
        } else if quiet && ending && session.last.get().elapsed() >= idle * 2 {
            return;
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

struct Session {
    client: SocketAddr,
    tls: TlsFacts,
    door: Rc<Door>,
    active: Cell<u64>,
    requests: Cell<u64>,
    last: Cell<Instant>,
}

/// Counts a stream while it lasts.
struct Active(Rc<Session>);

impl Active {
    fn new(session: &Rc<Session>) -> Self {
        session.active.set(session.active.get() + 1);
        session.requests.set(session.requests.get() + 1);
        Self(Rc::clone(session))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.last.set(Instant::now());
    }
}

/// A request's head, with what HTTP/1.1 writes otherwise made ready.
struct Heading {
    parts: Parts,
    host: String,
    target: String,
    /// HTTP/2 may send a cookie in crumbs, HTTP/1.1 may not.
    cookie: Option<Vec<u8>>,
}

impl Heading {
    fn new(parts: Parts) -> Option<Self> {
        let target = parts.uri.path_and_query()?.as_str().to_owned();
        let host = match parts.uri.authority() {
            Some(authority) => authority.as_str().to_owned(),
            None => parts.headers.get(http::header::HOST)?.to_str().ok()?.to_owned(),
        };
        if !(target.starts_with('/') || target == "*") || host.contains('@') {
            return None;
        }
        let crumbs: Vec<&[u8]> = parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let cookie = (!crumbs.is_empty()).then(|| crumbs.join(&b"; "[..]));
        Some(Self { parts, host, target, cookie })
    }
}

impl Request for Heading {
    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn each_header<'a>(&'a self, take: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in &self.parts.headers {
            if name != COOKIE {
                take(name.as_str(), value.as_bytes());
            }
        }
        if let Some(cookie) = &self.cookie {
            take("cookie", cookie);
        }
    }
}

impl Headers for Heading {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.parts.headers.get_all(name).iter().any(|value| test(value.as_bytes()))
    }
}

impl Session {
    async fn request(self: Rc<Self>, request: http::Request<Incoming>) -> Response<Reply> {
        let active = Active::new(&self);
        let Some(view) = self.door.view() else { return own(&Own::error(503), false, active) };
        shared::add(&view.counters.requests, 1);
        let (parts, body) = request.into_parts();
        let told = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(heading) = Heading::new(parts) else {
            view.counters.own_answer(400);
            return own(&Own::error(400), false, active);
        };
        let is_head = heading.method() == "HEAD";
        let course = decide::course(&view, self.client.ip(), &heading, &heading);
        let answer = match course {
            Course::Answer(answer) => answer,
            Course::Forward(group) => match self.forward(&view, &group, &heading, body, told, active).await {
                Ok(response) => return response,
                Err((status, active)) => {
                    view.counters.own_answer(status);
                    return own(&Own::error(status), is_head, active);
                }
            },
        };
        view.counters.own_answer(answer.status);
        own(&answer, is_head, active)
    }

    async fn forward(
        &self,
        view: &Rc<View>,
        group: &LocalGroup,
        heading: &Heading,
        body: Incoming,
        told: Option<u64>,
        active: Active,
    ) -> Result<Response<Reply>, (u16, Active)> {
        shared::add(&group.counters.requests, 1);
        let has_body = !body.is_end_stream();
        let framing = match told {
            Some(length) => HeadBody::Length(length),
            None if has_body => HeadBody::Chunked,
            None if matches!(heading.method(), "POST" | "PUT" | "PATCH") => HeadBody::Length(0),
            None => HeadBody::None,
        };
        let mut head = Vec::new();
        let hop = Hop {
            attributes: &view.attributes,
            protocol: view.listener.protocol(),
            port: view.listener.config.port,
            client: self.client,
            tls: view.attributes.tls_headers.then(|| self.tls.parts()),
        };
        if let Err(Unsendable(status)) = forwarded::write_head(&mut head, heading, framing, false, &hop) {
            return Err((status, active));
        }
        let mut upload = Upload {
            head: head.len(),
            out: head,
            written: 0,
            body,
            chunked: framing == HeadBody::Chunked,
            ended: !has_body,
            flushed: false,
            taken: false,
        };
        let (mut tried, mut status) = (Vec::new(), 503);
        while tried.len() < MAX_TRIES {
            let Some(target) = upstream::choose(group, &tried) else { break };
            let ticket = Ticket::new(target);
            let mut fresh = false;
            let mut upstream = loop {
                match upstream::acquire(view, group, target, fresh).await {
                    Ok(mut upstream) => {
                        let began = Instant::now();
                        let mut answer = Answer::default();
                        match await_answer(view, &ticket, &mut upstream, &mut upload, &mut answer).await {
                            Ok(()) => {
                                group.counters.answered(answer.status, began.elapsed().as_micros() as u64);
                                return Self::relay(view, target, heading, ticket, (upstream, upload, answer), active);
                            }
                            Err(502)
                                if upstream.reused
                                    && upstream.buffer.is_empty()
                                    && !upload.taken
                                    && !fresh
                                    && is_safe(heading.method()) =>
                            {
                                upload.written = 0;
                                upload.flushed = false;
                                fresh = true;
                            }
                            Err(status) => return Err((status, active)),
                        }
                    }
                    Err(NoConnection::TimedOut) => return Err((504, active)),
                    Err(NoConnection::Refused | NoConnection::Tls) => break None::<Upstream>,
                }
            };
            let _ = upstream.take();
            status = 502;
            tried.push(target.address);
        }
        Err((status, active))
    }

    fn relay(
        view: &Rc<View>,
        target: &LocalTarget,
        heading: &Heading,
        ticket: Ticket,
        (upstream, upload, answer): (Upstream, Upload, Answer),
        active: Active,
    ) -> Result<Response<Reply>, (u16, Active)> {
        let Ok(status) = StatusCode::from_u16(answer.status) else { return Err((502, active)) };
        if status.is_informational() {
            return Err((502, active));
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let mut bad = false;
        answer.each_header(&mut |name, value| {
            if is_hop_by_hop(name) {
                return;
            }
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                (Ok(name), Ok(value)) => drop(headers.append(name, value)),
                _ => bad = true,
            }
        });
        if bad {
            return Err((502, active));
        }
        if !headers.contains_key(DATE) {
            let mut date = Vec::new();
            crate::clock::write_date(&mut date);
            if let Ok(date) = HeaderValue::from_bytes(&date) {
                headers.insert(DATE, date);
            }
        }
        if let Some(length) = answer.told_length().filter(|_| answer.status != 204) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let framing = answer.framing(heading.method());
        let relay = Relay {
            upstream: Some(upstream),
            upload,
            body: Decoder::new(framing),
            left: if let Framing::Length(length) = framing { Some(length) } else { None },
            reusable: answer.keep_alive && framing != Framing::UntilEnd && target.active,
            seat: Rc::clone(&target.seat),
            view: Rc::clone(view),
            quiet: Box::pin(tokio::time::sleep(view.idle())),
            ticket,
            _active: active,
        };
        Ok(response.map(|()| Reply::Relay(Box::new(relay))))
    }
}

fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// An answer without a target.
fn own(answer: &Own, is_head: bool, active: Active) -> Response<Reply> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    let mut date = Vec::new();
    crate::clock::write_date(&mut date);
    let pairs = [
        ("server", Some("awselb/2.0")),
        ("date", std::str::from_utf8(&date).ok()),
        ("content-type", answer.content_type.as_deref()),
        ("location", answer.location.as_deref()),
    ];
    for (name, value) in pairs {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
    let body = (!is_head && !answer.body.is_empty()).then(|| Bytes::from(answer.body.clone()));
    drop(active);
    response.map(|()| Reply::Own(body))
}

/// The request on its way to the target.
struct Upload {
    head: usize,
    out: Vec<u8>,
    written: usize,
    body: Incoming,
    chunked: bool,
    ended: bool,
    flushed: bool,
    /// Something of the body is gone from the client's stream, so that it cannot be sent once more.
    taken: bool,
}

impl Upload {
    fn poll(&mut self, target: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if self.written < self.out.len() {
                let count = ready!(Pin::new(&mut *target).poll_write(cx, &self.out[self.written..]))
                    .map_err(|_| Broken::TargetGone)?;
                self.written += count;
            } else if self.ended {
                if !self.flushed {
                    ready!(Pin::new(&mut *target).poll_flush(cx)).map_err(|_| Broken::TargetGone)?;
                    self.flushed = true;
                }
                return Poll::Ready(Ok(()));
            } else {
                match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        self.restart();
                        if data.is_empty() {
                            continue;
                        }
                        if self.chunked {
                            write_chunk_size(&mut self.out, data.len());
                        }
                        self.out.extend_from_slice(&data);
                        if self.chunked {
                            self.out.extend_from_slice(b"\r\n");
                        }
                    }
                    Some(Err(_)) => return Poll::Ready(Err(Broken::ClientGone)),
                    None => {
                        self.ended = true;
                        if self.chunked {
                            self.restart();
                            self.out.extend_from_slice(LAST_CHUNK);
                        }
                    }
                }
            }
        }
    }

    fn restart(&mut self) {
        self.taken = true;
        self.out.clear();
        self.written = 0;
        self.head = 0;
    }
}

/// Sends the request and waits for the answer's head. The error is the status of the answer that the client gets.
async fn await_answer(
    view: &View,
    ticket: &Ticket,
    upstream: &mut Upstream,
    upload: &mut Upload,
    answer: &mut Answer,
) -> Result<(), u16> {
    let waited = poll_fn(|cx| {
        loop {
            let sent = if upload.flushed { Poll::Ready(Ok(())) } else { upload.poll(&mut upstream.io, cx) };
            if let Poll::Ready(Err(Broken::ClientGone)) = sent {
                return Poll::Ready(Err(400));
            }
            match poll_answer(&mut upstream.io, &mut upstream.buffer, answer, cx) {
                // interim answers have no use for an HTTP/2 client whose body comes anyway
                Poll::Ready(Ok(())) if (100..200).contains(&answer.status) && answer.status != 101 => continue,
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(502)),
                Poll::Pending => {}
            }
            if matches!(sent, Poll::Ready(Err(_))) || ticket.is_cut(cx.waker()) {
                return Poll::Ready(Err(502));
            }
            return Poll::Pending;
        }
    });
    tokio::time::timeout(view.idle(), waited).await.unwrap_or(Err(504))
}

/// An answer's body.
pub(crate) enum Reply {
    Own(Option<Bytes>),
    Relay(Box<Relay>),
}

/// A target's answer, while it comes.
pub(crate) struct Relay {
    upstream: Option<Upstream>,
    upload: Upload,
    body: Decoder,
    left: Option<u64>,
    reusable: bool,
    seat: Rc<Seat>,
    view: Rc<View>,
    quiet: Pin<Box<tokio::time::Sleep>>,
    ticket: Ticket,
    _active: Active,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(relay) => relay.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            // the end must be polled for, as that is when the connection is given back
            Self::Relay(relay) => relay.upstream.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relay(relay) => relay.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Relay {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
        if !self.upload.flushed {
            // a target that no longer listens may still have its answer read
            let _ = self.upload.poll(&mut upstream.io, cx);
        }
        loop {
            match self.body.next(upstream.buffer.data()) {
                Ok(Piece::Data { skip, length }) => {
                    upstream.buffer.consume(skip);
                    // the decoder has counted all of it, so that all of it goes out; a buffer is no more than two frames
                    debug_assert!(length <= 2 * FRAME);
                    let data = Bytes::copy_from_slice(&upstream.buffer.data()[..length]);
                    upstream.buffer.consume(length);
                    self.left = self.left.map(|left| left.saturating_sub(length as u64));
                    shared::add(&self.view.counters.bytes, length as u64);
                    let idle = Instant::now() + self.view.idle();
                    self.quiet.as_mut().reset(idle);
                    if self.body.is_done() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Ok(Piece::End { skip }) => {
                    upstream.buffer.consume(skip);
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(Piece::More { skip }) => upstream.buffer.consume(skip),
                Err(_) => return self.fail("the target's answer is broken"),
            }
            match upstream.buffer.poll_fill(&mut upstream.io, cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if self.body.ends_with_connection() => {
                    self.upstream = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(_) => return self.fail("the target closed the connection"),
                Poll::Pending if self.ticket.is_cut(cx.waker()) => return self.fail("the target was deregistered"),
                Poll::Pending => {
                    ready!(self.quiet.as_mut().poll(cx));
                    return self.fail("nothing came for too long");
                }
            }
        }
    }

    fn finish(&mut self) {
        if let Some(upstream) = self.upstream.take()
            && self.reusable
            && self.upload.flushed
            && upstream.buffer.is_empty()
        {
            self.seat.pool.put(upstream);
        }
    }

    fn fail(&mut self, why: &'static str) -> Poll<Option<io::Result<Bytes>>> {
        self.upstream = None;
        Poll::Ready(Some(Err(io::Error::other(why))))
    }
}
