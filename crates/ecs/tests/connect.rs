//! Service Connect as a user sees it, with the production controllers on a simulated clock and neighbours in memory.

mod fakes;
mod world;

use ecs::rows::TaskRow;
use fakes::endpoint;
use model::ecs as shape;
use rollout::TaskStatus;
use std::sync::Arc;
use types::ApiError;
use world::World;

/// A cluster with a default namespace, and `web` with a port that has a name, checked by a health check.
fn world(protocol: Option<&str>) -> World {
    let world = World::new();
    let defaults = shape::ClusterServiceConnectDefaultsRequest { namespace: "internal".to_owned() };
    let input = shape::CreateClusterRequest {
        cluster_name: Some("c".to_owned()),
        service_connect_defaults: Some(defaults),
        ..Default::default()
    };
    let made = world.call(world.handlers.create_cluster, input).expect("a cluster can be made");
    let shown = made.cluster.and_then(|it| it.service_connect_defaults).and_then(|it| it.namespace);
    assert!(shown.is_some_and(|arn| arn.ends_with(":namespace/internal")), "the default is shown as an ARN");
    define(&world, "web", protocol);
    world
}

fn define(world: &World, family: &str, protocol: Option<&str>) {
    let port = shape::PortMapping {
        container_port: Some(3000),
        name: Some("web".to_owned()),
        app_protocol: protocol.map(str::to_owned),
        ..Default::default()
    };
    let container = shape::ContainerDefinition {
        name: Some("web".to_owned()),
        image: Some("app:1".to_owned()),
        port_mappings: Some(vec![port]),
        ..Default::default()
    };
    let input = shape::RegisterTaskDefinitionRequest {
        family: family.to_owned(),
        network_mode: Some("awsvpc".to_owned()),
        requires_compatibilities: Some(vec!["FARGATE".to_owned()]),
        cpu: Some("256".to_owned()),
        memory: Some("512".to_owned()),
        container_definitions: vec![container],
        ..Default::default()
    };
    world.call(world.handlers.register_task_definition, input).expect("the definition is valid");
}

fn alias(name: Option<&str>, port: i32) -> shape::ServiceConnectClientAlias {
    shape::ServiceConnectClientAlias { port, dns_name: name.map(str::to_owned), ..Default::default() }
}

/// An endpoint at the port `web`.
fn offered(discovery: Option<&str>, aliases: Vec<shape::ServiceConnectClientAlias>) -> shape::ServiceConnectService {
    shape::ServiceConnectService {
        port_name: "web".to_owned(),
        discovery_name: discovery.map(str::to_owned),
        client_aliases: Some(aliases),
        ..Default::default()
    }
}

fn enabled(services: Vec<shape::ServiceConnectService>) -> shape::ServiceConnectConfiguration {
    shape::ServiceConnectConfiguration { enabled: true, services: Some(services), ..Default::default() }
}

fn create(world: &World, name: &str, connect: shape::ServiceConnectConfiguration) -> Result<shape::Service, ApiError> {
    let input = shape::CreateServiceRequest {
        service_name: name.to_owned(),
        load_balancers: None,
        service_registries: None,
        service_connect_configuration: Some(connect),
        ..World::service_request(1, false)
    };
    world.call(world.handlers.create_service, input).map(|answer| answer.service.expect("it is answered"))
}

/// The aliases that the running tasks of a service know.
fn known(world: &World, service: &str) -> Vec<Vec<String>> {
    let running = world.running();
    let of: Vec<&Arc<TaskRow>> = running.iter().filter(|row| row.service.as_deref() == Some(service)).collect();
    let aliases = |row: &&Arc<TaskRow>| {
        let connect = row.connect.as_ref().expect("it has Service Connect");
        connect.aliases.iter().map(|alias| format!("{}:{}={}", alias.name, alias.port, alias.address)).collect()
    };
    of.iter().map(aliases).collect()
}

fn told(world: &World, name: &str) -> Option<Vec<String>> {
    world.outside.state().endpoints.get(&endpoint(name)).map(|tasks| tasks.values().cloned().collect())
}

#[tokio::test(start_paused = true)]
async fn a_task_knows_the_aliases_that_were_there_when_its_deployment_began() {
    let world = world(Some("http"));
    create(&world, "early", enabled(vec![])).expect("a client alone can be made");
    let made = create(&world, "web", enabled(vec![offered(None, vec![alias(Some("api"), 8080)])])).expect("it can");
    world.pass(20).await;
    let deployment = &made.deployments.as_ref().expect("it has one")[0];
    let resource = &deployment.service_connect_resources.as_ref().expect("it has an endpoint")[0];
    assert_eq!((resource.discovery_name.as_deref(), &resource.discovery_arn), (Some("web"), &Some(endpoint("web"))));
    let shown = deployment.service_connect_configuration.as_ref().expect("it is shown");
    assert!(shown.namespace.as_deref().is_some_and(|it| it.ends_with("namespace/internal")), "{shown:?}");
    assert_eq!(told(&world, "web"), Some(vec!["3000".to_owned()]), "its task is told of");

    create(&world, "late", enabled(vec![])).expect("another client can be made");
    world.pass(20).await;
    assert_eq!(known(&world, "early"), [Vec::<String>::new()], "the endpoint came after its deployment");
    assert_eq!(known(&world, "web"), [["api:8080=127.255.0.1"]], "it may call itself");
    assert_eq!(known(&world, "late"), [["api:8080=127.255.0.1"]]);

    // A task that replaces one behaves as it did; only a deployment changes what is known.
    let early = world.running().iter().find(|row| row.service.as_deref() == Some("early")).expect("it runs").id.clone();
    let stop = shape::StopTaskRequest { cluster: Some("c".to_owned()), task: early.clone(), reason: None };
    world.call(world.handlers.stop_task, stop).expect("it can be stopped");
    world.pass(60).await;
    assert!(world.running().iter().all(|row| row.id != early));
    assert_eq!(known(&world, "early"), [Vec::<String>::new()]);
    let anew = shape::UpdateServiceRequest {
        cluster: Some("c".to_owned()),
        service: "early".to_owned(),
        force_new_deployment: Some(true),
        ..Default::default()
    };
    world.call(world.handlers.update_service, anew).expect("it can be deployed anew");
    world.pass(200).await;
    assert_eq!(known(&world, "early"), [["api:8080=127.255.0.1"]]);
}

#[tokio::test(start_paused = true)]
async fn a_task_starts_when_the_proxy_serves_it_and_shows_that() {
    let world = world(Some("http"));
    world.outside.state().proxy_is_down = true;
    create(&world, "web", enabled(vec![offered(None, vec![alias(Some("api"), 8080)])])).expect("it can be made");
    world.pass(20).await;
    assert_eq!(world.running().len(), 0, "no container may call before the proxy listens");
    assert_eq!(told(&world, "web"), Some(vec![]));
    let proxy = |world: &World| {
        let row = world.tasks().into_iter().find(|row| row.last != TaskStatus::Stopped).expect("there is a task");
        let input =
            shape::DescribeTasksRequest { cluster: Some("c".to_owned()), tasks: vec![row.id.clone()], include: None };
        let task =
            world.call(world.handlers.describe_tasks, input).expect("it is described").tasks.expect("it is there");
        let attached = task[0].attachments.iter().flatten().find(|it| it.type_.as_deref() == Some("Service Connect"));
        let attached = attached.and_then(|it| it.status.clone());
        let found = task[0]
            .containers
            .iter()
            .flatten()
            .find(|it| it.name.as_ref().is_some_and(|name| name.starts_with("ecs-service-connect-")));
        (found.and_then(|it| it.last_status.clone()), attached)
    };
    let state = |container: &str, attachment: &str| (Some(container.to_owned()), Some(attachment.to_owned()));
    assert_eq!(proxy(&world), state("PENDING", "ATTACHING"));
    world.outside.state().proxy_is_down = false;
    world.pass(120).await;
    assert_eq!(world.running().len(), 1);
    assert_eq!(proxy(&world), state("RUNNING", "ATTACHED"));
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_and_go_with_their_service() {
    let world = world(None);
    create(&world, "web", enabled(vec![offered(Some("old"), vec![])])).expect("it can be made");
    world.pass(20).await;
    assert_eq!(known(&world, "web"), [["old.internal:3000=127.255.0.1"]], "without an alias it has a long name");
    world.update(|input| input.service_connect_configuration = Some(enabled(vec![offered(Some("new"), vec![])])));
    assert!(told(&world, "old").is_some(), "its tasks are still there");
    world.pass(200).await;
    assert_eq!(told(&world, "old"), None, "nobody has it any more");
    assert_eq!(told(&world, "new"), Some(vec!["3000".to_owned()]));
    let before = world.describe().deployments.expect("it has one")[0].id.clone();
    world.update(|input| input.service_connect_configuration = Some(enabled(vec![offered(Some("new"), vec![])])));
    assert_eq!(world.describe().deployments.expect("it has one")[0].id, before, "nothing has changed");

    let input =
        shape::DeleteServiceRequest { cluster: Some("c".to_owned()), service: "web".to_owned(), force: Some(true) };
    world.call(world.handlers.delete_service, input).expect("it can be deleted");
    world.pass(100).await;
    assert_eq!(told(&world, "new"), None);
    create(&world, "web", enabled(vec![offered(Some("new"), vec![])])).expect("the name is free again");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused() {
    let world = world(None);
    let refused = |connect: shape::ServiceConnectConfiguration| {
        let error = create(&world, "web", connect).expect_err("it is refused");
        (error.code, error.message)
    };
    let invalid = |connect, part: &str| {
        let (code, message) = refused(connect);
        assert_eq!(code, "InvalidParameterException", "{message}");
        assert!(message.contains(part), "{message:?} speaks of {part:?}");
    };
    let one = |change: fn(&mut shape::ServiceConnectService)| {
        let mut service = offered(None, vec![alias(None, 80)]);
        change(&mut service);
        enabled(vec![service])
    };
    invalid(one(|it| it.port_name = "nope".to_owned()), "portName nope");
    invalid(one(|it| it.discovery_name = Some("-Web".to_owned())), "discoveryName -Web");
    invalid(one(|it| it.client_aliases = Some(vec![alias(Some("A B"), 80)])), "dnsName A B");
    invalid(one(|it| it.client_aliases = Some(vec![alias(None, 0)])), "port 0");
    invalid(one(|it| it.client_aliases = Some(vec![alias(None, 80), alias(None, 81)])), "at most 1");
    invalid(one(|it| it.ingress_port_override = Some(0)), "port 0");
    let timeout = |it: &mut shape::ServiceConnectService| {
        it.timeout = Some(shape::TimeoutConfiguration { per_request_timeout_seconds: Some(5), ..Default::default() });
    };
    invalid(one(timeout), "perRequestTimeoutSeconds");
    invalid(enabled(vec![offered(None, vec![]), offered(Some("b"), vec![])]), "more than once");
    let elsewhere = shape::ServiceConnectConfiguration { namespace: Some("nowhere".to_owned()), ..enabled(vec![]) };
    assert_eq!(refused(elsewhere).0, "NamespaceNotFoundException");
    let tls = shape::ServiceConnectTlsConfiguration::default();
    let mut sealed = offered(None, vec![]);
    sealed.tls = Some(tls);
    assert!(refused(enabled(vec![sealed])).1.contains("tls"), "what is not here is named");
    let logged = shape::ServiceConnectConfiguration {
        access_log_configuration: Some(shape::ServiceConnectAccessLogConfiguration::default()),
        ..enabled(vec![])
    };
    assert!(refused(logged).1.contains("accessLogConfiguration"));
    assert_eq!(world.outside.state().endpoints.len(), 0, "what is refused leaves nothing behind");

    create(&world, "first", enabled(vec![offered(Some("api"), vec![alias(Some("api"), 80)])])).expect("it can be made");
    invalid(enabled(vec![offered(Some("api"), vec![alias(Some("b"), 80)])]), "SC service is already used by arn:");
    invalid(enabled(vec![offered(Some("b"), vec![alias(Some("api"), 80)])]), "api:80 is already used");
    create(&world, "web", enabled(vec![offered(Some("b"), vec![alias(Some("api"), 81)])]))
        .expect("another port is free");
}
