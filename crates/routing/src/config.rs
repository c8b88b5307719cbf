//! The desired state of every load balancer of an instance, as plain data.
//!
//! The control plane compiles it whole; the proxy process swaps it in atomically. Durations are milliseconds that the
//! pace has already divided. It carries private keys, so its `Debug` hides them.

use crate::connect::Mesh;
use crate::matcher::Matcher;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use types::Timestamp;

/// All load balancers, and all target groups that they forward to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProxyConfig {
    /// Grows with each change; the proxy answers with the generation that it applied.
    pub generation: u64,
    /// The load balancers.
    pub load_balancers: Vec<LoadBalancer>,
    /// The target groups, each at most once.
    pub target_groups: Vec<TargetGroup>,
    /// Service Connect.
    #[serde(default)]
    pub mesh: Mesh,
}

impl ProxyConfig {
    /// Whether there is nothing to serve.
    pub fn is_empty(&self) -> bool {
        self.load_balancers.is_empty() && self.mesh.sidecars.is_empty()
    }
}

/// One load balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its DNS name.
    pub dns_name: String,
    /// Its nodes, one an enabled subnet.
    pub nodes: Vec<Node>,
    /// The attributes that the data plane obeys.
    #[serde(default)]
    pub attributes: Attributes,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// A load balancer's presence in one subnet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// The network namespace in which the node listens, and from which it connects and checks. `None` is the process's own.
    pub netns: Option<PathBuf>,
    /// The node's private address, on which it listens.
    pub address: IpAddr,
    /// The availability zone's name.
    pub zone: String,
}

/// The attributes of a load balancer that matter to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `idle_timeout.timeout_seconds`.
    pub idle_timeout_ms: u64,
    /// How long a connection to a target may take to come about: 10 seconds on AWS.
    pub connect_timeout_ms: u64,
    /// `client_keep_alive.seconds`.
    pub client_keep_alive_ms: u64,
    /// `routing.http.xff_header_processing.mode`.
    pub xff_mode: XffMode,
    /// `routing.http.xff_client_port.enabled`.
    pub xff_client_port: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserve_host_header: bool,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drop_invalid_header_fields: bool,
    /// `routing.http.desync_mitigation_mode`.
    pub desync_mode: DesyncMode,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`.
    pub tls_headers: bool,
    /// `routing.http2.enabled`.
    pub http2: bool,
    /// `load_balancing.cross_zone.enabled`; a target group may say otherwise.
    pub cross_zone: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 60_000,
            connect_timeout_ms: 10_000,
            client_keep_alive_ms: 3_600_000,
            xff_mode: XffMode::Append,
            xff_client_port: false,
            preserve_host_header: false,
            drop_invalid_header_fields: false,
            desync_mode: DesyncMode::Defensive,
            tls_headers: false,
            http2: true,
            cross_zone: true,
        }
    }
}

/// What happens to `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XffMode {
    /// The client's address is added at the end.
    #[default]
    Append,
    /// The header goes on as it came.
    Preserve,
    /// The header is taken off.
    Remove,
}

/// How ambiguous requests are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesyncMode {
    /// Lets more pass.
    Monitor,
    /// The default.
    #[default]
    Defensive,
    /// Only what RFC 9112 allows.
    Strictest,
}

/// The protocol of a listener, a target group or a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

impl Protocol {
    /// The scheme in a URL.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: String,
    /// The port on each node.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where the listener is served besides its nodes' addresses, in the process's own network namespace (a loopback port of the host's).
    /// Such connections go to targets through the first node.
    #[serde(default)]
    pub also_at: Vec<SocketAddr>,
    /// The certificates; the first is the default one. Empty unless HTTPS.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// The name of the security policy, e.g. `ELBSecurityPolicy-2016-08`.
    #[serde(default)]
    pub ssl_policy: Option<String>,
    /// The rules besides the default one.
    pub rules: Vec<Rule>,
    /// What happens when no rule matches.
    pub default_action: Action,
    /// The default rule's ARN.
    #[serde(default)]
    pub default_rule_arn: String,
}

/// A certificate with its private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its ARN.
    pub arn: String,
    /// The certificate and what signed it, as PEM.
    pub chain_pem: String,
    /// The private key, as PEM.
    pub key_pem: String,
    /// The DNS names that it is good for; `*.example.com` stands for one label.
    pub names: Vec<String>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("arn", &self.arn).field("names", &self.names).finish_non_exhaustive()
    }
}

/// A rule of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its ARN.
    pub arn: String,
    /// The lowest number is tried first.
    pub priority: u32,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// What is done then.
    pub action: Action,
}

/// A condition; it holds when any of its values does. Patterns have `*` for any run and `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The host, without regard to case.
    HostHeader(Vec<String>),
    /// The path without the query, with regard to case.
    PathPattern(Vec<String>),
    /// A header's value, without regard to case.
    HttpHeader {
        /// The header's name.
        name: String,
        /// The patterns.
        values: Vec<String>,
    },
    /// The method, exactly.
    HttpRequestMethod(Vec<String>),
    /// A parameter of the query, without regard to case.
    QueryString(Vec<QueryPair>),
    /// The address of the connection's other end.
    SourceIp(Vec<IpNet>),
}

/// A parameter looked for in the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPair {
    /// The name's pattern; any name if absent.
    pub key: Option<String>,
    /// The value's pattern.
    pub value: String,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Sends the request on to a target.
    Forward(Forward),
    /// Answers with another URL.
    Redirect(Redirect),
    /// Answers with what is written here.
    FixedResponse(FixedResponse),
}

/// Where a request is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The target groups, 1 to 5.
    pub groups: Vec<WeightedGroup>,
    /// For how long a client stays with its target group, if it does.
    #[serde(default)]
    pub stickiness_seconds: Option<u64>,
}

/// A target group with its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedGroup {
    /// The target group's ARN.
    pub target_group: String,
    /// Its share, 0 to 999.
    pub weight: u32,
}

/// A redirect. The parts may contain `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and `#{query}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: String,
    /// The path, from its leading slash.
    pub path: String,
    /// The query without its question mark.
    pub query: String,
    /// 301 or 302.
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".to_owned(),
            host: "#{host}".to_owned(),
            port: "#{port}".to_owned(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status: 301,
        }
    }
}

/// An answer of the load balancer's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// 2xx, 4xx or 5xx.
    pub status: u16,
    /// `text/plain` and the like; AWS's default is `text/plain`.
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// How targets are spoken to.
    pub protocol: Protocol,
    /// Which HTTP targets are spoken to with.
    #[serde(default)]
    pub protocol_version: ProtocolVersion,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// The attributes that the data plane obeys.
    #[serde(default)]
    pub attributes: TargetGroupAttributes,
    /// The targets, those that drain included.
    pub targets: Vec<Target>,
}

/// The version of HTTP towards targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "HTTP2")]
    Http2,
    /// gRPC over HTTP/2.
    #[serde(rename = "GRPC")]
    Grpc,
}

/// How targets are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Whether they are checked at all.
    pub enabled: bool,
    /// HTTP or HTTPS.
    pub protocol: Protocol,
    /// The port; `None` is `traffic-port`.
    pub port: Option<u16>,
    /// The path.
    pub path: String,
    /// Between the starts of two checks.
    pub interval_ms: u64,
    /// Until a check counts as failed.
    pub timeout_ms: u64,
    /// Successes in a row that make an unhealthy target healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy.
    pub unhealthy_threshold: u32,
    /// The statuses that count as success.
    pub matcher: Matcher,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            protocol: Protocol::Http,
            port: None,
            path: "/".to_owned(),
            interval_ms: 30_000,
            timeout_ms: 5_000,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher::default(),
        }
    }
}

/// The attributes of a target group that matter to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetGroupAttributes {
    /// `deregistration_delay.timeout_seconds`.
    pub deregistration_delay_ms: u64,
    /// `load_balancing.algorithm.type`.
    pub algorithm: Algorithm,
    /// `slow_start.duration_seconds`; 0 is off.
    pub slow_start_ms: u64,
    /// `stickiness.*`, if enabled.
    pub stickiness: Option<Stickiness>,
    /// `load_balancing.cross_zone.enabled`; `None` is as the load balancer's.
    pub cross_zone: Option<bool>,
}

impl Default for TargetGroupAttributes {
    fn default() -> Self {
        Self {
            deregistration_delay_ms: 300_000,
            algorithm: Algorithm::RoundRobin,
            slow_start_ms: 0,
            stickiness: None,
            cross_zone: None,
        }
    }
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastOutstandingRequests,
    /// Any.
    WeightedRandom,
}

/// A client's binding to its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stickiness {
    /// `lb_cookie`: the load balancer's own cookie, good for this long.
    LoadBalancerCookie {
        /// `stickiness.lb_cookie.duration_seconds`.
        seconds: u64,
    },
    /// `app_cookie`: lasts as long as the application's cookie.
    ApplicationCookie {
        /// `stickiness.app_cookie.cookie_name`.
        name: String,
        /// `stickiness.app_cookie.duration_seconds`.
        seconds: u64,
    },
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The zone that it is in; `None` is `all`.
    pub zone: Option<String>,
    /// Whether it is given requests.
    pub state: TargetState,
}

impl Target {
    /// Address and port.
    pub fn id(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Whether a target is given requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    /// It is registered.
    Active,
    /// It was deregistered, and may finish what it has begun.
    Draining {
        /// When it was deregistered.
        since: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_does_not_show_its_key() {
        let certificate = Certificate {
            arn: "a".to_owned(),
            chain_pem: "chain".to_owned(),
            key_pem: "SECRET".to_owned(),
            names: vec![],
        };
        assert!(!format!("{certificate:?}").contains("SECRET"), "the key would stand in a log");
    }

    #[test]
    fn a_config_survives_json() {
        let config = ProxyConfig {
            generation: 7,
            load_balancers: vec![],
            target_groups: vec![TargetGroup {
                arn: "tg".to_owned(),
                name: "tg".to_owned(),
                protocol: Protocol::Http,
                protocol_version: ProtocolVersion::Http1,
                health_check: HealthCheck::default(),
                attributes: TargetGroupAttributes::default(),
                targets: vec![Target {
                    address: "10.0.0.4".parse().unwrap(),
                    port: 80,
                    zone: None,
                    state: TargetState::Draining { since: Timestamp(5) },
                }],
            }],
            mesh: Mesh::default(),
        };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ProxyConfig>(&text).unwrap(), config);
    }
}
