//! Instance types and where they are offered.

use super::describe::{self, one};
use super::{Ec2, begin};
use crate::instance_types::{self, InstanceType};
use crate::texts;
use gateway::Context;
use model::ec2;
use types::ApiError;

fn show(kind: &InstanceType) -> ec2::InstanceTypeInfo {
    let family = kind.family;
    let number = |value: usize| i32::try_from(value).ok();
    let cores = i32::try_from(kind.vcpus.div_ceil(family.threads)).ok();
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    ec2::InstanceTypeInfo {
        instance_type: Some(kind.name.clone()),
        current_generation: Some(true),
        free_tier_eligible: Some(matches!(kind.name.as_str(), "t2.micro" | "t3.micro")),
        supported_usage_classes: words(&["on-demand"]),
        supported_root_device_types: words(&["ebs"]),
        supported_virtualization_types: words(&["hvm"]),
        supported_boot_modes: words(if family.hypervisor == "xen" {
            &["legacy-bios"]
        } else {
            &["legacy-bios", "uefi"]
        }),
        bare_metal: Some(false),
        hypervisor: Some(family.hypervisor.to_owned()),
        processor_info: Some(ec2::ProcessorInfo {
            supported_architectures: words(&[family.architecture.as_str()]),
            sustained_clock_speed_in_ghz: Some(family.clock),
            manufacturer: Some(family.manufacturer.to_owned()),
            ..Default::default()
        }),
        v_cpu_info: Some(ec2::VCpuInfo {
            default_v_cpus: i32::try_from(kind.vcpus).ok(),
            default_cores: cores,
            default_threads_per_core: i32::try_from(family.threads).ok(),
            ..Default::default()
        }),
        memory_info: Some(ec2::MemoryInfo { size_in_mi_b: i64::try_from(kind.memory_mib).ok() }),
        instance_storage_supported: Some(false),
        network_info: Some(ec2::NetworkInfo {
            maximum_network_interfaces: number(kind.interfaces),
            maximum_network_cards: Some(1),
            default_network_card_index: Some(0),
            ipv4_addresses_per_interface: number(kind.addresses),
            ipv6_addresses_per_interface: number(kind.addresses),
            ipv6_supported: Some(true),
            ena_support: Some(if family.hypervisor == "xen" { "unsupported" } else { "required" }.to_owned()),
            efa_supported: Some(false),
            ..Default::default()
        }),
        hibernation_supported: Some(false),
        burstable_performance_supported: Some(family.burstable),
        dedicated_hosts_supported: Some(false),
        auto_recovery_supported: Some(false),
        ..Default::default()
    }
}

fn filter(kind: &InstanceType, name: &str) -> Option<Vec<String>> {
    let family = kind.family;
    Some(match name {
        "auto-recovery-supported"
        | "bare-metal"
        | "dedicated-hosts-supported"
        | "hibernation-supported"
        | "instance-storage-supported"
        | "network-info.efa-supported" => one(false),
        "burstable-performance-supported" => one(family.burstable),
        "current-generation" | "network-info.ipv6-supported" => one(true),
        "free-tier-eligible" => one(matches!(kind.name.as_str(), "t2.micro" | "t3.micro")),
        "hypervisor" => one(family.hypervisor),
        "instance-type" => one(&kind.name),
        "memory-info.size-in-mib" => one(kind.memory_mib),
        "network-info.ipv4-addresses-per-interface" | "network-info.ipv6-addresses-per-interface" => {
            one(kind.addresses)
        }
        "network-info.maximum-network-interfaces" => one(kind.interfaces),
        "processor-info.supported-architecture" => one(family.architecture.as_str()),
        "processor-info.sustained-clock-speed-in-ghz" => one(family.clock),
        "supported-root-device-type" => one("ebs"),
        "supported-usage-class" => one("on-demand"),
        "supported-virtualization-type" => one("hvm"),
        "vcpu-info.default-cores" => one(kind.vcpus.div_ceil(family.threads)),
        "vcpu-info.default-threads-per-core" => one(family.threads),
        "vcpu-info.default-vcpus" => one(kind.vcpus),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInstanceTypesRequest,
) -> Result<ec2::DescribeInstanceTypesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let named = input.instance_types.unwrap_or_default();
    let unknown: Vec<&str> =
        named.iter().map(String::as_str).filter(|name| instance_types::find(name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(texts::instance_types_not_found(&unknown));
    }
    let mut found = Vec::new();
    for kind in instance_types::all().filter(|kind| named.is_empty() || named.contains(&kind.name)) {
        if describe::kept(input.filters.as_deref(), |name| filter(&kind, name))? {
            found.push(kind);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let (page, next_token) =
        describe::page(found, input.max_results, input.next_token.as_deref(), |kind| kind.name.clone())?;
    Ok(ec2::DescribeInstanceTypesResult { instance_types: Some(page.iter().map(show).collect()), next_token })
}

/// Every type is offered everywhere, as far as it can be run at all.
pub(crate) fn describe_offerings(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInstanceTypeOfferingsRequest,
) -> Result<ec2::DescribeInstanceTypeOfferingsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let region = cx.scope.region.clone();
    let kind = input.location_type.unwrap_or_else(|| "region".to_owned());
    let places = match kind.as_str() {
        "region" => vec![region.to_string()],
        "availability-zone" => region.zones(),
        "availability-zone-id" => region.zones().iter().map(|zone| super::zone_id(zone)).collect(),
        other => return Err(texts::invalid_value(other, "LocationType", "Unknown type of location.")),
    };
    let here = instance_types::all().filter(|one| one.family.architecture == instance_types::Architecture::here());
    let mut found = Vec::new();
    for one_kind in here {
        for place in &places {
            let values = |name: &str| match name {
                "instance-type" => Some(one(&one_kind.name)),
                "location" => Some(one(place)),
                _ => None,
            };
            if describe::kept(input.filters.as_deref(), values)? {
                found.push((one_kind.name.clone(), place.clone()));
            }
        }
    }
    found.sort();
    let key = |(name, place): &(String, String)| format!("{name}/{place}");
    let (page, next_token) = describe::page(found, input.max_results, input.next_token.as_deref(), key)?;
    let shown = page.into_iter().map(|(name, place)| ec2::InstanceTypeOffering {
        instance_type: Some(name),
        location_type: Some(kind.clone()),
        location: Some(place),
    });
    Ok(ec2::DescribeInstanceTypeOfferingsResult { instance_type_offerings: Some(shown.collect()), next_token })
}
