//! The meter: what the proxy counts, once a minute, as CloudWatch metrics.
//! Source: Elastic Load Balancing user guide, "CloudWatch metrics for your Application Load Balancer" (names, dimensions, and
//! which of them are left out where they would be zero).
//!
//! [`Link`](super::Link) hands over the proxy's totals; [`samples`], which is pure, makes a minute's data points of two of them.

use crate::query;
use crate::rows::{LoadBalancer, Target, TargetGroup, TargetState};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use observe::publish::{Sample, publish};
use routing::health::State as Health;
use routing::status::{LoadBalancerCounters, TargetGroupCounters, time_of_bucket};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Store, View};
use tokio::sync::watch;
use tracking::Minute;
use types::{Clock, Pace, Scope, Timestamp};

/// The one key: there is one proxy.
const EVERYTHING: &str = "counters";

/// What the proxy has counted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// The proxy began with nothing when this link to it began.
    pub(super) fresh: bool,
    pub(super) load_balancers: BTreeMap<String, LoadBalancerCounters>,
    pub(super) target_groups: BTreeMap<String, TargetGroupCounters>,
}

/// Publishes what load balancers did.
pub struct Meter {
    store: Store,
    clock: Arc<dyn Clock>,
    minute: Minute,
    newest: watch::Receiver<Option<Arc<Totals>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The start of the minute in which totals were last taken.
    taken: Option<Timestamp>,
    before: Option<Arc<Totals>>,
}

impl Meter {
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        pace: Pace,
        newest: watch::Receiver<Option<Arc<Totals>>>,
    ) -> Self {
        Self { store, clock, minute: Minute::at(pace), newest, state: Mutex::default() }
    }

    /// The totals at the last minute's end and now; the same ones where nobody knows what was before.
    fn take(&self, begun: Timestamp) -> Option<(Arc<Totals>, Arc<Totals>)> {
        let now = self.newest.borrow().clone();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.taken.is_some_and(|taken| taken >= begun) {
            return None;
        }
        state.taken = Some(begun);
        let now = now?;
        let unknown = if now.fresh { Arc::default() } else { now.clone() };
        let before = state.before.replace(now.clone()).unwrap_or(unknown);
        Some((before, now))
    }
}

/// A target group that a load balancer forwards to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    scope: Scope,
    arn: String,
    load_balancer: String,
    healthy: u64,
    unhealthy: u64,
    registered: u64,
}

/// The groups that are in use.
fn groups(view: &View) -> Vec<Group> {
    let mut groups = Vec::new();
    for (scope, row) in view.scan_all::<TargetGroup>() {
        let Some(load_balancer) = query::load_balancers_of(view, scope, &row.arn).into_iter().next() else { continue };
        let (mut healthy, mut unhealthy, mut registered) = (0, 0, 0);
        let in_use = |target: &&Arc<Target>| target.state == TargetState::Registered;
        for target in query::targets(view, scope, &row.arn).filter(in_use) {
            registered += 1;
            healthy += u64::from(target.health.state == Health::Healthy);
            unhealthy += u64::from(target.health.state == Health::Unhealthy);
        }
        groups.push(Group {
            scope: scope.clone(),
            arn: row.arn.clone(),
            load_balancer,
            healthy,
            unhealthy,
            registered,
        });
    }
    groups
}

/// `targetgroup/web/0123456789abcdef` of the group's ARN.
fn group_dimension(arn: &str) -> String {
    arn.rsplit(':').next().unwrap_or_default().to_owned()
}

/// `app/web/0123456789abcdef` of the load balancer's ARN.
fn balancer_dimension(arn: &str) -> String {
    arn.split_once(":loadbalancer/").map_or("", |(_, path)| path).to_owned()
}

/// The data points of the minute that began at `at`.
fn samples(
    before: &Totals,
    now: &Totals,
    groups: &[Group],
    balancers: &[(Scope, String)],
    at: Timestamp,
) -> Vec<(Scope, Sample)> {
    let mut made = Vec::new();
    let mut put = |scope: &Scope, name, dimensions: &[(&'static str, String)], unit, values: Vec<(f64, f64)>, sum| {
        let dimensions = dimensions.to_vec();
        let sample = Sample { namespace: "AWS/ApplicationELB", name, dimensions, at, unit, values, sum };
        made.push((scope.clone(), sample));
    };
    let mut sums: BTreeMap<&str, (bool, Minutes)> = BTreeMap::new();
    for group in groups {
        let none = TargetGroupCounters::default();
        let minute = Minutes::between(
            before.target_groups.get(&group.arn).unwrap_or(&none),
            now.target_groups.get(&group.arn).unwrap_or(&none),
        );
        let own = vec![("TargetGroup", group_dimension(&group.arn))];
        let mut both = own.clone();
        both.push(("LoadBalancer", balancer_dimension(&group.load_balancer)));
        let one = |value: u64| vec![(value as f64, 1.0)];
        if group.registered > 0 {
            put(&group.scope, "HealthyHostCount", &both, "Count", one(group.healthy), None);
            put(&group.scope, "UnHealthyHostCount", &both, "Count", one(group.unhealthy), None);
        }
        if minute.requests > 0 {
            let share = minute.requests as f64 / group.healthy.max(1) as f64;
            for dimensions in [&own, &both] {
                put(&group.scope, "RequestCountPerTarget", dimensions, "Count", vec![(share, 1.0)], None);
            }
        }
        minute.put(&group.scope, &both, group.registered > 0, &mut put);
        let (registered, sum) = sums.entry(&group.load_balancer).or_default();
        *registered |= group.registered > 0;
        sum.add(&minute);
    }
    for (scope, arn) in balancers {
        let dimensions = [("LoadBalancer", balancer_dimension(arn))];
        if let Some((registered, sum)) = sums.get(arn.as_str()) {
            sum.put(scope, &dimensions, *registered, &mut put);
        }
        let none = LoadBalancerCounters::default();
        let (old, new) =
            (before.load_balancers.get(arn).unwrap_or(&none), now.load_balancers.get(arn).unwrap_or(&none));
        let counts = [
            ("ActiveConnectionCount", new.active_connections, "Count"),
            ("NewConnectionCount", grown(old.new_connections, new.new_connections), "Count"),
            ("ProcessedBytes", grown(old.processed_bytes, new.processed_bytes), "Bytes"),
            ("HTTPCode_ELB_3XX_Count", grown(old.own_3xx, new.own_3xx), "Count"),
            ("HTTPCode_ELB_4XX_Count", grown(old.own_4xx, new.own_4xx), "Count"),
            ("HTTPCode_ELB_5XX_Count", grown(old.own_5xx, new.own_5xx), "Count"),
        ];
        for (name, count, unit) in counts.into_iter().filter(|(_, count, _)| *count > 0) {
            put(scope, name, &dimensions, unit, vec![(count as f64, 1.0)], None);
        }
    }
    made
}

/// By how much a total grew. A proxy that was started anew counts from zero.
fn grown(before: u64, now: u64) -> u64 {
    if now >= before { now - before } else { now }
}

/// What became of requests to targets within a minute.
#[derive(Debug, Default)]
struct Minutes {
    requests: u64,
    codes: [u64; 5],
    connection_errors: u64,
    time_us: u64,
    times: BTreeMap<u16, u64>,
}

impl Minutes {
    fn between(before: &TargetGroupCounters, now: &TargetGroupCounters) -> Self {
        let is_anew = now.requests < before.requests;
        let none = TargetGroupCounters::default();
        let before = if is_anew { &none } else { before };
        let mut times: BTreeMap<u16, u64> = now.response_times.iter().copied().collect();
        for (bucket, count) in &before.response_times {
            if let Some(have) = times.get_mut(bucket) {
                *have = have.saturating_sub(*count);
            }
        }
        times.retain(|_, count| *count > 0);
        Self {
            requests: now.requests - before.requests,
            codes: std::array::from_fn(|at| grown(before.target_codes[at], now.target_codes[at])),
            connection_errors: grown(before.connection_errors, now.connection_errors),
            time_us: grown(before.response_time_us, now.response_time_us),
            times,
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.connection_errors += other.connection_errors;
        self.time_us += other.time_us;
        for (sum, count) in self.codes.iter_mut().zip(other.codes) {
            *sum += count;
        }
        for (bucket, count) in &other.times {
            *self.times.entry(*bucket).or_default() += count;
        }
    }

    fn put(
        &self,
        scope: &Scope,
        dimensions: &[(&'static str, String)],
        registered: bool,
        put: &mut impl FnMut(&Scope, &'static str, &[(&'static str, String)], &'static str, Vec<(f64, f64)>, Option<f64>),
    ) {
        if registered || self.requests > 0 {
            put(scope, "RequestCount", dimensions, "Count", vec![(self.requests as f64, 1.0)], None);
        }
        let names = [
            "HTTPCode_Target_2XX_Count",
            "HTTPCode_Target_3XX_Count",
            "HTTPCode_Target_4XX_Count",
            "HTTPCode_Target_5XX_Count",
        ];
        let counts = names.into_iter().zip(self.codes.into_iter().skip(1));
        let errors = ("TargetConnectionErrorCount", self.connection_errors);
        for (name, count) in counts.chain([errors]).filter(|(_, count)| *count > 0) {
            put(scope, name, dimensions, "Count", vec![(count as f64, 1.0)], None);
        }
        if !self.times.is_empty() {
            let seconds = |us: u64| us as f64 / 1e6;
            let times = self.times.iter().map(|(bucket, count)| (seconds(time_of_bucket(*bucket)), *count as f64));
            put(scope, "TargetResponseTime", dimensions, "Seconds", times.collect(), Some(seconds(self.time_us)));
        }
    }
}

#[async_trait]
impl Controller for Meter {
    fn name(&self) -> &'static str {
        "elb.meter"
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
        let begun = self.minute.start(self.clock.now());
        if let Some((before, now)) = self.take(begun) {
            let view = self.store.view();
            let balancers: Vec<_> =
                view.scan_all::<LoadBalancer>().map(|(scope, row)| (scope.clone(), row.arn.clone())).collect();
            let at = Timestamp(begun.0 - self.minute.millis());
            publish(&self.store, &samples(&before, &now, &groups(&view), &balancers, at)).await?;
        }
        let next = begun.plus(self.minute.length());
        Ok(Next::After(next.since(self.clock.now()).max(Duration::from_millis(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LB: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";
    const TG: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067";

    fn totals(requests: u64, ok: u64, bad: u64, new_connections: u64) -> Totals {
        let group = TargetGroupCounters {
            arn: TG.to_owned(),
            requests,
            target_codes: [0, ok, 0, 0, bad],
            response_time_us: requests * 2000,
            response_times: vec![(routing::status::bucket_of_time(2000), requests)],
            ..TargetGroupCounters::default()
        };
        let balancer = LoadBalancerCounters { arn: LB.to_owned(), new_connections, ..LoadBalancerCounters::default() };
        Totals {
            fresh: true,
            load_balancers: [(LB.to_owned(), balancer)].into(),
            target_groups: [(TG.to_owned(), group)].into(),
        }
    }

    fn group(healthy: u64, registered: u64) -> Group {
        let (arn, load_balancer) = (TG.to_owned(), LB.to_owned());
        Group { scope: Scope::default(), arn, load_balancer, healthy, unhealthy: registered - healthy, registered }
    }

    fn told(before: &Totals, now: &Totals, group: Group) -> BTreeMap<(String, usize), f64> {
        let balancers = [(Scope::default(), LB.to_owned())];
        let made = samples(before, now, &[group], &balancers, Timestamp(0));
        made.into_iter()
            .map(|(_, s)| ((s.name.to_owned(), s.dimensions.len()), s.sum.unwrap_or(s.values[0].0)))
            .collect()
    }

    #[test]
    fn a_minute_is_what_the_totals_grew_by() {
        let seen = told(&totals(100, 90, 10, 4), &totals(160, 140, 20, 5), group(2, 3));
        let expected = [
            (("HTTPCode_Target_2XX_Count", 1), 50.0),
            (("HTTPCode_Target_2XX_Count", 2), 50.0),
            (("HTTPCode_Target_5XX_Count", 1), 10.0),
            (("HTTPCode_Target_5XX_Count", 2), 10.0),
            (("HealthyHostCount", 2), 2.0),
            (("NewConnectionCount", 1), 1.0),
            (("RequestCount", 1), 60.0),
            (("RequestCount", 2), 60.0),
            (("RequestCountPerTarget", 1), 30.0),
            (("RequestCountPerTarget", 2), 30.0),
            (("TargetResponseTime", 1), 0.12),
            (("TargetResponseTime", 2), 0.12),
            (("UnHealthyHostCount", 2), 1.0),
        ];
        let expected: BTreeMap<_, _> = expected.map(|((name, n), value)| ((name.to_owned(), n), value)).into();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_zero_is_left_out_but_hosts_and_requests() {
        let idle = totals(5, 5, 0, 1);
        let seen = told(&idle, &idle, group(1, 1));
        let names: Vec<_> = seen.keys().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HealthyHostCount", "RequestCount", "RequestCount", "UnHealthyHostCount"]);
        assert!(told(&idle, &idle, group(0, 0)).is_empty());
    }

    #[test]
    fn a_proxy_that_was_started_anew_counts_from_zero() {
        let seen = told(&totals(100, 100, 0, 9), &totals(7, 7, 0, 2), group(1, 1));
        assert_eq!(seen.get(&("RequestCount".to_owned(), 1)), Some(&7.0));
        assert_eq!(seen.get(&("NewConnectionCount".to_owned(), 1)), Some(&2.0));
        assert_eq!(seen.get(&("HTTPCode_Target_2XX_Count".to_owned(), 2)), Some(&7.0));
    }
}
