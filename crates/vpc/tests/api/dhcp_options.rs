//! Sets of DHCP options: made, given to VPCs, deleted when no VPC has them.

use crate::world::World;
use model::ec2;
use vpc::rows::Vpc;

fn option(key: &str, values: &[&str]) -> ec2::NewDhcpConfiguration {
    ec2::NewDhcpConfiguration {
        key: Some(key.to_owned()),
        values: Some(values.iter().map(ToString::to_string).collect()),
    }
}

fn create(options: Vec<ec2::NewDhcpConfiguration>) -> ec2::CreateDhcpOptionsRequest {
    ec2::CreateDhcpOptionsRequest { dhcp_configurations: options, ..Default::default() }
}

fn associate(options: &str, vpc: &str) -> ec2::AssociateDhcpOptionsRequest {
    ec2::AssociateDhcpOptionsRequest {
        dhcp_options_id: options.to_owned(),
        vpc_id: vpc.to_owned(),
        ..Default::default()
    }
}

/// The domain name servers in force in a VPC.
fn servers(world: &World, vpc: &str) -> Option<Vec<String>> {
    let view = world.store.view();
    let vpc = view.get::<Vpc>(&world.scope, vpc).expect("the VPC is there");
    vpc::query::dhcp_options(&view, &world.scope, &vpc).map(|set| set.values("domain-name-servers").to_vec())
}

#[test]
fn a_vpc_has_the_options_that_it_was_given() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    assert_eq!(servers(&world, &vpc), Some(vec!["AmazonProvidedDNS".to_owned()]));
    let options =
        vec![option("domain-name", &["corp.example"]), option("domain-name-servers", &["10.0.0.9", "10.0.0.8"])];
    let made = world.ok(world.handlers.create_dhcp_options, create(options)).dhcp_options.expect("a set is shown");
    let id = made.dhcp_options_id.expect("a set has an id");
    world.ok(world.handlers.associate_dhcp_options, associate(&id, &vpc));
    assert_eq!(servers(&world, &vpc), Some(vec!["10.0.0.9".to_owned(), "10.0.0.8".to_owned()]));
    let delete = || ec2::DeleteDhcpOptionsRequest { dhcp_options_id: id.clone(), ..Default::default() };
    assert_eq!(world.refused(world.handlers.delete_dhcp_options, delete()), "DependencyViolation");
    world.ok(world.handlers.associate_dhcp_options, associate("default", &vpc));
    assert_eq!(servers(&world, &vpc), None);
    world.ok(world.handlers.delete_dhcp_options, delete());
    assert_eq!(world.refused(world.handlers.delete_dhcp_options, delete()), "InvalidDhcpOptionID.NotFound");
}

#[test]
fn new_vpcs_get_the_regions_own_set_and_no_others() {
    let world = World::new();
    world.vpc("10.0.0.0/16");
    for _ in 0..8 {
        world.ok(world.handlers.create_dhcp_options, create(vec![option("domain-name", &["corp.example"])]));
    }
    let vpc = world.vpc("10.1.0.0/16");
    assert_eq!(servers(&world, &vpc), Some(vec!["AmazonProvidedDNS".to_owned()]));
}

#[test]
fn values_that_an_option_may_not_have_are_refused() {
    let world = World::new();
    for (key, values) in [
        ("domain-name-servers", &["ns.example"][..]),
        ("domain-name-servers", &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]),
        ("ntp-servers", &["clock"]),
        ("netbios-node-type", &["3"]),
        ("ipv6-address-preferred-lease-time", &["10"]),
        ("time-zone", &["UTC"]),
    ] {
        let input = create(vec![option(key, values)]);
        assert_eq!(
            world.refused(world.handlers.create_dhcp_options, input),
            "InvalidParameterValue",
            "{key} {values:?}"
        );
    }
    assert_eq!(world.refused(world.handlers.create_dhcp_options, create(Vec::new())), "MissingParameter");
}
