//! The services that endpoints lead to, and the prefix lists of those that routes lead to.

use super::describe::{self, page};
use super::subnet::zone_id;
use super::{Ec2, begin, refuse};
use crate::names;
use crate::query::{self, GATEWAY_SERVICES, INTERFACE_SERVICES};
use crate::texts;
use gateway::Context;
use model::ec2;
use types::{ApiError, Region};

/// The most that one page holds, whatever is asked for. Source: EC2 API reference, DescribeVpcEndpointServices.
const MOST: i32 = 1000;

pub(crate) fn describe_services(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeVpcEndpointServicesRequest,
) -> Result<ec2::DescribeVpcEndpointServicesResult, ApiError> {
    let region = cx.region().clone();
    let elsewhere = |regions: &Vec<String>| regions.iter().any(|wanted| wanted != region.as_str());
    refuse(input.service_regions.as_ref().is_some_and(elsewhere), "endpoint services of other regions")?;
    begin(cx, input.dry_run)?;
    let named = input.service_names.unwrap_or_default();
    let all = services(&region);
    if let Some(unknown) = named.iter().find(|name| !all.iter().any(|service| service.name == **name)) {
        return Err(texts::service_not_found(unknown));
    }
    let mut kept = Vec::new();
    for service in all {
        let fits = describe::kept(input.filters.as_deref(), |name| service.filter(&region, name))?;
        if fits && (named.is_empty() || named.contains(&service.name)) {
            kept.push(service);
        }
    }
    let most = input.max_results.map(|most| most.min(MOST));
    let (shown, next_token) = page(kept, most, input.next_token.as_deref(), Service::key)?;
    let mut service_names: Vec<String> = shown.iter().map(|service| service.name.clone()).collect();
    service_names.dedup();
    Ok(ec2::DescribeVpcEndpointServicesResult {
        service_names: Some(service_names),
        service_details: Some(shown.iter().map(|service| service.show(&region)).collect()),
        next_token,
    })
}

/// A service that has endpoints of one type.
struct Service {
    /// `com.amazonaws.<region>.<short>`.
    name: String,
    short: &'static str,
    interface: bool,
}

/// In order of name and type.
fn services(region: &Region) -> Vec<Service> {
    let service =
        |short: &'static str, interface| Service { name: format!("com.amazonaws.{region}.{short}"), short, interface };
    let gateways = GATEWAY_SERVICES.into_iter().map(|short| service(short, false));
    let mut all: Vec<_> = gateways.chain(INTERFACE_SERVICES.into_iter().map(|short| service(short, true))).collect();
    all.sort_by_key(Service::key);
    all
}

impl Service {
    fn kind(&self) -> &'static str {
        if self.interface { "Interface" } else { "Gateway" }
    }

    fn key(&self) -> String {
        format!("{} {}", self.name, self.kind())
    }

    fn filter(&self, region: &Region, name: &str) -> Option<Vec<String>> {
        let value = match name {
            "owner" => "amazon",
            "service-name" => &self.name,
            "service-region" => region.as_str(),
            "service-type" => self.kind(),
            "supported-ip-address-types" => "ipv4",
            // AWS's own services have no tags.
            tag if tag == "tag-key" || tag.starts_with("tag:") => return Some(Vec::new()),
            _ => return None,
        };
        Some(vec![value.to_owned()])
    }

    fn show(&self, region: &Region) -> ec2::ServiceDetail {
        let private = names::private_dns_names(region, self.short);
        let own = names::private_dns_name(region, self.short);
        let base = if self.interface { names::endpoint_domain(region, self.short) } else { own };
        let of_interface = |value: &str| self.interface.then(|| value.to_owned());
        ec2::ServiceDetail {
            service_name: Some(self.name.clone()),
            service_id: Some(names::service_id(&self.key())),
            service_type: Some(vec![ec2::ServiceTypeDetail { service_type: Some(self.kind().to_owned()) }]),
            service_region: Some(region.to_string()),
            availability_zones: Some(region.zones()),
            availability_zone_ids: Some(region.zones().iter().map(|zone| zone_id(zone)).collect()),
            owner: Some("amazon".to_owned()),
            base_endpoint_dns_names: Some(vec![base]),
            private_dns_name: of_interface(&private[0]),
            private_dns_names: self.interface.then(|| private.into_iter().map(private_name).collect()),
            private_dns_name_verification_state: of_interface("verified"),
            vpc_endpoint_policy_supported: Some(true),
            acceptance_required: Some(false),
            manages_vpc_endpoints: Some(false),
            supported_ip_address_types: Some(vec!["ipv4".to_owned()]),
            tags: Some(Vec::new()),
            ..Default::default()
        }
    }
}

fn private_name(name: String) -> ec2::PrivateDnsDetails {
    ec2::PrivateDnsDetails { private_dns_name: Some(name) }
}

pub(crate) fn describe_prefix_lists(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::DescribePrefixListsRequest,
) -> Result<ec2::DescribePrefixListsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let mut all = query::prefix_lists(cx.region());
    all.push(query::cloudfront());
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let named = input.prefix_list_ids.unwrap_or_default();
    if let Some(unknown) = named.iter().find(|id| !all.iter().any(|list| list.id == **id)) {
        return Err(texts::prefix_list_not_found(unknown));
    }
    let mut kept = Vec::new();
    for list in all {
        let fits = describe::kept(input.filters.as_deref(), |name| match name {
            "prefix-list-id" => Some(vec![list.id.clone()]),
            "prefix-list-name" => Some(vec![list.name.clone()]),
            _ => None,
        })?;
        if fits && (named.is_empty() || named.contains(&list.id)) {
            kept.push(list);
        }
    }
    let (shown, next_token) = page(kept, input.max_results, input.next_token.as_deref(), |list| list.id.clone())?;
    let shown = shown.into_iter().map(|list| ec2::PrefixList {
        cidrs: Some(if list.id == query::cloudfront().id {
            Vec::new()
        } else {
            vec![format!("{}/32", service.ground.gateway_endpoint_address())]
        }),
        prefix_list_id: Some(list.id),
        prefix_list_name: Some(list.name),
    });
    Ok(ec2::DescribePrefixListsResult { prefix_lists: Some(shown.collect()), next_token })
}
