//! When scheduled actions are due: `at(…)`, `rate(…)` and `cron(…)`, in a time zone.
//! Source: Application Auto Scaling user guide, "Schedule recurring scaling actions using cron expressions"; API reference,
//! PutScheduledAction.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use std::time::Duration;
use types::Timestamp;

/// A parsed schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Once.
    At(DateTime),
    /// Again and again, so long after its beginning.
    Rate(Duration),
    /// Whenever the clock and the calendar show this.
    Cron(Box<Cron>),
}

/// The fields of a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Set,
    hours: Set,
    days: Days,
    months: Set,
    years: Set,
}

/// Numbers that a field allows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set(Vec<u16>);

impl Set {
    fn has(&self, number: i16) -> bool {
        u16::try_from(number).is_ok_and(|number| self.0.contains(&number))
    }
}

/// Which days: one of the fields for the day of the month and of the week is `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    OfMonth(Vec<MonthDay>),
    OfWeek(Vec<WeekDay>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum MonthDay {
    On(Set),
    /// `L`
    Last,
    /// `LW`
    LastWorkday,
    /// `15W`: the workday nearest to it in the same month.
    Workday(i8),
}

/// Days of the week are 1 (Sunday) to 7.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WeekDay {
    On(Set),
    /// `6L`: the last of the month.
    Last(i8),
    /// `3#2`: the second of the month.
    Nth(i8, i8),
}

/// How many years ahead a cron expression is searched.
const HORIZON: i16 = 100;

impl Schedule {
    /// Reads an expression.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.trim().split_once('(')?;
        let inner = rest.strip_suffix(')')?.trim();
        match kind.trim() {
            "at" => inner.parse().ok().map(Self::At),
            "rate" => rate(inner).map(Self::Rate),
            "cron" => Cron::parse(inner).map(|cron| Self::Cron(Box::new(cron))),
            _ => None,
        }
    }

    /// When it is next due after `after`; `begin` is from when rates count.
    pub fn next(&self, zone: &Zone, begin: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => zone.instant(*at).filter(|at| *at > after),
            Self::Rate(every) => {
                let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
                let passed = after.0.saturating_sub(begin.0).max(-1).div_euclid(every);
                Some(Timestamp(begin.0.checked_add(every.checked_mul(passed.checked_add(1)?)?)?))
            }
            Self::Cron(cron) => cron.next(zone, after),
        }
    }
}

/// `5 minutes`, `1 hour`.
fn rate(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_once(char::is_whitespace)?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let seconds = match (unit.trim(), number) {
        ("minute", 1) | ("minutes", 2..) => 60,
        ("hour", 1) | ("hours", 2..) => 3600,
        ("day", 1) | ("days", 2..) => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).filter(|seconds| *seconds < 1 << 40).map(Duration::from_secs)
}

/// A time zone.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC, or the zone of that name in the IANA database.
    pub fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("UTC") => Some(Self(TimeZone::UTC)),
            Some(name) => TimeZone::get(name).ok().map(Self),
        }
    }

    fn instant(&self, at: DateTime) -> Option<Timestamp> {
        let at = self.0.to_timestamp(at).ok()?;
        Some(Timestamp(at.as_millisecond()))
    }

    fn civil(&self, at: Timestamp) -> Option<DateTime> {
        let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(self.0.to_datetime(at))
    }
}

impl Cron {
    /// Reads six fields: minutes, hours, day of the month, month, day of the week, year.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
        let [minutes, hours, month_days, months, week_days, years] = &fields[..] else { return None };
        let days = match (month_days.as_str(), week_days.as_str()) {
            ("?", "?") => return None,
            (month_days, "?") => Days::OfMonth(list(month_days, month_day)?),
            ("?", week_days) => Days::OfWeek(list(week_days, week_day)?),
            // A `*` beside a field that chooses means nothing.
            (month_days, "*") => Days::OfMonth(list(month_days, month_day)?),
            ("*", week_days) => Days::OfWeek(list(week_days, week_day)?),
            _ => return None,
        };
        Some(Self {
            minutes: set(minutes, 0..=59, &[])?,
            hours: set(hours, 0..=23, &[])?,
            days,
            months: set(months, 1..=12, &MONTHS)?,
            years: set(years, 1970..=2199, &[])?,
        })
    }

    fn next(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let from = zone.civil(after)?;
        let mut day = from.date();
        let end = day.year().saturating_add(HORIZON);
        while day.year() <= end {
            if !self.years.has(day.year()) {
                day = Date::new(day.year().checked_add(1)?, 1, 1).ok()?;
                continue;
            }
            if !self.months.has(i16::from(day.month())) {
                day = day.last_of_month().tomorrow().ok()?;
                continue;
            }
            if self.days.has(day) {
                let times =
                    self.hours.0.iter().flat_map(|hour| self.minutes.0.iter().map(move |minute| (*hour, *minute)));
                let instants = times.filter_map(|(hour, minute)| {
                    zone.instant(day.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0))
                });
                // In the hour that a zone skips or repeats, instants need not be in the order of what clocks show.
                if let Some(next) = instants.filter(|at| *at > after).min() {
                    return Some(next);
                }
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

impl Days {
    fn has(&self, day: Date) -> bool {
        match self {
            Self::OfMonth(days) => days.iter().any(|one| match one {
                MonthDay::On(set) => set.has(i16::from(day.day())),
                MonthDay::Last => day == day.last_of_month(),
                MonthDay::LastWorkday => workday(day, day.days_in_month()) == Some(day),
                MonthDay::Workday(wanted) => *wanted <= day.days_in_month() && workday(day, *wanted) == Some(day),
            }),
            Self::OfWeek(days) => {
                let number = day.weekday().to_sunday_one_offset();
                days.iter().any(|one| match one {
                    WeekDay::On(set) => set.has(i16::from(number)),
                    WeekDay::Last(wanted) => number == *wanted && day.day() + 7 > day.days_in_month(),
                    WeekDay::Nth(wanted, nth) => number == *wanted && (day.day() - 1) / 7 + 1 == *nth,
                })
            }
        }
    }
}

/// The workday nearest to a day of the month of `month`, within that month.
fn workday(month: Date, day: i8) -> Option<Date> {
    let day = Date::new(month.year(), month.month(), day).ok()?;
    let moved = |span: Span| day.checked_add(span).ok().filter(|other| other.month() == day.month());
    match day.weekday().to_sunday_one_offset() {
        7 => moved((-1).days()).or_else(|| moved(2.days())),
        1 => moved(1.days()).or_else(|| moved((-2).days())),
        _ => Some(day),
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEK: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

fn list<T>(field: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    field.split(',').map(read).collect()
}

fn month_day(text: &str) -> Option<MonthDay> {
    match text {
        "L" => Some(MonthDay::Last),
        "LW" => Some(MonthDay::LastWorkday),
        _ => match text.strip_suffix('W') {
            Some(day) => day.parse().ok().filter(|day| (1..=31).contains(day)).map(MonthDay::Workday),
            None => set(text, 1..=31, &[]).map(MonthDay::On),
        },
    }
}

fn week_day(text: &str) -> Option<WeekDay> {
    let day = |text: &str| number(text, &WEEK, 1).and_then(|n| i8::try_from(n).ok()).filter(|n| (1..=7).contains(n));
    if let Some((one, nth)) = text.split_once('#') {
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth))?;
        return Some(WeekDay::Nth(day(one)?, nth));
    }
    match text.strip_suffix('L') {
        Some("") => Some(WeekDay::On(Set(vec![7]))),
        Some(one) => day(one).map(WeekDay::Last),
        None => set(text, 1..=7, &WEEK).map(WeekDay::On),
    }
}

/// A number, or a name that stands for one, the first for `first`.
fn number(text: &str, names: &[&str], first: u16) -> Option<u16> {
    let named = names.iter().position(|name| *name == text).and_then(|at| u16::try_from(at).ok());
    named.map(|at| at + first).or_else(|| text.parse().ok())
}

/// `*`, `1,3`, `5-9`, `0/15`, `MON-FRI`.
fn set(field: &str, range: std::ops::RangeInclusive<u16>, names: &[&str]) -> Option<Set> {
    let (least, most) = (*range.start(), *range.end());
    let of = |text: &str| number(text, names, least).filter(|number| range.contains(number));
    let mut numbers = Vec::new();
    for part in field.split(',') {
        let (part, step) = match part.split_once('/') {
            Some((part, step)) => (part, Some(step.parse::<u16>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match (part, part.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((from, to))) => (of(from)?, of(to)?),
            (one, None) => (of(one)?, if step.is_some() { most } else { of(one)? }),
        };
        let step = usize::from(step.unwrap_or(1));
        if from <= to {
            numbers.extend((from..=to).step_by(step));
        } else {
            // `FRI-MON` goes round.
            numbers.extend((from..=most).chain(least..=to).step_by(step));
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(Set(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The next instants after `from`, as the zone's clocks show them.
    fn next(schedule: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let (schedule, zone) = (Schedule::parse(schedule).unwrap(), Zone::named(Some(zone)).unwrap());
        let begin = zone.instant(from.parse().unwrap()).unwrap();
        let mut after = begin;
        let mut seen = Vec::new();
        while seen.len() < count {
            let Some(at) = schedule.next(&zone, begin, after) else { break };
            assert!(at > after, "{schedule:?} stands still");
            seen.push(zone.civil(at).unwrap().strftime("%F %R").to_string());
            after = at;
        }
        seen
    }

    #[test]
    fn crons_of_the_user_guide() {
        let cases = [
            ("cron(0 9 * * ? *)", "2026-11-26T09:00", vec!["2026-11-27 09:00", "2026-11-28 09:00"]),
            ("cron(15 10 ? * MON-FRI *)", "2026-11-27T12:00", vec!["2026-11-30 10:15", "2026-12-01 10:15"]),
            ("cron(0 8 1 * ? *)", "2026-11-26T00:00", vec!["2026-12-01 08:00", "2027-01-01 08:00"]),
            (
                "cron(0/30 0-1 L 2 ? *)",
                "2028-02-28T00:00",
                vec!["2028-02-29 00:00", "2028-02-29 00:30", "2028-02-29 01:00"],
            ),
            ("cron(0 0 ? * 6L *)", "2026-11-26T00:00", vec!["2026-11-27 00:00", "2026-12-25 00:00"]),
            ("cron(0 0 ? JAN,JUL 2#1 *)", "2026-11-26T00:00", vec!["2027-01-04 00:00", "2027-07-05 00:00"]),
            ("cron(0 0 1W * ? *)", "2026-07-02T00:00", vec!["2026-08-03 00:00", "2026-09-01 00:00"]),
            ("cron(0 0 LW * ? *)", "2026-05-01T00:00", vec!["2026-05-29 00:00", "2026-06-30 00:00"]),
            (
                "cron(5 4 ? * FRI-MON 2027)",
                "2026-11-26T00:00",
                vec![
                    "2027-01-01 04:05",
                    "2027-01-02 04:05",
                    "2027-01-03 04:05",
                    "2027-01-04 04:05",
                    "2027-01-08 04:05",
                ],
            ),
        ];
        for (schedule, from, expected) in cases {
            assert_eq!(next(schedule, "UTC", from, expected.len()), expected, "{schedule}");
        }
        assert!(next("cron(0 0 1 1 ? 2020)", "UTC", "2026-11-26T00:00", 1).is_empty());
    }

    #[test]
    fn zones_keep_the_hour_over_the_change_of_clocks() {
        let seen = next("cron(0 9 ? * SAT-SUN *)", "Europe/Berlin", "2026-10-23T12:00", 3);
        assert_eq!(seen, ["2026-10-24 09:00", "2026-10-25 09:00", "2026-10-31 09:00"]);
        // 02:30 is not there on 29 March; the action comes when it would be.
        let seen = next("cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-28T12:00", 2);
        assert_eq!(seen, ["2026-03-29 03:30", "2026-03-30 02:30"]);
        assert!(Zone::named(Some("Mars/Olympus")).is_none());
    }

    #[test]
    fn once_and_at_a_rate() {
        assert_eq!(next("at(2026-12-01T08:30:00)", "America/New_York", "2026-11-26T00:00", 2), ["2026-12-01 08:30"]);
        assert_eq!(next("rate(2 hours)", "UTC", "2026-11-26T01:00", 2), ["2026-11-26 03:00", "2026-11-26 05:00"]);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        let bad = [
            "",
            "cron",
            "cron()",
            "cron(* * * * *)",
            "cron(* * ? * ? *)",
            "cron(60 * * * ? *)",
            "cron(* * 1 * 2 *)",
            "cron(* * * * ? 1969)",
            "cron(*/0 * * * ? *)",
            "cron(* * 32W * ? *)",
            "cron(* * ? * 8 *)",
            "cron(* * ? * 2#6 *)",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(x)",
            "rate(99999999999999999999 days)",
            "at(tomorrow)",
            "at(2026-13-01T00:00:00)",
            "every(5)",
            "cron(* * * * ? *",
        ];
        for text in bad {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever people write, reading it ends well, and what is due comes later than before.
        #[test]
        fn any_text_is_read(fields in "[0-9A-Z*?,/#LW-]{0,6}( [0-9A-Z*?,/#LW-]{0,6}){5}", after in 0i64..4_000_000_000_000) {
            if let Some(schedule) = Schedule::parse(&format!("cron({fields})")) {
                let zone = Zone::named(Some("Pacific/Auckland")).unwrap();
                let next = schedule.next(&zone, Timestamp(0), Timestamp(after));
                prop_assert!(next.is_none_or(|next| next > Timestamp(after)));
            }
        }
    }
}
