//! The union of rectangles of addresses and ports, as rectangles that do not overlap.
//!
//! The kernel's interval sets refuse overlapping elements; security groups are full of them.

/// Addresses and ports, all ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) addresses: (u128, u128),
    pub(crate) ports: (u16, u16),
}

/// Sorted ranges of ports.
type Ports = Vec<(u16, u16)>;

/// The same points as `areas`, each in one area only.
pub(crate) fn disjoint(areas: &[Area]) -> Vec<Area> {
    // Between two neighbouring edges nothing changes, so the ports allowed there are one sorted list.
    let mut edges: Vec<u128> =
        areas.iter().flat_map(|a| [Some(a.addresses.0), a.addresses.1.checked_add(1)]).flatten().collect();
    edges.sort_unstable();
    edges.dedup();
    let mut strips: Vec<((u128, u128), Ports)> = Vec::new();
    for (n, first) in edges.iter().copied().enumerate() {
        let last = edges.get(n + 1).map_or(u128::MAX, |next| next - 1);
        let ports =
            merge(areas.iter().filter(|a| a.addresses.0 <= first && last <= a.addresses.1).map(|a| a.ports).collect());
        if ports.is_empty() {
            continue;
        }
        match strips.last_mut() {
            Some((addresses, before)) if *before == ports && addresses.1 + 1 == first => {
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
        let address = prop_oneof![0u128..6, Just(u128::MAX), Just(u128::MAX - 1)];
        let port = prop_oneof![0u16..6, Just(u16::MAX), Just(u16::MAX - 1)];
        ((address.clone(), address), (port.clone(), port))
            .prop_map(|((a, b), (c, d))| Area { addresses: (a.min(b), a.max(b)), ports: (c.min(d), c.max(d)) })
    }

    fn has(areas: &[Area], address: u128, port: u16) -> usize {
        areas
            .iter()
            .filter(|a| (a.addresses.0..=a.addresses.1).contains(&address) && (a.ports.0..=a.ports.1).contains(&port))
            .count()
    }

    proptest! {
        #[test]
        fn the_same_points_each_once(areas in proptest::collection::vec(area(), 0..8)) {
            let out = disjoint(&areas);
            for address in [0, 1, 2, 3, 4, 5, 6, 7, u128::MAX - 2, u128::MAX - 1, u128::MAX] {
                for port in [0, 1, 2, 3, 4, 5, 6, 7, u16::MAX - 2, u16::MAX - 1, u16::MAX] {
                    prop_assert_eq!(has(&out, address, port), usize::from(has(&areas, address, port) > 0));
                }
            }
        }
    }
}
