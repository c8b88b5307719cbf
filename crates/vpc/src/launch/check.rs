//! What launching would mean, found out without making anything: what is asked for, as far as it can be had.

use super::refuse;
use crate::images::{self, Image};
use crate::instance_types::{self, InstanceType};
use crate::rows::{MetadataOptions, NetworkInterface, Subnet, Vpc};
use crate::texts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::ec2;
use std::sync::Arc;
use store::View;
use types::id::ImageId;
use types::{ApiError, Scope};

/// The most bytes of user data. Source: EC2 user guide, "Run commands when you launch an EC2 instance".
const USER_DATA: usize = 16 * 1024;

/// What a launch comes to.
#[derive(Debug)]
pub struct Checked {
    /// The image.
    pub image: Image,
    /// The type.
    pub kind: InstanceType,
    /// The primary interface's subnet.
    pub subnet: Arc<Subnet>,
    /// The instance profile: ARN and id.
    pub profile: Option<(String, String)>,
    /// The ARN of the role that the profile holds.
    pub role: Option<String>,
}

/// Checks a complete request against what there is.
pub fn check(view: &View, scope: &Scope, request: &ec2::RunInstancesRequest) -> Result<Checked, ApiError> {
    not_here(request)?;
    let image = image(scope, request.image_id.as_deref())?;
    let name = request.instance_type.as_deref().unwrap_or("m1.small");
    let kind = instance_types::find(name).ok_or_else(|| texts::unknown_instance_type(name))?;
    if kind.family.architecture != image.architecture {
        return Err(texts::other_architecture(kind.family.architecture.as_str(), image.architecture.as_str()));
    }
    if let Some(encoded) = &request.user_data {
        let data = STANDARD.decode(encoded.trim()).map_err(|_| texts::user_data_not_base64())?;
        if data.len() > USER_DATA {
            return Err(texts::user_data_too_long(USER_DATA));
        }
    }
    metadata_options(request.metadata_options.as_ref())?;
    if let Some(behavior) = &request.instance_initiated_shutdown_behavior
        && !matches!(behavior.as_str(), "stop" | "terminate")
    {
        return Err(texts::invalid_value(behavior, "instanceInitiatedShutdownBehavior", "Must be stop or terminate."));
    }
    let subnet = subnet(view, scope, request)?;
    if let Some(zone) = request.placement.as_ref().and_then(|placement| placement.availability_zone.as_deref())
        && zone != subnet.zone
    {
        return Err(texts::zone_of_other_subnet(zone, subnet.id.as_str()));
    }
    let named = request.iam_instance_profile.as_ref();
    let profile = named.map(|named| profile(view, scope, named)).transpose()?;
    let role = profile.as_ref().and_then(|profile| iam::query::role_of_profile(view, &scope.account, profile));
    let profile = profile.map(|profile| (profile.arn(&scope.account), profile.id.clone()));
    Ok(Checked { image, kind, subnet, profile, role })
}

/// What AWS has and an instance here has not.
fn not_here(request: &ec2::RunInstancesRequest) -> Result<(), ApiError> {
    let placement = request.placement.as_ref();
    let placed = |given: fn(&ec2::Placement) -> bool| placement.is_some_and(given);
    for (given, what) in [
        (request.key_name.is_some(), "key pairs: nobody logs in to an instance"),
        (request.instance_market_options.is_some(), "spot instances and capacity blocks"),
        (request.elastic_gpu_specification.is_some(), "elastic GPUs"),
        (request.elastic_inference_accelerators.is_some(), "elastic inference"),
        (request.cpu_options.is_some(), "CPU options"),
        (request.capacity_reservation_specification.is_some(), "capacity reservations"),
        (request.license_specifications.is_some(), "licences"),
        (request.hibernation_options.as_ref().is_some_and(|given| given.configured == Some(true)), "hibernation"),
        (request.enclave_options.as_ref().is_some_and(|given| given.enabled == Some(true)), "enclaves"),
        (request.kernel_id.is_some() || request.ramdisk_id.is_some(), "kernels and RAM disks of your own"),
        (request.enable_primary_ipv6 == Some(true), "primary IPv6 addresses"),
        (request.secondary_interfaces.is_some(), "secondary networks"),
        (request.additional_info.is_some(), "additional information"),
        (request.network_performance_options.is_some(), "bandwidth weightings"),
        (request.private_dns_name_options.is_some(), "private DNS name options of instances"),
        (request.operator.is_some(), "managed instances"),
        (request.monitoring.as_ref().is_some_and(|given| given.metric_category_ids.is_some()), "categories of metrics"),
        (placed(|given| given.group_name.is_some() || given.group_id.is_some()), "placement groups"),
        (placed(|given| given.host_id.is_some() || given.host_resource_group_arn.is_some()), "dedicated hosts"),
        (placed(|given| given.tenancy.as_deref().is_some_and(|tenancy| tenancy != "default")), "dedicated tenancy"),
        (placed(|given| given.partition_number.is_some() || given.spread_domain.is_some()), "placement groups"),
    ] {
        refuse(given, what)?;
    }
    for one in request.network_interfaces.iter().flatten() {
        let kind = one.interface_type.as_deref();
        refuse(kind.is_some_and(|kind| kind != "interface"), "interfaces of other types")?;
        refuse(one.network_card_index.is_some_and(|card| card != 0), "further network cards")?;
        refuse(one.associate_carrier_ip_address == Some(true), "carrier gateways")?;
        refuse(one.primary_ipv6 == Some(true), "primary IPv6 addresses")?;
        refuse(one.ena_srd_specification.is_some() || one.ena_queue_count.is_some(), "ENA Express and ENA queues")?;
        refuse(one.connection_tracking_specification.is_some(), "connection tracking timeouts")?;
        refuse(
            one.ipv4_prefixes.is_some()
                || one.ipv4_prefix_count.is_some()
                || one.ipv6_prefixes.is_some()
                || one.ipv6_prefix_count.is_some(),
            "prefixes of interfaces",
        )?;
    }
    Ok(())
}

fn image(scope: &Scope, id: Option<&str>) -> Result<Image, ApiError> {
    let id = id.ok_or_else(|| texts::missing("ImageId"))?;
    if id.starts_with("resolve:ssm:") {
        let name = id.trim_start_matches("resolve:ssm:");
        let found = images::parameters(&scope.region).into_iter().find(|row| row.name == name);
        let found = found.and_then(|row| images::find(&scope.region, &row.value));
        return found.ok_or_else(|| {
            ApiError::not_implemented("images by parameters other than those of the ECS-optimized AMIs")
        });
    }
    if ImageId::parse(id).is_none() {
        return Err(texts::malformed_image(id));
    }
    images::find(&scope.region, id).ok_or_else(|| texts::image_not_found(id, &images::all(&scope.region)))
}

fn profile(
    view: &View,
    scope: &Scope,
    named: &ec2::IamInstanceProfileSpecification,
) -> Result<Arc<iam::rows::InstanceProfile>, ApiError> {
    match (&named.arn, &named.name) {
        (Some(_), Some(_)) => Err(texts::invalid_combination(
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
        )),
        (Some(arn), None) => {
            let found = iam::query::instance_profile(view, &scope.account, arn).filter(|_| arn.starts_with("arn:"));
            found.ok_or_else(|| texts::invalid_value(arn, "iamInstanceProfile.arn", "Invalid IAM Instance Profile ARN"))
        }
        (None, Some(name)) => {
            let found = iam::query::instance_profile(view, &scope.account, name).filter(|found| found.name == *name);
            found.ok_or_else(|| {
                texts::invalid_value(name, "iamInstanceProfile.name", "Invalid IAM Instance Profile name")
            })
        }
        (None, None) => Err(texts::missing("iamInstanceProfile.name")),
    }
}

/// The metadata options that a request asks for; what it leaves out is as the ECS-optimized AMI of Amazon Linux 2023 has it.
pub fn metadata_options(asked: Option<&ec2::InstanceMetadataOptionsRequest>) -> Result<MetadataOptions, ApiError> {
    let mut options = MetadataOptions { enabled: true, tokens_required: true, hop_limit: 2, tags: false };
    if let Some(asked) = asked {
        refuse(asked.http_protocol_ipv6.as_deref() == Some("enabled"), "instance metadata over IPv6")?;
        change_metadata(
            &mut options,
            asked.http_endpoint.as_deref(),
            asked.http_tokens.as_deref(),
            asked.http_put_response_hop_limit,
            asked.instance_metadata_tags.as_deref(),
        )?;
    }
    Ok(options)
}

/// Changes what is given.
pub(crate) fn change_metadata(
    options: &mut MetadataOptions,
    endpoint: Option<&str>,
    tokens: Option<&str>,
    hop_limit: Option<i32>,
    tags: Option<&str>,
) -> Result<(), ApiError> {
    let flag = |value: Option<&str>, name: &str, (yes, no): (&str, &str)| match value {
        None => Ok(None),
        Some(text) if text == yes => Ok(Some(true)),
        Some(text) if text == no => Ok(Some(false)),
        Some(text) => Err(texts::invalid_value(text, name, &format!("Must be {yes} or {no}."))),
    };
    let switch = ("enabled", "disabled");
    options.enabled = flag(endpoint, "HttpEndpoint", switch)?.unwrap_or(options.enabled);
    options.tokens_required = flag(tokens, "HttpTokens", ("required", "optional"))?.unwrap_or(options.tokens_required);
    options.tags = flag(tags, "InstanceMetadataTags", switch)?.unwrap_or(options.tags);
    if let Some(limit) = hop_limit {
        let valid = u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit));
        options.hop_limit = valid.ok_or_else(|| {
            texts::invalid_value(limit, "HttpPutResponseHopLimit", "The value must be between 1 and 64.")
        })?;
    }
    Ok(())
}

/// Where the primary interface goes.
fn subnet(view: &View, scope: &Scope, request: &ec2::RunInstancesRequest) -> Result<Arc<Subnet>, ApiError> {
    let primary = request.network_interfaces.iter().flatten().find(|one| one.device_index.unwrap_or_default() == 0);
    if request.network_interfaces.as_ref().is_some_and(|list| !list.is_empty()) {
        if request.subnet_id.is_some() {
            return Err(texts::interfaces_and("subnet ID"));
        }
        if request.security_group_ids.is_some() || request.security_groups.is_some() {
            return Err(texts::interfaces_and("security groups"));
        }
        if request.private_ip_address.is_some() {
            return Err(texts::interfaces_and("private address"));
        }
        if primary.is_none() {
            return Err(texts::invalid_combination("A network interface with device index 0 must be specified."));
        }
    }
    let found = |id: &str| view.get::<Subnet>(scope, id).ok_or_else(|| texts::subnet_not_found(id));
    if let Some(id) = primary.and_then(|one| one.network_interface_id.as_deref()) {
        let interface = view.get::<NetworkInterface>(scope, id).ok_or_else(|| texts::interface_not_found(id))?;
        return found(interface.subnet.as_str());
    }
    if let Some(id) = request.subnet_id.as_deref().or(primary.and_then(|one| one.subnet_id.as_deref())) {
        return found(id);
    }
    let zone = request.placement.as_ref().and_then(|placement| placement.availability_zone.as_deref());
    let vpc = view.scan::<Vpc>(scope).find(|vpc| vpc.is_default).ok_or_else(texts::no_default_vpc_for_instances)?;
    let mut subnets: Vec<_> = view
        .by_index(&Subnet::BY_VPC, scope, vpc.id.as_str())
        .filter(|subnet| subnet.default_for_zone && zone.is_none_or(|zone| zone == subnet.zone))
        .collect();
    subnets.sort_by(|a, b| a.zone.cmp(&b.zone));
    subnets.first().map(|subnet| (*subnet).clone()).ok_or_else(|| texts::no_default_subnet(zone))
}
