//! What patterns match, case by case as the user guide tells it, and that nothing hurts them.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn matches(pattern: &Value, event: &Value) -> bool {
    Pattern::parse(&pattern.to_string()).unwrap().matches(event)
}

fn refused(pattern: &Value) -> String {
    Pattern::parse(&pattern.to_string()).unwrap_err()
}

#[test]
fn values_must_be_there_and_one_of_those_listed() {
    let event = json!({ "source": "aws.ecs", "detail": { "n": 300, "b": true, "z": null, "list": ["x", "y"] } });
    for pattern in [
        json!({ "source": ["aws.ec2", "aws.ecs"] }),
        json!({ "detail": { "n": [3.0e2] } }),
        json!({ "detail": { "b": [true], "z": [null] } }),
        json!({ "detail": { "list": ["y", "z"] } }),
    ] {
        assert!(matches(&pattern, &event), "{pattern}");
    }
    for pattern in [
        json!({ "source": ["aws.ecr"] }),
        json!({ "detail": { "n": ["300"] } }),
        json!({ "detail": { "no": [null] } }),
        json!({ "detail": ["x"] }),
        json!({ "source": { "x": ["aws.ecs"] } }),
        json!({ "source": ["aws.ecs"], "detail": { "list": ["z"] } }),
    ] {
        assert!(!matches(&pattern, &event), "{pattern}");
    }
}

#[test]
fn every_filter_does_what_it_says() {
    let cases = [
        (json!({ "prefix": "app" }), vec![json!("apple")], vec![json!("grape"), json!(1)]),
        (json!({ "prefix": { "equals-ignore-case": "APP" } }), vec![json!("aPple")], vec![json!("grape")]),
        (json!({ "suffix": ".png" }), vec![json!("a.png")], vec![json!("a.PNG")]),
        (json!({ "suffix": { "equals-ignore-case": ".Png" } }), vec![json!("a.PNG")], vec![json!("a.jpg")]),
        (json!({ "equals-ignore-case": "Alice" }), vec![json!("aLICE")], vec![json!("bob")]),
        (json!({ "wildcard": "a*b*" }), vec![json!("ab"), json!("a-b-c")], vec![json!("ba")]),
        (json!({ "wildcard": "a\\*b" }), vec![json!("a*b")], vec![json!("aab")]),
        (json!({ "anything-but": "x" }), vec![json!("y"), json!(3)], vec![json!("x")]),
        (json!({ "anything-but": ["x", "y"] }), vec![json!("z")], vec![json!("x"), json!("y")]),
        (json!({ "prefix": "" }), vec![json!("x"), json!("")], vec![json!(1)]),
        (json!({ "anything-but": { "prefix": "a" } }), vec![json!("b")], vec![json!("ab")]),
        (json!({ "anything-but": { "suffix": ["a", "b"] } }), vec![json!("c")], vec![json!("xa"), json!("xb")]),
        (json!({ "anything-but": { "wildcard": "*/lib/*" } }), vec![json!("/bin")], vec![json!("/lib/x")]),
        (json!({ "anything-but": { "equals-ignore-case": "X" } }), vec![json!("y")], vec![json!("x")]),
        (json!({ "numeric": ["=", 5] }), vec![json!(5.0)], vec![json!(4), json!("5")]),
        (json!({ "numeric": [">", 0, "<=", 5] }), vec![json!(5), json!(0.1)], vec![json!(0), json!(6)]),
        (json!({ "cidr": "10.0.0.0/24" }), vec![json!("10.0.0.9")], vec![json!("10.0.1.9"), json!("x")]),
        (json!({ "cidr": "2001:db8::/32" }), vec![json!("2001:db8::1")], vec![json!("10.0.0.9")]),
        (json!({ "exists": true }), vec![json!(null), json!("")], vec![]),
    ];
    for (filter, right, wrong) in cases {
        let pattern = json!({ "v": [filter] });
        for value in right {
            assert!(matches(&pattern, &json!({ "v": value })), "{pattern} of {value}");
        }
        for value in wrong {
            assert!(!matches(&pattern, &json!({ "v": value })), "{pattern} of {value}");
        }
        assert!(!matches(&pattern, &json!({})), "{pattern} of nothing");
    }
    let absent = json!({ "detail": { "v": [{ "exists": false }] } });
    assert!(matches(&absent, &json!({ "detail": {} })) && matches(&absent, &json!({})));
    assert!(!matches(&absent, &json!({ "detail": { "v": 0 } })));
    let leaf = json!({ "detail": { "v": [{ "exists": true }] } });
    let inner = json!({ "detail": { "v": { "w": 1 } } });
    assert!(!matches(&leaf, &inner) && matches(&absent, &inner), "only of what has nothing below it");
    let mixed = json!({ "detail": { "v": [{ "w": 1 }, "x"] } });
    assert!(matches(&leaf, &mixed) && !matches(&absent, &mixed));
}

#[test]
fn one_way_of_an_or_is_enough() {
    let pattern = json!({ "source": ["s"], "$or": [{ "a": [1] }, { "b": [2], "c": [3] }] });
    assert!(matches(&pattern, &json!({ "source": "s", "a": 1 })));
    assert!(matches(&pattern, &json!({ "source": "s", "b": 2, "c": 3 })));
    assert!(!matches(&pattern, &json!({ "source": "s", "b": 2 })));
    assert!(!matches(&pattern, &json!({ "source": "t", "a": 1 })));
}

#[test]
fn one_object_of_a_list_is_right_in_all_respects() {
    let pattern = json!({ "detail": { "containers": { "name": ["web"], "lastStatus": ["STOPPED"] } } });
    let of = |list: Value| matches(&pattern, &json!({ "detail": { "containers": list } }));
    assert!(of(json!([{ "name": "db" }, { "name": "web", "lastStatus": "STOPPED" }])));
    assert!(!of(json!([{ "name": "web", "lastStatus": "RUNNING" }, { "name": "db", "lastStatus": "STOPPED" }])));
    assert!(!of(json!([])) && !of(json!(["web"])));
}

#[test]
fn what_is_no_pattern_is_refused() {
    assert_eq!(refused(&json!(["x"])), "Filter is not an object");
    assert_eq!(refused(&json!({ "a": "x" })), "\"a\" must be an object or an array");
    assert_eq!(refused(&json!({ "a": [] })), "Empty arrays are not allowed");
    assert_eq!(refused(&json!({ "a": [{ "like": "x" }] })), "Unrecognized match type like");
    assert_eq!(refused(&json!({ "a": [{ "wildcard": "a**" }] })), "Consecutive wildcard characters");
    for wrong in [
        json!({}),
        json!({ "a": {} }),
        json!({ "a": [["x"]] }),
        json!({ "a": [{ "numeric": [">", 5, "<", 1] }] }),
        json!({ "a": [{ "numeric": [">"] }] }),
        json!({ "a": [{ "numeric": ["=", 6.0e9] }] }),
        json!({ "a": [{ "cidr": "10.0.0.0/99" }] }),
        json!({ "a": [{ "prefix": 1 }] }),
        json!({ "a": [{ "anything-but": { "prefix": "" } }] }),
        json!({ "a": [{ "anything-but": [1, "x"] }] }),
        json!({ "a": [{ "anything-but": [] }] }),
        json!({ "a": [{ "anything-but": { "numeric": ["=", 1] } }] }),
        json!({ "$or": [{ "a": [1] }] }),
    ] {
        refused(&wrong);
    }
    let deep = (0..200).fold(json!(["x"]), |inner, _| json!({ "a": inner }));
    refused(&json!({ "a": deep }));
}

proptest! {
    #[test]
    fn a_wildcard_agrees_with_its_meaning(pattern in "[ab*]{0,6}", text in "[ab]{0,6}") {
        fn means(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|at| means(rest, &text[at..])),
                Some((byte, rest)) => text.first() == Some(byte) && means(rest, &text[1..]),
            }
        }
        if let Ok(wildcard) = wildcard::Wildcard::parse(&pattern) {
            prop_assert_eq!(wildcard.matches(&text), means(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_refused(text in ".{0,200}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            pattern.matches(&json!({ "a": 1 }));
        }
    }
}
