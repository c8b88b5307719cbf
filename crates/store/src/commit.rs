//! Group commit: a thread that makes all queued commits durable with one sync, then publishes and answers them.

use crate::disk::{Disk, Record};
use crate::feed::{Commit, Window};
use crate::{Error, Ticket, View};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

/// How many commits may wait for the disk before new transactions have to wait as well.
const MOST_WAITING: usize = 1024;

/// What readers see: the newest durable view and the feed's window.
pub(crate) struct Public {
    pub(crate) view: RwLock<View>,
    pub(crate) window: Arc<Window>,
}

impl Public {
    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows `view` and then tells of the commits that led to it.
    pub(crate) fn publish(&self, view: View, commits: impl IntoIterator<Item = Arc<Commit>>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        self.window.publish(commits);
    }
}

/// A commit on its way to the disk.
pub(crate) struct Waiting {
    pub(crate) view: View,
    pub(crate) record: Record,
    pub(crate) commit: Arc<Commit>,
    pub(crate) ticket: Ticket,
}

/// The commits that wait for the disk, in order.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Tickets of unchanged transactions, to be answered with all that was queued before them.
    barriers: Vec<(u64, Ticket)>,
    /// The last commit that is durable.
    durable: u64,
    failed: Option<Error>,
    closing: bool,
}

impl Queue {
    pub(crate) fn new(durable: u64) -> Self {
        Self { state: Mutex::new(State { durable, ..State::default() }), ..Self::default() }
    }

    pub(crate) fn push(&self, waiting: Waiting) {
        let mut state = self.state();
        if let Some(why) = state.failed.clone() {
            waiting.ticket.answer(Err(why));
        } else {
            state.waiting.push(waiting);
            self.work.notify_one();
        }
    }

    /// A ticket that is answered once commit `sequence` is durable.
    pub(crate) fn barrier(&self, sequence: u64) -> Ticket {
        let mut state = self.state();
        if let Some(why) = state.failed.clone() {
            return Ticket::answered(Err(why));
        }
        if state.durable >= sequence {
            return Ticket::answered(Ok(sequence));
        }
        let ticket = Ticket::new();
        state.barriers.push((sequence, ticket.clone()));
        ticket
    }

    /// Waits until the queue has room.
    pub(crate) fn wait_for_room(&self) {
        let full = |state: &mut State| state.waiting.len() >= MOST_WAITING && state.failed.is_none();
        drop(self.room.wait_while(self.state(), full).unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the thread end once everything queued is written.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }

    /// The thread's life: take all, write, publish, answer; until closed.
    pub(crate) fn run(&self, disk: &Disk, public: &Public) {
        if let Err(why) = disk.create() {
            return self.fail(&why, Vec::new());
        }
        loop {
            let idle = |state: &mut State| state.waiting.is_empty() && !state.closing;
            let mut state = self.work.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
            let batch = std::mem::take(&mut state.waiting);
            drop(state);
            self.room.notify_all();
            let Some(last) = batch.last() else { return };
            let (view, sequence) = (last.view.clone(), last.commit.sequence);
            let written = disk.write(batch.iter().map(|waiting| &waiting.record));
            if let Err(why) = written {
                return self.fail(&why, batch);
            }
            public.publish(view, batch.iter().map(|waiting| waiting.commit.clone()));
            let mut answers: Vec<_> =
                batch.into_iter().map(|waiting| (waiting.commit.sequence, waiting.ticket)).collect();
            {
                let mut state = self.state();
                state.durable = sequence;
                answers.extend(state.barriers.extract_if(.., |(upto, _)| *upto <= sequence));
            }
            for (sequence, ticket) in answers {
                ticket.answer(Ok(sequence));
            }
        }
    }

    /// Refuses everything queued, and everything from now on: what reached the disk is not known any more.
    fn fail(&self, why: &Error, mut waiting: Vec<Waiting>) {
        tracing::error!(%why, "the state cannot be written any more");
        let barriers = {
            let mut state = self.state();
            state.failed = Some(why.clone());
            waiting.append(&mut state.waiting);
            std::mem::take(&mut state.barriers)
        };
        self.room.notify_all();
        let tickets = waiting.into_iter().map(|waiting| waiting.ticket);
        for ticket in tickets.chain(barriers.into_iter().map(|(_, ticket)| ticket)) {
            ticket.answer(Err(why.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
