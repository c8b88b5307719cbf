//! Whom instance metadata answers, which rows know and the network does not.

use crate::names::find;
use netplan::walk::{Content, Origin, Reason, Station, Walk};
use std::net::{IpAddr, Ipv4Addr};
use store::View;
use vpc::rows::NetworkInterface;

/// Where instances look for their metadata.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// The walk, refused at its end if that is instance metadata and who asks is no instance. A ping is the kernel's to answer.
pub(crate) fn asked(view: &View, walk: Walk) -> Walk {
    let end = walk.request.last();
    let asks = walk.to == ADDRESS
        && end.is_some_and(|hop| {
            matches!(hop.station, Station::LocalService { .. })
                && matches!(hop.packet.content, Content::Tcp { .. } | Content::Udp { .. })
        });
    let Origin::Interface(interface) = walk.from.clone() else { return walk };
    let is_instance = || {
        find::<NetworkInterface>(view, interface.as_str())
            .is_some_and(|(scope, row)| vpc::query::instance_of(view, scope, row).is_some())
    };
    if asks && !is_instance() { walk.refused_at_its_end(Reason::NoInstance { interface }) } else { walk }
}
