//! The port, as ECS fills it.

use crate::ports::{Capacity, Services};
use store::{Change, Tx, View};
use types::{Scope, Timestamp};

/// ECS services.
#[derive(Debug, Clone, Copy, Default)]
pub struct EcsServices;

/// The key of ECS's row of a resource.
fn key(resource: &str) -> Option<&str> {
    resource.strip_prefix("service/")
}

impl Services for EcsServices {
    fn capacity(&self, view: &View, scope: &Scope, resource: &str) -> Option<Capacity> {
        let (desired, running) = ecs::scaled::capacity(view, scope, key(resource)?)?;
        Some(Capacity { desired, running })
    }

    fn set_desired(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        resource: &str,
        count: u32,
        now: Timestamp,
    ) -> Result<(), String> {
        ecs::scaled::set_desired(tx, scope, key(resource).unwrap_or_default(), count, now)
    }

    fn announce(&self, tx: &mut Tx, scope: &Scope, resource: &str, message: &str, now: Timestamp) {
        ecs::scaled::announce(tx, scope, key(resource).unwrap_or_default(), message, now);
    }

    fn tables(&self) -> &'static [&'static str] {
        ecs::scaled::TABLES
    }

    fn resource(&self, view: &View, change: &Change) -> Option<String> {
        Some(format!("service/{}", ecs::scaled::service_of(view, change)?))
    }
}
