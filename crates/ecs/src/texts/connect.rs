//! The words of Service Connect.

/// seen
pub fn service_used(namespace: &str) -> String {
    format!("SC service is already used by {namespace}")
}

/// own
pub const NO_NAMESPACE: &str =
    "Service Connect needs a namespace, of the service or of the cluster's serviceConnectDefaults.";
/// own, after Cloud Map's `CreateHttpNamespace`
pub const NAMESPACE_TOO_LONG: &str = "The name of a namespace has at most 1024 characters.";
/// own, after the developer guide, "Service Connect considerations"
pub const NETWORK_MODE: &str = "Service Connect needs a task definition with the network mode awsvpc or bridge.";
/// own
pub const ALIASES_MOST: &str = "clientAliases can have at most 1 items.";
/// own, after the API reference, `TimeoutConfiguration`
pub const REQUEST_TIMEOUT_TCP: &str =
    "perRequestTimeoutSeconds can only be set if the appProtocol of the port is not TCP.";

/// own, after the API reference, `ServiceConnectService`
pub fn port_missing(name: &str) -> String {
    format!("The portName {name} must match the name of one of the portMappings of the task definition.")
}

/// own
pub fn port_udp(name: &str) -> String {
    format!("The portName {name} is of a UDP port, which Service Connect does not support.")
}

/// own
pub fn port_twice(name: &str) -> String {
    format!("The portName {name} is used more than once.")
}

/// own
pub fn bad_port(port: i32) -> String {
    format!("Invalid port {port}.")
}

/// own
pub fn ingress_twice(port: u16) -> String {
    format!("More than one service of the Service Connect configuration listens on port {port}.")
}

/// own, after the API reference, `ServiceConnectService`
pub fn discovery_name(name: &str) -> String {
    format!(
        "The discoveryName {name} is not valid: up to 64 lowercase letters, numbers, underscores and hyphens, not starting with a hyphen."
    )
}

/// own, after the API reference, `ServiceConnectClientAlias`
pub fn dns_name(name: &str) -> String {
    format!(
        "The dnsName {name} is not valid: up to 127 lowercase letters, numbers, underscores, hyphens and periods, not starting with a hyphen."
    )
}

/// own
pub fn alias_used(name: &str, port: u16, namespace: &str) -> String {
    format!("The client alias {name}:{port} is already used in {namespace}")
}
