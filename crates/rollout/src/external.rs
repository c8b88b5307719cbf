//! EXTERNAL: somebody outside makes task sets and says how much of the desired count each has. Each is kept at its part.

use crate::decide::{Decision, Plan, tell_of_protection, tell_of_steadiness};
use crate::fleet::{Fleet, Judged, Moved, keep};
use crate::state::{Deployment, DeploymentStatus, ServiceState};
use types::Timestamp;

/// Keeps all task sets. One that is INACTIVE was deleted, and goes when its last task has gone.
pub(crate) fn keep_all(
    service: &ServiceState,
    judged: &[Judged],
    booked: &[Deployment],
    plan: &mut Plan,
    now: Timestamp,
) {
    let (mut moved, mut settled) = (Moved::default(), true);
    for set in booked {
        let fleet = Fleet::of_one(judged, &set.id);
        let deleted = set.status == DeploymentStatus::Inactive;
        let wanted = if deleted { 0 } else { set.share_of(service.desired) };
        let now_moved = keep(service, &fleet, set, wanted, plan, now);
        if deleted && fleet.is_gone() {
            plan.decisions.push(Decision::RemoveDeployment { deployment: set.id.clone() });
        }
        settled &= !now_moved.any()
            && fleet.draining == 0
            && fleet.healthy.len() == wanted as usize
            && fleet.live.len() == wanted as usize;
        moved = moved.and(now_moved);
    }
    tell_of_steadiness(service, settled && !booked.is_empty(), plan, now);
    tell_of_protection(service, moved, plan, now);
}
