//! What others ask of Cloud Map: instances come, go, and fare well or ill.

use crate::rows::{Health, Instance, Operation, Service};
use std::collections::BTreeMap;
use store::Tx;
use types::{Scope, Timestamp};

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
