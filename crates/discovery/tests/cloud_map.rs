//! Cloud Map through its handlers, and what its zones then have.

#![allow(clippy::unwrap_used, reason = "tests")]

use discovery::zone::{Data, Found, Kind, lookup};
use discovery::{Discovery, Keeper, rows, zone};
use gateway::{Context, Principal};
use model::servicediscovery as shape;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::id::{DhcpOptionsId, NetworkAclId, RouteTableId, SecurityGroupId, VpcCidrAssociationId, VpcId};
use types::{AccountId, ApiError, Clock, Pace, Scope, SimClock, Timestamp};

struct Server {
    store: Store,
    clock: SimClock,
    vpc: String,
    handlers: shape::Handlers<Discovery, Context>,
}

type Handler<I, O> = fn(&Discovery, &mut Context, I) -> Result<O, ApiError>;

impl Server {
    fn new() -> Self {
        let store = Store::in_memory([vpc::tables(), discovery::tables()].concat());
        let vpc = vpc::rows::Vpc {
            id: VpcId::generate(),
            cidr: "10.0.0.0/16".parse().unwrap(),
            cidr_association: VpcCidrAssociationId::generate(),
            secondary: vec![],
            ipv6: vec![],
            instance_tenancy: "default".to_owned(),
            is_default: false,
            dns_support: true,
            dns_hostnames: true,
            usage_metrics: false,
            dhcp_options: Some(DhcpOptionsId::generate()),
            main_route_table: RouteTableId::generate(),
            default_network_acl: NetworkAclId::generate(),
            default_security_group: SecurityGroupId::generate(),
            tags: vpc::rows::Tags::new(),
        };
        let id = vpc.id.to_string();
        let mut tx = store.begin();
        tx.put(&Scope::default(), vpc);
        tx.commit().wait_blocking().unwrap();
        let clock = SimClock::new(Timestamp(1_800_000_000_000));
        Self { store, clock, vpc: id, handlers: discovery::handlers() }
    }

    fn call<I, O>(&self, handler: Handler<I, O>, input: I) -> Result<O, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, self.clock.now());
        let answer = handler(&Discovery { pace: Pace::default() }, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().unwrap();
        }
        Ok(answer)
    }

    fn operation(&self, id: Option<String>) -> shape::Operation {
        let input = shape::GetOperationRequest { operation_id: id.unwrap(), ..Default::default() };
        self.call(self.handlers.get_operation, input).unwrap().operation.unwrap()
    }

    /// A namespace of the VPC.
    fn namespace(&self, name: &str) -> String {
        let input = shape::CreatePrivateDnsNamespaceRequest {
            name: name.to_owned(),
            vpc: self.vpc.clone(),
            ..Default::default()
        };
        let made = self.call(self.handlers.create_private_dns_namespace, input).unwrap();
        let operation = self.operation(made.operation_id);
        assert_eq!(operation.status.as_deref(), Some("SUCCESS"), "{operation:?}");
        operation.targets.unwrap()["NAMESPACE"].clone()
    }

    fn service(&self, namespace: &str, name: &str, kind: &str, policy: &str) -> shape::Service {
        let input = shape::CreateServiceRequest {
            name: name.to_owned(),
            namespace_id: Some(namespace.to_owned()),
            dns_config: Some(shape::DnsConfig {
                namespace_id: None,
                routing_policy: Some(policy.to_owned()),
                dns_records: vec![shape::DnsRecord { type_: kind.to_owned(), ttl: 10 }],
            }),
            health_check_custom_config: Some(shape::HealthCheckCustomConfig::default()),
            ..Default::default()
        };
        self.call(self.handlers.create_service, input).unwrap().service.unwrap()
    }

    fn register(&self, service: &shape::Service, id: &str, attributes: &[(&str, &str)]) -> Result<(), ApiError> {
        let input = shape::RegisterInstanceRequest {
            service_id: service.id.clone().unwrap(),
            instance_id: id.to_owned(),
            creator_request_id: None,
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        self.call(self.handlers.register_instance, input).map(|_| ())
    }

    fn report(&self, service: &shape::Service, id: &str, status: &str) {
        let input = shape::UpdateInstanceCustomHealthStatusRequest {
            service_id: service.id.clone().unwrap(),
            instance_id: id.to_owned(),
            status: status.to_owned(),
        };
        self.call(self.handlers.update_instance_custom_health_status, input).unwrap();
    }

    fn asked(&self, name: &str, kind: Kind, turn: usize) -> Option<Found> {
        lookup(&self.store.view(), &Scope::default(), &self.vpc, (name, kind), turn)
    }

    /// The addresses that a name has, in order.
    fn addresses(&self, name: &str) -> Vec<String> {
        let Some(Found::Records(_, data)) = self.asked(name, Kind::A, 0) else { return vec![] };
        let mut found: Vec<String> = data
            .into_iter()
            .map(|data| match data {
                Data::A(ip) => ip.to_string(),
                other => panic!("expected an address, but: {other:?}"),
            })
            .collect();
        found.sort_unstable();
        found
    }
}

#[test]
fn a_name_has_the_addresses_of_its_instances() {
    let server = Server::new();
    let namespace = server.namespace("corp.local");
    let web = server.service(&namespace, "web", "A", "MULTIVALUE");
    assert_eq!(server.asked("web.corp.local", Kind::A, 0), Some(Found::NoSuchName), "it has nobody");
    for n in 1..=10 {
        let (id, ip) = (format!("i{n}"), format!("10.0.0.{n}"));
        server.register(&web, &id, &[("AWS_INSTANCE_IPV4", &ip)]).unwrap();
    }
    assert_eq!(server.addresses("web.corp.local").len(), 8, "an answer tells of eight");
    let first = |turn| match server.asked("web.corp.local", Kind::A, turn) {
        Some(Found::Records(10, data)) => data[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_ne!(first(0), first(1), "each turn begins with another");
    assert_eq!(server.asked("web.corp.local", Kind::Aaaa, 0), Some(Found::NoData));
    assert_eq!(server.asked("corp.local", Kind::A, 0), Some(Found::NoData));
    assert_eq!(server.asked("x.corp.local", Kind::A, 0), Some(Found::NoSuchName));
    assert_eq!(server.asked("example.com", Kind::A, 0), None, "that is not ours to say");
    let one = server.service(&namespace, "one", "A", "WEIGHTED");
    for n in 1..=2 {
        server.register(&one, &format!("i{n}"), &[("AWS_INSTANCE_IPV4", &format!("10.0.1.{n}"))]).unwrap();
    }
    assert_eq!(server.addresses("one.corp.local").len(), 1);
}

#[test]
fn the_longest_domain_answers_and_others_do_not() {
    let server = Server::new();
    let (outer, inner) = (server.namespace("local"), server.namespace("a.local"));
    let service = server.service(&outer, "web.a", "A", "MULTIVALUE");
    server.register(&service, "i", &[("AWS_INSTANCE_IPV4", "10.0.0.1")]).unwrap();
    assert_eq!(server.asked("web.a.local", Kind::A, 0), Some(Found::NoSuchName));
    let service = server.service(&inner, "web", "A", "MULTIVALUE");
    server.register(&service, "i", &[("AWS_INSTANCE_IPV4", "10.0.0.2")]).unwrap();
    assert_eq!(server.addresses("web.a.local"), ["10.0.0.2"]);
    let elsewhere = zone::lookup(&server.store.view(), &Scope::default(), "vpc-1", ("web.a.local", Kind::A), 0);
    assert_eq!(elsewhere, None, "a zone is of its VPC");
}

#[test]
fn an_srv_record_names_a_host_that_has_an_address() {
    let server = Server::new();
    let namespace = server.namespace("corp.local");
    let web = server.service(&namespace, "_web._tcp", "SRV", "MULTIVALUE");
    let refused = server.register(&web, "i1", &[("AWS_INSTANCE_IPV4", "10.0.0.1")]).unwrap_err();
    assert_eq!(refused.code, "InvalidInput");
    server.register(&web, "i1", &[("AWS_INSTANCE_IPV4", "10.0.0.1"), ("AWS_INSTANCE_PORT", "8080")]).unwrap();
    let target = "i1._web._tcp.corp.local".to_owned();
    let srv = Data::Srv { port: 8080, target: target.clone() };
    assert_eq!(server.asked("_web._tcp.corp.local", Kind::Srv, 0), Some(Found::Records(10, vec![srv])));
    assert_eq!(server.addresses(&target), ["10.0.0.1"]);
    assert_eq!(server.asked("_tcp.corp.local", Kind::A, 0), Some(Found::NoData), "names stand below it");
    assert_eq!(server.asked("_web._tcp.corp.local", Kind::A, 0), Some(Found::NoData));
}

#[tokio::test]
async fn reported_health_takes_effect_after_a_while() {
    let server = Server::new();
    let namespace = server.namespace("corp.local");
    let web = server.service(&namespace, "web", "A", "MULTIVALUE");
    for n in 1..=2 {
        server.register(&web, &format!("i{n}"), &[("AWS_INSTANCE_IPV4", &format!("10.0.0.{n}"))]).unwrap();
    }
    let keeper = Keeper::new(server.store.clone(), Arc::new(server.clock.clone()));
    let tell = async |id: &str| {
        let key =
            format!("{}|{}", <rows::Instance as store::Row>::TABLE, rows::Instance::key(web.id.as_ref().unwrap(), id));
        controller::Controller::reconcile(&keeper, &controller::Key::new(&Scope::default(), key)).await.unwrap();
    };
    server.report(&web, "i1", "UNHEALTHY");
    tell("i1").await;
    assert_eq!(server.addresses("web.corp.local").len(), 2, "there may be a second thought");
    server.clock.advance(Duration::from_secs(30));
    tell("i1").await;
    assert_eq!(server.addresses("web.corp.local"), ["10.0.0.2"]);
    server.report(&web, "i2", "UNHEALTHY");
    server.clock.advance(Duration::from_secs(30));
    tell("i2").await;
    assert_eq!(server.addresses("web.corp.local").len(), 2, "where none is well, all are told");

    let discover = |status: &str| {
        let input = shape::DiscoverInstancesRequest {
            namespace_name: "corp.local".to_owned(),
            service_name: "web".to_owned(),
            health_status: Some(status.to_owned()),
            ..Default::default()
        };
        server.call(server.handlers.discover_instances, input).unwrap().instances.unwrap().len()
    };
    assert_eq!((discover("HEALTHY"), discover("UNHEALTHY"), discover("HEALTHY_OR_ELSE_ALL")), (0, 2, 2));
}

#[test]
fn what_is_in_use_stays() {
    let server = Server::new();
    let namespace = server.namespace("corp.local");
    let web = server.service(&namespace, "web", "A", "MULTIVALUE");
    server.register(&web, "i", &[("AWS_INSTANCE_IPV4", "10.0.0.1")]).unwrap();
    let id = || web.id.clone().unwrap();
    let delete = || server.call(server.handlers.delete_service, shape::DeleteServiceRequest { id: id() });
    let refused = delete().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "ResourceInUse: Service contains registered instances; delete the instances before deleting the service"
    );
    let input = shape::DeregisterInstanceRequest { service_id: id(), instance_id: "i".to_owned() };
    server.call(server.handlers.deregister_instance, input).unwrap();
    let drop_namespace = || {
        let input = shape::DeleteNamespaceRequest { id: namespace.clone() };
        server.call(server.handlers.delete_namespace, input)
    };
    assert_eq!(drop_namespace().unwrap_err().code, "ResourceInUse");
    delete().unwrap();
    drop_namespace().unwrap();
    assert_eq!(server.asked("corp.local", Kind::A, 0), None);
}

#[test]
fn what_route_53_would_refuse_fails_the_operation() {
    let server = Server::new();
    server.namespace("corp.local");
    for (name, vpc) in [("corp.local", server.vpc.as_str()), ("other.local", "vpc-0")] {
        let input = shape::CreatePrivateDnsNamespaceRequest {
            name: name.to_owned(),
            vpc: vpc.to_owned(),
            ..Default::default()
        };
        let made = server.call(server.handlers.create_private_dns_namespace, input).unwrap();
        let operation = server.operation(made.operation_id);
        let told = (operation.status.as_deref(), operation.error_code.as_deref());
        assert_eq!(told, (Some("FAIL"), Some("CANNOT_CREATE_HOSTED_ZONE")), "{name} in {vpc}");
    }
    let listed = server.call(server.handlers.list_namespaces, shape::ListNamespacesRequest::default()).unwrap();
    assert_eq!(listed.namespaces.unwrap().len(), 1);
}
