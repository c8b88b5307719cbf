//! The stations of a task's life, in AWS's order, and why a task stopped.
//! Source: Amazon ECS developer guide, "Task lifecycle"; API reference, `Task.stopCode`.

use serde::{Deserialize, Serialize};

macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// As AWS writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use spelled;

spelled! {
    /// `lastStatus`. The order of the variants is the order of life.
    TaskStatus {
        /// The network interface is being made.
        Provisioning = "PROVISIONING",
        /// Images, secrets and the log stream are being prepared and containers started.
        Pending = "PENDING",
        /// The containers run; targets are being registered.
        Activating = "ACTIVATING",
        /// In service.
        Running = "RUNNING",
        /// Leaving the target groups, connections drain.
        Deactivating = "DEACTIVATING",
        /// The containers have been told to stop.
        Stopping = "STOPPING",
        /// The containers are gone; the network interface is being deleted.
        Deprovisioning = "DEPROVISIONING",
        /// The end. Kept for an hour.
        Stopped = "STOPPED",
    }
}

impl TaskStatus {
    /// Counted in a service's `pendingCount`.
    pub fn is_pending(self) -> bool {
        self < Self::Running
    }

    /// Whether containers may run at this station.
    pub fn may_have_containers(self) -> bool {
        self >= Self::Pending && self < Self::Deprovisioning
    }

    /// The station where the way to the end begins for a task that is told to stop while at `self`. It never goes back.
    #[must_use]
    pub fn stop_from(self) -> Self {
        match self {
            Self::Provisioning => Self::Deprovisioning,
            Self::Pending => Self::Stopping,
            Self::Activating | Self::Running => Self::Deactivating,
            later => later,
        }
    }
}

spelled! {
    /// `desiredStatus`.
    DesiredStatus {
        /// Should run.
        Running = "RUNNING",
        /// Should end.
        Stopped = "STOPPED",
    }
}

spelled! {
    /// `stopCode`.
    StopCode {
        /// It never came up.
        TaskFailedToStart = "TaskFailedToStart",
        /// An essential container ended.
        EssentialContainerExited = "EssentialContainerExited",
        /// `StopTask`.
        UserInitiated = "UserInitiated",
        /// The service's scheduler: scaling, deployment, failed health checks.
        ServiceSchedulerInitiated = "ServiceSchedulerInitiated",
        /// Fargate Spot took the capacity back.
        SpotInterruption = "SpotInterruption",
        /// The host is going away.
        TerminationNotice = "TerminationNotice",
        /// The host is sick.
        InfrastructureHealth = "InfrastructureHealth",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_goes_one_way() {
        use TaskStatus::*;
        let order = [Provisioning, Pending, Activating, Running, Deactivating, Stopping, Deprovisioning, Stopped];
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]));
        for status in order {
            assert!(status.stop_from() >= status, "{status} goes back to {}", status.stop_from());
        }
    }

    #[test]
    fn the_serialised_form_is_awss() {
        assert_eq!(serde_json::to_string(&TaskStatus::Deprovisioning).unwrap(), "\"DEPROVISIONING\"");
        assert_eq!(StopCode::EssentialContainerExited.to_string(), "EssentialContainerExited");
    }
}
