//! The port of service discovery on the `discovery` crate.

use crate::ports::{Instance, Registries, Registry};
use discovery::rows::Health;
use discovery::{intent, query};
use std::sync::Arc;
use store::{Tx, View};
use types::{Scope, Timestamp};

/// Service discovery as Cloud Map has it.
pub struct RealRegistries;

fn find(view: &View, scope: &Scope, arn: &str) -> Option<Arc<discovery::rows::Service>> {
    query::service(view, scope, arn).filter(|_| arn.starts_with("arn:"))
}

fn health(healthy: bool) -> Health {
    if healthy { Health::Healthy } else { Health::Unhealthy }
}

impl Registries for RealRegistries {
    fn registry(&self, view: &View, scope: &Scope, arn: &str) -> Option<Registry> {
        let service = find(view, scope, arn)?;
        Some(Registry {
            namespace: service.namespace.clone(),
            needs_port: service.ttl("SRV").is_some(),
            needs_ipv6: service.ttl("AAAA").is_some(),
            custom_health: service.custom_health,
        })
    }

    fn namespaces(&self, view: &View, scope: &Scope, reference: &str) -> Vec<String> {
        if reference.starts_with("arn:") {
            return query::namespace(view, scope, reference).map(|row| row.id.clone()).into_iter().collect();
        }
        query::namespaces_named(view, scope, reference).into_iter().map(|row| row.id.clone()).collect()
    }

    fn register(&self, tx: &mut Tx, scope: &Scope, arn: &str, instance: Instance<'_>, now: Timestamp) {
        let Some(service) = find(tx, scope, arn) else { return };
        let what = (instance.task, instance.attributes);
        // A service that goes with its namespace has nobody to be told.
        let _ = intent::register(tx, scope, &service.id, what, health(instance.healthy), now);
    }

    fn is_healthy(&self, view: &View, scope: &Scope, arn: &str, task: &str) -> Option<bool> {
        let service = find(view, scope, arn)?;
        query::instance(view, scope, &service.id, task).map(|row| row.health == Health::Healthy)
    }

    fn set_health(&self, tx: &mut Tx, scope: &Scope, arn: &str, task: &str, healthy: bool) {
        if let Some(service) = find(tx, scope, arn) {
            intent::set_health(tx, scope, &service.id, task, health(healthy));
        }
    }

    fn deregister(&self, tx: &mut Tx, scope: &Scope, arn: &str, task: &str, now: Timestamp) {
        if let Some(service) = find(tx, scope, arn) {
            intent::deregister(tx, scope, &service.id, task, now);
        }
    }
}
