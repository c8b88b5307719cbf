//! What other services may read of Cloud Map.

use crate::ids;
use crate::rows::{Health, Instance, Namespace, Service};
use std::sync::Arc;
use store::View;
use types::Scope;

/// The namespace that an id or an ARN means.
pub fn namespace(view: &View, scope: &Scope, reference: &str) -> Option<Arc<Namespace>> {
    view.get(scope, ids::of(scope, "namespace", reference)?)
}

/// The namespaces of a name: one for HTTP, and one for each VPC that has a zone of it.
pub fn namespaces_named(view: &View, scope: &Scope, name: &str) -> Vec<Arc<Namespace>> {
    view.by_index(&Namespace::BY_NAME, scope, name).cloned().collect()
}

/// The service that an id or an ARN means.
pub fn service(view: &View, scope: &Scope, reference: &str) -> Option<Arc<Service>> {
    view.get(scope, ids::of(scope, "service", reference)?)
}

/// The service of that name in a namespace. Names of domains make no difference between small letters and capitals.
pub fn service_named(view: &View, scope: &Scope, namespace: &Namespace, name: &str) -> Option<Arc<Service>> {
    let is = |row: &&Arc<Service>| {
        if namespace.zone.is_some() { row.name.eq_ignore_ascii_case(name) } else { row.name == name }
    };
    view.by_index(&Service::BY_NAMESPACE, scope, &namespace.id).find(is).cloned()
}

/// The instance of that id of a service.
pub fn instance(view: &View, scope: &Scope, service: &str, id: &str) -> Option<Arc<Instance>> {
    view.get(scope, &Instance::key(service, id))
}

/// The instances of a service, in order of their ids.
pub fn instances(view: &View, scope: &Scope, service: &str) -> Vec<Arc<Instance>> {
    view.by_index(&Instance::BY_SERVICE, scope, service).cloned().collect()
}

/// The instances that traffic goes to: those that are well or, where none is, all. Source: API reference, `DnsConfig`.
pub fn in_service(view: &View, scope: &Scope, service: &Service) -> Vec<Arc<Instance>> {
    let all = instances(view, scope, &service.id);
    if service.custom_health && all.iter().any(|row| row.health == Health::Healthy) {
        return all.into_iter().filter(|row| row.health == Health::Healthy).collect();
    }
    all
}
