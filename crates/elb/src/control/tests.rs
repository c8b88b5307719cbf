//! The controller and the link against a proxy that only remembers what it was told.

use super::*;
use crate::intent;
use crate::rows::{HealthCheck, LoadBalancerState, Node};
use controller::{Limits, Runner};
use model::Stored;
use model::elbv2::{Action, ForwardActionConfig, TargetGroupTuple};
use routing::Status;
use routing::config::TargetState as ProxyTarget;
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use store::TableDef;
use tokio::sync::mpsc;
use types::SimClock;
use types::id::{EniId, SubnetId, VpcId};
use vault::Vault;
use vpc::rows::{InterfaceState, InterfaceType, NetworkInterface};

const LB: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/1";
const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/2";

/// The proxy's side of the connections that were made.
type Ends = Arc<Mutex<Vec<(mpsc::Receiver<Arc<ProxyConfig>>, mpsc::Sender<Status>)>>>;

struct Fake(Ends);

#[async_trait]
impl Connector for Fake {
    async fn connect(&self, start: bool) -> io::Result<Channel> {
        if !start {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (configs, received) = mpsc::channel(16);
        let (told, statuses) = mpsc::channel(16);
        self.0.lock().unwrap().push((received, told));
        Ok(Channel { configs, statuses })
    }
}

struct World {
    store: Store,
    clock: SimClock,
    runner: Runner,
    ends: Ends,
}

impl World {
    fn new() -> Self {
        let tables: Vec<TableDef> = [crate::tables(), vpc::tables(), acm::tables()].concat();
        let store = Store::in_memory(tables);
        let clock = SimClock::new(Timestamp(1_000_000));
        let (controller, _, link) = controller(Control {
            store: store.clone(),
            clock: Arc::new(clock.clone()),
            pace: Pace::REAL,
            acm: Acm { vault: Vault::ephemeral() },
            namespaces: PathBuf::from("/run/netns"),
            mesh: None,
            serving: serving().0,
        });
        let runner = Runner::start(&store, Arc::new(clock.clone()), vec![controller], Limits::default());
        let ends = Ends::default();
        tokio::spawn(link.run(Fake(ends.clone())));
        Self { store, clock, runner, ends }
    }

    /// The connection that was made last, once it is made.
    async fn connection(&self) -> (mpsc::Receiver<Arc<ProxyConfig>>, mpsc::Sender<Status>) {
        loop {
            if let Some(end) = self.ends.lock().unwrap().pop() {
                return end;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn write(&self, change: impl FnOnce(&mut store::Tx)) {
        let ticket = {
            let mut tx = self.store.begin();
            change(&mut tx);
            tx.commit()
        };
        ticket.await.unwrap();
    }

    /// Waits until what the rows say holds.
    async fn until<T>(&self, seen: impl Fn(&View) -> Option<T>) -> T {
        loop {
            if let Some(found) = seen(&self.store.view()) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn scope() -> Scope {
    Scope::default()
}

fn interface() -> NetworkInterface {
    NetworkInterface {
        id: EniId::generate(),
        vpc: VpcId::generate(),
        subnet: SubnetId::generate(),
        zone: "us-east-1a".to_owned(),
        description: String::new(),
        kind: InterfaceType::LoadBalancer,
        mac: [2, 0, 0, 0, 0, 1],
        private_ips: vec!["10.0.1.4".parse().unwrap()],
        ipv6: Vec::new(),
        auto_public_ip: None,
        groups: vec![],
        source_dest_check: true,
        requester: None,
        attachment: None,
        state: InterfaceState::Pending,
        created: Timestamp(0),
        tags: BTreeMap::new(),
    }
}

/// A load balancer with one node, whose listener on port 80 forwards to one group.
fn make(tx: &mut store::Tx, interface: &NetworkInterface) {
    let forward = Action {
        type_: "forward".to_owned(),
        forward_config: Some(ForwardActionConfig {
            target_groups: Some(vec![TargetGroupTuple { target_group_arn: Some(GROUP.to_owned()), weight: Some(1) }]),
            target_group_stickiness_config: None,
        }),
        ..Default::default()
    };
    tx.put(&scope(), interface.clone());
    tx.put(
        &scope(),
        LoadBalancer {
            arn: LB.to_owned(),
            name: "web".to_owned(),
            dns_name: "web-1.us-east-1.elb.amazonaws.com".to_owned(),
            internal: false,
            vpc: interface.vpc.clone(),
            security_groups: vec![],
            nodes: vec![Node {
                subnet: interface.subnet.clone(),
                zone: interface.zone.clone(),
                interface: interface.id.clone(),
            }],
            created: Timestamp(0),
            state: LoadBalancerState::Provisioning,
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
        },
    );
    tx.put(
        &scope(),
        TargetGroup {
            arn: GROUP.to_owned(),
            name: "web".to_owned(),
            protocol: "HTTP".to_owned(),
            protocol_version: "HTTP1".to_owned(),
            port: 80,
            vpc: interface.vpc.clone(),
            target_type: "ip".to_owned(),
            check: HealthCheck {
                enabled: true,
                protocol: "HTTP".to_owned(),
                port: "traffic-port".to_owned(),
                path: "/health".to_owned(),
                interval: 30,
                timeout: 5,
                healthy: 5,
                unhealthy: 2,
                matcher: "200".to_owned(),
            },
            attributes: BTreeMap::new(),
            created: Timestamp(0),
            tags: BTreeMap::new(),
        },
    );
    tx.put(
        &scope(),
        Listener {
            arn: LB.replace(":loadbalancer/", ":listener/") + "/3",
            load_balancer: LB.to_owned(),
            port: 80,
            protocol: "HTTP".to_owned(),
            certificates: vec![],
            ssl_policy: None,
            default_actions: vec![Stored(forward)],
            default_rule: LB.replace(":loadbalancer/", ":listener-rule/") + "/3/4",
            default_rule_tags: BTreeMap::new(),
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
            loopback_port: None,
        },
    );
}

fn health(view: &View) -> TargetHealth {
    query::target_health(view, &scope(), GROUP, "10.0.1.9", 3000)
}

/// The next configuration of which something holds.
async fn config(
    configs: &mut mpsc::Receiver<Arc<ProxyConfig>>,
    holds: impl Fn(&ProxyConfig) -> bool,
) -> Arc<ProxyConfig> {
    loop {
        let config = configs.recv().await.expect("the link stays connected");
        if holds(&config) {
            return config;
        }
    }
}

#[tokio::test]
async fn a_load_balancer_is_active_once_its_nodes_are_in_force() {
    let world = World::new();
    let interface = interface();
    world.write(|tx| make(tx, &interface)).await;
    let (mut configs, told) = world.connection().await;
    let first = config(&mut configs, |config| !config.load_balancers.is_empty()).await;
    assert!(first.load_balancers[0].nodes.is_empty(), "a node is served before its interface is there");
    told.send(Status::Applied { generation: first.generation, failures: vec![] }).await.unwrap();
    world
        .write(|tx| {
            tx.update::<NetworkInterface>(&scope(), interface.id.as_str(), |row| row.state = InterfaceState::Attached);
        })
        .await;
    let second = config(&mut configs, |config| !config.load_balancers[0].nodes.is_empty()).await;
    assert!(second.generation > first.generation);
    assert_eq!(
        second.load_balancers[0].nodes[0].netns.as_deref(),
        Some(std::path::Path::new(&format!("/run/netns/lb-{}", interface.id)))
    );
    let state = |view: &View| view.get::<LoadBalancer>(&scope(), LB).unwrap().state;
    assert_eq!(state(&world.store.view()), LoadBalancerState::Provisioning, "active before its node is in force");
    told.send(Status::Applied { generation: second.generation, failures: vec![] }).await.unwrap();
    world.until(|view| (state(view) == LoadBalancerState::Active).then_some(())).await;
    drop(world.runner);
}

#[tokio::test]
async fn a_target_goes_from_registered_to_healthy_to_drained() {
    let world = World::new();
    let interface = interface();
    world.write(|tx| make(tx, &interface)).await;
    let now = world.clock.now();
    let (mut configs, told) = world.connection().await;
    assert_eq!(health(&world.store.view()), TargetHealth::not_registered());
    world.write(|tx| intent::register_target(tx, &scope(), GROUP, "10.0.1.9", 3000, now)).await;
    assert_eq!(health(&world.store.view()), TargetHealth::registering());
    let with = config(&mut configs, |c| c.target_groups.first().is_some_and(|g| !g.targets.is_empty())).await;
    let target = with.target_groups[0].targets[0].id();
    let report = Status::Health { target_group: GROUP.to_owned(), target, health: TargetHealth::healthy() };
    told.send(report).await.unwrap();
    world.until(|view| (health(view) == TargetHealth::healthy()).then_some(())).await;

    world.write(|tx| intent::deregister_target(tx, &scope(), GROUP, "10.0.1.9", 3000, now)).await;
    assert_eq!(health(&world.store.view()), TargetHealth::draining());
    let draining = |c: &ProxyConfig| matches!(c.target_groups[0].targets[0].state, ProxyTarget::Draining { .. });
    config(&mut configs, draining).await;
    let busy = |in_flight| Status::Draining { target_group: GROUP.to_owned(), target, in_flight };
    told.send(busy(1)).await.unwrap();
    told.send(busy(0)).await.unwrap();
    let drained = |view: &View| query::has_drained(view, &scope(), GROUP, "10.0.1.9", 3000).then_some(());
    world.until(drained).await;
    config(&mut configs, |c| c.target_groups[0].targets.is_empty()).await;
    assert_eq!(health(&world.store.view()), TargetHealth::draining(), "it is shown as long as the delay lasts");
    world.runner.idle().await;
    world.clock.advance(Duration::from_secs(300));
    world.until(|view| (health(view) == TargetHealth::not_registered()).then_some(())).await;
}

#[tokio::test]
async fn draining_ends_with_its_delay_though_requests_are_in_flight() {
    let world = World::new();
    let interface = interface();
    world.write(|tx| make(tx, &interface)).await;
    let now = world.clock.now();
    world.write(|tx| intent::register_target(tx, &scope(), GROUP, "10.0.1.9", 3000, now)).await;
    world.write(|tx| intent::deregister_target(tx, &scope(), GROUP, "10.0.1.9", 3000, now)).await;
    world.runner.idle().await;
    world.clock.advance(Duration::from_secs(299));
    world.runner.idle().await;
    assert_eq!(health(&world.store.view()), TargetHealth::draining());
    world.clock.advance(Duration::from_secs(1));
    world.until(|view| (health(view) == TargetHealth::not_registered()).then_some(())).await;
}

#[tokio::test]
async fn a_lost_proxy_is_started_again_and_told_everything() {
    let world = World::new();
    let interface = interface();
    world.write(|tx| make(tx, &interface)).await;
    let (mut configs, told) = world.connection().await;
    let before = config(&mut configs, |config| !config.load_balancers.is_empty()).await;
    drop((configs, told));
    while world.clock.next_deadline().is_none() {
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_secs(1));
    let (mut configs, _told) = world.connection().await;
    assert_eq!(configs.recv().await.unwrap(), before);
}

#[tokio::test]
async fn health_is_void_once_nobody_forwards_to_the_group() {
    let world = World::new();
    let interface = interface();
    world.write(|tx| make(tx, &interface)).await;
    let now = world.clock.now();
    world
        .write(|tx| {
            intent::register_target(tx, &scope(), GROUP, "10.0.1.9", 3000, now);
            let id = Target::key(GROUP, "10.0.1.9", 3000);
            tx.update::<Target>(&scope(), &id, |row| row.health = TargetHealth::healthy());
            let listener = LB.replace(":loadbalancer/", ":listener/") + "/3";
            tx.delete::<Listener>(&scope(), &listener);
        })
        .await;
    assert_eq!(health(&world.store.view()), TargetHealth::not_in_use());
    let id = Target::key(GROUP, "10.0.1.9", 3000);
    let row = |view: &View| view.get::<Target>(&scope(), &id).unwrap().health.clone();
    world.until(|view| (row(view) == TargetHealth::registering()).then_some(())).await;
}

/// Keeps every port but those that somebody has taken.
#[derive(Default)]
struct FakeKeeper {
    taken: Mutex<Vec<u16>>,
    open: Mutex<Vec<proxy::loopback::Port>>,
}

#[async_trait]
impl Keeper for FakeKeeper {
    async fn apply(&self, ports: Vec<proxy::loopback::Port>) -> io::Result<Vec<proxy::loopback::Refused>> {
        let taken = self.taken.lock().unwrap().clone();
        let (refused, open): (Vec<_>, Vec<_>) = ports.into_iter().partition(|port| taken.contains(&port.port));
        *self.open.lock().unwrap() = open;
        let refused = refused.into_iter().map(|port| port.name);
        Ok(refused.map(|name| proxy::loopback::Refused { name, error: "taken".to_owned() }).collect())
    }
}

#[tokio::test]
async fn a_listener_gets_a_loopback_port_keeps_it_and_moves_only_if_it_must() {
    let world = World::new();
    let keeper = Arc::new(FakeKeeper::default());
    let told = Arc::new(Mutex::new(Vec::new()));
    let ports = |told: &Arc<Mutex<Vec<u16>>>| {
        let told = told.clone();
        let tell = move |reach: &query::Reach| told.lock().unwrap().extend(reach.loopback_port);
        LoopbackPorts::new(world.store.clone(), keeper.clone(), Box::new(tell))
    };
    let controller = ports(&told);
    let key = Key::new(&scope(), "loopback");
    assert_eq!(controller.reconcile(&key).await.unwrap(), Next::Done, "nothing is looked after where nothing is");
    let mut interface = interface();
    interface.auto_public_ip = Some("198.18.0.9".parse().unwrap());
    world.write(|tx| make(tx, &interface)).await;
    let has = || query::reaches(&world.store.view())[0].loopback_port;
    assert!(matches!(controller.reconcile(&key).await.unwrap(), Next::After(_)));
    let first = has().expect("the listener has a port");
    assert_eq!(keeper.open.lock().unwrap()[0].to, ["198.18.0.9:80".parse().unwrap()]);
    controller.reconcile(&key).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [first], "a port is told once");

    // Another life of the daemon: the same port, told anew.
    let again = Arc::default();
    ports(&again).reconcile(&key).await.unwrap();
    assert_eq!((has(), &*again.lock().unwrap()), (Some(first), &vec![first]));

    keeper.taken.lock().unwrap().push(first);
    controller.reconcile(&key).await.unwrap();
    let second = has().unwrap();
    assert_ne!(second, first, "expected another port in the place of one that somebody has taken");
    assert_eq!(*told.lock().unwrap(), [first, second]);

    // An internal load balancer is not reached from outside of its VPC.
    world
        .write(|tx| {
            tx.update::<LoadBalancer>(&scope(), LB, |row| row.internal = true);
        })
        .await;
    controller.reconcile(&key).await.unwrap();
    assert!(keeper.open.lock().unwrap().is_empty());
}
