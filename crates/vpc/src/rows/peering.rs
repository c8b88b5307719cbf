//! A VPC peering connection, as both of its sides see it.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::id::{VpcId, VpcPeeringConnectionId};
use types::{AccountId, Scope, Timestamp};

/// A VPC peering connection. It stands in the scope of its requester; its accepter may be another account or region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcPeeringConnection {
    /// Its id.
    pub id: VpcPeeringConnectionId,
    /// Who asked for it.
    pub requester: PeeringSide,
    /// Who was asked.
    pub accepter: PeeringSide,
    /// What became of the request; [`at`](Self::at) tells what time has made of it.
    pub state: PeeringState,
    /// When it was asked for.
    pub created: Timestamp,
}

/// One side of a peering connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeeringSide {
    /// Whose VPC.
    pub scope: Scope,
    /// The VPC.
    pub vpc: VpcId,
    /// Whether the other VPC's resolver tells private addresses for this VPC's public names.
    pub allow_dns: bool,
    /// The tags that this side gave it; where both are one account in one region, the requester's hold.
    pub tags: Tags,
}

/// What became of a request to peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeeringState {
    /// The VPCs cannot be connected.
    Failed,
    /// It waits for its accepter.
    PendingAcceptance,
    /// Packets pass where routes lead to it.
    Active,
    /// The accepter did not want it, then.
    Rejected(Timestamp),
    /// The accepter did not answer in time.
    Expired,
    /// One side ended it, then.
    Deleted(AccountId, Timestamp),
}

impl PeeringState {
    /// AWS's code of it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::PendingAcceptance => "pending-acceptance",
            Self::Active => "active",
            Self::Rejected(_) => "rejected",
            Self::Expired => "expired",
            Self::Deleted(..) => "deleted",
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl VpcPeeringConnection {
    /// For how long a request can be accepted. Source: EC2 API reference, CreateVpcPeeringConnection.
    pub const EXPIRES: Duration = Duration::from_secs(7 * 24 * 3600);

    /// It as it is at `now`, for a request that nobody answers expires by itself.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        let mut row = self.clone();
        if row.state == PeeringState::PendingAcceptance && now.since(row.created) >= Self::EXPIRES {
            row.state = PeeringState::Expired;
        }
        row
    }

    /// Both sides, the requester first.
    pub fn sides(&self) -> [&PeeringSide; 2] {
        [&self.requester, &self.accepter]
    }

    /// The side that `scope` sees it from.
    pub fn side(&self, scope: &Scope) -> Option<&PeeringSide> {
        self.sides().into_iter().find(|side| side.scope == *scope)
    }

    /// The other VPC than this one, if this one is a side of it.
    pub fn beyond(&self, vpc: &VpcId) -> Option<&PeeringSide> {
        match (self.requester.vpc == *vpc, self.accepter.vpc == *vpc) {
            (true, _) => Some(&self.accepter),
            (false, true) => Some(&self.requester),
            (false, false) => None,
        }
    }

    /// Whether `scope` is told of it at `now`. Source: VPC peering guide, "VPC peering connection lifecycle".
    pub fn visible(&self, scope: &Scope, now: Timestamp) -> bool {
        let requests = self.requester.scope == *scope;
        if self.side(scope).is_none() {
            return false;
        }
        match &self.state {
            PeeringState::Failed => requests && now.since(self.created) < HOUR * 2,
            PeeringState::PendingAcceptance | PeeringState::Expired => {
                now.since(self.created) < Self::EXPIRES + DAY * 2
            }
            PeeringState::Active => true,
            PeeringState::Rejected(at) => now.since(*at) < if requests { DAY * 2 } else { HOUR * 2 },
            PeeringState::Deleted(by, at) => now.since(*at) < if *by == scope.account { HOUR * 2 } else { DAY * 2 },
        }
    }

    /// Whether nobody is told of it any more.
    pub fn forgotten(&self, now: Timestamp) -> bool {
        self.sides().iter().all(|side| !self.visible(&side.scope, now))
    }
}

row!(VpcPeeringConnection, "vpc.peering", id);

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(state: PeeringState) -> VpcPeeringConnection {
        let side = |account: &str, vpc: &str| PeeringSide {
            scope: Scope::new(account.parse().unwrap(), types::Region::default()),
            vpc: VpcId::parse(vpc).unwrap(),
            allow_dns: false,
            tags: Tags::new(),
        };
        VpcPeeringConnection {
            id: VpcPeeringConnectionId::generate(),
            requester: side("111111111111", "vpc-11111111"),
            accepter: side("222222222222", "vpc-22222222"),
            state,
            created: Timestamp(0),
        }
    }

    fn hours(count: i64) -> Timestamp {
        Timestamp(count * 3_600_000)
    }

    #[test]
    fn a_request_expires_after_a_week() {
        let row = connection(PeeringState::PendingAcceptance);
        assert_eq!(row.at(hours(7 * 24 - 1)).state, PeeringState::PendingAcceptance);
        assert_eq!(row.at(hours(7 * 24)).state, PeeringState::Expired);
        assert!(!row.forgotten(hours(8 * 24)) && row.forgotten(hours(9 * 24)));
    }

    #[test]
    fn who_ended_it_forgets_first() {
        let row = connection(PeeringState::Deleted("222222222222".parse().unwrap(), Timestamp(0)));
        let [requester, accepter] = row.sides();
        assert!(row.visible(&requester.scope, hours(3)) && !row.visible(&accepter.scope, hours(3)));
        assert!(row.forgotten(hours(49)));
        let failed = connection(PeeringState::Failed);
        assert!(failed.visible(&failed.requester.scope, hours(1)) && !failed.visible(&failed.accepter.scope, hours(1)));
    }
}
