//! The aggregation intervals that run: one for each flow log and interface.

use super::{Counts, Recorded};
use crate::api::zone_id;
use crate::rows::{FlowLog, NetworkInterface};
use flowlog::{Action, Direction, Flow, Format, Place, Sighting, Traffic, Window};
use netplan::ValueKind;
use netplan::verdicts::Outcome;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;
use types::id::{EniId, FlowLogId, VpcId};
use types::{Pace, Scope, Timestamp};

/// The intervals, and when routers were last asked.
#[derive(Default)]
pub(super) struct Watches {
    watches: BTreeMap<(FlowLogId, EniId), Watch>,
    asked: HashMap<VpcId, Timestamp>,
}

/// An interval that runs, and whose records it becomes.
struct Watch {
    scope: Scope,
    vpc: VpcId,
    link: String,
    place: Place,
    traffic: Traffic,
    format: Format,
    window: Window,
}

/// Records for a flow log.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) scope: Scope,
    pub(super) log: FlowLogId,
    pub(super) stream: String,
    /// Lines in order of time.
    pub(super) lines: Vec<(Timestamp, String)>,
}

fn traffic(log: &FlowLog) -> Traffic {
    match log.traffic.as_str() {
        "ACCEPT" => Traffic::Accept,
        "REJECT" => Traffic::Reject,
        _ => Traffic::All,
    }
}

impl Watch {
    fn new(scope: &Scope, log: &FlowLog, interface: &NetworkInterface, window: Window) -> Self {
        Self {
            scope: scope.clone(),
            vpc: interface.vpc.clone(),
            link: netplan::link_name(&interface.id),
            place: Place {
                account: scope.account.to_string(),
                region: scope.region.to_string(),
                zone_id: zone_id(&interface.zone),
                vpc: interface.vpc.to_string(),
                subnet: interface.subnet.to_string(),
                interface: interface.id.to_string(),
                address: interface.private_ip().unwrap_or(Ipv4Addr::UNSPECIFIED),
            },
            traffic: traffic(log),
            // What was parsed when it was made is parsed again.
            format: Format::parse(&log.format).unwrap_or_default(),
            window,
        }
    }

    fn batch(&self, log: &FlowLogId) -> Batch {
        let records = self.window.records(self.traffic);
        let mut lines: Vec<(Timestamp, String)> = records
            .iter()
            .map(|record| (Format::time(record, &self.window), self.format.line(record, &self.window, &self.place)))
            .collect();
        lines.sort_by_key(|(at, _)| *at);
        let suffix = match self.traffic {
            Traffic::Accept => "accept",
            Traffic::Reject => "reject",
            Traffic::All => "all",
        };
        let stream = format!("{}-{suffix}", self.place.interface);
        Batch { scope: self.scope.clone(), log: log.clone(), stream, lines }
    }
}

impl Watches {
    /// The VPCs whose routers are to be asked.
    pub(super) fn vpcs(&self) -> BTreeSet<VpcId> {
        self.watches.values().map(|watch| watch.vpc.clone()).collect()
    }

    /// Takes in what a VPC's router counted until now.
    pub(super) fn add(&mut self, vpc: &VpcId, counts: &Counts, now: Timestamp) {
        let asked = self.asked.insert(vpc.clone(), now);
        if asked.is_some_and(|asked| now.since(asked) >= ValueKind::COUNT_LIFE) {
            // The machine slept, or was too busy: counters may have gone meanwhile.
            self.skip(vpc);
        }
        let mut by_link: HashMap<&str, Vec<&mut Window>> = HashMap::new();
        for watch in self.watches.values_mut().filter(|watch| watch.vpc == *vpc) {
            by_link.entry(&watch.link).or_default().push(&mut watch.window);
        }
        for link in &counts.missed {
            by_link.get_mut(link.as_str()).into_iter().flatten().for_each(|window| window.skip());
        }
        for count in &counts.passages {
            let passage = &count.passage;
            let Some(windows) = by_link.get_mut(passage.link.as_str()) else { continue };
            let (direction, action) = match passage.outcome {
                Outcome::Sent => (Direction::Egress, Action::Accept),
                Outcome::NotSent => (Direction::Egress, Action::Reject),
                Outcome::Received => (Direction::Ingress, Action::Accept),
                Outcome::NotReceived => (Direction::Ingress, Action::Reject),
            };
            let last = Timestamp(now.millis().saturating_sub(i64::try_from(count.idle.as_millis()).unwrap_or(0)));
            // Of a single packet the time is known; of several, that they came after the last look.
            let first = if count.packets == 1 { last } else { asked.unwrap_or(last).min(last) };
            let sighting = Sighting {
                flow: Flow {
                    direction,
                    action,
                    source: passage.source,
                    destination: passage.destination,
                    source_port: passage.source_port,
                    destination_port: passage.destination_port,
                    protocol: passage.protocol,
                },
                tcp_flags: passage.tcp_flags,
                packets: count.packets,
                bytes: count.bytes,
                first,
                last,
            };
            windows.iter_mut().for_each(|window| window.add(&sighting));
        }
    }

    /// Something of what passed in a VPC is not known.
    pub(super) fn skip(&mut self, vpc: &VpcId) {
        self.watches.values_mut().filter(|watch| watch.vpc == *vpc).for_each(|watch| watch.window.skip());
    }

    /// Ends the intervals whose time has come, or whose interface has gone, and begins new ones. `recorded` is what there
    /// is to record by now. What a flow log that is gone would have said is not said.
    pub(super) fn turn<'v>(
        &mut self,
        recorded: impl Iterator<Item = Recorded<'v>>,
        pace: Pace,
        now: Timestamp,
    ) -> Vec<Batch> {
        let mut before = std::mem::take(&mut self.watches);
        let mut batches = Vec::new();
        for Recorded { scope, interface, logs } in recorded {
            for log in logs {
                let key = (log.id.clone(), interface.id.clone());
                let length = pace.scale(Duration::from_secs(u64::try_from(log.interval).unwrap_or(600)));
                let watch = match before.remove(&key) {
                    None => Watch::new(scope, log, interface, Window::new(now, length)),
                    Some(watch) if now < watch.window.until => watch,
                    Some(watch) => {
                        batches.push(watch.batch(&log.id));
                        // Intervals follow each other without a gap, and none is made up for a time that was slept through.
                        let began = watch.window.until;
                        let began = if now.since(began) < length { began } else { now };
                        Watch::new(scope, log, interface, Window::new(began, length))
                    }
                };
                self.watches.insert(key, watch);
            }
        }
        for ((log, _), mut watch) in before {
            watch.window.until = watch.window.until.min(now);
            batches.push(watch.batch(&log));
        }
        let vpcs = self.vpcs();
        self.asked.retain(|vpc, _| vpcs.contains(vpc));
        for vpc in vpcs {
            self.asked.entry(vpc).or_insert(now);
        }
        batches
    }

    /// How long until the next interval ends; none if none runs.
    pub(super) fn next_turn(&self, now: Timestamp) -> Option<Duration> {
        self.watches.values().map(|watch| watch.window.until.since(now)).min()
    }
}
