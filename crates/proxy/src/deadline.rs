//! A timeout that is moved with every request and hardly ever ends.
//!
//! Moving it is a store: the timer underneath is only set anew when it fires early, or when the new deadline is nearer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A movable point in time.
pub(crate) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// After `wait` from now.
    pub(crate) fn new(wait: Duration) -> Self {
        let at = Instant::now() + wait;
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)) }
    }

    /// Moves it to `wait` from now.
    pub(crate) fn set(&mut self, wait: Duration) {
        self.at = Instant::now() + wait;
        if self.at < self.timer.deadline() {
            self.timer.as_mut().reset(self.at);
        }
    }

    /// Ready once it is past.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}
