//! Connections to targets: made from the node's namespace, kept and used again.

use crate::buffer::Buffer;
use crate::netns::Namespace;
use crate::stream::Stream;
use crate::tls;
use crate::worker::{LocalGroup, LocalTarget, View};
use routing::config::Protocol;
use routing::pick::{Candidate, pick};
use rustls::pki_types::ServerName;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// A kept connection that was not used for this long is not trusted any more.
const MAX_IDLE: Duration = Duration::from_mins(1);
/// Kept connections to one target, by one worker.
const MAX_KEPT: usize = 256;

/// A connection to a target.
pub(crate) struct Upstream {
    pub(crate) io: Stream,
    pub(crate) buffer: Buffer,
    /// It carried a request before; so it may have been closed at the other end meanwhile.
    pub(crate) reused: bool,
}

/// Kept connections to one target, the latest last.
#[derive(Default)]
pub(crate) struct Pool {
    kept: RefCell<Vec<(Upstream, Instant)>>,
}

impl Pool {
    /// A kept connection that seems to be alive.
    pub(crate) fn take(&self) -> Option<Upstream> {
        loop {
            let (mut upstream, since) = self.kept.borrow_mut().pop()?;
            if since.elapsed() >= MAX_IDLE {
                self.clear();
                return None;
            }
            // a byte or an end that nobody asked for: the target has closed it
            let mut cx = Context::from_waker(Waker::noop());
            if upstream.buffer.poll_fill(&mut upstream.io, &mut cx).is_pending() {
                upstream.reused = true;
                return Some(upstream);
            }
        }
    }

    /// Keeps a connection whose exchange is over.
    pub(crate) fn put(&self, mut upstream: Upstream) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < MAX_KEPT {
            upstream.buffer.rest();
            kept.push((upstream, Instant::now()));
        }
    }

    /// Closes all that are kept.
    pub(crate) fn clear(&self) {
        self.kept.borrow_mut().clear();
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoConnection {
    /// Nothing came back.
    TimedOut,
    /// It was refused, or nothing leads there.
    Refused,
    /// TLS failed.
    Tls,
}

/// A new connection from `namespace`.
pub(crate) async fn connect(
    namespace: &Namespace,
    address: SocketAddr,
    protocol: Protocol,
    timeout: Duration,
) -> Result<Upstream, NoConnection> {
    let stream = match tokio::time::timeout(timeout, namespace.connect(address)).await {
        Err(_) => return Err(NoConnection::TimedOut),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::TimedOut => return Err(NoConnection::TimedOut),
        Ok(Err(_)) => return Err(NoConnection::Refused),
        Ok(Ok(stream)) => stream,
    };
    let io = match protocol {
        Protocol::Http => Stream::Plain(stream),
        Protocol::Https => {
            let handshake = tokio_rustls::TlsConnector::from(tls::client())
                .connect(ServerName::IpAddress(address.ip().into()), stream);
            match tokio::time::timeout(timeout, handshake).await {
                Ok(Ok(stream)) => Stream::Target(Box::new(stream)),
                _ => return Err(NoConnection::Tls),
            }
        }
    };
    Ok(Upstream { io, buffer: Buffer::default(), reused: false })
}

/// The target that takes the next request of `group`, leaving out those in `tried`.
pub(crate) fn choose<'g>(group: &'g LocalGroup, tried: &[SocketAddr]) -> Option<&'g LocalTarget> {
    let turn = group.turn.get();
    group.turn.set(turn.wrapping_add(1));
    let candidate = |at: usize| {
        let target = &group.targets[at];
        Candidate {
            usable: target.health.usable(),
            excluded: !target.active || tried.contains(&target.address),
            in_flight: target.life.in_flight.load(Ordering::Relaxed) as u32,
            share: target.health.share(group.slow_start_ms),
        }
    };
    let at = pick(group.algorithm, group.targets.len(), candidate, turn, crate::clock::random())?;
    group.targets.get(at)
}

/// A connection to `target`: a kept one, unless `fresh` is asked for.
pub(crate) async fn acquire(
    view: &View,
    group: &LocalGroup,
    target: &LocalTarget,
    fresh: bool,
) -> Result<Upstream, NoConnection> {
    if fresh {
        target.seat.pool.clear();
    } else if let Some(kept) = target.seat.pool.take() {
        return Ok(kept);
    }
    let timeout = Duration::from_millis(view.attributes.connect_timeout_ms.max(1));
    let made = connect(&view.node.namespace, target.address, group.protocol, timeout).await;
    if made.is_err() {
        crate::shared::add(&group.counters.connection_errors, 1);
    }
    made
}

/// Whether a poll has a result, which `out` gets.
pub(crate) fn settled<T>(poll: Poll<T>, out: &mut Option<T>) -> bool {
    if let Poll::Ready(value) = poll {
        *out = Some(value);
        return true;
    }
    false
}
