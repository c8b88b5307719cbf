//! The one clock. Nothing else reads the time or sleeps.
//!
//! The machine's clock is `controller::SystemClock`, so that pure crates need no runtime. [`SimClock`] stands still until told to advance and wakes its sleepers in order of
//! their deadlines. [`Pace`] divides the waiting times that AWS's behaviour contains.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch with the fraction, as awsJson writes times.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier`; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `2026-11-23T08:47:00.123Z`.
    pub fn iso8601(self) -> String {
        let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

/// A future that ends when the clock reaches its deadline.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The source of time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
    /// Ends once `by` has passed on this clock.
    fn sleep(&self, by: Duration) -> Sleep;
}

/// A clock for simulation. Clones share the time.
#[derive(Debug, Clone, Default)]
pub struct SimClock(Arc<Mutex<SimState>>);

#[derive(Debug, Default)]
struct SimState {
    now: i64,
    serial: u64,
    sleepers: BTreeMap<(i64, u64), Option<Waker>>,
}

impl SimClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(SimState { now: now.0, ..SimState::default() })))
    }

    /// When the next sleeper wakes.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state().sleepers.keys().next().map(|(at, _)| Timestamp(*at))
    }

    /// Moves the time forward by `by` and wakes all whose deadline has come.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut state = self.state();
            state.now = Timestamp(state.now).plus(by).0;
            let after = (state.now + 1, 0);
            let later = state.sleepers.split_off(&after);
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().flatten().for_each(Waker::wake);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SimState> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.state().now)
    }

    fn sleep(&self, by: Duration) -> Sleep {
        let mut state = self.state();
        state.serial += 1;
        let key = (Timestamp(state.now).plus(by).0, state.serial);
        state.sleepers.insert(key, None);
        Box::pin(SimSleep { clock: self.clone(), key })
    }
}

struct SimSleep {
    clock: SimClock,
    key: (i64, u64),
}

impl Future for SimSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if state.now >= self.key.0 {
            return Poll::Ready(());
        }
        state.sleepers.insert(self.key, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        self.clock.state().sleepers.remove(&self.key);
    }
}

/// By how much waiting times shorten. `1.0` keeps AWS's times; `10.0` divides them by ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// AWS's own times.
    pub const REAL: Self = Self(1.0);

    /// A pace of `factor`, which must be finite and at least 1.
    pub fn new(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor >= 1.0).then_some(Self(factor))
    }

    /// The waiting time that stands for `time` at this pace.
    pub fn scale(self, time: Duration) -> Duration {
        time.div_f64(self.0)
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        self.0
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::REAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sim_sleep_ends_exactly_at_its_deadline() {
        let clock = SimClock::default();
        let mut sleep = clock.sleep(Duration::from_millis(10));
        let mut cx = Context::from_waker(Waker::noop());
        clock.advance(Duration::from_millis(9));
        assert!(sleep.as_mut().poll(&mut cx).is_pending(), "woke a millisecond early");
        assert_eq!(clock.next_deadline(), Some(Timestamp(10)));
        clock.advance(Duration::from_millis(1));
        assert!(sleep.as_mut().poll(&mut cx).is_ready(), "did not wake at its deadline");
        drop(sleep);
        assert_eq!(clock.next_deadline(), None, "a finished sleep stays registered");
    }

    #[test]
    fn iso8601_is_utc_with_milliseconds() {
        assert_eq!(Timestamp(1_700_000_000_123).iso8601(), "2023-11-14T22:13:20.123Z");
    }
}
