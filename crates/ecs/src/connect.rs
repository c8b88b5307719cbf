//! The proxies of Service Connect: what the proxy process serves in the tasks' own network namespaces.
//!
//! Each task of a service with Service Connect has its endpoints as rows; the instances of each endpoint are in Cloud Map. From both
//! follows what listens where and leads to whom. A connection goes to one of the instances from the client's own namespace, so that groups,
//! ACLs and routes hold for it. Source: ECS developer guide, "Service Connect components".

use crate::rows::{EndpointRow, TaskRow};
use discovery::rows::{Health, Instance, Service};
use rollout::TaskStatus;
use routing::ProxyConfig;
use routing::config::{
    Action, Attributes, Forward, HealthCheck, Listener, LoadBalancer, Node, Protocol, ProtocolVersion, Target,
    TargetGroup, TargetGroupAttributes, TargetState, WeightedGroup, XffMode,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::{Row, View};
use types::Scope;

/// How long a connection to an instance may take to come about; AWS tells of no limit.
const CONNECT_MS: u64 = 1_000;

/// The proxies beside tasks.
pub struct Sidecars {
    /// Where network namespaces are mounted: `<run>/netns`.
    pub namespaces: PathBuf,
}

impl elb::Guests for Sidecars {
    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE, Instance::TABLE, Service::TABLE]
    }

    fn add(&self, view: &View, config: &mut ProxyConfig) {
        let mut groups = BTreeMap::new();
        for (scope, row) in view.scan_all::<TaskRow>() {
            // Its network stands from then on, until it is taken away.
            let stands = row.connectivity_at.is_some() && row.last < TaskStatus::Deprovisioning;
            for endpoint in row.endpoints.iter().filter(|_| stands) {
                config.load_balancers.push(self.sidecar(row, endpoint));
                groups.entry(endpoint.registry.clone()).or_insert_with(|| group(view, scope, endpoint));
            }
        }
        config.target_groups.extend(groups.into_values());
    }
}

impl Sidecars {
    fn sidecar(&self, row: &TaskRow, endpoint: &EndpointRow) -> LoadBalancer {
        let name = format!("{}/{}:{}", row.id, endpoint.name, endpoint.port);
        LoadBalancer {
            arn: name.clone(),
            dns_name: endpoint.name.clone(),
            nodes: vec![Node {
                netns: Some(self.namespaces.join(row.netns())),
                address: endpoint.address.into(),
                zone: row.placement.zone.clone(),
            }],
            attributes: Attributes {
                idle_timeout_ms: endpoint.patience_ms,
                connect_timeout_ms: CONNECT_MS,
                xff_mode: XffMode::Preserve,
                preserve_host_header: true,
                sidecar: true,
                ..Attributes::default()
            },
            listeners: vec![Listener {
                arn: name.clone(),
                port: endpoint.listens,
                protocol: if endpoint.http { Protocol::Http } else { Protocol::Tcp },
                also_at: vec![],
                certificates: vec![],
                ssl_policy: None,
                rules: vec![],
                default_action: Action::Forward(Forward {
                    groups: vec![WeightedGroup { target_group: endpoint.registry.clone(), weight: 1 }],
                    stickiness_seconds: None,
                }),
                default_rule_arn: String::new(),
            }],
            name,
        }
    }
}

/// The instances of an endpoint that are well.
fn group(view: &View, scope: &Scope, endpoint: &EndpointRow) -> TargetGroup {
    let service = discovery::query::service(view, scope, &endpoint.registry);
    let instances = service.map(|service| discovery::query::instances(view, scope, &service.id)).unwrap_or_default();
    let target = |instance: &Instance| {
        Some(Target {
            address: instance.attributes.get("AWS_INSTANCE_IPV4")?.parse().ok()?,
            port: instance.attributes.get("AWS_INSTANCE_PORT")?.parse().ok()?,
            zone: None,
            state: TargetState::Active,
        })
    };
    let well = instances.iter().filter(|instance| instance.health == Health::Healthy);
    TargetGroup {
        arn: endpoint.registry.clone(),
        name: endpoint.name.clone(),
        protocol: Protocol::Http,
        protocol_version: ProtocolVersion::Http1,
        health_check: HealthCheck { enabled: false, ..HealthCheck::default() },
        attributes: TargetGroupAttributes::default(),
        targets: well.filter_map(|instance| target(instance)).collect(),
    }
}
