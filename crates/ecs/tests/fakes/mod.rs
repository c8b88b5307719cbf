//! The other services, in memory. What they hold survives a "crash" of the controllers, as the real ones' state does.

#![allow(dead_code, reason = "each test file uses a part")]

use async_trait::async_trait;
use ecs::ports::{
    Alarm, Alarms, Credentials, Ec2Instance, EniRequest, Group, Groups, HEARTBEAT, Images, Instance, Instances,
    LogEvent, Logs, Messages, Namespace, Namespaces, Network, Ports, Proxy, Pull, Pulled, Registries, Registry, Roles,
    Secrets, Session, Standing, Subnet, Target, TargetGroup, TargetState, Targets,
};
use ecs::rows::{EniRow, HostRow, LogTarget};
use rollout::TargetHealth;
use runtime::{ImageConfig, ImageSnapshot, LayerRef};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Tx, View};
use types::{Clock, Pace, Scope, SimClock, Timestamp};

/// Everything outside.
pub(crate) struct Outside {
    clock: SimClock,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// By namespace.
    pub enis: BTreeMap<String, Interface>,
    /// The namespaces, by interface.
    namespaces: BTreeMap<String, String>,
    /// Subnets in which nothing is attached.
    pub lost: BTreeSet<String>,
    /// No image can be had.
    pub registry_is_down: bool,
    pub targets: BTreeMap<(String, String, u16), Entry>,
    /// Tasks that service discovery was told of, and whether they are healthy.
    pub told: BTreeMap<String, bool>,
    /// Namespaces of Service Connect, by name.
    pub connect_namespaces: BTreeSet<String>,
    /// Its endpoints, by ARN, with the tasks that are there and their ports.
    pub endpoints: BTreeMap<String, BTreeMap<String, String>>,
    /// The proxy serves nobody.
    pub proxy_is_down: bool,
    pub logs: BTreeMap<String, Vec<(u64, Vec<String>)>>,
    /// Every address whose application never gets healthy.
    pub sick: Vec<String>,
    /// Networks behind instances', by namespace.
    pub behind: BTreeMap<String, HostRow>,
    /// Auto Scaling groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Those of them whose instances wait for ECS before they end.
    pub drained: BTreeSet<String>,
    /// Those that have no room for one more lifecycle hook.
    pub full: BTreeSet<String>,
    /// EC2 instances by id.
    pub instances: BTreeMap<String, Standing>,
    /// Where listener rules lead.
    pub rules: BTreeMap<String, Vec<(String, u32)>>,
    /// The alarms, and whether they are in ALARM.
    pub alarms: BTreeMap<String, bool>,
    next: u32,
}

pub(crate) struct Interface {
    pub row: EniRow,
    at: Timestamp,
    subnet: String,
}

impl State {
    /// Whether the target has been healthy until now, or until it began to leave now.
    pub(crate) fn was_healthy(&self, group: &str, target: &str, now: Timestamp) -> bool {
        let entry = self.targets.get(&(group.to_owned(), target.to_owned(), 3000));
        entry.is_some_and(|entry| now.since(entry.since) >= HEALTHY_AFTER)
    }
}

pub(crate) struct Entry {
    since: Timestamp,
    draining: Option<Timestamp>,
}

pub(crate) const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef";
pub(crate) const REGISTRY: &str = "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-0123456789abcdef";
pub(crate) const GREEN: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/green/0123456789abcdef";
pub(crate) const RULE: &str =
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/web/1/2/production";
pub(crate) const TEST_RULE: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/web/1/3/test";
pub(crate) const SHIFTER: &str = "arn:aws:iam::123456789012:role/shifter";
const HEALTHY_AFTER: Duration = Duration::from_secs(5);
const DRAINED_AFTER: Duration = Duration::from_secs(3);

impl Outside {
    pub(crate) fn new(clock: SimClock) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            network: self.clone(),
            instances: self.clone(),
            groups: self.clone(),
            targets: self.clone(),
            registries: self.clone(),
            namespaces: self.clone(),
            proxy: self.clone(),
            images: self.clone(),
            secrets: self.clone(),
            logs: self.clone(),
            roles: self.clone(),
            alarms: Some(self.clone()),
            messages: self.clone(),
        }
    }

    /// Targets that are still in the group in any way.
    pub(crate) fn targets_left(&self) -> usize {
        let now = self.clock.now();
        let gone = |entry: &Entry| entry.draining.is_some_and(|at| now.since(at) >= DRAINED_AFTER);
        self.state().targets.values().filter(|entry| !gone(entry)).count()
    }
}

impl Groups for Outside {
    fn group(&self, _: &View, _: &Scope, reference: &str) -> Option<Group> {
        Outside::state(self).groups.values().find(|one| one.name == reference || one.arn == reference).cloned()
    }

    fn set_desired(&self, _: &mut Tx, _: &Scope, group: &str, desired: u32, _: String) {
        Outside::state(self).groups.get_mut(group).expect("it is there").desired = desired;
    }

    fn protect(&self, _: &mut Tx, _: &Scope, instance: &str, protected: bool) {
        for group in Outside::state(self).groups.values_mut() {
            for one in group.instances.iter_mut().filter(|one| one.0 == instance) {
                one.1 = protected;
            }
        }
    }

    fn drain(&self, _: &mut Tx, _: &Scope, group: &str, on: bool) -> Result<(), String> {
        let mut state = Outside::state(self);
        if on {
            if state.full.contains(group) && !state.drained.contains(group) {
                return Err("it has too many.".to_owned());
            }
            state.drained.insert(group.to_owned());
        } else {
            state.drained.remove(group);
            state.groups.get_mut(group).expect("it is there").waiting.clear();
        }
        Ok(())
    }

    fn hold(&self, _: &mut Tx, _: &Scope, group: &str, instance: &str, _: Pace, now: Timestamp) {
        let mut state = Outside::state(self);
        let waiting = &mut state.groups.get_mut(group).expect("it is there").waiting;
        for one in waiting.iter_mut().filter(|one| one.instance == instance) {
            one.until = now.plus(Duration::from_secs(HEARTBEAT.into())).min(one.last);
        }
    }

    fn let_go(&self, _: &mut Tx, _: &Scope, group: &str, instance: &str, _: Timestamp) {
        let mut state = Outside::state(self);
        state.groups.get_mut(group).expect("it is there").waiting.retain(|one| one.instance != instance);
        state.instances.insert(instance.to_owned(), Standing::Gone);
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}

#[async_trait]
impl Messages for Outside {
    async fn open(&self, _: &Scope, session: &Session, _: &str, _: &str) -> Result<(), String> {
        if session.role_arn.ends_with("/mute") { Err("not authorized".to_owned()) } else { Ok(()) }
    }
}

#[async_trait]
impl Network for Outside {
    fn subnet(&self, _: &View, _: &Scope, id: &str) -> Option<Subnet> {
        let zone = id.strip_prefix("subnet-")?;
        Some(Subnet { vpc: "vpc-1".to_owned(), zone: format!("us-east-1{zone}") })
    }

    fn group_vpc(&self, _: &View, _: &Scope, id: &str) -> Option<String> {
        (id == "sg-1").then(|| "vpc-1".to_owned())
    }

    fn default_group(&self, _: &View, _: &Scope, _: &str) -> Option<String> {
        Some("sg-0".to_owned())
    }

    fn create(&self, _: &mut Tx, _: &Scope, request: &EniRequest) -> Result<EniRow, String> {
        let mut state = self.state();
        if let Some(interface) = state.enis.get(request.netns) {
            return Ok(interface.row.clone());
        }
        state.next += 1;
        let eni = EniRow {
            id: format!("eni-{:017x}", state.next),
            ip: Ipv4Addr::from(0x0a00_0a04 + state.next),
            ipv6: None,
            mac: "02:00:00:00:00:01".to_owned(),
            private_dns: None,
            vpc: "vpc-1".to_owned(),
            subnet_cidr: "10.0.10.0/24".to_owned(),
            subnet_ipv6_cidr: None,
            dns_servers: vec![Ipv4Addr::new(10, 0, 0, 2)],
            dns_search: vec!["ec2.internal".to_owned()],
        };
        state.namespaces.insert(eni.id.clone(), request.netns.to_owned());
        let subnet = request.placement.subnet.clone();
        state.enis.insert(request.netns.to_owned(), Interface { row: eni.clone(), at: request.now, subnet });
        Ok(eni)
    }

    fn is_attached(&self, _: &View, _: &Scope, eni: &str) -> bool {
        let now = self.clock.now();
        let state = self.state();
        let found = state.namespaces.get(eni).and_then(|netns| state.enis.get(netns));
        found.is_some_and(|it| now.since(it.at) >= Duration::from_millis(500) && !state.lost.contains(&it.subnet))
    }

    async fn await_metadata(&self, _: &str) {}

    fn delete(&self, _: &mut Tx, _: &Scope, eni: &str) {
        let mut state = self.state();
        if let Some(netns) = state.namespaces.remove(eni) {
            state.enis.remove(&netns);
        }
    }

    fn create_behind(&self, _: &mut Tx, _: &Scope, netns: &str, host: &HostRow) {
        self.state().behind.insert(netns.to_owned(), host.clone());
    }

    fn stands_behind(&self, _: &View, _: &Scope, netns: &str) -> bool {
        self.state().behind.contains_key(netns)
    }

    fn delete_behind(&self, _: &mut Tx, _: &Scope, netns: &str) {
        self.state().behind.remove(netns);
    }

    fn netns_path(&self, netns: &str) -> PathBuf {
        PathBuf::from("/run/netns").join(netns)
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}

impl Registries for Outside {
    fn registry(&self, _: &View, _: &Scope, arn: &str) -> Option<Registry> {
        arn.contains(":service/srv-").then_some(Registry {
            namespace: "ns-1".to_owned(),
            needs_port: arn.contains("port"),
            needs_ipv6: false,
            custom_health: true,
        })
    }

    fn namespaces(&self, _: &View, _: &Scope, reference: &str) -> Vec<String> {
        if reference == "corp.local" { vec!["ns-1".to_owned()] } else { vec![] }
    }

    fn register(&self, _: &mut Tx, _: &Scope, arn: &str, instance: Instance<'_>, _: Timestamp) {
        if let Some(tasks) = self.state().endpoints.get_mut(arn) {
            tasks.insert(instance.task.to_owned(), instance.attributes["AWS_INSTANCE_PORT"].clone());
            return;
        }
        self.state().told.insert(instance.task.to_owned(), instance.healthy);
    }

    fn is_healthy(&self, _: &View, _: &Scope, arn: &str, task: &str) -> Option<bool> {
        if let Some(tasks) = self.state().endpoints.get(arn) {
            return tasks.get(task).map(|_| true);
        }
        self.state().told.get(task).copied()
    }

    fn set_health(&self, _: &mut Tx, _: &Scope, _: &str, task: &str, healthy: bool) {
        if let Some(told) = self.state().told.get_mut(task) {
            *told = healthy;
        }
    }

    fn deregister(&self, _: &mut Tx, _: &Scope, arn: &str, task: &str, _: Timestamp) {
        if let Some(tasks) = self.state().endpoints.get_mut(arn) {
            tasks.remove(task);
            return;
        }
        self.state().told.remove(task);
    }
}

impl Namespaces for Outside {
    fn namespace(&self, _: &View, _: &Scope, reference: &str) -> Option<Namespace> {
        let name = reference.rsplit_once("namespace/").map_or(reference, |(_, name)| name);
        Outside::state(self).connect_namespaces.contains(name).then(|| namespace(name))
    }

    fn create_namespace(&self, _: &mut Tx, _: &Scope, name: &str, _: Timestamp) -> Namespace {
        Outside::state(self).connect_namespaces.insert(name.to_owned());
        namespace(name)
    }

    fn endpoint(&self, _: &View, _: &Scope, _: &str, name: &str) -> Option<String> {
        let arn = endpoint(name);
        Outside::state(self).endpoints.contains_key(&arn).then_some(arn)
    }

    fn create_endpoint(&self, _: &mut Tx, _: &Scope, _: &str, name: &str, _: Timestamp) -> Option<String> {
        Outside::state(self).endpoints.entry(endpoint(name)).or_default();
        Some(endpoint(name))
    }

    fn delete_endpoint(&self, _: &mut Tx, _: &Scope, arn: &str) -> bool {
        let mut state = Outside::state(self);
        let empty = state.endpoints.get(arn).is_none_or(BTreeMap::is_empty);
        if empty {
            state.endpoints.remove(arn);
        }
        empty
    }

    fn addresses(&self, _: &View, _: &Scope, _: &str) -> Vec<std::net::SocketAddr> {
        vec![]
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}

fn namespace(name: &str) -> Namespace {
    let arn = format!("arn:aws:servicediscovery:us-east-1:123456789012:namespace/{name}");
    Namespace { arn, name: name.to_owned() }
}

/// The ARN of an endpoint.
pub(crate) fn endpoint(name: &str) -> String {
    format!("arn:aws:servicediscovery:us-east-1:123456789012:service/connect-{name}")
}

#[async_trait]
impl Proxy for Outside {
    async fn await_serving(&self, _: &str) -> bool {
        !self.state().proxy_is_down
    }
}

/// An instance of two CPUs in zone `zone`, whose agent goes to cluster `c`.
pub(crate) fn instance(number: u32, zone: &str) -> Ec2Instance {
    let id = format!("i-{number:017x}");
    Ec2Instance {
        kind: "t3.medium".to_owned(),
        image: "ami-1".to_owned(),
        agent_version: "1.102.1".to_owned(),
        zone: format!("us-east-1{zone}"),
        subnet: format!("subnet-{zone}"),
        cpu: 2048,
        memory: 4096,
        interfaces: 2,
        namespace: id.clone(),
        eni: EniRow {
            id: format!("eni-{number:017x}"),
            ip: Ipv4Addr::from(0x0a00_0b00 + number),
            ipv6: None,
            mac: "02:00:00:00:01:01".to_owned(),
            private_dns: None,
            vpc: "vpc-1".to_owned(),
            subnet_cidr: "10.0.11.0/24".to_owned(),
            subnet_ipv6_cidr: None,
            dns_servers: vec![Ipv4Addr::new(10, 0, 0, 2)],
            dns_search: vec!["ec2.internal".to_owned()],
        },
        role: Some("arn:aws:iam::123456789012:role/instance".to_owned()),
        config: BTreeMap::from([
            ("ECS_CLUSTER".to_owned(), "c".to_owned()),
            ("ECS_INSTANCE_ATTRIBUTES".to_owned(), r#"{"stack":"prod"}"#.to_owned()),
        ]),
        group: None,
        booted: Timestamp(1),
        id,
    }
}

impl Instances for Outside {
    fn standing(&self, _: &View, _: &Scope, id: &str) -> Standing {
        Outside::state(self).instances.get(id).cloned().unwrap_or(Standing::Gone)
    }

    fn all(&self, _: &View) -> Vec<(Scope, String)> {
        Outside::state(self).instances.keys().map(|id| (Scope::default(), id.clone())).collect()
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}

impl Targets for Outside {
    fn group(&self, _: &View, _: &Scope, arn: &str) -> Option<TargetGroup> {
        let target_type = if arn.contains("instance") { "instance" } else { "ip" }.to_owned();
        arn.contains("targetgroup/").then_some(TargetGroup { target_type, has_load_balancer: true })
    }

    fn register(&self, _: &mut Tx, _: &Scope, group: &str, target: &Target, now: Timestamp) {
        self.state()
            .targets
            .insert((group.to_owned(), target.id.clone(), target.port), Entry { since: now, draining: None });
    }

    fn deregister(&self, _: &mut Tx, _: &Scope, group: &str, target: &Target, now: Timestamp) {
        if let Some(entry) = self.state().targets.get_mut(&(group.to_owned(), target.id.clone(), target.port)) {
            entry.draining.get_or_insert(now);
        }
    }

    fn state(&self, _: &View, _: &Scope, group: &str, target: &Target) -> TargetState {
        let now = self.clock.now();
        let state = Outside::state(self);
        let Some(entry) = state.targets.get(&(group.to_owned(), target.id.clone(), target.port)) else {
            return TargetState::Gone;
        };
        match entry.draining {
            Some(at) if now.since(at) >= DRAINED_AFTER => TargetState::Gone,
            Some(_) => TargetState::Draining,
            None if now.since(entry.since) < HEALTHY_AFTER => TargetState::Registered(TargetHealth::Initial),
            None if state.sick.contains(&target.id) => {
                TargetState::Registered(TargetHealth::Unhealthy("Request timed out".to_owned()))
            }
            None => TargetState::Registered(TargetHealth::Healthy),
        }
    }

    fn forwards(&self, _: &View, _: &Scope, rule: &str) -> Option<Vec<(String, u32)>> {
        Outside::state(self).rules.get(rule).cloned()
    }

    fn forward(&self, _: &mut Tx, _: &Scope, rule: &str, weights: &[(&str, u32)]) {
        let weights = weights.iter().map(|(group, weight)| ((*group).to_owned(), *weight)).collect();
        Outside::state(self).rules.insert(rule.to_owned(), weights);
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}

impl Alarms for Outside {
    fn alarm(&self, _: &View, _: &Scope, name: &str) -> Option<Alarm> {
        let alarming = *Outside::state(self).alarms.get(name)?;
        Some(Alarm { alarming, window: Duration::from_mins(3) })
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }
}

#[async_trait]
impl Images for Outside {
    async fn pull(&self, _: &Scope, pull: Pull<'_>) -> Result<Pulled, String> {
        // Time for a crash to come.
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        if pull.image.contains("missing") || self.state().registry_is_down {
            return Err(format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {}: not found",
                pull.image
            ));
        }
        let digest = format!("sha256:{:0>64}", pull.image.len());
        let layers = vec![LayerRef { digest: digest.clone(), diff_id: digest.clone() }];
        let snapshot = ImageSnapshot { digest: pull.image.to_owned(), layers, config: ImageConfig::default() };
        Ok(Pulled { digest, snapshot })
    }
}

#[async_trait]
impl Secrets for Outside {
    async fn value(&self, _: &Scope, value_from: &str, _: Option<&Session>, _: &str) -> Result<String, String> {
        tokio::task::yield_now().await;
        if value_from.contains("denied") {
            Err("unable to pull secrets or registry auth: denied".to_owned())
        } else {
            Ok("s".to_owned())
        }
    }
}

#[async_trait]
impl Logs for Outside {
    async fn create_stream(&self, _: &Scope, log: &LogTarget, _: Option<&Session>, _: &str) -> Result<(), String> {
        tokio::task::yield_now().await;
        self.state().logs.entry(log.stream.clone()).or_default();
        Ok(())
    }

    async fn append(
        &self,
        _: &Scope,
        log: &LogTarget,
        (position, events): (u64, Vec<LogEvent>),
        _: Option<&Session>,
        _: &str,
    ) -> Result<(), String> {
        {
            let mut state = self.state();
            let stream = state.logs.entry(log.stream.clone()).or_default();
            let lines: Vec<String> = events.into_iter().map(|event| event.message).collect();
            match stream.iter().find(|(known, _)| *known == position) {
                Some((_, known)) => assert_eq!(*known, lines, "a position comes again with other events"),
                None => stream.push((position, lines)),
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Roles for Outside {
    fn assume(&self, _: &View, scope: &Scope, role_arn: &str, session: &str) -> Result<Session, String> {
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        if name == "untrusting" {
            return Err("AccessDenied".to_owned());
        }
        let arn = format!("arn:aws:sts::{}:assumed-role/{name}/{session}", scope.account);
        Ok(Session { role_arn: role_arn.to_owned(), name: session.to_owned(), arn })
    }

    fn may_shift(&self, _: &View, _: &Scope, role_arn: &str, _: &str) -> bool {
        role_arn == SHIFTER
    }

    fn credentials(&self, _: &mut Tx, _: &Scope, _: &Session, now: Timestamp) -> Result<Credentials, String> {
        Ok(Credentials {
            access_key_id: "ASIA0".to_owned(),
            secret_access_key: "secret".to_owned(),
            token: "token".to_owned(),
            expires_at: now.plus(Duration::from_hours(6)),
        })
    }
}
