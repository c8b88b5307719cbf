//! Keeps groups at the number of instances that they are to have.
//!
//! A key is a group. Each time what became of its instances is noted first; then the plan says what to do, and it is done:
//! each launch in a transaction of its own, so that one that fails leaves nothing but its activity. A launch that failed is
//! tried again after a growing pause.

use crate::hooks::{Verdict, verdict};
use crate::plan::{self, Seen, Step, Wanted};
use crate::rows::{Activity, Group, GroupInstance, Hook, Lifecycle, Status, Template, Transition, Unhealthy};
use crate::{AutoScaling, intent, query, texts, waiting};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use model::ec2;
use routing::health::State;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Row, Store, Tx, View};
use types::{ApiError, Clock, Pace, Scope, Timestamp};
use vpc::intent::PublicPool;
use vpc::launch;
use vpc::rows::{Instance, InstanceState, LaunchTemplate};

/// The pause after a launch that failed, which doubles with each further one up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The controller of groups.
pub struct Groups {
    store: Store,
    clock: Arc<dyn Clock>,
    service: AutoScaling,
}

impl Groups {
    /// The controller of `store`'s groups.
    pub fn new(store: Store, clock: Arc<dyn Clock>, pace: Pace, pool: PublicPool) -> Self {
        Self { store, clock, service: AutoScaling { pool, pace } }
    }

    /// Notes what became of a group's instances. Returns when a grace period or the wait for a hook ends.
    fn note(&self, tx: &mut Tx, scope: &Scope, group: &Group, now: Timestamp) -> Option<Duration> {
        let mut soonest: Option<Duration> = None;
        for row in query::instances(tx, scope, &group.name) {
            let instance = tx.get::<Instance>(scope, &row.instance);
            let state = instance.as_ref().map_or(InstanceState::Terminated, |instance| instance.state);
            let left = match (row.lifecycle, state) {
                (lifecycle, InstanceState::Terminated) if lifecycle.is_ending() => {
                    intent::finish(tx, scope, row.activity.as_deref(), Status::Successful, now);
                    tx.delete::<GroupInstance>(scope, &row.instance);
                    None
                }
                (Lifecycle::TerminatingWait, _) => self.await_end(tx, scope, group, &row, now),
                (Lifecycle::Terminating | Lifecycle::TerminatingProceed, _)
                | (Lifecycle::Pending, InstanceState::Pending) => None,
                (Lifecycle::Pending, InstanceState::Running) => {
                    let waits = (row.instance.as_str(), Transition::Launching);
                    if !waiting::begin(tx, scope, self.service.pace, waits, now) {
                        serve(tx, scope, group, &row, now);
                    }
                    // What it waits for is looked at in another turn, as this change asks for one.
                    None
                }
                (Lifecycle::PendingWait, InstanceState::Running) => self.await_start(tx, scope, &row, now),
                (Lifecycle::PendingProceed, InstanceState::Running) => {
                    serve(tx, scope, group, &row, now);
                    None
                }
                (Lifecycle::InService, InstanceState::Running) => self.check(tx, scope, group, &row, now),
                // It was stopped or terminated by somebody else.
                _ => {
                    if group.runs("HealthCheck") {
                        intent::find_unhealthy(tx, scope, &row.instance, Unhealthy::Ec2);
                    }
                    None
                }
            };
            soonest = soonest.into_iter().chain(left).min();
        }
        soonest
    }

    /// An instance that hooks keep from ending. Returns how long they may.
    fn await_end(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        group: &Group,
        row: &GroupInstance,
        now: Timestamp,
    ) -> Option<Duration> {
        match verdict(&row.actions, now) {
            Verdict::Waits(until) if !group.deleting => return Some(until.since(now)),
            Verdict::Waits(_) | Verdict::Proceeds | Verdict::Abandoned { .. } => {}
        }
        proceed(tx, scope, row, Lifecycle::TerminatingProceed, now);
        intent::terminate(tx, scope, &self.service, &row.instance, now);
        None
    }

    /// An instance that hooks keep from serving. Returns how long they may.
    fn await_start(&self, tx: &mut Tx, scope: &Scope, row: &GroupInstance, now: Timestamp) -> Option<Duration> {
        match verdict(&row.actions, now) {
            Verdict::Waits(until) => return Some(until.since(now)),
            Verdict::Proceeds => proceed(tx, scope, row, Lifecycle::PendingProceed, now),
            Verdict::Abandoned { token, timed_out } => {
                let launch = row.activity.clone();
                intent::end(tx, scope, &self.service, row, texts::launch_failed(now), now);
                if let Some(launch) = launch {
                    let message = texts::abandoned(token, timed_out);
                    tx.update::<Activity>(scope, &launch, |row| row.message = Some(message));
                }
                note_failed(tx, scope, &row.group, now);
            }
        }
        None
    }

    /// Hears load balancers on an instance, once its grace period is over. Returns how long that still takes.
    fn check(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        group: &Group,
        row: &GroupInstance,
        now: Timestamp,
    ) -> Option<Duration> {
        if group.health_check != "ELB" || !group.runs("HealthCheck") {
            return None;
        }
        let grace = self.service.pace.scale(Duration::from_secs(group.grace.into()));
        let passed = now.since(row.since);
        if passed < grace {
            return Some(grace.saturating_sub(passed));
        }
        let ill = group.target_groups.iter().any(|arn| {
            let target_group = elb::query::target_group(tx, scope, arn);
            let health = target_group.map(|found| elb::query::target_health(tx, scope, arn, &row.instance, found.port));
            health.is_some_and(|health| health.state == State::Unhealthy)
        });
        if ill {
            intent::find_unhealthy(tx, scope, &row.instance, Unhealthy::Elb);
        }
        None
    }

    /// Ends instances as the plan says, and returns the zones in which it has some launched.
    fn carry_out(&self, tx: &mut Tx, scope: &Scope, group: &Group, now: Timestamp) -> Vec<String> {
        let rows = query::instances(tx, scope, &group.name);
        let alive: Vec<_> = rows.iter().filter(|row| !row.lifecycle.is_ending()).collect();
        let seen: Vec<Seen> = alive.iter().map(|row| seen(tx, scope, group, row)).collect();
        let mut count = seen.len();
        let mut zones = Vec::new();
        for step in plan::plan(&wanted(tx, scope, group), &seen, now) {
            let (id, scaled_in) = match step {
                Step::Launch { zone } => {
                    zones.push(zone);
                    continue;
                }
                Step::Replace { instance } => (instance, false),
                Step::ScaleIn { instance } => (instance, true),
            };
            let Some(row) = alive.iter().find(|row| row.instance == id) else { continue };
            let cause = if scaled_in {
                texts::shrinking(&group.cause, now, (count, count.saturating_sub(1)), &id)
            } else {
                texts::unhealthy(now, row.unhealthy.unwrap_or(Unhealthy::Ec2))
            };
            count = count.saturating_sub(1);
            intent::end(tx, scope, &self.service, row, cause, now);
        }
        zones
    }

    /// Launches an instance of a group in a zone.
    fn launch(&self, tx: &mut Tx, scope: &Scope, group: &Group, zone: &str, now: Timestamp) -> Result<(), ApiError> {
        let subnet = subnet_in(tx, scope, group, zone).ok_or_else(|| texts::bad_zone(zone))?;
        let (request, template) = request(tx, scope, group, &subnet)?;
        let mut wanted = launch::Launch::of(request, Some("autoscaling.amazonaws.com".to_owned()))?;
        for tag in group.tags.iter().filter(|tag| tag.at_launch) {
            wanted.tags.insert(tag.key.clone(), tag.value.clone());
        }
        for (key, value) in [
            ("aws:autoscaling:groupName", &group.name),
            ("aws:ec2launchtemplate:id", &template.id),
            ("aws:ec2launchtemplate:version", template.version.as_ref().unwrap_or(&String::new())),
        ] {
            wanted.tags.insert(key.to_owned(), value.clone());
        }
        let launched = launch::launch(tx, scope, &self.service.pool, now, &wanted)?;
        let instance = launched.instances.first().ok_or_else(ApiError::internal)?;
        let alive = query::instances(tx, scope, &group.name);
        let alive = alive.iter().filter(|row| !row.lifecycle.is_ending()).count();
        let cause = texts::growing(&group.cause, now, (alive, alive + 1));
        let description = texts::launching(Some(instance.id.as_str()));
        let activity = intent::begin(tx, scope, &group.name, description, cause, now);
        let row = GroupInstance {
            instance: instance.id.to_string(),
            group: group.name.clone(),
            zone: instance.zone.clone(),
            kind: instance.kind.clone(),
            template,
            lifecycle: Lifecycle::Pending,
            since: now,
            launched: now,
            unhealthy: None,
            protected: group.protect_new,
            activity: Some(activity.id.clone()),
            actions: Vec::new(),
        };
        tx.put(scope, row);
        intent::place(tx, scope, &activity, instance.id.as_str());
        // One that has hooks may still fail.
        if query::hooks(tx, scope, &group.name).iter().all(|hook| hook.transition != Transition::Launching) {
            tx.update::<Group>(scope, &group.name, |group| group.failed = None);
        }
        Ok(())
    }

    /// Notes that a launch failed.
    fn note_failure(tx: &mut Tx, scope: &Scope, group: &Group, error: &ApiError, now: Timestamp) {
        let alive = query::instances(tx, scope, &group.name);
        let alive = alive.iter().filter(|row| !row.lifecycle.is_ending()).count();
        let cause = texts::growing(&group.cause, now, (alive, alive + 1));
        let activity = intent::begin(tx, scope, &group.name, texts::launching(None), cause, now);
        tx.update::<Activity>(scope, &activity.id, |row| {
            (row.status, row.ended) = (Status::Failed, Some(now));
            row.message = Some(format!("{}. Launching EC2 instance failed.", error.message.trim_end_matches('.')));
        });
        note_failed(tx, scope, &group.name, now);
    }

    /// How long a group's launches rest after one that failed.
    fn pause(&self, group: &Group, now: Timestamp) -> Option<Duration> {
        let (at, times) = group.failed?;
        let pause = FIRST_PAUSE.saturating_mul(1 << times.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
        let left = self.service.pace.scale(pause).saturating_sub(now.since(at));
        (!left.is_zero()).then_some(left)
    }

    /// Launches in all of `zones`, until one fails. Returns how long to wait then.
    async fn launch_all(&self, key: &Key, zones: Vec<String>) -> Result<Option<Duration>, Failure> {
        for zone in zones {
            let now = self.clock.now();
            let outcome = {
                let mut tx = self.store.begin();
                let Some(group) = query::group(&tx, &key.scope, &key.id) else { return Ok(None) };
                if let Some(left) = self.pause(&group, now) {
                    return Ok(Some(left));
                }
                // Somebody may want fewer by now.
                let alive = query::instances(&tx, &key.scope, &key.id);
                let alive = alive.iter().filter(|row| !row.lifecycle.is_ending()).count();
                if alive >= group.desired as usize || group.deleting {
                    return Ok(None);
                }
                self.launch(&mut tx, &key.scope, &group, &zone, now).map(|()| tx.commit())
            };
            match outcome {
                Ok(ticket) => drop(ticket.await?),
                Err(error) => {
                    let (ticket, left) = {
                        let mut tx = self.store.begin();
                        let Some(group) = query::group(&tx, &key.scope, &key.id) else { return Ok(None) };
                        Self::note_failure(&mut tx, &key.scope, &group, &error, now);
                        let group = query::group(&tx, &key.scope, &key.id);
                        let left = group.and_then(|group| self.pause(&group, now));
                        (tx.commit(), left)
                    };
                    ticket.await?;
                    return Ok(left);
                }
            }
        }
        Ok(None)
    }
}

/// Launches of a group rest now, and the longer the oftener they have failed.
fn note_failed(tx: &mut Tx, scope: &Scope, group: &str, now: Timestamp) {
    tx.update::<Group>(scope, group, |row| {
        row.failed = Some((now, row.failed.map_or(1, |(_, times)| times.saturating_add(1))));
    });
}

/// An instance serves from now on.
fn serve(tx: &mut Tx, scope: &Scope, group: &Group, row: &GroupInstance, now: Timestamp) {
    intent::finish(tx, scope, row.activity.as_deref(), Status::Successful, now);
    tx.update::<GroupInstance>(scope, &row.instance, |row| {
        (row.lifecycle, row.since, row.activity) = (Lifecycle::InService, now, None);
    });
    if row.lifecycle == Lifecycle::PendingProceed {
        // Only now has its launch not failed.
        tx.update::<Group>(scope, &group.name, |group| group.failed = None);
    }
    if group.runs("AddToLoadBalancer") {
        intent::register(tx, scope, row, group, now);
    }
}

/// The hooks have let an instance go on.
fn proceed(tx: &mut Tx, scope: &Scope, row: &GroupInstance, lifecycle: Lifecycle, now: Timestamp) {
    tx.update::<GroupInstance>(scope, &row.instance, |row| {
        (row.lifecycle, row.since) = (lifecycle, now);
        row.actions.clear();
    });
    if let Some(activity) = &row.activity {
        tx.update::<Activity>(scope, activity, |row| row.status = Status::InProgress);
    }
}

fn wanted(view: &View, scope: &Scope, group: &Group) -> Wanted {
    let (mut zones, mut open): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for subnet in group.subnets.iter().filter_map(|id| vpc::query::subnet(view, scope, id)) {
        if !zones.contains(&subnet.zone) {
            zones.push(subnet.zone.clone());
        }
        if vpc::query::free_addresses(view, scope, &subnet) > 0 {
            open.push(subnet.zone.clone());
        }
    }
    Wanted {
        count: if group.deleting { 0 } else { group.desired as usize },
        full: zones.iter().filter(|zone| !open.contains(zone)).cloned().collect(),
        zones,
        policies: group.termination_policies.clone(),
        launch: group.runs("Launch") && !group.deleting,
        terminate: group.runs("Terminate") || group.deleting,
        replace: group.runs("ReplaceUnhealthy") || group.deleting,
    }
}

fn seen(view: &View, scope: &Scope, group: &Group, row: &GroupInstance) -> Seen {
    // One of another template is older than any of the group's own.
    let same = row.template.id == group.template.id;
    let version = row.template.version.as_ref().and_then(|version| version.parse().ok()).filter(|_| same);
    let over = vpc::query::instance(view, scope, &row.instance).is_none_or(|instance| instance.state.is_over());
    Seen {
        instance: row.instance.clone(),
        zone: row.zone.clone(),
        healthy: row.unhealthy.is_none() && !(group.deleting && over),
        // Protection is from scale-in; the group's end is none.
        protected: row.protected && !group.deleting,
        launched: row.launched,
        version: version.unwrap_or_default(),
    }
}

/// The group's subnet in a zone: of several, the one with most free addresses.
fn subnet_in(view: &View, scope: &Scope, group: &Group, zone: &str) -> Option<String> {
    let subnets = group.subnets.iter().filter_map(|id| vpc::query::subnet(view, scope, id));
    let found = subnets.filter(|row| row.zone == zone);
    let found = found.max_by_key(|row| vpc::query::free_addresses(view, scope, row));
    found.map(|row| row.id.to_string())
}

/// What a group asks of EC2 for one instance, and the template's version that says so.
pub(crate) fn request(
    view: &View,
    scope: &Scope,
    group: &Group,
    subnet: &str,
) -> Result<(ec2::RunInstancesRequest, Template), ApiError> {
    let found = view.get::<LaunchTemplate>(scope, &group.template.id);
    let template = Template {
        version: found
            .and_then(|row| row.version(group.template.version.as_deref()).map(|version| version.number.to_string())),
        ..group.template.clone()
    };
    let asked = ec2::RunInstancesRequest {
        min_count: 1,
        max_count: 1,
        launch_template: Some(ec2::LaunchTemplateSpecification {
            launch_template_id: Some(group.template.id.clone()),
            version: group.template.version.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut request = launch::complete(view, scope, asked)?;
    // The group says where: on the template's primary interface, where it has interfaces.
    let interfaces = request.network_interfaces.iter_mut().flatten();
    let mut primary = interfaces.filter(|one| one.device_index.unwrap_or_default() == 0);
    match primary.next() {
        Some(primary) => primary.subnet_id = Some(subnet.to_owned()),
        None => request.subnet_id = Some(subnet.to_owned()),
    }
    Ok((request, template))
}

#[async_trait]
impl Controller for Groups {
    fn name(&self) -> &'static str {
        "autoscaling.groups"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Group::TABLE, GroupInstance::TABLE, Instance::TABLE, elb::rows::Target::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let scope = &change.scope;
        let key = |group: &str| vec![Key::new(scope, group)];
        if change.table == Group::TABLE {
            return key(&change.id);
        }
        if change.table == elb::rows::Target::TABLE {
            let heard = |group: &&Arc<Group>| {
                group.health_check == "ELB" && group.target_groups.iter().any(|arn| change.id.starts_with(arn.as_str()))
            };
            return view.scan::<Group>(scope).filter(heard).map(|group| Key::new(scope, group.name.clone())).collect();
        }
        let row = query::instance(view, scope, &change.id).or_else(|| change.before::<GroupInstance>());
        row.map(|row| key(&row.group)).unwrap_or_default()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<Group>().map(|(scope, group)| Key::new(scope, group.name.clone())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let now = self.clock.now();
        let (ticket, zones, soonest) = {
            let mut tx = self.store.begin();
            let Some(group) = query::group(&tx, &key.scope, &key.id) else { return Ok(Next::Done) };
            let soonest = self.note(&mut tx, &key.scope, &group, now);
            let zones = self.carry_out(&mut tx, &key.scope, &group, now);
            if group.deleting && query::instances(&tx, &key.scope, &key.id).is_empty() {
                for activity in query::activities(&tx, &key.scope, &key.id) {
                    tx.delete::<Activity>(&key.scope, &activity.id);
                }
                for hook in query::hooks(&tx, &key.scope, &key.id) {
                    tx.delete::<Hook>(&key.scope, &hook.id());
                }
                tx.delete::<Group>(&key.scope, &key.id);
            }
            (tx.commit(), zones, soonest)
        };
        ticket.await?;
        let pause = self.launch_all(key, zones).await?;
        Ok(soonest.into_iter().chain(pause).min().map_or(Next::Done, Next::After))
    }
}
