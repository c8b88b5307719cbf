//! Decisions, by example and against an obvious model.

use super::*;
use crate::parse::{Kind, parse};
use proptest::prelude::*;

const ACCOUNT: &str = "123456789012";

fn user() -> Caller {
    Caller::User {
        account: ACCOUNT.to_owned(),
        arn: format!("arn:aws:iam::{ACCOUNT}:user/jo"),
        id: "AIDAEXAMPLE".to_owned(),
        name: "jo".to_owned(),
    }
}

fn session() -> Caller {
    Caller::Session {
        account: ACCOUNT.to_owned(),
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/web"),
        role_id: "AROAEXAMPLE".to_owned(),
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/web/s1"),
        session: "s1".to_owned(),
    }
}

fn document(kind: Kind, statements: &str) -> Document {
    parse(kind, &format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)).expect("the test's policy")
}

fn allow(action: &str, resource: &str) -> Document {
    document(Kind::Identity, &format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#))
}

fn deny(action: &str) -> Document {
    document(Kind::Identity, &format!(r#"{{"Sid":"No","Effect":"Deny","Action":"{action}","Resource":"*"}}"#))
}

fn for_principal(effect: &str, principal: &str) -> Document {
    document(Kind::Resource, &format!(r#"{{"Effect":"{effect}","Principal":{principal},"Action":"*","Resource":"*"}}"#))
}

fn named(document: &Document) -> Named<'_> {
    Named { name: "p", document }
}

fn ask(caller: &Caller, action: &str, resource: &str, policies: &Policies<'_>) -> Result<(), String> {
    let request = Request { caller, action, resources: &[resource], context: Context::new() };
    evaluate(&request, policies).into_result().map_err(|denial| denial.to_string())
}

const CLUSTER: &str = "arn:aws:ecs:us-east-1:123456789012:cluster/c";

#[test]
fn nothing_is_allowed_by_default_and_the_text_is_awss() {
    assert_eq!(
        ask(&user(), "ecs:CreateCluster", "*", &Policies::default()),
        Err("User: arn:aws:iam::123456789012:user/jo is not authorized to perform: ecs:CreateCluster on resource: * because \
             no identity-based policy allows the ecs:CreateCluster action"
            .to_owned())
    );
}

#[test]
fn a_deny_beats_every_allow() {
    let (all, no) = (allow("*", "*"), deny("ecs:Delete*"));
    let identity = [named(&all), named(&no)];
    let policies = Policies { identity: &identity, ..Policies::default() };
    assert_eq!(ask(&session(), "ecs:RunTask", CLUSTER, &policies), Ok(()));
    assert_eq!(
        ask(&session(), "ECS:deleteCluster", CLUSTER, &policies),
        Err(format!(
            "User: arn:aws:sts::123456789012:assumed-role/web/s1 is not authorized to perform: ECS:deleteCluster on \
             resource: {CLUSTER} with an explicit deny in an identity-based policy"
        ))
    );
    let request =
        Request { caller: &session(), action: "ecs:DeleteCluster", resources: &[CLUSTER], context: Context::new() };
    let Decision::Deny(denial) = evaluate(&request, &policies) else { panic!("must be denied") };
    let statement = denial.statement().expect("a statement denied");
    assert_eq!((statement.index, statement.sid.as_deref()), (0, Some("No")));
}

#[test]
fn boundary_and_session_policy_limit_what_identity_allows() {
    let (all, ecs, ecr) = (allow("*", "*"), allow("ecs:*", "*"), allow("ecr:*", "*"));
    let (identity, session_policies) = ([named(&all)], [named(&ecr)]);
    let policies = Policies {
        identity: &identity,
        boundary: Some(named(&ecs)),
        session: Some(&session_policies),
        ..Policies::default()
    };
    let tail = |action: &str| ask(&session(), action, "*", &policies).unwrap_err();
    assert!(tail("ecr:PutImage").ends_with("because no permissions boundary allows the ecr:PutImage action"));
    assert!(tail("ecs:RunTask").ends_with("because no session policy allows the ecs:RunTask action"));
}

#[test]
fn a_resource_policy_that_names_the_session_is_not_limited_but_one_that_names_the_role_is() {
    let exact = for_principal("Allow", r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/web/s1"}"#);
    let role = for_principal("Allow", r#"{"AWS":"arn:aws:iam::123456789012:role/web"}"#);
    let account = for_principal("Allow", r#"{"AWS":"123456789012"}"#);
    let boundary = allow("s3:*", "*");
    let with = |document: &Document, bounded: bool| {
        let policies = Policies {
            resource: Some(named(document)),
            boundary: bounded.then(|| named(&boundary)),
            ..Policies::default()
        };
        ask(&session(), "ecr:PutImage", "*", &policies).is_ok()
    };
    assert!(with(&exact, true));
    assert!(with(&role, false));
    assert!(!with(&role, true));
    assert!(!with(&account, false), "naming the account leaves it to the account's policies");
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let theirs = "arn:aws:ecr:us-east-1:999999999999:repository/r";
    let anyone = for_principal("Allow", r#""*""#);
    let mine = allow("ecr:*", "*");
    let identity = [named(&mine)];
    let both = Policies { identity: &identity, resource: Some(named(&anyone)), ..Policies::default() };
    assert!(ask(&user(), "ecr:PutImage", theirs, &both).is_ok());
    assert!(ask(&user(), "ecr:PutImage", theirs, &Policies { resource: None, ..both }).is_err());
    assert!(ask(&user(), "ecr:PutImage", theirs, &Policies { identity: &[], ..both }).is_err());
}

#[test]
fn root_passes_unless_a_resource_denies_it() {
    let root = Caller::Root { account: ACCOUNT.to_owned() };
    assert_eq!(ask(&root, "iam:CreateUser", "*", &Policies::default()), Ok(()));
    let no = for_principal("Deny", r#""*""#);
    let denied = ask(&root, "ecr:PutImage", "*", &Policies { resource: Some(named(&no)), ..Policies::default() });
    assert!(denied.unwrap_err().ends_with("with an explicit deny in a resource-based policy"));
}

#[test]
fn a_role_is_assumed_only_by_whom_it_trusts() {
    let trust = |principal: &str| {
        document(Kind::Trust, &format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}"#))
    };
    let role = "arn:aws:iam::123456789012:role/web";
    let assume = |caller: &Caller, document: &Document, identity: &[Named<'_>]| {
        let policies =
            Policies { identity, resource: Some(named(document)), resource_is_trust: true, ..Policies::default() };
        ask(caller, "sts:AssumeRole", role, &policies).is_ok()
    };
    let (ecs, account, jo) = (
        trust(r#"{"Service":["ecs-tasks.amazonaws.com","ec2.amazonaws.com"]}"#),
        trust(r#"{"AWS":"arn:aws:iam::123456789012:root"}"#),
        trust(r#"{"AWS":"arn:aws:iam::123456789012:user/jo"}"#),
    );
    let all = allow("*", "*");
    let service = |name: &str| Caller::Service { name: name.to_owned() };
    assert!(assume(&service("ecs-tasks.amazonaws.com"), &ecs, &[]));
    assert!(!assume(&service("ecs.amazonaws.com"), &ecs, &[]));
    assert!(!assume(&user(), &ecs, &[named(&all)]), "being allowed everything does not make one trusted");
    assert!(assume(&user(), &account, &[named(&all)]));
    assert!(!assume(&user(), &account, &[]));
    assert!(assume(&user(), &jo, &[]), "a trust policy that names the user is enough");
    let root = Caller::Root { account: ACCOUNT.to_owned() };
    assert!(assume(&root, &account, &[]));
    assert!(!assume(&root, &ecs, &[]), "even root is not trusted by a role for services alone");
}

proptest! {
    /// Identity policies of plain names: a deny that names the action denies, else an allow that does allows.
    #[test]
    fn identity_decisions_agree_with_the_obvious_model(
        statements in proptest::collection::vec((any::<bool>(), 0..4usize, any::<bool>()), 1..6), action in 0..4usize,
    ) {
        let documents: Vec<Document> = statements
            .iter()
            .map(|(allows, n, not)| {
                let effect = if *allows { "Allow" } else { "Deny" };
                let element = if *not { "NotAction" } else { "Action" };
                let text = format!(r#"{{"Effect":"{effect}","{element}":"ecs:A{n}","Resource":"*"}}"#);
                document(Kind::Identity, &text)
            })
            .collect();
        let identity: Vec<Named<'_>> = documents.iter().map(named).collect();
        let policies = Policies { identity: &identity, ..Policies::default() };
        let hits = |wanted: bool| statements.iter().any(|(allows, n, not)| *allows == wanted && (*n == action) != *not);
        let expected = !hits(false) && hits(true);
        prop_assert_eq!(ask(&user(), &format!("ecs:A{action}"), CLUSTER, &policies).is_ok(), expected);
    }
}
