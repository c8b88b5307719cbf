//! Amazon Resource Names: `arn:aws:<service>:<region>:<account>:<resource>`.
//! Source: AWS General Reference, "Amazon Resource Names (ARNs)".

use crate::scope::Scope;
use std::fmt;
use std::str::FromStr;

/// A parsed ARN. Empty region or account stand as empty strings, as in `arn:aws:iam::123456789012:role/r`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// The service's namespace, e.g. `ecs`.
    pub service: String,
    /// The region, or empty.
    pub region: String,
    /// The account, or empty.
    pub account: String,
    /// All that follows the fifth colon.
    pub resource: String,
}

impl Arn {
    /// The ARN of `resource` of `service` in `scope`.
    pub fn new(service: &str, scope: &Scope, resource: impl Into<String>) -> Self {
        Self {
            partition: "aws".to_owned(),
            service: service.to_owned(),
            region: scope.region.as_str().to_owned(),
            account: scope.account.as_str().to_owned(),
            resource: resource.into(),
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl FromStr for Arn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, service, region, account, resource]
                if !partition.is_empty() && !service.is_empty() && !resource.is_empty() =>
            {
                Ok(Self {
                    partition: partition.to_owned(),
                    service: service.to_owned(),
                    region: region.to_owned(),
                    account: account.to_owned(),
                    resource: resource.to_owned(),
                })
            }
            _ => Err(format!("not an ARN: {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_survives_a_round_trip() {
        for text in ["arn:aws:ecs:us-east-1:123456789012:task/c/0af", "arn:aws:iam::123456789012:role/a:b/c"] {
            assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
        }
        assert!("arn:aws:ecs".parse::<Arn>().is_err());
    }
}
