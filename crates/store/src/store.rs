//! The handle: snapshots, transactions, the change feed, and the order among writers.

use crate::commit::{Public, Queue, Waiting};
use crate::disk::Record;
use crate::feed::{Commit, Feed, TooOld};
use crate::lock::Lock;
use crate::stream::{Home, Streams};
use crate::{Error, TableDef, Ticket, Tx, View, open};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};

/// The store. Clones are handles to the same one; when the last of them and of the transactions is gone, what is queued is
/// written and the directory is released.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// The shared part. Fields are dropped in order: the lock comes last.
pub(crate) struct Inner {
    public: Arc<Public>,
    turns: Arc<Turns>,
    /// The newest committed view, durable or not; touched only by who has the turn.
    head: Mutex<View>,
    writer: Option<(Arc<Queue>, JoinHandle<()>)>,
    streams: Mutex<Option<Streams>>,
    home: Home,
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the data directory with the tables of all services, creating it where needed, migrating rows of older versions.
    ///
    /// # Panics
    /// Where two of the tables have the same name or row type: a fault of the wiring.
    pub fn open(directory: &Path, tables: Vec<TableDef>) -> Result<Self, Error> {
        let open::Opened { lock, disk, view, window } = open::open(directory, tables)?;
        let public = Arc::new(Public { view: view.clone().into(), window: Arc::new(window) });
        let queue = Arc::new(Queue::new(view.sequence));
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn({
            let (queue, public) = (queue.clone(), public.clone());
            move || queue.run(&disk, &public)
        });
        let thread = thread.map_err(Error::disk)?;
        Ok(Self::with(public, view, Some((queue, thread)), Home::Directory(directory.to_owned()), Some(lock)))
    }

    /// An empty store in memory, for simulation and tests. Its commits are published at once and its tickets are ready.
    pub fn in_memory(tables: Vec<TableDef>) -> Self {
        let view = View::empty(Arc::new(crate::view::Schema::new(tables)));
        let window = Arc::new(crate::feed::Window::new(0, std::collections::VecDeque::new()));
        let public = Arc::new(Public { view: view.clone().into(), window });
        Self::with(public, view, None, Home::Memory, None)
    }

    fn with(
        public: Arc<Public>,
        head: View,
        writer: Option<(Arc<Queue>, JoinHandle<()>)>,
        home: Home,
        lock: Option<Lock>,
    ) -> Self {
        let (head, turns) = (Mutex::new(head), Arc::default());
        Self(Arc::new(Inner { public, turns, head, writer, streams: Mutex::default(), home, _lock: lock }))
    }

    /// A snapshot of the newest durable state.
    pub fn view(&self) -> View {
        self.0.public.view()
    }

    /// Begins the write transaction, waiting for the one before to end.
    ///
    /// # Panics
    /// Where this very thread holds a transaction already, as it would wait for itself.
    pub fn begin(&self) -> Tx {
        if let Some((queue, _)) = &self.0.writer {
            queue.wait_for_room();
        }
        let turn = Turns::take(&self.0.turns);
        let view = self.0.head().clone();
        Tx::new(self.0.clone(), view, turn)
    }

    /// A subscription that hears of all commits from now on: the first is the one after `view().sequence()`.
    pub fn subscribe(&self) -> Feed {
        self.subscribe_after(self.view().sequence())
    }

    /// A subscription that hears of all commits after `sequence`, or first of having lagged, where they are out of the window.
    pub fn subscribe_after(&self, sequence: u64) -> Feed {
        Feed::new(&self.0.public.window, sequence)
    }

    /// The commits after `sequence`, oldest first, also those of before a restart.
    pub fn changes_since(&self, sequence: u64) -> Result<Vec<Arc<Commit>>, TooOld> {
        self.0.public.window.since(sequence)
    }

    /// The event streams. Their file is opened with the first call.
    pub fn streams(&self) -> Result<Streams, Error> {
        let mut streams = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(streams) = &*streams {
            return Ok(streams.clone());
        }
        Ok(streams.insert(Streams::open(&self.0.home)?).clone())
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.view())
    }
}

impl Inner {
    /// Whether commits go to a disk.
    pub(crate) fn is_durable(&self) -> bool {
        self.writer.is_some()
    }

    /// Makes `view` the state that the next transaction begins from, and sends the commit on its way.
    pub(crate) fn submit(&self, view: View, record: Record, commit: Commit, turn: Turn) -> Ticket {
        let sequence = commit.sequence;
        let commit = Arc::new(commit);
        *self.head() = view.clone();
        let ticket = if let Some((queue, _)) = &self.writer {
            let ticket = Ticket::new();
            queue.push(Waiting { view, record, commit, ticket: ticket.clone() });
            ticket
        } else {
            self.public.publish(view, [commit]);
            Ticket::answered(Ok(sequence))
        };
        // Only now: commits must queue in the order of their numbers.
        drop(turn);
        ticket
    }

    /// A ticket for the durability of everything in `view`.
    pub(crate) fn barrier(&self, view: &View, turn: Turn) -> Ticket {
        drop(turn);
        match &self.writer {
            Some((queue, _)) => queue.barrier(view.sequence),
            None => Ticket::answered(Ok(view.sequence)),
        }
    }

    fn head(&self) -> MutexGuard<'_, View> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some((queue, thread)) = self.writer.take() {
            queue.close();
            if thread.join().is_err() {
                tracing::error!("the store's thread panicked");
            }
        }
    }
}

/// Whose turn it is to write.
#[derive(Default)]
struct Turns {
    holder: Mutex<Option<ThreadId>>,
    free: Condvar,
}

/// The right to write, until dropped.
pub(crate) struct Turn(Arc<Turns>);

impl Turns {
    fn take(turns: &Arc<Self>) -> Turn {
        let me = std::thread::current().id();
        let mut holder = turns.holder.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(*holder != Some(me), "this thread began a second transaction within a first, which would wait forever");
        holder = turns.free.wait_while(holder, |holder| holder.is_some()).unwrap_or_else(PoisonError::into_inner);
        *holder = Some(me);
        drop(holder);
        Turn(turns.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.free.notify_one();
    }
}
