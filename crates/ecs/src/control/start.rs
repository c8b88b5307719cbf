//! PENDING: what the agent does before a task's containers run: roles, secrets, images, log streams, containers.

use super::task::{Step, TaskController};
use crate::ports::{Pull, Pulled, Session};
use crate::rows::{DefinitionRow, TaskRow};
use crate::spec::{self, Resolved};
use crate::texts;
use controller::Failure;
use rollout::{DesiredStatus, TaskStatus};
use runtime::{RuntimeError, StartError, TaskId};
use std::collections::BTreeMap;
use types::Scope;

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
        let netns = row.netns();
        let mut resolved = BTreeMap::new();
        let mut pulled: BTreeMap<String, Pulled> = BTreeMap::new();
        for container in definition.containers() {
            let name = container.name.clone().unwrap_or_default();
            let mut secrets = Vec::new();
            for secret in container.secrets.iter().flatten() {
                match self.control.ports.secrets.value(scope, &secret.value_from, session.as_ref(), &netns).await {
                    Ok(value) => secrets.push((secret.name.clone(), value)),
                    Err(why) => {
                        return self.fail(scope, row, format!("ResourceInitializationError: {why}"), None).await;
                    }
                }
            }
            let image = container.image.clone().unwrap_or_default();
            if !pulled.contains_key(&image) {
                let pull = Pull { image: &image, session: session.as_ref(), netns: &netns, ip: eni.ip };
                let found = match self.control.ports.images.pull(scope, pull).await {
                    Ok(found) => found,
                    Err(reason) => return self.fail(scope, row, reason, Some(&name)).await,
                };
                if let Err(why) = self.control.runtime.prepare(&found.snapshot).await {
                    let reason = format!("CannotPullContainerError: {why}");
                    return self.fail(scope, row, reason, Some(&name)).await;
                }
                pulled.insert(image.clone(), found);
            }
            let image = pulled[&image].snapshot.clone();
            resolved.insert(name, Resolved { image, secrets });
        }
        for container in &row.containers {
            if let Some(log) = &container.log
                && let Err(why) = self.control.ports.logs.create_stream(scope, log, session.as_ref(), &netns).await
            {
                return self.fail(scope, row, format!("ResourceInitializationError: {why}"), None).await;
            }
        }
        self.change(scope, row, |fresh, now| {
            fresh.pull_stopped_at = Some(now);
            for container in &mut fresh.containers {
                container.digest = pulled.get(&container.image).map(|found| found.digest.clone());
            }
        })
        .await?;
        // It may have been told to stop meanwhile.
        let wanted = self.control.store.view().get::<TaskRow>(scope, &row.id);
        if wanted.is_none_or(|fresh| fresh.desired == DesiredStatus::Stopped) {
            return Ok(Step::Again);
        }
        self.control.ports.network.await_metadata(&netns).await;
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
            Err(why @ StartError::Prepare(_)) => {
                self.fail(scope, row, format!("CannotPullContainerError: {why}"), None).await
            }
            Err(why) => self.fail(scope, row, format!("CannotCreateContainerError: {why}"), None).await,
        }
    }

    /// A session of the execution role, named by the task's id as the real agent's is.
    fn session(&self, scope: &Scope, row: &TaskRow) -> Result<Option<Session>, String> {
        let roles = &self.control.ports.roles;
        let view = self.control.store.view();
        for role in row.execution_role.iter().chain(&row.task_role) {
            if roles.assume(&view, scope, role, &row.id).is_err() {
                return Err(format!(
                    "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
                ));
            }
        }
        row.execution_role.as_ref().map(|role| roles.assume(&view, scope, role, &row.id)).transpose()
    }
}
