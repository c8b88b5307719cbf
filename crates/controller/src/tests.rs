use crate::{Controller, Failure, Key, Limits, Next, Runner, Unfinished};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Change, Row, Store, TableDef, View};
use tokio::sync::Semaphore;
use types::{Clock, Scope, SimClock, Timestamp};

#[derive(Serialize, Deserialize)]
struct Thing {
    id: String,
    size: u32,
}

impl Row for Thing {
    const TABLE: &'static str = "thing";

    fn id(&self) -> Cow<'_, str> {
        (&self.id).into()
    }
}

/// What a reconciliation is to do, in turn; `Next::Done` when nothing is told.
enum Act {
    Next(Next),
    Fail,
    Panic,
    /// Wait for the gate to be opened.
    Wait,
}

struct Probe {
    clock: SimClock,
    acts: Mutex<VecDeque<Act>>,
    gate: Semaphore,
    ran: Mutex<Vec<(i64, String)>>,
    now_running: Mutex<Vec<String>>,
    most_running: Mutex<usize>,
}

#[async_trait]
impl Controller for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["thing"]
    }

    fn keys(&self, _: &View, change: &Change) -> Vec<Key> {
        vec![Key::new(&change.scope, &*change.id)]
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Thing>().map(|(scope, thing)| Key::new(scope, &thing.id)).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        self.ran.lock().expect("lock").push((self.clock.now().millis(), key.id.clone()));
        {
            let mut running = self.now_running.lock().expect("lock");
            assert!(!running.contains(&key.id), "{key} runs twice at once");
            running.push(key.id.clone());
            let mut most = self.most_running.lock().expect("lock");
            *most = running.len().max(*most);
        }
        let act = self.acts.lock().expect("lock").pop_front();
        if matches!(act, Some(Act::Wait)) {
            self.gate.acquire().await.map_err(Failure::new)?.forget();
        }
        self.now_running.lock().expect("lock").retain(|id| *id != key.id);
        match act {
            Some(Act::Next(next)) => Ok(next),
            Some(Act::Fail) => Err(Failure::new("told to fail")),
            Some(Act::Panic) => panic!("told to panic"),
            _ => Ok(Next::Done),
        }
    }
}

struct Bench {
    clock: SimClock,
    store: Store,
    probe: Arc<Probe>,
}

impl Bench {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let clock = SimClock::new(Timestamp(0));
        let probe = Probe {
            clock: clock.clone(),
            acts: Mutex::new(acts.into_iter().collect()),
            gate: Semaphore::new(0),
            ran: Mutex::default(),
            now_running: Mutex::default(),
            most_running: Mutex::default(),
        };
        Self { clock, store: Store::in_memory(vec![TableDef::of::<Thing>()]), probe: Arc::new(probe) }
    }

    fn start(&self, limits: Limits) -> Runner {
        Runner::start(&self.store, Arc::new(self.clock.clone()), vec![self.probe.clone()], limits)
    }

    fn put(&self, id: &str) {
        let mut tx = self.store.begin();
        tx.put(&Scope::default(), Thing { id: id.to_owned(), size: 1 });
        tx.commit().wait_blocking().expect("commits");
    }

    fn ran(&self) -> Vec<String> {
        self.probe.ran.lock().expect("lock").iter().map(|(_, id)| id.clone()).collect()
    }

    fn times(&self) -> Vec<i64> {
        self.probe.ran.lock().expect("lock").iter().map(|(at, _)| *at).collect()
    }

    /// Lets all tasks go as far as they can.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Goes from deadline to deadline until the time given.
    async fn advance_to(&self, runner: &Runner, until: i64) {
        loop {
            runner.idle().await;
            let now = self.clock.now().millis();
            let next = self.clock.next_deadline().map_or(until, |at| at.millis().min(until));
            self.clock.advance(Duration::from_millis(u64::try_from(next - now).expect("forward")));
            self.settle().await;
            if next == until {
                return runner.idle().await;
            }
        }
    }
}

#[tokio::test]
async fn all_keys_run_at_the_start_and_each_change_after() {
    let bench = Bench::new([]);
    bench.put("a");
    bench.put("b");
    let runner = bench.start(Limits::default());
    runner.idle().await;
    assert_eq!(bench.ran(), ["a", "b"]);
    bench.put("c");
    let mut tx = bench.store.begin();
    tx.delete::<Thing>(&Scope::default(), "a");
    tx.commit().await.expect("commits");
    runner.idle().await;
    assert_eq!(bench.ran()[2..], ["c", "a"]);
    assert!(runner.wake("probe", Key::new(&Scope::default(), "d")));
    runner.idle().await;
    assert_eq!(bench.ran()[4..], ["d"]);
    assert!(!runner.wake("nobody", Key::new(&Scope::default(), "d")));
}

#[tokio::test]
async fn failures_and_panics_are_retried_with_growing_pauses_that_repeat_exactly() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let bench = Bench::new([Act::Fail, Act::Panic, Act::Fail, Act::Fail]);
        bench.put("a");
        let runner = bench.start(Limits::default());
        bench.advance_to(&runner, 60_000).await;
        runs.push(bench.times());
    }
    let pauses: Vec<_> = runs[0].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses.len(), 4, "four failures, then success: {pauses:?}");
    for (pause, whole) in pauses.iter().zip([100, 200, 400, 800]) {
        assert!(
            (whole * 3 / 4..=whole).contains(pause),
            "a pause of {pause} ms where {whole} less a quarter are right"
        );
    }
    assert_eq!(runs[0], runs[1], "the jitter differs from run to run");
}

#[tokio::test]
async fn a_key_comes_back_after_the_time_it_asked_for_or_sooner_if_touched() {
    let minute = Duration::from_mins(1);
    let bench = Bench::new([Act::Next(Next::After(minute)), Act::Next(Next::After(minute))]);
    bench.put("a");
    let runner = bench.start(Limits::default());
    bench.advance_to(&runner, 59_999).await;
    assert_eq!(bench.times(), [0]);
    bench.advance_to(&runner, 60_000).await;
    assert_eq!(bench.times(), [0, 60_000]);
    bench.put("a");
    runner.idle().await;
    bench.advance_to(&runner, 200_000).await;
    assert_eq!(bench.times(), [0, 60_000, 60_000], "the touch did not replace the later look");
}

#[tokio::test]
async fn a_failing_key_that_touches_itself_does_not_spin() {
    let bench = Bench::new((0..1000).map(|_| Act::Fail));
    bench.put("a");
    let runner = bench.start(Limits::default());
    for at in 1..=100 {
        bench.put("a");
        bench.advance_to(&runner, at * 10).await;
    }
    let ran = bench.ran().len();
    assert!((5..=20).contains(&ran), "{ran} retries in a second of constant touching");
}

#[tokio::test]
async fn a_key_touched_while_it_runs_runs_once_more_and_never_beside_itself() {
    let bench = Bench::new([Act::Wait]);
    bench.put("a");
    let runner = bench.start(Limits::default());
    bench.settle().await;
    bench.put("a");
    bench.put("a");
    bench.settle().await;
    assert_eq!(bench.ran(), ["a"], "it still runs");
    bench.probe.gate.add_permits(1);
    runner.idle().await;
    assert_eq!(bench.ran(), ["a", "a"]);
}

#[tokio::test]
async fn no_more_keys_run_at_once_than_allowed() {
    let bench = Bench::new((0..10).map(|_| Act::Wait));
    (0..10).for_each(|id| bench.put(&id.to_string()));
    let runner = bench.start(Limits { concurrency: 3, ..Limits::default() });
    bench.settle().await;
    assert_eq!(bench.ran().len(), 3);
    bench.probe.gate.add_permits(10);
    runner.idle().await;
    assert_eq!(bench.ran().len(), 10);
    assert_eq!(*bench.probe.most_running.lock().expect("lock"), 3);
}

#[tokio::test]
async fn shutdown_waits_for_what_runs_and_names_what_did_not_end() {
    let bench = Bench::new([Act::Wait]);
    bench.put("a");
    let runner = bench.start(Limits::default());
    bench.settle().await;
    bench.probe.gate.add_permits(1);
    assert_eq!(runner.shutdown(Duration::from_secs(5)).await, Ok(()));

    let bench = Bench::new([Act::Wait]);
    bench.put("a");
    let runner = bench.start(Limits::default());
    bench.settle().await;
    let shutdown = tokio::spawn(runner.shutdown(Duration::from_secs(5)));
    bench.settle().await;
    assert!(!shutdown.is_finished(), "it did not wait");
    bench.clock.advance(Duration::from_secs(5));
    let late = Unfinished(vec![("probe", Key::new(&Scope::default(), "a"))]);
    assert_eq!(shutdown.await.expect("no panic"), Err(late));
    bench.put("b");
    bench.settle().await;
    assert_eq!(bench.ran(), ["a"], "a stopped controller went on");
}
