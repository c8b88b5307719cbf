//! Sets of DHCP options, and which VPC has which.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, tags};
use crate::names;
use crate::rows::{DhcpOptions, Tags, Vpc};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::net::{IpAddr, Ipv4Addr};
use types::id::DhcpOptionsId;
use types::{ApiError, Region, Scope};
use wire::Unit;

/// How many servers an option may name. Source: EC2 API reference, CreateDhcpOptions.
const MAX_SERVERS: usize = 4;

/// The options of a region that nobody has changed.
pub(crate) fn regions_own(region: &Region) -> DhcpOptions {
    let options = vec![
        ("domain-name".to_owned(), vec![names::internal_domain(region)]),
        ("domain-name-servers".to_owned(), vec!["AmazonProvidedDNS".to_owned()]),
    ];
    DhcpOptions { id: DhcpOptionsId::generate(), options, tags: Tags::new() }
}

/// Whether an option may have these values.
fn fits(key: &str, values: &[String]) -> Result<bool, ApiError> {
    let addresses = |most| values.len() <= most && values.iter().all(|value| value.parse::<Ipv4Addr>().is_ok());
    Ok(match key {
        "domain-name" => values.len() == 1 && !values[0].is_empty(),
        "domain-name-servers" => {
            let families: Vec<bool> =
                values.iter().filter_map(|value| value.parse::<IpAddr>().ok()).map(|ip| ip.is_ipv4()).collect();
            let few = |ipv4| families.iter().filter(|family| **family == ipv4).count() <= MAX_SERVERS;
            let known = |value: &String| value == "AmazonProvidedDNS" || value.parse::<IpAddr>().is_ok();
            values.iter().all(known) && few(true) && few(false) && values.len() <= 2 * MAX_SERVERS
        }
        "ntp-servers" => values.len() <= 2 * MAX_SERVERS && values.iter().all(|value| value.parse::<IpAddr>().is_ok()),
        "netbios-name-servers" => addresses(MAX_SERVERS),
        "netbios-node-type" => values.len() == 1 && matches!(values[0].as_str(), "1" | "2" | "4" | "8"),
        "ipv6-address-preferred-lease-time" => {
            values.len() == 1 && values[0].parse::<u32>().is_ok_and(|seconds| (140..=2_147_483_647).contains(&seconds))
        }
        other => return Err(texts::invalid_value(other, "key", "Unknown DHCP option.")),
    })
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateDhcpOptionsRequest,
) -> Result<ec2::CreateDhcpOptionsResult, ApiError> {
    let mut options: Vec<(String, Vec<String>)> = Vec::new();
    for configuration in input.dhcp_configurations {
        let key = configuration.key.ok_or_else(|| texts::missing("key"))?;
        // The AWS CLI's short form gives several values as one.
        let given = configuration.values.unwrap_or_default();
        let values: Vec<String> = given.iter().flat_map(|value| value.split(',')).map(ToOwned::to_owned).collect();
        if values.is_empty() {
            return Err(texts::missing("value"));
        }
        if !fits(&key, &values)? {
            return Err(texts::invalid_value(values.join(", "), "value", "Invalid DHCP option value."));
        }
        if options.iter().any(|(standing, _)| *standing == key) {
            return Err(texts::invalid_value(key, "key", "The DHCP option is given twice."));
        }
        options.push((key, values));
    }
    if options.is_empty() {
        return Err(texts::missing("dhcpConfiguration"));
    }
    let tags = tags::at_creation(input.tag_specifications, "dhcp-options")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let row = cx.tx().put(&scope, DhcpOptions { id: DhcpOptionsId::generate(), options, tags });
    Ok(ec2::CreateDhcpOptionsResult { dhcp_options: Some(show(&scope, &row)) })
}

fn show(scope: &Scope, options: &DhcpOptions) -> ec2::DhcpOptions {
    let configurations = options.options.iter().map(|(key, values)| ec2::DhcpConfiguration {
        key: Some(key.clone()),
        values: Some(values.iter().map(|value| ec2::AttributeValue { value: Some(value.clone()) }).collect()),
    });
    ec2::DhcpOptions {
        owner_id: Some(scope.account.to_string()),
        tags: tags::shown(&options.tags),
        dhcp_options_id: Some(options.id.to_string()),
        dhcp_configurations: Some(configurations.collect()),
    }
}

const KIND: Kind<DhcpOptions> =
    Kind { not_found: texts::dhcp_options_not_found, tags: |_, options| &options.tags, filter };

fn filter(name: &str) -> Option<Values<DhcpOptions>> {
    Some(match name {
        "dhcp-options-id" => Box::new(|_, _, options| one(&options.id)),
        "key" => Box::new(|_, _, options| options.options.iter().map(|(key, _)| key.clone()).collect()),
        "value" => Box::new(|_, _, options| options.options.iter().flat_map(|(_, values)| values.clone()).collect()),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeDhcpOptionsRequest,
) -> Result<ec2::DescribeDhcpOptionsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.dhcp_options_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let shown = rows.iter().map(|row| show(&cx.scope, row)).collect();
    Ok(ec2::DescribeDhcpOptionsResult { dhcp_options: Some(shown), next_token })
}

/// Gives a VPC another set; `default` leaves it without one.
pub(crate) fn associate(_: &Ec2, cx: &mut Context, input: ec2::AssociateDhcpOptionsRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.dhcp_options_id;
    let options = match id.as_str() {
        "default" => None,
        _ => Some(tx.get::<DhcpOptions>(&scope, id).ok_or_else(|| texts::dhcp_options_not_found(id))?.id.clone()),
    };
    let updated = tx.update::<Vpc>(&scope, &input.vpc_id, |vpc| vpc.dhcp_options = options);
    updated.map(|_| Unit).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteDhcpOptionsRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.dhcp_options_id;
    let options = tx.get::<DhcpOptions>(&scope, id).ok_or_else(|| texts::dhcp_options_not_found(id))?;
    if tx.scan::<Vpc>(&scope).any(|vpc| vpc.dhcp_options.as_ref() == Some(&options.id)) {
        return Err(texts::dependency("dhcpOptions", id));
    }
    tx.delete::<DhcpOptions>(&scope, id);
    Ok(Unit)
}
