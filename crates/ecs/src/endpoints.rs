//! `AWS_ENDPOINT_URL_<SERVICE>`: where a container's SDK finds AWS's services.
//!
//! On AWS an SDK goes to the service's own name over TLS. Here the names are the same and lead the same ways, through endpoints,
//! gateways and route tables, but nobody can prove to be `amazonaws.com`: the variables say plain HTTP and nothing else.

use types::Region;

/// The variable that stands for all services.
const ALL: &str = "AWS_ENDPOINT_URL";

/// The services that are here.
static SERVICES: [&wire::ServiceInfo; 14] = [
    &model::acm::SERVICE,
    &model::autoscaling::SERVICE,
    &model::cloudwatch::SERVICE,
    &model::ec2::SERVICE,
    &model::ecr::SERVICE,
    &model::ecs::SERVICE,
    &model::elbv2::SERVICE,
    &model::events::SERVICE,
    &model::iam::SERVICE,
    &model::logs::SERVICE,
    &model::secretsmanager::SERVICE,
    &model::servicediscovery::SERVICE,
    &model::ssm::SERVICE,
    &model::sts::SERVICE,
];

/// The variables for a container whose image and definition set those named `own`: none that they set, and none at all
/// where they set one for all services, which these would be stronger than.
pub(crate) fn variables(region: &Region, own: &[&str]) -> Vec<(String, String)> {
    if own.contains(&ALL) {
        return Vec::new();
    }
    let variable = |service: &wire::ServiceInfo| {
        let name = format!("{ALL}_{}", service.id.to_ascii_uppercase().replace(' ', "_"));
        // IAM has one endpoint for all regions.
        let region = if service.endpoint == "iam" { String::new() } else { format!(".{region}") };
        let url = format!("http://{}{region}.{}", service.endpoint, vpc::names::AMAZON);
        (!own.contains(&name.as_str())).then_some((name, url))
    };
    SERVICES.into_iter().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdks_find_the_services_by_their_own_names() {
        let variables = variables(&"eu-west-1".parse().unwrap(), &["PATH"]);
        let get = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, url)| url.as_str());
        assert_eq!(get("AWS_ENDPOINT_URL_ECR"), Some("http://api.ecr.eu-west-1.amazonaws.com"));
        assert_eq!(get("AWS_ENDPOINT_URL_SECRETS_MANAGER"), Some("http://secretsmanager.eu-west-1.amazonaws.com"));
        assert_eq!(get("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"), Some("http://logs.eu-west-1.amazonaws.com"));
        assert_eq!(get("AWS_ENDPOINT_URL_IAM"), Some("http://iam.amazonaws.com"));
        assert_eq!(get("AWS_ENDPOINT_URL"), None);
        assert_eq!(variables.len(), SERVICES.len());
    }

    #[test]
    fn what_the_user_sets_stays() {
        let variables = |own: &[&str]| variables(&Region::default(), own);
        assert_eq!(variables(&["AWS_ENDPOINT_URL"]), []);
        let rest = variables(&["AWS_ENDPOINT_URL_ECS"]);
        assert_eq!(rest.len(), SERVICES.len() - 1);
        assert!(rest.iter().all(|(name, _)| name != "AWS_ENDPOINT_URL_ECS"));
    }
}
