//! Single attributes of instances, read and changed.

use super::describe::{self, Kind, Selection, one};
use super::instance::{find, find_live, metadata};
use super::{Ec2, begin, interface, refuse};
use crate::rows::{Instance, InstanceState, NetworkInterface, Subnet};
use crate::{instance_types, instances, intent, launch, texts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway::Context;
use model::ec2;
use types::ApiError;
use types::id::SecurityGroupId;
use wire::Unit;

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInstanceAttributeRequest,
) -> Result<ec2::InstanceAttribute, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let row = find(view, &scope, &input.instance_id)?;
    let primary = instances::interfaces(view, &scope, &input.instance_id).into_iter().next();
    let flag = |value| Some(ec2::AttributeBooleanValue { value: Some(value) });
    let text = |value: Option<&str>| Some(ec2::AttributeValue { value: value.map(str::to_owned) });
    let mut shown = ec2::InstanceAttribute { instance_id: Some(input.instance_id), ..Default::default() };
    match input.attribute.as_str() {
        "blockDeviceMapping" => shown.block_device_mappings = Some(Vec::new()),
        "disableApiStop" => shown.disable_api_stop = flag(row.disable_api_stop),
        "disableApiTermination" => shown.disable_api_termination = flag(row.disable_api_termination),
        "ebsOptimized" => shown.ebs_optimized = flag(row.ebs_optimized),
        "enaSupport" => shown.ena_support = flag(true),
        "enclaveOptions" => shown.enclave_options = Some(ec2::EnclaveOptions { enabled: Some(false) }),
        "groupSet" => shown.groups = primary.and_then(|primary| interface::shown_groups(view, &scope, &primary)),
        "instanceInitiatedShutdownBehavior" => {
            shown.instance_initiated_shutdown_behavior = text(Some(&row.shutdown_behavior));
        }
        "instanceType" => shown.instance_type = text(Some(&row.kind)),
        "kernel" => shown.kernel_id = text(None),
        "productCodes" => shown.product_codes = Some(Vec::new()),
        "ramdisk" => shown.ramdisk_id = text(None),
        "rootDeviceName" => shown.root_device_name = text(Some("/dev/xvda")),
        "sourceDestCheck" => shown.source_dest_check = primary.and_then(|primary| flag(primary.source_dest_check)),
        "sriovNetSupport" => shown.sriov_net_support = text(None),
        "userData" => shown.user_data = text(row.user_data.as_deref()),
        other => return Err(texts::invalid_value(other, "attribute", "Unknown attribute.")),
    }
    Ok(shown)
}

/// A change by `attribute` and `value`, in the words of the other form.
fn spoken_plainly(input: &mut ec2::ModifyInstanceAttributeRequest) -> Result<(), ApiError> {
    let Some(name) = input.attribute.take() else { return Ok(()) };
    let value = input.value.take().ok_or_else(|| texts::missing("value"))?;
    let flag = || match value.as_str() {
        "true" => Ok(Some(ec2::AttributeBooleanValue { value: Some(true) })),
        "false" => Ok(Some(ec2::AttributeBooleanValue { value: Some(false) })),
        _ => Err(texts::invalid_value(&value, "value", "Must be true or false.")),
    };
    let text = || Some(ec2::AttributeValue { value: Some(value.clone()) });
    match name.as_str() {
        "disableApiStop" => input.disable_api_stop = flag()?,
        "disableApiTermination" => input.disable_api_termination = flag()?,
        "ebsOptimized" => input.ebs_optimized = flag()?,
        "sourceDestCheck" => input.source_dest_check = flag()?,
        "instanceInitiatedShutdownBehavior" => input.instance_initiated_shutdown_behavior = text(),
        "instanceType" => input.instance_type = text(),
        "userData" => {
            let bytes = STANDARD.decode(value.trim()).map_err(|_| texts::user_data_not_base64())?;
            input.user_data = Some(ec2::SecureBlobAttributeValue { value: Some(bytes) });
        }
        other => return Err(texts::invalid_value(other, "attribute", "Unknown attribute.")),
    }
    Ok(())
}

pub(crate) fn modify(
    _: &Ec2,
    cx: &mut Context,
    mut input: ec2::ModifyInstanceAttributeRequest,
) -> Result<Unit, ApiError> {
    spoken_plainly(&mut input)?;
    refuse(input.block_device_mappings.is_some(), "block devices of instances")?;
    refuse(input.kernel.is_some() || input.ramdisk.is_some(), "kernels and RAM disks of your own")?;
    refuse(input.enclave_options.is_some(), "enclaves")?;
    refuse(input.sriov_net_support.is_some() || input.ena_support.is_some(), "changing how interfaces are driven")?;
    let given = [
        input.source_dest_check.is_some(),
        input.disable_api_stop.is_some(),
        input.disable_api_termination.is_some(),
        input.instance_type.is_some(),
        input.user_data.is_some(),
        input.instance_initiated_shutdown_behavior.is_some(),
        input.groups.is_some(),
        input.ebs_optimized.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => return Err(texts::no_attributes()),
        1 => {}
        _ => return Err(texts::invalid_combination("Fields for multiple attribute types specified")),
    }
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = input.instance_id.as_str();
    let row = find_live(tx, &scope, id)?;
    let primary =
        instances::interfaces(tx, &scope, id).into_iter().next().ok_or_else(|| texts::instance_is_over(id))?;
    let mut changed = (*row).clone();
    let stopped = || if row.state == InstanceState::Stopped { Ok(()) } else { Err(texts::not_stopped(id)) };
    if let Some(check) = input.source_dest_check.and_then(|given| given.value) {
        tx.update::<NetworkInterface>(&scope, primary.id.as_str(), |row| row.source_dest_check = check);
    }
    if let Some(asked) = input.groups {
        let ids = asked.iter().map(|id| SecurityGroupId::parse(id).ok_or_else(|| texts::no_group(id)));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let subnet = tx
            .get::<Subnet>(&scope, primary.subnet.as_str())
            .ok_or_else(|| texts::subnet_not_found(primary.subnet.as_str()))?;
        if ids.is_empty() {
            return Err(texts::missing("SecurityGroupId"));
        }
        let groups = intent::groups(tx, &scope, &subnet, ids)?;
        tx.update::<NetworkInterface>(&scope, primary.id.as_str(), |row| row.groups = groups);
    }
    if let Some(protected) = input.disable_api_termination.and_then(|given| given.value) {
        changed.disable_api_termination = protected;
    }
    if let Some(protected) = input.disable_api_stop.and_then(|given| given.value) {
        changed.disable_api_stop = protected;
    }
    if let Some(behavior) = input.instance_initiated_shutdown_behavior.and_then(|given| given.value) {
        if !matches!(behavior.as_str(), "stop" | "terminate") {
            return Err(texts::invalid_value(
                &behavior,
                "instanceInitiatedShutdownBehavior",
                "Must be stop or terminate.",
            ));
        }
        changed.shutdown_behavior = behavior;
    }
    if let Some(name) = input.instance_type.and_then(|given| given.value) {
        stopped()?;
        let kind = instance_types::find(&name).ok_or_else(|| texts::unknown_instance_type(&name))?;
        let here = instance_types::Architecture::here();
        if kind.family.architecture != here {
            return Err(texts::other_architecture(kind.family.architecture.as_str(), here.as_str()));
        }
        let all = instances::interfaces(tx, &scope, id);
        if all.len() > kind.interfaces {
            return Err(texts::too_many_interfaces(all.len(), &name));
        }
        if all.iter().any(|interface| interface.private_ips.len() > kind.addresses) {
            return Err(texts::too_many_private_ips());
        }
        changed.kind = name;
    }
    if let Some(optimized) = input.ebs_optimized.and_then(|given| given.value) {
        stopped()?;
        changed.ebs_optimized = optimized;
    }
    if let Some(data) = input.user_data.and_then(|given| given.value) {
        stopped()?;
        changed.user_data = Some(STANDARD.encode(&data)).filter(|text| !text.is_empty());
    }
    tx.update::<Instance>(&scope, id, |row| *row = changed);
    Ok(Unit)
}

pub(crate) fn modify_metadata(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyInstanceMetadataOptionsRequest,
) -> Result<ec2::ModifyInstanceMetadataOptionsResult, ApiError> {
    refuse(input.http_protocol_ipv6.as_deref() == Some("enabled"), "instance metadata over IPv6")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = find_live(tx, &scope, &input.instance_id)?;
    let mut options = row.metadata.clone();
    launch::change_metadata(
        &mut options,
        input.http_endpoint.as_deref(),
        input.http_tokens.as_deref(),
        input.http_put_response_hop_limit,
        input.instance_metadata_tags.as_deref(),
    )?;
    let row = tx.update::<Instance>(&scope, &input.instance_id, |row| row.metadata = options);
    let shown = row.map(|row| metadata(&row));
    Ok(ec2::ModifyInstanceMetadataOptionsResult {
        instance_id: Some(input.instance_id),
        instance_metadata_options: shown,
    })
}

/// How a burstable instance spends CPU credits: as was said, else as its family does. Source: EC2 user guide, "Unlimited
/// mode for burstable performance instances".
fn credits(row: &Instance) -> Option<String> {
    let kind = instance_types::find(&row.kind).filter(|kind| kind.family.burstable)?;
    let usual = if kind.family.name == "t2" { "standard" } else { "unlimited" };
    Some(row.cpu_credits.clone().unwrap_or_else(|| usual.to_owned()))
}

const CREDITS: Kind<Instance> = Kind {
    not_found: texts::instance_not_found,
    tags: |_, row| &row.tags,
    filter: |name| if name == "instance-id" { Some(Box::new(|_, _, row| one(&row.id))) } else { None },
};

pub(crate) fn describe_credits(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInstanceCreditSpecificationsRequest,
) -> Result<ec2::DescribeInstanceCreditSpecificationsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let named = input.instance_ids.as_ref().is_some_and(|ids| !ids.is_empty());
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.instance_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &CREDITS, selection)?;
    // Without ids AWS lists those alone that were told to be unlimited.
    let shown = rows.iter().filter_map(|row| {
        let cpu_credits = credits(row).filter(|credits| named || credits == "unlimited")?;
        Some(ec2::InstanceCreditSpecification { instance_id: Some(row.id.to_string()), cpu_credits: Some(cpu_credits) })
    });
    Ok(ec2::DescribeInstanceCreditSpecificationsResult {
        instance_credit_specifications: Some(shown.collect()),
        next_token,
    })
}
