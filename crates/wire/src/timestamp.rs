//! Instants in AWS's spellings.

use time::OffsetDateTime;
use time::format_description::well_known::{Iso8601, Rfc2822, Rfc3339};
use types::Timestamp;

/// The instant `seconds` after the epoch, if the calendar reaches it.
pub(crate) fn from_seconds(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    // The year 9999 is where ISO 8601 ends.
    (millis.is_finite() && millis.abs() < 253_402_300_800_000.0).then_some(Timestamp(millis as i64))
}

/// ISO 8601, RFC 822 or seconds since the epoch.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds);
    }
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, &Iso8601::PARSING))
        .or_else(|_| OffsetDateTime::parse(text, &Rfc2822))
        .ok()
        .or_else(|| {
            time::PrimitiveDateTime::parse(text, &Iso8601::PARSING).ok().map(time::PrimitiveDateTime::assume_utc)
        })
        .or_else(|| time::Date::parse(text, &Iso8601::PARSING).ok().map(|day| day.midnight().assume_utc()))?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_instant() {
        for text in ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20", "1700000000", "1.7e9"] {
            assert_eq!(parse(text), Some(Timestamp(1_700_000_000_000)), "{text}");
        }
        assert_eq!(parse("2023-11-14"), Some(Timestamp(1_699_920_000_000)));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("1e300"), None);
        assert_eq!(parse("NaN"), None);
    }
}
