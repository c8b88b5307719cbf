//! Launching instances: from what a request or a launch template says to rows.
//!
//! [`complete`] fills a request from its launch template; [`launch`] makes the instances with their interfaces in one
//! transaction. The EC2 API and Auto Scaling groups both come here, so that a group's instance fails as one that is
//! launched by hand. What becomes of the rows is [`crate::instances`]'s business.

mod check;

use crate::instance_types::{self, InstanceType};
use crate::intent::{self, NewInterface, PublicPool};
use crate::rows::{
    Attachment, Instance, InstanceState, InterfaceState, InterfaceType, LaunchTemplate, NetworkInterface,
    SecurityGroup, Subnet, Tags,
};
use crate::texts;
use model::ec2;
use serde_json::Value;
use std::sync::Arc;
use store::{Tx, View};
use types::id::{AttachmentId, EniId, ImageId, InstanceId, ReservationId, SecurityGroupId, SubnetId};
use types::{ApiError, Scope, Timestamp};
use wire::Stored;

pub(crate) use check::change_metadata;
pub use check::{Checked, check, metadata_options};

/// How many virtual processors an account's running instances may have in a region. AWS's quota is another for each
/// account; this one keeps a slip of the finger from taking the machine down.
const VCPU_QUOTA: u32 = 512;

/// Instances to be launched.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What is asked for, complete: [`complete`].
    pub request: ec2::RunInstancesRequest,
    /// The instances' tags.
    pub tags: Tags,
    /// The tags of the interfaces made for them.
    pub interface_tags: Tags,
    /// The service that launches them, if one does.
    pub requester: Option<String>,
}

impl Launch {
    /// What a complete request asks for, launched by `requester`, or by the user who asks.
    pub fn of(request: ec2::RunInstancesRequest, requester: Option<String>) -> Result<Self, ApiError> {
        let kinds = &["instance", "network-interface", "volume"];
        let mut given = crate::api::tags_of_kinds(request.tag_specifications.clone(), kinds)?;
        Ok(Self {
            tags: given.remove("instance").unwrap_or_default(),
            interface_tags: given.remove("network-interface").unwrap_or_default(),
            request,
            requester,
        })
    }
}

/// What was launched.
#[derive(Debug, Clone)]
pub struct Launched {
    /// What they have in common.
    pub reservation: ReservationId,
    /// The instances, in order.
    pub instances: Vec<Arc<Instance>>,
}

/// The launch template that a specification names.
pub fn template(
    view: &View,
    scope: &Scope,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<Arc<LaunchTemplate>, ApiError> {
    match (id.filter(|id| !id.is_empty()), name.filter(|name| !name.is_empty())) {
        (Some(_), Some(_)) => Err(texts::one_launch_template_name()),
        (Some(id), None) => view.get(scope, id).ok_or_else(|| texts::launch_template_id_not_found(id)),
        (None, Some(name)) => {
            let found = view.by_index(&LaunchTemplate::BY_NAME, scope, name).next().cloned();
            found.ok_or_else(|| texts::launch_template_name_not_found(name))
        }
        (None, None) => Err(texts::missing("LaunchTemplateId or LaunchTemplateName")),
    }
}

/// The request with what its launch template says, where the request says nothing of it itself.
pub fn complete(
    view: &View,
    scope: &Scope,
    request: ec2::RunInstancesRequest,
) -> Result<ec2::RunInstancesRequest, ApiError> {
    let Some(named) = request.launch_template.clone() else { return Ok(request) };
    let template = template(view, scope, named.launch_template_id.as_deref(), named.launch_template_name.as_deref())?;
    let version = template.version(named.version.as_deref()).ok_or_else(|| {
        texts::launch_template_version_not_found(template.id.as_str(), named.version.as_deref().unwrap_or_default())
    })?;
    let data = &version.data;
    refuse(data.instance_requirements.is_some(), "instance types by their attributes")?;
    refuse(data.elastic_gpu_specifications.is_some() || data.elastic_inference_accelerators.is_some(), "accelerators")?;
    // A template's members have the names of the request's own; what is left out there are the refused ones.
    let (mut whole, own) = (json(data)?, json(&Stored(request))?);
    if let (Some(whole), Some(own)) = (whole.as_object_mut(), own.as_object()) {
        let tags = |of: &serde_json::Map<String, Value>| {
            of.get("TagSpecifications").and_then(Value::as_array).cloned().unwrap_or_default()
        };
        // Tags add up: the request's come last and hold.
        let together: Vec<Value> = tags(whole).into_iter().chain(tags(own)).collect();
        whole.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        if !together.is_empty() {
            whole.insert("TagSpecifications".to_owned(), Value::Array(together));
        }
        // The request's own interfaces stand for all that the template says of where the instance is.
        if own.contains_key("NetworkInterfaces") {
            for name in ["SecurityGroupIds", "SecurityGroups"] {
                if !own.contains_key(name) {
                    whole.remove(name);
                }
            }
        }
    }
    serde_json::from_value::<Stored<ec2::RunInstancesRequest>>(whole)
        .map(|whole| whole.0)
        .map_err(|_| ApiError::internal())
}

fn json(shape: &impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(shape).map_err(|_| ApiError::internal())
}

/// Refuses what is not here.
fn refuse(given: bool, what: &str) -> Result<(), ApiError> {
    if given { Err(ApiError::not_implemented(what)) } else { Ok(()) }
}

/// Makes the instances: all of the least number asked for or none, and as many of the greatest as there is room for.
pub fn launch(
    tx: &mut Tx,
    scope: &Scope,
    pool: &PublicPool,
    now: Timestamp,
    launch: &Launch,
) -> Result<Launched, ApiError> {
    let request = &launch.request;
    let (Ok(least), Ok(most)) = (usize::try_from(request.min_count), usize::try_from(request.max_count)) else {
        return Err(texts::bad_count(request.min_count.min(request.max_count)));
    };
    if least == 0 || most == 0 {
        return Err(texts::bad_count(0));
    }
    if least > most {
        return Err(texts::invalid_value(least, "minCount", "It must not be greater than maxCount."));
    }
    let checked = check(tx, scope, request)?;
    let room = (VCPU_QUOTA.saturating_sub(vcpus_in_use(tx, scope)) / checked.kind.vcpus) as usize;
    if room < least {
        return Err(texts::vcpu_quota(VCPU_QUOTA));
    }
    let standing = request.network_interfaces.iter().flatten().any(|one| one.network_interface_id.is_some());
    let fixed = request.private_ip_address.is_some();
    if most > 1 && (standing || fixed) {
        return Err(texts::invalid_combination(
            "Network interfaces or private addresses cannot be specified when launching more than one instance.",
        ));
    }
    let free = if standing { most } else { crate::query::free_addresses(tx, scope, &checked.subnet) };
    if free < least {
        return Err(texts::no_free_address());
    }
    let reservation = ReservationId::generate();
    let instances = (0..most.min(room).min(free))
        .map(|index| one(tx, scope, pool, now, launch, &checked, &reservation, index))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Launched { reservation, instances })
}

fn vcpus_in_use(view: &View, scope: &Scope) -> u32 {
    let live = view.scan::<Instance>(scope).filter(|row| !row.state.is_over() && row.state != InstanceState::Stopped);
    live.filter_map(|row| instance_types::find(&row.kind)).map(|kind| kind.vcpus).sum()
}

fn one(
    tx: &mut Tx,
    scope: &Scope,
    pool: &PublicPool,
    now: Timestamp,
    launch: &Launch,
    checked: &Checked,
    reservation: &ReservationId,
    index: usize,
) -> Result<Arc<Instance>, ApiError> {
    let request = &launch.request;
    let id = InstanceId::generate();
    let primary = request.network_interfaces.iter().flatten().find(|one| one.device_index.unwrap_or_default() == 0);
    let asked = primary.and_then(|one| one.associate_public_ip_address);
    let public_ip = asked.unwrap_or(checked.subnet.map_public_ip_on_launch);
    let instance = Instance {
        id: id.clone(),
        reservation: reservation.clone(),
        requester: launch.requester.clone(),
        image: ImageId::parse(&checked.image.id).ok_or_else(ApiError::internal)?,
        kind: checked.kind.name.clone(),
        vpc: checked.subnet.vpc.clone(),
        subnet: checked.subnet.id.clone(),
        zone: checked.subnet.zone.clone(),
        state: InstanceState::Pending,
        since: now,
        reason: None,
        launched: now,
        booted: now,
        launch_index: i32::try_from(index).unwrap_or_default(),
        client_token: request.client_token.clone(),
        profile: checked.profile.clone(),
        user_data: request.user_data.clone().filter(|data| !data.is_empty()),
        metadata: metadata_options(request.metadata_options.as_ref())?,
        disable_api_termination: request.disable_api_termination.unwrap_or_default(),
        disable_api_stop: request.disable_api_stop.unwrap_or_default(),
        shutdown_behavior: request.instance_initiated_shutdown_behavior.clone().unwrap_or_else(|| "stop".to_owned()),
        monitoring: request.monitoring.as_ref().is_some_and(|asked| asked.enabled),
        cpu_credits: request.credit_specification.as_ref().map(|asked| asked.cpu_credits.clone()),
        ebs_optimized: request.ebs_optimized.unwrap_or_default(),
        public_ip,
        tags: launch.tags.clone(),
    };
    let instance = tx.put(scope, instance);
    let listed: Vec<ec2::InstanceNetworkInterfaceSpecification> =
        match request.network_interfaces.clone().filter(|list| !list.is_empty()) {
            Some(list) => list,
            None => vec![of_instance(request)],
        };
    if listed.len() > checked.kind.interfaces {
        return Err(texts::too_many_interfaces(listed.len(), &checked.kind.name));
    }
    if listed.len() > 1 && listed.iter().any(|one| one.associate_public_ip_address.is_some()) {
        return Err(texts::public_address_of_several());
    }
    let mut taken = std::collections::BTreeSet::new();
    for spec in listed {
        let device = spec.device_index.unwrap_or_default();
        let device = device_index(device, &checked.kind)?;
        if !taken.insert(device) {
            return Err(texts::invalid_combination("Each network interface requires a unique device index."));
        }
        plug(tx, scope, pool, now, launch, checked, &instance, spec, device)?;
    }
    Ok(instance)
}

/// A device's number, as far as the type has that many.
pub(crate) fn device_index(device: i32, kind: &InstanceType) -> Result<u8, ApiError> {
    let valid = u8::try_from(device).ok().filter(|device| usize::from(*device) < kind.interfaces);
    valid.ok_or_else(|| {
        texts::invalid_value(
            device,
            "deviceIndex",
            &format!("It must be less than {} for {}.", kind.interfaces, kind.name),
        )
    })
}

/// The one interface of an instance for which none are listed.
fn of_instance(request: &ec2::RunInstancesRequest) -> ec2::InstanceNetworkInterfaceSpecification {
    ec2::InstanceNetworkInterfaceSpecification {
        device_index: Some(0),
        groups: request.security_group_ids.clone(),
        private_ip_address: request.private_ip_address.clone(),
        ipv6_address_count: request.ipv6_address_count,
        ipv6_addresses: request.ipv6_addresses.clone(),
        ..Default::default()
    }
}

/// Makes or takes an interface, and attaches it to the instance.
fn plug(
    tx: &mut Tx,
    scope: &Scope,
    pool: &PublicPool,
    now: Timestamp,
    launch: &Launch,
    checked: &Checked,
    instance: &Instance,
    spec: ec2::InstanceNetworkInterfaceSpecification,
    device: u8,
) -> Result<(), ApiError> {
    let attachment = Attachment {
        id: AttachmentId::generate(),
        owner: scope.account.to_string(),
        namespace: Some(instance.id.to_string()),
        at: now,
        delete_on_termination: spec.delete_on_termination.unwrap_or(spec.network_interface_id.is_none()),
        instance: Some(instance.id.clone()),
        device_index: device,
    };
    let id = match &spec.network_interface_id {
        Some(id) => standing(tx, scope, instance, id)?,
        None => made(tx, scope, pool, now, launch, checked, instance, spec, device)?,
    };
    let attached = tx.update::<NetworkInterface>(scope, id.as_str(), |row| {
        row.attachment = Some(attachment);
        row.state = InterfaceState::Pending;
    });
    if attached.is_some_and(|row| row.private_ips.len() > checked.kind.addresses) {
        return Err(texts::too_many_private_ips());
    }
    Ok(())
}

/// Makes an interface for the instance.
fn made(
    tx: &mut Tx,
    scope: &Scope,
    pool: &PublicPool,
    now: Timestamp,
    launch: &Launch,
    checked: &Checked,
    instance: &Instance,
    spec: ec2::InstanceNetworkInterfaceSpecification,
    device: u8,
) -> Result<EniId, ApiError> {
    let subnet = match &spec.subnet_id {
        Some(id) if device != 0 => {
            let id = SubnetId::parse(id).ok_or_else(|| texts::subnet_not_found(id))?;
            tx.get::<Subnet>(scope, id.as_str()).ok_or_else(|| texts::subnet_not_found(id.as_str()))?
        }
        _ => checked.subnet.clone(),
    };
    if subnet.vpc != instance.vpc || subnet.zone != instance.zone {
        return Err(texts::interface_elsewhere());
    }
    let mut groups = group_ids(spec.groups.unwrap_or_default())?;
    if device == 0 {
        groups.extend(named_groups(tx, scope, &subnet, launch.request.security_groups.iter().flatten())?);
    }
    let listed = spec.ipv6_addresses.unwrap_or_default();
    let ipv6 = crate::api::wanted_ipv6(
        listed.into_iter().filter_map(|one| one.ipv6_address).collect(),
        spec.ipv6_address_count,
    )?;
    let (private_ip, secondary) = crate::api::wanted_private_ips(
        spec.private_ip_address.as_deref(),
        spec.private_ip_addresses.unwrap_or_default(),
        spec.secondary_private_ip_address_count,
    )?;
    let new = NewInterface {
        subnet: subnet.id.clone(),
        groups,
        description: spec.description.unwrap_or_default(),
        kind: InterfaceType::Interface,
        requester: None,
        attach: None,
        private_ip,
        public_ip: device == 0 && instance.public_ip,
        ipv6,
        tags: launch.interface_tags.clone(),
    };
    let made = intent::create_interface(tx, scope, pool, now, new)?.id.clone();
    intent::assign_private_ips(tx, scope, &made, secondary, false)?;
    Ok(made)
}

/// An interface that stands already and can be attached to the instance.
pub(crate) fn standing(view: &View, scope: &Scope, instance: &Instance, id: &str) -> Result<EniId, ApiError> {
    let interface = view.get::<NetworkInterface>(scope, id).ok_or_else(|| texts::interface_not_found(id))?;
    if interface.requester.is_some() {
        return Err(texts::auth_failure());
    }
    if interface.attachment.is_some() {
        return Err(texts::interface_in_use(id));
    }
    if interface.vpc != instance.vpc || interface.zone != instance.zone {
        return Err(texts::interface_elsewhere());
    }
    Ok(interface.id.clone())
}

fn group_ids(given: Vec<String>) -> Result<Vec<SecurityGroupId>, ApiError> {
    given.iter().map(|id| SecurityGroupId::parse(id).ok_or_else(|| texts::no_group(id))).collect()
}

fn named_groups<'g>(
    view: &View,
    scope: &Scope,
    subnet: &Subnet,
    names: impl Iterator<Item = &'g String>,
) -> Result<Vec<SecurityGroupId>, ApiError> {
    let find = |name: &String| {
        let group = view.scan::<SecurityGroup>(scope).find(|group| group.vpc == subnet.vpc && group.name == *name);
        group.map(|group| group.id.clone()).ok_or_else(|| texts::group_not_found(name))
    };
    names.map(find).collect()
}
