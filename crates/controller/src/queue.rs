//! Which key runs when: pure bookkeeping, without I/O or a clock of its own.
//!
//! A key is ready (in the order of being touched), running, or resting until an instant. One that is touched while it runs
//! becomes ready again when it ends. One that failed always pauses: a touch shortens the pause to the first pause's length, so
//! that a new intent is served soon, and yet a reconciliation which fails and touches itself does not spin.

use crate::{Key, Next};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;
use types::Timestamp;

/// How long a failing key pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Pauses {
    /// The pause after the given failure in a row, from 1: it doubles each time up to the longest, less a share of up to a quarter
    /// that differs from key to key and time to time, so that many keys which fail for one reason do not retry as one.
    /// The share is a hash, so a simulation repeats exactly.
    pub(crate) fn after(self, failures: u32, salt: &str) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.longest);
        let share = hash(salt, failures) % 1024;
        doubled.saturating_sub(doubled.mul_f64(share as f64 / 4096.0))
    }
}

/// FNV-1a, finished by a multiplication, as the last bytes would hardly reach the low bits otherwise.
fn hash(salt: &str, failures: u32) -> u64 {
    let bytes = salt.bytes().chain(failures.to_le_bytes());
    let hashed =
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hashed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// The keys of one controller which are not at rest for good.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: VecDeque<Key>,
    resting: BTreeSet<(Timestamp, Key)>,
    keys: HashMap<Key, State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Failures in a row.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    Running { touched: bool },
    Resting { until: Timestamp },
}

impl Queue {
    /// Makes the key run as soon as may be.
    pub(crate) fn touch(&mut self, key: Key, now: Timestamp, pauses: Pauses) {
        let Some(state) = self.keys.get_mut(&key) else {
            self.keys.insert(key.clone(), State { stage: Stage::Ready, failures: 0 });
            self.ready.push_back(key);
            return;
        };
        match state.stage {
            Stage::Ready => {}
            Stage::Running { .. } => state.stage = Stage::Running { touched: true },
            Stage::Resting { until } => {
                self.resting.remove(&(until, key.clone()));
                if state.failures == 0 {
                    state.stage = Stage::Ready;
                    self.ready.push_back(key);
                } else {
                    let until = until.min(now.plus(pauses.first));
                    state.stage = Stage::Resting { until };
                    self.resting.insert((until, key));
                }
            }
        }
    }

    /// The next key to run.
    pub(crate) fn start(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        if let Some(state) = self.keys.get_mut(&key) {
            state.stage = Stage::Running { touched: false };
        }
        Some(key)
    }

    /// Notes that a key ran to its end. Returns the pause before its retry if it failed.
    pub(crate) fn end(
        &mut self,
        key: Key,
        result: Option<Next>,
        now: Timestamp,
        pauses: Pauses,
        salt: &str,
    ) -> Option<Duration> {
        let state = self.keys.get_mut(&key)?;
        let touched = state.stage == Stage::Running { touched: true };
        state.failures = if result.is_some() { 0 } else { state.failures.saturating_add(1) };
        let pause = pauses.after(state.failures, &format!("{salt} {key}"));
        let rest = match result {
            None if touched => Some(pause.min(pauses.first)),
            None => Some(pause),
            Some(_) if touched => {
                state.stage = Stage::Ready;
                self.ready.push_back(key);
                return None;
            }
            Some(Next::After(rest)) => Some(rest),
            Some(Next::Done) => None,
        };
        if let Some(rest) = rest {
            let until = now.plus(rest);
            state.stage = Stage::Resting { until };
            self.resting.insert((until, key));
        } else {
            self.keys.remove(&key);
        }
        if result.is_none() { rest } else { None }
    }

    /// Readies all whose rest is over.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while self.resting.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, key)) = self.resting.pop_first() else { return };
            self.keys.entry(key.clone()).and_modify(|state| state.stage = Stage::Ready);
            self.ready.push_back(key);
        }
    }

    /// When the next rest is over.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.resting.first().map(|(until, _)| *until)
    }

    /// How many keys are ready or running.
    pub(crate) fn busy(&self) -> usize {
        self.keys.len() - self.resting.len()
    }

    /// The keys that run now, in order.
    pub(crate) fn running(&self) -> Vec<Key> {
        let running = |(key, state): (&Key, &State)| matches!(state.stage, Stage::Running { .. }).then(|| key.clone());
        let mut keys: Vec<_> = self.keys.iter().filter_map(running).collect();
        keys.sort();
        keys
    }
}
