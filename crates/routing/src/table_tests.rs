//! The compiled table against the definition: rules tried one by one in order of priority.

use super::*;
use crate::config::{FixedResponse, Protocol};
use proptest::prelude::*;

fn answer(n: u32) -> Action {
    Action::FixedResponse(FixedResponse { status: 200, content_type: None, body: n.to_string() })
}

fn listener(rules: Vec<(u32, Vec<Condition>)>) -> Listener {
    Listener {
        arn: "listener".to_owned(),
        port: 80,
        protocol: Protocol::Http,
        also_at: vec![],
        certificates: vec![],
        ssl_policy: None,
        rules: rules
            .into_iter()
            .map(|(priority, conditions)| Rule {
                arn: format!("rule/{priority}"),
                priority,
                conditions,
                action: answer(priority),
            })
            .collect(),
        default_action: answer(0),
        default_rule_arn: "default".to_owned(),
    }
}

fn head<'a>(host: &'a str, path: &'a str, headers: &'a dyn crate::Headers) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        protocol: Protocol::Http,
        host,
        port: 80,
        path,
        query: Some("a=1&B=Two&flag"),
        source: [10, 0, 0, 1].into(),
        headers,
    }
}

fn paths(values: &[&str]) -> Condition {
    Condition::PathPattern(values.iter().map(|&v| v.to_owned()).collect())
}

fn hosts(values: &[&str]) -> Condition {
    Condition::HostHeader(values.iter().map(|&v| v.to_owned()).collect())
}

#[test]
fn the_lowest_priority_wins_whatever_its_form() {
    let table = ListenerTable::compile(&listener(vec![
        (30, vec![paths(&["/api/users"])]),
        (20, vec![paths(&["/api/*"])]),
        (10, vec![paths(&["*.jpg"])]),
        (5, vec![hosts(&["*.Example.com"]), paths(&["/api/*"])]),
    ]));
    let route = |host, path| table.route(&head(host, path, &[])).priority;
    assert_eq!(route("x", "/api/users"), 20);
    assert_eq!(route("x", "/api/a.jpg"), 10);
    assert_eq!(route("a.b.EXAMPLE.com", "/api/a.jpg"), 5);
    assert_eq!(route("example.com", "/other"), 0);
    assert_eq!(table.route(&head("x", "/", &[])).rule_arn, "default");
}

#[test]
fn each_kind_of_condition_is_tried() {
    let query = |key: Option<&str>, value: &str| {
        Condition::QueryString(vec![QueryPair { key: key.map(str::to_owned), value: value.to_owned() }])
    };
    let header = Condition::HttpHeader { name: "User-Agent".to_owned(), values: vec!["*Chrome*".to_owned()] };
    let cases = [
        (query(Some("b"), "two"), true),
        (query(None, "1"), true),
        (query(Some("flag"), ""), true),
        (query(Some("a"), "2"), false),
        (header, true),
        (Condition::HttpRequestMethod(vec!["GET".to_owned()]), true),
        (Condition::HttpRequestMethod(vec!["get".to_owned()]), false),
        (Condition::SourceIp(vec!["10.0.0.0/8".parse().unwrap()]), true),
        (Condition::SourceIp(vec!["11.0.0.0/8".parse().unwrap()]), false),
        (hosts(&["h?"]), true),
        (hosts(&["?"]), false),
    ];
    for (condition, expected) in cases {
        let table = ListenerTable::compile(&listener(vec![(1, vec![condition.clone()])]));
        let headers = [("user-agent", "like chrome 1")];
        let matched = table.route(&head("h1", "/", &headers)).priority == 1;
        assert_eq!(matched, expected, "{condition:?}");
    }
}

#[test]
fn a_thousand_rules_look_at_few() {
    let rules = (1..=1000).map(|n| (n, vec![paths(&[&format!("/service-{n}/*")])])).collect();
    let table = ListenerTable::compile(&listener(rules));
    let mut seen = 0;
    table.any_host.each(b"/service-1000/x", &mut |drawer| seen += drawer.len());
    assert_eq!(seen, 1, "rules that cannot match were looked at");
    assert_eq!(table.route(&head("h", "/service-1000/x", &[])).priority, 1000);
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        proptest::collection::vec("/[ab]{0,2}(/[ab]|\\*|/\\*|\\?)?", 1..3).prop_map(Condition::PathPattern),
        proptest::collection::vec("(\\*\\.|\\*|[AB]\\.)?[abB]\\.(a|\\*|b)", 1..3).prop_map(Condition::HostHeader),
        prop_oneof![Just("GET"), Just("POST")].prop_map(|m| Condition::HttpRequestMethod(vec![m.to_owned()])),
    ]
}

proptest! {
    #[test]
    fn routes_as_trying_every_rule_in_order_does(
        rules in proptest::collection::vec((1u32..40, proptest::collection::vec(condition(), 1..3)), 0..12),
        host in "([abAB]\\.)?[abAB]\\.[ab]",
        path in "/[ab]{0,3}(/[ab]{0,2})?",
    ) {
        let listener = listener(rules);
        let table = ListenerTable::compile(&listener);
        let head = head(&host, &path, &[]);
        let naive = table.rules.iter().find(|rule| rule.matches(&head)).map_or(0, |rule| rule.priority);
        prop_assert_eq!(table.route(&head).priority, naive);
    }
}
