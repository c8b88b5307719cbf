//! What state an alarm is in, from the data points of its metric.
//!
//! An alarm looks at its last N periods, and somewhat further back where data is missing. Source: CloudWatch User Guide,
//! "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data", whose tables are the tests below.

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// `StateValue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Within the threshold.
    #[serde(rename = "OK")]
    Ok,
    /// Outside it.
    #[serde(rename = "ALARM")]
    Alarm,
    /// Nobody knows.
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
}

impl State {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.as_str() == text)
    }
}

/// `ComparisonOperator`: a data point that compares so with the threshold is breaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `GreaterThanOrEqualToThreshold`.
    GreaterOrEqual,
    /// `GreaterThanThreshold`.
    Greater,
    /// `LessThanThreshold`.
    Less,
    /// `LessThanOrEqualToThreshold`.
    LessOrEqual,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::GreaterOrEqual, Self::Greater, Self::Less, Self::LessOrEqual];

    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GreaterOrEqual => "GreaterThanOrEqualToThreshold",
            Self::Greater => "GreaterThanThreshold",
            Self::Less => "LessThanThreshold",
            Self::LessOrEqual => "LessThanOrEqualToThreshold",
        }
    }

    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterOrEqual => value >= threshold,
            Self::Greater => value > threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }
}

/// `TreatMissingData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// `missing`: the default.
    Missing,
    /// `ignore`: the state stays.
    Ignore,
    /// `breaching`.
    Breaching,
    /// `notBreaching`.
    NotBreaching,
}

/// What an alarm goes by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Which data points are breaching.
    pub comparison: Comparison,
    /// Compared with this.
    pub threshold: f64,
    /// N: over how many periods. At least 1.
    pub periods: usize,
    /// M: how many of them must be breaching. From 1 to N.
    pub to_alarm: usize,
    /// What stands for a period without data.
    pub missing: Missing,
    /// Of an alarm that waits for enough samples: the percentile that it is about.
    pub patient_percentile: Option<f64>,
}

impl Rule {
    /// How many periods are looked at, newest ones last. AWS's examples look two periods further back than N.
    pub fn range(&self) -> usize {
        self.periods + 2
    }

    fn is_breaching(&self, point: &Measured) -> bool {
        self.comparison.holds(point.value, self.threshold)
    }

    /// How many samples make a percentile significant. Source: CloudWatch User Guide, "Percentile-based alarms and low data samples".
    fn samples_needed(&self) -> f64 {
        let Some(percent) = self.patient_percentile else { return 0.0 };
        let nearer_end = if percent >= 50.0 { 100.0 - percent } else { percent };
        1000.0 / nearer_end.max(0.0)
    }
}

/// A period of the metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// When it began.
    pub at: Timestamp,
    /// Its data point, if there is one.
    pub point: Option<Measured>,
}

/// A data point: the statistic of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The statistic.
    pub value: f64,
    /// From how many samples.
    pub samples: f64,
}

/// What an evaluation says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Whatever the state was, it stays.
    Keep,
    /// The state is this.
    Is(Finding),
}

/// A state and what led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The state.
    pub state: State,
    /// Why.
    pub why: Why,
    /// The periods that were looked at, newest first.
    pub evaluated: Vec<Slot>,
}

/// Why a state is what it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// Enough data points were, or were not, breaching.
    Crossed {
        /// Those of them that decided, newest first.
        points: Vec<(Timestamp, f64)>,
        /// Out of how many periods.
        of: usize,
        /// How many would have been enough.
        minimum: usize,
    },
    /// Periods without data decided.
    Filled {
        /// Data points that were there.
        received: usize,
        /// Periods that were to have one.
        periods: usize,
        /// Those that had none.
        missing: usize,
        /// What they were taken for.
        as_breaching: bool,
    },
    /// There were no data points.
    Unknown {
        /// For so many periods.
        periods: usize,
    },
}

/// What `slots` say of the state: the last [`Rule::range`] periods, oldest first.
///
/// # Panics
/// Where the rule has no periods, or wants more data points than it looks at: whoever takes rules in refuses those.
pub fn evaluate(rule: &Rule, slots: &[Slot]) -> Verdict {
    assert!((1..=rule.periods).contains(&rule.to_alarm), "M is from 1 to N: {rule:?}");
    let newest_first: Vec<&Slot> = slots.iter().rev().take(rule.range()).collect();
    let real = newest_first.iter().filter(|slot| slot.point.is_some()).count();
    // With as many data points as periods, however far back they are, the missing ones do not matter.
    let evaluated: Vec<Slot> = if real >= rule.periods {
        newest_first.iter().filter(|slot| slot.point.is_some()).take(rule.periods).map(|slot| **slot).collect()
    } else {
        let mut spare = rule.periods - real;
        let keep = |slot: &&&Slot| {
            let is_kept = slot.point.is_some() || spare > 0;
            spare -= usize::from(slot.point.is_none() && spare > 0);
            is_kept
        };
        newest_first.iter().filter(keep).map(|slot| **slot).collect()
    };
    let needed = rule.samples_needed();
    let is_thin = |slot: &Slot| slot.point.is_some_and(|point| point.samples < needed);
    if rule.patient_percentile.is_some() && evaluated.iter().any(is_thin) {
        return Verdict::Keep;
    }
    let (breaching, fine): (Vec<_>, Vec<_>) = evaluated
        .iter()
        .filter_map(|slot| slot.point.map(|point| (slot.at, point)))
        .partition(|(_, point)| rule.is_breaching(point));
    let values = |points: &[(Timestamp, Measured)]| points.iter().map(|(at, point)| (*at, point.value)).collect();
    let missing = rule.periods - real.min(rule.periods);
    let enough_fine = rule.periods - rule.to_alarm + 1;
    let crossed = |state, points: &[(Timestamp, Measured)], minimum| {
        let why = Why::Crossed { points: values(points), of: rule.periods, minimum };
        Verdict::Is(Finding { state, why, evaluated: evaluated.clone() })
    };
    if breaching.len() >= rule.to_alarm {
        return crossed(State::Alarm, &breaching, rule.to_alarm);
    }
    if fine.len() >= enough_fine {
        return crossed(State::Ok, &fine, enough_fine);
    }
    let filled = |state, as_breaching| {
        let why = Why::Filled { received: real, periods: rule.periods, missing, as_breaching };
        Verdict::Is(Finding { state, why, evaluated: evaluated.clone() })
    };
    match rule.missing {
        Missing::Breaching if breaching.len() + missing >= rule.to_alarm => filled(State::Alarm, true),
        Missing::Breaching => filled(State::Ok, true),
        Missing::NotBreaching => filled(State::Ok, false),
        // One data point that is fine outweighs those that are not known.
        Missing::Missing | Missing::Ignore if !fine.is_empty() => crossed(State::Ok, &fine, enough_fine),
        Missing::Ignore => Verdict::Keep,
        Missing::Missing if breaching.is_empty() => {
            let why = Why::Unknown { periods: rule.periods };
            Verdict::Is(Finding { state: State::InsufficientData, why, evaluated })
        }
        // A breaching data point that nothing has followed for as long as it takes to alarm is enough; a fresh one may be
        // followed by a fine one yet.
        Missing::Missing => {
            let age = newest_first.iter().rposition(|slot| slot.point.is_some()).map_or(0, |back| back + 1);
            if age >= rule.to_alarm { crossed(State::Alarm, &breaching, rule.to_alarm) } else { Verdict::Keep }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(periods: usize, to_alarm: usize, missing: Missing) -> Rule {
        Rule { comparison: Comparison::Greater, threshold: 1.0, periods, to_alarm, missing, patient_percentile: None }
    }

    /// `0` is fine, `X` is breaching, `-` is missing; newest last.
    fn slots(text: &str) -> Vec<Slot> {
        let point = |c| match c {
            '0' => Some(Measured { value: 0.5, samples: 1.0 }),
            'X' => Some(Measured { value: 2.0, samples: 1.0 }),
            _ => None,
        };
        let chars = text.chars().filter(|c| *c != ' ').enumerate();
        chars.map(|(at, c)| Slot { at: Timestamp(at as i64 * 60_000), point: point(c) }).collect()
    }

    fn state(rule: &Rule, text: &str) -> &'static str {
        match evaluate(rule, &slots(text)) {
            Verdict::Keep => "keep",
            Verdict::Is(finding) => finding.state.as_str(),
        }
    }

    const WAYS: [Missing; 4] = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];

    #[test]
    fn missing_data_is_treated_as_the_user_guide_says() {
        let (ok, alarm, unknown, keep) = ("OK", "ALARM", "INSUFFICIENT_DATA", "keep");
        let three_of_three = [
            ("0 - X - X", [ok, ok, ok, ok]),
            ("0 - - - -", [ok, ok, ok, ok]),
            ("- - - - -", [unknown, keep, alarm, ok]),
            ("0 X X - X", [alarm, alarm, alarm, alarm]),
            ("- - X - -", [alarm, keep, alarm, ok]),
            ("- - - - X", [keep, keep, alarm, ok]),
            ("- - - X -", [keep, keep, alarm, ok]),
        ];
        let two_of_three = [
            ("0 - X - X", [alarm, alarm, alarm, alarm]),
            ("0 0 X 0 X", [alarm, alarm, alarm, alarm]),
            ("0 - X - -", [ok, ok, alarm, ok]),
            ("- - - - 0", [ok, ok, alarm, ok]),
            ("- - - X -", [alarm, keep, alarm, ok]),
        ];
        for (to_alarm, table) in [(3, &three_of_three[..]), (2, &two_of_three[..])] {
            for (data, expected) in table {
                for (way, expected) in WAYS.into_iter().zip(expected) {
                    assert_eq!(state(&rule(3, to_alarm, way), data), *expected, "{data} with {to_alarm} of 3, {way:?}");
                }
            }
        }
    }

    #[test]
    fn what_decided_is_told() {
        let Verdict::Is(finding) = evaluate(&rule(3, 2, Missing::Missing), &slots("X 0 X 0 X")) else { panic!("keep") };
        let expected =
            Why::Crossed { points: vec![(Timestamp(240_000), 2.0), (Timestamp(120_000), 2.0)], of: 3, minimum: 2 };
        assert_eq!((finding.why, finding.evaluated.len()), (expected, 3));
        let Verdict::Is(finding) = evaluate(&rule(3, 1, Missing::Breaching), &slots("- - - 0 0")) else {
            panic!("keep")
        };
        let expected = Why::Filled { received: 2, periods: 3, missing: 1, as_breaching: true };
        assert_eq!((finding.state, finding.why), (State::Alarm, expected));
    }

    #[test]
    fn each_comparison_holds_where_its_name_says() {
        let breaching = |comparison: Comparison| [0.0, 1.0, 2.0].map(|value| comparison.holds(value, 1.0));
        assert_eq!(breaching(Comparison::GreaterOrEqual), [false, true, true]);
        assert_eq!(breaching(Comparison::Greater), [false, false, true]);
        assert_eq!(breaching(Comparison::Less), [true, false, false]);
        assert_eq!(breaching(Comparison::LessOrEqual), [true, true, false]);
        assert!(Comparison::ALL.into_iter().all(|comparison| !comparison.holds(f64::NAN, 1.0)));
    }

    #[test]
    fn a_patient_alarm_waits_for_samples() {
        let patient = Rule { patient_percentile: Some(90.0), ..rule(1, 1, Missing::Missing) };
        let of = |samples| [Slot { at: Timestamp(0), point: Some(Measured { value: 2.0, samples }) }];
        assert_eq!(evaluate(&patient, &of(99.0)), Verdict::Keep);
        assert!(matches!(evaluate(&patient, &of(100.0)), Verdict::Is(Finding { state: State::Alarm, .. })));
    }

    proptest! {
        /// Where nothing is missing, an alarm is whether M of the last N are breaching, however missing data is treated.
        #[test]
        fn without_gaps_m_of_n_decide(data in proptest::collection::vec(any::<bool>(), 12), n in 1usize..10, m in 1usize..10) {
            prop_assume!(m <= n);
            let text: String = data.iter().map(|breaching| if *breaching { 'X' } else { '0' }).collect();
            let breaching = data.iter().rev().take(n).filter(|breaching| **breaching).count();
            let expected = if breaching >= m { "ALARM" } else { "OK" };
            for way in WAYS {
                prop_assert_eq!(state(&rule(n, m, way), &text), expected);
            }
        }

        /// No data can break it, and `ignore` never says that there is not enough.
        #[test]
        fn any_data_is_evaluated(text in "[0X-]{0,14}", n in 1usize..12, m in 1usize..12) {
            prop_assume!(m <= n);
            for way in WAYS {
                let said = state(&rule(n, m, way), &text);
                prop_assert!(way != Missing::Ignore || said != "INSUFFICIENT_DATA");
                prop_assert!(!matches!(way, Missing::Breaching | Missing::NotBreaching) || matches!(said, "OK" | "ALARM"));
            }
        }
    }
}
