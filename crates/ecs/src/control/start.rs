//! PENDING: what the agent does before a task's containers run: roles, secrets, images, log streams, containers.

use super::task::{Step, TaskController};
use crate::ports::{Pull, Pulled, Session};
use crate::rows::{DefinitionRow, ImagesRow, ServiceRevisionRow, ServiceRow, TaskRow, pinned};
use crate::spec::{self, Resolved};
use crate::{logging, texts, volumes};
use controller::Failure;
use model::ecs::ContainerDefinition;
use rollout::{DesiredStatus, TaskStatus};
use runtime::{RuntimeError, StartError, TaskId};
use std::collections::BTreeMap;
use types::Scope;

/// As whom and from where the agent works for a task.
struct Agent<'a> {
    scope: &'a Scope,
    session: Option<&'a Session>,
    netns: &'a str,
    ip: std::net::Ipv4Addr,
}

/// Why there is no image.
enum Missing {
    /// The task's stopped reason.
    Image(String),
    /// It is worth another try.
    Store(Failure),
}

impl TaskController {
    pub(super) async fn start(&self, scope: &Scope, row: &TaskRow, id: &TaskId) -> Result<Step, Failure> {
        match self.control.runtime.status(id).await {
            // Started before a crash.
            Ok(_) => {
                self.to(scope, row, TaskStatus::Activating, |_, _| {}).await?;
                return Ok(Step::Again);
            }
            Err(RuntimeError::NoTask(_)) => {}
            Err(why) => return Err(why.into()),
        }
        let view = self.control.store.view();
        let definition = view.get::<DefinitionRow>(scope, &DefinitionRow::key(&row.family, row.revision));
        let (Some(definition), Some(eni)) = (definition, &row.eni) else {
            return self.fail(scope, row, texts::DEFINITION_NOT_FOUND.to_owned(), None).await;
        };
        if row.pull_started_at.is_none() {
            self.change(scope, row, |fresh, now| fresh.pull_started_at = Some(now)).await?;
        }
        let session = match self.session(scope, row) {
            Ok(session) => session,
            Err(reason) => return self.fail(scope, row, reason, None).await,
        };
        let acting = row.agent_netns();
        let mut resolved = BTreeMap::new();
        let mut pulled: BTreeMap<String, Pulled> = BTreeMap::new();
        let mut digests = BTreeMap::new();
        for container in definition.containers() {
            let name = container.name.clone().unwrap_or_default();
            let mut secrets = Vec::new();
            for secret in container.secrets.iter().flatten() {
                match self.control.ports.secrets.value(scope, &secret.value_from, session.as_ref(), &acting).await {
                    Ok(value) => secrets.push((secret.name.clone(), value)),
                    Err(why) => {
                        return self.fail(scope, row, format!("ResourceInitializationError: {why}"), None).await;
                    }
                }
            }
            let agent = Agent { scope, session: session.as_ref(), netns: &acting, ip: eni.ip };
            let found = match self.image(&agent, row, container, &mut pulled).await {
                Ok(found) => found,
                Err(Missing::Store(why)) => return Err(why),
                Err(Missing::Image(reason)) => return self.fail(scope, row, reason, Some(&name)).await,
            };
            digests.insert(name.clone(), found.digest);
            resolved.insert(name, Resolved { image: found.snapshot, secrets });
        }
        for container in definition.containers() {
            if let Err(why) = logging::check(container) {
                return self.fail(scope, row, texts::logger_refuses(&why), None).await;
            }
        }
        for container in &row.containers {
            if let Some(log) = &container.log
                && let Err(why) = self.control.ports.logs.create_stream(scope, log, session.as_ref(), &acting).await
            {
                return self.fail(scope, row, format!("ResourceInitializationError: {why}"), None).await;
            }
        }
        self.keep_digests(scope, row, &digests).await?;
        self.change(scope, row, |fresh, now| {
            fresh.pull_stopped_at = Some(now);
            for container in &mut fresh.containers {
                container.digest = digests.get(&container.name).cloned();
            }
        })
        .await?;
        // It may have been told to stop meanwhile.
        let wanted = self.control.store.view().get::<TaskRow>(scope, &row.id);
        if wanted.is_none_or(|fresh| fresh.desired == DesiredStatus::Stopped) {
            return Ok(Step::Again);
        }
        let netns = row.netns();
        self.control.ports.network.await_metadata(&netns).await;
        self.await_proxy(scope, row).await?;
        let netns = self.control.ports.network.netns_path(&netns);
        let Some(spec) = spec::task(scope, row, &definition, netns, resolved, self.control.pace) else {
            return self
                .fail(scope, row, "ContainerRuntimeError: the task's containers changed".to_owned(), None)
                .await;
        };
        match self.control.runtime.start(spec).await {
            Ok(_) | Err(StartError::AlreadyExists(_)) => {
                self.to(scope, row, TaskStatus::Activating, |_, _| {}).await?;
                Ok(Step::Again)
            }
            Err(StartError::NoVolume { store, path }) => {
                let reason = match store.strip_prefix(volumes::EFS).and_then(|rest| rest.rsplit_once('/')) {
                    Some((_, file_system)) => texts::efs_directory_missing(file_system, scope.region.as_str(), &path),
                    None => texts::volume_missing(&path),
                };
                self.fail(scope, row, reason, None).await
            }
            Err(why @ StartError::Prepare(_)) => {
                self.fail(scope, row, format!("CannotPullContainerError: {why}"), None).await
            }
            Err(why) => self.fail(scope, row, format!("CannotCreateContainerError: {why}"), None).await,
        }
    }

    /// The container's image: in a deployment the one that its first task got, unless the container does not care.
    async fn image(
        &self,
        agent: &Agent<'_>,
        row: &TaskRow,
        container: &ContainerDefinition,
        pulled: &mut BTreeMap<String, Pulled>,
    ) -> Result<Pulled, Missing> {
        let (name, image) =
            (container.name.as_deref().unwrap_or_default(), container.image.as_deref().unwrap_or_default());
        let consistent = container.version_consistency.as_deref() != Some("disabled");
        let (Some(service), Some(deployment)) =
            (row.service_key().filter(|_| consistent), row.started_by.as_deref().filter(|_| consistent))
        else {
            return self.pull(agent, image, pulled).await;
        };
        let known = self.control.store.view().get::<ImagesRow>(agent.scope, &service);
        if let Some(digest) = known.as_ref().and_then(|known| known.digest(deployment, name)) {
            return self.pull(agent, &pinned(image, digest), pulled).await;
        }
        let found = self.pull(agent, image, pulled).await?;
        let (settled, ticket) = self.control.write(|tx| {
            let known = tx.get::<ImagesRow>(agent.scope, &service);
            let fresh = || ImagesRow { service: service.clone(), ..ImagesRow::default() };
            let mut images = known.map_or_else(fresh, |known| ImagesRow::clone(&known));
            if let Some(service) = tx.get::<ServiceRow>(agent.scope, &service) {
                images.prune(&service);
            }
            let settled = images.settle(deployment, name, &found.digest).to_owned();
            tx.put(agent.scope, images);
            settled
        });
        ticket.await.map_err(|why| Missing::Store(why.into()))?;
        if settled == found.digest {
            return Ok(found);
        }
        // Another task was first, and the tag has moved since.
        self.pull(agent, &pinned(image, &settled), pulled).await
    }

    /// Notes with the service revision what its images were: it is told of long after its tasks are forgotten.
    async fn keep_digests(
        &self,
        scope: &Scope,
        row: &TaskRow,
        digests: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let digits = row.started_by.as_deref().and_then(|id| id.strip_prefix("ecs-svc/"));
        let (Some(service), Some(digits)) = (&row.service, digits) else { return Ok(()) };
        let key = ServiceRevisionRow::key(&row.cluster, service, digits);
        let known = self.control.store.view().get::<ServiceRevisionRow>(scope, &key);
        if known.is_none_or(|known| digests.keys().all(|name| known.digests.contains_key(name))) {
            return Ok(());
        }
        let ((), ticket) = self.control.write(|tx| {
            tx.update::<ServiceRevisionRow>(scope, &key, |revision| {
                for (name, digest) in digests {
                    revision.digests.entry(name.clone()).or_insert_with(|| digest.clone());
                }
            });
        });
        ticket.await?;
        Ok(())
    }

    async fn pull(
        &self,
        agent: &Agent<'_>,
        image: &str,
        pulled: &mut BTreeMap<String, Pulled>,
    ) -> Result<Pulled, Missing> {
        if let Some(found) = pulled.get(image) {
            return Ok(found.clone());
        }
        let pull = Pull { image, session: agent.session, netns: agent.netns, ip: agent.ip };
        let found = self.control.ports.images.pull(agent.scope, pull).await.map_err(Missing::Image)?;
        let prepared = self.control.runtime.prepare(&found.snapshot).await;
        prepared.map_err(|why| Missing::Image(format!("CannotPullContainerError: {why}")))?;
        pulled.insert(image.to_owned(), found.clone());
        Ok(found)
    }

    /// A session of the execution role, named by the task's id as the real agent's is; without one that of the instance.
    fn session(&self, scope: &Scope, row: &TaskRow) -> Result<Option<Session>, String> {
        let roles = &self.control.ports.roles;
        let view = self.control.store.view();
        for role in row.execution_role.iter().chain(&row.task_role) {
            if roles.assume(&view, scope, role, &row.id).is_err() {
                return Err(texts::unable_to_assume(role));
            }
        }
        if let Some(role) = &row.execution_role {
            return roles.assume(&view, scope, role, &row.id).map(Some);
        }
        Ok(row.host.as_ref().and_then(|host| host.session(scope)))
    }
}
