//! The meter: what services' tasks use of the processor and memory that they reserve, once a minute, as CloudWatch metrics.
//! Source: Amazon ECS developer guide, "Amazon ECS CloudWatch metrics" (AWS/ECS, ClusterName and ServiceName).
//!
//! A minute's data point holds one value for each task of the service, so that its average is the service's utilisation and
//! its maximum that of the busiest task. [`cpu_percent`] and [`memory_percent`] are the pure part.

use super::Control;
use crate::rows::TaskRow;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use observe::publish::{Sample, publish};
use rollout::TaskStatus;
use runtime::{ContainerUsage, TaskId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{Change, View};
use tracking::Minute;
use types::{Scope, Timestamp};

/// The one key: all tasks are read together.
const EVERYTHING: &str = "tasks";
/// A task that has run for less than this part of a minute waits for the next one.
const LEAST_PART: u32 = 4;

/// Publishes utilisation.
pub struct Meter {
    control: Control,
    minute: Minute,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The start of the minute in which tasks were last read.
    read: Option<Timestamp>,
    /// What tasks' processors had spent then.
    spent: HashMap<(Scope, String), Spent>,
}

/// CPU time of a task since its start, and when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spent {
    at: Timestamp,
    nanos: u64,
}

impl Meter {
    /// The meter of the tasks that `control` runs.
    pub fn new(control: Control) -> Self {
        let minute = Minute::at(control.pace);
        Self { control, minute, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all tasks, and makes the data points of the minute that began at `at`.
    async fn read(&self, at: Timestamp) -> Vec<(Scope, Sample)> {
        let is_first = self.state().read.is_none();
        let mut used: BTreeMap<(Scope, String, String), Used> = BTreeMap::new();
        let mut spent = HashMap::new();
        for (scope, row) in self.control.store.view().scan_all::<TaskRow>() {
            let running = row.last == TaskStatus::Running;
            let (Some(service), Some(id)) = (row.service.clone().filter(|_| running), TaskId::parse(&row.id)) else {
                continue;
            };
            let Ok(usage) = self.control.runtime.usage(&id).await else { continue };
            let now = Spent { at: self.control.now(), nanos: usage.iter().map(|one| one.cpu.total).sum() };
            let key = (scope.clone(), row.id.clone());
            let before = self.state().spent.get(&key).copied();
            // Whoever ran before the meter did was not seen then; a task that is new since began with nothing.
            let before = match before {
                None if !is_first => row.started_at.map(|at| Spent { at, nanos: 0 }),
                before => before,
            };
            let Some(before) = before else {
                spent.insert(key, now);
                continue;
            };
            if now.at.since(before.at) < self.minute.length() / LEAST_PART {
                if before.nanos > 0 {
                    spent.insert(key, before);
                }
                continue;
            }
            spent.insert(key, now);
            let used = used.entry((scope.clone(), row.cluster.clone(), service)).or_default();
            used.cpu.extend(cpu_percent(before, now, reserved_cpu(row)));
            used.memory.extend(memory_percent(&usage, reserved_memory(row)));
        }
        self.state().spent = spent;
        let samples = used.into_iter().flat_map(|((scope, cluster, service), used)| {
            let sample = |name, values: Vec<f64>| Sample {
                namespace: "AWS/ECS",
                name,
                dimensions: vec![("ClusterName", cluster.clone()), ("ServiceName", service.clone())],
                at,
                unit: "Percent",
                values: values.into_iter().map(|value| (value, 1.0)).collect(),
                sum: None,
            };
            let both = [sample("CPUUtilization", used.cpu), sample("MemoryUtilization", used.memory)];
            both.map(|sample| (scope.clone(), sample))
        });
        samples.collect()
    }
}

/// What the tasks of a service use, in percent.
#[derive(Default)]
struct Used {
    cpu: Vec<f64>,
    memory: Vec<f64>,
}

/// CPU units: the task's, or else its containers'.
fn reserved_cpu(row: &TaskRow) -> u32 {
    let containers = row.containers.iter().filter_map(|container| u32::try_from(container.cpu).ok()).sum();
    if row.cpu > 0 { row.cpu } else { containers }
}

/// MiB: the task's, or else its containers'.
fn reserved_memory(row: &TaskRow) -> u32 {
    let of = |container: &crate::rows::ContainerRow| container.memory_reservation.or(container.memory);
    let containers = row.containers.iter().filter_map(|container| u32::try_from(of(container)?).ok()).sum();
    if row.memory > 0 { row.memory } else { containers }
}

/// How much of its CPU units a task used; none where nobody counts or nothing is reserved.
fn cpu_percent(before: Spent, now: Spent, units: u32) -> Option<f64> {
    let nanos = now.nanos.checked_sub(before.nanos).filter(|_| now.nanos > 0)?;
    let elapsed = now.at.since(before.at).as_nanos();
    if elapsed == 0 || units == 0 {
        return None;
    }
    Some(nanos as f64 / elapsed as f64 * 1024.0 / f64::from(units) * 100.0)
}

/// How much of its memory a task uses, without what the kernel would give back at once; none where nobody counts.
fn memory_percent(usage: &[ContainerUsage], mib: u32) -> Option<f64> {
    let used = |one: &ContainerUsage| {
        let stats = &one.memory.stats;
        let cache = stats.get("total_inactive_file").or_else(|| stats.get("inactive_file"));
        one.memory.used.saturating_sub(cache.copied().unwrap_or(0))
    };
    let counted = usage.iter().any(|one| one.memory.used > 0);
    let used: u64 = usage.iter().map(used).sum();
    (counted && mib > 0).then(|| used as f64 / (f64::from(mib) * 1024.0 * 1024.0) * 100.0)
}

#[async_trait]
impl Controller for Meter {
    fn name(&self) -> &'static str {
        "ecs-meter"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }

    fn keys(&self, _: &View, _: &Change) -> Vec<Key> {
        Vec::new()
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), EVERYTHING)]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let begun = self.minute.start(self.control.now());
        let before = self.state().read;
        if before.is_none_or(|before| before < begun) {
            let samples = self.read(Timestamp(begun.0 - self.minute.millis())).await;
            self.state().read = Some(begun);
            publish(&self.control.store, &samples).await?;
        }
        let next = begun.plus(self.minute.length());
        Ok(Next::After(next.since(self.control.now()).max(Duration::from_millis(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::MemoryUsage;

    #[test]
    fn processors_are_measured_against_what_is_reserved() {
        let spent = |seconds: i64, nanos| Spent { at: Timestamp(seconds * 1000), nanos };
        // A quarter of a processor, all of which is used, and half of which is.
        assert_eq!(cpu_percent(spent(0, 0), spent(60, 15_000_000_000), 256), Some(100.0));
        assert_eq!(cpu_percent(spent(60, 15_000_000_000), spent(120, 22_500_000_000), 256), Some(50.0));
        assert_eq!(cpu_percent(spent(0, 0), spent(60, 0), 256), None, "nobody counts");
        assert_eq!(cpu_percent(spent(0, 5), spent(60, 3), 256), None, "it began anew");
        assert_eq!(cpu_percent(spent(60, 1), spent(60, 2), 256), None);
        assert_eq!(cpu_percent(spent(0, 0), spent(60, 1), 0), None);
    }

    #[test]
    fn memory_is_what_cannot_be_given_back() {
        let usage = |used, cache: u64| ContainerUsage {
            memory: MemoryUsage { used, stats: [("inactive_file".to_owned(), cache)].into(), ..MemoryUsage::default() },
            ..ContainerUsage::default()
        };
        let mib = 1024 * 1024;
        assert_eq!(memory_percent(&[usage(200 * mib, 72 * mib), usage(128 * mib, 0)], 512), Some(50.0));
        assert_eq!(memory_percent(&[usage(0, 0)], 512), None);
    }
}
