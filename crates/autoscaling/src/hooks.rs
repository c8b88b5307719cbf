//! Lifecycle hooks: how long an instance waits, and what comes of it. Pure.
//! Source: EC2 Auto Scaling user guide, "How lifecycle hooks work" and "Considerations and limitations for lifecycle hooks";
//! API reference, "LifecycleHook".
//!
//! All hooks of a transition are waited for at once. One ABANDON ends the wait, whatever else is waited for.

use crate::rows::{Action, Outcome};
use types::Timestamp;

/// The longest wait for a hook whose heartbeats may be this many seconds apart, in seconds.
pub fn global_timeout(heartbeat: u32) -> u32 {
    heartbeat.saturating_mul(100).min(48 * 3600)
}

/// What becomes of an instance that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It waits, until then at least.
    Waits(Timestamp),
    /// All hooks let it go.
    Proceeds,
    /// A hook gave it up.
    Abandoned {
        /// The action's token.
        token: &'a str,
        /// Whether that was because nothing was heard in time.
        timed_out: bool,
    },
}

/// The result of an action as of `now`.
fn result(action: &Action, now: Timestamp) -> Option<Outcome> {
    action.result.or((now >= action.until).then_some(action.default))
}

/// Whether a result or a heartbeat may still be told.
pub fn is_active(action: &Action, now: Timestamp) -> bool {
    result(action, now).is_none()
}

/// What becomes of an instance that waits for `actions`.
pub fn verdict(actions: &[Action], now: Timestamp) -> Verdict<'_> {
    if let Some(action) = actions.iter().find(|action| result(action, now) == Some(Outcome::Abandon)) {
        return Verdict::Abandoned { token: &action.token, timed_out: action.result.is_none() };
    }
    let waiting = actions.iter().filter(|action| is_active(action, now));
    // The first to time out may abandon what the others wait for.
    waiting.map(|action| action.until).min().map_or(Verdict::Proceeds, Verdict::Waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(token: &str, until: i64, default: Outcome, result: Option<Outcome>) -> Action {
        Action {
            hook: "hook".to_owned(),
            token: token.to_owned(),
            heartbeat: 30,
            default,
            until: Timestamp(until),
            last: Timestamp(until),
            result,
        }
    }

    #[test]
    fn all_are_waited_for_and_one_can_give_up() {
        use Outcome::{Abandon, Continue};
        let (now, later) = (Timestamp(10), Timestamp(30));
        assert_eq!(verdict(&[], now), Verdict::Proceeds);
        let two = [action("a", 20, Continue, None), action("b", 30, Abandon, None)];
        assert_eq!(verdict(&two, now), Verdict::Waits(Timestamp(20)));
        assert_eq!(verdict(&two, Timestamp(20)), Verdict::Waits(later), "the first has let it go in silence");
        assert_eq!(verdict(&two, later), Verdict::Abandoned { token: "b", timed_out: true });
        let told = [action("a", 20, Continue, Some(Continue)), action("b", 30, Abandon, Some(Continue))];
        assert_eq!(verdict(&told, later), Verdict::Proceeds);
        let given_up = [action("a", 20, Continue, None), action("b", 30, Continue, Some(Abandon))];
        assert_eq!(verdict(&given_up, now), Verdict::Abandoned { token: "b", timed_out: false });
        assert!(is_active(&two[0], now) && !is_active(&two[0], Timestamp(20)) && !is_active(&told[0], now));
    }

    #[test]
    fn waits_have_an_end() {
        assert_eq!((global_timeout(30), global_timeout(1728), global_timeout(7200)), (3000, 172_800, 172_800));
    }
}
