//! Which service a name of AWS's means. Pure text.

use types::Region;
use vpc::names::AMAZON;
use vpc::query::{GATEWAY_SERVICES, INTERFACE_SERVICES};

/// The services that have regional names and no endpoints in VPCs.
const WITHOUT_ENDPOINTS: [&str; 5] = ["acm", "data-servicediscovery", "events", "iam", "servicediscovery"];
/// Those that have a name without a region.
const GLOBAL: [&str; 3] = ["iam", "s3", "sts"];

/// The services whose regional names are known, by the last part of `com.amazonaws.<region>.<service>`.
fn regional() -> impl Iterator<Item = &'static str> {
    INTERFACE_SERVICES.into_iter().chain(GATEWAY_SERVICES).chain(WITHOUT_ENDPOINTS)
}

/// A service, as a name means it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Where; `None` for the name without a region.
    pub(crate) region: Option<Region>,
    /// The last part of `com.amazonaws.<region>.<service>`.
    pub(crate) service: &'static str,
}

impl Named {
    /// Whether the service is behind gateway endpoints, and so answers at their prefix lists' address.
    pub(crate) fn has_gateway_endpoints(&self) -> bool {
        matches!(self.service, "s3" | "dynamodb")
    }
}

/// The service that has this lower-case name, if one does.
pub(crate) fn parse(name: &str) -> Option<Named> {
    let labels = name.strip_suffix(AMAZON)?.strip_suffix('.')?;
    if let Some(service) = GLOBAL.into_iter().find(|service| is_called(labels, service, service)) {
        return Some(Named { region: None, service });
    }
    let (labels, region) = labels.rsplit_once('.')?;
    let region = region.parse::<Region>().ok().filter(looks_like_a_region)?;
    let service = regional().find(|service| is_called(labels, service, &vpc::names::service_label(service)))?;
    // IAM has no regional name.
    (service != "iam").then_some(Named { region: Some(region), service })
}

/// Whether `labels` are the service's own, or those of a registry or a bucket of it.
fn is_called(labels: &str, service: &str, own: &str) -> bool {
    if labels == own {
        return service != "ecr.dkr";
    }
    let Some(first) = labels.strip_suffix(own).and_then(|rest| rest.strip_suffix('.')) else { return false };
    match service {
        "ecr.dkr" => first.len() == 12 && first.bytes().all(|b| b.is_ascii_digit()),
        // A bucket's name may have dots.
        "s3" => !first.is_empty(),
        _ => false,
    }
}

/// `us-east-1`: words, and a number at the end.
fn looks_like_a_region(region: &Region) -> bool {
    let mut parts = region.as_str().split('-');
    let number = parts.next_back().is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    number
        && words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(name: &str) -> Option<(Option<String>, &'static str)> {
        parse(name).map(|named| (named.region.map(|region| region.to_string()), named.service))
    }

    #[test]
    fn services_registries_and_buckets_are_known_by_name() {
        let home = || Some("us-east-1".to_owned());
        for (name, service) in [
            ("api.ecr.us-east-1.amazonaws.com", "ecr.api"),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "ecr.dkr"),
            ("logs.us-east-1.amazonaws.com", "logs"),
            ("ecs-a.us-east-1.amazonaws.com", "ecs-agent"),
            ("sts.us-east-1.amazonaws.com", "sts"),
            ("data-servicediscovery.us-east-1.amazonaws.com", "data-servicediscovery"),
            ("s3.us-east-1.amazonaws.com", "s3"),
            ("my.bucket.s3.us-east-1.amazonaws.com", "s3"),
        ] {
            assert_eq!(means(name), Some((home(), service)), "{name}");
        }
        assert_eq!(means("iam.amazonaws.com"), Some((None, "iam")));
        assert_eq!(means("bucket.s3.amazonaws.com"), Some((None, "s3")));
        assert_eq!(means("ssm.eu-west-1.amazonaws.com"), Some((Some("eu-west-1".to_owned()), "ssm")));
    }

    #[test]
    fn others_are_not() {
        for name in [
            "amazonaws.com",
            "us-east-1.amazonaws.com",
            "logs.amazonaws.com",
            "logs.somewhere.amazonaws.com",
            "x.logs.us-east-1.amazonaws.com",
            "dkr.ecr.us-east-1.amazonaws.com",
            "1234.dkr.ecr.us-east-1.amazonaws.com",
            "iam.us-east-1.amazonaws.com",
            "nothing.us-east-1.amazonaws.com",
            "logs.us-east-1.amazonaws.com.example.com",
            "logs.us-east-1.notamazonaws.com",
            ".us-east-1.amazonaws.com",
            ".s3.us-east-1.amazonaws.com",
        ] {
            assert_eq!(means(name), None, "{name}");
        }
    }
}
