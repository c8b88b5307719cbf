//! Which entries of a network ACL are looked at, and in which order.

use super::Way;
use crate::{AclEntry, Family, NetworkAcl, Traffic};
use ipnet::IpNet;

/// The entries of one direction as they are looked at; what none of them matches is dropped. No ACL has none.
pub(crate) fn entries(acl: Option<&NetworkAcl>, way: Way) -> Vec<(&AclEntry, IpNet)> {
    let entries = acl.map_or(&[][..], |acl| if way == Way::In { &acl.ingress } else { &acl.egress });
    let mut entries: Vec<_> = entries.iter().map(|entry| (entry, entry.cidr.trunc())).collect();
    entries.sort_by_key(|(entry, _)| entry.number);
    entries
}

/// Whether everything of a family passes, by its first entry.
pub(crate) fn open(entries: &[(&AclEntry, IpNet)], family: Family) -> bool {
    let everything = |(entry, cidr): &(&AclEntry, IpNet)| entry.traffic == Traffic::All && cidr.prefix_len() == 0;
    let first = entries.iter().find(|(_, cidr)| Family::of_block(cidr) == family);
    first.is_some_and(|first| first.0.allow && everything(first))
}
