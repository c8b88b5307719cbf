//! Which target of a group takes a request.

use crate::config::Algorithm;

/// A target as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its health lets it take requests.
    pub usable: bool,
    /// It is draining, or was already tried for this request: it takes none whatever its health.
    pub excluded: bool,
    /// Requests in flight on it.
    pub in_flight: u32,
    /// Its share in thousandths: less than 1000 while it starts slowly.
    pub share: u16,
}

/// The index of the target that takes the request, or `None` when no target may.
///
/// If no candidate is usable, all take part (fail open). `turn` is the group's counter, which the caller raises with each choice; `random`
/// is any number.
pub fn pick<F>(algorithm: Algorithm, count: usize, candidate: F, turn: usize, random: u64) -> Option<usize>
where
    F: Fn(usize) -> Candidate,
{
    let open = |wanted: bool| {
        let eligible = |at: &usize| {
            let one = candidate(*at);
            !one.excluded && (one.usable || !wanted)
        };
        choose(algorithm, count, &candidate, &eligible, turn, random)
    };
    open(true).or_else(|| open(false))
}

fn choose<F, E>(
    algorithm: Algorithm,
    count: usize,
    candidate: &F,
    eligible: &E,
    turn: usize,
    random: u64,
) -> Option<usize>
where
    F: Fn(usize) -> Candidate,
    E: Fn(&usize) -> bool,
{
    let start = match algorithm {
        Algorithm::WeightedRandom => usize::try_from(random >> 16).unwrap_or(turn),
        Algorithm::RoundRobin | Algorithm::LeastOutstandingRequests => turn,
    };
    let mut around = (0..count).map(|step| (start % count).wrapping_add(step) % count).filter(eligible);
    if algorithm == Algorithm::LeastOutstandingRequests {
        // the first of the least, so that equals take turns; a slow starter counts for more than it has
        return around.min_by_key(|at| {
            let one = candidate(*at);
            (u64::from(one.in_flight) + 1) * 1000 / u64::from(one.share.max(1))
        });
    }
    let first = around.next()?;
    // a slow starter lets the turn go by in proportion; the next in line takes it
    let share = candidate(first).share;
    if u64::from(share) <= random % 1000 {
        return Some(around.find(|at| candidate(*at).share >= 1000).unwrap_or(first));
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WELL: Candidate = Candidate { usable: true, excluded: false, in_flight: 0, share: 1000 };
    const ILL: Candidate = Candidate { usable: false, ..WELL };
    const GONE: Candidate = Candidate { excluded: true, ..WELL };

    fn turns(targets: &[Candidate], algorithm: Algorithm) -> Vec<Option<usize>> {
        (0..4).map(|turn| pick(algorithm, targets.len(), |at| targets[at], turn, 0)).collect()
    }

    #[test]
    fn round_robin_takes_turns_among_the_healthy() {
        let rr = Algorithm::RoundRobin;
        assert_eq!(turns(&[WELL, WELL], rr), [Some(0), Some(1), Some(0), Some(1)]);
        assert_eq!(turns(&[WELL, ILL, WELL], rr), [Some(0), Some(2), Some(2), Some(0)]);
    }

    #[test]
    fn all_take_part_when_none_is_healthy_but_the_draining_never() {
        let rr = Algorithm::RoundRobin;
        assert_eq!(turns(&[ILL, ILL, GONE], rr), [Some(0), Some(1), Some(0), Some(0)]);
        assert_eq!(turns(&[GONE], rr), [None; 4]);
        assert_eq!(turns(&[], rr), [None; 4]);
    }

    #[test]
    fn least_outstanding_takes_the_idlest_and_turns_among_equals() {
        let least = Algorithm::LeastOutstandingRequests;
        let busy = Candidate { in_flight: 3, ..WELL };
        assert_eq!(turns(&[busy, WELL, WELL], least), [Some(1), Some(1), Some(2), Some(1)]);
    }

    #[test]
    fn a_slow_starter_takes_its_share() {
        let slow = Candidate { share: 250, ..WELL };
        let targets = [slow, WELL];
        let taken =
            (0..1000).filter(|random| pick(Algorithm::RoundRobin, 2, |at| targets[at], 0, *random) == Some(0)).count();
        assert_eq!(taken, 250);
    }

    proptest! {
        #[test]
        fn nothing_excluded_is_ever_taken(
            targets in proptest::collection::vec((any::<bool>(), any::<bool>(), 0u32..5, 0u16..=1000), 0..6),
            turn: usize, random: u64, algorithm in 0..3,
        ) {
            let algorithm = [Algorithm::RoundRobin, Algorithm::LeastOutstandingRequests, Algorithm::WeightedRandom][algorithm as usize];
            let targets: Vec<_> = targets
                .into_iter()
                .map(|(usable, excluded, in_flight, share)| Candidate { usable, excluded, in_flight, share })
                .collect();
            let taken = pick(algorithm, targets.len(), |at| targets[at], turn, random);
            prop_assert_eq!(taken.is_none(), targets.iter().all(|t| t.excluded));
            if let Some(at) = taken {
                prop_assert!(!targets[at].excluded);
                let some_usable = targets.iter().any(|t| t.usable && !t.excluded);
                prop_assert_eq!(targets[at].usable, some_usable || targets[at].usable);
            }
        }
    }
}
