//! Instance metadata: what 169.254.169.254 answers inside an instance.
//!
//! [`tree`] says what there is to tell of an instance, from rows alone; [`tokens`] makes and checks the session tokens of
//! IMDSv2; here an [`Answer`] is found to a request, with credentials of the instance's role where it asks for them;
//! [`service`] is the HTTP of it. Who asks is told by the address in the VPC: an instance is told of itself alone.
//! Source: EC2 user guide, "Instance metadata and user data".

mod service;
mod tokens;
mod tree;

pub use service::MetadataService;

use self::tokens::Tokens;
use self::tree::Node;
use crate::rows::Instance;
use crate::{instances, query};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use iam::Iam;
use iam::query::Refusal;
use serde_json::json;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Store, View};
use types::id::VpcId;
use types::{Clock, Scope, Timestamp};

/// How long a session of the instance's role lasts. Source: IAM user guide, "Temporary security credentials".
const SESSION: Duration = Duration::from_hours(6);
/// How long before its end a session is replaced.
const RENEW_BEFORE: Duration = Duration::from_mins(15);
/// The longest that a token may hold, in seconds.
const LONGEST_TOKEN: u64 = 21_600;
/// The version that is asked for by nearly everybody.
const LATEST: &str = "latest";
/// Those that are named by their dates; all say what the latest says. Source: EC2 user guide, "Get the available versions of the
/// instance metadata".
const VERSIONS: [&str; 25] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
];

/// A request, as far as metadata goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Whether it is a PUT; else it reads.
    pub put: bool,
    /// The path.
    pub path: String,
    /// `X-aws-ec2-metadata-token`.
    pub token: Option<String>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`.
    pub ttl: Option<String>,
    /// Whether there is an `X-Forwarded-For`.
    pub forwarded: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The body's type.
    pub content_type: &'static str,
    /// Of a token's: how many seconds it holds, and how many hops the answer may go.
    pub token: Option<(u64, u8)>,
}

impl Answer {
    fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), content_type: "text/plain", token: None }
    }

    /// The page that goes with an error.
    fn error(status: u16, reason: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{status} - {reason}</title>\n </head>\n <body>\n  <h1>{status} - {reason}</h1>\n </body>\n</html>\n"
        );
        Self { status, body: body.into_bytes(), content_type: "text/html", token: None }
    }

    fn not_found() -> Self {
        Self::error(404, "Not Found")
    }
}

/// The metadata of all instances.
pub struct Metadata {
    store: Store,
    clock: Arc<dyn Clock>,
    iam: Iam,
    tokens: Tokens,
    /// Credentials that were handed out, by instance and role, so that each call does not make others.
    sessions: Mutex<HashMap<(String, String), (Timestamp, String)>>,
}

impl Metadata {
    /// The metadata of `store`'s instances, whose roles `iam` has.
    pub fn new(store: Store, clock: Arc<dyn Clock>, iam: Iam) -> Self {
        Self { store, clock, iam, tokens: Tokens::new(), sessions: Mutex::default() }
    }

    /// Whether any instance of the VPC could ask.
    fn wanted(&self, vpc: &VpcId) -> bool {
        self.store.view().scan_all::<Instance>().any(|(_, row)| row.vpc == *vpc && !row.state.is_over())
    }

    /// The instance that has the address in the VPC: on one of its own interfaces, or on one that it lends a task.
    fn asker(view: &View, scope: &Scope, vpc: &VpcId, peer: Ipv4Addr) -> Option<Arc<Instance>> {
        let interface = query::interface_by_ip(view, scope, vpc, peer)?;
        query::instance_of(view, scope, &interface)
    }

    /// The answer to the one who has the address `peer` in the VPC. `None` if that is no instance, to which nothing answers.
    pub async fn answer(&self, scope: &Scope, vpc: &VpcId, peer: Ipv4Addr, request: &Request) -> Option<Answer> {
        let view = self.store.view();
        let row = Self::asker(&view, scope, vpc, peer)?;
        Some(self.of(&view, scope, &row, request).await)
    }

    async fn of(&self, view: &View, scope: &Scope, row: &Instance, request: &Request) -> Answer {
        if !row.metadata.enabled {
            return Answer::error(403, "Forbidden");
        }
        let now = self.clock.now();
        let path = request.path.split('?').next().unwrap_or_default();
        if request.put {
            return self.put(row, path, request, now);
        }
        let proven = match &request.token {
            Some(token) => self.tokens.holds(token, row.id.as_str(), now),
            None => !row.metadata.tokens_required,
        };
        if !proven {
            return Answer::error(401, "Unauthorized");
        }
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if let Some(version) = parts.first_mut().filter(|part| VERSIONS.contains(*part)) {
            *version = LATEST;
        }
        match parts[..] {
            [] => Answer::text([&VERSIONS[..], &[LATEST]].concat().join("\n")),
            ["latest", "user-data"] => match &row.user_data {
                Some(data) => {
                    let body = STANDARD.decode(data.trim()).unwrap_or_default();
                    Answer { content_type: "application/octet-stream", ..Answer::text(body) }
                }
                None => Answer::not_found(),
            },
            ["latest", "meta-data", "iam", "security-credentials", role] => self.credentials(scope, row, role).await,
            _ => {
                let interfaces = instances::interfaces(view, scope, row.id.as_str());
                let root = tree::of(view, scope, row, &interfaces, now);
                tell(&root, &parts, path.ends_with('/'))
            }
        }
    }

    fn put(&self, row: &Instance, path: &str, request: &Request, now: Timestamp) -> Answer {
        if path.trim_end_matches('/') != "/latest/api/token" {
            return Answer::error(405, "Not Allowed");
        }
        // A token must not be had through a proxy that somebody was talked into.
        if request.forwarded {
            return Answer::error(403, "Forbidden");
        }
        let seconds = request.ttl.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
        let Some(seconds) = seconds.filter(|seconds| (1..=LONGEST_TOKEN).contains(seconds)) else {
            return Answer::error(400, "Bad Request");
        };
        let token = self.tokens.make(row.id.as_str(), now.plus(Duration::from_secs(seconds)));
        Answer { token: Some((seconds, row.metadata.hop_limit)), ..Answer::text(token) }
    }

    async fn credentials(&self, scope: &Scope, row: &Instance, asked: &str) -> Answer {
        let now = self.clock.now();
        let role = {
            let view = self.store.view();
            let profile = row.profile.as_ref();
            let profile = profile.and_then(|(arn, _)| iam::query::instance_profile(&view, &scope.account, arn));
            profile.and_then(|profile| iam::query::role_of_profile(&view, &scope.account, &profile))
        };
        let Some(role) = role.filter(|role| role.rsplit('/').next() == Some(asked)) else { return Answer::not_found() };
        let key = (row.id.to_string(), role.clone());
        {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|_, (expires, _)| *expires > now);
            if let Some((expires, body)) = sessions.get(&key)
                && expires.since(now) > RENEW_BEFORE
            {
                return Answer::text(body.clone());
            }
        }
        let made = {
            let mut tx = self.store.begin();
            let made = iam::query::assume_for_task(
                &self.iam,
                &mut tx,
                &role,
                "ec2.amazonaws.com",
                row.id.as_str(),
                (now, SESSION),
            );
            made.map(|made| (made, tx.commit()))
        };
        match made {
            Ok((made, ticket)) => {
                if ticket.await.is_err() {
                    return Answer::error(500, "Internal Server Error");
                }
                let body = pretty(&json!({
                    "Code": "Success",
                    "LastUpdated": whole_seconds(now),
                    "Type": "AWS-HMAC",
                    "AccessKeyId": made.access_key_id,
                    "SecretAccessKey": made.secret_access_key,
                    "Token": made.session_token,
                    "Expiration": whole_seconds(made.expiration),
                }));
                let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                sessions.insert(key, (made.expiration, body.clone()));
                Answer::text(body)
            }
            Err(Refusal::NoSuchRole(_)) => Answer::not_found(),
            // Source: IAM user guide, "Troubleshoot IAM and Amazon EC2".
            Err(Refusal::NotTrusted(_)) => Answer::text(pretty(&json!({
                "Code": "AssumeRoleUnauthorizedAccess",
                "Message": format!("EC2 cannot assume the role {asked}.  Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc."),
                "LastUpdated": whole_seconds(now),
            }))),
        }
    }
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// `2026-01-15T20:41:09Z`.
fn whole_seconds(at: Timestamp) -> String {
    format!("{}Z", at.iso8601().get(..19).unwrap_or_default())
}

/// What is at a path: a text, or a list of what is beneath.
fn tell(root: &Node, parts: &[&str], slash: bool) -> Answer {
    let mut node = root;
    for part in parts {
        let Node::Branch(below) = node else { return Answer::not_found() };
        let Some(next) = below.get(*part) else { return Answer::not_found() };
        node = next;
    }
    match node {
        Node::Leaf(_) if slash => Answer::not_found(),
        Node::Leaf(text) => Answer::text(text.clone()),
        Node::Branch(below) => {
            let names = below.iter().map(|(name, node)| match node {
                // What is asked for apart is listed as what it is: a text.
                Node::Branch(_) => format!("{name}/"),
                Node::Leaf(_) => name.clone(),
            });
            Answer::text(names.collect::<Vec<_>>().join("\n"))
        }
    }
}

#[cfg(test)]
mod tests;
