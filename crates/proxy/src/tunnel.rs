//! Bytes both ways, once client and target have agreed on a protocol of their own.

use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::stream::Stream;
use crate::worker::Ticket;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// Passes bytes on until both sides have ended, one breaks, or nothing moves for `idle`. `first` goes to the client before all else.
/// How many bytes were passed on.
pub(crate) async fn run(
    client: (&mut Stream, &mut Buffer),
    target: (&mut Stream, &mut Buffer),
    first: Vec<u8>,
    idle: Duration,
    deadline: &mut Deadline,
    ticket: &Ticket,
) -> u64 {
    let (client, from_client) = client;
    let (target, from_target) = target;
    let mut down = Way { first, ..Way::default() };
    let mut up = Way::default();
    deadline.set(idle);
    poll_fn(|cx| {
        let mut moved = false;
        let up_poll = up.poll(client, from_client, target, &mut moved, cx);
        let down_poll = down.poll(target, from_target, client, &mut moved, cx);
        match (up_poll, down_poll) {
            (Poll::Ready(Err(())), _) | (_, Poll::Ready(Err(()))) | (Poll::Ready(_), Poll::Ready(_)) => {
                return Poll::Ready(());
            }
            _ => {}
        }
        if ticket.is_cut(cx.waker()) {
            return Poll::Ready(());
        }
        if moved {
            deadline.set(idle);
        }
        deadline.poll(cx)
    })
    .await;
    up.bytes + down.bytes
}

/// One direction.
#[derive(Default)]
struct Way {
    first: Vec<u8>,
    ended: bool,
    closed: bool,
    bytes: u64,
}

impl Way {
    fn poll(
        &mut self,
        from: &mut Stream,
        buffer: &mut Buffer,
        to: &mut Stream,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ()>> {
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if !self.first.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.first)).map_err(drop)?;
                self.first.drain(..count);
                *moved = true;
            } else if !buffer.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, buffer.data())).map_err(drop)?;
                buffer.consume(count);
                self.bytes += count as u64;
                *moved = true;
            } else if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(drop)?;
                self.closed = true;
            } else {
                ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(drop)?;
                self.ended = ready!(buffer.poll_fill(from, cx)).map_err(drop)? == 0;
            }
        }
    }
}
