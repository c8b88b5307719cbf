//! What 169.254.170.2 answers inside a task: credentials of the task role, and task metadata (versions 3 and 4).
//! Source: Amazon ECS developer guide, "Task metadata endpoint version 4", "Task IAM role"; errors: the agent's
//! `v1/credentials_handler.go`.
//!
//! [`answer`] is all of it, without HTTP: whoever listens gives the peer's address and the path. A task is told of itself
//! alone: ids are unguessable, and must belong to the task with the peer's address.

mod stats;

use self::stats::Sample;
use crate::control::Control;
use crate::rows::{ClusterRow, ContainerRow, DefinitionRow, TASKS_BY_CREDENTIALS, TaskRow};
use crate::{names, spec};
use rollout::TaskStatus;
use runtime::{ContainerUsage, StorageUsage, TaskId};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::View;
use types::{Scope, Timestamp};

/// An answer: HTTP status and JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    fn ok(body: &Value) -> Self {
        Self { status: 200, body: body.to_string() }
    }
}

/// How long before its end a role's session is replaced.
const RENEW_BEFORE: Duration = Duration::from_mins(15);
/// How long a container's statistics are kept for the difference to the next ones.
const FORGET_SAMPLES: Duration = Duration::from_mins(10);

/// The endpoint's answers, with the sessions that were handed out, so that each call does not make another.
pub struct Endpoint {
    control: Control,
    sessions: Mutex<HashMap<String, (Timestamp, Value)>>,
    /// What containers used when they last asked.
    samples: Mutex<HashMap<String, Sample>>,
}

impl Endpoint {
    /// The endpoint.
    pub fn new(control: Control) -> Self {
        Self { control, sessions: Mutex::default(), samples: Mutex::default() }
    }

    /// The answer to `GET path` (with its query) from the task that has the address `peer` in `vpc`.
    pub async fn answer(&self, vpc: &str, peer: Ipv4Addr, path: &str) -> Answer {
        let peer = Peer { vpc, ip: peer };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts[..] {
            ["v2", "credentials"] => credentials_error(400, "NoIdInRequest", "No Credential ID in the request"),
            ["v2", "credentials", id] => self.credentials(peer, id).await,
            ["v1", "credentials"] => match query.split('&').find_map(|pair| pair.strip_prefix("id=")) {
                Some(id) => self.credentials(peer, id).await,
                None => credentials_error(400, "NoIdInRequest", "No Credential ID in the request"),
            },
            ["v3" | "v4", id, ref rest @ ..] => self.metadata(peer, id, rest).await,
            _ => Answer { status: 404, body: "404 page not found\n".to_owned() },
        }
    }

    async fn credentials(&self, peer: Peer<'_>, id: &str) -> Answer {
        let view = self.control.store.view();
        let found = scopes(&view).into_iter().find_map(|scope| {
            let row = view.by_index(&TASKS_BY_CREDENTIALS, &scope, id).find(|row| is_at(row, peer))?;
            Some((scope.clone(), row.clone()))
        });
        let Some((scope, row)) = found else {
            return credentials_error(400, "InvalidIdInRequest", "Credentials not found");
        };
        let Some(role) = &row.task_role else {
            return credentials_error(400, "InvalidIdInRequest", "Credentials not found");
        };
        let now = self.control.clock.now();
        {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|_, (expires, _)| *expires > now);
            if let Some((expires, body)) = sessions.get(id)
                && expires.since(now) > RENEW_BEFORE
            {
                return Answer::ok(body);
            }
        }
        let roles = &self.control.ports.roles;
        let made = {
            let mut tx = self.control.store.begin();
            let session = roles.assume(&tx, &scope, role, &row.id);
            let made = session.and_then(|session| roles.credentials(&mut tx, &scope, &session, now));
            made.map(|made| (made, tx.commit()))
        };
        let uninitialised = || credentials_error(503, "CredentialsUninitialized", "Credentials uninitialized for ID");
        let Ok((made, ticket)) = made else { return uninitialised() };
        if ticket.await.is_err() {
            return uninitialised();
        }
        let body = json!({
            "RoleArn": role,
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret_access_key,
            "Token": made.token,
            "Expiration": made.expires_at.iso8601(),
        });
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(id.to_owned(), (made.expires_at, body.clone()));
        Answer::ok(&body)
    }

    async fn metadata(&self, peer: Peer<'_>, id: &str, rest: &[&str]) -> Answer {
        let absent = || Answer {
            status: 404,
            body: format!(
                "V4 container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: {id}"
            ),
        };
        let task = id.split('-').next().unwrap_or_default();
        let view = self.control.store.view();
        let found = scopes(&view).into_iter().find_map(|scope| {
            let row = view.get::<TaskRow>(&scope, task).filter(|row| is_at(row, peer))?;
            Some((scope, row))
        });
        let Some((scope, row)) = found else { return absent() };
        let row = self.counted(&row).await;
        let Some(container) = row.containers.iter().find(|container| container.runtime_id == id) else {
            return absent();
        };
        let definition = view.get::<DefinitionRow>(&scope, &DefinitionRow::key(&row.family, row.revision));
        match rest {
            [] => Answer::ok(&container_body(&scope, &row, container, definition.as_deref())),
            ["task" | "taskWithTags"] => {
                let storage = self.storage(&row).await;
                Answer::ok(&task_body(&scope, &row, definition.as_deref(), storage, rest == ["taskWithTags"]))
            }
            ["stats"] => Answer::ok(&self.stats(container, &self.usage(&row).await)),
            ["task", "stats"] => {
                let usage = self.usage(&row).await;
                let stats = |container: &ContainerRow| (container.runtime_id.clone(), self.stats(container, &usage));
                Answer::ok(&Value::Object(row.containers.iter().map(stats).collect()))
            }
            _ => Answer { status: 404, body: "404 page not found\n".to_owned() },
        }
    }

    /// A container's statistics: null unless it runs.
    fn stats(&self, container: &ContainerRow, usage: &[ContainerUsage]) -> Value {
        let Some(usage) = usage.iter().find(|usage| usage.name == container.name) else { return Value::Null };
        let now = Sample { at: self.control.clock.now(), usage: usage.clone() };
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.retain(|_, sample| now.at.since(sample.at) < FORGET_SAMPLES);
        let before = samples.insert(container.runtime_id.clone(), now.clone());
        stats::body(&container.runtime_id, &now, before.as_ref())
    }

    /// The row with the restarts that the runtime counts: a container that was started again may ask before the row is
    /// written, and on AWS the agent has counted before it starts.
    async fn counted(&self, row: &TaskRow) -> TaskRow {
        let mut row = row.clone();
        let Some(id) = TaskId::parse(&row.id) else { return row };
        if let Ok(status) = self.control.runtime.status(&id).await {
            for container in &mut row.containers {
                container.restarts =
                    status.container(&container.name).map_or(container.restarts, |found| found.restarts);
            }
        }
        row
    }

    async fn storage(&self, row: &TaskRow) -> Option<StorageUsage> {
        self.control.runtime.storage(&TaskId::parse(&row.id)?).await.ok().flatten()
    }

    async fn usage(&self, row: &TaskRow) -> Vec<ContainerUsage> {
        match TaskId::parse(&row.id) {
            Some(id) => self.control.runtime.usage(&id).await.unwrap_or_default(),
            None => vec![],
        }
    }
}

/// Who asks.
#[derive(Clone, Copy)]
struct Peer<'a> {
    vpc: &'a str,
    ip: Ipv4Addr,
}

fn is_at(row: &TaskRow, peer: Peer) -> bool {
    row.last < TaskStatus::Stopped && row.eni.as_ref().is_some_and(|eni| eni.ip == peer.ip && eni.vpc == peer.vpc)
}

/// The scopes in which there is anything: those that have a cluster.
fn scopes(view: &View) -> BTreeSet<Scope> {
    view.scan_all::<ClusterRow>().map(|(scope, _): (&Scope, &Arc<ClusterRow>)| scope.clone()).collect()
}

fn credentials_error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({ "code": code, "message": format!("CredentialsV2Request: {message}"), "HTTPErrorCode": status });
    Answer { status, body: body.to_string() }
}

fn instant(body: &mut Map<String, Value>, key: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        body.insert(key.to_owned(), Value::String(at.iso8601()));
    }
}

/// `${…}/task`.
fn task_body(
    scope: &Scope,
    row: &TaskRow,
    definition: Option<&DefinitionRow>,
    storage: Option<StorageUsage>,
    with_tags: bool,
) -> Value {
    let containers: Vec<Value> =
        row.containers.iter().map(|container| container_body(scope, row, container, definition)).collect();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("Cluster", json!(names::cluster_arn(scope, &row.cluster)));
    put("TaskARN", json!(names::task_arn(scope, &row.cluster, &row.id)));
    put("Family", json!(row.family));
    put("Revision", json!(row.revision.to_string()));
    put("DesiredStatus", json!(row.desired.as_str()));
    put("KnownStatus", json!(row.last.as_str()));
    put("Limits", json!({ "CPU": f64::from(row.cpu) / 1024.0, "Memory": row.memory }));
    put("AvailabilityZone", json!(row.placement.zone));
    put("LaunchType", json!(if row.host.is_some() { "EC2" } else { "FARGATE" }));
    if let Some(service) = &row.service {
        put("ServiceName", json!(service));
    }
    if let Some(eni) = &row.eni {
        put("VPCID", json!(eni.vpc));
    }
    put("Containers", Value::Array(containers));
    if row.host.is_none() {
        put("EphemeralStorageMetrics", storage_metrics(row, storage));
    }
    put("FaultInjectionEnabled", json!(false));
    if with_tags {
        let tags: Map<String, Value> = row.tags.iter().map(|tag| (tag.key.clone(), json!(tag.value))).collect();
        put("TaskTags", Value::Object(tags));
    }
    instant(&mut body, "PullStartedAt", row.pull_started_at);
    instant(&mut body, "PullStoppedAt", row.pull_stopped_at);
    Value::Object(body)
}

/// In MiB. A task of 20 GiB is seen to have 20496 on Fargate; that others have as much more than their size is not verified.
/// What is in use is known of a file system of the task's own.
fn storage_metrics(row: &TaskRow, storage: Option<StorageUsage>) -> Value {
    let mut metrics = Map::new();
    if let Some(storage) = storage {
        metrics.insert("Utilized".to_owned(), json!(storage.used >> 20));
    }
    metrics.insert("Reserved".to_owned(), json!(i64::from(row.storage_gib) * 1024 + 16));
    Value::Object(metrics)
}

/// `${ECS_CONTAINER_METADATA_URI_V4}` itself.
fn container_body(scope: &Scope, row: &TaskRow, container: &ContainerRow, definition: Option<&DefinitionRow>) -> Value {
    let arn = names::container_arn(scope, &row.cluster, &row.id, &container.uuid);
    let task = names::task_arn(scope, &row.cluster, &row.id);
    let mut labels = Map::new();
    let named = definition.and_then(|definition| {
        definition.containers().iter().find(|other| other.name.as_ref() == Some(&container.name))
    });
    for (key, value) in named.iter().flat_map(|found| found.docker_labels.iter().flatten()) {
        labels.insert(key.clone(), json!(value));
    }
    let mut label = |key: &str, value: String| labels.insert(format!("com.amazonaws.ecs.{key}"), Value::String(value));
    label("cluster", names::cluster_arn(scope, &row.cluster));
    label("container-name", container.name.clone());
    label("task-arn", task);
    label("task-definition-family", row.family.clone());
    label("task-definition-version", row.revision.to_string());

    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("DockerId", json!(container.runtime_id));
    put("Name", json!(container.name));
    put("DockerName", json!(container.name));
    put("Image", json!(container.image));
    put("ImageID", json!(container.digest.clone().unwrap_or_default()));
    put("Labels", Value::Object(labels));
    put("DesiredStatus", json!(row.desired.as_str()));
    put("KnownStatus", json!(container.last.as_str()));
    put("Limits", json!({ "CPU": container.cpu, "Memory": container.memory.unwrap_or(0) }));
    put("Type", json!("NORMAL"));
    put("ContainerARN", json!(arn));
    put("Snapshotter", json!("overlayfs"));
    if named.is_some_and(|found| found.restart_policy.as_ref().is_some_and(|policy| policy.enabled)) {
        put("RestartCount", json!(container.restarts));
    }
    if let Some(code) = container.exit_code {
        put("ExitCode", json!(code));
    }
    if container.checked {
        put("Health", json!({ "status": container.health.as_str() }));
    }
    if let Some(log) = &container.log {
        put("LogDriver", json!("awslogs"));
        let options = json!({ "awslogs-group": log.group, "awslogs-region": log.region, "awslogs-stream": log.stream });
        put("LogOptions", options);
    }
    if let Some(eni) = &row.eni {
        let mut network = json!({
            "NetworkMode": "awsvpc",
            "IPv4Addresses": [eni.ip.to_string()],
            "AttachmentIndex": 0,
            "MACAddress": eni.mac,
            "IPv4SubnetCIDRBlock": eni.subnet_cidr,
            "DomainNameServers": eni.dns_servers,
            "DomainNameSearchList": eni.dns_search,
            "PrivateDNSName": spec::host_name(scope, eni.ip),
            "SubnetGatewayIpv4Address": gateway(&eni.subnet_cidr),
        });
        // Without IPv6 the agent leaves these out.
        if let Some(ipv6) = eni.ipv6 {
            network["IPv6Addresses"] = json!([ipv6.to_string()]);
            network["IPv6SubnetCIDRBlock"] = json!(eni.subnet_ipv6_cidr);
        }
        put("Networks", json!([network]));
    }
    instant(&mut body, "CreatedAt", container.started_at.or(Some(row.created_at)));
    instant(&mut body, "StartedAt", container.started_at);
    instant(&mut body, "FinishedAt", container.finished_at);
    Value::Object(body)
}

/// `10.0.1.1/24` for `10.0.1.0/24`: the router is a subnet's first address.
fn gateway(cidr: &str) -> Option<String> {
    let (base, prefix) = cidr.split_once('/')?;
    let base: Ipv4Addr = base.parse().ok()?;
    Some(format!("{}/{prefix}", Ipv4Addr::from(u32::from(base).checked_add(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_is_the_subnets_first_address() {
        assert_eq!(gateway("10.0.1.0/24").as_deref(), Some("10.0.1.1/24"));
        assert_eq!(gateway("nonsense"), None);
    }
}
