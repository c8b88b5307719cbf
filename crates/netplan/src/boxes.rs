//! The union of rectangles of addresses and ports, as rectangles that do not overlap.
//!
//! The kernel's interval sets refuse overlapping elements; security groups are full of them.

/// Addresses and ports, all ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) addresses: (u32, u32),
    pub(crate) ports: (u16, u16),
}

/// Sorted ranges of ports.
type Ports = Vec<(u16, u16)>;

/// The same points as `areas`, each in one area only.
pub(crate) fn disjoint(areas: &[Area]) -> Vec<Area> {
    // Between two neighbouring edges nothing changes, so the ports allowed there are one sorted list.
    let mut edges: Vec<u64> =
        areas.iter().flat_map(|a| [u64::from(a.addresses.0), u64::from(a.addresses.1) + 1]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut strips: Vec<((u32, u32), Ports)> = Vec::new();
    for pair in edges.windows(2) {
        let (first, last) = (pair[0] as u32, (pair[1] - 1) as u32);
        let ports =
            merge(areas.iter().filter(|a| a.addresses.0 <= first && last <= a.addresses.1).map(|a| a.ports).collect());
        if ports.is_empty() {
            continue;
        }
        match strips.last_mut() {
            Some((addresses, before)) if *before == ports && u64::from(addresses.1) + 1 == u64::from(first) => {
                addresses.1 = last;
            }
            _ => strips.push(((first, last), ports)),
        }
    }
    strips
        .into_iter()
        .flat_map(|(addresses, ports)| ports.into_iter().map(move |ports| Area { addresses, ports }))
        .collect()
}

/// Sorted ranges, none of which touches another.
fn merge(mut ranges: Ports) -> Ports {
    ranges.sort_unstable();
    let mut merged: Ports = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if u32::from(from) <= u32::from(last.1) + 1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area() -> impl Strategy<Value = Area> {
        // Few distinct values, and the extremes, so that edges meet.
        let address = prop_oneof![0u32..6, Just(u32::MAX), Just(u32::MAX - 1)];
        let port = prop_oneof![0u16..6, Just(u16::MAX), Just(u16::MAX - 1)];
        ((address.clone(), address), (port.clone(), port))
            .prop_map(|((a, b), (c, d))| Area { addresses: (a.min(b), a.max(b)), ports: (c.min(d), c.max(d)) })
    }

    fn has(areas: &[Area], address: u32, port: u16) -> usize {
        areas
            .iter()
            .filter(|a| (a.addresses.0..=a.addresses.1).contains(&address) && (a.ports.0..=a.ports.1).contains(&port))
            .count()
    }

    proptest! {
        #[test]
        fn the_same_points_each_once(areas in proptest::collection::vec(area(), 0..8)) {
            let out = disjoint(&areas);
            for address in [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
                for port in [0, 1, 2, 3, 4, 5, 6, 7, u16::MAX - 2, u16::MAX - 1, u16::MAX] {
                    prop_assert_eq!(has(&out, address, port), usize::from(has(&areas, address, port) > 0));
                }
            }
        }
    }
}
