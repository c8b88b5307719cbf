//! Versions as Debian's dpkg and Alpine's apk order them. Pure.
//!
//! Sources: deb-version(7); apk-tools' documentation of package versions.

use super::inventory::Format;
use std::cmp::Ordering;

/// How `a` stands to `b`.
pub(super) fn compare(format: Format, a: &str, b: &str) -> Ordering {
    match format {
        Format::Dpkg => dpkg(a, b),
        Format::Apk => apk(a, b),
    }
}

/// `[epoch:]upstream[-revision]`
fn dpkg(a: &str, b: &str) -> Ordering {
    let split = |text: &str| -> (u64, String, String) {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse().unwrap_or(0), upstream.to_owned(), revision.to_owned())
    };
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0).then_with(|| dpkg_part(&a.1, &b.1)).then_with(|| dpkg_part(&a.2, &b.2))
}

/// Alternately a run of other characters and a run of digits. Letters sort before the rest; `~` before everything, even the end.
fn dpkg_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let order = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    while !a.is_empty() || !b.is_empty() {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit()) {
            match order(a.first()).cmp(&order(b.first())) {
                Ordering::Equal => {}
                other => return other,
            }
            a = a.get(1..).unwrap_or(&[]);
            b = b.get(1..).unwrap_or(&[]);
        }
        match number(&mut a).cmp(&number(&mut b)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

/// Takes a run of digits off the front; as (length, digits) without leading zeros, numbers of any length compare.
fn number<'a>(text: &mut &'a [u8]) -> (usize, &'a [u8]) {
    let length = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    *text = rest;
    let zeros = digits.iter().take_while(|c| **c == b'0').count();
    (length - zeros, &digits[zeros..])
}

/// `1.2.3a_rc4_p5-r6`: numbers, at most one letter, suffixes, revision.
fn apk(a: &str, b: &str) -> Ordering {
    let split = |text: &str| -> (Vec<u8>, Vec<u8>, u64) {
        let (rest, revision) = match text.rsplit_once("-r") {
            Some((rest, revision)) if revision.bytes().all(|c| c.is_ascii_digit()) => {
                (rest, revision.parse().unwrap_or(0))
            }
            _ => (text, 0),
        };
        let (numbers, suffixes) = rest.split_once('_').unwrap_or((rest, ""));
        (numbers.as_bytes().to_vec(), suffixes.as_bytes().to_vec(), revision)
    };
    let (a, b) = (split(a), split(b));
    apk_numbers(&a.0, &b.0).then_with(|| apk_suffixes(&a.1, &b.1)).then_with(|| a.2.cmp(&b.2))
}

fn apk_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let parts = |text: &[u8]| -> Vec<Vec<u8>> { text.split(|c| *c == b'.').map(<[u8]>::to_vec).collect() };
    let (a, b) = (parts(a), parts(b));
    for at in 0..a.len().min(b.len()) {
        let (mut left, mut right) = (a[at].as_slice(), b[at].as_slice());
        // After the first, a part with a leading zero is a fraction: compared digit by digit.
        let fraction = at > 0 && (left.first() == Some(&b'0') || right.first() == Some(&b'0'));
        let order = if fraction { left.cmp(right) } else { number(&mut left).cmp(&number(&mut right)) };
        let last = (at + 1 == a.len(), at + 1 == b.len());
        // A further number counts more than a letter, and either more than none.
        let order =
            order.then(last.1.cmp(&last.0)).then_with(|| if fraction { Ordering::Equal } else { left.cmp(right) });
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// `alpha`, `beta`, `pre` and `rc` come before the version without, `cvs`, `svn`, `git`, `hg` and `p` after.
fn apk_suffixes(a: &[u8], b: &[u8]) -> Ordering {
    const ORDER: [&str; 10] = ["alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"];
    let parts = |text: &[u8]| -> Vec<(usize, u64)> {
        let text = String::from_utf8_lossy(text).into_owned();
        let parts = text.split('_').filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let digits = part.trim_start_matches(|c: char| !c.is_ascii_digit());
                let name = &part[..part.len() - digits.len()];
                (ORDER.iter().position(|known| *known == name).unwrap_or(4), digits.parse().unwrap_or(0))
            })
            .collect()
    };
    let (a, b) = (parts(a), parts(b));
    for at in 0..a.len().max(b.len()) {
        let none = (4, 0);
        match a.get(at).unwrap_or(&none).cmp(b.get(at).unwrap_or(&none)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascending(format: Format, versions: &[&str]) {
        for (at, a) in versions.iter().enumerate() {
            for (bt, b) in versions.iter().enumerate() {
                assert_eq!(compare(format, a, b), at.cmp(&bt), "{a} and {b}");
            }
        }
    }

    #[test]
    fn debian_versions_are_ordered() {
        let versions = ["1.0~rc1-1", "1.0-1", "1.0-1+deb12u1", "1.0-2", "1.0-10", "1.0a-1", "1.0+b-1", "1.1", "1:0.1"];
        ascending(Format::Dpkg, &versions);
        assert_eq!(dpkg("1.0", "1.00"), Ordering::Equal);
        assert_eq!(dpkg("0:1.0", "1.0"), Ordering::Equal);
    }

    #[test]
    fn alpine_versions_are_ordered() {
        ascending(
            Format::Apk,
            &[
                "1.2_alpha1-r0",
                "1.2_rc1-r0",
                "1.2_rc2-r0",
                "1.2-r0",
                "1.2-r1",
                "1.2-r10",
                "1.2_p1-r0",
                "1.2a-r0",
                "1.2.1-r0",
                "1.10-r0",
            ],
        );
    }
}
