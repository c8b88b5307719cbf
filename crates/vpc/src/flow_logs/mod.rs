//! The controller of flow logs: takes what the routers counted, and delivers it as records when an interval ends.
//!
//! Counters are taken every few seconds, for they go when nothing is added to them. Which interval they belong to and what
//! a record says is crate `flowlog`'s business, [`watches`] keeps the intervals, [`delivery`] writes to CloudWatch Logs as
//! the flow log's role. Intervals are kept in memory alone: the end of the server loses those that have not ended, and
//! nothing else.

mod delivery;
mod watches;

pub(crate) use delivery::PRINCIPAL;

use crate::rows::{FlowLog, InterfaceState, NetworkInterface};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use netplan::ValueKind;
use netplan::verdicts::{FLOWS, MISSED, Passage};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use types::id::{EniId, VpcId};
use types::{Clock, Pace, Scope};
use watches::{Batch, Watches};

/// How often counters are taken: well before they go.
const PERIOD: Duration = Duration::from_secs(5);
const _: () = assert!(PERIOD.as_millis() * 3 < ValueKind::COUNT_LIFE.as_millis());

/// What a router counted since it was last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets, by what became of them.
    pub passages: Vec<Count>,
    /// The devices of interfaces of which some packets were not counted.
    pub missed: BTreeSet<String>,
}

/// Packets that were counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What became of which packets.
    pub passage: Passage,
    /// How many.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How long ago the last one was.
    pub idle: Duration,
}

/// Where counts come from: the kernel, or a simulated one.
pub trait Counters: Send + Sync + 'static {
    /// What the VPC's router counted since it was last asked. May block.
    fn take(&self, vpc: &VpcId) -> io::Result<Counts>;
}

impl Counters for fabric::Fabric {
    fn take(&self, vpc: &VpcId) -> io::Result<Counts> {
        let router = netplan::router_netns(vpc);
        let mut passages = Vec::new();
        for (set, key) in FLOWS {
            passages.extend(self.take_counters(&router, set, key)?.into_iter().filter_map(|count| {
                let passage = Passage::read(&count.key)?;
                Some(Count { passage, packets: count.packets, bytes: count.bytes, idle: count.idle })
            }));
        }
        let missed = self.take_counters(&router, MISSED, &[netplan::Field::Link])?.into_iter();
        let missed =
            missed.filter(|count| count.packets > 0).filter_map(|count| match count.key.into_iter().next()? {
                netplan::Range::Link(link) => Some(link),
                _ => None,
            });
        Ok(Counts { passages, missed: missed.collect() })
    }
}

/// Whether the flow log records the interface.
fn covers(log: &FlowLog, interface: &NetworkInterface) -> bool {
    [interface.id.as_str(), interface.subnet.as_str(), interface.vpc.as_str()].contains(&log.resource.as_str())
}

/// An interface that some flow logs record.
struct Recorded<'v> {
    scope: &'v Scope,
    interface: &'v NetworkInterface,
    logs: Vec<&'v FlowLog>,
}

/// The interfaces that some flow log records, each with its flow logs.
fn recorded(view: &View) -> Vec<Recorded<'_>> {
    let logs: Vec<(&Scope, &FlowLog)> = view.scan_all::<FlowLog>().map(|(scope, log)| (scope, log.as_ref())).collect();
    let mut found = Vec::new();
    if logs.is_empty() {
        return found;
    }
    for (scope, interface) in view.scan_all::<NetworkInterface>().filter(|(_, row)| row.attachment.is_some()) {
        let own = logs.iter().filter(|(of, log)| *of == scope && covers(log, interface));
        let logs: Vec<&FlowLog> = own.map(|(_, log)| *log).collect();
        if !logs.is_empty() {
            found.push(Recorded { scope, interface, logs });
        }
    }
    found
}

/// The interfaces whose packets are to be counted.
pub(crate) fn counted(view: &View) -> BTreeSet<EniId> {
    recorded(view).into_iter().map(|recorded| recorded.interface.id.clone()).collect()
}

/// The controller.
pub struct FlowLogs {
    store: Store,
    clock: Arc<dyn Clock>,
    pace: Pace,
    counters: Arc<dyn Counters>,
    watches: Mutex<Watches>,
}

impl FlowLogs {
    /// The controller that reads `counters`.
    pub fn new(store: Store, clock: Arc<dyn Clock>, pace: Pace, counters: Arc<dyn Counters>) -> Self {
        Self { store, clock, pace, counters, watches: Mutex::default() }
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what all routers with recorded interfaces counted.
    async fn take(&self) -> Result<(), Failure> {
        let vpcs = self.watches().vpcs();
        for vpc in vpcs {
            let (counters, asked) = (self.counters.clone(), vpc.clone());
            // Netlink blocks; the runtime's own threads must not.
            let counts = tokio::task::spawn_blocking(move || counters.take(&asked)).await?;
            let now = self.clock.now();
            match counts {
                Ok(counts) => self.watches().add(&vpc, &counts, now),
                // The router is gone, or not there yet: nothing passed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%vpc, %error, "what its router counted cannot be read");
                    self.watches().skip(&vpc);
                }
            }
        }
        Ok(())
    }

    /// Delivers a batch, and has its flow log show what came of that.
    async fn deliver(&self, batch: Batch) -> Result<(), Failure> {
        let (scope, id) = (batch.scope.clone(), batch.log.clone());
        let Some(log) = self.store.view().get::<FlowLog>(&scope, id.as_str()) else { return Ok(()) };
        let outcome = delivery::deliver(&self.store, &log, batch, self.clock.now()).await;
        if let Err(refusal) = &outcome {
            tracing::info!(flow_log = %id, why = %refusal, "records were not delivered");
        }
        let error = outcome.err().map(|refusal| refusal.as_aws().to_owned());
        if log.error != error {
            let ticket = {
                let mut tx = self.store.begin();
                tx.update::<FlowLog>(&scope, id.as_str(), |row| row.error = error);
                tx.commit()
            };
            ticket.wait().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Controller for FlowLogs {
    fn name(&self) -> &'static str {
        "vpc.flow-logs"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[FlowLog::TABLE, NetworkInterface::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        // Interfaces come and go all day; they are nothing to see where there is no flow log.
        let concerns = change.table == FlowLog::TABLE || view.count::<FlowLog>() > 0;
        if concerns { self.all_keys(view) } else { Vec::new() }
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        // One, for a router's counters are those of all its flow logs, and are taken once.
        vec![Key::new(&Scope::default(), "flow-logs")]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        self.take().await?;
        let now = self.clock.now();
        let due = {
            let view = self.store.view();
            let attached =
                recorded(&view).into_iter().filter(|recorded| recorded.interface.state == InterfaceState::Attached);
            self.watches().turn(attached, self.pace, now)
        };
        for batch in due {
            self.deliver(batch).await?;
        }
        Ok(self.watches().next_turn(now).map_or(Next::Done, |left| Next::After(left.min(PERIOD))))
    }
}
