//! Data points that come in without the API: what AWS's services publish of themselves.

use crate::record::{self, Point};
use crate::rows::Metric;
use std::collections::BTreeMap;
use store::Store;
use types::{Scope, Timestamp};

/// A data point on its way in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `AWS/ECS`.
    pub namespace: &'static str,
    /// `CPUUtilization`.
    pub name: &'static str,
    /// Dimensions.
    pub dimensions: Vec<(&'static str, String)>,
    /// The start of the minute that it is about.
    pub at: Timestamp,
    /// `Percent`.
    pub unit: &'static str,
    /// Values, and how often each came. Finite, and at least one.
    pub values: Vec<(f64, f64)>,
    /// Their sum where it is known better than by the values.
    pub sum: Option<f64>,
}

impl Sample {
    fn point(&self) -> Option<Point> {
        let finite = |(value, count): &&(f64, f64)| value.is_finite() && count.is_finite() && *count > 0.0;
        let values: Vec<(f64, f64)> = self.values.iter().filter(finite).copied().collect();
        let least = values.iter().map(|(value, _)| *value).reduce(f64::min)?;
        let most = values.iter().map(|(value, _)| *value).reduce(f64::max)?;
        let sum = values.iter().map(|(value, count)| value * count).sum();
        let count = values.iter().map(|(_, count)| count).sum();
        let sum = self.sum.filter(|sum| sum.is_finite()).unwrap_or(sum);
        Some(Point { count, sum, least, most, values, unit: Some(self.unit.to_owned()) })
    }
}

/// Keeps samples. They are durable when this returns.
pub async fn publish(store: &Store, samples: &[(Scope, Sample)]) -> Result<(), store::Error> {
    let mut batches: BTreeMap<String, Vec<(Timestamp, Vec<u8>)>> = BTreeMap::new();
    let keyed: Vec<(&Scope, String, &Sample, Vec<u8>)> = samples
        .iter()
        .filter_map(|(scope, sample)| {
            let key = Metric::key(sample.namespace, sample.name, &dimensions(sample));
            Some((scope, key, sample, record::encode(&sample.point()?)))
        })
        .collect();
    let view = store.view();
    if keyed.iter().any(|(scope, key, ..)| !view.contains::<Metric>(scope, key)) {
        let ticket = {
            let mut tx = store.begin();
            for (scope, key, sample, _) in &keyed {
                if !tx.contains::<Metric>(scope, key) {
                    tx.put(scope, Metric::new(sample.namespace, sample.name, dimensions(sample)));
                }
            }
            tx.commit()
        };
        ticket.await?;
    }
    let view = store.view();
    for (scope, key, sample, data) in keyed {
        if let Some(metric) = view.get::<Metric>(scope, &key) {
            batches.entry(metric.records.clone()).or_default().push((sample.at, data));
        }
    }
    let tickets: Vec<_> = {
        let streams = store.streams()?;
        batches.into_iter().map(|(stream, batch)| streams.append(&stream, batch)).collect()
    };
    for ticket in tickets {
        ticket.wait().await?;
    }
    Ok(())
}

fn dimensions(sample: &Sample) -> BTreeMap<String, String> {
    sample.dimensions.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_point_of_its_finite_values() {
        let sample = |values: &[(f64, f64)], sum| Sample {
            namespace: "AWS/ECS",
            name: "CPUUtilization",
            dimensions: Vec::new(),
            at: Timestamp(0),
            unit: "Percent",
            values: values.to_vec(),
            sum,
        };
        let point = sample(&[(10.0, 1.0), (30.0, 2.0), (f64::NAN, 1.0)], None).point().unwrap();
        assert_eq!((point.count, point.sum, point.least, point.most), (3.0, 70.0, 10.0, 30.0));
        assert_eq!(sample(&[(10.0, 1.0)], Some(9.5)).point().map(|point| point.sum), Some(9.5));
        assert_eq!(sample(&[], None).point(), None);
    }
}
