//! What routers count becomes records in CloudWatch Logs, interval by interval, as far as the flow log's role may.

use crate::world::{NOW, World};
use controller::{Controller, Key, Next};
use model::ec2;
use netplan::verdicts::{Outcome, Passage};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use types::id::{EniId, VpcId};
use types::{Clock, Pace, Scope, SimClock};
use vpc::flow_logs::{Count, Counters, Counts, FlowLogs};
use vpc::rows::{InterfaceState, NetworkInterface};

const ROLE: &str = "arn:aws:iam::123456789012:role/flow-logs";
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vpc-flow-logs.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const MAY_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}"#;
const MAY_NOT_MAKE: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}]}"#;

/// Routers that counted what a test says.
#[derive(Default)]
struct Routers(Mutex<HashMap<VpcId, Counts>>);

impl Counters for Routers {
    fn take(&self, vpc: &VpcId) -> io::Result<Counts> {
        Ok(self.0.lock().expect("no test panics with it").remove(vpc).unwrap_or_default())
    }
}

/// A VPC with one attached interface, at 10.0.1.4.
struct Stage {
    world: World,
    vpc: String,
    interface: String,
    clock: SimClock,
    routers: Arc<Routers>,
    controller: FlowLogs,
}

impl Stage {
    fn new(pace: f64) -> Self {
        let world = World::new();
        let vpc = world.vpc("10.0.0.0/16");
        let subnet = world.subnet(&vpc, "10.0.1.0/24");
        let interface = world.task_interface(&subnet, "task-1");
        let mut tx = world.store.begin();
        tx.update::<NetworkInterface>(&world.scope, &interface, |row| row.state = InterfaceState::Attached);
        tx.commit().wait_blocking().expect("the memory store commits");
        let (clock, routers) = (SimClock::new(NOW), Arc::new(Routers::default()));
        let pace = Pace::new(pace).expect("a pace");
        let controller = FlowLogs::new(world.store.clone(), Arc::new(clock.clone()), pace, routers.clone());
        Self { world, vpc, interface, clock, routers, controller }
    }

    /// A role with that trust and policy.
    fn role(&self, trust: &str, policy: &str) {
        use model::iam::{CreateRoleRequest, PutRolePolicyRequest};
        let iam = iam::Iam { account: types::AccountId::default(), vault: vault::Vault::ephemeral() };
        let handlers = iam::handlers();
        let root = iam::auth::root(&iam.account);
        let mut cx = gateway::Context::new(self.world.store.clone(), Scope::default(), root, NOW);
        let role = CreateRoleRequest {
            role_name: "flow-logs".to_owned(),
            assume_role_policy_document: trust.to_owned(),
            ..Default::default()
        };
        (handlers.create_role)(&iam, &mut cx, role).expect("the role is made");
        let policy = PutRolePolicyRequest {
            role_name: "flow-logs".to_owned(),
            policy_name: "deliver".to_owned(),
            policy_document: policy.to_owned(),
        };
        (handlers.put_role_policy)(&iam, &mut cx, policy).expect("the policy is put");
        cx.take_tx().expect("there is something").commit().wait_blocking().expect("the memory store commits");
    }

    fn flow_log(&self, traffic: &str, format: Option<&str>) -> String {
        let input = ec2::CreateFlowLogsRequest {
            resource_type: "VPC".to_owned(),
            resource_ids: vec![self.vpc.clone()],
            traffic_type: Some(traffic.to_owned()),
            log_group_name: Some("flows".to_owned()),
            deliver_logs_permission_arn: Some(ROLE.to_owned()),
            max_aggregation_interval: Some(60),
            log_format: format.map(ToOwned::to_owned),
            ..Default::default()
        };
        let made = self.world.ok(self.world.handlers.create_flow_logs, input);
        made.flow_log_ids.and_then(|ids| ids.into_iter().next()).expect("it has an id")
    }

    /// Has the routers have counted these, and missed some packets of the interface or not.
    fn counted(&self, passages: Vec<Count>, missed: bool) {
        let vpc = VpcId::parse(&self.vpc).expect("a VPC's id");
        let missed: BTreeSet<String> = missed.then(|| self.link()).into_iter().collect();
        self.routers.0.lock().expect("no test panics with it").insert(vpc, Counts { passages, missed });
    }

    fn link(&self) -> String {
        netplan::link_name(&EniId::parse(&self.interface).expect("an interface's id"))
    }

    fn count(&self, outcome: Outcome, port: u16, packets: u64) -> Count {
        let passage = Passage {
            outcome,
            link: self.link(),
            source: [10, 0, 9, 9].into(),
            destination: [10, 0, 1, 4].into(),
            protocol: 6,
            source_port: 40_000,
            destination_port: port,
            tcp_flags: 2,
        };
        Count { passage, packets, bytes: packets * 60, idle: Duration::from_secs(2) }
    }

    fn reconcile(&self) -> Next {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let key = Key::new(&Scope::default(), "flow-logs");
        runtime.block_on(self.controller.reconcile(&key)).expect("it is reconciled")
    }

    /// Lets time pass, with a look every five seconds.
    fn pass(&self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.clock.advance(Duration::from_secs(5));
            self.reconcile();
        }
    }

    /// The lines in a stream.
    fn lines(&self, suffix: &str) -> Vec<String> {
        use model::logs::GetLogEventsRequest;
        let root = iam::auth::root(&types::AccountId::default());
        let mut cx = gateway::Context::new(self.world.store.clone(), self.world.scope.clone(), root, self.clock.now());
        let input = GetLogEventsRequest {
            log_group_name: Some("flows".to_owned()),
            log_stream_name: format!("{}-{suffix}", self.interface),
            start_from_head: Some(true),
            ..Default::default()
        };
        let found = (observe::handlers().get_log_events)(&observe::Observe, &mut cx, input);
        let events = found.ok().and_then(|found| found.events).unwrap_or_default();
        events.into_iter().filter_map(|event| event.message).collect()
    }

    fn shown(&self) -> ec2::FlowLog {
        let shown = self.world.ok(self.world.handlers.describe_flow_logs, ec2::DescribeFlowLogsRequest::default());
        shown.flow_logs.and_then(|rows| rows.into_iter().next()).expect("there is one")
    }
}

const NOW_SECONDS: i64 = NOW.0 / 1000;

#[test]
fn an_interval_becomes_a_line_for_each_flow_in_the_interfaces_stream() {
    let stage = Stage::new(1.0);
    stage.role(TRUST, MAY_ALL);
    stage.flow_log("ALL", None);
    assert_eq!(stage.reconcile(), Next::After(Duration::from_secs(5)));
    assert!(stage.world.network().counted.iter().any(|eni| eni.as_str() == stage.interface), "the router is to count");
    stage.counted(vec![stage.count(Outcome::Received, 80, 1), stage.count(Outcome::NotReceived, 81, 2)], false);
    stage.pass(5);
    stage.counted(vec![stage.count(Outcome::Received, 80, 4)], false);
    stage.pass(50);
    assert_eq!(stage.lines("all"), Vec::<String>::new(), "the interval has not ended");
    stage.pass(5);
    let (eni, start) = (&stage.interface, NOW_SECONDS);
    let line = |port: u16, packets: u64, from: i64, to: i64, action: &str| {
        let (from, to, bytes) = (start + from, start + to, packets * 60);
        format!("2 123456789012 {eni} 10.0.9.9 10.0.1.4 40000 {port} 6 {packets} {bytes} {from} {to} {action} OK")
    };
    // Several packets are known to have come since the last look; of one the time is known.
    assert_eq!(stage.lines("all"), [line(81, 2, 0, 3, "REJECT"), line(80, 5, 3, 8, "ACCEPT")]);
    stage.pass(60);
    let nodata = format!("2 123456789012 {eni} - - - - - - - {} {} - NODATA", start + 60, start + 120);
    assert_eq!(stage.lines("all").last(), Some(&nodata));
    assert_eq!(stage.shown().deliver_logs_status.as_deref(), Some("SUCCESS"));
}

#[test]
fn each_verdict_has_its_stream_and_each_log_its_format() {
    let stage = Stage::new(1.0);
    stage.role(TRUST, MAY_ALL);
    stage.flow_log("ACCEPT", Some("${dstport} ${flow-direction} ${action} ${tcp-flags} ${az-id}"));
    stage.flow_log("REJECT", Some("${dstport} ${flow-direction} ${action}"));
    stage.reconcile();
    stage.counted(vec![stage.count(Outcome::Sent, 80, 1), stage.count(Outcome::NotReceived, 81, 1)], false);
    stage.pass(60);
    assert_eq!(stage.lines("accept"), ["80 egress ACCEPT 2 use1-az1"]);
    assert_eq!(stage.lines("reject"), ["81 ingress REJECT"]);
}

#[test]
fn what_was_not_counted_is_skipped_data() {
    let stage = Stage::new(1.0);
    stage.role(TRUST, MAY_ALL);
    stage.flow_log("ALL", Some("${log-status}"));
    stage.reconcile();
    stage.counted(Vec::new(), true);
    stage.pass(60);
    assert_eq!(stage.lines("all"), ["SKIPDATA"]);
    // The machine sleeps for an hour: counters are gone, and what passed is not known.
    stage.clock.advance(Duration::from_secs(3600));
    stage.reconcile();
    assert_eq!(stage.lines("all"), ["SKIPDATA", "SKIPDATA"], "one line, not sixty");
    stage.pass(60);
    assert_eq!(stage.lines("all"), ["SKIPDATA", "SKIPDATA", "NODATA"]);
}

#[test]
fn a_role_that_may_not_is_an_access_error_until_it_may() {
    let stage = Stage::new(1.0);
    stage.flow_log("ALL", Some("${log-status}"));
    stage.reconcile();
    stage.pass(60);
    let error = |stage: &Stage| (stage.shown().deliver_logs_status, stage.shown().deliver_logs_error_message);
    let failed = (Some("FAILED".to_owned()), Some("Access error".to_owned()));
    assert_eq!(error(&stage), failed, "there is no role");
    stage.role(TRUST, MAY_NOT_MAKE);
    stage.pass(60);
    assert_eq!(error(&stage), failed, "it may not make the stream");
    assert!(observe::query::group(&stage.world.store.view(), &stage.world.scope, "flows").is_none());
    let mut tx = stage.world.store.begin();
    observe::create_stream(&mut tx, &stage.world.scope, "flows", &format!("{}-all", stage.interface), true, NOW)
        .expect("the stream is made");
    tx.commit().wait_blocking().expect("the memory store commits");
    stage.pass(60);
    assert_eq!(error(&stage), (Some("SUCCESS".to_owned()), None), "it may write");
    assert_eq!(stage.lines("all"), ["NODATA"]);
}

#[test]
fn a_role_that_trusts_somebody_else_is_an_access_error() {
    let stage = Stage::new(1.0);
    stage.role(&TRUST.replace("vpc-flow-logs", "ecs-tasks"), MAY_ALL);
    stage.flow_log("ALL", None);
    stage.reconcile();
    stage.pass(60);
    assert_eq!(stage.shown().deliver_logs_error_message.as_deref(), Some("Access error"));
}

#[test]
fn an_interface_that_goes_has_its_last_record_and_a_log_that_goes_has_none() {
    let stage = Stage::new(1.0);
    stage.role(TRUST, MAY_ALL);
    let log = stage.flow_log("ALL", Some("${dstport}"));
    stage.reconcile();
    stage.counted(vec![stage.count(Outcome::Received, 80, 1)], false);
    let mut tx = stage.world.store.begin();
    let eni = EniId::parse(&stage.interface).expect("an interface's id");
    vpc::intent::delete_interface(&mut tx, &stage.world.scope, &eni);
    tx.commit().wait_blocking().expect("the memory store commits");
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.reconcile(), Next::Done, "nothing is left to look after");
    assert_eq!(stage.lines("all"), ["80"]);
    assert!(stage.world.network().counted.is_empty());
    let delete = ec2::DeleteFlowLogsRequest { flow_log_ids: vec![log], ..Default::default() };
    stage.world.ok(stage.world.handlers.delete_flow_logs, delete);
    stage.pass(120);
    assert_eq!(stage.lines("all"), ["80"]);
}

#[test]
fn a_pace_shortens_intervals() {
    let stage = Stage::new(10.0);
    stage.role(TRUST, MAY_ALL);
    stage.flow_log("ALL", Some("${start} ${end} ${log-status}"));
    stage.reconcile();
    stage.clock.advance(Duration::from_secs(6));
    stage.reconcile();
    assert_eq!(stage.lines("all"), [format!("{NOW_SECONDS} {} NODATA", NOW_SECONDS + 6)]);
}
