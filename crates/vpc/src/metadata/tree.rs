//! What there is to tell of an instance, as a tree of names. Pure: from rows to text.

use super::{pretty, whole_seconds};
use crate::rows::{Instance, NetworkInterface, SecurityGroup, Subnet, Vpc};
use crate::{instance_types, names as dns, query};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::{Scope, Timestamp};

/// A text, or names beneath.
pub(super) enum Node {
    Leaf(String),
    Branch(BTreeMap<String, Node>),
}

/// Names and what they say, as they are put together.
#[derive(Default)]
struct Names(BTreeMap<String, Node>);

impl Names {
    fn say(&mut self, name: &str, text: impl ToString) {
        self.0.insert(name.to_owned(), Node::Leaf(text.to_string()));
    }

    /// Says nothing where there is nothing to say: the name is not there, then.
    fn say_some(&mut self, name: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            self.say(name, text);
        }
    }

    /// Several texts, a line each.
    fn say_all(&mut self, name: &str, texts: impl IntoIterator<Item = impl ToString>) {
        let lines: Vec<String> = texts.into_iter().map(|text| text.to_string()).collect();
        self.say_some(name, Some(lines.join("\n")).filter(|_| !lines.is_empty()));
    }

    fn put(&mut self, name: &str, below: Self) {
        self.0.insert(name.to_owned(), Node::Branch(below.0));
    }

    /// One name in the branch of another.
    fn one(name: &str, below: Self) -> Self {
        let mut names = Self::default();
        names.put(name, below);
        names
    }
}

/// Everything but the user data and credentials, which are asked for apart.
pub(super) fn of(
    view: &View,
    scope: &Scope,
    row: &Instance,
    interfaces: &[Arc<NetworkInterface>],
    now: Timestamp,
) -> Node {
    let primary = interfaces.first();
    let mut latest = Names::default();
    let mut identity = Names::default();
    identity.say("document", document(scope, row, primary));
    latest.put("dynamic", Names::one("instance-identity", identity));
    latest.put("meta-data", metadata(view, scope, row, interfaces, now));
    if row.user_data.is_some() {
        latest.say("user-data", "");
    }
    Node::Branch(Names::one("latest", latest).0)
}

fn document(scope: &Scope, row: &Instance, primary: Option<&Arc<NetworkInterface>>) -> String {
    let architecture = instance_types::find(&row.kind).map(|kind| kind.family.architecture.as_str());
    pretty(&json!({
        "accountId": scope.account.as_str(),
        "architecture": architecture,
        "availabilityZone": row.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": row.image.as_str(),
        "instanceId": row.id.as_str(),
        "instanceType": row.kind,
        "kernelId": null,
        "pendingTime": whole_seconds(row.launched),
        "privateIp": primary.and_then(|interface| interface.private_ip()).map(|ip| ip.to_string()),
        "ramdiskId": null,
        "region": scope.region.as_str(),
        "version": "2017-09-30",
    }))
}

fn group_names(view: &View, scope: &Scope, interface: &NetworkInterface) -> Vec<String> {
    let groups = interface.groups.iter().filter_map(|id| view.get::<SecurityGroup>(scope, id.as_str()));
    groups.map(|group| group.name.clone()).collect()
}

fn metadata(view: &View, scope: &Scope, row: &Instance, interfaces: &[Arc<NetworkInterface>], now: Timestamp) -> Names {
    let mut names = Names::default();
    names.say("ami-id", &row.image);
    names.say("ami-launch-index", row.launch_index);
    names.say("ami-manifest-path", "(unknown)");
    names.say("instance-action", "none");
    names.say("instance-id", &row.id);
    names.say("instance-life-cycle", "on-demand");
    names.say("instance-type", &row.kind);
    names.say("profile", "default-hvm");
    names.say("reservation-id", &row.reservation);
    let hypervisor = instance_types::find(&row.kind).map(|kind| kind.family.hypervisor);
    names.say_some("system", hypervisor.map(|word| if word == "xen" { "xen-on-nitro" } else { word }));
    if let Some(primary) = interfaces.first() {
        let private = primary.private_ip();
        let private_name = private.map(|ip| dns::private_name(&scope.region, ip));
        names.say_some("hostname", private_name.as_ref());
        names.say_some("local-hostname", private_name.as_ref());
        names.say_some("local-ipv4", private);
        names.say("mac", primary.mac_text());
        names.say_all("security-groups", group_names(view, scope, primary));
        let public = query::public_ip(view, scope, primary);
        names.say_some("public-ipv4", public);
        let named = view.get::<Vpc>(scope, row.vpc.as_str()).is_some_and(|vpc| vpc.dns_hostnames);
        names.say_some("public-hostname", public.filter(|_| named).map(|ip| dns::public_name(&scope.region, ip)));
        names.say_some("ipv6", primary.ipv6.first());
    }
    let mut macs = Names::default();
    for interface in interfaces {
        macs.put(&interface.mac_text(), of_interface(view, scope, interface));
    }
    names.put("network", Names::one("interfaces", Names::one("macs", macs)));
    let mut placement = Names::default();
    placement.say("availability-zone", &row.zone);
    placement.say("availability-zone-id", crate::api::zone_id(&row.zone));
    placement.say("region", &scope.region);
    names.put("placement", placement);
    let mut services = Names::default();
    services.say("domain", dns::AMAZON);
    services.say("partition", "aws");
    names.put("services", services);
    if let Some((arn, id)) = &row.profile {
        names.put("iam", of_profile(view, scope, arn, id, now));
    }
    if row.metadata.tags {
        let mut tags = Names::default();
        row.tags.iter().for_each(|(key, value)| tags.say(key, value));
        names.put("tags", Names::one("instance", tags));
    }
    names
}

fn of_profile(view: &View, scope: &Scope, arn: &str, id: &str, now: Timestamp) -> Names {
    let profile = iam::query::instance_profile(view, &scope.account, arn).filter(|profile| profile.id == id);
    let mut names = Names::default();
    // Source: IAM user guide, "Troubleshoot IAM and Amazon EC2".
    names.say(
        "info",
        pretty(&match &profile {
            Some(_) => json!({
                "Code": "Success",
                "LastUpdated": whole_seconds(now),
                "InstanceProfileArn": arn,
                "InstanceProfileId": id,
            }),
            None => json!({
                "Code": "InstanceProfileNotFound",
                "Message": format!("Instance Profile {arn} cannot be found. Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc."),
                "LastUpdated": whole_seconds(now),
            }),
        }),
    );
    let mut credentials = Names::default();
    let role = profile.and_then(|profile| iam::query::role_of_profile(view, &scope.account, &profile));
    if let Some(name) = role.as_deref().and_then(|role| role.rsplit('/').next()) {
        credentials.say(name, "");
        names.put("security-credentials", credentials);
    }
    names
}

fn of_interface(view: &View, scope: &Scope, interface: &NetworkInterface) -> Names {
    let mut names = Names::default();
    names.say_some("device-number", interface.attachment.as_ref().map(|attachment| attachment.device_index));
    names.say("interface-id", &interface.id);
    names.say("mac", interface.mac_text());
    names.say("owner-id", &scope.account);
    names.say_all("local-ipv4s", &interface.private_ips);
    names.say_all("ipv6s", &interface.ipv6);
    names.say_some("local-hostname", interface.private_ip().map(|ip| dns::private_name(&scope.region, ip)));
    names.say_all("security-group-ids", &interface.groups);
    names.say_all("security-groups", group_names(view, scope, interface));
    names.say("subnet-id", &interface.subnet);
    names.say("vpc-id", &interface.vpc);
    if let Some(subnet) = view.get::<Subnet>(scope, interface.subnet.as_str()) {
        names.say("subnet-ipv4-cidr-block", subnet.cidr);
        names.say_all("subnet-ipv6-cidr-blocks", subnet.ipv6.as_ref().map(|(_, cidr)| cidr));
    }
    let vpc = view.get::<Vpc>(scope, interface.vpc.as_str());
    if let Some(vpc) = &vpc {
        names.say("vpc-ipv4-cidr-block", vpc.cidr);
        names.say_all("vpc-ipv4-cidr-blocks", vpc.cidrs());
        names.say_all("vpc-ipv6-cidr-blocks", vpc.ipv6_cidrs());
    }
    if let Some(public) = query::public_ip(view, scope, interface) {
        names.say("public-ipv4s", public);
        if vpc.is_some_and(|vpc| vpc.dns_hostnames) {
            names.say("public-hostname", dns::public_name(&scope.region, public));
        }
        let mut associations = Names::default();
        associations.say_some(&public.to_string(), interface.private_ip());
        names.put("ipv4-associations", associations);
    }
    names
}
