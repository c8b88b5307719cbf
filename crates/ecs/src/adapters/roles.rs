//! The roles port on the `iam` crate.

use crate::ports::{Credentials, Roles, Session};
use iam::Iam;
use std::sync::Arc;
use std::time::Duration;
use store::{Tx, View};
use types::{Clock, Scope, Timestamp};

/// Who may assume a task's roles.
const PRINCIPAL: &str = "ecs-tasks.amazonaws.com";
/// The session as which ECS changes listener rules.
const SHIFTER: &str = "ECSNetworkingWithELB";
/// How long a task role's credentials last.
const LASTING: Duration = Duration::from_hours(6);

/// Roles as IAM has them.
pub struct RealRoles {
    iam: Iam,
    clock: Arc<dyn Clock>,
}

impl RealRoles {
    /// The port on this IAM.
    pub fn new(iam: Iam, clock: Arc<dyn Clock>) -> Self {
        Self { iam, clock }
    }
}

impl Roles for RealRoles {
    fn assume(&self, view: &View, scope: &Scope, role_arn: &str, session: &str) -> Result<Session, String> {
        iam::query::trusts_service(view, role_arn, PRINCIPAL, self.clock.now())
            .map_err(|refusal| refusal.to_string())?;
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sts::{}:assumed-role/{name}/{session}", scope.account);
        Ok(Session { role_arn: role_arn.to_owned(), name: session.to_owned(), arn })
    }

    fn may_shift(&self, view: &View, _: &Scope, role_arn: &str, rule: &str) -> bool {
        let now = self.clock.now();
        let may = |action| iam::query::role_may(view, role_arn, SHIFTER, action, &[rule], (now, None)).is_ok();
        iam::query::trusts_service(view, role_arn, "ecs.amazonaws.com", now).is_ok()
            && may("elasticloadbalancing:ModifyRule")
    }

    fn credentials(&self, tx: &mut Tx, _: &Scope, session: &Session, now: Timestamp) -> Result<Credentials, String> {
        let made =
            iam::query::assume_for_task(&self.iam, tx, &session.role_arn, PRINCIPAL, &session.name, (now, LASTING));
        let made = made.map_err(|refusal| refusal.to_string())?;
        Ok(Credentials {
            access_key_id: made.access_key_id,
            secret_access_key: made.secret_access_key,
            token: made.session_token,
            expires_at: made.expiration,
        })
    }
}
