//! Which entries of a network ACL are looked at, and in which order.

use super::Way;
use crate::{AclEntry, NetworkAcl, Traffic};
use ipnet::{IpNet, Ipv4Net};

/// The entries of one direction as they are looked at; what none of them matches is dropped. No ACL has none.
pub(crate) fn entries(acl: Option<&NetworkAcl>, way: Way) -> Vec<(&AclEntry, Ipv4Net)> {
    let entries = acl.map_or(&[][..], |acl| if way == Way::In { &acl.ingress } else { &acl.egress });
    let mut entries: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry.cidr {
            IpNet::V4(cidr) => Some((entry, cidr.trunc())),
            IpNet::V6(_) => None,
        })
        .collect();
    entries.sort_by_key(|(entry, _)| entry.number);
    entries
}

/// Whether everything passes, by the first entry.
pub(crate) fn open(entries: &[(&AclEntry, Ipv4Net)]) -> bool {
    let everything = |(entry, cidr): &(&AclEntry, Ipv4Net)| entry.traffic == Traffic::All && cidr.prefix_len() == 0;
    entries.first().is_some_and(|first| first.0.allow && everything(first))
}
