//! The DNS names that AWS gives to what is in a VPC. Pure text; what a name leads to is the resolver's business.
//! Source: VPC user guide, "DNS attributes for your VPC"; PrivateLink guide, "DNS names for endpoint services".

use crate::rows::{Vpc, VpcEndpoint};
use std::net::Ipv4Addr;
use types::Region;

/// What all of AWS's public names end with.
pub const AMAZON: &str = "amazonaws.com";

/// The VPC's own resolver: the third address of its first block.
pub fn resolver(vpc: &Vpc) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(vpc.cidr.network()).saturating_add(2))
}

/// `ec2.internal`, or `eu-west-1.compute.internal`.
pub fn internal_domain(region: &Region) -> String {
    if region.as_str() == Region::DEFAULT { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") }
}

/// `compute-1.amazonaws.com`, or `eu-west-1.compute.amazonaws.com`.
pub fn public_domain(region: &Region) -> String {
    if region.as_str() == Region::DEFAULT {
        format!("compute-1.{AMAZON}")
    } else {
        format!("{region}.compute.{AMAZON}")
    }
}

/// `ip-10-0-1-4.ec2.internal`.
pub fn private_name(region: &Region, ip: Ipv4Addr) -> String {
    format!("ip-{}.{}", dashed(ip), internal_domain(region))
}

/// `ec2-198-18-0-16.compute-1.amazonaws.com`.
pub fn public_name(region: &Region, ip: Ipv4Addr) -> String {
    format!("ec2-{}.{}", dashed(ip), public_domain(region))
}

fn dashed(ip: Ipv4Addr) -> String {
    ip.to_string().replace('.', "-")
}

/// The address in `10-0-1-4`, written as [`private_name`] writes it.
pub fn parse_dashed(text: &str) -> Option<Ipv4Addr> {
    let ip = text.replace('-', ".").parse().ok()?;
    (dashed(ip) == text).then_some(ip)
}

/// The first labels of the name of a service with endpoints: `api.ecr` for `ecr.api`.
pub fn service_label(service: &str) -> String {
    match service {
        "ecs-agent" => "ecs-a".to_owned(),
        "ecs-telemetry" => "ecs-t".to_owned(),
        other => other.split('.').rev().collect::<Vec<_>>().join("."),
    }
}

/// A service's name, which an interface endpoint with private DNS answers for. A registry's begins with its account.
pub fn private_dns_name(region: &Region, service: &str) -> String {
    let any = if service == "ecr.dkr" { "*." } else { "" };
    format!("{any}{}.{region}.{AMAZON}", service_label(service))
}

/// All names that an interface endpoint with private DNS answers for: S3's buckets have their own below the service's.
pub fn private_dns_names(region: &Region, service: &str) -> Vec<String> {
    let own = private_dns_name(region, service);
    if service == "s3" { vec![format!("*.{own}"), own] } else { vec![own] }
}

/// What names of a service's endpoints end with: `logs.us-east-1.vpce.amazonaws.com`.
pub fn endpoint_domain(region: &Region, service: &str) -> String {
    format!("{}.{region}.vpce.{AMAZON}", service_label(service))
}

/// The last part of an endpoint's service, `com.amazonaws.<region>.<service>`.
pub fn short_service<'a>(region: &Region, name: &'a str) -> Option<&'a str> {
    name.strip_prefix("com.amazonaws.")?.strip_prefix(region.as_str())?.strip_prefix('.')
}

/// An endpoint's own name in all zones, or in one:
/// `vpce-0123456789abcdef0-1a2b3c4d-us-east-1a.logs.us-east-1.vpce.amazonaws.com`.
pub fn endpoint_name(region: &Region, endpoint: &VpcEndpoint, zone: Option<&str>) -> String {
    let service = short_service(region, &endpoint.service).unwrap_or(&endpoint.service);
    let zone = zone.map(|zone| format!("-{zone}")).unwrap_or_default();
    format!("{}-{}{zone}.{}", endpoint.id, suffix(endpoint), endpoint_domain(region, service))
}

/// The id of a service with endpoints, which its name and type determine.
pub(crate) fn service_id(key: &str) -> String {
    format!("vpce-svc-0{:016x}", hash(key))
}

pub(crate) fn hash(text: &str) -> u64 {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Eight letters that look as AWS's do and that the id determines, so that nothing has to be kept.
fn suffix(endpoint: &VpcEndpoint) -> String {
    let mut rest = hash(endpoint.id.as_str());
    let letters = (0..8).map(|_| {
        let digit = (rest % 36) as u32;
        rest /= 36;
        char::from_digit(digit, 36).unwrap_or('0')
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_region() {
        let (home, away) = (Region::default(), "eu-west-1".parse().unwrap());
        let ip = Ipv4Addr::new(10, 0, 1, 4);
        assert_eq!(private_name(&home, ip), "ip-10-0-1-4.ec2.internal");
        assert_eq!(private_name(&away, ip), "ip-10-0-1-4.eu-west-1.compute.internal");
        assert_eq!(public_name(&home, ip), "ec2-10-0-1-4.compute-1.amazonaws.com");
        assert_eq!(public_name(&away, ip), "ec2-10-0-1-4.eu-west-1.compute.amazonaws.com");
    }

    #[test]
    fn a_dashed_address_has_one_spelling() {
        assert_eq!(parse_dashed("10-0-1-4"), Some(Ipv4Addr::new(10, 0, 1, 4)));
        for bad in ["10-0-1", "10-0-1-256", "10-00-1-4", "10.0-1-4", "10-0-1-4-", ""] {
            assert_eq!(parse_dashed(bad), None, "{bad}");
        }
    }

    #[test]
    fn services_have_the_names_that_sdks_ask_for() {
        let region = Region::default();
        assert_eq!(private_dns_name(&region, "ecr.api"), "api.ecr.us-east-1.amazonaws.com");
        assert_eq!(private_dns_name(&region, "ecr.dkr"), "*.dkr.ecr.us-east-1.amazonaws.com");
        assert_eq!(private_dns_name(&region, "ecs-telemetry"), "ecs-t.us-east-1.amazonaws.com");
        assert_eq!(private_dns_names(&region, "s3"), ["*.s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com"]);
        assert_eq!(endpoint_domain(&region, "ecr.dkr"), "dkr.ecr.us-east-1.vpce.amazonaws.com");
    }
}
