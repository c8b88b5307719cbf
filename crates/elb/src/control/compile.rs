//! All rows of all accounts and regions as one configuration of the proxy.
//!
//! Nodes whose interfaces the network has not attached yet are left out, and target groups that nobody forwards to.
//! The waiting times that users set for targets (checks, draining, slow start) are divided by the pace; those of
//! connections are not, for clients keep their own time.

use super::Control;
use crate::api::{LOAD_BALANCER, TARGET_GROUP, namespace};
use crate::query;
use crate::rows::{self, Listener, LoadBalancer, Rule, Target, TargetGroup, TargetState};
use model::Stored;
use model::elbv2::{Action, RuleCondition};
use routing::ProxyConfig;
use routing::config;
use std::collections::BTreeMap;
use std::time::Duration;
use store::View;
use types::{Pace, Scope};
use vpc::rows::InterfaceState;

/// The shortest timeout of a check, whatever the pace: a busy machine must not make targets look ill.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest pause between checks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// The configuration, with generation 0.
pub(super) fn config(control: &Control, view: &View) -> ProxyConfig {
    let balancers = view.scan_all::<LoadBalancer>().map(|(scope, row)| balancer(control, view, scope, row));
    let groups = view.scan_all::<TargetGroup>().filter(|(scope, row)| query::is_attached(view, scope, &row.arn));
    ProxyConfig {
        generation: 0,
        load_balancers: balancers.collect(),
        target_groups: groups.map(|(scope, row)| group(control.pace, view, scope, row)).collect(),
        mesh: control.mesh.as_ref().map(|source| source.mesh(view)).unwrap_or_default(),
    }
}

fn balancer(control: &Control, view: &View, scope: &Scope, row: &LoadBalancer) -> config::LoadBalancer {
    let set = &row.attributes;
    let seconds = |key| LOAD_BALANCER.number(set, key) * 1000;
    let flag = |key| LOAD_BALANCER.flag(set, key);
    config::LoadBalancer {
        arn: row.arn.clone(),
        name: row.name.clone(),
        dns_name: row.dns_name.clone(),
        nodes: row.nodes.iter().filter_map(|one| node(control, view, scope, one)).collect(),
        attributes: config::Attributes {
            idle_timeout_ms: seconds("idle_timeout.timeout_seconds"),
            client_keep_alive_ms: seconds("client_keep_alive.seconds"),
            xff_mode: match LOAD_BALANCER.value(set, "routing.http.xff_header_processing.mode") {
                "preserve" => config::XffMode::Preserve,
                "remove" => config::XffMode::Remove,
                _ => config::XffMode::Append,
            },
            xff_client_port: flag("routing.http.xff_client_port.enabled"),
            preserve_host_header: flag("routing.http.preserve_host_header.enabled"),
            drop_invalid_header_fields: flag("routing.http.drop_invalid_header_fields.enabled"),
            desync_mode: match LOAD_BALANCER.value(set, "routing.http.desync_mitigation_mode") {
                "monitor" => config::DesyncMode::Monitor,
                "strictest" => config::DesyncMode::Strictest,
                _ => config::DesyncMode::Defensive,
            },
            tls_headers: flag("routing.http.x_amzn_tls_version_and_cipher_suite.enabled"),
            http2: flag("routing.http2.enabled"),
            cross_zone: flag("load_balancing.cross_zone.enabled"),
            ..config::Attributes::default()
        },
        listeners: view
            .by_index(&Listener::BY_LOAD_BALANCER, scope, &row.arn)
            .filter_map(|row| listener(control, view, scope, row))
            .collect(),
    }
}

fn node(control: &Control, view: &View, scope: &Scope, node: &rows::Node) -> Option<config::Node> {
    let interface = vpc::query::interface(view, scope, node.interface.as_str())?;
    let attached = interface.state == InterfaceState::Attached;
    Some(config::Node {
        netns: Some(control.namespaces.join(namespace(interface.id.as_str()))),
        address: interface.private_ip()?.into(),
        zone: node.zone.clone(),
    })
    .filter(|_| attached)
}

/// A listener; none if its default action is not one that can be taken (which the API does not let in).
fn listener(control: &Control, view: &View, scope: &Scope, row: &Listener) -> Option<config::Listener> {
    let certificates = row.certificates.iter().filter_map(|arn| {
        let certificate = acm::certificate(view, scope, arn)?;
        let key_pem = control.acm.private_key(&certificate);
        if key_pem.is_none() {
            tracing::warn!(certificate = arn, "the private key cannot be opened: the listener goes without it");
        }
        Some(config::Certificate {
            arn: arn.clone(),
            chain_pem: certificate.presented(),
            key_pem: key_pem?,
            names: certificate.names.clone(),
        })
    });
    let rules = view.by_index(&Rule::BY_LISTENER, scope, &row.arn).filter_map(|rule| {
        Some(config::Rule {
            arn: rule.arn.clone(),
            priority: rule.priority,
            conditions: rule.conditions.iter().map(condition).collect::<Option<_>>()?,
            action: action(&rule.actions)?,
        })
    });
    Some(config::Listener {
        arn: row.arn.clone(),
        port: row.port,
        protocol: protocol(&row.protocol),
        also_at: Vec::new(),
        certificates: certificates.collect(),
        ssl_policy: row.ssl_policy.clone(),
        rules: rules.collect(),
        default_action: action(&row.default_actions)?,
        default_rule_arn: row.default_rule.clone(),
    })
}

fn protocol(text: &str) -> config::Protocol {
    if text == "HTTPS" { config::Protocol::Https } else { config::Protocol::Http }
}

fn action(actions: &[Stored<Action>]) -> Option<config::Action> {
    let action = actions.last()?;
    Some(match action.type_.as_str() {
        "forward" => {
            let forward = action.forward_config.as_ref()?;
            let groups = forward.target_groups.iter().flatten().filter_map(|tuple| {
                Some(config::WeightedGroup {
                    target_group: tuple.target_group_arn.clone()?,
                    weight: u32::try_from(tuple.weight.unwrap_or(1)).unwrap_or(0),
                })
            });
            let sticky = forward.target_group_stickiness_config.as_ref();
            let sticky =
                sticky.filter(|sticky| sticky.enabled == Some(true)).and_then(|sticky| sticky.duration_seconds);
            config::Action::Forward(config::Forward {
                groups: groups.collect(),
                stickiness_seconds: sticky.and_then(|seconds| u64::try_from(seconds).ok()),
            })
        }
        "redirect" => {
            let redirect = action.redirect_config.as_ref()?;
            let default = config::Redirect::default();
            config::Action::Redirect(config::Redirect {
                protocol: redirect.protocol.clone().unwrap_or(default.protocol),
                host: redirect.host.clone().unwrap_or(default.host),
                port: redirect.port.clone().unwrap_or(default.port),
                path: redirect.path.clone().unwrap_or(default.path),
                query: redirect.query.clone().unwrap_or(default.query),
                status: if redirect.status_code == "HTTP_302" { 302 } else { 301 },
            })
        }
        "fixed-response" => {
            let fixed = action.fixed_response_config.as_ref()?;
            config::Action::FixedResponse(config::FixedResponse {
                status: fixed.status_code.parse().ok()?,
                content_type: fixed.content_type.clone(),
                body: fixed.message_body.clone().unwrap_or_default(),
            })
        }
        _ => return None,
    })
}

fn condition(row: &Stored<RuleCondition>) -> Option<config::Condition> {
    Some(match row.field.as_deref()? {
        "path-pattern" => config::Condition::PathPattern(row.path_pattern_config.as_ref()?.values.clone()?),
        "host-header" => config::Condition::HostHeader(row.host_header_config.as_ref()?.values.clone()?),
        "http-header" => {
            let config = row.http_header_config.as_ref()?;
            config::Condition::HttpHeader { name: config.http_header_name.clone()?, values: config.values.clone()? }
        }
        "http-request-method" => {
            config::Condition::HttpRequestMethod(row.http_request_method_config.as_ref()?.values.clone()?)
        }
        "source-ip" => {
            let values = row.source_ip_config.as_ref()?.values.as_ref()?;
            config::Condition::SourceIp(values.iter().map(|value| value.parse().ok()).collect::<Option<_>>()?)
        }
        "query-string" => {
            let pairs = row.query_string_config.as_ref()?.values.iter().flatten();
            let pair = |pair: &model::elbv2::QueryStringKeyValuePair| {
                Some(config::QueryPair {
                    key: pair.key.clone().filter(|key| !key.is_empty()),
                    value: pair.value.clone()?,
                })
            };
            config::Condition::QueryString(pairs.map(pair).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn group(pace: Pace, view: &View, scope: &Scope, row: &TargetGroup) -> config::TargetGroup {
    let set = &row.attributes;
    let check = &row.check;
    let interval = Duration::from_secs(check.interval.into());
    let timeout = Duration::from_secs(check.timeout.into());
    config::TargetGroup {
        arn: row.arn.clone(),
        name: row.name.clone(),
        protocol: protocol(&row.protocol),
        protocol_version: match row.protocol_version.as_str() {
            "HTTP2" => config::ProtocolVersion::Http2,
            "GRPC" => config::ProtocolVersion::Grpc,
            _ => config::ProtocolVersion::Http1,
        },
        health_check: config::HealthCheck {
            enabled: check.enabled,
            protocol: protocol(&check.protocol),
            port: check.port.parse().ok(),
            path: check.path.clone(),
            interval_ms: millis(pace.scale(interval).max(SHORTEST_INTERVAL)),
            timeout_ms: millis(pace.scale(timeout).max(SHORTEST_TIMEOUT)),
            healthy_threshold: check.healthy,
            unhealthy_threshold: check.unhealthy,
            matcher: check.matcher.parse().unwrap_or_default(),
        },
        attributes: config::TargetGroupAttributes {
            deregistration_delay_ms: millis(super::drain_delay(Some(row), pace)),
            algorithm: match TARGET_GROUP.value(set, "load_balancing.algorithm.type") {
                "least_outstanding_requests" => config::Algorithm::LeastOutstandingRequests,
                "weighted_random" => config::Algorithm::WeightedRandom,
                _ => config::Algorithm::RoundRobin,
            },
            slow_start_ms: millis(
                pace.scale(Duration::from_secs(TARGET_GROUP.number(set, "slow_start.duration_seconds"))),
            ),
            stickiness: stickiness(set),
            cross_zone: match TARGET_GROUP.value(set, "load_balancing.cross_zone.enabled") {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
        },
        targets: query::targets(view, scope, &row.arn).filter_map(|row| target(view, scope, row)).collect(),
    }
}

fn stickiness(set: &BTreeMap<String, String>) -> Option<config::Stickiness> {
    if !TARGET_GROUP.flag(set, "stickiness.enabled") {
        return None;
    }
    Some(match TARGET_GROUP.value(set, "stickiness.type") {
        "app_cookie" => config::Stickiness::ApplicationCookie {
            name: TARGET_GROUP.value(set, "stickiness.app_cookie.cookie_name").to_owned(),
            seconds: TARGET_GROUP.number(set, "stickiness.app_cookie.duration_seconds"),
        },
        _ => config::Stickiness::LoadBalancerCookie {
            seconds: TARGET_GROUP.number(set, "stickiness.lb_cookie.duration_seconds"),
        },
    })
}

fn target(view: &View, scope: &Scope, row: &Target) -> Option<config::Target> {
    Some(config::Target {
        address: query::address_of(view, scope, &row.target)?.into(),
        port: row.port,
        zone: row.zone.clone(),
        state: match row.state {
            TargetState::Registered => config::TargetState::Active,
            TargetState::Draining { since } => config::TargetState::Draining { since },
            TargetState::Drained { .. } => return None,
        },
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
