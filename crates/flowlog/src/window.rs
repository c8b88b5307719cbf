//! What an interface's packets came to within an aggregation interval.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use types::Timestamp;

/// How many flows a window holds. What comes beyond is not recorded, and the window says so.
pub const MAX_FLOWS: usize = 65_536;

/// Which way packets go, seen from the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards it.
    Ingress,
    /// Away from it.
    Egress,
}

/// What security groups and network ACLs said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// They let it pass.
    Accept,
    /// They did not.
    Reject,
}

/// Packets that belong together: those of one direction of a connection, with one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Which way.
    pub direction: Direction,
    /// The verdict.
    pub action: Action,
    /// The source in the packets.
    pub source: IpAddr,
    /// The destination in the packets.
    pub destination: IpAddr,
    /// The source's port; 0 where the protocol has none.
    pub source_port: u16,
    /// The destination's port; 0 where the protocol has none.
    pub destination_port: u16,
    /// The protocol's number.
    pub protocol: u8,
}

/// Some packets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The flow.
    pub flow: Flow,
    /// The flags of TCP segments, as in their header.
    pub tcp_flags: u8,
    /// How many packets.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Not before this did the first of them pass.
    pub first: Timestamp,
    /// When the last of them passed.
    pub last: Timestamp,
}

/// What a flow came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// When the first packet passed, as far as it is known.
    pub first: Timestamp,
    /// When the last one passed.
    pub last: Timestamp,
    /// TCP's flags as flow logs count them.
    pub tcp_flags: u8,
}

/// Which flows a flow log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Those that passed.
    Accept,
    /// Those that did not.
    Reject,
    /// Both.
    All,
}

impl Traffic {
    fn has(self, action: Action) -> bool {
        match self {
            Self::All => true,
            Self::Accept => action == Action::Accept,
            Self::Reject => action == Action::Reject,
        }
    }
}

/// A line to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A flow.
    Flow(Flow, Totals),
    /// Nothing passed, and nothing was refused.
    NoData,
    /// Something passed or was refused that is not recorded.
    SkipData,
}

/// An aggregation interval of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// When it began.
    pub began: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    flows: BTreeMap<Flow, Totals>,
    skipped: bool,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A segment's flags as flow logs count them: an acknowledgement counts with a SYN only.
/// Source: VPC user guide, "Flow log records", field `tcp-flags`.
fn counted_flags(protocol: u8, flags: u8) -> u8 {
    const TCP: u8 = 6;
    if protocol != TCP {
        return 0;
    }
    let with_ack = if flags & SYN != 0 { flags & ACK } else { 0 };
    flags & (FIN | SYN | RST) | with_ack
}

impl Window {
    /// An interval of that length.
    pub fn new(began: Timestamp, length: Duration) -> Self {
        Self { began, until: began.plus(length), flows: BTreeMap::new(), skipped: false }
    }

    /// Takes packets in.
    pub fn add(&mut self, sighting: &Sighting) {
        let Sighting { flow, tcp_flags, packets, bytes, first, last } = *sighting;
        if packets == 0 {
            return;
        }
        if self.flows.len() >= MAX_FLOWS && !self.flows.contains_key(&flow) {
            self.skipped = true;
            return;
        }
        let none = Totals { packets: 0, bytes: 0, first, last, tcp_flags: 0 };
        let totals = self.flows.entry(flow).or_insert(none);
        totals.packets = totals.packets.saturating_add(packets);
        totals.bytes = totals.bytes.saturating_add(bytes);
        totals.first = totals.first.min(first);
        totals.last = totals.last.max(last);
        totals.tcp_flags |= counted_flags(flow.protocol, tcp_flags);
    }

    /// Some packets of this interval were not counted.
    pub fn skip(&mut self) {
        self.skipped = true;
    }

    /// What the interval came to, for a flow log of that traffic. There is always something to say.
    pub fn records(&self, traffic: Traffic) -> Vec<Record> {
        let within = |at: Timestamp| at.clamp(self.began, self.until.max(self.began));
        let wanted = self.flows.iter().filter(|(flow, _)| traffic.has(flow.action));
        let mut records: Vec<Record> = wanted
            .map(|(flow, totals)| {
                Record::Flow(*flow, Totals { first: within(totals.first), last: within(totals.last), ..*totals })
            })
            .collect();
        if self.skipped {
            records.push(Record::SkipData);
        } else if records.is_empty() {
            records.push(Record::NoData);
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flow(action: Action, port: u16) -> Flow {
        Flow {
            direction: Direction::Ingress,
            action,
            source: IpAddr::from([10, 0, 1, 5]),
            destination: IpAddr::from([10, 0, 2, 6]),
            source_port: 40_000,
            destination_port: port,
            protocol: 6,
        }
    }

    fn sighting(flow: Flow, tcp_flags: u8, packets: u64, at: i64) -> Sighting {
        Sighting { flow, tcp_flags, packets, bytes: packets * 60, first: Timestamp(at), last: Timestamp(at) }
    }

    fn window() -> Window {
        Window::new(Timestamp(1_000), Duration::from_secs(60))
    }

    #[test]
    fn packets_of_a_flow_become_one_record_with_flags_or_ed() {
        let mut window = window();
        for (flags, at) in [(SYN, 2_000), (ACK, 3_000), (ACK | 8, 4_000), (FIN | ACK, 5_000)] {
            window.add(&sighting(flow(Action::Accept, 80), flags, 2, at));
        }
        let expected =
            Totals { packets: 8, bytes: 480, first: Timestamp(2_000), last: Timestamp(5_000), tcp_flags: SYN | FIN };
        assert_eq!(window.records(Traffic::All), [Record::Flow(flow(Action::Accept, 80), expected)]);
    }

    #[test]
    fn flags_count_as_aws_documents_them() {
        for (flags, expected) in
            [(SYN, 2), (SYN | ACK, 18), (ACK, 0), (ACK | 8, 0), (SYN | 64, 2), (RST | ACK, 4), (FIN | ACK, 1)]
        {
            assert_eq!(counted_flags(6, flags), expected, "of {flags}");
        }
        assert_eq!(counted_flags(17, SYN), 0, "datagrams have no flags");
    }

    #[test]
    fn a_log_of_one_verdict_says_nothing_of_the_other() {
        let mut window = window();
        window.add(&sighting(flow(Action::Accept, 80), SYN, 1, 2_000));
        window.add(&sighting(flow(Action::Reject, 81), SYN, 1, 2_000));
        let ports = |traffic| -> Vec<u16> {
            let port = |record| if let Record::Flow(flow, _) = record { flow.destination_port } else { 0 };
            window.records(traffic).into_iter().map(port).collect()
        };
        assert_eq!(ports(Traffic::Accept), [80]);
        assert_eq!(ports(Traffic::Reject), [81]);
        assert_eq!(ports(Traffic::All).len(), 2);
    }

    #[test]
    fn an_interval_without_packets_says_so_and_one_that_lost_some_says_that() {
        let mut window = window();
        assert_eq!(window.records(Traffic::All), [Record::NoData]);
        window.add(&sighting(flow(Action::Accept, 80), SYN, 0, 2_000));
        assert_eq!(window.records(Traffic::All), [Record::NoData], "no packet is no flow");
        window.skip();
        assert_eq!(window.records(Traffic::All), [Record::SkipData]);
    }

    #[test]
    fn flows_beyond_the_most_are_skipped_and_those_that_stand_go_on() {
        let mut window = window();
        for n in 0..=MAX_FLOWS {
            let source = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            window.add(&sighting(Flow { source, ..flow(Action::Accept, 80) }, SYN, 1, 2_000));
        }
        let first = Flow { source: IpAddr::from([0, 0, 0, 0]), ..flow(Action::Accept, 80) };
        window.add(&sighting(first, SYN, 1, 2_000));
        let records = window.records(Traffic::All);
        assert_eq!(records.len(), MAX_FLOWS + 1);
        assert_eq!(records.last(), Some(&Record::SkipData));
        assert!(matches!(records[0], Record::Flow(_, totals) if totals.packets == 2));
    }

    proptest! {
        #[test]
        fn no_packet_is_lost_and_none_is_outside_of_the_interval(
            sightings in prop::collection::vec((any::<bool>(), 0u16..4, any::<u8>(), 0u64..1000, 0i64..100_000), 0..50)
        ) {
            let mut window = window();
            for (accept, port, flags, packets, at) in &sightings {
                let action = if *accept { Action::Accept } else { Action::Reject };
                window.add(&sighting(flow(action, *port), *flags, *packets, *at));
            }
            let mut found = 0;
            for record in window.records(Traffic::All) {
                if let Record::Flow(_, totals) = record {
                    found += totals.packets;
                    prop_assert!(window.began <= totals.first && totals.first <= totals.last);
                    prop_assert!(totals.last <= window.until);
                }
            }
            prop_assert_eq!(found, sightings.iter().map(|(_, _, _, packets, _)| packets).sum::<u64>());
        }
    }
}
