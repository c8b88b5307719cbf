//! Interfaces attached to instances while they stand.

use super::instance::find_live;
use super::{Ec2, begin, refuse};
use crate::rows::{Attachment, InstanceState, InterfaceState, NetworkInterface};
use crate::{instance_types, instances, launch, texts};
use gateway::Context;
use model::ec2;
use types::ApiError;
use types::id::AttachmentId;
use wire::Unit;

pub(crate) fn attach(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::AttachNetworkInterfaceRequest,
) -> Result<ec2::AttachNetworkInterfaceResult, ApiError> {
    refuse(input.network_card_index.is_some_and(|card| card != 0), "further network cards")?;
    refuse(input.ena_srd_specification.is_some() || input.ena_queue_count.is_some(), "ENA Express and ENA queues")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let instance = find_live(tx, &scope, &input.instance_id)?;
    let interface = launch::standing(tx, &scope, &instance, &input.network_interface_id)?;
    if !matches!(instance.state, InstanceState::Pending | InstanceState::Running | InstanceState::Stopped) {
        return Err(texts::not_running(&input.instance_id));
    }
    let kind = instance_types::find(&instance.kind).ok_or_else(ApiError::internal)?;
    let present = instances::interfaces(tx, &scope, &input.instance_id);
    if present.len() >= kind.interfaces {
        return Err(texts::too_many_interfaces(present.len() + 1, &kind.name));
    }
    let device_index = launch::device_index(input.device_index, &kind)?;
    let at = |row: &NetworkInterface| row.attachment.as_ref().map(|attachment| attachment.device_index);
    if present.iter().any(|row| at(row) == Some(device_index)) {
        return Err(texts::device_in_use(&input.instance_id, device_index));
    }
    let id = AttachmentId::generate();
    let attachment = Attachment {
        id: id.clone(),
        owner: scope.account.to_string(),
        namespace: (instance.state != InstanceState::Stopped).then(|| instance.id.to_string()),
        at: now,
        delete_on_termination: false,
        instance: Some(instance.id.clone()),
        device_index,
    };
    let attached = tx.update::<NetworkInterface>(&scope, interface.as_str(), |row| {
        row.attachment = Some(attachment);
        row.state = InterfaceState::Pending;
    });
    if attached.is_some_and(|row| row.private_ips.len() > kind.addresses) {
        return Err(texts::too_many_private_ips());
    }
    Ok(ec2::AttachNetworkInterfaceResult { attachment_id: Some(id.to_string()), network_card_index: Some(0) })
}

pub(crate) fn detach(_: &Ec2, cx: &mut Context, input: ec2::DetachNetworkInterfaceRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = input.attachment_id.as_str();
    let attachment_of = |row: &NetworkInterface| row.attachment.as_ref().is_some_and(|found| found.id.as_str() == id);
    let interface = tx.scan::<NetworkInterface>(&scope).find(|row| attachment_of(row)).cloned();
    let interface = interface.ok_or_else(|| texts::attachment_not_found(id))?;
    let Some(attachment) = interface.attachment.as_ref().filter(|attachment| attachment.instance.is_some()) else {
        return Err(texts::not_yours_to_detach(interface.kind.as_str()));
    };
    if interface.requester.is_some() {
        return Err(texts::not_yours_to_detach(interface.kind.as_str()));
    }
    if attachment.device_index == 0 {
        return Err(texts::primary_stays());
    }
    tx.update::<NetworkInterface>(&scope, interface.id.as_str(), |row| row.attachment = None);
    Ok(Unit)
}
