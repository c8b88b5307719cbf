//! `20150830T123600Z`.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};
use types::Timestamp;

/// The instant in basic ISO 8601, to the second.
pub(super) fn basic(at: Timestamp) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (month, day, hour, minute, second) = (u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second());
    format!("{:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z", at.year())
}

/// The instant that [`basic`] writes as `text`.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &bytes[from..to];
        let fold = |sum: u16, digit: &u8| sum * 10 + u16::from(digit - b'0');
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, fold))
    };
    let two = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), Month::try_from(two(4)?).ok()?, two(6)?).ok()?;
    let time = Time::from_hms(two(9)?, two(11)?, two(13)?).ok()?;
    Some(Timestamp(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp() * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_a_round_trip() {
        let text = "20150830T123600Z";
        assert_eq!(parse(text).map(basic).as_deref(), Some(text));
        for text in ["", "20150830T123660Z", "2015-08-30T12:36Z", "20151330T123600Z", "2015é830T12360Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
