//! A user has a VPC's traffic recorded, and reads in the log group what real packets did and what became of them.

use crate::harness::api::Api;
use crate::harness::clients::{client, succeed};
use crate::harness::network::{Source, Vpc, allow, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::{Value, json};

const GROUP: &str = "/vpc/flows";

/// Speaks to a port that lets it in and to one that does not, over and over.
fn speaks(target: &str) -> String {
    format!(
        "trap 'exit 0' TERM; while :; do printf 'GET /health HTTP/1.0\r\n\r\n' | nc -w 1 {target} 3000; \
         nc -w 1 {target} 3001 </dev/null; sleep 0.2; done"
    )
}

/// The role that delivers flow logs, without any permission yet.
fn role(api: &Api) -> String {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "vpc-flow-logs.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", "flow-logs"), ("AssumeRolePolicyDocument", &trust.to_string())];
    api.query("iam", "CreateRole", &fields).get("Arn").to_owned()
}

fn permit(api: &Api) {
    let actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"];
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": actions, "Resource": "*",
    }] });
    let fields = [("RoleName", "flow-logs"), ("PolicyName", "deliver"), ("PolicyDocument", &policy.to_string())];
    api.query("iam", "PutRolePolicy", &fields);
}

fn record(api: &Api, vpc: &Vpc, role: &str) -> String {
    let fields = [
        ("ResourceType", "VPC"),
        ("ResourceId.1", &vpc.id),
        ("TrafficType", "ALL"),
        ("LogGroupName", GROUP),
        ("DeliverLogsPermissionArn", role),
        ("MaxAggregationInterval", "60"),
    ];
    let made = api.ec2("CreateFlowLogs", &fields);
    made.all("item").iter().find(|id| id.starts_with("fl-")).expect("it has an id").to_string()
}

/// A record in the default format.
#[derive(Debug, PartialEq)]
struct Record {
    from: String,
    to: String,
    ports: (String, String),
    action: String,
    packets: u64,
}

/// The records of flows in an interface's stream.
fn records(api: &Api, interface: &str) -> Vec<Record> {
    let input = json!({
        "logGroupName": GROUP, "logStreamName": format!("{interface}-all"), "startFromHead": true,
    });
    let Ok(found) = api.try_json("logs", "GetLogEvents", input) else { return Vec::new() };
    let read = |event: &Value| {
        let words: Vec<&str> = event["message"].as_str().unwrap().split(' ').collect();
        assert_eq!((words.len(), words[0], words[1], words[2]), (14, "2", "123456789012", interface), "{words:?}");
        if words[13] != "OK" {
            return None;
        }
        let (start, end): (i64, i64) = (words[10].parse().unwrap(), words[11].parse().unwrap());
        assert!(start <= end && event["timestamp"].as_i64().unwrap() / 1000 == start, "{event}");
        let own = |at: usize| words[at].to_owned();
        Some(Record {
            from: own(3),
            to: own(4),
            ports: (own(5), own(6)),
            action: own(12),
            packets: words[8].parse().unwrap(),
        })
    };
    found["events"].as_array().unwrap().iter().filter_map(read).collect()
}

#[test]
fn accepted_and_refused_connections_are_recorded_where_they_were_seen() {
    if !possible(&["skopeo"]) {
        return;
    }
    let mut server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let (sg_web, sg_client) = (vpc.group(&api, "web"), vpc.group(&api, "client"));
    allow(&api, &sg_web, 3000, Source::Group(&sg_client));
    let image = image::push(&server, "tools", image::busybox());
    let execution = tasks::ground(&api, "flows");
    let start = |script: &str, group: &str| {
        let definition = tasks::register(&api, tasks::definition("flows", &execution, &image, script));
        let task = tasks::run(&api, &vpc, &definition, &[group]);
        tasks::wait_for(&api, &task, "RUNNING", seconds(30))
    };
    let web = start(WEB, &sg_web);
    let (web_ip, web_eni) = (tasks::address_of(&web), tasks::detail(&web, "networkInterfaceId"));
    let asker = start(&speaks(&web_ip), &sg_client);
    let (asker_ip, asker_eni) = (tasks::address_of(&asker), tasks::detail(&asker, "networkInterfaceId"));

    let role = role(&api);
    let id = record(&api, &vpc, &role);
    let shown = || api.ec2("DescribeFlowLogs", &[("FlowLogId.1", &id)]);
    eventually("the flow log says that its role may not write", seconds(30), || {
        let shown = shown();
        let failed =
            shown.all("deliverLogsErrorMessage") == ["Access error"] && shown.get("deliverLogsStatus") == "FAILED";
        if failed { Ok(()) } else { Err(shown.0) }
    });
    permit(&api);

    let has = |records: &[Record], ends: (&str, &str), port: usize, number: &str, action: &str| {
        records.iter().any(|record| {
            let ports = [&record.ports.0, &record.ports.1];
            (record.from.as_str(), record.to.as_str()) == ends
                && ports[port] == number
                && record.action == action
                && record.packets > 0
        })
    };
    let (there, back) = ((asker_ip.as_str(), web_ip.as_str()), (web_ip.as_str(), asker_ip.as_str()));
    let (at_web, at_asker) = eventually("both sides have records of both directions", seconds(60), || {
        let (at_web, at_asker) = (records(&api, &web_eni), records(&api, &asker_eni));
        let all = [&at_web, &at_asker]
            .into_iter()
            .all(|side| has(side, there, 1, "3000", "ACCEPT") && has(side, back, 0, "3000", "ACCEPT"));
        let refused = has(&at_web, there, 1, "3001", "REJECT") && has(&at_asker, there, 1, "3001", "ACCEPT");
        if all && refused { Ok((at_web, at_asker)) } else { Err((at_web, at_asker)) }
    });
    // What the receiver refused was sent all the same, and nobody answered.
    assert!(!has(&at_web, there, 1, "3001", "ACCEPT") && !has(&at_asker, there, 1, "3001", "REJECT"), "{at_web:?}");
    for side in [&at_web, &at_asker] {
        assert!(!has(side, back, 0, "3001", "ACCEPT"), "expected no answer from the port, but: {side:?}");
        assert!(side.iter().all(|record| record.ports.1 != "53"), "expected no questions to the resolver: {side:?}");
    }
    assert_eq!(shown().get("deliverLogsStatus"), "SUCCESS");

    if possible(&["aws"]) {
        let mut aws = client("aws");
        aws.args(["logs", "get-log-events", "--log-group-name", GROUP, "--start-from-head", "--log-stream-name"]);
        aws.arg(format!("{web_eni}-all")).args(["--output", "json"]).env("AWS_ENDPOINT_URL", server.endpoint());
        aws.env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "us-east-1");
        let told = succeed(&mut aws);
        assert!(told.contains(" 3001 6 ") && told.contains(" REJECT OK"), "{told}");
    }
    // A crash loses the interval that ran, and nothing after it.
    let before = records(&api, &web_eni).len();
    server.kill();
    server.serve_brisk();
    eventually("records go on after a crash", seconds(60), || {
        let records = records(&api, &web_eni);
        if has(records.get(before..).unwrap_or_default(), there, 1, "3001", "REJECT") { Ok(()) } else { Err(records) }
    });

    api.ec2("DeleteFlowLogs", &[("FlowLogId.1", &id)]);
    assert_eq!(shown().all("flowLogId"), Vec::<&str>::new());
    server.leave();
}
