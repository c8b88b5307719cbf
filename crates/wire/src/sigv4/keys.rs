//! Signing keys, and a bounded cache of them: deriving one takes four HMACs, and it holds for a day.

use super::CredentialScope;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

type HmacSha256 = Hmac<Sha256>;

/// A key for one day, region and service, ready to sign.
pub(super) fn mac(key: &[u8], message: &[u8]) -> HmacSha256 {
    let mut mac = HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

fn step(key: &[u8], message: &str) -> [u8; 32] {
    mac(key, message.as_bytes()).finalize().into_bytes().into()
}

/// Derives the signing key of `secret` for `scope`.
pub(super) fn derive(secret: &str, scope: &CredentialScope) -> [u8; 32] {
    let day = step(format!("AWS4{secret}").as_bytes(), &scope.date);
    step(&step(&step(&day, &scope.region), &scope.service), "aws4_request")
}

/// How many keys each of the two generations holds.
const CAPACITY: usize = 512;

/// Two generations of keys: when the young one is full it becomes the old one, and what the old one held is forgotten
/// unless it is used again meanwhile. So memory is bounded, and whatever is in use stays.
#[derive(Default)]
pub(super) struct Cache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<String, [u8; 32]>,
    old: HashMap<String, [u8; 32]>,
}

impl Cache {
    /// The signing key of `secret` for `scope`.
    pub(super) fn key(&self, secret: &str, scope: &CredentialScope) -> [u8; 32] {
        // The secret comes last and the other parts hold no newline that could move the borders between them.
        let name = format!("{}/{}/{}\n{secret}", scope.date, scope.region, scope.service);
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = generations.young.get(&name) {
            return *key;
        }
        let key = generations.old.get(&name).copied().unwrap_or_else(|| derive(secret, scope));
        if generations.young.len() >= CAPACITY {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(name, key);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_right() {
        let cache = Cache::default();
        let scope =
            |day: usize| CredentialScope { date: format!("{day:08}"), region: "r".to_owned(), service: "s".to_owned() };
        for day in 0..3 * CAPACITY {
            assert_eq!(cache.key("secret", &scope(day)), derive("secret", &scope(day)));
        }
        let generations = cache.0.lock().unwrap();
        assert!(generations.young.len() <= CAPACITY && generations.old.len() <= CAPACITY);
    }
}
