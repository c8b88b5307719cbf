//! VPC endpoints, the services that have them, and those services' prefix lists.

use super::describe::{self, Kind, Selection, one};
use super::{Ec2, begin, refuse, tags};
use crate::intent::{self, Ipv6Addresses, NewInterface};
use crate::names;
use crate::query::{self, GATEWAY_SERVICES, INTERFACE_SERVICES};
use crate::rows::{InterfaceType, Route, RouteTable, SecurityGroup, Subnet, Tags, Target, Vpc, VpcEndpoint};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::sync::Arc;
use store::{Tx, View};
use types::id::{EniId, RouteTableId, SecurityGroupId, SubnetId, VpcEndpointId};
use types::{ApiError, Scope};

fn groups(view: &View, scope: &Scope, vpc: &Vpc, asked: &[String]) -> Result<Vec<SecurityGroupId>, ApiError> {
    if asked.is_empty() {
        return Ok(vec![vpc.default_security_group.clone()]);
    }
    let find = |id: &String| {
        let group = view.get::<SecurityGroup>(scope, id).filter(|group| group.vpc == vpc.id);
        group.map(|group| group.id.clone()).ok_or_else(|| texts::group_not_found(id))
    };
    asked.iter().map(find).collect()
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

/// Adds or takes away a gateway endpoint's route in each table.
fn route(
    tx: &mut Tx,
    scope: &Scope,
    endpoint: &VpcEndpointId,
    service: &str,
    add: &[String],
    remove: &[String],
) -> Result<(), ApiError> {
    let list = query::prefix_lists(&scope.region).into_iter().find(|list| list.name == service);
    let Some(list) = list else { return Ok(()) };
    for id in add {
        let table = tx.get::<RouteTable>(scope, id).ok_or_else(|| texts::route_table_not_found(id))?;
        if table.routes.iter().any(|route| route.destination == Err(list.id.clone())) {
            return Err(ApiError::new(
                "RouteAlreadyExists",
                format!("route table {id} already has a route with destination-prefix-list-id {}", list.id),
            ));
        }
        let route = Route { destination: Err(list.id.clone()), target: Target::Endpoint(endpoint.clone()) };
        tx.update::<RouteTable>(scope, id, |table| table.routes.push(route));
    }
    for id in remove {
        tx.update::<RouteTable>(scope, id, |table| {
            table.routes.retain(|route| route.target != Target::Endpoint(endpoint.clone()));
        });
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
    let known = match kind {
        "Gateway" => GATEWAY_SERVICES.contains(&short),
        "Interface" => INTERFACE_SERVICES.contains(&short),
        other => return Err(ApiError::not_implemented(format_args!("VPC endpoints of type {other}"))),
    };
    if !known {
        return Err(texts::service_not_found(&name));
    }
    let id = VpcEndpointId::generate();
    let mut endpoint = VpcEndpoint {
        id: id.clone(),
        vpc: vpc.id.clone(),
        service: name.clone(),
        kind: kind.to_owned(),
        policy: input.policy_document,
        interfaces: Vec::new(),
        security_groups: Vec::new(),
        private_dns: false,
        route_tables: Vec::new(),
        created: now,
        tags,
    };
    if kind == "Gateway" {
        let tables = input.route_table_ids.unwrap_or_default();
        route(tx, &scope, &id, &name, &tables, &[])?;
        endpoint.route_tables = tables.iter().filter_map(|id| RouteTableId::parse(id)).collect();
    } else {
        // AWS's default is true where the service has a private name.
        endpoint.private_dns = input.private_dns_enabled.unwrap_or(true);
        if endpoint.private_dns {
            private_dns_possible(tx, &scope, &vpc, &name, None)?;
        }
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

/// Private DNS needs both DNS attributes of the VPC, and one endpoint alone may have a service's name.
fn private_dns_possible(
    view: &View,
    scope: &Scope,
    vpc: &Vpc,
    service: &str,
    but: Option<&VpcEndpointId>,
) -> Result<(), ApiError> {
    if !vpc.dns_support || !vpc.dns_hostnames {
        return Err(ApiError::new(
            "InvalidParameter",
            format!(
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for {}",
                vpc.id
            ),
        ));
    }
    let taken = view
        .by_index(&VpcEndpoint::BY_VPC, scope, vpc.id.as_str())
        .any(|other| other.service == service && other.private_dns && Some(&other.id) != but);
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
        dns_options: interface
            .then(|| ec2::DnsOptions { dns_record_ip_type: Some("ipv4".to_owned()), ..Default::default() }),
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
    let mut shown = vec![names::endpoint_name(region, endpoint, None)];
    let interfaces = query::endpoint_interfaces(view, scope, endpoint);
    shown.extend(interfaces.iter().map(|interface| names::endpoint_name(region, endpoint, Some(&interface.zone))));
    if endpoint.private_dns {
        let service = names::short_service(region, &endpoint.service).unwrap_or_default();
        shown.push(names::private_dns_name(region, service));
    }
    shown.into_iter().map(|name| ec2::DnsEntry { dns_name: Some(name), ..Default::default() }).collect()
}

const KIND: Kind<VpcEndpoint> =
    Kind { not_found: texts::endpoint_not_found, tags: |_, endpoint| &endpoint.tags, filter };

fn filter(view: &View, scope: &Scope, endpoint: &VpcEndpoint, name: &str) -> Option<Vec<String>> {
    Some(match name {
        "ip-address-type" => one("ipv4"),
        "service-name" => one(&endpoint.service),
        "vpc-endpoint-id" => one(&endpoint.id),
        "vpc-endpoint-state" => show(view, scope, endpoint).state.into_iter().collect(),
        "vpc-endpoint-type" => one(&endpoint.kind),
        "vpc-id" => one(&endpoint.vpc),
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
        changed.policy = Some(policy);
    }
    if changed.kind == "Gateway" {
        let (add, remove) =
            (input.add_route_table_ids.unwrap_or_default(), input.remove_route_table_ids.unwrap_or_default());
        route(tx, &scope, &changed.id, &changed.service, &add, &remove)?;
        changed.route_tables.retain(|table| !remove.iter().any(|id| id == table.as_str()));
        changed.route_tables.extend(add.iter().filter_map(|id| RouteTableId::parse(id)));
    } else {
        if let Some(wanted) = input.private_dns_enabled {
            if wanted {
                private_dns_possible(tx, &scope, &vpc, &changed.service, Some(&changed.id))?;
            }
            changed.private_dns = wanted;
        }
        let remove = input.remove_security_group_ids.unwrap_or_default();
        changed.security_groups.retain(|group| !remove.iter().any(|id| id == group.as_str()));
        let add = input.add_security_group_ids.unwrap_or_default();
        if !add.is_empty() {
            changed.security_groups.extend(groups(tx, &scope, &vpc, &add)?);
        }
        let remove = input.remove_subnet_ids.unwrap_or_default();
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
        let tables: Vec<String> = endpoint.route_tables.iter().map(ToString::to_string).collect();
        route(tx, &scope, &endpoint.id, &endpoint.service, &[], &tables)?;
        endpoint.interfaces.iter().for_each(|(_, interface)| intent::delete_interface(tx, &scope, interface));
        tx.delete::<VpcEndpoint>(&scope, &id);
    }
    Ok(ec2::DeleteVpcEndpointsResult { unsuccessful: Some(unsuccessful) })
}

pub(crate) fn describe_prefix_lists(
    service: &Ec2,
    cx: &mut Context,
    input: ec2::DescribePrefixListsRequest,
) -> Result<ec2::DescribePrefixListsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let mut shown = Vec::new();
    for list in query::prefix_lists(cx.region()) {
        let named = input.prefix_list_ids.as_ref().is_none_or(|ids| ids.is_empty() || ids.contains(&list.id));
        let mut fits = true;
        for filter in input.filters.iter().flatten() {
            let value = match filter.name.as_deref().unwrap_or_default() {
                "prefix-list-id" => &list.id,
                "prefix-list-name" => &list.name,
                other => return Err(texts::invalid_filter(other)),
            };
            fits &= filter.values.iter().flatten().any(|pattern| describe::wildcard(pattern, value));
        }
        if named && fits {
            shown.push(ec2::PrefixList {
                cidrs: Some(vec![format!("{}/32", service.ground.gateway_endpoint_address())]),
                prefix_list_id: Some(list.id),
                prefix_list_name: Some(list.name),
            });
        }
    }
    for id in input.prefix_list_ids.iter().flatten() {
        if !query::prefix_lists(cx.region()).iter().any(|list| list.id == *id) {
            return Err(texts::prefix_list_not_found(id));
        }
    }
    Ok(ec2::DescribePrefixListsResult { prefix_lists: Some(shown), next_token: None })
}

pub(crate) fn describe_services(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeVpcEndpointServicesRequest,
) -> Result<ec2::DescribeVpcEndpointServicesResult, ApiError> {
    super::refuse(input.service_regions.is_some(), "endpoint services of other regions")?;
    begin(cx, input.dry_run)?;
    let region = cx.region().clone();
    let all = GATEWAY_SERVICES.iter().map(|short| (short, "Gateway"));
    let all = all.chain(INTERFACE_SERVICES.iter().map(|short| (short, "Interface")));
    let mut details = Vec::new();
    for (short, kind) in all {
        let name = format!("com.amazonaws.{region}.{short}");
        let named = input.service_names.as_ref().is_none_or(|names| names.is_empty() || names.contains(&name));
        let mut fits = true;
        for filter in input.filters.iter().flatten() {
            let value = match filter.name.as_deref().unwrap_or_default() {
                "owner" => "amazon",
                "service-name" => &name,
                "service-region" => region.as_str(),
                "service-type" => kind,
                "supported-ip-address-types" => "ipv4",
                other => return Err(texts::invalid_filter(other)),
            };
            fits &= filter.values.iter().flatten().any(|pattern| describe::wildcard(pattern, value));
        }
        if !named || !fits {
            continue;
        }
        let private = names::private_dns_name(&region, short);
        let interface = kind == "Interface";
        let base = if interface { names::endpoint_domain(&region, short) } else { private.clone() };
        details.push(ec2::ServiceDetail {
            service_name: Some(name),
            service_type: Some(vec![ec2::ServiceTypeDetail { service_type: Some(kind.to_owned()) }]),
            service_region: Some(region.to_string()),
            availability_zones: Some(region.zones()),
            owner: Some("amazon".to_owned()),
            base_endpoint_dns_names: Some(vec![base]),
            private_dns_name: interface.then(|| private.clone()),
            private_dns_names: interface.then(|| vec![ec2::PrivateDnsDetails { private_dns_name: Some(private) }]),
            vpc_endpoint_policy_supported: Some(true),
            acceptance_required: Some(false),
            manages_vpc_endpoints: Some(false),
            supported_ip_address_types: Some(vec!["ipv4".to_owned()]),
            ..Default::default()
        });
    }
    if details.is_empty()
        && let Some(name) = input.service_names.iter().flatten().next()
    {
        return Err(texts::service_not_found(name));
    }
    let service_names = details.iter().filter_map(|detail| detail.service_name.clone()).collect();
    Ok(ec2::DescribeVpcEndpointServicesResult {
        service_names: Some(service_names),
        service_details: Some(details),
        next_token: None,
    })
}
