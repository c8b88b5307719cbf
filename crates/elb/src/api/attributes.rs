//! Attributes of load balancers, target groups and listeners: which there are, their defaults, and what they may be.
//!
//! Source: API reference, `LoadBalancerAttribute`, `TargetGroupAttribute`, `ListenerAttribute`.

use crate::texts;
use std::collections::BTreeMap;
use types::ApiError;

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute {
    key: &'static str,
    default: &'static str,
    may_be: MayBe,
}

/// The values of an attribute.
#[derive(Debug, Clone, Copy)]
enum MayBe {
    Flag,
    Number(u64, u64),
    OneOf(&'static [&'static str]),
    /// `off` or a number of this range.
    OffOr(u64, u64),
    Text,
    /// Nothing but its default is implemented.
    DefaultOnly,
}

use MayBe::{DefaultOnly, Flag, Number, OffOr, OneOf, Text};

/// The attributes of a kind of resource.
#[derive(Debug)]
pub(crate) struct Attributes {
    /// As errors name it.
    kind: &'static str,
    all: &'static [Attribute],
}

const fn a(key: &'static str, default: &'static str, may_be: MayBe) -> Attribute {
    Attribute { key, default, may_be }
}

/// Those of application load balancers.
pub(crate) static LOAD_BALANCER: Attributes = Attributes {
    kind: "Load balancer",
    all: &[
        a("access_logs.s3.enabled", "false", DefaultOnly),
        a("access_logs.s3.bucket", "", Text),
        a("access_logs.s3.prefix", "", Text),
        a("connection_logs.s3.enabled", "false", DefaultOnly),
        a("connection_logs.s3.bucket", "", Text),
        a("connection_logs.s3.prefix", "", Text),
        a("health_check_logs.s3.enabled", "false", DefaultOnly),
        a("health_check_logs.s3.bucket", "", Text),
        a("health_check_logs.s3.prefix", "", Text),
        a("idle_timeout.timeout_seconds", "60", Number(1, 4000)),
        a("client_keep_alive.seconds", "3600", Number(60, 604_800)),
        a("deletion_protection.enabled", "false", Flag),
        a("load_balancing.cross_zone.enabled", "true", OneOf(&["true"])),
        a("routing.http2.enabled", "true", Flag),
        a("routing.http.desync_mitigation_mode", "defensive", OneOf(&["monitor", "defensive", "strictest"])),
        a("routing.http.drop_invalid_header_fields.enabled", "false", Flag),
        a("routing.http.preserve_host_header.enabled", "false", Flag),
        a("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Flag),
        a("routing.http.xff_client_port.enabled", "false", Flag),
        a("routing.http.xff_header_processing.mode", "append", OneOf(&["append", "preserve", "remove"])),
        a("waf.fail_open.enabled", "false", Flag),
        a("zonal_shift.config.enabled", "false", DefaultOnly),
    ],
};

/// Those of target groups of instances and addresses.
pub(crate) static TARGET_GROUP: Attributes = Attributes {
    kind: "Target group",
    all: &[
        a("deregistration_delay.timeout_seconds", "300", Number(0, 3600)),
        a("stickiness.enabled", "false", Flag),
        a("stickiness.type", "lb_cookie", OneOf(&["lb_cookie", "app_cookie"])),
        a("stickiness.lb_cookie.duration_seconds", "86400", Number(1, 604_800)),
        a("stickiness.app_cookie.duration_seconds", "86400", Number(1, 604_800)),
        a("stickiness.app_cookie.cookie_name", "", Text),
        a("slow_start.duration_seconds", "0", Number(0, 900)),
        a(
            "load_balancing.algorithm.type",
            "round_robin",
            OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
        ),
        a("load_balancing.algorithm.anomaly_mitigation", "off", DefaultOnly),
        a(
            "load_balancing.cross_zone.enabled",
            "use_load_balancer_configuration",
            OneOf(&["true", "false", "use_load_balancer_configuration"]),
        ),
        a("target_group_health.dns_failover.minimum_healthy_targets.count", "1", OffOr(1, 1000)),
        a("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", OffOr(1, 100)),
        a("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", OffOr(1, 1000)),
        a("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", OffOr(1, 100)),
    ],
};

/// Those of HTTP and HTTPS listeners: the header fields that it would rename or add.
pub(crate) static LISTENER: Attributes = Attributes {
    kind: "Listener",
    all: &[
        a("routing.http.response.server.enabled", "true", DefaultOnly),
        a("routing.http.response.strict_transport_security.header_value", "", DefaultOnly),
        a("routing.http.response.access_control_allow_origin.header_value", "", DefaultOnly),
        a("routing.http.response.access_control_allow_methods.header_value", "", DefaultOnly),
        a("routing.http.response.access_control_allow_headers.header_value", "", DefaultOnly),
        a("routing.http.response.access_control_allow_credentials.header_value", "", DefaultOnly),
        a("routing.http.response.access_control_expose_headers.header_value", "", DefaultOnly),
        a("routing.http.response.access_control_max_age.header_value", "", DefaultOnly),
        a("routing.http.response.content_security_policy.header_value", "", DefaultOnly),
        a("routing.http.response.x_content_type_options.header_value", "", DefaultOnly),
        a("routing.http.response.x_frame_options.header_value", "", DefaultOnly),
    ],
};

impl Attributes {
    /// Every attribute with its value.
    pub(crate) fn values<'a>(
        &'static self,
        set: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.all.iter().map(|one| (one.key, set.get(one.key).map_or(one.default, String::as_str)))
    }

    /// The value of one.
    pub(crate) fn value<'a>(&'static self, set: &'a BTreeMap<String, String>, key: &str) -> &'a str {
        let default = self.all.iter().find(|one| one.key == key).map_or("", |one| one.default);
        set.get(key).map_or(default, String::as_str)
    }

    /// Whether one is `true`.
    pub(crate) fn flag(&'static self, set: &BTreeMap<String, String>, key: &str) -> bool {
        self.value(set, key) == "true"
    }

    /// The number that one is; 0 if it is none.
    pub(crate) fn number(&'static self, set: &BTreeMap<String, String>, key: &str) -> u64 {
        self.value(set, key).parse().unwrap_or(0)
    }

    /// `set` with what is given put into it.
    pub(crate) fn modified(
        &'static self,
        set: &BTreeMap<String, String>,
        given: impl IntoIterator<Item = (Option<String>, Option<String>)>,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        let mut after = set.clone();
        for (key, value) in given {
            let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
            let one = self.all.iter().find(|one| one.key == key);
            let one = one.ok_or_else(|| texts::unknown_attribute(self.kind, &key))?;
            let number = |from: u64, to: u64| value.parse::<u64>().is_ok_and(|n| (from..=to).contains(&n));
            let fine = match one.may_be {
                Flag => matches!(value.as_str(), "true" | "false"),
                Number(from, to) => number(from, to),
                OneOf(values) => values.contains(&value.as_str()),
                OffOr(from, to) => value == "off" || number(from, to),
                Text => value.len() <= 1024,
                DefaultOnly if value == one.default => true,
                DefaultOnly => return Err(ApiError::not_implemented(format!("{key} = {value}"))),
            };
            if !fine {
                return Err(texts::bad_attribute(self.kind, &key, &value));
            }
            after.insert(key, value);
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Vec<(Option<String>, Option<String>)> {
        vec![(Some(key.to_owned()), Some(value.to_owned()))]
    }

    #[test]
    fn attributes_have_defaults_and_bounds() {
        let set = BTreeMap::new();
        assert_eq!(TARGET_GROUP.number(&set, "deregistration_delay.timeout_seconds"), 300);
        let set = TARGET_GROUP.modified(&set, one("deregistration_delay.timeout_seconds", "10")).unwrap();
        assert_eq!(TARGET_GROUP.number(&set, "deregistration_delay.timeout_seconds"), 10);
        let refused = |key, value| LOAD_BALANCER.modified(&BTreeMap::new(), one(key, value)).unwrap_err().code;
        assert_eq!(refused("idle_timeout.timeout_seconds", "0"), "ValidationError");
        assert_eq!(refused("no.such", "0"), "ValidationError");
        assert_eq!(refused("access_logs.s3.enabled", "true"), "NotImplemented");
    }

    #[test]
    fn every_default_is_a_value_that_may_be_set() {
        for kind in [&LOAD_BALANCER, &TARGET_GROUP, &LISTENER] {
            for attribute in kind.all {
                let given = one(attribute.key, attribute.default);
                assert!(kind.modified(&BTreeMap::new(), given).is_ok(), "{}", attribute.key);
            }
        }
    }
}
