//! The decoders are total: whatever the bytes, they give a value or an error, and never panic, hang or swell.

use proptest::prelude::*;
use std::fmt::Write as _;
use wire::schema::{DOUBLE, INTEGER, Kind, List, Map, Member, STRING, Schema, TIMESTAMP};
use wire::{Protocol, Value, decode};

/// A shape that holds itself, so that input may nest as deep as it likes.
static TREE: Schema = Schema::plain(
    "Tree",
    Kind::Structure(&[
        Member::new("Name", "Name", "name", false, &STRING),
        Member::new("Number", "Number", "number", false, &INTEGER),
        Member::new("Ratio", "Ratio", "ratio", false, &DOUBLE),
        Member::new("At", "At", "at", false, &TIMESTAMP),
        Member::new("Children", "Children", "children", false, &CHILDREN),
        Member::new("Named", "Named", "named", false, &NAMED),
    ]),
);
static CHILDREN: Schema = Schema::plain("Children", Kind::List(List { member: &TREE, item: "", flattened: false }));
static NAMED: Schema = Schema::plain("Named", Kind::Map(Map { key: &STRING, value: &TREE }));

const PROTOCOLS: [Protocol; 5] = [Protocol::Json10, Protocol::Json11, Protocol::Query, Protocol::Ec2, Protocol::Cbor];

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        for protocol in PROTOCOLS {
            let _ = decode(protocol, &TREE, &bytes);
        }
    }

    #[test]
    fn any_form_is_decoded_or_refused(
        form in "((Name|Number|Children|Named|member|entry|key|value|[0-9]{1,3}|%[0-9A-F]{2}|\\+)[.=&]){0,40}"
    ) {
        for protocol in [Protocol::Query, Protocol::Ec2] {
            let _ = decode(protocol, &TREE, form.as_bytes());
        }
    }

    #[test]
    fn almost_json_is_decoded_or_refused(text in "[\\[\\]{}:,\"0-9eE.nulltruefasNamechildr \\\\-]{0,80}") {
        let _ = decode(Protocol::Json11, &TREE, text.as_bytes());
    }
}

#[test]
fn nesting_is_bounded_in_every_protocol() {
    let depth = 50_000;
    let json = "{\"Children\":[".repeat(depth);
    assert!(decode(Protocol::Json11, &TREE, json.as_bytes()).is_err());
    let ignored = format!("{{\"Unknown\":{}", "[".repeat(depth));
    assert!(decode(Protocol::Json11, &TREE, ignored.as_bytes()).is_err());
    let mut cbor = Vec::new();
    for _ in 0..depth {
        cbor.extend_from_slice(b"\xa1\x68Children\x81");
    }
    assert!(decode(Protocol::Cbor, &TREE, &cbor).is_err());
    assert!(decode(Protocol::Cbor, &TREE, &[b"\xa1\x61x".as_slice(), &vec![0x81; depth]].concat()).is_err());
    assert!(decode(Protocol::Cbor, &TREE, &vec![0xc1; depth]).is_err());
    let form = format!("{}=x", "Children.1.".repeat(depth));
    assert!(decode(Protocol::Ec2, &TREE, form.as_bytes()).is_ok());
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    for bytes in [&b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\xa1\x64Name\x7b\xff\xff\xff\xff\xff\xff\xff\xff"] {
        assert!(decode(Protocol::Cbor, &TREE, bytes).is_err());
    }
}

#[test]
fn a_long_form_is_cheap_and_an_endless_one_refused() {
    let mut form = String::new();
    for at in 0..19_000 {
        let _ = write!(form, "&Children.{at}.Name=x");
    }
    let Ok(Value::Structure(members)) = decode(Protocol::Ec2, &TREE, form.as_bytes()) else { panic!("decodes") };
    assert!(matches!(&members[..], [(4, Value::List(items))] if items.len() == 19_000));
    assert!(decode(Protocol::Ec2, &TREE, "a=b&".repeat(20_001).as_bytes()).is_err());
}

#[test]
fn items_are_ordered_by_number_and_the_last_of_equals_holds() {
    let form = b"Children.10.Name=c&Children.2.Name=b&Children.1.Name=x&Children.1.Name=a";
    let Ok(Value::Structure(members)) = decode(Protocol::Ec2, &TREE, form) else { panic!("decodes") };
    let Some((4, Value::List(items))) = members.first() else { panic!("{members:?}") };
    let names: Vec<_> = items.iter().filter_map(|item| item.member(0).cloned()).collect();
    assert_eq!(names, ["a", "b", "c"].map(|name| Value::String(name.to_owned())));
}

#[test]
fn maps_of_query_requests_may_name_their_entries() {
    for form in ["Named.entry.1.key=k&Named.entry.1.value.Name=v", "Named.1.key=k&Named.1.value.Name=v"] {
        let value = decode(Protocol::Query, &TREE, form.as_bytes());
        let inner = Value::Structure(vec![(0, Value::String("v".to_owned()))]);
        assert_eq!(value, Ok(Value::Structure(vec![(5, Value::Map(vec![("k".to_owned(), inner)]))])), "{form}");
    }
}

#[test]
fn a_fraction_in_json_is_the_nearest_double() {
    let value = decode(Protocol::Json11, &TREE, b"{\"Ratio\":1.7618285302889447e-19}");
    assert_eq!(value, Ok(Value::Structure(vec![(2, Value::Double(1.761_828_530_288_944_7e-19))])));
}

#[test]
fn cbor_of_every_width_and_form_is_read() {
    let read = |bytes: &[u8]| decode(Protocol::Cbor, &TREE, bytes).expect("decodes");
    let ratio = |value: f64| Value::Structure(vec![(2, Value::Double(value))]);
    let name = Value::Structure(vec![(0, Value::String("ab".to_owned()))]);
    assert_eq!(read(b"\xa1\x65Ratio\xf9\x3e\x00"), ratio(1.5));
    assert_eq!(read(b"\xa1\x65Ratio\xfa\x3f\xc0\x00\x00"), ratio(1.5));
    assert_eq!(read(b"\xa1\x65Ratio\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00"), ratio(1.5));
    assert_eq!(read(b"\xa1\x65Ratio\x20"), ratio(-1.0));
    assert_eq!(read(b"\xbf\x64Name\x7f\x61a\x61b\xff\xff"), name);
    assert_eq!(read(b"\xa2\x64Name\x62ab\x66Number\xf6"), name);
    assert_eq!(
        read(b"\xa1\x62At\xc1\x1a\x65\x53\xf1\x00"),
        Value::Structure(vec![(3, Value::Timestamp(types::Timestamp(1_700_000_000_000)))])
    );
    for bytes in [&b"\xa1\x66Number\x1b\x7f\xff\xff\xff\xff\xff\xff\xff"[..], b"\xa1\x64Name\x01", b"\xa1", b"\xa0\xa0"]
    {
        assert!(decode(Protocol::Cbor, &TREE, bytes).is_err(), "{bytes:x?}");
    }
}

#[test]
fn ec2_names_the_parameters_that_it_does_not_know() {
    let refused = |form: &str| types::ApiError::from(decode(Protocol::Ec2, &TREE, form.as_bytes()).unwrap_err());
    let error = refused("Action=X&Version=2016-11-15&Nope.1.Bar=2");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("UnknownParameter", "The parameter Nope is not recognized")
    );
    for form in ["Action=X&Version=Y", "X-Amz-Signature=a&AWSAccessKeyId=b"] {
        assert!(decode(Protocol::Ec2, &TREE, form.as_bytes()).is_ok(), "{form}");
        assert!(decode(Protocol::Query, &TREE, form.as_bytes()).is_ok(), "{form}");
    }
    assert!(decode(Protocol::Query, &TREE, b"Nope=1").is_ok(), "other services pass over what they do not know");
}
