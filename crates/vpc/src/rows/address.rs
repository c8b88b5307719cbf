//! An elastic IP address.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use store::Index;
use types::id::{AllocationId, AssociationId, EniId};

/// An elastic IP address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Its id.
    pub id: AllocationId,
    /// The public address.
    pub public_ip: Ipv4Addr,
    /// Its association: id, interface, the interface's private address.
    pub association: Option<(AssociationId, EniId, Ipv4Addr)>,
    /// Its tags.
    pub tags: Tags,
}

impl Address {
    /// Addresses by public address.
    pub const BY_PUBLIC_IP: Index<Self> = Index::new("public_ip", |address| vec![address.public_ip.to_string()]);
    /// Addresses by the interface that they are associated with.
    pub const BY_INTERFACE: Index<Self> = Index::new("interface", |address| {
        address.association.iter().map(|(_, interface, _)| interface.to_string()).collect()
    });
}

row!(Address, "vpc.address", id, BY_PUBLIC_IP, BY_INTERFACE);
