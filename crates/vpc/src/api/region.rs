//! Regions, zones and the account's attributes.

use super::describe::{self, one};
use super::{Ec2, begin, subnet};
use crate::rows::Vpc;
use crate::texts;
use gateway::Context;
use model::ec2;
use types::ApiError;

/// The regions that every account has without opting in. Source: AWS, "AWS Regions".
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

pub(crate) fn availability_zones(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeAvailabilityZonesRequest,
) -> Result<ec2::DescribeAvailabilityZonesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let region = cx.region().as_str().to_owned();
    let zones = cx.region().zones();
    for name in input.zone_names.iter().flatten() {
        if !zones.contains(name) {
            return Err(ApiError::new("InvalidParameterValue", format!("Invalid availability zone: [{name}]")));
        }
    }
    let mut shown = Vec::new();
    for zone in zones {
        let id = subnet::zone_id(&zone);
        let named = input.zone_names.as_ref().is_none_or(|names| names.is_empty() || names.contains(&zone))
            && input.zone_ids.as_ref().is_none_or(|ids| ids.is_empty() || ids.contains(&id));
        let values = |name: &str| {
            Some(one(match name {
                "group-name" | "network-border-group" | "region-name" => region.clone(),
                "message" => String::new(),
                "opt-in-status" => "opt-in-not-required".to_owned(),
                "state" => "available".to_owned(),
                "zone-id" => id.clone(),
                "zone-name" => zone.clone(),
                "zone-type" => "availability-zone".to_owned(),
                _ => return None,
            }))
        };
        if describe::kept(input.filters.as_deref(), values)? && named {
            shown.push(ec2::AvailabilityZone {
                opt_in_status: Some("opt-in-not-required".to_owned()),
                messages: Some(Vec::new()),
                region_name: Some(region.clone()),
                zone_name: Some(zone),
                zone_id: Some(id),
                group_name: Some(region.clone()),
                network_border_group: Some(region.clone()),
                zone_type: Some("availability-zone".to_owned()),
                state: Some("available".to_owned()),
                ..Default::default()
            });
        }
    }
    Ok(ec2::DescribeAvailabilityZonesResult { availability_zones: Some(shown) })
}

pub(crate) fn regions(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeRegionsRequest,
) -> Result<ec2::DescribeRegionsResult, ApiError> {
    begin(cx, input.dry_run)?;
    if let Some(name) = input.region_names.iter().flatten().find(|name| !REGIONS.contains(&name.as_str())) {
        return Err(ApiError::new("InvalidParameterValue", format!("Invalid region provided: '{name}'")));
    }
    let mut shown = Vec::new();
    for region in REGIONS {
        let endpoint = format!("ec2.{region}.amazonaws.com");
        let values = |name: &str| {
            Some(one(match name {
                "endpoint" => endpoint.clone(),
                "opt-in-status" => "opt-in-not-required".to_owned(),
                "region-name" => region.to_owned(),
                _ => return None,
            }))
        };
        let named =
            input.region_names.as_ref().is_none_or(|names| names.is_empty() || names.iter().any(|name| name == region));
        if describe::kept(input.filters.as_deref(), values)? && named {
            shown.push(ec2::Region {
                opt_in_status: Some("opt-in-not-required".to_owned()),
                region_name: Some(region.to_owned()),
                endpoint: Some(endpoint),
                ..Default::default()
            });
        }
    }
    Ok(ec2::DescribeRegionsResult { regions: Some(shown) })
}

pub(crate) fn account_attributes(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeAccountAttributesRequest,
) -> Result<ec2::DescribeAccountAttributesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let default =
        cx.view().scan::<Vpc>(&scope).find(|vpc| vpc.is_default).map_or("none".to_owned(), |vpc| vpc.id.to_string());
    let known = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", default),
        ("vpc-max-security-groups-per-interface", crate::intent::MAX_GROUPS.to_string()),
    ];
    let asked = input.attribute_names.unwrap_or_default();
    if let Some(name) = asked.iter().find(|name| !known.iter().any(|(known, _)| known == name)) {
        return Err(texts::invalid_value(name, "attributeName", "Unknown account attribute."));
    }
    let shown = known.into_iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name));
    let show = |(name, value): (&str, String)| ec2::AccountAttribute {
        attribute_name: Some(name.to_owned()),
        attribute_values: Some(vec![ec2::AccountAttributeValue { attribute_value: Some(value) }]),
    };
    Ok(ec2::DescribeAccountAttributesResult { account_attributes: Some(shown.map(show).collect()) })
}
