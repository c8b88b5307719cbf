//! Instances: launched, shown, started, stopped and terminated.

use super::describe::{self, Kind, Selection, Values, maybe, one};
use super::{Ec2, begin, interface, refuse, tags};
use crate::instances::{self, Wish};
use crate::launch::{self, Launch};
use crate::rows::{Instance, InstanceState, NetworkInterface, Vpc};
use crate::{images, instance_types, names, query, texts};
use gateway::Context;
use model::ec2;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::View;
use types::id::InstanceId;
use types::{ApiError, Scope, Timestamp};
use wire::Unit;

const SERVICE: &str = "ec2.amazonaws.com";

pub(crate) fn run(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::RunInstancesRequest,
) -> Result<ec2::Reservation, ApiError> {
    let dry_run = input.dry_run;
    let (scope, now, principal) = (cx.scope.clone(), cx.now, cx.principal.clone());
    super::vpc::ensure_region(cx);
    let view = cx.view();
    let request = launch::complete(view, &scope, input)?;
    let launch = Launch::of(request, None)?;
    let checked = launch::check(view, &scope, &launch.request)?;
    if let Some(role) = &checked.role {
        iam::query::may_pass(view, &principal, role, SERVICE, now).map_err(texts::may_not_pass)?;
    }
    begin(cx, dry_run)?;
    let tx = cx.tx();
    let launched = launch::launch(tx, &scope, &service.pool, now, &launch)?;
    Ok(reservation(tx, &scope, &launched.instances))
}

/// Instances of one reservation.
fn reservation(view: &View, scope: &Scope, rows: &[Arc<Instance>]) -> ec2::Reservation {
    let first = rows.first();
    ec2::Reservation {
        reservation_id: first.map(|row| row.reservation.to_string()),
        owner_id: Some(scope.account.to_string()),
        requester_id: first.and_then(|row| row.requester.clone()),
        groups: Some(Vec::new()),
        instances: Some(rows.iter().map(|row| show(view, scope, row)).collect()),
    }
}

fn state(of: InstanceState) -> Option<ec2::InstanceState> {
    Some(ec2::InstanceState { code: Some(of.code()), name: Some(of.as_str().to_owned()) })
}

/// `2026-01-15 20:41:09 GMT`.
fn gmt(at: Timestamp) -> String {
    let text = at.iso8601();
    format!("{} {} GMT", text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default())
}

fn public_name(view: &View, scope: &Scope, row: &Instance, ip: Option<Ipv4Addr>) -> String {
    let named = view.get::<Vpc>(scope, row.vpc.as_str()).is_some_and(|vpc| vpc.dns_hostnames);
    ip.filter(|_| named).map(|ip| names::public_name(&scope.region, ip)).unwrap_or_default()
}

fn show(view: &View, scope: &Scope, row: &Instance) -> ec2::Instance {
    let interfaces = instances::interfaces(view, scope, row.id.as_str());
    let primary = interfaces.first();
    let private = primary.and_then(|interface| interface.private_ip());
    let public = primary.and_then(|interface| query::public_ip(view, scope, interface));
    let image = images::find(&scope.region, row.image.as_str());
    let kind = instance_types::find(&row.kind);
    let family = kind.as_ref().map(|kind| kind.family);
    let over = row.state == InstanceState::Terminated;
    ec2::Instance {
        instance_id: Some(row.id.to_string()),
        image_id: Some(row.image.to_string()),
        state: state(row.state),
        state_reason: row
            .reason
            .clone()
            .map(|(code, message)| ec2::StateReason { code: Some(code), message: Some(message) }),
        state_transition_reason: Some(
            row.reason.as_ref().map(|_| format!("User initiated ({})", gmt(row.since))).unwrap_or_default(),
        ),
        instance_type: Some(row.kind.clone()),
        launch_time: Some(row.launched),
        ami_launch_index: Some(row.launch_index),
        client_token: Some(row.client_token.clone().unwrap_or_default()),
        architecture: family.map(|family| family.architecture.as_str().to_owned()),
        // AWS says so of Nitro, too.
        hypervisor: Some("xen".to_owned()),
        virtualization_type: Some("hvm".to_owned()),
        ena_support: Some(true),
        ebs_optimized: Some(row.ebs_optimized),
        root_device_type: Some("ebs".to_owned()),
        root_device_name: image.map(|_| "/dev/xvda".to_owned()),
        block_device_mappings: Some(Vec::new()),
        platform_details: Some("Linux/UNIX".to_owned()),
        usage_operation: Some("RunInstances".to_owned()),
        usage_operation_update_time: Some(row.launched),
        placement: Some(ec2::Placement {
            availability_zone: Some(row.zone.clone()),
            availability_zone_id: Some(super::zone_id(&row.zone)),
            group_name: Some(String::new()),
            tenancy: Some("default".to_owned()),
            ..Default::default()
        }),
        monitoring: Some(ec2::Monitoring { state: Some(monitoring(row).to_owned()), ..Default::default() }),
        iam_instance_profile: row
            .profile
            .clone()
            .map(|(arn, id)| ec2::IamInstanceProfile { arn: Some(arn), id: Some(id) }),
        cpu_options: kind.as_ref().map(|kind| ec2::CpuOptions {
            core_count: i32::try_from(kind.vcpus.div_ceil(kind.family.threads)).ok(),
            threads_per_core: i32::try_from(kind.family.threads).ok(),
            ..Default::default()
        }),
        metadata_options: Some(metadata(row)),
        hibernation_options: Some(ec2::HibernationOptions { configured: Some(false) }),
        enclave_options: Some(ec2::EnclaveOptions { enabled: Some(false) }),
        maintenance_options: Some(ec2::InstanceMaintenanceOptions {
            auto_recovery: Some("default".to_owned()),
            ..Default::default()
        }),
        subnet_id: Some(row.subnet.to_string()).filter(|_| !over),
        vpc_id: Some(row.vpc.to_string()).filter(|_| !over),
        private_ip_address: private.map(|ip| ip.to_string()),
        private_dns_name: Some(private.map(|ip| names::private_name(&scope.region, ip)).unwrap_or_default()),
        public_ip_address: public.map(|ip| ip.to_string()),
        public_dns_name: Some(public_name(view, scope, row, public)),
        ipv6_address: primary.and_then(|interface| interface.ipv6.first()).map(ToString::to_string),
        source_dest_check: primary.map(|interface| interface.source_dest_check),
        security_groups: primary.map_or(Some(Vec::new()), |interface| interface::shown_groups(view, scope, interface)),
        private_dns_name_options: primary.map(|_| ec2::PrivateDnsNameOptionsResponse {
            hostname_type: Some("ip-name".to_owned()),
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
        }),
        network_interfaces: Some(interfaces.iter().map(|interface| shown_interface(view, scope, interface)).collect()),
        tags: tags::shown(&row.tags),
        ..Default::default()
    }
}

fn monitoring(row: &Instance) -> &'static str {
    if row.monitoring { "enabled" } else { "disabled" }
}

pub(super) fn metadata(row: &Instance) -> ec2::InstanceMetadataOptionsResponse {
    let switch = |on| Some(if on { "enabled" } else { "disabled" }.to_owned());
    ec2::InstanceMetadataOptionsResponse {
        state: Some("applied".to_owned()),
        http_tokens: Some(if row.metadata.tokens_required { "required" } else { "optional" }.to_owned()),
        http_put_response_hop_limit: Some(row.metadata.hop_limit.into()),
        http_endpoint: switch(row.metadata.enabled),
        http_protocol_ipv6: switch(false),
        instance_metadata_tags: switch(row.metadata.tags),
    }
}

fn shown_interface(view: &View, scope: &Scope, row: &NetworkInterface) -> ec2::InstanceNetworkInterface {
    let all = interface::show(view, scope, row);
    let association = |shown: ec2::NetworkInterfaceAssociation| ec2::InstanceNetworkInterfaceAssociation {
        public_ip: shown.public_ip,
        public_dns_name: Some(shown.public_dns_name.unwrap_or_default()),
        ip_owner_id: shown.ip_owner_id,
        ..Default::default()
    };
    let addresses = all.private_ip_addresses.into_iter().flatten().map(|one| ec2::InstancePrivateIpAddress {
        association: one.association.map(association),
        primary: one.primary,
        private_dns_name: one.private_dns_name,
        private_ip_address: one.private_ip_address,
    });
    let ipv6 = all
        .ipv6_addresses
        .into_iter()
        .flatten()
        .map(|one| ec2::InstanceIpv6Address { ipv6_address: one.ipv6_address, is_primary_ipv6: one.is_primary_ipv6 });
    ec2::InstanceNetworkInterface {
        network_interface_id: all.network_interface_id,
        subnet_id: all.subnet_id,
        vpc_id: all.vpc_id,
        description: all.description,
        owner_id: all.owner_id,
        status: all.status,
        mac_address: all.mac_address,
        private_ip_address: all.private_ip_address,
        private_dns_name: all.private_dns_name,
        source_dest_check: all.source_dest_check,
        groups: all.groups,
        interface_type: all.interface_type,
        association: all.association.map(association),
        attachment: all.attachment.map(|shown| ec2::InstanceNetworkInterfaceAttachment {
            attach_time: shown.attach_time,
            attachment_id: shown.attachment_id,
            delete_on_termination: shown.delete_on_termination,
            device_index: shown.device_index,
            status: shown.status,
            network_card_index: shown.network_card_index,
            ..Default::default()
        }),
        private_ip_addresses: Some(addresses.collect()),
        ipv6_addresses: Some(ipv6.collect()),
        ..Default::default()
    }
}

/// The instance of that id, which may be over.
pub(crate) fn find(view: &View, scope: &Scope, id: &str) -> Result<Arc<Instance>, ApiError> {
    view.get(scope, id).ok_or_else(|| not_found(id))
}

/// The instance of that id, which is not over.
pub(crate) fn find_live(view: &View, scope: &Scope, id: &str) -> Result<Arc<Instance>, ApiError> {
    let row = find(view, scope, id)?;
    if row.state.is_over() { Err(texts::instance_is_over(id)) } else { Ok(row) }
}

fn not_found(id: &str) -> ApiError {
    if InstanceId::parse(id).is_none() { texts::malformed_instance(id) } else { texts::instance_not_found(id) }
}

const KIND: Kind<Instance> = Kind { not_found, tags: |_, row| &row.tags, filter };

fn primary(view: &View, scope: &Scope, row: &Instance) -> Option<Arc<NetworkInterface>> {
    instances::interfaces(view, scope, row.id.as_str()).into_iter().next()
}

/// Those filters of interfaces that instances have with `network-interface.` before them.
const OF_INTERFACES: [&str; 29] = [
    "group-id",
    "group-name",
    "mac-address",
    "network-interface-id",
    "subnet-id",
    "vpc-id",
    "status",
    "description",
    "owner-id",
    "requester-id",
    "requester-managed",
    "source-dest-check",
    "availability-zone",
    "addresses.private-ip-address",
    "addresses.primary",
    "addresses.association.public-ip",
    "association.public-ip",
    "ipv6-addresses.ipv6-address",
    "attachment.attachment-id",
    "attachment.instance-id",
    "attachment.status",
    "attachment.delete-on-termination",
    "attachment.instance-owner-id",
    "attachment.device-index",
    "attachment.attach-time",
    "association.allocation-id",
    "association.association-id",
    "private-dns-name",
    "private-ip-address",
];

fn filter(name: &str) -> Option<Values<Instance>> {
    let name = match name {
        "ipv6-address" | "network-interface.ipv6-address" => "network-interface.ipv6-addresses.ipv6-address",
        name => name,
    };
    if let Some(name) = name.strip_prefix("network-interface.") {
        let values = interface::filter(name).filter(|_| OF_INTERFACES.contains(&name))?;
        return Some(Box::new(move |view, scope, row| {
            let all = instances::interfaces(view, scope, row.id.as_str());
            all.iter().flat_map(|interface| values(view, scope, interface)).collect()
        }));
    }
    Some(match name {
        "architecture" => {
            Box::new(|_, _, row| maybe(instance_types::find(&row.kind).map(|kind| kind.family.architecture.as_str())))
        }
        "availability-zone" => Box::new(|_, _, row| one(&row.zone)),
        "availability-zone-id" => Box::new(|_, _, row| one(super::zone_id(&row.zone))),
        "client-token" => Box::new(|_, _, row| maybe(row.client_token.as_ref())),
        "dns-name" => Box::new(|view, scope, row| {
            let ip = primary(view, scope, row).and_then(|interface| query::public_ip(view, scope, &interface));
            one(public_name(view, scope, row, ip))
        }),
        "hypervisor" => Box::new(|_, _, _| one("xen")),
        "iam-instance-profile.arn" => Box::new(|_, _, row| maybe(row.profile.as_ref().map(|(arn, _)| arn))),
        "iam-instance-profile.id" => Box::new(|_, _, row| maybe(row.profile.as_ref().map(|(_, id)| id))),
        "image-id" => Box::new(|_, _, row| one(&row.image)),
        "instance-id" => Box::new(|_, _, row| one(&row.id)),
        "instance-state-code" => Box::new(|_, _, row| one(row.state.code())),
        "instance-state-name" => Box::new(|_, _, row| one(row.state.as_str())),
        "instance-type" => Box::new(|_, _, row| one(&row.kind)),
        "instance.group-id" | "group-id" => Box::new(|view, scope, row| {
            primary(view, scope, row)
                .map(|interface| interface.groups.iter().map(ToString::to_string).collect())
                .unwrap_or_default()
        }),
        "instance.group-name" | "group-name" => Box::new(|view, scope, row| {
            let names = |interface: Arc<NetworkInterface>| interface::group_names(view, scope, &interface);
            primary(view, scope, row).map(names).unwrap_or_default()
        }),
        "ip-address" => Box::new(|view, scope, row| {
            maybe(primary(view, scope, row).and_then(|interface| query::public_ip(view, scope, &interface)))
        }),
        "ebs-optimized" => Box::new(|_, _, row| one(row.ebs_optimized)),
        "platform-details" => Box::new(|_, _, _| one("Linux/UNIX")),
        "product-code" | "product-code.type" | "outpost-arn" | "placement-group-name" => Box::new(|_, _, _| Vec::new()),
        "instance-lifecycle" | "key-name" | "kernel-id" | "ramdisk-id" | "platform" | "spot-instance-request-id" => {
            Box::new(|_, _, _| Vec::new())
        }
        "launch-index" => Box::new(|_, _, row| one(row.launch_index)),
        "launch-time" => Box::new(|_, _, row| one(row.launched.iso8601())),
        "metadata-options.http-tokens" => Box::new(|_, _, row| maybe(metadata(row).http_tokens)),
        "metadata-options.http-endpoint" => Box::new(|_, _, row| maybe(metadata(row).http_endpoint)),
        "metadata-options.http-put-response-hop-limit" => Box::new(|_, _, row| one(row.metadata.hop_limit)),
        "metadata-options.instance-metadata-tags" => Box::new(|_, _, row| maybe(metadata(row).instance_metadata_tags)),
        "monitoring-state" => Box::new(|_, _, row| one(monitoring(row))),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "private-dns-name" => Box::new(|view, scope, row| {
            let ip = primary(view, scope, row).and_then(|interface| interface.private_ip());
            maybe(ip.map(|ip| names::private_name(&scope.region, ip)))
        }),
        "private-ip-address" => {
            Box::new(|view, scope, row| maybe(primary(view, scope, row).and_then(|interface| interface.private_ip())))
        }
        "requester-id" => Box::new(|_, _, row| maybe(row.requester.as_ref())),
        "reservation-id" => Box::new(|_, _, row| one(&row.reservation)),
        "root-device-name" => Box::new(|_, _, _| one("/dev/xvda")),
        "root-device-type" => Box::new(|_, _, _| one("ebs")),
        "source-dest-check" => {
            Box::new(|view, scope, row| maybe(primary(view, scope, row).map(|interface| interface.source_dest_check)))
        }
        "state-reason-message" => Box::new(|_, _, row| maybe(row.reason.as_ref().map(|(_, message)| message))),
        "state-reason-code" => Box::new(|_, _, row| maybe(row.reason.as_ref().map(|(code, _)| code))),
        "subnet-id" => Box::new(|_, _, row| one(&row.subnet)),
        "tenancy" => Box::new(|_, _, _| one("default")),
        "virtualization-type" => Box::new(|_, _, _| one("hvm")),
        "vpc-id" => Box::new(|_, _, row| one(&row.vpc)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInstancesRequest,
) -> Result<ec2::DescribeInstancesResult, ApiError> {
    begin(cx, input.dry_run)?;
    page_size(input.max_results, input.instance_ids.as_deref())?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.instance_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let mut by_reservation: BTreeMap<String, Vec<Arc<Instance>>> = BTreeMap::new();
    for row in rows {
        by_reservation.entry(row.reservation.to_string()).or_default().push(row);
    }
    let reservations = by_reservation.into_values().map(|mut rows| {
        rows.sort_by_key(|row| row.launch_index);
        reservation(view, &scope, &rows)
    });
    Ok(ec2::DescribeInstancesResult { reservations: Some(reservations.collect()), next_token })
}

/// Pages have 5 to 1000 items, and ids are not asked for by the page. Source: EC2 API reference, DescribeInstances.
fn page_size(max_results: Option<i32>, ids: Option<&[String]>) -> Result<(), ApiError> {
    let Some(max) = max_results else { return Ok(()) };
    if ids.is_some_and(|ids| !ids.is_empty()) {
        return Err(texts::invalid_combination(
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    if (5..=1000).contains(&max) {
        return Ok(());
    }
    Err(texts::invalid_value(max, "maxResults", "Expecting a value between 5 and 1000."))
}

pub(crate) fn describe_status(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeInstanceStatusRequest,
) -> Result<ec2::DescribeInstanceStatusResult, ApiError> {
    begin(cx, input.dry_run)?;
    page_size(input.max_results, input.instance_ids.as_deref())?;
    let all = input.include_all_instances == Some(true);
    let kind = Kind { filter: status_filter, ..KIND };
    let selection = Selection { ids: input.instance_ids, filters: input.filters, ..Selection::default() };
    let (rows, _) = describe::rows(cx, &kind, selection)?;
    let rows: Vec<_> = rows.into_iter().filter(|row| all || row.state == InstanceState::Running).collect();
    let (rows, next_token) =
        describe::page(rows, input.max_results, input.next_token.as_deref(), |row| row.id.to_string())?;
    let shown = rows.iter().map(|row| {
        // Nothing is checked here but that the kernel holds the instance, which is what running means.
        let (status, detail) = status_words(row);
        let summary = || {
            let details = detail.map(|word| ec2::InstanceStatusDetails {
                name: Some("reachability".to_owned()),
                status: Some(word.to_owned()),
                impaired_since: None,
            });
            Some(ec2::InstanceStatusSummary {
                status: Some(status.to_owned()),
                details: Some(details.into_iter().collect()),
            })
        };
        ec2::InstanceStatus {
            instance_id: Some(row.id.to_string()),
            availability_zone: Some(row.zone.clone()),
            availability_zone_id: Some(super::zone_id(&row.zone)),
            instance_state: state(row.state),
            instance_status: summary(),
            system_status: summary(),
            ..Default::default()
        }
    });
    Ok(ec2::DescribeInstanceStatusResult { instance_statuses: Some(shown.collect()), next_token })
}

fn status_words(row: &Instance) -> (&'static str, Option<&'static str>) {
    if row.state == InstanceState::Running { ("ok", Some("passed")) } else { ("not-applicable", None) }
}

fn status_filter(name: &str) -> Option<Values<Instance>> {
    Some(match name {
        "availability-zone" => Box::new(|_, _, row| one(&row.zone)),
        "availability-zone-id" => Box::new(|_, _, row| one(super::zone_id(&row.zone))),
        "instance-state-code" => Box::new(|_, _, row| one(row.state.code())),
        "instance-state-name" => Box::new(|_, _, row| one(row.state.as_str())),
        "instance-status.status" | "system-status.status" => Box::new(|_, _, row| one(status_words(row).0)),
        "instance-status.reachability" | "system-status.reachability" => {
            Box::new(|_, _, row| maybe(status_words(row).1))
        }
        _ => return None,
    })
}

/// Asks all of the instances or none.
fn ask_all(
    service: &Ec2,
    cx: &mut Context,
    ids: &[String],
    wish: Wish,
) -> Result<Vec<ec2::InstanceStateChange>, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let mut changes = Vec::new();
    for id in ids {
        find(tx, &scope, id)?;
        let (before, after) = instances::ask(tx, &scope, (id, wish), true, &service.pool, now)?;
        changes.push(ec2::InstanceStateChange {
            instance_id: Some(id.clone()),
            previous_state: state(before),
            current_state: state(after),
        });
    }
    Ok(changes)
}

pub(crate) fn terminate(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::TerminateInstancesRequest,
) -> Result<ec2::TerminateInstancesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let changes = ask_all(service, cx, &input.instance_ids, Wish::Terminate)?;
    Ok(ec2::TerminateInstancesResult { terminating_instances: Some(changes) })
}

pub(crate) fn stop(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::StopInstancesRequest,
) -> Result<ec2::StopInstancesResult, ApiError> {
    refuse(input.hibernate == Some(true), "hibernation")?;
    begin(cx, input.dry_run)?;
    let changes = ask_all(service, cx, &input.instance_ids, Wish::Stop)?;
    Ok(ec2::StopInstancesResult { stopping_instances: Some(changes) })
}

pub(crate) fn start(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::StartInstancesRequest,
) -> Result<ec2::StartInstancesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let changes = ask_all(service, cx, &input.instance_ids, Wish::Start)?;
    Ok(ec2::StartInstancesResult { starting_instances: Some(changes) })
}

/// An instance keeps its interfaces and addresses over a reboot, and nothing that ran on it.
pub(crate) fn reboot(_: &Ec2, cx: &mut Context, input: ec2::RebootInstancesRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    for id in &input.instance_ids {
        let row = find(tx, &scope, id)?;
        if !matches!(row.state, InstanceState::Running | InstanceState::Pending) {
            return Err(texts::not_running(id));
        }
        tx.update::<Instance>(&scope, id, |row| row.booted = now);
    }
    Ok(Unit)
}
