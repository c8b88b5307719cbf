//! The ports of Service Connect on the `discovery` and `elb` crates.

use crate::ports::{Namespace, Namespaces, Proxy};
use discovery::rows::{Instance, Tags};
use discovery::{intent, query};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Row, Tx, View};
use types::{Scope, Timestamp};

/// How long a task waits for the proxy at a time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Namespaces as Cloud Map has them.
pub struct RealNamespaces;

/// The mark of what ECS has made. Source: API reference, `ClusterServiceConnectDefaultsRequest`.
fn managed() -> Tags {
    Tags::from([("AmazonECSManaged".to_owned(), "true".to_owned())])
}

fn shown(scope: &Scope, row: &discovery::rows::Namespace) -> Namespace {
    Namespace { arn: row.arn(scope), name: row.name.clone() }
}

impl Namespaces for RealNamespaces {
    fn namespace(&self, view: &View, scope: &Scope, reference: &str) -> Option<Namespace> {
        if reference.starts_with("arn:") {
            return query::namespace(view, scope, reference).map(|row| shown(scope, &row));
        }
        let named = query::namespaces_named(view, scope, reference);
        // One for HTTP before those of VPCs.
        let chosen = named.iter().find(|row| row.zone.is_none()).or_else(|| named.first())?;
        Some(shown(scope, chosen))
    }

    fn create_namespace(&self, tx: &mut Tx, scope: &Scope, name: &str, now: Timestamp) -> Namespace {
        shown(scope, &intent::create_namespace(tx, scope, name, managed(), now))
    }

    fn endpoint(&self, view: &View, scope: &Scope, namespace: &str, name: &str) -> Option<String> {
        let home = query::namespace(view, scope, namespace)?;
        query::service_named(view, scope, &home, name).map(|row| row.arn(scope))
    }

    fn create_endpoint(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Option<String> {
        intent::create_service(tx, scope, namespace, name, managed(), now).map(|row| row.arn(scope))
    }

    fn delete_endpoint(&self, tx: &mut Tx, scope: &Scope, endpoint: &str) -> bool {
        query::service(tx, scope, endpoint).is_none_or(|row| intent::delete_service(tx, scope, &row.id))
    }

    fn addresses(&self, view: &View, scope: &Scope, endpoint: &str) -> Vec<SocketAddr> {
        let Some(service) = query::service(view, scope, endpoint) else { return Vec::new() };
        let address = |row: &Arc<Instance>| {
            let get = |name: &str| row.attributes.get(name);
            Some(SocketAddr::new(get("AWS_INSTANCE_IPV4")?.parse().ok()?, get("AWS_INSTANCE_PORT")?.parse().ok()?))
        };
        query::instances(view, scope, &service.id).iter().filter_map(address).collect()
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Instance::TABLE]
    }
}

/// The proxy, as `elb` hears of it.
pub struct RealProxy(pub elb::Served);

#[async_trait::async_trait]
impl Proxy for RealProxy {
    async fn await_serving(&self, task: &str) -> bool {
        let mut served = self.0.clone();
        let serves = served.wait_for(|tasks| tasks.contains(task));
        matches!(tokio::time::timeout(PATIENCE, serves).await, Ok(Ok(_)))
    }
}
