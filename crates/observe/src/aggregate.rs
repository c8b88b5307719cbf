//! Data points of one period, taken together.

use crate::record::Point;

/// A statistic of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Statistic {
    Average,
    Sum,
    Minimum,
    Maximum,
    SampleCount,
    /// `p99.9`: the value that this share of the samples does not exceed, in percent.
    Percentile(f64),
}

impl Statistic {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            "SampleCount" => Self::SampleCount,
            _ => {
                let share: f64 = text.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0).contains(&share).then_some(Self::Percentile(share))?
            }
        })
    }
}

/// What a period holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    count: f64,
    sum: f64,
    range: Option<(f64, f64)>,
    /// Values and counts; none once something came as a summary that hides its values.
    values: Vec<(f64, f64)>,
    hidden: bool,
    unit: Option<String>,
}

impl Window {
    #[allow(clippy::float_cmp, reason = "a summary whose ends are the same number holds nothing but that number")]
    pub(crate) fn add(&mut self, point: &Point) {
        self.unit = self.unit.take().or_else(|| point.unit.clone());
        self.count += point.count;
        self.sum += point.sum;
        let (least, most) = self.range.unwrap_or((point.least, point.most));
        self.range = Some((least.min(point.least), most.max(point.most)));
        if !point.values.is_empty() {
            self.values.extend(&point.values);
        } else if point.least == point.most {
            self.values.push((point.least, point.count));
        } else {
            self.hidden = true;
        }
    }

    /// The unit of the first data point that has one.
    pub(crate) fn unit(&self) -> &str {
        self.unit.as_deref().unwrap_or("None")
    }

    /// The statistic; none where it cannot be told.
    pub(crate) fn value(&self, statistic: Statistic) -> Option<f64> {
        let (least, most) = self.range?;
        match statistic {
            Statistic::Sum => Some(self.sum),
            Statistic::SampleCount => Some(self.count),
            Statistic::Minimum => Some(least),
            Statistic::Maximum => Some(most),
            Statistic::Average => (self.count > 0.0).then(|| self.sum / self.count),
            Statistic::Percentile(_) if self.hidden => None,
            Statistic::Percentile(share) => {
                let mut values = self.values.clone();
                values.sort_by(|a, b| a.0.total_cmp(&b.0));
                let total: f64 = values.iter().map(|(_, count)| count).sum();
                let rank = total * share / 100.0;
                let mut seen = 0.0;
                let reached = values.iter().find(|(_, count)| {
                    seen += count;
                    seen >= rank
                });
                reached.or(values.last()).map(|(value, _)| *value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(value: f64) -> Point {
        Point { count: 1.0, sum: value, least: value, most: value, values: vec![(value, 1.0)], unit: None }
    }

    #[test]
    fn statistics_of_a_period() {
        let mut window = Window::default();
        for value in 1..=10 {
            window.add(&single(f64::from(value)));
        }
        for (text, expected) in
            [("Average", 5.5), ("Sum", 55.0), ("Minimum", 1.0), ("Maximum", 10.0), ("SampleCount", 10.0), ("p90", 9.0)]
        {
            let statistic = Statistic::parse(text).unwrap();
            assert_eq!(window.value(statistic), Some(expected), "{text}");
        }
        window.add(&Point { count: 4.0, sum: 8.0, least: 0.0, most: 4.0, values: Vec::new(), unit: None });
        assert_eq!(window.value(Statistic::Sum), Some(63.0));
        assert_eq!(window.value(Statistic::Percentile(50.0)), None, "a summary hides its values");
        assert_eq!(Statistic::parse("p101"), None);
        assert_eq!(Statistic::parse("Median"), None);
    }
}
