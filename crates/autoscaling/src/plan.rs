//! What a group lacks and what it has too much: from what is wanted and what is there to steps. Pure.
//! Source: EC2 Auto Scaling user guide, "Auto Scaling benefits" (balance over zones), "Control which Auto Scaling instances
//! terminate during scale in".

use std::collections::BTreeMap;
use types::Timestamp;

/// What is wanted of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many instances.
    pub count: usize,
    /// Over which zones.
    pub zones: Vec<String>,
    /// Those of the zones that have no room. Others take their share, unless none has any.
    pub full: Vec<String>,
    /// How those to end are chosen, in order.
    pub policies: Vec<String>,
    /// Whether instances may be launched.
    pub launch: bool,
    /// Whether instances may be terminated.
    pub terminate: bool,
    /// Whether unhealthy instances may be replaced.
    pub replace: bool,
}

/// An instance that starts or is in service. Those that end are no part of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub instance: String,
    /// Its zone.
    pub zone: String,
    /// Whether it is healthy.
    pub healthy: bool,
    /// Whether it is protected from scale-in.
    pub protected: bool,
    /// When it was launched.
    pub launched: Timestamp,
    /// The version of the launch template that it was launched from, as far as it is that of the group now; older ones less.
    pub version: i64,
}

/// A step towards what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Launch an instance in this zone.
    Launch {
        /// The zone.
        zone: String,
    },
    /// Terminate an instance that is unhealthy.
    Replace {
        /// Its id.
        instance: String,
    },
    /// Terminate an instance of which there are too many.
    ScaleIn {
        /// Its id.
        instance: String,
    },
}

/// The steps from `seen` to `wanted`: unhealthy instances go first; then either some are launched, in the zones that have
/// fewest, or some are ended, in the zones that have most.
pub fn plan(wanted: &Wanted, seen: &[Seen], now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    let replaces = wanted.replace && wanted.terminate;
    let mut left: Vec<&Seen> = Vec::new();
    for one in seen {
        if !one.healthy && replaces {
            steps.push(Step::Replace { instance: one.instance.clone() });
        } else {
            left.push(one);
        }
    }
    let mut zones: BTreeMap<&str, usize> = wanted.zones.iter().map(|zone| (zone.as_str(), 0)).collect();
    for one in &left {
        *zones.entry(one.zone.as_str()).or_default() += 1;
    }
    if wanted.launch {
        let all_full = wanted.zones.iter().all(|zone| wanted.full.contains(zone));
        for _ in left.len()..wanted.count {
            // Among zones that have as few, the first given.
            let open = wanted.zones.iter().filter(|zone| all_full || !wanted.full.contains(zone));
            let fewest = open.min_by_key(|zone| zones.get(zone.as_str()).copied().unwrap_or_default());
            let Some(zone) = fewest else { break };
            *zones.entry(zone.as_str()).or_default() += 1;
            steps.push(Step::Launch { zone: zone.clone() });
        }
    }
    if wanted.terminate {
        while left.len() > wanted.count {
            let Some(at) = victim(wanted, &left, &zones, now) else { break };
            let one = left.remove(at);
            if let Some(count) = zones.get_mut(one.zone.as_str()) {
                *count = count.saturating_sub(1);
            }
            steps.push(Step::ScaleIn { instance: one.instance.clone() });
        }
    }
    steps
}

/// The one of `left` that is to end next: in the zone that has most of those that may end, by the group's policies.
fn victim(wanted: &Wanted, left: &[&Seen], zones: &BTreeMap<&str, usize>, now: Timestamp) -> Option<usize> {
    let free = || left.iter().enumerate().filter(|(_, one)| !one.protected);
    let count = |one: &Seen| {
        // A zone that the group has no more is emptied first.
        let given_up = !wanted.zones.contains(&one.zone);
        (given_up, zones.get(one.zone.as_str()).copied().unwrap_or_default())
    };
    let most = free().map(|(_, one)| count(one)).max()?;
    let mut candidates: Vec<(usize, &&Seen)> = free().filter(|(_, one)| count(one) == most).collect();
    let policies = if wanted.policies.is_empty() { &["Default".to_owned()][..] } else { &wanted.policies };
    for policy in policies {
        match policy.as_str() {
            "OldestInstance" => keep_least(&mut candidates, |one| one.launched.millis()),
            "NewestInstance" => keep_least(&mut candidates, |one| -one.launched.millis()),
            "OldestLaunchTemplate" => keep_least(&mut candidates, |one| one.version),
            "ClosestToNextInstanceHour" => keep_least(&mut candidates, |one| to_next_hour(one, now)),
            "Default" => {
                keep_least(&mut candidates, |one| one.version);
                keep_least(&mut candidates, |one| to_next_hour(one, now));
            }
            // Launch configurations and allocation strategies are not here, so these tell no two apart.
            _ => {}
        }
    }
    // Instead of at random, so that the same state has the same plan.
    candidates.into_iter().min_by_key(|(_, one)| (one.launched, &one.instance)).map(|(at, _)| at)
}

fn keep_least(candidates: &mut Vec<(usize, &&Seen)>, key: impl Fn(&Seen) -> i64) {
    if let Some(least) = candidates.iter().map(|(_, one)| key(one)).min() {
        candidates.retain(|(_, one)| key(one) == least);
    }
}

/// Milliseconds until another hour of the instance's would be paid.
fn to_next_hour(one: &Seen, now: Timestamp) -> i64 {
    const HOUR: i64 = 3_600_000;
    HOUR - now.millis().saturating_sub(one.launched.millis()).rem_euclid(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(instance: &str, zone: &str) -> Seen {
        Seen {
            instance: instance.to_owned(),
            zone: zone.to_owned(),
            healthy: true,
            protected: false,
            launched: Timestamp(0),
            version: 1,
        }
    }

    fn wanted(count: usize) -> Wanted {
        Wanted {
            count,
            zones: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            full: Vec::new(),
            policies: Vec::new(),
            launch: true,
            terminate: true,
            replace: true,
        }
    }

    fn ended(steps: &[Step]) -> Vec<&str> {
        let ended = steps.iter().filter_map(|step| match step {
            Step::ScaleIn { instance } | Step::Replace { instance } => Some(instance.as_str()),
            Step::Launch { .. } => None,
        });
        ended.collect()
    }

    #[test]
    fn instances_are_spread_over_the_zones() {
        let zones: Vec<_> = plan(&wanted(4), &[one("i-1", "b")], Timestamp(0))
            .into_iter()
            .map(|step| if let Step::Launch { zone } = step { zone } else { panic!("{step:?}") })
            .collect();
        assert_eq!(zones, ["a", "c", "a"]);
        let launched = |full: &[&str]| {
            let full = full.iter().map(ToString::to_string).collect();
            plan(&Wanted { full, ..wanted(2) }, &[], Timestamp(0))
        };
        let launch = |zone: &str| Step::Launch { zone: zone.to_owned() };
        assert_eq!(launched(&["a", "b"]), [launch("c"), launch("c")], "others take a full zone's share");
        assert_eq!(launched(&["a", "b", "c"]), [launch("a"), launch("b")], "where none has room, that is to be told");
    }

    #[test]
    fn the_fullest_zone_gives_first_and_the_policies_choose() {
        let seen = [
            Seen { launched: Timestamp(2), ..one("i-1", "a") },
            Seen { launched: Timestamp(1), version: 2, ..one("i-2", "a") },
            one("i-3", "b"),
        ];
        let by = |policy: &str| Wanted { policies: vec![policy.to_owned()], ..wanted(2) };
        let of = |policy: &str| ended(&plan(&by(policy), &seen, Timestamp(10))).join(" ");
        assert_eq!(of("Default"), "i-1", "the older template");
        assert_eq!(of("OldestInstance"), "i-2");
        assert_eq!(of("NewestInstance"), "i-1");
        let given_up = Wanted { zones: vec!["a".to_owned()], ..wanted(2) };
        assert_eq!(ended(&plan(&given_up, &seen, Timestamp(0))), ["i-3"]);
    }

    #[test]
    fn protected_instances_stay_and_unhealthy_ones_do_not() {
        let seen = [
            Seen { protected: true, ..one("i-1", "a") },
            Seen { protected: true, healthy: false, ..one("i-2", "a") },
            one("i-3", "b"),
        ];
        assert_eq!(ended(&plan(&wanted(0), &seen, Timestamp(0))), ["i-2", "i-3"]);
        let kept = Wanted { replace: false, ..wanted(3) };
        assert_eq!(plan(&kept, &seen, Timestamp(0)), []);
    }

    prop_compose! {
        fn any_seen()(
            spec in prop::collection::vec((0..4usize, any::<bool>(), any::<bool>(), 0..9_000_000i64, 0..4i64), 0..20)
        ) -> Vec<Seen> {
            let zones = ["a", "b", "c", "gone"];
            spec.into_iter().enumerate().map(|(number, (zone, healthy, protected, launched, version))| Seen {
                healthy, protected, launched: Timestamp(launched), version, ..one(&format!("i-{number}"), zones[zone])
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn a_plan_leads_to_what_is_wanted_as_far_as_it_may(seen in any_seen(), count in 0..25usize, launch: bool, terminate: bool) {
            let wanted = Wanted { launch, terminate, ..wanted(count) };
            let steps = plan(&wanted, &seen, Timestamp(9_000_000));
            let launched = steps.iter().filter(|step| matches!(step, Step::Launch { .. })).count();
            let gone = ended(&steps);
            let after = seen.len() + launched - gone.len();
            // Never two ways at once, and never past what is wanted.
            let scaled_in = steps.iter().any(|step| matches!(step, Step::ScaleIn { .. }));
            prop_assert!(launched == 0 || !scaled_in);
            prop_assert!(launched == 0 || after == count);
            prop_assert!(!scaled_in || after >= count);
            for step in &steps {
                if let Step::ScaleIn { instance } = step {
                    prop_assert!(seen.iter().any(|one| one.instance == *instance && !one.protected));
                }
            }
            prop_assert!(launch || launched == 0);
            prop_assert!(terminate || gone.is_empty());
            if launch && terminate && seen.iter().all(|one| !one.protected) {
                prop_assert_eq!(after, count);
            }
            let mut once = gone.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), gone.len());
        }
    }
}
