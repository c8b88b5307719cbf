//! The minute that metrics are made of, at a pace.
//!
//! AWS's services publish a data point a minute, and alarms count periods of some minutes. Both follow the pace together,
//! so that three periods of an alarm hold three data points at any pace.

use std::time::Duration;
use types::{Pace, Timestamp};

/// However fast the pace, publishing and evaluating every minute is work for the machine, too.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long a minute of metrics takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute(i64);

impl Minute {
    /// A minute at this pace.
    pub fn at(pace: Pace) -> Self {
        let length = pace.scale(Duration::from_mins(1)).max(SHORTEST);
        Self(i64::try_from(length.as_millis()).unwrap_or(60_000))
    }

    /// Its length in milliseconds.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Its length.
    pub fn length(self) -> Duration {
        Duration::from_millis(self.0.unsigned_abs())
    }

    /// How many milliseconds stand for this many seconds of AWS's time; at least one.
    pub fn period(self, seconds: u32) -> i64 {
        (i64::from(seconds) * self.0 / 60).max(1)
    }

    /// The start of the minute that `now` is in.
    pub fn start(self, now: Timestamp) -> Timestamp {
        Timestamp(now.0 - now.0.rem_euclid(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_hold_as_many_minutes_at_any_pace() {
        for factor in [1.0, 7.0, 10.0, 60.0, 1e6] {
            let minute = Minute::at(Pace::new(factor).unwrap());
            assert!(minute.length() >= SHORTEST, "{factor}");
            assert_eq!(minute.period(60), minute.millis(), "{factor}");
            assert_eq!(minute.period(300), 5 * minute.millis(), "{factor}");
            assert!(minute.period(1) >= 1, "{factor}");
        }
        assert_eq!(Minute::at(Pace::REAL).period(10), 10_000);
        assert_eq!(Minute::at(Pace::REAL).start(Timestamp(119_999)), Timestamp(60_000));
    }
}
