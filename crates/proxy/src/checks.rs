//! Health checks: each node checks each of its targets, over its own network.
//!
//! One task a node and target. The verdicts go to the [`NodeView`]s, where the workers see them at once.

use crate::buffer::Buffer;
use crate::h1::exchange::poll_answer;
use crate::h1::response::Answer;
use crate::plan::groups_of;
use crate::shared::{NodePlace, NodeView, Snapshot, is_active};
use crate::upstream::{self, NoConnection};
use routing::config::{HealthCheck, Node};
use routing::health::{Phase, State, aggregate};
use routing::{CheckResult, HealthState, TargetHealth, health};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The first check comes after no more than this, and no more than an interval.
const FIRST: Duration = Duration::from_millis(500);

/// A target of a group.
pub(crate) type TargetKey = (String, SocketAddr);

/// All checks that are under way.
pub(crate) struct Checks {
    tasks: HashMap<(TargetKey, Node), Task>,
    reported: BTreeMap<TargetKey, TargetHealth>,
    changed: mpsc::UnboundedSender<TargetKey>,
}

struct Task {
    settings: Rc<RefCell<HealthCheck>>,
    running: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Checks {
    /// None yet. `changed` is told whose verdict may have changed.
    pub(crate) fn new(changed: mpsc::UnboundedSender<TargetKey>) -> Self {
        Self { tasks: HashMap::new(), reported: BTreeMap::new(), changed }
    }

    /// What was last reported of each target.
    pub(crate) fn reported(&self) -> &BTreeMap<TargetKey, TargetHealth> {
        &self.reported
    }

    /// Checks what the snapshot has, and nothing else. The targets whose report has changed thereby.
    pub(crate) fn sync(&mut self, snapshot: &Snapshot) -> Vec<TargetKey> {
        let mut wanted = HashSet::new();
        let mut targets = HashSet::new();
        for (arn, place) in uses(snapshot) {
            let Some(group) = snapshot.groups.get(&arn) else { continue };
            let settings = &group.config.health_check;
            for (target, life) in group.targets.iter().filter(|(target, _)| is_active(target)) {
                let key = (arn.clone(), target.id());
                targets.insert(key.clone());
                let view = life.view(&place.node);
                if !settings.enabled {
                    view.set(HealthState::new(settings));
                    continue;
                }
                // whatever was, a check begins anew when it is switched on again
                if view.state().is_none_or(|state| state.phase == Phase::Unchecked) {
                    view.set(HealthState::new(settings));
                }
                let full = (key.clone(), place.node.clone());
                wanted.insert(full.clone());
                if let Some(task) = self.tasks.get(&full).filter(|task| !task.running.is_finished()) {
                    settings.clone_into(&mut task.settings.borrow_mut());
                    continue;
                }
                let shared = Rc::new(RefCell::new(settings.clone()));
                let changed = self.changed.clone();
                let check = run(Rc::clone(&shared), view, place.clone(), target.id(), move || {
                    let _ = changed.send(key.clone());
                });
                let running = tokio::task::spawn_local(check);
                self.tasks.insert(full, Task { settings: shared, running });
            }
        }
        self.tasks.retain(|key, _| wanted.contains(key));
        self.reported.retain(|key, _| targets.contains(key));
        let mut changed: Vec<TargetKey> = targets.into_iter().collect();
        changed.sort();
        changed.retain(|key| self.report(snapshot, key).is_some());
        changed
    }

    /// A target's health, if it is not what was last reported.
    pub(crate) fn report(&mut self, snapshot: &Snapshot, key: &TargetKey) -> Option<TargetHealth> {
        let (arn, address) = key;
        let group = snapshot.groups.get(arn)?;
        let (_, life) = group.targets.iter().find(|(target, _)| target.id() == *address && is_active(target))?;
        let places: Vec<Arc<NodePlace>> =
            uses(snapshot).filter(|(used, _)| used == arn).map(|(_, place)| place).collect();
        let nodes: Vec<&Node> = places.iter().map(|place| &place.node).collect();
        let now = aggregate(life.verdicts(&nodes));
        // a target that was well is not called new when a node is added
        if self.reported.get(key) == Some(&now) {
            return None;
        }
        if now.state != State::Healthy || self.reported.contains_key(key) {
            tracing::info!(target_group = %arn, target = %address, state = now.state.as_str(), "target health");
        }
        self.reported.insert(key.clone(), now.clone());
        Some(now)
    }
}

/// Which group is used from which node.
fn uses(snapshot: &Snapshot) -> impl Iterator<Item = (String, Arc<NodePlace>)> {
    let mut seen = HashSet::new();
    let all = snapshot.endpoints.iter().flat_map(|endpoint| {
        groups_of(&endpoint.listener.config).into_iter().map(|arn| (arn.to_owned(), Arc::clone(&endpoint.node)))
    });
    let once: Vec<_> = all.filter(|(arn, place)| seen.insert((arn.clone(), place.node.clone()))).collect();
    once.into_iter()
}

async fn run(
    settings: Rc<RefCell<HealthCheck>>,
    view: Arc<NodeView>,
    place: Arc<NodePlace>,
    target: SocketAddr,
    changed: impl Fn(),
) {
    let interval = || Duration::from_millis(settings.borrow().interval_ms.max(10));
    let first = interval().min(FIRST);
    tokio::time::sleep(first.mul_f64((crate::clock::random() >> 40) as f64 / (1u64 << 24) as f64)).await;
    let mut next = Instant::now();
    loop {
        let now = settings.borrow().clone();
        let timeout = Duration::from_millis(now.timeout_ms.max(1));
        let result = tokio::time::timeout(timeout, check(&place, target, &now, timeout)).await;
        let result = result.unwrap_or(CheckResult::TimedOut);
        let before = view.state().unwrap_or_else(|| HealthState::new(&now));
        view.set(health::step(before, result, &now));
        changed();
        // the interval runs from start to start, however long an answer takes
        next = (next + interval()).max(Instant::now());
        tokio::time::sleep_until(next).await;
    }
}

/// One check. The connection is closed after it.
async fn check(place: &NodePlace, target: SocketAddr, settings: &HealthCheck, timeout: Duration) -> CheckResult {
    let address = SocketAddr::new(target.ip(), settings.port.unwrap_or(target.port()));
    let mut upstream = match upstream::connect(&place.namespace, address, settings.protocol, timeout).await {
        Ok(upstream) => upstream,
        Err(NoConnection::TimedOut) => return CheckResult::TimedOut,
        Err(NoConnection::Refused | NoConnection::Tls) => return CheckResult::Failed,
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n",
        settings.path
    );
    if upstream.io.write_all(request.as_bytes()).await.is_err() || upstream.io.flush().await.is_err() {
        return CheckResult::Failed;
    }
    let (mut answer, mut buffer) = (Answer::default(), Buffer::default());
    loop {
        if poll_fn(|cx| poll_answer(&mut upstream.io, &mut buffer, &mut answer, cx)).await.is_err() {
            return CheckResult::Failed;
        }
        match answer.status {
            100..200 => {}
            status if settings.matcher.matches(status) => return CheckResult::Passed,
            status => return CheckResult::Mismatch(status),
        }
    }
}
