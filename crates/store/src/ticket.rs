//! The answer to a commit, once it is known whether it is durable.

use crate::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A commit under way. Awaiting it gives the commit's sequence number once it is durable and visible in views.
///
/// Dropping it does not undo the commit.
#[must_use = "a commit is acknowledged by its ticket alone"]
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Result<u64, Error>>,
    wakers: Vec<Waker>,
}

impl Ticket {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn answered(answer: Result<u64, Error>) -> Self {
        let ticket = Self::new();
        ticket.answer(answer);
        ticket
    }

    pub(crate) fn answer(&self, answer: Result<u64, Error>) {
        let wakers = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.answer.get_or_insert(answer);
            std::mem::take(&mut state.wakers)
        };
        self.0.ready.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The answer; the same as awaiting the ticket.
    pub async fn wait(self) -> Result<u64, Error> {
        self.await
    }

    /// The answer, blocking the thread for about the time of a disk sync.
    pub fn wait_blocking(self) -> Result<u64, Error> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = &state.answer {
                return answer.clone();
            }
            state = self.0.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Ticket {
    type Output = Result<u64, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &state.answer {
            return Poll::Ready(answer.clone());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
