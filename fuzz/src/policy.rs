//! Policy documents, parsed for every purpose and evaluated for every kind of caller.
//!
//! The first line of the data is an action, the second a resource; lines with condition keys (`aws:SourceIp=10.0.0.1`)
//! follow, then an empty line and the document.

use policy::{Caller, Context, Document, Kind, Named, Policies, Request, evaluate, parse};
use std::sync::LazyLock;

const ACCOUNT: &str = "123456789012";

static CALLERS: LazyLock<[Caller; 5]> = LazyLock::new(|| {
    [
        Caller::Root { account: ACCOUNT.to_owned() },
        Caller::User {
            account: ACCOUNT.to_owned(),
            arn: format!("arn:aws:iam::{ACCOUNT}:user/ops/jo"),
            id: "AIDAEXAMPLE".to_owned(),
            name: "jo".to_owned(),
        },
        Caller::Session {
            account: ACCOUNT.to_owned(),
            role_arn: format!("arn:aws:iam::{ACCOUNT}:role/app/web"),
            role_id: "AROAEXAMPLE".to_owned(),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/web/s1"),
            session: "s1".to_owned(),
        },
        Caller::Service { name: "ecs-tasks.amazonaws.com".to_owned() },
        Caller::Anonymous,
    ]
});

static ALLOW_ALL: LazyLock<Document> = LazyLock::new(|| of_identity("Allow"));
static DENY_ALL: LazyLock<Document> = LazyLock::new(|| of_identity("Deny"));

fn of_identity(effect: &str) -> Document {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"*","Resource":"*"}}}}"#);
    parse(Kind::Identity, &text).expect("a document")
}

/// Any text is a document or refused; what a document decides is bounded by the rules that hold for all of them.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (action, resource) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let rest = lines.next().unwrap_or_default();
    let (keys, text) = rest.split_once("\n\n").unwrap_or(("", rest));
    let mut context = Context::new();
    for (key, value) in keys.lines().filter_map(|line| line.split_once('=')) {
        context.set_all(key, value.split(',').map(str::to_owned).collect());
    }
    for kind in [Kind::Identity, Kind::Trust, Kind::Resource] {
        let Ok(document) = parse(kind, text) else { continue };
        assert!(!document.statements().is_empty(), "a document without statements");
        for statement in document.statements() {
            statement.named_principals().for_each(drop);
        }
        for caller in CALLERS.iter() {
            let request = Request { caller, action, resources: &[resource], context: context.clone() };
            decided(&request, &document, kind);
        }
    }
    policy::action_matches(resource, action);
}

fn decided(request: &Request<'_>, document: &Document, kind: Kind) {
    let ours = Named { name: "ours", document };
    let identity = [ours];
    let base = match kind {
        Kind::Identity => Policies { identity: &identity, ..Policies::default() },
        Kind::Resource => Policies { resource: Some(ours), ..Policies::default() },
        Kind::Trust => Policies { resource: Some(ours), resource_is_trust: true, ..Policies::default() },
    };
    let allows = |policies: &Policies<'_>| evaluate(request, policies).is_allowed();
    let allowed = allows(&base);

    let deny = Named { name: "deny", document: &DENY_ALL };
    let denied = [deny, ours];
    for (place, policies) in [
        ("the identity's", Policies { identity: &denied[..if kind == Kind::Identity { 2 } else { 1 }], ..base }),
        ("the boundary's", Policies { boundary: Some(deny), ..base }),
        ("the session's", Policies { session: Some(&denied[..1]), ..base }),
    ] {
        assert!(!allows(&policies), "{place} explicit denial does not hold: {request:?} {document:?}");
    }
    let allow = [Named { name: "allow", document: &ALLOW_ALL }, ours];
    let more = Policies { identity: &allow[..if kind == Kind::Identity { 2 } else { 1 }], ..base };
    assert!(!allowed || allows(&more), "a further allowance takes one away: {request:?} {document:?}");
    let unbound = Policies { boundary: Some(allow[0]), session: Some(&allow[..1]), ..base };
    assert_eq!(allows(&unbound), allowed, "bounds that allow all change something: {request:?} {document:?}");
    let limited = Policies { boundary: Some(ours), ..more };
    assert!(!allows(&limited) || allows(&more), "a boundary allows: {request:?} {document:?}");
}
