//! Verdicts as they fall, for those who follow them: `windtunnel trace`.
//!
//! As long as somebody follows a VPC, its router tells of each verdict, and one task hears it. With the last follower the
//! router's rules for that go, and nothing of it stays: who is killed while following is missed within two seconds.

use explain::trace::{Lens, Told, Verdict, Wanted};
use fabric::{Fabric, Listener};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use netplan::NetworkState;
use netplan::verdicts::{GROUP, Outcome, Seen};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Store, View};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{JoinHandle, block_in_place};
use types::id::VpcId;
use types::{Clock, Timestamp};
use vpc::controller::{Traced, network_state};

/// How often it is looked which routers there are.
const LOOK: Duration = Duration::from_millis(250);
/// How often a follower hears something, so that one who is gone is noticed.
const BEAT: Duration = Duration::from_secs(1);
/// How many verdicts a follower may be behind.
const BEHIND: usize = 4096;

/// What a router told.
struct Event {
    at: Timestamp,
    vpc: VpcId,
    /// None: some were lost, since they came too fast.
    told: Option<fabric::Told>,
}

/// Who follows which VPCs; none is all of them.
type Followers = BTreeMap<u64, Option<VpcId>>;

/// Hears the routers, and tells the followers.
pub(crate) struct Verdicts {
    store: Store,
    fabric: Arc<Fabric>,
    clock: Arc<dyn Clock>,
    traced: Arc<Traced>,
    followers: watch::Sender<Followers>,
    /// None once the server stops.
    events: Mutex<Option<broadcast::Sender<Arc<Event>>>>,
}

/// A router that is heard, until this is dropped.
struct Hearing {
    of: u64,
    task: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Verdicts {
    /// Nobody follows yet.
    pub(crate) fn new(store: Store, fabric: Arc<Fabric>, clock: Arc<dyn Clock>, traced: Arc<Traced>) -> Arc<Self> {
        let (followers, _) = watch::channel(Followers::new());
        let events = Mutex::new(Some(broadcast::channel(BEHIND).0));
        Arc::new(Self { store, fabric, clock, traced, followers, events })
    }

    /// Hears those routers that somebody follows; `wake` has the network's controller look at what is traced. Runs until it
    /// is dropped.
    pub(crate) async fn run(self: Arc<Self>, wake: impl Fn()) {
        let mut followers = self.followers.subscribe();
        let mut hearing: HashMap<VpcId, Hearing> = HashMap::new();
        loop {
            let asked = followers.borrow_and_update().clone();
            let wanted = self.vpcs(&asked);
            if self.traced.set(wanted.clone()) {
                wake();
            }
            // A router that was made anew has the name of the old one.
            let identity = |vpc: &VpcId| self.fabric.netns_identity(&netplan::router_netns(vpc));
            hearing.retain(|vpc, heard| {
                wanted.contains(vpc) && !heard.task.is_finished() && identity(vpc) == Some(heard.of)
            });
            for vpc in wanted {
                let Some(of) = identity(&vpc).filter(|_| !hearing.contains_key(&vpc)) else { continue };
                match block_in_place(|| self.fabric.listen_verdicts(&netplan::router_netns(&vpc), GROUP)) {
                    Ok(listener) => {
                        let stop = Arc::new(AtomicBool::new(false));
                        let (own, name, stopped) = (self.clone(), vpc.clone(), stop.clone());
                        let task = tokio::task::spawn_blocking(move || own.hear(&name, listener, &stopped));
                        hearing.insert(vpc, Hearing { of, task, stop });
                    }
                    // It is not there yet, or who heard it before has not stopped yet.
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ResourceBusy) => {}
                    Err(error) => tracing::warn!(%vpc, %error, "its verdicts cannot be heard"),
                }
            }
            let news = async {
                if asked.is_empty() {
                    return followers.changed().await.is_ok();
                }
                tokio::select! {
                    changed = followers.changed() => changed.is_ok(),
                    () = self.clock.sleep(LOOK) => true,
                }
            };
            if !news.await {
                return;
            }
        }
    }

    /// The VPCs that somebody follows.
    fn vpcs(&self, followers: &Followers) -> BTreeSet<VpcId> {
        if followers.values().any(Option::is_none) {
            return self.store.view().scan_all::<vpc::rows::Vpc>().map(|(_, row)| row.id.clone()).collect();
        }
        followers.values().flatten().cloned().collect()
    }

    /// Hears a router until that fails, or nobody follows it any more. Waits on a thread of its own.
    fn hear(&self, vpc: &VpcId, mut listener: Listener, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let told = match listener.hear(LOOK) {
                Ok(told) => told,
                Err(error) => {
                    tracing::warn!(%vpc, %error, "its verdicts are heard no more");
                    return;
                }
            };
            let at = self.clock.now();
            let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(events) = events.as_ref() else { return };
            for told in told {
                // Nobody who hears it is no error: followers come and go.
                let _ = events.send(Arc::new(Event { at, vpc: vpc.clone(), told }));
            }
        }
    }

    /// Ends all that is followed.
    pub(crate) fn close(&self) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A page that goes on as long as somebody reads it: a verdict a line, and empty lines in between.
    pub(crate) fn follow(self: &Arc<Self>, wanted: Wanted) -> Result<gateway::Body, explain::Error> {
        let lens = wanted.lens(&self.store.view())?;
        let (lines, mut read) = mpsc::channel::<String>(64);
        let events =
            self.events.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(broadcast::Sender::subscribe);
        if let Some(events) = events {
            let follower = Follower::new(self.clone(), lens, wanted);
            tokio::spawn(follower.feed(events, lines));
        }
        let frames = futures_util::stream::poll_fn(move |cx| {
            read.poll_recv(cx).map(|line| line.map(|line| Ok::<_, Infallible>(Frame::data(Bytes::from(line)))))
        });
        Ok(StreamBody::new(frames).map_err(|never| -> io::Error { match never {} }).boxed())
    }
}

/// The network at a time, which many verdicts fall in.
struct Scene {
    sequence: u64,
    view: View,
    state: NetworkState,
}

/// One who follows.
struct Follower {
    verdicts: Arc<Verdicts>,
    id: u64,
    wanted: Wanted,
    lens: Lens,
    scene: Option<Scene>,
}

impl Follower {
    fn new(verdicts: Arc<Verdicts>, lens: Lens, wanted: Wanted) -> Self {
        let mut id = 0;
        verdicts.followers.send_modify(|followers| {
            id = followers.last_key_value().map_or(0, |(last, _)| last + 1);
            followers.insert(id, lens.vpc.clone());
        });
        Self { verdicts, id, wanted, lens, scene: None }
    }

    /// Writes lines until nobody reads them, or the server stops.
    async fn feed(mut self, mut events: broadcast::Receiver<Arc<Event>>, lines: mpsc::Sender<String>) {
        let clock = self.verdicts.clock.clone();
        let mut line = Some("\n".to_owned());
        loop {
            if let Some(line) = line.take()
                && lines.send(line).await.is_err()
            {
                return;
            }
            line = tokio::select! {
                event = events.recv() => match event {
                    // Names and rules are looked up, which takes a moment in a large network.
                    Ok(event) => block_in_place(|| self.line(&event)),
                    Err(RecvError::Lagged(lost)) => Some(format!("{}\n", json!({ "lost": lost }))),
                    Err(RecvError::Closed) => return,
                },
                () = clock.sleep(BEAT) => Some("\n".to_owned()),
                () = lines.closed() => return,
            };
        }
    }

    fn line(&mut self, event: &Event) -> Option<String> {
        if self.lens.vpc.as_ref().is_some_and(|vpc| *vpc != event.vpc) {
            return None;
        }
        let Some(told) = &event.told else { return Some(format!("{}\n", json!({ "lost": null }))) };
        let told = Told {
            at: event.at,
            vpc: &event.vpc,
            outcome: Outcome::named(&told.name)?,
            from: told.from.as_deref(),
            to: told.to.as_deref(),
            seen: Seen::read(&told.packet)?,
        };
        let Scene { view, state, .. } = self.scene();
        let verdict = Verdict::of(&told, view, state);
        self.lens.shows(&verdict).then(|| format!("{}\n", json!(verdict)))
    }

    /// The network as it is now.
    fn scene(&mut self) -> &Scene {
        let Verdicts { store, fabric, .. } = &*self.verdicts;
        let view = store.view();
        let scene = self.scene.take().filter(|scene| scene.sequence == view.sequence());
        let scene = scene.unwrap_or_else(|| {
            // Tasks of a service come and go; what is not there any more is shown as long as it lasts.
            if let Ok(lens) = self.wanted.lens(&view) {
                self.lens = lens;
            }
            Scene { sequence: view.sequence(), state: network_state(&view, fabric.ground()), view }
        });
        self.scene.insert(scene)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.verdicts.followers.send_modify(|followers| {
            followers.remove(&self.id);
        });
    }
}
