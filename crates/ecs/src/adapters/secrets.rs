//! The secrets port on the `secrets` crate, asked as the execution role.

use super::Reach;
use crate::ports::{Secrets, Session};
use crate::texts;
use ::secrets::query::{self, Reference, Unresolved};
use async_trait::async_trait;
use gateway::Origin;
use types::Scope;

/// Secrets Manager and Parameter Store, as the agent reads them.
pub struct RealSecrets {
    secrets: ::secrets::Secrets,
    reach: Reach,
}

impl RealSecrets {
    /// The port on these services.
    pub fn new(secrets: ::secrets::Secrets, reach: Reach) -> Self {
        Self { secrets, reach }
    }
}

#[async_trait]
impl Secrets for RealSecrets {
    async fn value(
        &self,
        scope: &Scope,
        value_from: &str,
        session: Option<&Session>,
        netns: &str,
    ) -> Result<String, String> {
        let Some(reference) = Reference::parse(scope, value_from) else {
            return Err(texts::secret_failed(
                "unexpected ARN format with parameters when trying to retrieve ASM secret",
            ));
        };
        let Some(session) = session else { return Err(texts::secret_failed("the task has no execution role")) };
        let is_secret = matches!(reference, Reference::Secret { .. });
        let service = if is_secret { "secretsmanager" } else { "ssm" };
        let region = scope.region.as_str();
        let origin = self.reach.connect(scope, netns, &format!("{service}.{region}.amazonaws.com")).await;
        let origin = origin.map_err(|dial| texts::service_out_of_reach(service, region, value_from, &dial))?;
        let mut value = self.ask(&reference, session, &origin);
        if value.is_err() {
            // As often as the reason says.
            self.reach.pause().await;
            value = self.ask(&reference, session, &origin);
        }
        value
    }
}

impl RealSecrets {
    /// What the service answers the session that comes from there.
    fn ask(&self, reference: &Reference, session: &Session, origin: &Origin) -> Result<String, String> {
        let is_secret = matches!(reference, Reference::Secret { .. });
        let view = self.reach.view();
        let now = self.reach.clock().now();
        let resource = match reference {
            Reference::Secret { scope, arn, .. } => {
                query::secret_arn(&view, scope, arn, now).unwrap_or_else(|| arn.clone())
            }
            Reference::Parameter { arn, .. } => arn.clone(),
        };
        let asked = (reference.action(), &[resource.as_str()][..]);
        let allowed =
            iam::query::role_may(&view, &session.role_arn, &session.name, asked.0, asked.1, (now, Some(origin)));
        let denied = allowed.err().map(|denied| format!("AccessDeniedException: {denied}"));
        let found = match denied {
            Some(text) => Err(text),
            None => query::resolve(&self.secrets, &view, reference, now).map_err(|error| match error {
                Unresolved::Service(error) => format!("{}: {}", error.code, error.message),
                other => other.to_string(),
            }),
        };
        found.map_err(
            |why| {
                if is_secret { texts::secret_refused(&resource, &why) } else { texts::parameter_refused(&why) }
            },
        )
    }
}
