//! All services, wired: their tables, their handlers in the gateway, and their controllers.
//!
//! This is the one place that knows them all. A service is added here with one line in each function.

use blob::{BlobStore, Digest};
use controller::Controller;
use ecs::adapters::{
    Reach, RealAlarms, RealGroups, RealImages, RealInstances, RealLogs, RealMessages, RealNamespaces, RealNetwork,
    RealProxy, RealRegistries, RealRoles, RealSecrets, RealTargets,
};
use fabric::Fabric;
use gateway::{Context, Extra};
use runtime::Runtime;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use store::{Store, TableDef};
use types::{AccountId, Clock, Pace};
use vault::Vault;
use vpc::intent::PublicPool;
use wire::Service;

/// What the services stand on.
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) vault: Vault,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) pace: Pace,
    /// Which VPCs' verdicts are followed.
    pub(crate) traced: Arc<vpc::controller::Traced>,
}

/// The services, ready to be given to the gateway and the controllers' runner.
pub(crate) struct Services {
    pub(crate) identity: Arc<iam::Iam>,
    pub(crate) api: Vec<Box<dyn Service<Context>>>,
    pub(crate) extras: Vec<Box<dyn Extra>>,
    pub(crate) controllers: Vec<Arc<dyn Controller>>,
    pub(crate) control: ecs::Control,
    /// Speaks with the load balancers' proxy as long as it is run.
    pub(crate) link: elb::Link,
}

/// Every service's tables.
pub(crate) fn tables() -> Vec<TableDef> {
    [
        vpc::tables(),
        ecr::tables(),
        iam::tables(),
        secrets::tables(),
        acm::tables(),
        elb::tables(),
        discovery::tables(),
        events::tables(),
        ecs::tables(),
        observe::tables(),
        scaling::tables(),
        autoscaling::tables(),
    ]
    .concat()
}

/// Wires the services on `ground`; `listen` is where users reach the gateway.
pub(crate) fn wire(ground: &Ground, data: &Path, listen: SocketAddr) -> Result<Services, String> {
    let Ground { store, clock, blobs, vault, fabric, runtime, pace, traced } = ground;
    let identity = Arc::new(iam::Iam { account: AccountId::default(), vault: vault.clone() });
    let secrets = secrets::Secrets { vault: vault.clone() };
    let network = vpc::api::Ec2 { pool: PublicPool::new(fabric.ground()), ground: fabric.ground().clone() };
    let host = format!("localhost:{}", listen.port());
    let config = ecr::Config { endpoint: format!("http://{host}"), host, ..ecr::Config::new(data) };
    let registry = ecr::Ecr::open(config, store.clone(), blobs.clone(), clock.clone(), identity.clone())
        .map_err(|error| format!("cannot open the registry: {error}"))?;

    let (serving, served) = elb::serving();
    let reach = Reach::new(fabric.clone(), store.clone(), clock.clone(), *pace);
    let ports = ecs::Ports {
        network: Arc::new(RealNetwork::new(fabric.clone(), reach.clone())),
        instances: Arc::new(RealInstances),
        groups: Arc::new(RealGroups),
        targets: Arc::new(RealTargets),
        registries: Arc::new(RealRegistries),
        namespaces: Arc::new(RealNamespaces),
        proxy: Arc::new(RealProxy(served)),
        images: Arc::new(RealImages::new(registry.clone(), reach.clone())),
        logs: Arc::new(RealLogs::new(store.clone(), reach.clone())),
        messages: Arc::new(RealMessages::new(reach.clone())),
        secrets: Arc::new(RealSecrets::new(secrets.clone(), reach)),
        roles: Arc::new(RealRoles::new((*identity).clone(), clock.clone())),
        alarms: Some(Arc::new(RealAlarms)),
    };
    let control = ecs::Control {
        store: store.clone(),
        clock: clock.clone(),
        pace: *pace,
        runtime: runtime.clone(),
        ports: ports.clone(),
    };
    let certificates = acm::Acm { vault: vault.clone() };
    let (load_balancers, elb_meter, link) = elb::controller(elb::Control {
        store: store.clone(),
        clock: clock.clone(),
        pace: *pace,
        acm: certificates.clone(),
        namespaces: fabric.netns_directory().to_owned(),
        mesh: Some(Arc::new(ecs::Sidecars::new(ports.clone()))),
        serving,
    });
    let mut controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(vpc::controller::Network::new(store.clone(), clock.clone(), fabric.clone()).tracing(traced.clone())),
        Arc::new(vpc::flow_logs::FlowLogs::new(store.clone(), clock.clone(), *pace, fabric.clone())),
    ];
    controllers.push(Arc::new(vpc::instances::Instances::new(store.clone(), clock.clone())));
    controllers.push(Arc::new(vpc::client_tokens::TokenKeeper::new(store.clone(), clock.clone())));
    controllers.extend(ecr::controller::controllers(&registry));
    controllers.push(load_balancers);
    controllers.push(elb_meter);
    controllers.push(Arc::new(observe::controller::Keeper::new(store.clone(), clock.clone())));
    controllers.push(Arc::new(observe::alarms::Evaluator::new(store.clone(), clock.clone(), *pace)));
    let groups = autoscaling::AutoScaling { pool: network.pool.clone(), pace: *pace };
    controllers.push(Arc::new(autoscaling::control::Groups::new(
        store.clone(),
        clock.clone(),
        *pace,
        groups.pool.clone(),
    )));
    let scaled: Arc<dyn scaling::ports::Services> = Arc::new(scaling::adapters::EcsServices);
    controllers.push(Arc::new(scaling::Scaler::new(store.clone(), clock.clone(), *pace, scaled.clone())));
    controllers.push(Arc::new(ecs::ServiceController::new(control.clone())));
    controllers.push(Arc::new(ecs::TaskController::new(control.clone())));
    controllers.push(Arc::new(ecs::InstanceController::new(control.clone())));
    controllers.push(Arc::new(ecs::InstanceResources::new(control.clone())));
    controllers.push(Arc::new(ecs::ManagedScaling::new(control.clone())));
    controllers.push(Arc::new(ecs::ManagedDraining::new(control.clone())));
    controllers.push(Arc::new(ecs::WaitingTasks::new(control.clone())));
    controllers.push(Arc::new(ecs::LogShipper::new(control.clone())));
    controllers.push(Arc::new(ecs::HealthChecker::new(control.clone())));
    controllers.push(Arc::new(ecs::DiscoveryHealth::new(control.clone())));
    controllers.push(Arc::new(ecs::StateEvents::<ecs::rows::TaskRow>::new(control.clone())));
    controllers.push(Arc::new(ecs::StateEvents::<ecs::rows::ContainerInstanceRow>::new(control.clone())));
    controllers.push(Arc::new(ecs::ConnectKeeper::new(control.clone())));
    controllers.push(Arc::new(ecs::ServiceEvents::new(control.clone())));
    controllers.push(Arc::new(events::Deliverer::new(store.clone(), clock.clone())));
    controllers.push(Arc::new(discovery::Keeper::new(store.clone(), clock.clone())));
    controllers.push(Arc::new(ecs::TokenKeeper::new(control.clone())));
    controllers.push(Arc::new(ecs::DefinitionKeeper::new(control.clone())));
    controllers.push(Arc::new(ecs::Meter::new(control.clone())));
    let containers = ecs::Ecs::new(ports);
    controllers.push(Arc::new(ecs::ExecAgents::new(control.clone(), containers.exec())));
    let channels = ecs::DataChannels::new(control.clone(), containers.exec());
    Ok(Services {
        api: vec![
            Box::new(model::acm::Api::new(certificates, acm::handlers())),
            Box::new(model::autoscaling::Api::new(groups, autoscaling::handlers())),
            Box::new(model::elbv2::Api::new(elb::Elb { pool: network.pool.clone() }, elb::handlers())),
            Box::new(model::ec2::Api::new(network, vpc::api::handlers())),
            Box::new(model::ecr::Api::new(registry.clone(), ecr::handlers())),
            Box::new(model::ecs::Api::new(containers, ecs::handlers())),
            Box::new(model::iam::Api::new((*identity).clone(), iam::handlers())),
            Box::new(model::sts::Api::new((*identity).clone(), iam::sts_handlers())),
            Box::new(model::secretsmanager::Api::new(secrets.clone(), secrets::handlers())),
            Box::new(model::logs::Api::new(observe::Observe, observe::handlers())),
            Box::new(model::cloudwatch::Api::new(observe::Observe, observe::cloudwatch_handlers())),
            Box::new(model::events::Api::new(events::Events, events::handlers())),
            Box::new(model::servicediscovery::Api::new(discovery::Discovery { pace: *pace }, discovery::handlers())),
            Box::new(model::application_autoscaling::Api::new(
                scaling::Scaling { services: scaled },
                scaling::handlers(),
            )),
            Box::new(model::ssm::Api::new(secrets, secrets::ssm_handlers())),
        ],
        extras: vec![
            Box::new(channels),
            Box::new(ecr::LayerBucket::new(registry.clone())),
            Box::new(ecr::Registry::new(registry)),
        ],
        controllers,
        control,
        link,
        identity,
    })
}

/// Layers for the runtime, straight from the registry's blobs.
pub(crate) struct Layers(pub(crate) Arc<BlobStore>);

impl runtime::LayerSource for Layers {
    fn open(&self, digest: &str) -> io::Result<Box<dyn io::Read + Send>> {
        let digest = digest.parse::<Digest>().map_err(io::Error::other)?;
        let blob = self.0.read(&digest).map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?;
        Ok(Box::new(blob.file))
    }
}
