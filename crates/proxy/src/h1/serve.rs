//! A client's connection: request after request, each routed and answered.

use super::body::Framing;
use super::exchange::{Broken, Download, Upload, poll_answer};
use super::request::{Head, Refused};
use super::response::Answer;
use crate::answer::Own;
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::decide::{self, Course};
use crate::forwarded::{self, Body, Hop, Incoming};
use crate::shared;
use crate::stream::Stream;
use crate::tunnel;
use crate::upstream::{self, NoConnection, Upstream};
use crate::worker::{Door, LocalGroup, LocalTarget, Ticket, View};
use std::future::poll_fn;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// Other targets that are tried when one cannot be connected to.
const MAX_TRIES: usize = 3;
/// After an answer that the request's body did not wait for: so long, and so much, is read and thrown away, lest the client lose the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// What a target may be told of the client's TLS.
pub(crate) struct TlsFacts {
    cipher: String,
    version: String,
}

impl TlsFacts {
    pub(crate) fn of(session: &rustls::ServerConnection) -> Self {
        let cipher = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        Self { cipher: openssl_name(&cipher), version: version.to_owned() }
    }

    pub(crate) fn parts(&self) -> (&str, &str) {
        (&self.cipher, &self.version)
    }
}

/// `TLS13_AES_128_GCM_SHA256` is `TLS_AES_128_GCM_SHA256`, and `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is
/// `ECDHE-RSA-AES128-GCM-SHA256`.
fn openssl_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    name.trim_start_matches("TLS_").replace("_WITH_", "-").replace("AES_", "AES").replace('_', "-")
}

/// Serves a client's connection to its end.
pub(crate) async fn serve(io: Stream, client: SocketAddr, door: Rc<Door>, tls: Option<TlsFacts>) {
    let Some(view) = door.view() else { return };
    let mut connection = Connection {
        io,
        client,
        tls,
        buffer: Buffer::default(),
        head: Head::default(),
        answer: Answer::default(),
        spare: (Vec::new(), Vec::new()),
        deadline: Deadline::new(view.idle()),
        since: Instant::now(),
    };
    drop(view);
    while let Some(idle) = door.view().map(|view| view.idle()) {
        if !connection.request(&door, idle).await {
            return;
        }
    }
}

struct Connection {
    io: Stream,
    client: SocketAddr,
    tls: Option<TlsFacts>,
    buffer: Buffer,
    head: Head,
    answer: Answer,
    /// Buffers for what is written to the target and to the client.
    spare: (Vec<u8>, Vec<u8>),
    deadline: Deadline,
    since: Instant,
}

/// How a try with one target ended.
enum Try {
    /// The client's connection goes on, or not.
    Done(bool),
    /// Once more with a new connection to the same target: the kept one had been closed.
    Again,
    /// Nothing reached the client yet: this answer does.
    Answer(u16),
}

impl Incoming for Head {
    fn method(&self) -> &str {
        self.method()
    }

    fn target(&self) -> &str {
        self.target()
    }

    fn host(&self) -> &str {
        self.host()
    }

    fn each_header<'a>(&'a self, take: &mut dyn FnMut(&'a str, &'a [u8])) {
        self.each_header(take);
    }
}

impl Connection {
    /// Serves one request, for which the client may take so long. Whether the connection goes on.
    async fn request(&mut self, door: &Door, idle: Duration) -> bool {
        self.deadline.set(idle);
        let read = self.read_head().await;
        // Not before: the configuration may have changed while the client was silent, and a target that has drained since
        // may be gone.
        let Some(view) = door.view() else { return false };
        let view = &view;
        match read {
            Ok(true) => {}
            Ok(false) => return false,
            Err(Refused(status)) => {
                shared::add(&view.counters.requests, 1);
                self.head = Head::default();
                return self.answer(view, &Own::error(status), false).await;
            }
        }
        shared::add(&view.counters.requests, 1);
        let old = self.since.elapsed() >= Duration::from_millis(view.attributes.client_keep_alive_ms);
        self.head.keep_alive &= !old;
        match decide::course(view, self.client.ip(), &self.head, &self.head) {
            Course::Answer(own) => {
                let keep_alive = self.head.keep_alive && self.skip_body();
                self.answer(view, &own, keep_alive).await
            }
            Course::Forward(group) => self.forward(view, &group).await,
        }
    }

    /// Reads a request's head; false if the client has ended.
    async fn read_head(&mut self) -> Result<bool, Refused> {
        let Self { io, buffer, head, deadline, .. } = self;
        poll_fn(|cx| {
            loop {
                if !buffer.is_empty()
                    && let Some(length) = head.parse(buffer.data())?
                {
                    buffer.consume(length);
                    return Poll::Ready(Ok(true));
                }
                if buffer.is_empty() {
                    buffer.rest();
                }
                match buffer.poll_fill(io, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Ok(false)),
                    Poll::Pending if deadline.poll(cx).is_ready() => {
                        return Poll::Ready(if buffer.is_empty() { Ok(false) } else { Err(Refused(408)) });
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Passes over the body of a request that no target gets, if it is here already. Otherwise the connection must end.
    fn skip_body(&mut self) -> bool {
        match self.head.framing {
            Some(Framing::Length(length)) if length <= self.buffer.data().len() as u64 => {
                self.buffer.consume(length as usize);
                true
            }
            _ => false,
        }
    }

    /// Answers without a target.
    async fn answer(&mut self, view: &View, own: &Own, keep_alive: bool) -> bool {
        view.counters.own_answer(own.status);
        let mut out = std::mem::take(&mut self.spare.1);
        own.write(&mut out, keep_alive, self.head.method() != "HEAD");
        shared::add(&view.counters.bytes, own.body.len() as u64);
        self.deadline.set(view.idle());
        let mut download = Download::new(out, Framing::Length(0), false);
        let (mut none, mut moved) = (tokio::io::empty(), false);
        let mut nothing = Buffer::default();
        let Self { io, deadline, .. } = self;
        let sent = poll_fn(|cx| {
            let poll = download.poll(io, &mut none, &mut nothing, &mut moved, cx);
            timed(poll, deadline, &mut moved, view.idle(), cx)
        })
        .await;
        self.spare.1 = download.into_buffer();
        if !matches!(sent, Some(Ok(()))) {
            return false;
        }
        if !keep_alive {
            self.linger().await;
        }
        keep_alive
    }

    /// Ends the connection so that what was written arrives: closing with unread bytes would reset it.
    async fn linger(&mut self) {
        self.deadline.set(LINGER);
        let Self { io, buffer, deadline, .. } = self;
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            // an error or an end on either side is the end
            if let Poll::Ready(Err(_)) = Pin::new(&mut *io).poll_shutdown(cx) {
                return Poll::Ready(());
            }
            loop {
                buffer.consume(usize::MAX >> 1);
                match buffer.poll_fill(io, cx) {
                    Poll::Ready(Ok(count @ 1..)) if count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll(cx),
                }
            }
        })
        .await;
    }

    async fn forward(&mut self, view: &Rc<View>, group: &LocalGroup) -> bool {
        shared::add(&group.counters.requests, 1);
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut status = 503;
        while tried.len() < MAX_TRIES {
            let Some(target) = upstream::choose(group, &tried) else { break };
            let ticket = Ticket::new(target);
            let mut fresh = false;
            loop {
                let connected = upstream::acquire(view, group, target, fresh).await;
                match connected {
                    Ok(upstream) => match self.attempt(view, group, target, &ticket, upstream).await {
                        Try::Done(keep_alive) => return keep_alive,
                        Try::Again => fresh = true,
                        Try::Answer(status) => {
                            return self.answer(view, &Own::error(status), false).await;
                        }
                    },
                    Err(NoConnection::TimedOut) => {
                        // the time that a client is made to wait is used up
                        return self.answer(view, &Own::error(504), false).await;
                    }
                    Err(NoConnection::Refused | NoConnection::Tls) => {
                        status = 502;
                        tried.push(target.address);
                        break;
                    }
                }
            }
        }
        let keep_alive = self.head.keep_alive && self.skip_body();
        self.answer(view, &Own::error(status), keep_alive).await
    }

    async fn attempt(
        &mut self,
        view: &Rc<View>,
        group: &LocalGroup,
        target: &LocalTarget,
        ticket: &Ticket,
        mut upstream: Upstream,
    ) -> Try {
        let began = Instant::now();
        let framing = self.head.framing.unwrap_or(Framing::Length(0));
        let mut out = std::mem::take(&mut self.spare.0);
        let hop = Hop {
            attributes: &view.attributes,
            protocol: view.listener.protocol(),
            port: view.listener.config.port,
            client: self.client,
            tls: self.tls.as_ref().filter(|_| view.attributes.tls_headers).map(TlsFacts::parts),
        };
        let body = match framing {
            Framing::Length(0) if !matches!(self.head.method(), "POST" | "PUT" | "PATCH") => Body::None,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked | Framing::UntilEnd => Body::Chunked,
        };
        if let Err(forwarded::Unsendable(status)) =
            forwarded::write_head(&mut out, &self.head, body, self.head.upgrade, &hop)
        {
            target.seat.pool.put(upstream);
            return Try::Answer(status);
        }
        let mut upload = Upload::new(out, framing);
        loop {
            match self.await_answer(view, ticket, &mut upstream, &mut upload).await {
                None => {}
                Some(Try::Again) => {
                    self.spare.0 = upload.into_buffer();
                    return Try::Again;
                }
                Some(other) => return other,
            }
            // an interim answer is passed on, and another comes
            if self.answer.status >= 200 || self.answer.status == 101 {
                break;
            }
            if self.head.is_11 && !self.interim(view.idle()).await {
                return Try::Done(false);
            }
        }
        group.counters.answered(self.answer.status, began.elapsed().as_micros() as u64);
        if self.answer.status == 101 {
            return self.switch(view, ticket, upstream, upload.is_done()).await;
        }
        let framing = self.answer.framing(self.head.method());
        let chunked = self.head.is_11 && matches!(framing, Framing::Chunked | Framing::UntilEnd);
        let keep_alive = self.head.keep_alive && (chunked || matches!(framing, Framing::Length(_)));
        let mut out = std::mem::take(&mut self.spare.1);
        self.write_answer(&mut out, chunked, keep_alive);
        let mut download = Download::new(out, framing, chunked);
        let relayed = self.relay(view, ticket, &mut upstream, &mut upload, &mut download).await;
        shared::add(&view.counters.bytes, upload.bytes + download.bytes);
        let uploaded = upload.is_done();
        self.spare = (upload.into_buffer(), download.into_buffer());
        if !relayed {
            return Try::Done(false);
        }
        if uploaded
            && self.answer.keep_alive
            && framing != Framing::UntilEnd
            && upstream.buffer.is_empty()
            && target.active
        {
            target.seat.pool.put(upstream);
        }
        let keep_alive = keep_alive && uploaded;
        if !keep_alive {
            self.linger().await;
        }
        Try::Done(keep_alive)
    }

    /// Sends the request and waits for an answer's head. `None` when it is there.
    async fn await_answer(
        &mut self,
        view: &View,
        ticket: &Ticket,
        upstream: &mut Upstream,
        upload: &mut Upload,
    ) -> Option<Try> {
        let idle = view.idle();
        self.deadline.set(idle);
        let Self { io, buffer, answer, deadline, .. } = self;
        let reused = upstream.reused;
        let Upstream { io: target, buffer: back, .. } = upstream;
        let mut watch_client = true;
        let outcome = poll_fn(|cx| {
            let mut moved = false;
            let mut sending = None;
            if !upload.is_done() {
                upstream::settled(upload.poll(io, buffer, target, &mut moved, cx), &mut sending);
                match sending {
                    // a target may answer and close without having read all: its answer counts
                    Some(Err(Broken::TargetGone) | Ok(())) | None => {}
                    Some(Err(other)) => return Poll::Ready(Some(Err(other))),
                }
            }
            if let Poll::Ready(result) = poll_answer(target, back, answer, cx) {
                return Poll::Ready(Some(result));
            }
            if let Some(Err(broken)) = sending {
                return Poll::Ready(Some(Err(broken)));
            }
            if ticket.is_cut(cx.waker()) {
                return Poll::Ready(Some(Err(Broken::TargetGone)));
            }
            // a client that goes away ends the exchange; one that sends its next request early has that kept
            if upload.is_done() && watch_client {
                match buffer.poll_fill(io, cx) {
                    Poll::Ready(Ok(1..)) => {
                        watch_client = false;
                        moved = true;
                    }
                    Poll::Ready(_) => return Poll::Ready(Some(Err(Broken::ClientGone))),
                    Poll::Pending => {}
                }
            }
            timed(Poll::Pending, deadline, &mut moved, idle, cx)
        })
        .await;
        match outcome {
            Some(Ok(())) => None,
            None => Some(Try::Answer(504)),
            Some(Err(Broken::ClientGone)) => Some(Try::Done(false)),
            Some(Err(Broken::ClientBad)) => Some(Try::Answer(400)),
            Some(Err(Broken::TargetBad)) => Some(Try::Answer(502)),
            Some(Err(Broken::TargetGone)) => {
                let untouched = reused && upstream.buffer.is_empty() && upload.is_repeatable();
                let safe = matches!(self.head.method(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
                Some(if untouched && safe && !ticket.is_cut(std::task::Waker::noop()) {
                    Try::Again
                } else {
                    Try::Answer(502)
                })
            }
        }
    }

    /// Passes on the rest of the request and the answer. Whether the answer arrived whole.
    async fn relay(
        &mut self,
        view: &View,
        ticket: &Ticket,
        upstream: &mut Upstream,
        upload: &mut Upload,
        download: &mut Download,
    ) -> bool {
        let idle = view.idle();
        let Self { io, buffer, deadline, .. } = self;
        let Upstream { io: target, buffer: back, .. } = upstream;
        let outcome = poll_fn(|cx| {
            let mut moved = false;
            if !upload.is_done()
                && let Poll::Ready(Err(Broken::ClientGone | Broken::ClientBad)) =
                    upload.poll(io, buffer, target, &mut moved, cx)
            {
                return Poll::Ready(Some(Err(Broken::ClientGone)));
            }
            if let Poll::Ready(result) = download.poll(io, target, back, &mut moved, cx) {
                return Poll::Ready(Some(result));
            }
            if ticket.is_cut(cx.waker()) {
                return Poll::Ready(None);
            }
            timed(Poll::Pending, deadline, &mut moved, idle, cx)
        })
        .await;
        matches!(outcome, Some(Ok(())))
    }

    /// Passes on `100 Continue` and the like.
    async fn interim(&mut self, idle: Duration) -> bool {
        let mut out = Vec::new();
        let _ = write!(out, "HTTP/1.1 {} ", self.answer.status);
        out.extend_from_slice(self.answer.reason());
        out.extend_from_slice(b"\r\n");
        self.answer.each_header(&mut |name, value| {
            if !is_hop_by_hop(name) {
                header(&mut out, name, value);
            }
        });
        out.extend_from_slice(b"\r\n");
        let sent = async {
            self.io.write_all(&out).await?;
            self.io.flush().await
        };
        matches!(tokio::time::timeout(idle, sent).await, Ok(Ok(())))
    }

    /// Adds the answer's head as the client gets it.
    fn write_answer(&self, out: &mut Vec<u8>, chunked: bool, keep_alive: bool) {
        let answer = &self.answer;
        out.extend_from_slice(b"HTTP/1.1 ");
        let _ = write!(out, "{} ", answer.status);
        out.extend_from_slice(answer.reason());
        out.extend_from_slice(b"\r\n");
        let mut dated = false;
        answer.each_header(&mut |name, value| {
            dated |= name.len() == 4 && name.eq_ignore_ascii_case("date");
            if !is_hop_by_hop(name) {
                header(out, name, value);
            }
        });
        if !dated {
            out.extend_from_slice(b"Date: ");
            crate::clock::write_date(out);
            out.extend_from_slice(b"\r\n");
        }
        if chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(length) = answer.told_length().filter(|_| answer.status != 204) {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        out.extend_from_slice(if keep_alive {
            b"Connection: keep-alive\r\n\r\n"
        } else {
            b"Connection: close\r\n\r\n"
        });
    }

    /// The target has changed the protocol: from here on bytes go both ways.
    async fn switch(&mut self, view: &View, ticket: &Ticket, mut upstream: Upstream, uploaded: bool) -> Try {
        if !self.head.upgrade || !uploaded {
            return Try::Answer(502);
        }
        let mut out = Vec::new();
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        self.answer.each_header(&mut |name, value| {
            if name.eq_ignore_ascii_case("upgrade") || !is_hop_by_hop(name) {
                header(&mut out, name, value);
            }
        });
        out.extend_from_slice(b"Connection: upgrade\r\n\r\n");
        let bytes = tunnel::run(
            (&mut self.io, &mut self.buffer),
            (&mut upstream.io, &mut upstream.buffer),
            out,
            view.idle(),
            &mut self.deadline,
            ticket,
        )
        .await;
        shared::add(&view.counters.bytes, bytes);
        Try::Done(false)
    }
}

fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Headers that belong to the target's connection or to the framing, which is written anew.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        7 => is("upgrade") || is("trailer"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}

/// Lets a poll end with `None` when nothing has moved for `idle`.
fn timed<T>(
    poll: Poll<T>,
    deadline: &mut Deadline,
    moved: &mut bool,
    idle: Duration,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    if let Poll::Ready(value) = poll {
        return Poll::Ready(Some(value));
    }
    if std::mem::take(moved) {
        deadline.set(idle);
    }
    deadline.poll(cx).map(|()| None)
}
