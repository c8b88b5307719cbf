//! The VPC 10.0.0.0/16: public, private and data subnets in two zones, gateways, routes, security groups, endpoints.

use super::{PORT, Progress, call, present};
use crate::Failure;
use crate::client::Clients;
use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, ResourceType, Tag, TagSpecification, UserIdGroupPair, VpcEndpointType,
};

/// What later steps need of the network.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) vpc: String,
    pub(crate) public: Vec<String>,
    pub(crate) private: Vec<String>,
    pub(crate) sg_alb: String,
    pub(crate) sg_ecs: String,
}

fn named(kind: ResourceType, name: &str) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).tags(Tag::builder().key("Name").value(name).build()).build()
}

pub(crate) async fn build(clients: &Clients, progress: &mut dyn Progress) -> Result<Network, Failure> {
    let ec2 = &clients.ec2;
    progress.begin("Create the VPC");
    let made = call!(
        "create the VPC",
        ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(named(ResourceType::Vpc, "demo"))
    )?;
    let vpc = present(made.vpc.and_then(|vpc| vpc.vpc_id), "the VPC's id")?;
    let on = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(true).build();
    call!("turn on DNS names", ec2.modify_vpc_attribute().vpc_id(&vpc).enable_dns_hostnames(on))?;
    progress.done(&vpc);

    progress.begin("Create six subnets over two zones");
    let zones = call!("describe the zones", ec2.describe_availability_zones())?;
    let zones: Vec<String> =
        zones.availability_zones().iter().filter_map(|zone| zone.zone_name.clone()).take(2).collect();
    if zones.len() < 2 {
        return Err(Failure::new("describe the zones", "the region has fewer than two"));
    }
    let mut tiers = Vec::new();
    for (tier, blocks) in [
        ("public", ["10.0.1.0/24", "10.0.2.0/24"]),
        ("private", ["10.0.10.0/24", "10.0.20.0/24"]),
        ("data", ["10.0.100.0/24", "10.0.200.0/24"]),
    ] {
        let mut subnets = Vec::new();
        for (zone, block) in zones.iter().zip(blocks) {
            let name = format!("demo-{tier}-{zone}");
            let made = call!(
                format!("create the subnet {block}"),
                ec2.create_subnet()
                    .vpc_id(&vpc)
                    .cidr_block(block)
                    .availability_zone(zone)
                    .tag_specifications(named(ResourceType::Subnet, &name))
            )?;
            subnets.push(present(made.subnet.and_then(|subnet| subnet.subnet_id), "the subnet's id")?);
        }
        tiers.push(subnets);
    }
    let data = tiers.pop().unwrap_or_default();
    let private = tiers.pop().unwrap_or_default();
    let public = tiers.pop().unwrap_or_default();
    progress.done("public, private, data");

    let (igw, nat) = gateways(clients, &vpc, &public, progress).await?;
    let tables = routes(clients, &vpc, &igw, &nat, [&public, &private, &data], progress).await?;
    let (sg_alb, sg_ecs) = groups(clients, &vpc, progress).await?;
    endpoints(clients, &vpc, &private, &tables, &sg_ecs, progress).await?;
    Ok(Network { vpc, public, private, sg_alb, sg_ecs })
}

async fn gateways(
    clients: &Clients,
    vpc: &str,
    public: &[String],
    progress: &mut dyn Progress,
) -> Result<(String, String), Failure> {
    let ec2 = &clients.ec2;
    progress.begin("Create the internet gateway and the NAT gateway");
    let made = call!(
        "create the internet gateway",
        ec2.create_internet_gateway().tag_specifications(named(ResourceType::InternetGateway, "demo"))
    )?;
    let igw = present(made.internet_gateway.and_then(|gateway| gateway.internet_gateway_id), "the gateway's id")?;
    call!("attach the internet gateway", ec2.attach_internet_gateway().vpc_id(vpc).internet_gateway_id(&igw))?;
    let address = call!("allocate an address", ec2.allocate_address().domain(aws_sdk_ec2::types::DomainType::Vpc))?;
    let allocation = present(address.allocation_id, "the address's id")?;
    let subnet = present(public.first(), "a public subnet")?;
    let made = call!(
        "create the NAT gateway",
        ec2.create_nat_gateway()
            .subnet_id(subnet)
            .allocation_id(allocation)
            .tag_specifications(named(ResourceType::Natgateway, "demo"))
    )?;
    let nat = present(made.nat_gateway.and_then(|gateway| gateway.nat_gateway_id), "the NAT gateway's id")?;
    progress.done(&format!("{igw}, {nat}"));
    Ok((igw, nat))
}

/// One table for each tier; the data tier's has no way out. Gives the tables' ids: public, private, data.
async fn routes(
    clients: &Clients,
    vpc: &str,
    igw: &str,
    nat: &str,
    tiers: [&[String]; 3],
    progress: &mut dyn Progress,
) -> Result<Vec<String>, Failure> {
    let ec2 = &clients.ec2;
    progress.begin("Route: public to the internet gateway, private to the NAT gateway, data nowhere");
    let mut tables = Vec::new();
    for (name, subnets) in ["public", "private", "data"].into_iter().zip(tiers) {
        let made = call!(
            "create a route table",
            ec2.create_route_table()
                .vpc_id(vpc)
                .tag_specifications(named(ResourceType::RouteTable, &format!("demo-{name}")))
        )?;
        let table = present(made.route_table.and_then(|table| table.route_table_id), "the route table's id")?;
        let route = ec2.create_route().route_table_id(&table).destination_cidr_block("0.0.0.0/0");
        match name {
            "public" => drop(call!("route to the internet gateway", route.gateway_id(igw))?),
            "private" => drop(call!("route to the NAT gateway", route.nat_gateway_id(nat))?),
            _ => {}
        }
        for subnet in subnets {
            call!("associate a route table", ec2.associate_route_table().route_table_id(&table).subnet_id(subnet))?;
        }
        tables.push(table);
    }
    progress.done("three tables");
    Ok(tables)
}

fn tcp(port: u16) -> aws_sdk_ec2::types::builders::IpPermissionBuilder {
    IpPermission::builder().ip_protocol("tcp").from_port(i32::from(port)).to_port(i32::from(port))
}

fn from_anywhere(port: u16) -> IpPermission {
    tcp(port).ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build()
}

fn of_group(port: u16, group: &str) -> IpPermission {
    tcp(port).user_id_group_pairs(UserIdGroupPair::builder().group_id(group).build()).build()
}

/// sg-alb, sg-ecs, sg-db, sg-cache: they name each other, so addresses may change.
async fn groups(clients: &Clients, vpc: &str, progress: &mut dyn Progress) -> Result<(String, String), Failure> {
    let ec2 = &clients.ec2;
    progress.begin("Create four security groups that refer to each other");
    let mut ids = Vec::new();
    for (name, description) in [
        ("sg-alb", "the load balancer"),
        ("sg-ecs", "tasks of the services"),
        ("sg-db", "PostgreSQL"),
        ("sg-cache", "Redis"),
    ] {
        // AWS reserves names that begin with sg-.
        let name = format!("demo-{name}");
        let made = call!(
            format!("create the security group {name}"),
            ec2.create_security_group()
                .vpc_id(vpc)
                .group_name(&name)
                .description(description)
                .tag_specifications(named(ResourceType::SecurityGroup, &name))
        )?;
        ids.push(present(made.group_id, "the security group's id")?);
    }
    let [alb, ecs, db, cache] = [&ids[0], &ids[1], &ids[2], &ids[3]];
    let everything =
        || IpPermission::builder().ip_protocol("-1").ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build();
    for (group, ingress, egress) in [
        (alb, vec![from_anywhere(443), from_anywhere(80)], vec![of_group(PORT, ecs)]),
        (ecs, vec![of_group(PORT, alb)], vec![from_anywhere(443), of_group(5432, db), of_group(6379, cache)]),
        (db, vec![of_group(5432, ecs)], vec![]),
        (cache, vec![of_group(6379, ecs)], vec![]),
    ] {
        call!(
            "allow ingress",
            ec2.authorize_security_group_ingress().group_id(group).set_ip_permissions(Some(ingress))
        )?;
        call!(
            "take back the default egress",
            ec2.revoke_security_group_egress().group_id(group).ip_permissions(everything())
        )?;
        if !egress.is_empty() {
            call!(
                "allow egress",
                ec2.authorize_security_group_egress().group_id(group).set_ip_permissions(Some(egress))
            )?;
        }
    }
    progress.done("sg-alb → sg-ecs → sg-db, sg-cache");
    Ok((alb.clone(), ecs.clone()))
}

/// ecr.api, ecr.dkr, logs, secretsmanager as interfaces in the private subnets; s3 as a gateway.
async fn endpoints(
    clients: &Clients,
    vpc: &str,
    private: &[String],
    tables: &[String],
    sg_ecs: &str,
    progress: &mut dyn Progress,
) -> Result<(), Failure> {
    let ec2 = &clients.ec2;
    progress.begin("Create the VPC endpoints");
    let region = ec2.config().region().map_or_else(|| "us-east-1".to_owned(), ToString::to_string);
    let made = call!(
        "create the endpoints' security group",
        ec2.create_security_group().vpc_id(vpc).group_name("demo-endpoints").description("VPC endpoints")
    )?;
    let group = present(made.group_id, "the security group's id")?;
    call!(
        "allow ingress to the endpoints",
        ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(of_group(443, sg_ecs))
    )?;
    for service in ["ecr.api", "ecr.dkr", "logs", "secretsmanager"] {
        progress.note(service);
        call!(
            format!("create the endpoint for {service}"),
            ec2.create_vpc_endpoint()
                .vpc_id(vpc)
                .vpc_endpoint_type(VpcEndpointType::Interface)
                .service_name(format!("com.amazonaws.{region}.{service}"))
                .set_subnet_ids(Some(private.to_vec()))
                .security_group_ids(&group)
                .private_dns_enabled(true)
        )?;
    }
    let private_table = tables.get(1).cloned();
    call!(
        "create the endpoint for s3",
        ec2.create_vpc_endpoint()
            .vpc_id(vpc)
            .vpc_endpoint_type(VpcEndpointType::Gateway)
            .service_name(format!("com.amazonaws.{region}.s3"))
            .set_route_table_ids(private_table.map(|table| vec![table]))
    )?;
    progress.done("ecr.api, ecr.dkr, logs, secretsmanager, s3");
    Ok(())
}

/// The public addresses of the network interfaces whose description matches `pattern`.
pub(crate) async fn public_addresses(clients: &Clients, pattern: &str) -> Result<Vec<std::net::Ipv4Addr>, Failure> {
    let filter = Filter::builder().name("description").values(pattern).build();
    let found =
        call!("describe the load balancer's interfaces", clients.ec2.describe_network_interfaces().filters(filter))?;
    Ok(found
        .network_interfaces()
        .iter()
        .filter_map(|interface| interface.association()?.public_ip()?.parse().ok())
        .collect())
}
