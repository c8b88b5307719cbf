//! Whatever is sent, the server says what is wrong in the service's own words, keeps nothing of it, and goes on.

use crate::harness::api::{Api, Refused, json_error, now, xml_error};
use crate::harness::clients::succeed;
use crate::harness::host::names;
use crate::harness::http::{self, Answer, Connection};
use crate::harness::image::{self, digest};
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB};
use crate::harness::{eventually, possible, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use types::Timestamp;
use wire::sigv4::{Secret, Signer};

const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const CBOR: (&str, &str) = ("content-type", "application/cbor");
const LIST_CLUSTERS: (&str, &str) = ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters");
const CALLER: &[u8] = b"Action=GetCallerIdentity&Version=2011-06-15";

/// What the server holds and has on the host; bad input changes none of it.
#[derive(Debug, PartialEq)]
struct Holding {
    status: Value,
    namespaces: BTreeSet<String>,
    files: BTreeSet<String>,
}

fn holding(server: &Server) -> Holding {
    let status = succeed(&mut server.command(&["status", "--json"]));
    let netns = server.traces.run().join("netns");
    let mut files = BTreeSet::new();
    for dir in ["blobs", "layers", "tasks"] {
        walk(&server.data().join(dir), &mut files);
    }
    Holding { status: serde_json::from_str(&status).unwrap(), namespaces: names(&netns), files }
}

fn walk(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), found);
        } else {
            found.insert(entry.path().display().to_string());
        }
    }
}

fn open_files(server: &Server) -> usize {
    names(Path::new(&format!("/proc/{}/fd", server.pid()))).len()
}

#[test]
fn whatever_is_sent_is_answered_in_the_services_own_words() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    api.ecs("CreateCluster", json!({ "clusterName": "kept" }));
    image::push(&server, "kept", image::busybox());
    let (before, files) = (holding(&server), open_files(&server));

    bodies_that_are_no_requests(&api);
    signatures_that_do_not_hold(&api);
    operations_that_are_not_there(&api);
    definitions_that_lack_something(&api);
    bodies_that_are_too_large(&api);
    images_that_are_not_whole(&api);
    bytes_that_are_no_http(&api);

    assert_eq!(holding(&server), before, "expected bad input to leave nothing behind");
    eventually("the server closes the connections that were given up", seconds(40), || {
        let now = open_files(&server);
        if now <= files + 4 { Ok(()) } else { Err((now, files)) }
    });
    let clusters = api.ecs("ListClusters", json!({}));
    assert_eq!(clusters["clusterArns"].as_array().map(Vec::len), Some(1), "expected the server to go on: {clusters}");
    server.leave();
}

/// Expects an error in JSON.
fn json_refusal(what: &str, answer: std::io::Result<Answer>, status: u16, code: &str) -> Refused {
    refusal(what, json_error(&answer.unwrap_or_else(|error| panic!("{what}: {error}"))), status, code)
}

/// Expects an error in XML.
fn xml_refusal(what: &str, answer: std::io::Result<Answer>, status: u16, code: &str) -> Refused {
    refusal(what, xml_error(&answer.unwrap_or_else(|error| panic!("{what}: {error}"))), status, code)
}

fn refusal(what: &str, refused: Refused, status: u16, code: &str) -> Refused {
    assert_eq!((refused.status, refused.code.as_str()), (status, code), "the answer to {what}: {}", refused.message);
    refused
}

fn bodies_that_are_no_requests(api: &Api) {
    let bodies: [&[u8]; 8] = [
        b"{",
        b"[]",
        b"nonsense",
        b"\xff\xfe\x00",
        b"{\"maxResults\":\"many\"}",
        b"{\"nextToken\":7}",
        b"{} {}",
        b"\"\"",
    ];
    for body in bodies {
        let what = format!("ListClusters with {:?}", String::from_utf8_lossy(body));
        json_refusal(&what, api.post("ecs", &[JSON, LIST_CLUSTERS], body), 400, "SerializationException");
    }
    let deep = [&b"{\"include\":"[..], &vec![b'['; 100_000][..]].concat();
    json_refusal("JSON of great depth", api.post("ecs", &[JSON, LIST_CLUSTERS], &deep), 400, "SerializationException");

    let ec2 = |body: &[u8]| api.post("ec2", &[FORM], body);
    xml_refusal("EC2 without an action", ec2(b""), 400, "MissingAction");
    xml_refusal("EC2 with noise", ec2(b"\xff\x00=&&&=%zz"), 400, "MissingAction");
    xml_refusal("STS without an action", api.post("sts", &[FORM], b""), 400, "MissingAction");
    for body in [
        "Action=DescribeVpcs&Version=2016-11-15&MaxResults=many",
        "Action=DescribeVpcs&Version=2016-11-15&DryRun=perhaps",
        "Action=DescribeVpcs&Version=2016-11-15&Filter.0.Name=x",
        "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0%2F99",
        "Action=CreateVpc&Version=2016-11-15",
    ] {
        let refused = xml_error(&ec2(body.as_bytes()).unwrap());
        assert!(
            refused.status == 400 && !refused.code.is_empty() && !refused.message.is_empty(),
            "expected EC2 to refuse {body}, but: {refused:?}"
        );
    }

    let cbor = |body: &[u8]| {
        let path = "/service/GraniteServiceVersion20100801/operation/ListMetrics";
        api.post_at(now(), "monitoring", path, &[CBOR, ("smithy-protocol", "rpc-v2-cbor")], body)
    };
    let well = cbor(b"\xa0").unwrap();
    assert_eq!(well.status, 200, "expected CloudWatch to speak CBOR: {}", well.text());
    for body in [
        &b"\xff"[..],
        b"\xbf",
        b"\xa1",
        b"{}",
        &vec![0x9f; 100_000],
        b"\xa1\x69Namespace\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let answer = cbor(body).unwrap();
        let shown = &body[..body.len().min(12)];
        assert_eq!(answer.status, 400, "expected CloudWatch to refuse the CBOR {shown:02x?}: {}", answer.text());
        assert!(
            answer.text().contains("SerializationException"),
            "expected CloudWatch to name what is wrong with the CBOR {shown:02x?}: {}",
            answer.text()
        );
    }
}

fn signatures_that_do_not_hold(api: &Api) {
    let wrong = Api { secret: "wrong".into(), ..api.clone() };
    let nobody = Api { access_key: "AKIANOBODY".into(), ..api.clone() };
    let describe = b"Action=DescribeVpcs&Version=2016-11-15";
    xml_refusal("STS, wrongly signed", wrong.post("sts", &[FORM], CALLER), 403, "SignatureDoesNotMatch");
    xml_refusal("EC2, wrongly signed", wrong.post("ec2", &[FORM], describe), 401, "AuthFailure");
    json_refusal(
        "ECS, wrongly signed",
        wrong.post("ecs", &[JSON, LIST_CLUSTERS], b"{}"),
        400,
        "InvalidSignatureException",
    );
    xml_refusal("STS, an unknown key", nobody.post("sts", &[FORM], CALLER), 403, "InvalidClientTokenId");
    xml_refusal("EC2, an unknown key", nobody.post("ec2", &[FORM], describe), 401, "AuthFailure");
    json_refusal(
        "ECS, an unknown key",
        nobody.post("ecs", &[JSON, LIST_CLUSTERS], b"{}"),
        400,
        "UnrecognizedClientException",
    );

    let an_hour = |by: i64| Timestamp(now().0 + by * 3_600_000);
    for (at, words) in [(an_hour(-1), "Signature expired: "), (an_hour(1), "Signature not yet current: ")] {
        let answer = api.post_at(at, "sts", "/", &[FORM], CALLER);
        let refused = xml_refusal("STS at another hour", answer, 403, "SignatureDoesNotMatch");
        assert!(refused.message.starts_with(words), "expected STS to say {words:?}, but: {refused:?}");
    }
    xml_refusal("EC2, an old date", api.post_at(an_hour(-1), "ec2", "/", &[FORM], describe), 400, "RequestExpired");

    let signer = Signer {
        access_key: api.access_key.clone(),
        secret: Secret { key: api.secret.clone(), token: None },
        region: "us-east-1".to_owned(),
        service: "sts".to_owned(),
    };
    let presigned = |at: Timestamp| {
        let query = std::str::from_utf8(CALLER).unwrap();
        let host = api.address.to_string();
        let query = signer.presign(&host, "/", query, Duration::from_secs(60), at).unwrap();
        http::request(api.address, "GET", &format!("/?{query}"), &[], b"")
    };
    assert_eq!(presigned(now()).unwrap().status, 200, "expected a presigned request to hold for a minute");
    xml_refusal("a presigned request of an hour ago", presigned(an_hour(-1)), 403, "SignatureDoesNotMatch");

    // Signed for one body, sent with another; and not signed at all.
    let other = [CALLER, b"&Added=later"].concat();
    xml_refusal(
        "a body that was changed",
        api.post_other("sts", &[FORM], CALLER, &other),
        403,
        "SignatureDoesNotMatch",
    );
    let answer = http::request(api.address, "POST", "/", &[FORM], CALLER).unwrap();
    refusal("a request that is not signed", xml_error(&answer), 403, "MissingAuthenticationToken");
}

fn operations_that_are_not_there(api: &Api) {
    let target = |name: &str| format!("AmazonEC2ContainerServiceV20141113.{name}");
    let ecs = |name: &str| api.post("ecs", &[JSON, ("x-amz-target", &target(name))], b"{}");
    json_refusal("an operation that ECS does not have", ecs("FlyToTheMoon"), 404, "UnknownOperationException");
    json_refusal("no operation at all", ecs(""), 404, "UnknownOperationException");
    for (service, version) in [("ec2", "2016-11-15"), ("elasticloadbalancing", "2015-12-01"), ("iam", "2010-05-08")] {
        let body = format!("Action=FlyToTheMoon&Version={version}");
        xml_refusal(service, api.post(service, &[FORM], body.as_bytes()), 400, "InvalidAction");
    }
    // What AWS has and this server has not is said so, by name.
    for info in model::SERVICES {
        let Some(missing) = info.all.iter().find(|name| info.operation(name).is_none()) else { continue };
        let signing = info.signing_names[0];
        let answer = if info.target_prefix.is_empty() || info.protocols.contains(&wire::Protocol::Query) {
            api.post(signing, &[FORM], format!("Action={missing}&Version={}", info.version).as_bytes())
        } else {
            let target = format!("{}.{missing}", info.target_prefix);
            api.post(signing, &[JSON, ("x-amz-target", &target)], b"{}")
        };
        let answer = answer.unwrap();
        assert!(
            answer.status == 501 && answer.text().contains("NotImplemented") && answer.text().contains(missing),
            "expected {} to say that it has no {missing}, but: {} {}",
            info.name,
            answer.status,
            answer.text()
        );
    }
}

/// Each thing that a task definition needs is asked for by name.
fn definitions_that_lack_something(api: &Api) {
    let role = "arn:aws:iam::123456789012:role/execution";
    let whole = || tasks::definition("whole", role, "public.ecr.aws/x/y:1", WEB);
    let without = |pointer: &str| {
        let mut definition = whole();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { Some(&mut definition) } else { definition.pointer_mut(parent) };
        parent.unwrap().as_object_mut().unwrap().remove(name).unwrap();
        definition
    };
    for (missing, named) in [
        ("/family", "family"),
        ("/containerDefinitions", "Container list"),
        ("/containerDefinitions/0/name", "name"),
        ("/containerDefinitions/0/image", "image"),
        ("/cpu", "cpu"),
        ("/memory", "memory"),
        ("/networkMode", "awsvpc"),
        ("/executionRoleArn", "execution role"),
        ("/containerDefinitions/0/logConfiguration/logDriver", "log driver"),
    ] {
        let refused = api.try_json("ecs", "RegisterTaskDefinition", without(missing));
        let refused = refused.expect_err(&format!("ECS took a task definition without {missing}"));
        assert!(
            refused.status == 400 && ["ClientException", "InvalidParameterException"].contains(&refused.code.as_str()),
            "expected ECS to refuse a task definition without {missing}, but: {refused:?}"
        );
        assert!(
            refused.message.to_lowercase().contains(&named.to_lowercase()),
            "expected ECS to say that {named} is missing, but: {refused:?}"
        );
    }
    for (name, value) in [("cpu", json!("300")), ("memory", json!("513")), ("containerDefinitions", json!([]))] {
        let mut definition = whole();
        definition[name] = value;
        let refused = api.try_json("ecs", "RegisterTaskDefinition", definition.clone());
        let refused = refused.expect_err(&format!("ECS took the task definition {definition}"));
        assert_eq!((refused.status, refused.code.as_str()), (400, "ClientException"), "{refused:?}");
    }
    let known = api.ecs("ListTaskDefinitions", json!({}));
    assert_eq!(known["taskDefinitionArns"], json!([]), "expected ECS to have kept none of them");
}

fn bodies_that_are_too_large(api: &Api) {
    // Told as soon as the limit is passed, to a client that has sent no more than that.
    let mut connection = Connection::open(api.address).unwrap();
    let head = |length: u64| format!("POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n", api.address);
    connection.send(head(99_999_999_999_999).as_bytes()).unwrap();
    connection.send(&vec![b' '; (10 << 20) + 1]).unwrap();
    let answer = connection.receive().unwrap().expect("an answer to a body that is too large");
    assert_eq!(answer.status, 413, "expected a body of more than 10 MiB to be refused: {}", answer.text());
    // One of just that size is read, and then judged.
    let answer = api.post("ecs", &[JSON, LIST_CLUSTERS], &vec![b'['; 10 << 20]);
    json_refusal("10 MiB of brackets", answer, 400, "SerializationException");
}

fn images_that_are_not_whole(api: &Api) {
    let token = api.json("ecr", "GetAuthorizationToken", json!({}));
    let login = format!("Basic {}", token["authorizationData"][0]["authorizationToken"].as_str().unwrap());
    let ask = |method: &str, path: &str, kind: &str, body: &[u8]| {
        let headers = [("authorization", login.as_str()), ("content-type", kind)];
        http::request(api.address, method, path, &headers, body).unwrap()
    };
    let refused = |answer: &Answer| {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
    };
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let absent = digest(b"nowhere");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": absent, "size": 7 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": absent, "size": 7 }],
    });
    let put = |body: &[u8]| ask("PUT", "/v2/kept/manifests/bad", manifest_type, body);
    let answer = put(manifest.to_string().as_bytes());
    assert_eq!(refused(&answer), (400, "MANIFEST_BLOB_UNKNOWN".to_owned()), "{}", answer.text());
    for body in [&b""[..], b"{", b"[]", b"{\"schemaVersion\":2}", &vec![b'['; 50_000]] {
        let answer = put(body);
        assert_eq!(refused(&answer), (400, "MANIFEST_INVALID".to_owned()), "{}", answer.text());
    }
    let upload = format!("/v2/kept/blobs/uploads/?digest={absent}");
    let answer = ask("POST", &upload, "application/octet-stream", b"something else");
    assert_eq!(refused(&answer), (400, "DIGEST_INVALID".to_owned()), "{}", answer.text());
    let begun = ask("POST", "/v2/kept/blobs/uploads/", "application/octet-stream", b"");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let place = begun.header("location").expect("a place to upload to").to_owned();
    let place = place.find("/v2/").map_or(place.clone(), |at| place[at..].to_owned());
    let joiner = if place.contains('?') { '&' } else { '?' };
    let end = format!("{place}{joiner}digest={absent}");
    let answer = ask("PUT", &end, "application/octet-stream", b"something else");
    assert_eq!(refused(&answer), (400, "DIGEST_INVALID".to_owned()), "{}", answer.text());
    for stored in [absent, digest(b"something else")] {
        let answer = ask("GET", &format!("/v2/kept/blobs/{stored}"), "", b"");
        assert_eq!(answer.status, 404, "expected nothing of a refused upload to be stored");
    }
    let answer = ask("GET", "/v2/kept/blobs/sha256:../../../../etc/passwd", "", b"");
    assert!(answer.status == 400 || answer.status == 404, "{} {}", answer.status, answer.text());
    let answer = http::request(api.address, "GET", "/v2/", &[("authorization", "Basic bm9ib2R5Om5v")], b"").unwrap();
    assert_eq!(answer.status, 401, "expected an unknown login to be refused");
}

fn bytes_that_are_no_http(api: &Api) {
    let noise: Vec<u8> = (0..4096u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let many = "x-y: z\r\n".repeat(5000);
    let sent: [Vec<u8>; 9] = [
        noise,
        b"\r\n\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd".to_vec(),
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        format!("GET / HTTP/1.1\r\n{many}\r\n").into_bytes(),
        // The hello of a client that takes the port for HTTPS.
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\x00\x00\x00".to_vec(),
    ];
    for bytes in sent {
        let mut connection = Connection::open(api.address).unwrap();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        if connection.send(&bytes).is_err() || connection.finish().is_err() {
            continue;
        }
        // Refused or left, but not served.
        if let Ok(Some(answer)) = connection.receive() {
            assert!(
                (400..500).contains(&answer.status),
                "the answer to {shown:?}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    // Clients that hang up halfway.
    for part in [
        "P",
        "POST / HT",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-le",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        Connection::open(api.address).unwrap().send(part.as_bytes()).unwrap();
    }
}
