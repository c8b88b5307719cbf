//! What the store keeps of an alarm.

use model::cloudwatch::{Dimension, MetricAlarm};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;
use tracking::alarm::{Rule, State};
use types::{Scope, Timestamp};

/// A metric alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Unique in account and region.
    pub name: String,
    /// `AlarmDescription`.
    pub description: Option<String>,
    /// Whether a new state has actions executed.
    pub actions_enabled: bool,
    /// What is done at each state.
    pub actions: Actions,
    /// What it watches.
    pub watched: Watched,
    /// What it goes by.
    pub rule: Rule,
    /// `DatapointsToAlarm`, as given.
    pub datapoints_to_alarm: Option<i32>,
    /// `TreatMissingData`, as given.
    pub treat_missing_data: Option<String>,
    /// `EvaluateLowSampleCountPercentile`, as given.
    pub low_samples: Option<String>,
    /// When it was last put.
    pub configured: Timestamp,
    /// `StateValue`.
    pub state: State,
    /// `StateReason`.
    pub reason: String,
    /// `StateReasonData`: JSON.
    pub reason_data: Option<String>,
    /// When the state was last set.
    pub updated: Timestamp,
    /// When the state last became another one.
    pub transitioned: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// The ARNs of what is done when the state becomes another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// `OKActions`.
    pub ok: Vec<String>,
    /// `AlarmActions`.
    pub alarm: Vec<String>,
    /// `InsufficientDataActions`.
    pub insufficient_data: Vec<String>,
}

impl Actions {
    /// Those of a state.
    pub fn of(&self, state: State) -> &[String] {
        match state {
            State::Ok => &self.ok,
            State::Alarm => &self.alarm,
            State::InsufficientData => &self.insufficient_data,
        }
    }
}

/// A statistic of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// `AWS/ECS`.
    pub namespace: String,
    /// `CPUUtilization`.
    pub metric: String,
    /// Dimensions, as given.
    pub dimensions: Vec<(String, String)>,
    /// `Average`, or an extended one such as `p99`.
    pub statistic: String,
    /// In seconds.
    pub period: u32,
    /// Data of this unit alone.
    pub unit: Option<String>,
}

impl Watched {
    /// The key of its metric's row.
    pub fn metric_key(&self) -> String {
        crate::rows::Metric::key(&self.namespace, &self.metric, &self.dimensions.iter().cloned().collect())
    }

    fn is_extended(&self) -> bool {
        self.statistic.starts_with('p')
    }

    /// `Statistic`.
    pub fn plain_statistic(&self) -> Option<String> {
        (!self.is_extended()).then(|| self.statistic.clone())
    }

    /// `ExtendedStatistic`.
    pub fn extended_statistic(&self) -> Option<String> {
        self.is_extended().then(|| self.statistic.clone())
    }
}

/// A new or changed alarm, without its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The name.
    pub name: String,
    /// `AlarmDescription`.
    pub description: Option<String>,
    /// `ActionsEnabled`.
    pub actions_enabled: bool,
    /// The actions.
    pub actions: Actions,
    /// What it watches.
    pub watched: Watched,
    /// What it goes by.
    pub rule: Rule,
    /// `DatapointsToAlarm`, as given.
    pub datapoints_to_alarm: Option<i32>,
    /// `TreatMissingData`, as given.
    pub treat_missing_data: Option<String>,
    /// `EvaluateLowSampleCountPercentile`, as given.
    pub low_samples: Option<String>,
    /// The tags of a new one; one that is there keeps its own.
    pub tags: BTreeMap<String, String>,
}

impl Alarm {
    /// The alarm that `draft` makes of the one that is there, which keeps its state, or of nothing.
    pub fn put(draft: Draft, before: Option<&Self>, now: Timestamp) -> Self {
        let Draft { name, description, actions_enabled, actions, watched, rule, .. } = draft;
        let Draft { datapoints_to_alarm, treat_missing_data, low_samples, tags, .. } = draft;
        let (state, reason, reason_data) = match before {
            Some(old) => (old.state, old.reason.clone(), old.reason_data.clone()),
            None => (State::InsufficientData, super::texts::UNCHECKED.to_owned(), None),
        };
        Self {
            name,
            description,
            actions_enabled,
            actions,
            watched,
            rule,
            datapoints_to_alarm,
            treat_missing_data,
            low_samples,
            configured: now,
            state,
            reason,
            reason_data,
            updated: before.map_or(now, |old| old.updated),
            transitioned: before.map_or(now, |old| old.transitioned),
            tags: before.map_or(tags, |old| old.tags.clone()),
        }
    }

    /// `arn:aws:cloudwatch:<region>:<account>:alarm:<name>`.
    pub fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.name)
    }

    /// As `DescribeAlarms` shows it.
    pub fn shape(&self, scope: &Scope) -> MetricAlarm {
        let dimension = |(name, value): &(String, String)| Dimension { name: name.clone(), value: value.clone() };
        MetricAlarm {
            alarm_name: Some(self.name.clone()),
            alarm_arn: Some(self.arn(scope)),
            alarm_description: self.description.clone(),
            alarm_configuration_updated_timestamp: Some(self.configured),
            actions_enabled: Some(self.actions_enabled),
            ok_actions: Some(self.actions.ok.clone()),
            alarm_actions: Some(self.actions.alarm.clone()),
            insufficient_data_actions: Some(self.actions.insufficient_data.clone()),
            state_value: Some(self.state.as_str().to_owned()),
            state_reason: Some(self.reason.clone()),
            state_reason_data: self.reason_data.clone(),
            state_updated_timestamp: Some(self.updated),
            state_transitioned_timestamp: Some(self.transitioned),
            metric_name: Some(self.watched.metric.clone()),
            namespace: Some(self.watched.namespace.clone()),
            statistic: self.watched.plain_statistic(),
            extended_statistic: self.watched.extended_statistic(),
            dimensions: Some(self.watched.dimensions.iter().map(dimension).collect()),
            period: i32::try_from(self.watched.period).ok(),
            unit: self.watched.unit.clone(),
            evaluation_periods: i32::try_from(self.rule.periods).ok(),
            datapoints_to_alarm: self.datapoints_to_alarm,
            threshold: Some(self.rule.threshold),
            comparison_operator: Some(self.rule.comparison.as_str().to_owned()),
            treat_missing_data: self.treat_missing_data.clone(),
            evaluate_low_sample_count_percentile: self.low_samples.clone(),
            ..MetricAlarm::default()
        }
    }
}

/// `arn:aws:cloudwatch:<region>:<account>:alarm:<name>`.
pub fn arn(scope: &Scope, name: &str) -> String {
    format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", scope.region, scope.account)
}

impl Row for Alarm {
    const TABLE: &'static str = "cloudwatch.alarm";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}
