//! Connections passed on as they are: bytes both ways.

use super::Place;
use routing::connect::{Listener, RETRIES};
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What is read at a time.
const PIECE: usize = 16 << 10;

/// Passes a connection on to whose turn it is. Without anybody it is closed.
pub(super) async fn serve(client: TcpStream, listener: &Listener, place: &Place) {
    let mut tried = Vec::new();
    while tried.len() <= RETRIES {
        let Some(target) = place.choose(listener, &tried) else { return };
        if let Ok(upstream) = place.connect(listener, target).await {
            place.remember(listener, target, true);
            return both_ways(client, upstream, Duration::from_millis(listener.idle_ms)).await;
        }
        tried.push(target);
    }
}

/// Passes on both ways until both have ended, one breaks, or nothing moves for `idle`, if that is not zero.
pub(super) async fn both_ways(
    client: impl AsyncRead + AsyncWrite,
    target: impl AsyncRead + AsyncWrite,
    idle: Duration,
) {
    let moved = Cell::new(Instant::now());
    let ((from_client, to_client), (from_target, to_target)) = (tokio::io::split(client), tokio::io::split(target));
    let both = async {
        tokio::try_join!(one_way(from_client, to_target, &moved), one_way(from_target, to_client, &moved)).map(drop)
    };
    let quiet = async {
        if idle.is_zero() {
            return std::future::pending().await;
        }
        while moved.get().elapsed() < idle {
            tokio::time::sleep_until(moved.get() + idle).await;
        }
    };
    tokio::select! {
        _ = both => {}
        () = quiet => {}
    }
}

async fn one_way(from: impl AsyncRead, to: impl AsyncWrite, moved: &Cell<Instant>) -> io::Result<()> {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        moved.set(Instant::now());
        to.write_all(&piece[..count]).await?;
        moved.set(Instant::now());
    }
}
