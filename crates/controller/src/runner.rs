//! Runs controllers: one task for each that listens to the feed and keeps its queue, and one for each running reconciliation.

use crate::queue::{Pauses, Queue};
use crate::{Controller, Failure, Key, Next};
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Feed, News, Store};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use types::{Clock, Timestamp};

/// What each controller may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many keys of a controller run at once.
    pub concurrency: usize,
    /// The pause after a first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause between failures.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 32, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(30) }
    }
}

/// Running controllers. Dropping it lets them stop: nothing new is started, what runs runs on to its end.
pub struct Runner {
    store: Store,
    clock: Arc<dyn Clock>,
    stop: watch::Sender<bool>,
    workers: Vec<(Arc<Shared>, JoinHandle<()>)>,
}

/// Reconciliations that did not end within the time given, and were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished(pub Vec<(&'static str, Key)>);

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.0.iter().map(|(name, key)| format!("{name} {key}")).collect();
        write!(f, "not finished in time: {}", keys.join(", "))
    }
}

impl std::error::Error for Unfinished {}

/// What a controller's task shares with the runner's handle.
struct Shared {
    controller: Arc<dyn Controller>,
    pauses: Pauses,
    state: Mutex<State>,
    bell: Notify,
    /// Counts the changes of `state`, for those who wait for idleness.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// The last commit whose keys were touched; none before the start's look at all keys.
    seen: Option<u64>,
}

impl Runner {
    /// Starts the controllers, each by going through all its keys. Needs a tokio runtime.
    ///
    /// # Panics
    /// Where two controllers have the same name: a fault of the wiring.
    pub fn start(store: &Store, clock: Arc<dyn Clock>, controllers: Vec<Arc<dyn Controller>>, limits: Limits) -> Self {
        let (stop, stopped) = watch::channel(false);
        let names: std::collections::BTreeSet<_> = controllers.iter().map(|controller| controller.name()).collect();
        assert!(names.len() == controllers.len(), "two controllers have the same name");
        let start = |controller| {
            let pauses = Pauses { first: limits.first_pause, longest: limits.longest_pause };
            let shared = Arc::new(Shared {
                controller,
                pauses,
                state: Mutex::default(),
                bell: Notify::new(),
                changed: watch::Sender::new(0),
            });
            let worker = Worker {
                shared: shared.clone(),
                store: store.clone(),
                clock: clock.clone(),
                concurrency: limits.concurrency.max(1),
                running: JoinSet::new(),
                keys: HashMap::new(),
                resync: None,
            };
            (shared, tokio::spawn(worker.run(stopped.clone())))
        };
        let workers = controllers.into_iter().map(start).collect();
        Self { store: store.clone(), clock: clock.clone(), stop, workers }
    }

    /// Has the named controller reconcile the key, for a reason that the store does not know of. Returns whether there is such a controller.
    pub fn wake(&self, controller: &str, key: Key) -> bool {
        let found = self.workers.iter().find(|(shared, _)| shared.controller.name() == controller);
        if let Some((shared, _)) = found {
            shared.touch([key], self.clock.now(), None);
            shared.bell.notify_one();
        }
        found.is_some()
    }

    /// Waits until every commit of now is heard of, and nothing runs or is about to. Keys that rest (a retry, a later look) do not count.
    pub async fn idle(&self) {
        let mut changes: Vec<_> = self.workers.iter().map(|(shared, _)| shared.changed.subscribe()).collect();
        loop {
            let newest = self.store.view().sequence();
            let mut idle = true;
            for ((shared, worker), changed) in self.workers.iter().zip(&mut changes) {
                while !worker.is_finished() {
                    changed.mark_unchanged();
                    if shared.is_idle(newest) {
                        break;
                    }
                    idle = false;
                    if changed.changed().await.is_err() {
                        break;
                    }
                }
            }
            // One that was idle may have been woken by another's commit meanwhile, so all must be found idle in one go.
            if idle && self.store.view().sequence() == newest {
                return;
            }
        }
    }

    /// Stops: nothing new is started; what runs has `limit` to end and is dropped then. A limit of zero drops it at once.
    pub async fn shutdown(self, limit: Duration) -> Result<(), Unfinished> {
        if !limit.is_zero() {
            let _ = self.stop.send(true);
        }
        let mut late = self.clock.sleep(limit);
        let mut unfinished = Vec::new();
        let mut is_late = false;
        for (shared, mut worker) in self.workers {
            if !is_late {
                is_late = tokio::select! {
                    biased;
                    _ = &mut worker => continue,
                    () = &mut late => true,
                };
            }
            if !worker.is_finished() {
                worker.abort();
                let _ = worker.await;
                let running = shared.state().queue.running();
                unfinished.extend(running.into_iter().map(|key| (shared.controller.name(), key)));
            }
        }
        if unfinished.is_empty() { Ok(()) } else { Err(Unfinished(unfinished)) }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, keys: impl IntoIterator<Item = Key>, now: Timestamp, seen: Option<u64>) {
        let mut state = self.state();
        for key in keys {
            state.queue.touch(key, now, self.pauses);
        }
        state.seen = seen.or(state.seen);
    }

    fn is_idle(&self, newest: u64) -> bool {
        let state = self.state();
        state.queue.busy() == 0 && state.seen.is_some_and(|seen| seen >= newest)
    }
}

/// A controller's task.
struct Worker {
    shared: Arc<Shared>,
    store: Store,
    clock: Arc<dyn Clock>,
    concurrency: usize,
    running: JoinSet<Result<Next, Failure>>,
    keys: HashMap<Id, Key>,
    /// When all keys are to be gone through, because the controller could not tell which.
    resync: Option<Timestamp>,
}

impl Worker {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut feed = self.store.subscribe();
        self.touch_all(Some(feed.seen()));
        loop {
            self.hear_all(&mut feed);
            self.wake_due();
            self.start_ready();
            self.shared.changed.send_modify(|count| *count += 1);
            let wake = self.next_wake();
            let now = self.clock.now();
            tokio::select! {
                biased;
                // An error means that the runner was dropped.
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some(ended) = self.running.join_next_with_id() => self.end(ended),
                () = self.shared.bell.notified() => {}
                () = sleep_until(&*self.clock, now, wake) => {}
                news = feed.next() => match news {
                    News::Closed => break,
                    news => self.hear(&news),
                },
            }
        }
        while let Some(ended) = self.running.join_next_with_id().await {
            self.end(ended);
        }
    }

    fn hear_all(&mut self, feed: &mut Feed) {
        while let Some(news) = feed.try_next() {
            self.hear(&news);
        }
    }

    fn hear(&mut self, news: &News) {
        match news {
            News::Commit(commit) => {
                let (controller, view) = (self.shared.controller.clone(), self.store.view());
                let ours = commit.changes.iter().filter(|change| controller.tables().contains(&change.table));
                let keys = catch_unwind(AssertUnwindSafe(|| {
                    ours.flat_map(|change| controller.keys(&view, change)).collect::<Vec<_>>()
                }));
                if keys.is_err() {
                    self.resync_later("keys");
                }
                self.shared.touch(keys.unwrap_or_default(), self.clock.now(), Some(commit.sequence));
            }
            News::Lagged { newest } => {
                tracing::warn!(
                    controller = self.shared.controller.name(),
                    newest,
                    "fell behind the change feed; going through all keys"
                );
                self.touch_all(Some(*newest));
            }
            News::Closed => {}
        }
    }

    fn touch_all(&mut self, seen: Option<u64>) {
        self.resync = None;
        let (controller, view) = (self.shared.controller.clone(), self.store.view());
        let keys = catch_unwind(AssertUnwindSafe(|| controller.all_keys(&view)));
        if keys.is_err() {
            self.resync_later("all_keys");
        }
        self.shared.touch(keys.unwrap_or_default(), self.clock.now(), seen);
    }

    fn resync_later(&mut self, what: &str) {
        let at = self.clock.now().plus(self.shared.pauses.longest);
        self.resync = Some(self.resync.map_or(at, |before| before.min(at)));
        tracing::error!(
            controller = self.shared.controller.name(),
            what,
            "panicked; going through all keys after a pause"
        );
    }

    fn wake_due(&mut self) {
        let now = self.clock.now();
        if self.resync.is_some_and(|at| at <= now) {
            self.touch_all(None);
        }
        self.shared.state().queue.wake(now);
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let rest = self.shared.state().queue.next_wake();
        rest.into_iter().chain(self.resync).min()
    }

    fn start_ready(&mut self) {
        while self.running.len() < self.concurrency {
            let Some(key) = self.shared.state().queue.start() else { return };
            let (controller, task_key) = (self.shared.controller.clone(), key.clone());
            let task = self.running.spawn(async move { controller.reconcile(&task_key).await });
            self.keys.insert(task.id(), key);
        }
    }

    fn end(&mut self, ended: Result<(Id, Result<Next, Failure>), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(why) => (why.id(), Err(Failure::new(panic_text(why)))),
        };
        let Some(key) = self.keys.remove(&id) else { return };
        let name = self.shared.controller.name();
        let (next, why) = match result {
            Ok(next) => (Some(next), None),
            Err(why) => (None, Some(why)),
        };
        let pause = self.shared.state().queue.end(key.clone(), next, self.clock.now(), self.shared.pauses, name);
        if let Some(why) = why {
            tracing::warn!(controller = name, %key, %why, ?pause, "reconciliation failed");
        }
    }
}

async fn sleep_until(clock: &dyn Clock, now: Timestamp, wake: Option<Timestamp>) {
    match wake {
        Some(wake) => clock.sleep(wake.since(now)).await,
        None => std::future::pending().await,
    }
}

fn panic_text(why: JoinError) -> String {
    let Ok(payload) = why.try_into_panic() else { return "was dropped".to_owned() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}
