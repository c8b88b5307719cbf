//! What other services may ask of the network: interfaces. They write intent; the controller has the fabric make it real
//! and writes back [`InterfaceState`].

use crate::rows::{
    Address, Attachment, Behind, Instance, InterfaceState, InterfaceType, NetworkInterface, SecurityGroup, Subnet,
    Tags, Vpc,
};
use crate::{instance_types, texts};
use ipnet::Ipv4Net;
use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use store::{Tx, View};
use types::id::{AttachmentId, EniId, SecurityGroupId, SubnetId};
use types::{ApiError, Scope, Timestamp};

/// How many security groups an interface may have. Source: VPC user guide, "Amazon VPC quotas".
pub const MAX_GROUPS: usize = 5;

/// How many private addresses an interface may have: the most that any instance type allows. Source: EC2 user guide, "IP
/// addresses per network interface".
pub const MAX_PRIVATE_IPS: usize = 50;

/// An interface to be made.
#[derive(Debug, Clone)]
pub struct NewInterface {
    /// In which subnet.
    pub subnet: SubnetId,
    /// Its security groups; none means the VPC's default group.
    pub groups: Vec<SecurityGroupId>,
    /// Its description.
    pub description: String,
    /// Its kind.
    pub kind: InterfaceType,
    /// The service that makes it, e.g. `amazon-elb`; `None` for a user.
    pub requester: Option<String>,
    /// What it is attached to from the start: owner and namespace.
    pub attach: Option<(String, Option<String>)>,
    /// The private address wanted; `None` takes the lowest free one.
    pub private_ip: Option<Ipv4Addr>,
    /// A public address out of the pool, whatever the subnet's own setting.
    pub public_ip: bool,
    /// Its IPv6 addresses.
    pub ipv6: Ipv6Addresses,
    /// Its tags.
    pub tags: Tags,
}

/// The IPv6 addresses that an interface is to get.
#[derive(Debug, Clone)]
pub enum Ipv6Addresses {
    /// One, if its subnet has them and gives one to every new interface.
    AsSubnetSays,
    /// So many of the lowest free ones.
    Count(usize),
    /// These.
    Chosen(Vec<Ipv6Addr>),
}

/// Where public addresses come from: the pool's assignable addresses.
#[derive(Debug, Clone)]
pub struct PublicPool(Vec<Ipv4Addr>);

impl PublicPool {
    /// The pool of an instance whose network stands on `ground`.
    pub fn new(ground: &netplan::Ground) -> Self {
        Self(ground.assignable().collect())
    }

    /// The lowest address that neither an elastic IP nor an interface has, in any account and region.
    pub fn free(&self, view: &View) -> Result<Ipv4Addr, ApiError> {
        let elastic = view.scan_all::<Address>().map(|(_, address)| address.public_ip);
        let automatic = view.scan_all::<NetworkInterface>().filter_map(|(_, interface)| interface.auto_public_ip);
        let used: HashSet<Ipv4Addr> = elastic.chain(automatic).collect();
        self.0.iter().copied().find(|ip| !used.contains(ip)).ok_or_else(texts::no_public_address)
    }
}

/// Makes an interface with an address of its subnet. The fabric attaches it soon after the commit.
pub fn create_interface(
    tx: &mut Tx,
    scope: &Scope,
    pool: &PublicPool,
    now: Timestamp,
    new: NewInterface,
) -> Result<Arc<NetworkInterface>, ApiError> {
    let subnet =
        tx.get::<Subnet>(scope, new.subnet.as_str()).ok_or_else(|| texts::subnet_not_found(new.subnet.as_str()))?;
    // Nothing guards a NAT gateway. Source: VPC user guide, "NAT gateway basics".
    let groups =
        if new.kind == InterfaceType::NatGateway { Vec::new() } else { groups(tx, scope, &subnet, new.groups)? };
    let private_ip = free_private_ip(tx, scope, &subnet, new.private_ip)?;
    let auto_public_ip = if new.public_ip { Some(pool.free(tx)?) } else { None };
    let id = EniId::generate();
    let attachment = new.attach.map(|(owner, namespace)| Attachment {
        id: AttachmentId::generate(),
        owner,
        namespace,
        at: now,
        delete_on_termination: false,
        instance: None,
        device_index: 0,
    });
    let interface = NetworkInterface {
        mac: mac(&id),
        id,
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        zone: subnet.zone.clone(),
        description: new.description,
        kind: new.kind,
        private_ips: vec![private_ip],
        ipv6: Vec::new(),
        auto_public_ip,
        groups,
        source_dest_check: new.kind != InterfaceType::NatGateway,
        requester: new.requester,
        attachment,
        state: InterfaceState::Pending,
        created: now,
        tags: new.tags,
    };
    let interface = tx.put(scope, interface);
    let wanted = match new.ipv6 {
        Ipv6Addresses::AsSubnetSays => Ipv6Addresses::Count(subnet.assign_ipv6_on_creation.into()),
        wanted => wanted,
    };
    assign_ipv6(tx, scope, &interface.id, wanted)?;
    tx.get(scope, interface.id.as_str()).ok_or_else(|| texts::interface_not_found(interface.id.as_str()))
}

/// Deletes an interface, and frees the elastic address that is associated with it. Nothing happens if it is gone.
pub fn delete_interface(tx: &mut Tx, scope: &Scope, id: &EniId) {
    let addresses: Vec<Arc<Address>> = tx.by_index(&Address::BY_INTERFACE, scope, id.as_str()).cloned().collect();
    for address in addresses {
        tx.update::<Address>(scope, address.id.as_str(), |address| address.association = None);
    }
    tx.delete::<NetworkInterface>(scope, id.as_str());
}

/// Makes a network behind another one. The fabric has it stand soon after the commit ([`Behind::attached`]).
pub fn create_behind(tx: &mut Tx, scope: &Scope, behind: Behind) {
    tx.put(scope, Behind { attached: false, ..behind });
}

/// Deletes a network behind another one. Nothing happens if it is gone.
pub fn delete_behind(tx: &mut Tx, scope: &Scope, netns: &str) {
    tx.delete::<Behind>(scope, netns);
}

/// The secondary private addresses that an interface is to get.
#[derive(Debug, Clone)]
pub enum Secondary {
    /// These.
    Chosen(Vec<Ipv4Addr>),
    /// So many of the lowest free ones.
    Count(usize),
}

/// Gives an interface secondary private addresses, and returns them. `take` lets them be taken from other interfaces on
/// which they are secondary, too.
pub fn assign_private_ips(
    tx: &mut Tx,
    scope: &Scope,
    id: &EniId,
    wanted: Secondary,
    take: bool,
) -> Result<Vec<Ipv4Addr>, ApiError> {
    let interface =
        tx.get::<NetworkInterface>(scope, id.as_str()).ok_or_else(|| texts::interface_not_found(id.as_str()))?;
    let subnet = tx
        .get::<Subnet>(scope, interface.subnet.as_str())
        .ok_or_else(|| texts::subnet_not_found(interface.subnet.as_str()))?;
    let count = match &wanted {
        Secondary::Chosen(ips) => ips.len(),
        Secondary::Count(count) => *count,
    };
    if interface.private_ips.len().saturating_add(count) > most_addresses(tx, scope, &interface) {
        return Err(texts::too_many_private_ips());
    }
    let mut assigned = Vec::new();
    let mut assign = |tx: &mut Tx, wanted: Option<Ipv4Addr>| {
        let ip = free_private_ip(tx, scope, &subnet, wanted)?;
        tx.update::<NetworkInterface>(scope, id.as_str(), |row| row.private_ips.push(ip));
        assigned.push(ip);
        Ok::<(), ApiError>(())
    };
    match wanted {
        Secondary::Count(count) => (0..count).try_for_each(|_| assign(tx, None))?,
        Secondary::Chosen(ips) => {
            for ip in ips {
                if take {
                    release_secondary(tx, scope, &interface, ip);
                }
                assign(tx, Some(ip))?;
            }
        }
    }
    Ok(assigned)
}

/// How many private addresses an interface may have: as many as its instance's type allows.
fn most_addresses(view: &View, scope: &Scope, interface: &NetworkInterface) -> usize {
    let instance = interface.attachment.as_ref().and_then(|attachment| attachment.instance.as_ref());
    let row = instance.and_then(|id| view.get::<Instance>(scope, id.as_str()));
    row.and_then(|row| instance_types::find(&row.kind)).map_or(MAX_PRIVATE_IPS, |kind| kind.addresses)
}

/// Takes a secondary address from the other interface that has it, if one has.
fn release_secondary(tx: &mut Tx, scope: &Scope, to: &NetworkInterface, ip: Ipv4Addr) {
    let key = format!("{}/{ip}", to.vpc);
    let holder = tx.by_index(&NetworkInterface::BY_PRIVATE_IP, scope, &key).next().cloned();
    let Some(holder) = holder else { return };
    if holder.id != to.id && holder.private_ip() != Some(ip) && holder.requester.is_none() {
        unassign_private_ips(tx, scope, &holder.id, &[ip]);
    }
}

/// Takes secondary private addresses from an interface, and frees the elastic addresses associated with them.
pub fn unassign_private_ips(tx: &mut Tx, scope: &Scope, id: &EniId, ips: &[Ipv4Addr]) {
    let addresses: Vec<Arc<Address>> = tx.by_index(&Address::BY_INTERFACE, scope, id.as_str()).cloned().collect();
    for address in addresses {
        if address.association.as_ref().is_some_and(|(_, _, private)| ips.contains(private)) {
            tx.update::<Address>(scope, address.id.as_str(), |address| address.association = None);
        }
    }
    tx.update::<NetworkInterface>(scope, id.as_str(), |row| row.private_ips.retain(|ip| !ips.contains(ip)));
}

/// Gives an interface IPv6 addresses, and returns them.
pub fn assign_ipv6(tx: &mut Tx, scope: &Scope, id: &EniId, wanted: Ipv6Addresses) -> Result<Vec<Ipv6Addr>, ApiError> {
    let interface =
        tx.get::<NetworkInterface>(scope, id.as_str()).ok_or_else(|| texts::interface_not_found(id.as_str()))?;
    let subnet = tx
        .get::<Subnet>(scope, interface.subnet.as_str())
        .ok_or_else(|| texts::subnet_not_found(interface.subnet.as_str()))?;
    let used: HashSet<Ipv6Addr> = tx
        .by_index(&NetworkInterface::BY_SUBNET, scope, subnet.id.as_str())
        .flat_map(|interface| interface.ipv6.iter().copied())
        .collect();
    let room = MAX_PRIVATE_IPS.saturating_sub(interface.ipv6.len());
    let assigned: Vec<Ipv6Addr> = match wanted {
        Ipv6Addresses::AsSubnetSays | Ipv6Addresses::Count(0) => return Ok(Vec::new()),
        _ if subnet.ipv6.is_none() => return Err(texts::subnet_without_ipv6(subnet.id.as_str())),
        Ipv6Addresses::Count(count) if count > room => return Err(texts::too_many_ipv6()),
        Ipv6Addresses::Chosen(ips) if ips.len() > room => return Err(texts::too_many_ipv6()),
        Ipv6Addresses::Count(count) => subnet.usable_ipv6().filter(|ip| !used.contains(ip)).take(count).collect(),
        Ipv6Addresses::Chosen(ips) => {
            let mut seen = used;
            for ip in &ips {
                if !subnet.may_have_ipv6(*ip) {
                    return Err(texts::not_in_subnet(ip));
                }
                if !seen.insert(*ip) {
                    return Err(texts::address_in_use(ip));
                }
            }
            ips
        }
    };
    tx.update::<NetworkInterface>(scope, id.as_str(), |row| row.ipv6.extend(&assigned));
    Ok(assigned)
}

/// Takes IPv6 addresses from an interface.
pub fn unassign_ipv6(tx: &mut Tx, scope: &Scope, id: &EniId, ips: &[Ipv6Addr]) {
    tx.update::<NetworkInterface>(scope, id.as_str(), |row| row.ipv6.retain(|ip| !ips.contains(ip)));
}

/// The groups asked for, or the VPC's default one; all must be of the subnet's VPC.
pub(crate) fn groups(
    view: &View,
    scope: &Scope,
    subnet: &Subnet,
    asked: Vec<SecurityGroupId>,
) -> Result<Vec<SecurityGroupId>, ApiError> {
    if asked.is_empty() {
        let vpc = view.get::<Vpc>(scope, subnet.vpc.as_str());
        return Ok(vpc.map(|vpc| vpc.default_security_group.clone()).into_iter().collect());
    }
    if asked.len() > MAX_GROUPS {
        return Err(texts::too_many_groups());
    }
    for id in &asked {
        let group = view.get::<SecurityGroup>(scope, id.as_str()).ok_or_else(|| texts::group_not_found(id.as_str()))?;
        if group.vpc != subnet.vpc {
            return Err(texts::group_of_other_vpc(id.as_str(), subnet.id.as_str()));
        }
    }
    Ok(asked)
}

fn free_private_ip(
    view: &View,
    scope: &Scope,
    subnet: &Subnet,
    wanted: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, ApiError> {
    let used: HashSet<Ipv4Addr> = view
        .by_index(&NetworkInterface::BY_SUBNET, scope, subnet.id.as_str())
        .flat_map(|interface| interface.private_ips.iter().copied())
        .collect();
    match wanted {
        None => {
            let free = subnet.usable().find(|ip| !used.contains(ip));
            free.ok_or_else(texts::no_free_address)
        }
        Some(ip) if !subnet.cidr.contains(&ip) => Err(texts::not_in_subnet(ip)),
        Some(ip) if !is_usable(&subnet.cidr, ip) => Err(texts::reserved_address(ip)),
        Some(ip) if used.contains(&ip) => Err(texts::address_in_use(ip)),
        Some(ip) => Ok(ip),
    }
}

fn is_usable(cidr: &Ipv4Net, ip: Ipv4Addr) -> bool {
    u32::from(ip) >= u32::from(cidr.network()) + 4 && ip != cidr.broadcast()
}

/// A locally administered MAC address made of the id's first digits: stable, and unique like the id.
fn mac(id: &EniId) -> [u8; 6] {
    let mut mac = [0x02, 0, 0, 0, 0, 0];
    let digits = id.as_str().trim_start_matches(EniId::PREFIX).as_bytes();
    for (byte, pair) in mac[1..].iter_mut().zip(digits.chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    mac
}
