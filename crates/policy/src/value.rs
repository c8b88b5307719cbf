//! The values that typed condition operators compare: decimals, instants, addresses.

use std::net::IpAddr;

/// A decimal number; no infinities, which Rust's parser would take.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|n| n.is_finite())
}

/// Milliseconds since the epoch of a W3C ISO 8601 date (`2026-11-23`, `2026-11-23T08:00:00Z`, with fraction or offset)
/// or of whole seconds since the epoch.
pub(crate) fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.len() > 4 {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (date, clock) = match text.split_once(['T', 't']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut fields = date.splitn(3, '-');
    let year: i64 = digits(fields.next()?, 4)?;
    let month = fields.next().map_or(Some(1), |m| digits(m, 2))?;
    let day = fields.next().map_or(Some(1), |d| digits(d, 2))?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let midnight = days_from_civil(year, month, day).checked_mul(86_400_000)?;
    midnight.checked_add(clock.map_or(Some(0), time_of_day)?)
}

fn time_of_day(text: &str) -> Option<i64> {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) => {
            let zone = &text[at + 1..];
            let offset = match (text.as_bytes()[at], zone.split_once(':')) {
                (b'Z' | b'z', _) if zone.is_empty() => 0,
                (b'+', Some((h, m))) => digits(h, 2)? * 60 + digits(m, 2)?,
                (b'-', Some((h, m))) => -(digits(h, 2)? * 60 + digits(m, 2)?),
                _ => return None,
            };
            (&text[..at], offset)
        }
    };
    let mut fields = clock.splitn(3, ':');
    let hour = digits(fields.next()?, 2)?;
    let minute = digits(fields.next()?, 2)?;
    let (second, millis) = match fields.next() {
        None => (0, 0),
        Some(field) => match field.split_once('.') {
            None => (digits(field, 2)?, 0),
            Some((second, fraction)) => {
                if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                let three: String = fraction.chars().chain("00".chars()).take(3).collect();
                (digits(second, 2)?, digits(&three, 3)?)
            }
        },
    };
    (hour <= 23 && minute <= 59 && second <= 60)
        .then_some(((hour * 60 + minute - offset) * 60 + second) * 1000 + millis)
}

/// Exactly `n` decimal digits.
fn digits(text: &str, n: usize) -> Option<i64> {
    (text.len() == n && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// An address range: `203.0.113.0/24`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    address: IpAddr,
    prefix: u32,
}

impl Range {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(longest), |p| p.parse().ok())?;
        (prefix <= longest).then_some(Self { address, prefix })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                u32::from(net) & mask == u32::from(host) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                u128::from(net) & mask == u128::from(host) & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_in_every_form_agree() {
        let noon = Some(1_700_000_000_000);
        for text in ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.000Z", "1700000000"] {
            assert_eq!(instant(text), noon, "{text}");
        }
        assert_eq!(instant("1970-01-01"), Some(0));
        for text in ["", "T", "2023-13-01", "2023-11-14T25:00Z", "x", "2023-11-14T10:00:00.Z", "99999999999999999999"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_hold_their_addresses() {
        let holds = |range: &str, host: &str| Range::parse(range).unwrap().contains(host.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(holds("2001:db8::/32", "2001:db8::1"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert_eq!(Range::parse("10.0.0.0/33"), None);
    }
}
