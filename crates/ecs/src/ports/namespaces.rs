//! The ports of Service Connect: Cloud Map's namespaces, and the proxy.

use std::net::SocketAddr;
use store::{Tx, View};
use types::{Scope, Timestamp};

/// A namespace of Cloud Map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
}

/// Cloud Map, as Service Connect uses it. Services there are endpoints here, and named by their ARNs.
pub trait Namespaces: Send + Sync {
    /// The namespace of this ARN or name.
    fn namespace(&self, view: &View, scope: &Scope, reference: &str) -> Option<Namespace>;
    /// Makes a namespace of this name, of which there is none.
    fn create_namespace(&self, tx: &mut Tx, scope: &Scope, name: &str, now: Timestamp) -> Namespace;
    /// The endpoint of this name in a namespace, by its ARN.
    fn endpoint(&self, view: &View, scope: &Scope, namespace: &str, name: &str) -> Option<String>;
    /// Makes an endpoint. One of the name that is there is answered as it is; without the namespace there is none.
    fn create_endpoint(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Option<String>;
    /// Takes an endpoint away; false while somebody is there. One that is gone is no error.
    fn delete_endpoint(&self, tx: &mut Tx, scope: &Scope, endpoint: &str) -> bool;
    /// Where an endpoint's tasks are.
    fn addresses(&self, view: &View, scope: &Scope, endpoint: &str) -> Vec<SocketAddr>;
    /// The tables in which that shows.
    fn tables(&self) -> &'static [&'static str];
}

/// The proxy that stands in tasks' networks.
#[async_trait::async_trait]
pub trait Proxy: Send + Sync {
    /// Waits until the proxy serves the task, or it is clear that it will not soon. Whether it does.
    async fn await_serving(&self, task: &str) -> bool;
}
