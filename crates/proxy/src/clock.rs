//! The wall clock and cheap randomness of the data plane.
//!
//! A proxy's times are the network's own, so it reads the machine's clock, here only.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since the epoch.
#[allow(clippy::disallowed_methods)] // dates in headers and drain delays follow the machine's clock
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

thread_local! {
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Adds the present moment as `Mon, 23 Nov 2026 09:30:00 GMT`.
pub(crate) fn write_date(out: &mut Vec<u8>) {
    let now = since_epoch().as_secs();
    DATE.with_borrow_mut(|(at, text)| {
        if *at != now || text.is_empty() {
            *text = http_date(now);
            *at = now;
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// A number that nobody needs to be unable to guess.
pub(crate) fn random() -> u64 {
    SEED.with(|seed| {
        let mut state = seed.get();
        while state == 0 {
            state = getrandom::u64().unwrap_or_else(|_| since_epoch().as_nanos() as u64 | 1);
        }
        // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators"
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        seed.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

fn http_date(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // civil date from days since the epoch: Hinnant, "chrono-compatible low-level date algorithms"
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        .get((month - 1) as usize)
        .copied()
        .unwrap_or("Jan");
    format!("{weekday}, {day:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_http_writes_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
    }

    #[test]
    fn numbers_differ() {
        assert_ne!(random(), random());
    }
}
