//! Policies of VPC endpoints: what may pass through, whatever else allows it. They bind the root user, too.
//! Source: PrivateLink guide, "Control access to VPC endpoints using endpoint policies".

use crate::denial::{Denial, Layer, Reason};
use crate::document::{Effect, StatementRef};
use crate::evaluate::{Decision, Named, Request};
use crate::principal::Match;

/// Whether the policy lets the request pass. The caller's own policies have their say apart from this.
pub fn pass_endpoint(request: &Request<'_>, policy: Named<'_>) -> Decision {
    let mut context = request.context.clone();
    request.caller.fill(&mut context);
    let resources = if request.resources.is_empty() { &["*"][..] } else { request.resources };
    let mut first_allow = None;
    for resource in resources {
        let find = |effect: Effect| {
            let statements = policy.document.statements.iter().enumerate();
            let mut of_caller = statements.filter(|(_, statement)| {
                statement.effect == effect
                    && statement.names(request.caller) >= Match::Account
                    && statement.applies(&context, request.action, resource)
            });
            of_caller.next().map(|(index, statement)| StatementRef {
                policy: policy.name.to_owned(),
                index,
                sid: statement.sid.clone(),
            })
        };
        let reason = match (find(Effect::Deny), find(Effect::Allow)) {
            (Some(statement), _) => Reason::Explicit(Layer::Endpoint, statement),
            (None, None) => Reason::Implicit(Layer::Endpoint),
            (None, allow) => {
                first_allow = first_allow.or(allow);
                continue;
            }
        };
        return Decision::Deny(Box::new(Denial {
            caller: request.caller.arn(),
            action: request.action.to_owned(),
            resource: (*resource).to_owned(),
            reason,
        }));
    }
    Decision::Allow(first_allow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::parse::{Kind, parse};
    use crate::principal::Caller;

    fn pass(statements: &str, caller: &Caller, resources: &[&str], context: Context) -> Result<(), String> {
        let document = parse(Kind::Resource, &format!(r#"{{"Statement":[{statements}]}}"#)).expect("the test's policy");
        let request = Request { caller, action: "logs:CreateLogStream", resources, context };
        pass_endpoint(&request, Named { name: "vpce-1", document: &document })
            .into_result()
            .map_err(|denial| denial.to_string())
    }

    const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:a";

    #[test]
    fn what_no_statement_allows_does_not_pass_even_for_root() {
        let root = Caller::Root { account: "123456789012".to_owned() };
        let ecr = r#"{"Effect":"Allow","Principal":"*","Action":"ecr:*","Resource":"*"}"#;
        let all = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
        let no = r#"{"Effect":"Deny","Principal":"*","Action":"logs:*","Resource":"*"}"#;
        assert_eq!(pass(all, &root, &[GROUP], Context::new()), Ok(()));
        assert_eq!(
            pass(ecr, &root, &[GROUP], Context::new()),
            Err(format!(
                "User: arn:aws:iam::123456789012:root is not authorized to perform: logs:CreateLogStream on resource: \
                 {GROUP} because no VPC endpoint policy allows the logs:CreateLogStream action"
            ))
        );
        let text = pass(&format!("{all},{no}"), &root, &[GROUP], Context::new()).unwrap_err();
        assert!(text.ends_with(" with an explicit deny in a VPC endpoint policy"), "{text}");
    }

    #[test]
    fn every_resource_must_pass_and_principals_and_conditions_count() {
        let ours = format!(r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"{GROUP}"}}"#);
        let root = Caller::Root { account: "123456789012".to_owned() };
        assert!(pass(&ours, &root, &[GROUP], Context::new()).is_ok());
        assert!(
            pass(&ours, &root, &[GROUP, "arn:aws:logs:us-east-1:123456789012:log-group:b"], Context::new()).is_err()
        );
        let account = r#"{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"*","Resource":"*",
            "Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}}"#;
        let at = |vpc: &str| Context::new().with("aws:SourceVpc", vpc);
        let other = Caller::Root { account: "210987654321".to_owned() };
        assert!(pass(account, &root, &[GROUP], at("vpc-1")).is_ok());
        assert!(pass(account, &root, &[GROUP], at("vpc-2")).is_err());
        assert!(pass(account, &other, &[GROUP], at("vpc-1")).is_err());
    }
}
