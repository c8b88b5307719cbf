//! What the service controller does otherwise where tasks run on container instances: it places them, moves them away from
//! instances that drain, and counts how many a daemon is.

use super::Control;
use super::managed_scaling::is_busy;
use crate::placing::{self, Placed, Unplaced, Wish, is_on_instances};
use crate::rows::{
    ContainerInstanceRow, DefinitionRow, DeploymentRow, InstanceStatus, SERVICES_BY_CLUSTER, ServiceRow, ServiceStatus,
    TASKS_BY_SERVICE, TaskRow,
};
use controller::Key;
use model::ecs::TaskOverride;
use rollout::DesiredStatus;
use rollout::fargate::Size;
use store::{Change, Row, Ticket, View};
use types::{Scope, Timestamp};

/// The deployment that a task counts to. On an instance that drains it counts to none that is wanted, so it is replaced as
/// that of an older deployment would be: within the same bounds, and at once if it does not serve yet.
pub(super) fn deployment(view: &View, scope: &Scope, task: &TaskRow) -> String {
    let host = task.host.as_ref().and_then(|host| view.get::<ContainerInstanceRow>(scope, &host.instance));
    match host {
        Some(host) if host.status != InstanceStatus::Active && !outlasts(view, scope, task, &host) => {
            format!("draining/{}", host.id)
        }
        _ => task.started_by.clone().unwrap_or_default(),
    }
}

/// Whether a task is a daemon's on an instance that drains, and stays there for the sake of other tasks: daemons go last.
fn outlasts(view: &View, scope: &Scope, task: &TaskRow, host: &ContainerInstanceRow) -> bool {
    let service = task.service_key().and_then(|key| view.get::<ServiceRow>(scope, &key));
    let current =
        service.filter(|row| row.placement.daemon && row.status == ServiceStatus::Active).is_some_and(|row| {
            row.primary().is_some_and(|deployment| task.started_by.as_ref() == Some(&deployment.state.id))
        });
    current && host.status == InstanceStatus::Draining && is_busy(view, scope, &host.id)
}

/// The services that care for a change of an instance: those on instances in its cluster.
pub(super) fn of_instance(view: &View, change: &Change) -> Vec<Key> {
    let row = view.get::<ContainerInstanceRow>(&change.scope, &change.id);
    let row = row.or_else(|| change.before::<ContainerInstanceRow>());
    let Some(row) = row else { return vec![] };
    let services = view.by_index(&SERVICES_BY_CLUSTER, &change.scope, &row.cluster);
    let caring = services.filter(|service| service.status != ServiceStatus::Inactive && is_on_instances(service));
    caring.map(|service| Key::new(&change.scope, service.id().into_owned())).collect()
}

/// The services that care for the end of a task: its own, those that wait for room in its cluster, and, where its instance
/// drains, daemons that outlast it.
pub(super) fn of_freed(view: &View, scope: &Scope, task: &TaskRow) -> Vec<Key> {
    let services = view.by_index(&SERVICES_BY_CLUSTER, scope, &task.cluster);
    let host = task.host.as_ref().and_then(|host| view.get::<ContainerInstanceRow>(scope, &host.instance));
    let drains = host.is_some_and(|host| host.status == InstanceStatus::Draining);
    let caring = services.filter(|service| {
        let waits = service.placement.complaint.is_some() || (drains && service.placement.daemon);
        waits || task.service.as_ref() == Some(&service.name)
    });
    caring.map(|service| Key::new(scope, service.id().into_owned())).collect()
}

/// Writes down how many tasks a daemon is to have, if that is another number than before.
pub(super) fn count_daemons(control: &Control, view: &View, scope: &Scope, row: &ServiceRow) -> Option<Ticket> {
    let wanted = daemons(view, scope, row)?;
    if wanted == row.desired {
        return None;
    }
    let ((), ticket) = control.write(|tx| {
        let key = ServiceRow::key(&row.cluster, &row.name);
        let Some(wanted) = tx.get::<ServiceRow>(scope, &key).and_then(|row| daemons(tx, scope, &row)) else { return };
        tx.update::<ServiceRow>(scope, &key, |row| row.desired = wanted);
    });
    Some(ticket)
}

fn daemons(view: &View, scope: &Scope, row: &ServiceRow) -> Option<u32> {
    if !row.placement.daemon || row.status != ServiceStatus::Active {
        return None;
    }
    let primary = row.primary()?;
    let key = DefinitionRow::key(&primary.family, primary.revision);
    let definition = view.get::<DefinitionRow>(scope, &key)?;
    let stay = view.by_index(&TASKS_BY_SERVICE, scope, &ServiceRow::key(&row.cluster, &row.name)).filter(|task| {
        let host = task.host.as_ref().and_then(|host| view.get::<ContainerInstanceRow>(scope, &host.instance));
        task.desired == DesiredStatus::Running && host.is_some_and(|host| outlasts(view, scope, task, &host))
    });
    let stay = u32::try_from(stay.count()).unwrap_or(u32::MAX);
    Some(placing::eligible(view, scope, &row.cluster, &definition, &row.placement).saturating_add(stay))
}

/// Finds the instance for a service's next task. `None` if its definition makes no sense, which none does that runs.
pub(super) fn place(
    view: &View,
    scope: &Scope,
    service: &ServiceRow,
    of: (&DeploymentRow, &DefinitionRow, Option<&str>),
    now: Timestamp,
) -> Option<(Size, Result<Placed, Unplaced>)> {
    wish(service, of, now, |wish| (wish.size, placing::choose(view, scope, wish)))
}

/// Asks about what a service's next task wishes. `None` if its definition makes no sense.
pub(super) fn wish<R>(
    service: &ServiceRow,
    (deployment, definition, provider): (&DeploymentRow, &DefinitionRow, Option<&str>),
    now: Timestamp,
    ask: impl FnOnce(&Wish) -> R,
) -> Option<R> {
    let size = placing::size(definition, &TaskOverride::default()).ok()?;
    let (constraints, strategies) = placing::of_service(definition, &service.placement)?;
    let wish = Wish {
        cluster: &service.cluster,
        provider,
        definition,
        size,
        network: &deployment.network,
        constraints: &constraints,
        strategies: &strategies,
        group: &format!("service:{}", service.name),
        seed: u64::try_from(now.millis()).unwrap_or(0),
    };
    Some(ask(&wish))
}
