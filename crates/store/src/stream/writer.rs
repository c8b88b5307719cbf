//! The thread that writes the streams: it takes what has gathered, writes it with one sync, answers; when idle it removes what is doomed.

use super::file::File;
use crate::{Error, Ticket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use types::Timestamp;

/// How many bytes may wait for the disk before appends block.
const MOST_WAITING: usize = 8 << 20;
/// What a record costs in the queue besides its data.
const RECORD_COST: usize = 48;

/// A change of one stream.
#[derive(Debug)]
pub(super) enum Command {
    Append { stream: String, records: Vec<(Timestamp, Vec<u8>)> },
    Trim { stream: String, before: Timestamp },
    Delete { stream: String },
}

impl Command {
    pub(super) fn stream(&self) -> &str {
        match self {
            Self::Append { stream, .. } | Self::Trim { stream, .. } | Self::Delete { stream } => stream,
        }
    }

    fn cost(&self) -> usize {
        let records = match self {
            Self::Append { records, .. } => records.iter().map(|(_, data)| data.len() + RECORD_COST).sum(),
            _ => 0,
        };
        records + self.stream().len() + RECORD_COST
    }
}

/// The queue and its thread, which ends, all written, when this is dropped.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    tickets: Vec<Ticket>,
    bytes: usize,
    failed: Option<Error>,
    closing: bool,
}

impl Writer {
    pub(super) fn start(file: Arc<File>) -> Result<Self, Error> {
        let queue: Arc<Queue> = Arc::default();
        let thread = std::thread::Builder::new().name("streams".to_owned());
        let thread = thread.spawn({
            let queue = queue.clone();
            move || queue.run(&file)
        });
        Ok(Self { queue, thread: Some(thread.map_err(Error::disk)?) })
    }

    pub(super) fn push(&self, command: Command) -> Ticket {
        let full = |state: &mut State| state.bytes >= MOST_WAITING && state.failed.is_none();
        let mut state = self.queue.room.wait_while(self.queue.state(), full).unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = state.failed.clone() {
            return Ticket::answered(Err(why));
        }
        let ticket = Ticket::new();
        state.bytes += command.cost();
        state.commands.push(command);
        state.tickets.push(ticket.clone());
        drop(state);
        self.queue.work.notify_one();
        ticket
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.state().closing = true;
        self.queue.work.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the streams' thread panicked");
        }
    }
}

impl Queue {
    fn run(&self, file: &File) {
        // What was doomed before the last end of the process is still to be removed.
        let mut doomed = true;
        loop {
            let idle = |state: &mut State| state.commands.is_empty() && !state.closing && !doomed;
            let mut state = self.work.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
            let (commands, tickets) = (std::mem::take(&mut state.commands), std::mem::take(&mut state.tickets));
            state.bytes = 0;
            let closing = state.closing;
            drop(state);
            self.room.notify_all();
            if commands.is_empty() && closing {
                return;
            }
            let result = if commands.is_empty() {
                file.reap().map(|more| {
                    doomed = more;
                    Vec::new()
                })
            } else {
                doomed |= commands.iter().any(|command| !matches!(command, Command::Append { .. }));
                file.apply(&commands)
            };
            match result {
                Ok(answers) => tickets.iter().zip(answers).for_each(|(ticket, answer)| ticket.answer(Ok(answer))),
                Err(why) => return self.fail(&why, tickets),
            }
        }
    }

    fn fail(&self, why: &Error, mut tickets: Vec<Ticket>) {
        tracing::error!(%why, "the event streams cannot be written any more");
        let mut state = self.state();
        state.failed = Some(why.clone());
        state.commands.clear();
        tickets.append(&mut state.tickets);
        drop(state);
        self.room.notify_all();
        for ticket in tickets {
            ticket.answer(Err(why.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
