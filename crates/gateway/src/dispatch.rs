//! Which operation of which service in which protocol a request means. Pure.
//!
//! The order is that of trust: a CBOR path names service and operation; `X-Amz-Target` names them; otherwise the
//! credential scope (or the host) names the service and the `Action` parameter the operation.

use http::request::Parts;
use wire::service::{Protocol, ServiceInfo};

/// What a request's head says before its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The protocol to decode with and to answer in.
    pub protocol: Protocol,
    /// The service's position among those registered; `None` if no such service is here.
    pub service: Option<usize>,
    /// The operation; `None` where the body's `Action` names it.
    pub operation: Option<String>,
}

/// Finds the target of a request with the head `parts`, whose signature names `signing_name`.
pub fn target(services: &[&'static ServiceInfo], parts: &Parts, signing_name: Option<&str>) -> Target {
    if let Some((service, operation)) = cbor_path(parts.uri.path()) {
        let service = services.iter().position(|info| has(info, Protocol::Cbor) && info.target_prefix == service);
        return Target { protocol: Protocol::Cbor, service, operation: Some(operation.to_owned()) };
    }
    if let Some(target) = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
        let service = services.iter().position(|info| !prefix.is_empty() && info.target_prefix == prefix);
        let protocol = service.map_or(Protocol::Json11, |at| json_of(services[at], parts));
        return Target { protocol, service, operation: Some(operation.to_owned()) };
    }
    let named = signing_name.map(str::to_owned).or_else(|| host_label(parts));
    let service = named.and_then(|name| {
        let is = |info: &&'static ServiceInfo| info.signing_names.contains(&name.as_str()) || info.endpoint == name;
        // `monitoring` and the like may be shared; those which speak query come first here.
        let speaks = |info: &&'static ServiceInfo| has(info, Protocol::Query) || has(info, Protocol::Ec2);
        services.iter().position(|info| is(info) && speaks(info)).or_else(|| services.iter().position(is))
    });
    let protocol = match service {
        Some(at) if has(services[at], Protocol::Ec2) => Protocol::Ec2,
        Some(at) if !has(services[at], Protocol::Query) => json_of(services[at], parts),
        None if speaks_rest_json(parts, signing_name) => Protocol::Json11,
        _ => Protocol::Query,
    };
    Target { protocol, service, operation: None }
}

/// Whether a service that is not here would be answered in JSON: its clients name resources by paths, and send no form.
/// The services that do so in XML are few.
fn speaks_rest_json(parts: &Parts, signing_name: Option<&str>) -> bool {
    let form = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = form.is_some_and(|said| said.starts_with("application/x-www-form-urlencoded"));
    let in_xml = matches!(signing_name, None | Some("s3" | "s3express" | "route53" | "cloudfront"));
    !form && !in_xml && parts.uri.query().is_none_or(|query| action(query.as_bytes()).is_none())
}

fn has(info: &ServiceInfo, protocol: Protocol) -> bool {
    info.protocols.contains(&protocol)
}

/// JSON 1.0 or 1.1: what the request's content type says where the service speaks it, else what the service speaks.
fn json_of(info: &ServiceInfo, parts: &Parts) -> Protocol {
    let said = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let wanted = if said.starts_with("application/x-amz-json-1.0") { Protocol::Json10 } else { Protocol::Json11 };
    if has(info, wanted) || !has(info, Protocol::Json10) { wanted } else { Protocol::Json10 }
}

/// `/service/<service>/operation/<operation>`, as Smithy's RPC v2 protocol has it.
fn cbor_path(path: &str) -> Option<(&str, &str)> {
    let (service, operation) = path.rsplit_once("/operation/")?;
    let (_, service) = service.rsplit_once("/service/").or_else(|| Some(("", service.strip_prefix("service/")?)))?;
    (!service.is_empty() && !operation.is_empty() && !operation.contains('/')).then_some((service, operation))
}

/// The service's name in a host such as `ec2.us-east-1.amazonaws.com` or `api.ecr.us-east-1.amazonaws.com`.
fn host_label(parts: &Parts) -> Option<String> {
    let host = parts.headers.get(http::header::HOST)?.to_str().ok()?;
    let name = host.split(':').next()?.strip_suffix(".amazonaws.com")?;
    Some(name.rsplit_once('.').map_or(name, |(before, _)| before).to_owned())
}

/// The value of `Action` in a query body or string.
pub fn action(form: &[u8]) -> Option<String> {
    form.split(|b| *b == b'&').find_map(|pair| {
        let value = pair.strip_prefix(b"Action=")?;
        let text = std::str::from_utf8(value).ok()?;
        let fine = text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        fine.then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cbor_path_names_service_and_operation() {
        assert_eq!(cbor_path("/service/Svc/operation/Op"), Some(("Svc", "Op")));
        assert_eq!(cbor_path("/service/Svc/operation/"), None);
        assert_eq!(cbor_path("/service//operation/Op"), None);
        assert_eq!(cbor_path("/"), None);
    }

    #[test]
    fn the_action_is_found_wherever_it_stands() {
        assert_eq!(action(b"Version=1&Action=DescribeVpcs&X=Action=No").as_deref(), Some("DescribeVpcs"));
        assert_eq!(action(b"XAction=No"), None);
        assert_eq!(action(b"Action=%00"), None);
    }

    #[test]
    fn a_service_that_is_not_here_is_refused_in_its_own_protocol() {
        let of = |uri: &str, content_type: &str, signing: &str| {
            let request = http::Request::post(uri).header("content-type", content_type).body(()).unwrap();
            target(&[], &request.into_parts().0, Some(signing)).protocol
        };
        assert_eq!(of("/2015-03-31/functions", "application/json", "lambda"), Protocol::Json11);
        assert_eq!(of("/bucket", "", "s3"), Protocol::Query);
        assert_eq!(of("/", "application/x-www-form-urlencoded; charset=utf-8", "rds"), Protocol::Query);
    }

    #[test]
    fn the_host_names_the_service_where_no_signature_does() {
        let (parts, ()) = http::Request::post("/")
            .header("host", "api.ecr.us-east-1.amazonaws.com:443")
            .body(())
            .unwrap()
            .into_parts();
        assert_eq!(host_label(&parts).as_deref(), Some("api.ecr"));
    }
}
