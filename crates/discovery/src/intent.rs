//! What others ask of Cloud Map: instances come, go, and fare well or ill; and ECS's Service Connect makes namespaces and services.

use crate::rows::{Health, Instance, Namespace, Operation, Service, Tags};
use crate::{ids, query};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Tx;
use types::{Scope, Timestamp};

/// Makes a namespace for HTTP. There must be none of the name.
pub fn create_namespace(tx: &mut Tx, scope: &Scope, name: &str, tags: Tags, now: Timestamp) -> Arc<Namespace> {
    let id = ids::namespace();
    let operation = operation(tx, scope, "CREATE_NAMESPACE", &[("NAMESPACE", &id)], now);
    let row = Namespace {
        id,
        name: name.to_owned(),
        zone: None,
        description: None,
        created: now,
        creator_request: None,
        operation,
        tags,
    };
    tx.put(scope, row)
}

/// Makes a service of the type HTTP in a namespace, by its id. None if there is no such namespace; one of the name that is there already
/// is answered as it is.
pub fn create_service(
    tx: &mut Tx,
    scope: &Scope,
    namespace: &str,
    name: &str,
    tags: Tags,
    now: Timestamp,
) -> Option<Arc<Service>> {
    let home = query::namespace(tx, scope, namespace)?;
    if let Some(present) = query::service_named(tx, scope, &home, name) {
        return Some(present);
    }
    let row = Service {
        id: ids::service(),
        namespace: home.id.clone(),
        name: name.to_owned(),
        description: None,
        dns: None,
        custom_health: false,
        attributes: BTreeMap::new(),
        revision: 1,
        created: now,
        creator_request: None,
        tags,
    };
    Some(tx.put(scope, row))
}

/// Takes a service away that has no instances. False if it has some; one that is not there is no error.
pub fn delete_service(tx: &mut Tx, scope: &Scope, service: &str) -> bool {
    if tx.by_index(&Instance::BY_SERVICE, scope, service).next().is_some() {
        return false;
    }
    tx.delete::<Service>(scope, service);
    true
}

/// Registers an instance, or replaces the one of its id. None if there is no such service. What it is refused for through
/// the API is not looked at here: whoever calls knows its services.
pub fn register(
    tx: &mut Tx,
    scope: &Scope,
    service: &str,
    (id, attributes): (&str, BTreeMap<String, String>),
    health: Health,
    now: Timestamp,
) -> Option<()> {
    let instance = Instance {
        service: service.to_owned(),
        id: id.to_owned(),
        attributes,
        health,
        reported: None,
        creator_request: None,
        operation: String::new(),
    };
    put(tx, scope, instance, now)
}

/// Takes an instance out. One that is not there is no error.
pub fn deregister(tx: &mut Tx, scope: &Scope, service: &str, id: &str, now: Timestamp) {
    if tx.delete::<Instance>(scope, &Instance::key(service, id)).is_some() {
        operation(tx, scope, "DEREGISTER_INSTANCE", &[("SERVICE", service), ("INSTANCE", id)], now);
        touch(tx, scope, service);
    }
}

/// Lets an instance's health be known, at once. One that is not there is no error.
pub fn set_health(tx: &mut Tx, scope: &Scope, service: &str, id: &str, health: Health) {
    let key = Instance::key(service, id);
    let Some(before) = tx.get::<Instance>(scope, &key) else { return };
    if before.health != health || before.reported.is_some() {
        tx.put(scope, Instance { health, reported: None, ..Instance::clone(&before) });
        touch(tx, scope, service);
    }
}

/// Puts an instance and the operation that it comes by.
pub(crate) fn put(tx: &mut Tx, scope: &Scope, mut instance: Instance, now: Timestamp) -> Option<()> {
    touch(tx, scope, &instance.service)?;
    let targets = [("SERVICE", instance.service.as_str()), ("INSTANCE", instance.id.as_str())];
    instance.operation = operation(tx, scope, "REGISTER_INSTANCE", &targets, now);
    tx.put(scope, instance);
    Some(())
}

/// Counts a change of a service's instances. None if there is no such service.
pub(crate) fn touch(tx: &mut Tx, scope: &Scope, service: &str) -> Option<()> {
    tx.update::<Service>(scope, service, |row| row.revision += 1).map(|_| ())
}

/// Writes down an operation that is done; its id.
pub(crate) fn operation(tx: &mut Tx, scope: &Scope, kind: &str, targets: &[(&str, &str)], now: Timestamp) -> String {
    let targets = targets.iter().map(|(kind, id)| ((*kind).to_owned(), (*id).to_owned())).collect();
    let row = Operation { id: crate::ids::operation(), kind: kind.to_owned(), failure: None, at: now, targets };
    tx.put(scope, row).id.clone()
}
