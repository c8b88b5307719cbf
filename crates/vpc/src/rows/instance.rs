//! An instance: its share of this machine, and what its owner wants of it. Its network interfaces name it in their
//! attachments; what of it is in the kernel follows from them.

use super::{Tags, row};
use serde::{Deserialize, Serialize};
use store::Index;
use types::Timestamp;
use types::id::{ImageId, InstanceId, ReservationId, SubnetId, VpcId};

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id, which is also the name of its network namespace.
    pub id: InstanceId,
    /// What it shares with those launched by the same request.
    pub reservation: ReservationId,
    /// The service that launched it, e.g. `autoscaling`; `None` for a user.
    pub requester: Option<String>,
    /// The machine image that it was launched from.
    pub image: ImageId,
    /// Its type, e.g. `t3.medium`.
    pub kind: String,
    /// Its primary interface's VPC.
    pub vpc: VpcId,
    /// Its primary interface's subnet.
    pub subnet: SubnetId,
    /// Its zone.
    pub zone: String,
    /// Where it stands.
    pub state: InstanceState,
    /// Since when it stands there.
    pub since: Timestamp,
    /// Why it stands there, if somebody made it so: AWS's code and message.
    pub reason: Option<(String, String)>,
    /// When it was launched, or started last.
    pub launched: Timestamp,
    /// When it booted last: what ran on it before that has ended with the boot.
    pub booted: Timestamp,
    /// Its place among those of its reservation.
    pub launch_index: i32,
    /// The client token that it was launched with.
    pub client_token: Option<String>,
    /// Its instance profile: ARN and id.
    pub profile: Option<(String, String)>,
    /// Its user data, in base64.
    pub user_data: Option<String>,
    /// What its metadata service does.
    pub metadata: MetadataOptions,
    /// Whether terminating it is refused.
    pub disable_api_termination: bool,
    /// Whether stopping it is refused.
    pub disable_api_stop: bool,
    /// `stop` or `terminate`.
    pub shutdown_behavior: String,
    /// Whether detailed monitoring was asked for.
    pub monitoring: bool,
    /// How a burstable one spends CPU credits, if that was said: `standard` or `unlimited`.
    pub cpu_credits: Option<String>,
    /// Whether it was said to be optimised for EBS.
    pub ebs_optimized: bool,
    /// Whether it is given a public address when it starts.
    pub public_ip: bool,
    /// Its tags.
    pub tags: Tags,
}

/// An instance's way through life. Source: EC2 user guide, "Instance lifecycle".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    /// Being launched or started.
    Pending,
    /// In the kernel.
    Running,
    /// On its way to the end.
    ShuttingDown,
    /// Gone, and shown for an hour.
    Terminated,
    /// On its way to stopped.
    Stopping,
    /// Not in the kernel, with its interfaces kept.
    Stopped,
}

impl InstanceState {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// AWS's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// Whether nothing leads back from there.
    pub fn is_over(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

/// What an instance's metadata service does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// Whether it answers at all.
    pub enabled: bool,
    /// Whether requests need a session token (`HttpTokens=required`, IMDSv2 alone).
    pub tokens_required: bool,
    /// How many hops the answer to a token's PUT may go.
    pub hop_limit: u8,
    /// Whether it tells the instance's tags.
    pub tags: bool,
}

impl Instance {
    /// Instances by VPC.
    pub const BY_VPC: Index<Self> = Index::new("vpc", |instance| vec![instance.vpc.to_string()]);
    /// Instances by subnet.
    pub const BY_SUBNET: Index<Self> = Index::new("subnet", |instance| vec![instance.subnet.to_string()]);
}

row!(Instance, "vpc.instance", id, BY_VPC, BY_SUBNET);
