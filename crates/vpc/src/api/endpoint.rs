//! VPC endpoints: interfaces or routes that lead to AWS's services.

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, refuse, tags};
use crate::intent::{self, Ipv6Addresses, NewInterface};
use crate::names;
use crate::query::{self, GATEWAY_SERVICES, INTERFACE_SERVICES};
use crate::rows::{InterfaceType, Route, RouteTable, SecurityGroup, Subnet, Tags, Target, Vpc, VpcEndpoint};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Tx, View};
use types::id::{EniId, RouteTableId, SecurityGroupId, SubnetId, VpcEndpointId};
use types::{ApiError, Scope};

/// The groups that are asked for, each once; the VPC's default one where none is.
fn groups(view: &View, scope: &Scope, vpc: &Vpc, asked: &[String]) -> Result<Vec<SecurityGroupId>, ApiError> {
    if asked.is_empty() {
        return Ok(vec![vpc.default_security_group.clone()]);
    }
    let find = |id: &String| {
        let group = view.get::<SecurityGroup>(scope, id).filter(|group| group.vpc == vpc.id);
        group.map(|group| group.id.clone()).ok_or_else(|| texts::group_not_found(id))
    };
    let mut found: Vec<SecurityGroupId> = asked.iter().map(find).collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    found.retain(|id| seen.insert(id.clone()));
    Ok(found)
}

/// One interface in each subnet; two subnets of one zone are an error.
fn attach(
    service: &Ec2,
    tx: &mut Tx,
    scope: &Scope,
    now: types::Timestamp,
    id: &VpcEndpointId,
    vpc: &Vpc,
    groups: &[SecurityGroupId],
    standing: &[(SubnetId, EniId)],
    subnets: &[String],
) -> Result<Vec<(SubnetId, EniId)>, ApiError> {
    let mut zones: Vec<String> = standing
        .iter()
        .filter_map(|(subnet, _)| Some(tx.get::<Subnet>(scope, subnet.as_str())?.zone.clone()))
        .collect();
    let mut made = Vec::new();
    for subnet_id in subnets {
        let subnet = tx.get::<Subnet>(scope, subnet_id).filter(|subnet| subnet.vpc == vpc.id);
        let subnet = subnet.ok_or_else(|| texts::subnet_not_found(subnet_id))?;
        if zones.contains(&subnet.zone) {
            return Err(ApiError::new(
                "DuplicateSubnetsInSameZone",
                format!("Found another VPC endpoint subnet in the availability zone of {subnet_id}"),
            ));
        }
        zones.push(subnet.zone.clone());
        let new = NewInterface {
            subnet: subnet.id.clone(),
            groups: groups.to_vec(),
            description: format!("VPC Endpoint Interface {id}"),
            kind: InterfaceType::VpcEndpoint,
            requester: Some("amazon-vpce".to_owned()),
            attach: Some(("amazon-aws".to_owned(), Some(format!("{id}-{}", subnet.zone)))),
            private_ip: None,
            public_ip: false,
            ipv6: Ipv6Addresses::Count(0),
            tags: Tags::new(),
        };
        let interface = intent::create_interface(tx, scope, &service.pool, now, new)?;
        made.push((subnet.id.clone(), interface.id.clone()));
    }
    Ok(made)
}

/// What is for one type of endpoint alone.
struct Given<'a> {
    /// The last part of the service's name.
    short: &'a str,
    route_tables: [&'a Option<Vec<String>>; 2],
    subnets: [&'a Option<Vec<String>>; 2],
    groups: [&'a Option<Vec<String>>; 2],
    private_dns: Option<bool>,
    dns_options: Option<&'a ec2::DnsOptionsSpecification>,
}

impl Given<'_> {
    fn check(&self, kind: &str) -> Result<(), ApiError> {
        let any = |lists: [&Option<Vec<String>>; 2]| lists.into_iter().flatten().any(|list| !list.is_empty());
        let wrong = match kind {
            "Gateway" if any(self.subnets) => Some(texts::SUBNETS_OF_GATEWAY),
            "Gateway" if any(self.groups) => Some(texts::GROUPS_OF_GATEWAY),
            "Gateway" if self.private_dns == Some(true) => Some(texts::PRIVATE_DNS_OF_GATEWAY),
            "Interface" if any(self.route_tables) => Some(texts::ROUTE_TABLES_OF_INTERFACE),
            _ => None,
        };
        if let Some(text) = wrong {
            return Err(ApiError::new("InvalidParameter", text));
        }
        let Some(options) = self.dns_options else { return Ok(()) };
        if self.inbound_only().is_some() && kind != "Interface" {
            return Err(ApiError::new("InvalidParameter", texts::INBOUND_ONLY_OF_GATEWAY));
        }
        let record = options.dns_record_ip_type.as_deref();
        refuse(record.is_some_and(|kind| !matches!(kind, "ipv4" | "service-defined")), "IPv6 endpoints")?;
        let inbound = self.inbound_only() == Some(true) && !has_both_types(self.short);
        refuse(inbound, "private DNS for inbound resolver endpoints alone, of services without gateway endpoints")?;
        let chosen = options.private_dns_preference.is_some() || options.private_dns_specified_domains.is_some();
        refuse(chosen, "chosen private DNS domains of endpoints")
    }

    fn inbound_only(&self) -> Option<bool> {
        self.dns_options?.private_dns_only_for_inbound_resolver_endpoint
    }
}

/// Adds or takes away a gateway endpoint's route in each table.
fn route(
    tx: &mut Tx,
    scope: &Scope,
    endpoint: &VpcEndpoint,
    add: &[String],
    remove: &[String],
) -> Result<(), ApiError> {
    let list = query::prefix_lists(&scope.region).into_iter().find(|list| list.name == endpoint.service);
    let Some(list) = list else { return Ok(()) };
    for id in remove {
        tx.get::<RouteTable>(scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
        tx.update::<RouteTable>(scope, id, |table| {
            table.routes.retain(|route| route.target != Target::Endpoint(endpoint.id.clone()));
        });
    }
    for id in add {
        let table = tx.get::<RouteTable>(scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
        if table.vpc != endpoint.vpc {
            return Err(texts::route_table_elsewhere(id, endpoint.vpc.as_str()));
        }
        if table.routes.iter().any(|route| route.destination == Err(list.id.clone())) {
            return Err(ApiError::new(
                "RouteAlreadyExists",
                format!("route table {id} already has a route with destination-prefix-list-id {}", list.id),
            ));
        }
        let route = Route { destination: Err(list.id.clone()), target: Target::Endpoint(endpoint.id.clone()) };
        tx.update::<RouteTable>(scope, id, |table| table.routes.push(route));
    }
    Ok(())
}

pub(crate) fn create(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::CreateVpcEndpointRequest,
) -> Result<ec2::CreateVpcEndpointResult, ApiError> {
    refuse(input.service_network_arn.is_some() || input.resource_configuration_arn.is_some(), "VPC Lattice endpoints")?;
    refuse(input.ip_address_type.as_deref().is_some_and(|kind| kind != "ipv4"), "IPv6 endpoints")?;
    refuse(input.subnet_configurations.is_some(), "chosen addresses of endpoints")?;
    refuse(input.service_region.is_some(), "endpoints to other regions")?;
    let name = input.service_name.ok_or_else(|| texts::missing("ServiceName"))?;
    let tags = tags::at_creation(input.tag_specifications, "vpc-endpoint")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let vpc = tx.get::<Vpc>(&scope, &input.vpc_id).ok_or_else(|| texts::vpc_not_found(&input.vpc_id))?;
    let short = names::short_service(&scope.region, &name).unwrap_or_default();
    let kind = input.vpc_endpoint_type.as_deref().unwrap_or("Gateway");
    let given = Given {
        short,
        route_tables: [&input.route_table_ids, &None],
        subnets: [&input.subnet_ids, &None],
        groups: [&input.security_group_ids, &None],
        private_dns: input.private_dns_enabled,
        dns_options: input.dns_options.as_ref(),
    };
    given.check(kind)?;
    let known = match kind {
        "Gateway" => GATEWAY_SERVICES.contains(&short),
        "Interface" => INTERFACE_SERVICES.contains(&short),
        other => return Err(ApiError::not_implemented(format_args!("VPC endpoints of type {other}"))),
    };
    if !known {
        return Err(texts::service_not_found(&name));
    }
    let policy = input.policy_document.map(policy_document).transpose()?;
    let id = VpcEndpointId::generate();
    let mut endpoint = VpcEndpoint {
        id: id.clone(),
        vpc: vpc.id.clone(),
        service: name.clone(),
        kind: kind.to_owned(),
        policy,
        interfaces: Vec::new(),
        security_groups: Vec::new(),
        private_dns: false,
        inbound_only: false,
        route_tables: Vec::new(),
        created: now,
        tags,
    };
    if kind == "Gateway" {
        let tables = input.route_table_ids.unwrap_or_default();
        route(tx, &scope, &endpoint, &tables, &[])?;
        endpoint.route_tables = tables.iter().filter_map(|id| RouteTableId::parse(id)).collect();
    } else {
        // AWS's default is true where the service has a private name.
        endpoint.private_dns = input.private_dns_enabled.unwrap_or(true);
        endpoint.inbound_only = given.inbound_only().unwrap_or(true) && has_both_types(short);
        private_dns_possible(tx, &scope, &vpc, &endpoint)?;
        endpoint.security_groups = groups(tx, &scope, &vpc, &input.security_group_ids.unwrap_or_default())?;
        let subnets = input.subnet_ids.unwrap_or_default();
        endpoint.interfaces = attach(service, tx, &scope, now, &id, &vpc, &endpoint.security_groups, &[], &subnets)?;
    }
    let endpoint = tx.put(&scope, endpoint);
    let mut shown = show(tx, &scope, &endpoint);
    if kind == "Interface" {
        shown.state = Some("pending".to_owned());
    }
    Ok(ec2::CreateVpcEndpointResult { vpc_endpoint: Some(shown), client_token: input.client_token })
}

/// Whether routes may lead to the service, too.
fn has_both_types(short: &str) -> bool {
    GATEWAY_SERVICES.contains(&short) && INTERFACE_SERVICES.contains(&short)
}

/// Private DNS needs both DNS attributes of the VPC, and one endpoint alone may have a service's name. If it is for others
/// than the VPC alone, the VPC must have a way of its own.
fn private_dns_possible(view: &View, scope: &Scope, vpc: &Vpc, endpoint: &VpcEndpoint) -> Result<(), ApiError> {
    let service = &endpoint.service;
    if !endpoint.private_dns {
        return Ok(());
    }
    if !vpc.dns_support || !vpc.dns_hostnames {
        return Err(ApiError::new(
            "InvalidParameter",
            format!(
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for {}",
                vpc.id
            ),
        ));
    }
    let mut others = view.by_index(&VpcEndpoint::BY_VPC, scope, vpc.id.as_str());
    if endpoint.inbound_only && !others.any(|other| other.service == *service && other.is_gateway()) {
        return Err(texts::gateway_endpoint_needed(vpc.id.as_str()));
    }
    let taken = view
        .by_index(&VpcEndpoint::BY_VPC, scope, vpc.id.as_str())
        .any(|other| other.service == *service && other.private_dns && other.id != endpoint.id);
    if taken {
        return Err(ApiError::new(
            "InvalidParameter",
            format!(
                "private-dns-enabled cannot be set because there is already a conflicting DNS domain for {service} in the VPC {}",
                vpc.id
            ),
        ));
    }
    Ok(())
}

/// The longest policy of an endpoint, in characters. Source: PrivateLink guide, "Control access to VPC endpoints".
const MAX_POLICY: usize = 20_480;

/// A policy that can be enforced; it is shown again as it was written.
fn policy_document(text: String) -> Result<String, ApiError> {
    if text.chars().count() > MAX_POLICY {
        return Err(texts::invalid_endpoint_policy(&format!("It is longer than {MAX_POLICY} characters.")));
    }
    policy::parse(policy::Kind::Resource, &text).map_err(|why| texts::invalid_endpoint_policy(&why.0))?;
    Ok(text)
}

/// The policy of an endpoint that was given none.
const FULL_ACCESS: &str = r#"{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}"#;

fn show(view: &View, scope: &Scope, endpoint: &VpcEndpoint) -> ec2::VpcEndpoint {
    let interface = endpoint.kind == "Interface";
    let groups = endpoint.security_groups.iter().map(|id| ec2::SecurityGroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: view.get::<SecurityGroup>(scope, id.as_str()).map(|group| group.name.clone()),
    });
    ec2::VpcEndpoint {
        vpc_endpoint_id: Some(endpoint.id.to_string()),
        vpc_endpoint_type: Some(endpoint.kind.clone()),
        vpc_id: Some(endpoint.vpc.to_string()),
        owner_id: Some(scope.account.to_string()),
        service_name: Some(endpoint.service.clone()),
        service_region: interface.then(|| scope.region.to_string()),
        state: Some("available".to_owned()),
        policy_document: Some(endpoint.policy.clone().unwrap_or_else(|| FULL_ACCESS.to_owned())),
        route_table_ids: Some(endpoint.route_tables.iter().map(ToString::to_string).collect()),
        subnet_ids: Some(endpoint.interfaces.iter().map(|(subnet, _)| subnet.to_string()).collect()),
        network_interface_ids: Some(endpoint.interfaces.iter().map(|(_, id)| id.to_string()).collect()),
        groups: Some(groups.collect()),
        ip_address_type: interface.then(|| "ipv4".to_owned()),
        dns_options: interface.then(|| ec2::DnsOptions {
            dns_record_ip_type: Some("ipv4".to_owned()),
            private_dns_only_for_inbound_resolver_endpoint: Some(endpoint.inbound_only),
            ..Default::default()
        }),
        private_dns_enabled: Some(endpoint.private_dns),
        requester_managed: Some(false),
        dns_entries: Some(if interface { dns_entries(view, scope, endpoint) } else { Vec::new() }),
        creation_timestamp: Some(endpoint.created),
        tags: tags::shown(&endpoint.tags),
        ..Default::default()
    }
}

/// The name in all zones, in each, and the service's own where private DNS gives it.
fn dns_entries(view: &View, scope: &Scope, endpoint: &VpcEndpoint) -> Vec<ec2::DnsEntry> {
    let region = &scope.region;
    let service = names::short_service(region, &endpoint.service).unwrap_or_default();
    // A bucket's name stands in front of it.
    let any = if service == "s3" { "*." } else { "" };
    let own = |zone| format!("{any}{}", names::endpoint_name(region, endpoint, zone));
    let mut shown = vec![own(None)];
    let interfaces = query::endpoint_interfaces(view, scope, endpoint);
    shown.extend(interfaces.iter().map(|interface| own(Some(&interface.zone))));
    if endpoint.private_dns {
        shown.extend(names::private_dns_names(region, service));
    }
    shown.into_iter().map(|name| ec2::DnsEntry { dns_name: Some(name), ..Default::default() }).collect()
}

const KIND: Kind<VpcEndpoint> =
    Kind { not_found: texts::endpoint_not_found, tags: |_, endpoint| &endpoint.tags, filter };

fn filter(name: &str) -> Option<Values<VpcEndpoint>> {
    Some(match name {
        "ip-address-type" => Box::new(|_, _, _| one("ipv4")),
        "service-region" => {
            Box::new(|view, scope, endpoint| show(view, scope, endpoint).service_region.into_iter().collect())
        }
        "service-name" => Box::new(|_, _, endpoint| one(&endpoint.service)),
        "vpc-endpoint-id" => Box::new(|_, _, endpoint| one(&endpoint.id)),
        "vpc-endpoint-state" => {
            Box::new(|view, scope, endpoint| show(view, scope, endpoint).state.into_iter().collect())
        }
        "vpc-endpoint-type" => Box::new(|_, _, endpoint| one(&endpoint.kind)),
        "vpc-id" => Box::new(|_, _, endpoint| one(&endpoint.vpc)),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeVpcEndpointsRequest,
) -> Result<ec2::DescribeVpcEndpointsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: input.vpc_endpoint_ids, filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    Ok(ec2::DescribeVpcEndpointsResult {
        vpc_endpoints: Some(rows.iter().map(|row| show(view, &scope, row)).collect()),
        next_token,
    })
}

pub(crate) fn modify(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyVpcEndpointRequest,
) -> Result<ec2::ModifyVpcEndpointResult, ApiError> {
    refuse(input.ip_address_type.as_deref().is_some_and(|kind| kind != "ipv4"), "IPv6 endpoints")?;
    refuse(input.subnet_configurations.is_some(), "chosen addresses of endpoints")?;
    begin(cx, input.dry_run)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let id = &input.vpc_endpoint_id;
    let endpoint: Arc<VpcEndpoint> = tx.get(&scope, id).ok_or_else(|| texts::endpoint_not_found(id))?;
    let vpc =
        tx.get::<Vpc>(&scope, endpoint.vpc.as_str()).ok_or_else(|| texts::vpc_not_found(endpoint.vpc.as_str()))?;
    let mut changed = (*endpoint).clone();
    if input.reset_policy == Some(true) {
        changed.policy = None;
    } else if let Some(policy) = input.policy_document {
        changed.policy = Some(policy_document(policy)?);
    }
    let given = Given {
        short: names::short_service(&scope.region, &changed.service).unwrap_or_default(),
        route_tables: [&input.add_route_table_ids, &input.remove_route_table_ids],
        subnets: [&input.add_subnet_ids, &input.remove_subnet_ids],
        groups: [&input.add_security_group_ids, &input.remove_security_group_ids],
        private_dns: input.private_dns_enabled,
        dns_options: input.dns_options.as_ref(),
    };
    given.check(&changed.kind)?;
    if changed.kind == "Gateway" {
        let (add, remove) =
            (input.add_route_table_ids.unwrap_or_default(), input.remove_route_table_ids.unwrap_or_default());
        route(tx, &scope, &changed, &add, &remove)?;
        changed.route_tables.retain(|table| !remove.iter().any(|id| id == table.as_str()));
        changed.route_tables.extend(add.iter().filter_map(|id| RouteTableId::parse(id)));
    } else {
        let (private_dns, inbound_only) = (given.private_dns, given.inbound_only());
        if private_dns.is_some() || inbound_only.is_some() {
            changed.private_dns = private_dns.unwrap_or(changed.private_dns);
            changed.inbound_only = inbound_only.unwrap_or(changed.inbound_only);
            private_dns_possible(tx, &scope, &vpc, &changed)?;
        }
        let remove = input.remove_security_group_ids.unwrap_or_default();
        changed.security_groups.retain(|group| !remove.iter().any(|id| id == group.as_str()));
        let add = input.add_security_group_ids.unwrap_or_default();
        if !add.is_empty() {
            let added = groups(tx, &scope, &vpc, &add)?;
            let new = added.into_iter().filter(|group| !endpoint.security_groups.contains(group));
            changed.security_groups.extend(new);
        }
        if changed.security_groups.is_empty() {
            return Err(texts::endpoint_without_groups(id));
        }
        let remove = input.remove_subnet_ids.unwrap_or_default();
        let stands = |id: &&String| changed.interfaces.iter().any(|(subnet, _)| subnet.as_str() == id.as_str());
        if let Some(unknown) = remove.iter().find(|id| !stands(id)) {
            return Err(texts::subnet_not_found(unknown));
        }
        let (gone, kept) =
            changed.interfaces.into_iter().partition(|(subnet, _)| remove.iter().any(|id| id == subnet.as_str()));
        changed.interfaces = kept;
        let gone: Vec<(SubnetId, EniId)> = gone;
        gone.iter().for_each(|(_, interface)| intent::delete_interface(tx, &scope, interface));
        for (_, interface) in &changed.interfaces {
            tx.update::<crate::rows::NetworkInterface>(&scope, interface.as_str(), |row| {
                row.groups.clone_from(&changed.security_groups);
            });
        }
        let add = input.add_subnet_ids.unwrap_or_default();
        let made =
            attach(service, tx, &scope, now, &changed.id, &vpc, &changed.security_groups, &changed.interfaces, &add)?;
        changed.interfaces.extend(made);
    }
    tx.put(&scope, changed);
    Ok(ec2::ModifyVpcEndpointResult { return_: Some(true) })
}

pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteVpcEndpointsRequest,
) -> Result<ec2::DeleteVpcEndpointsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut unsuccessful = Vec::new();
    for id in input.vpc_endpoint_ids {
        let Some(endpoint) = tx.get::<VpcEndpoint>(&scope, &id) else {
            let error = texts::endpoint_not_found(&id);
            unsuccessful.push(ec2::UnsuccessfulItem {
                error: Some(ec2::UnsuccessfulItemError { code: Some(error.code), message: Some(error.message) }),
                resource_id: Some(id),
            });
            continue;
        };
        let tables = endpoint.route_tables.iter().map(ToString::to_string);
        // One that was deleted meanwhile took its routes along.
        let tables: Vec<String> = tables.filter(|id| tx.contains::<RouteTable>(&scope, id)).collect();
        route(tx, &scope, &endpoint, &[], &tables)?;
        endpoint.interfaces.iter().for_each(|(_, interface)| intent::delete_interface(tx, &scope, interface));
        tx.delete::<VpcEndpoint>(&scope, &id);
    }
    Ok(ec2::DeleteVpcEndpointsResult { unsuccessful: Some(unsuccessful) })
}
