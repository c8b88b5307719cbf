//! Network ACLs, their entries, and which subnet has which.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, tags, vpc};
use crate::rows::{AclEntry, AclTraffic, NetworkAcl, Subnet, Vpc};
use crate::texts;
use gateway::Context;
use ipnet::{Ipv4Net, Ipv6Net};
use model::ec2;
use std::sync::Arc;
use store::View;
use types::id::{NetworkAclAssociationId, NetworkAclId};
use types::{ApiError, Scope};
use wire::Unit;

/// The number that the API shows for the final `*` entry, and that for the one of IPv6.
const LAST: i32 = 32767;
const LAST_IPV6: i32 = 32768;
/// How many entries an ACL may have in one direction. Source: VPC user guide, "Amazon VPC quotas".
const MAX_ENTRIES: usize = 20;

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateNetworkAclRequest,
) -> Result<ec2::CreateNetworkAclResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications, "network-acl")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    let id = NetworkAclId::generate();
    let acl = tx.put(&scope, NetworkAcl { id, vpc: vpc.id.clone(), is_default: false, entries: Vec::new(), tags });
    Ok(ec2::CreateNetworkAclResult { network_acl: Some(show(tx, &scope, &acl)), client_token: input.client_token })
}

fn show(view: &View, scope: &Scope, acl: &NetworkAcl) -> ec2::NetworkAcl {
    let associations =
        view.by_index(&Subnet::BY_NETWORK_ACL, scope, acl.id.as_str()).map(|subnet| ec2::NetworkAclAssociation {
            network_acl_association_id: Some(subnet.network_acl_association.to_string()),
            network_acl_id: Some(acl.id.to_string()),
            subnet_id: Some(subnet.id.to_string()),
        });
    ec2::NetworkAcl {
        network_acl_id: Some(acl.id.to_string()),
        vpc_id: Some(acl.vpc.to_string()),
        owner_id: Some(scope.account.to_string()),
        is_default: Some(acl.is_default),
        associations: Some(associations.collect()),
        entries: Some(entries(view, scope, acl).iter().map(show_entry).collect()),
        tags: tags::shown(&acl.tags),
    }
}

/// The entries in order of direction and number, with the final ones: one for IPv6 where the VPC has it.
fn entries(view: &View, scope: &Scope, acl: &NetworkAcl) -> Vec<AclEntry> {
    let mut entries = acl.entries.clone();
    let ipv6 = view.get::<Vpc>(scope, acl.vpc.as_str()).is_some_and(|vpc| !vpc.ipv6.is_empty());
    for egress in [true, false] {
        entries.push(AclEntry { allow: false, ..vpc::allow_all(LAST, egress, vpc::EVERYWHERE) });
        if ipv6 {
            entries.push(AclEntry { allow: false, ..vpc::allow_all(LAST_IPV6, egress, vpc::EVERYWHERE_IPV6) });
        }
    }
    entries.sort_by_key(|entry| (!entry.egress, entry.number));
    entries
}

fn show_entry(entry: &AclEntry) -> ec2::NetworkAclEntry {
    let (cidr_block, ipv6_cidr_block) =
        if entry.cidr.contains(':') { (None, Some(entry.cidr.clone())) } else { (Some(entry.cidr.clone()), None) };
    ec2::NetworkAclEntry {
        rule_number: Some(entry.number),
        egress: Some(entry.egress),
        rule_action: Some(if entry.allow { "allow" } else { "deny" }.to_owned()),
        protocol: Some(entry.protocol.clone()),
        cidr_block,
        ipv6_cidr_block,
        port_range: match entry.traffic {
            AclTraffic::Ports(from, to) => Some(ec2::PortRange { from: Some(from), to: Some(to) }),
            _ => None,
        },
        icmp_type_code: match entry.traffic {
            AclTraffic::Icmp(kind, code) => Some(ec2::IcmpTypeCode { type_: Some(kind), code: Some(code) }),
            _ => None,
        },
    }
}

const KIND: Kind<NetworkAcl> = Kind { not_found: texts::network_acl_not_found, tags: |_, acl| &acl.tags, filter };

fn cidrs(view: &View, scope: &Scope, acl: &NetworkAcl, ipv6: bool) -> Vec<String> {
    let of_family = entries(view, scope, acl).into_iter().filter(|entry| entry.cidr.contains(':') == ipv6);
    of_family.map(|entry| entry.cidr).collect()
}

fn icmp(view: &View, scope: &Scope, acl: &NetworkAcl, part: fn((i32, i32)) -> i32) -> Vec<String> {
    let found = entries(view, scope, acl).into_iter().filter_map(|entry| match entry.traffic {
        AclTraffic::Icmp(kind, code) => Some(part((kind, code)).to_string()),
        _ => None,
    });
    found.collect()
}

fn ports(view: &View, scope: &Scope, acl: &NetworkAcl, part: fn((i32, i32)) -> i32) -> Vec<String> {
    let found = entries(view, scope, acl).into_iter().filter_map(|entry| match entry.traffic {
        AclTraffic::Ports(from, to) => Some(part((from, to)).to_string()),
        _ => None,
    });
    found.collect()
}

/// The name by which a filter may ask for a protocol besides its number.
fn protocol_name(number: &str) -> Option<&'static str> {
    match number {
        "1" => Some("icmp"),
        "6" => Some("tcp"),
        "17" => Some("udp"),
        _ => None,
    }
}

fn subnets<'v>(view: &'v View, scope: &Scope, acl: &NetworkAcl) -> impl Iterator<Item = &'v Arc<Subnet>> + use<'v> {
    view.by_index(&Subnet::BY_NETWORK_ACL, scope, acl.id.as_str())
}

fn filter(name: &str) -> Option<Values<NetworkAcl>> {
    Some(match name {
        "association.association-id" => Box::new(|view, scope, acl| {
            subnets(view, scope, acl).map(|subnet| subnet.network_acl_association.to_string()).collect()
        }),
        "association.network-acl-id" | "network-acl-id" => Box::new(|_, _, acl| one(&acl.id)),
        "association.subnet-id" => {
            Box::new(|view, scope, acl| subnets(view, scope, acl).map(|subnet| subnet.id.to_string()).collect())
        }
        "default" => Box::new(|_, _, acl| one(acl.is_default)),
        "entry.cidr" => Box::new(|view, scope, acl| cidrs(view, scope, acl, false)),
        "entry.ipv6-cidr" => Box::new(|view, scope, acl| cidrs(view, scope, acl, true)),
        "entry.egress" => Box::new(|view, scope, acl| {
            entries(view, scope, acl).iter().map(|entry| entry.egress.to_string()).collect()
        }),
        "entry.icmp.code" => Box::new(|view, scope, acl| icmp(view, scope, acl, |(_, code)| code)),
        "entry.icmp.type" => Box::new(|view, scope, acl| icmp(view, scope, acl, |(kind, _)| kind)),
        "entry.port-range.from" => Box::new(|view, scope, acl| ports(view, scope, acl, |(from, _)| from)),
        "entry.port-range.to" => Box::new(|view, scope, acl| ports(view, scope, acl, |(_, to)| to)),
        "entry.protocol" => Box::new(|view, scope, acl| {
            let numbers = entries(view, scope, acl).into_iter().map(|entry| entry.protocol);
            numbers.flat_map(|number| [protocol_name(&number).map(str::to_owned), Some(number)]).flatten().collect()
        }),
        "entry.rule-action" => Box::new(|view, scope, acl| {
            entries(view, scope, acl)
                .iter()
                .map(|entry| if entry.allow { "allow" } else { "deny" }.to_owned())
                .collect()
        }),
        "entry.rule-number" => Box::new(|view, scope, acl| {
            entries(view, scope, acl).iter().map(|entry| entry.number.to_string()).collect()
        }),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "vpc-id" => Box::new(|_, _, acl| one(&acl.vpc)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeNetworkAclsRequest,
) -> Result<ec2::DescribeNetworkAclsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.network_acl_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    Ok(ec2::DescribeNetworkAclsResult {
        network_acls: Some(rows.iter().map(|row| show(view, &scope, row)).collect()),
        next_token,
    })
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteNetworkAclRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.network_acl_id;
    let acl = tx.get::<NetworkAcl>(&scope, id).ok_or_else(|| texts::network_acl_not_found(id))?;
    if acl.is_default {
        return Err(ApiError::new("InvalidParameterValue", format!("cannot delete default network ACL {id}")));
    }
    if tx.by_index(&Subnet::BY_NETWORK_ACL, &scope, id).next().is_some() {
        return Err(texts::dependency("networkAcl", id));
    }
    tx.delete::<NetworkAcl>(&scope, id);
    Ok(Unit)
}

/// An entry out of a request's members.
fn entry(
    number: i32,
    egress: bool,
    action: &str,
    protocol: &str,
    cidr: Option<&str>,
    ipv6: Option<&str>,
    icmp: Option<&ec2::IcmpTypeCode>,
    ports: Option<&ec2::PortRange>,
) -> Result<AclEntry, ApiError> {
    if !(1..LAST).contains(&number) {
        return Err(texts::invalid_value(number, "ruleNumber", "Must be between 1 and 32766."));
    }
    let allow = match action {
        "allow" => true,
        "deny" => false,
        other => return Err(texts::invalid_value(other, "ruleAction", "Expecting allow or deny.")),
    };
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => "6".to_owned(),
        "udp" => "17".to_owned(),
        "icmp" => "1".to_owned(),
        "icmpv6" => "58".to_owned(),
        "all" | "-1" => "-1".to_owned(),
        number if number.parse::<u8>().is_ok() => number.to_owned(),
        _ => {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("Invalid value '{protocol}' for IP protocol. Unknown protocol."),
            ));
        }
    };
    let traffic = match protocol.as_str() {
        "6" | "17" => {
            let range =
                ports.and_then(|range| Some((range.from?, range.to?))).ok_or_else(|| texts::missing("portRange"))?;
            let valid = |port: i32| (0..=65535).contains(&port);
            if !valid(range.0) || !valid(range.1) || range.0 > range.1 {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    format!("Invalid TCP/UDP port range ({}:{})", range.0, range.1),
                ));
            }
            AclTraffic::Ports(range.0, range.1)
        }
        "1" | "58" => {
            let (kind, code) = icmp
                .and_then(|icmp| Some((icmp.type_?, icmp.code?)))
                .ok_or_else(|| texts::missing("icmpTypeCode.code"))?;
            // -1 is all of them.
            for (value, parameter) in [(kind, "icmpTypeCode.type"), (code, "icmpTypeCode.code")] {
                if !(-1..=255).contains(&value) {
                    return Err(texts::invalid_value(value, parameter, "Must be between -1 and 255."));
                }
            }
            AclTraffic::Icmp(kind, code)
        }
        _ => AclTraffic::All,
    };
    let cidr = match (cidr, ipv6) {
        (Some(text), None) => text.parse::<Ipv4Net>().map_err(|_| texts::bad_cidr(text))?.trunc().to_string(),
        (None, Some(text)) => text.parse::<Ipv6Net>().map_err(|_| texts::bad_cidr(text))?.trunc().to_string(),
        (None, None) => return Err(texts::missing("cidrBlock")),
        (Some(_), Some(_)) => {
            return Err(texts::invalid_combination("Only one of cidrBlock and ipv6CidrBlock may be specified"));
        }
    };
    Ok(AclEntry { number, egress, allow, protocol, traffic, cidr })
}

macro_rules! entry_of {
    ($input:ident) => {
        entry(
            $input.rule_number,
            $input.egress,
            &$input.rule_action,
            &$input.protocol,
            $input.cidr_block.as_deref(),
            $input.ipv6_cidr_block.as_deref(),
            $input.icmp_type_code.as_ref(),
            $input.port_range.as_ref(),
        )
    };
}

pub(crate) fn create_entry(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateNetworkAclEntryRequest,
) -> Result<Unit, ApiError> {
    let entry = entry_of!(input)?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.network_acl_id;
    let acl = tx.get::<NetworkAcl>(&scope, id).ok_or_else(|| texts::network_acl_not_found(id))?;
    let mut same_way = acl.entries.iter().filter(|other| other.egress == entry.egress);
    if same_way.clone().any(|other| other.number == entry.number) {
        return Err(ApiError::new(
            "NetworkAclEntryAlreadyExists",
            format!("The network acl entry identified by {} already exists.", entry.number),
        ));
    }
    if same_way.by_ref().count() >= MAX_ENTRIES {
        return Err(ApiError::new(
            "NetworkAclEntryLimitExceeded",
            "The maximum number of network acl entries has been reached.",
        ));
    }
    tx.update::<NetworkAcl>(&scope, id, |acl| acl.entries.push(entry));
    Ok(Unit)
}

fn no_entry(number: i32) -> ApiError {
    ApiError::new(
        "InvalidNetworkAclEntry.NotFound",
        format!("The network acl entry identified by {number} does not exist."),
    )
}

pub(crate) fn replace_entry(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ReplaceNetworkAclEntryRequest,
) -> Result<Unit, ApiError> {
    let entry = entry_of!(input)?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.network_acl_id;
    let acl = tx.get::<NetworkAcl>(&scope, id).ok_or_else(|| texts::network_acl_not_found(id))?;
    let at = acl.entries.iter().position(|other| other.egress == entry.egress && other.number == entry.number);
    let at = at.ok_or_else(|| no_entry(entry.number))?;
    tx.update::<NetworkAcl>(&scope, id, |acl| acl.entries[at] = entry);
    Ok(Unit)
}

pub(crate) fn delete_entry(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteNetworkAclEntryRequest,
) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.network_acl_id;
    let acl = tx.get::<NetworkAcl>(&scope, id).ok_or_else(|| texts::network_acl_not_found(id))?;
    let is = |entry: &AclEntry| entry.egress == input.egress && entry.number == input.rule_number;
    if !acl.entries.iter().any(is) {
        return Err(no_entry(input.rule_number));
    }
    tx.update::<NetworkAcl>(&scope, id, |acl| acl.entries.retain(|entry| !is(entry)));
    Ok(Unit)
}

pub(crate) fn replace_association(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ReplaceNetworkAclAssociationRequest,
) -> Result<ec2::ReplaceNetworkAclAssociationResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let id = &input.network_acl_id;
    let acl = tx.get::<NetworkAcl>(&scope, id).ok_or_else(|| texts::network_acl_not_found(id))?;
    let subnet = tx
        .scan::<Subnet>(&scope)
        .find(|subnet| subnet.network_acl_association.as_str() == input.association_id)
        .cloned();
    let subnet = subnet.ok_or_else(|| texts::association_not_found(&input.association_id))?;
    if subnet.vpc != acl.vpc {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Network ACL {id} and subnet {} belong to different networks", subnet.id),
        ));
    }
    let fresh = NetworkAclAssociationId::generate();
    let new_association_id = Some(fresh.to_string());
    tx.update::<Subnet>(&scope, subnet.id.as_str(), |subnet| {
        subnet.network_acl = acl.id.clone();
        subnet.network_acl_association = fresh;
    });
    Ok(ec2::ReplaceNetworkAclAssociationResult { new_association_id })
}
