//! ECS Exec: ExecuteCommand, and what clusters say about it.

use super::cluster;
use crate::exec::{Opening, PATH};
use crate::rows::TaskRow;
use crate::texts::exec as words;
use crate::{Ecs, names, texts};
use gateway::{Context, Door};
use model::ecs::{ClusterConfiguration, ExecuteCommandRequest, ExecuteCommandResponse, Session};
use rollout::TaskStatus;
use types::ApiError;

pub(super) fn execute(
    ecs: &Ecs,
    cx: &mut Context,
    input: ExecuteCommandRequest,
) -> Result<ExecuteCommandResponse, ApiError> {
    let (scope, now, stream) = (cx.scope.clone(), cx.now, stream_host(cx));
    if !input.interactive {
        return Err(texts::invalid(words::INTERACTIVE_ONLY));
    }
    if input.command.trim().is_empty() {
        return Err(texts::invalid(words::COMMAND_EMPTY));
    }
    let view = cx.view();
    let cluster = cluster(view, &scope, input.cluster.as_deref())?;
    let id = names::in_cluster(&scope, &input.task, "task", &cluster.name)?;
    if !matches!(id.len(), 32 | 36) {
        return Err(words::task_length());
    }
    let row = view.get::<TaskRow>(&scope, &id).filter(|row| row.cluster == cluster.name);
    let row = row.ok_or_else(|| texts::invalid(texts::TASK_NOT_FOUND))?;
    if !row.enable_execute_command || row.last != TaskStatus::Running {
        return Err(texts::invalid(words::NOT_ENABLED));
    }
    let container = match input.container.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => row.containers.iter().find(|container| container.name == name),
        None if row.containers.len() > 1 => return Err(texts::invalid(words::WHICH_CONTAINER)),
        None => row.containers.first(),
    };
    let container = container.ok_or_else(|| texts::invalid(words::NO_SUCH_CONTAINER))?;
    if container.last != TaskStatus::Running {
        return Err(texts::invalid(words::NOT_ENABLED));
    }
    if !ecs.exec.is_connected(&id, &container.name) {
        return Err(words::not_connected());
    }
    let opening = Opening {
        session: format!("ecs-execute-command-{}", types::id::random_hex(17)),
        token: types::id::random_hex(96),
        scope: scope.clone(),
        cluster: cluster.name.clone(),
        task: id.clone(),
        container: container.name.clone(),
        command: input.command,
        at: now,
    };
    let session = Session {
        session_id: Some(opening.session.clone()),
        stream_url: Some(format!("ws://{stream}{PATH}{}?role=publish_subscribe", opening.session)),
        token_value: Some(opening.token.clone()),
    };
    if !ecs.exec.promise(opening) {
        return Err(texts::client(words::TOO_MANY_SESSIONS));
    }
    Ok(ExecuteCommandResponse {
        cluster_arn: Some(names::cluster_arn(&scope, &cluster.name)),
        container_arn: Some(names::container_arn(&scope, &cluster.name, &id, &container.uuid)),
        container_name: Some(container.name.clone()),
        interactive: Some(true),
        session: Some(session),
        task_arn: Some(names::task_arn(&scope, &cluster.name, &id)),
    })
}

/// Where the client finds the data channel: at the very address that it has called, inside VPCs at Session Manager's own name.
fn stream_host(cx: &Context) -> String {
    match (&cx.origin.door, &cx.host) {
        (Door::Machine, Some(host)) => host.clone(),
        _ => format!("ssmmessages.{}.amazonaws.com", cx.scope.region),
    }
}

/// Refuses what a cluster cannot be told about ECS Exec.
pub(super) fn check_configuration(configuration: Option<&ClusterConfiguration>) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(format_args!("executeCommandConfiguration.{what}")));
    let Some(exec) = configuration.and_then(|given| given.execute_command_configuration.as_ref()) else {
        return Ok(());
    };
    let log = exec.log_configuration.as_ref();
    match exec.logging.as_deref() {
        None | Some("NONE" | "DEFAULT") if log.is_some() => {
            return Err(texts::invalid(words::CONFIGURATION_WITHOUT_OVERRIDE));
        }
        Some("OVERRIDE") if log.is_none() => return Err(texts::invalid(words::LOGGING_WITHOUT_CONFIGURATION)),
        None | Some("NONE" | "DEFAULT" | "OVERRIDE") => {}
        Some(other) => return Err(words::unknown_logging(other)),
    }
    if exec.kms_key_id.as_ref().is_some_and(|key| !key.is_empty()) {
        return refuse("kmsKeyId (AWS KMS)");
    }
    let Some(log) = log else { return Ok(()) };
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    if named(&log.s3_bucket_name) || named(&log.s3_key_prefix) || log.s3_encryption_enabled == Some(true) {
        return refuse("logConfiguration.s3BucketName (Amazon S3)");
    }
    if log.cloud_watch_encryption_enabled == Some(true) {
        return refuse("logConfiguration.cloudWatchEncryptionEnabled (AWS KMS)");
    }
    Ok(())
}

/// With ECS Exec a task needs a role: the agent is somebody then. `what` was to be `done`.
pub(super) fn check_role(enabled: bool, role: Option<&str>, what: &str, done: &str) -> Result<(), ApiError> {
    if enabled && role.is_none_or(str::is_empty) { Err(words::no_task_role(what, done)) } else { Ok(()) }
}
