//! How ECS names things: ARNs made, and references (short name or ARN) taken apart.

use crate::texts;
use types::arn::Arn;
use types::{ApiError, Scope};

/// `arn:aws:ecs:…:cluster/<name>`.
pub fn cluster_arn(scope: &Scope, cluster: &str) -> String {
    Arn::new("ecs", scope, format!("cluster/{cluster}")).to_string()
}

/// `arn:aws:ecs:…:service/<cluster>/<name>`.
pub fn service_arn(scope: &Scope, cluster: &str, name: &str) -> String {
    Arn::new("ecs", scope, format!("service/{cluster}/{name}")).to_string()
}

/// `arn:aws:ecs:…:task/<cluster>/<id>`.
pub fn task_arn(scope: &Scope, cluster: &str, id: &str) -> String {
    Arn::new("ecs", scope, format!("task/{cluster}/{id}")).to_string()
}

/// `arn:aws:ecs:…:service-deployment/<cluster>/<service>/<id>`.
pub fn service_deployment_arn(scope: &Scope, cluster: &str, service: &str, id: &str) -> String {
    Arn::new("ecs", scope, format!("service-deployment/{cluster}/{service}/{id}")).to_string()
}

/// `arn:aws:ecs:…:service-revision/<cluster>/<service>/<digits>`.
pub fn service_revision_arn(scope: &Scope, cluster: &str, service: &str, digits: &str) -> String {
    Arn::new("ecs", scope, format!("service-revision/{cluster}/{service}/{digits}")).to_string()
}

/// `arn:aws:ecs:…:task-set/<cluster>/<service>/ecs-svc/<digits>`.
pub fn task_set_arn(scope: &Scope, cluster: &str, service: &str, id: &str) -> String {
    Arn::new("ecs", scope, format!("task-set/{cluster}/{service}/{id}")).to_string()
}

/// The part behind `kind/` of an ARN of that kind: `cluster/service/id`. `kind` is `service-deployment` or `service-revision`.
pub fn of_service(scope: &Scope, reference: &str, kind: &str) -> Result<String, ApiError> {
    let arn: Arn =
        reference.parse().map_err(|_| texts::invalid("Invalid identifier: Unexpected number of separators"))?;
    check_home(scope, &arn)?;
    let rest = arn.resource.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
    match rest.filter(|rest| rest.split('/').filter(|part| !part.is_empty()).count() == 3) {
        Some(rest) => Ok(rest.to_owned()),
        None => {
            Err(texts::invalid(format!("Invalid identifier: Expected {kind} but got {}", first_part(&arn.resource))))
        }
    }
}

/// The id of the task set that `reference` means in the service.
pub fn task_set(scope: &Scope, reference: &str, cluster: &str, service: &str) -> Result<String, ApiError> {
    if !reference.starts_with("arn:") {
        return Ok(reference.to_owned());
    }
    let arn: Arn =
        reference.parse().map_err(|_| texts::invalid("Invalid identifier: Unexpected number of separators"))?;
    check_home(scope, &arn)?;
    let id = arn.resource.strip_prefix(&format!("task-set/{cluster}/{service}/"));
    id.map(str::to_owned).ok_or_else(texts::task_set_not_found)
}

/// `arn:aws:ecs:…:container/<cluster>/<task>/<uuid>`.
pub fn container_arn(scope: &Scope, cluster: &str, task: &str, uuid: &str) -> String {
    Arn::new("ecs", scope, format!("container/{cluster}/{task}/{uuid}")).to_string()
}

/// `arn:aws:ecs:…:task-definition/<family>:<revision>`.
pub fn definition_arn(scope: &Scope, family: &str, revision: u32) -> String {
    Arn::new("ecs", scope, format!("task-definition/{family}:{revision}")).to_string()
}

/// `arn:aws:ecs:…:container-instance/<cluster>/<id>`.
pub fn container_instance_arn(scope: &Scope, cluster: &str, id: &str) -> String {
    Arn::new("ecs", scope, format!("container-instance/{cluster}/{id}")).to_string()
}

/// The ARN of a role that is named by its ARN or, as ECS allows, by its name alone. `None`: that is no role.
pub fn role_arn(scope: &Scope, reference: &str) -> Option<String> {
    if !reference.starts_with("arn:") {
        return is_role(reference).then(|| format!("arn:aws:iam::{}:role/{reference}", scope.account));
    }
    let arn: Arn = reference.parse().ok()?;
    let of_iam = arn.service == "iam" && arn.region.is_empty();
    let account = arn.account.len() == 12 && arn.account.bytes().all(|byte| byte.is_ascii_digit());
    let role = arn.resource.strip_prefix("role/").is_some_and(is_role);
    (of_iam && account && role).then(|| reference.to_owned())
}

/// Whether this is a role's name, with its path before it if it has one. Source: IAM API reference, `Role`.
fn is_role(text: &str) -> bool {
    let (path, name) = text.rsplit_once('/').map_or((None, text), |(path, name)| (Some(path), name));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    let within = |path: &str| path.len() <= 510 && path.split('/').all(|part| !part.is_empty()) && is_graphic(path);
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && path.is_none_or(within)
}

fn is_graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `arn:aws:ecs:…:capacity-provider/<name>`.
pub fn provider_arn(scope: &Scope, name: &str) -> String {
    Arn::new("ecs", scope, format!("capacity-provider/{name}")).to_string()
}

/// The capacity provider that a request names: by name or by ARN.
pub fn provider(scope: &Scope, reference: &str) -> Result<String, ApiError> {
    if !reference.starts_with("arn:") {
        return Ok(reference.to_owned());
    }
    let arn: Arn = reference.parse().map_err(|_| texts::invalid(texts::INVALID_ARN))?;
    check_home(scope, &arn)?;
    match arn.resource.strip_prefix("capacity-provider/") {
        Some(name) if arn.service == "ecs" => Ok(name.to_owned()),
        _ => Err(texts::invalid(texts::INVALID_ARN)),
    }
}

/// What an ARN names must be of the account and the region that are asked.
pub fn check_home(scope: &Scope, arn: &Arn) -> Result<(), ApiError> {
    if arn.region != scope.region.as_str() {
        let text = format!("Invalid region '{}' specified. Valid region: '{}'", arn.region, scope.region);
        return Err(texts::invalid(format!("Invalid identifier: {text}")));
    }
    if arn.account != scope.account.as_str() {
        return Err(texts::invalid("Invalid identifier: Identifier is for another account"));
    }
    Ok(())
}

/// The cluster that a request names: by name, by ARN, or `default`.
pub fn cluster_name(scope: &Scope, reference: Option<&str>) -> Result<String, ApiError> {
    let Some(reference) = reference.filter(|text| !text.is_empty()) else { return Ok("default".to_owned()) };
    if !reference.starts_with("arn:") {
        return Ok(reference.to_owned());
    }
    let arn: Arn =
        reference.parse().map_err(|_| texts::invalid("Invalid identifier: Unexpected number of separators"))?;
    check_home(scope, &arn)?;
    match arn.resource.strip_prefix("cluster/") {
        Some(name) if arn.service == "ecs" => Ok(name.to_owned()),
        _ => Err(texts::invalid(format!("Invalid identifier: Expected cluster but got {}", first_part(&arn.resource)))),
    }
}

/// The name of the service or the id of the task that `reference` means in `cluster`; `kind` is `service` or `task`.
pub fn in_cluster(scope: &Scope, reference: &str, kind: &str, cluster: &str) -> Result<String, ApiError> {
    if !reference.starts_with("arn:") {
        return Ok(reference.to_owned());
    }
    let arn: Arn =
        reference.parse().map_err(|_| texts::invalid("Invalid identifier: Unexpected number of separators"))?;
    check_home(scope, &arn)?;
    let parts: Vec<&str> = arn.resource.split('/').collect();
    match parts[..] {
        [found, name] if found == kind => Ok(name.to_owned()),
        [found, owner, name] if found == kind => {
            if owner == cluster {
                Ok(name.to_owned())
            } else {
                Err(texts::invalid(format!(
                    "Invalid identifier: Identifier is for cluster {owner}. Your cluster is {cluster}"
                )))
            }
        }
        [found, ..] => Err(texts::invalid(format!("Invalid identifier: Expected {kind} but got {found}"))),
        [] => Err(texts::invalid(texts::INVALID_ARN)),
    }
}

/// The family and, if given, the revision that `reference` means: `family`, `family:1`, or an ARN.
pub fn definition(scope: &Scope, reference: &str) -> Result<(String, Option<u32>), ApiError> {
    let short = if reference.starts_with("arn:") {
        let arn: Arn = reference.parse().map_err(|_| texts::client(texts::INVALID_ARN))?;
        check_home(scope, &arn)?;
        let name = arn.resource.strip_prefix("task-definition/").map(str::to_owned);
        name.filter(|_| arn.service == "ecs").ok_or_else(|| texts::client(texts::INVALID_ARN))?
    } else {
        reference.to_owned()
    };
    match short.split_once(':') {
        None => Ok((short, None)),
        Some((family, revision)) => match revision.parse::<u32>() {
            Ok(number) if number > 0 => Ok((family.to_owned(), Some(number))),
            _ => Err(texts::client(format!("Invalid revision number. Number: {revision}"))),
        },
    }
}

/// Whether `text` is letters, digits, underscores and dashes, at most 255 of them.
pub fn is_plain(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether `text` may be a task's id; older ids are UUIDs.
pub fn is_task_id(text: &str) -> bool {
    text.len() <= 36 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

fn first_part(resource: &str) -> &str {
    resource.split(['/', ':']).next().unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_may_be_short_or_arns() {
        let scope = Scope::default();
        assert_eq!(cluster_name(&scope, None).unwrap(), "default");
        assert_eq!(cluster_name(&scope, Some(&cluster_arn(&scope, "c"))).unwrap(), "c");
        assert!(cluster_name(&scope, Some("arn:aws:ecs:us-east-1:123456789012:service/c/s")).is_err());
        assert_eq!(in_cluster(&scope, &service_arn(&scope, "c", "s"), "service", "c").unwrap(), "s");
        assert!(in_cluster(&scope, &service_arn(&scope, "c", "s"), "service", "other").is_err());
        assert_eq!(definition(&scope, &definition_arn(&scope, "f", 3)).unwrap(), ("f".to_owned(), Some(3)));
        assert_eq!(definition(&scope, "f").unwrap(), ("f".to_owned(), None));
        assert!(definition(&scope, "f:x").is_err() && definition(&scope, "f:0").is_err());
    }

    #[test]
    fn a_role_is_named_by_its_name_or_its_arn() {
        let scope = Scope::default();
        let arn = |reference: &str| role_arn(&scope, reference);
        let of_account = |role: &str| Some(format!("arn:aws:iam::123456789012:role/{role}"));
        assert_eq!((arn("app"), arn("service-role/app")), (of_account("app"), of_account("service-role/app")));
        for whole in ["arn:aws:iam::210987654321:role/app", "arn:aws-cn:iam::210987654321:role/a/b/app+=,.@_-"] {
            assert_eq!(arn(whole).as_deref(), Some(whole));
        }
        let no_roles = [
            "",
            " ",
            "☃",
            "/",
            "a b",
            "a//b",
            "arn:aws:s3:::x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::1:role/app",
            "arn:aws:iam:us-east-1:123456789012:role/app",
            "arn:aws:iam",
        ];
        assert_eq!(no_roles.map(arn), [const { None }; 12]);
        assert_eq!(arn(&"a".repeat(65)), None);
    }
}
