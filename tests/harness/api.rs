//! The AWS API spoken directly, signed by hand: fast enough to build a network in a moment, and free to say it wrongly.

use super::http::{self, Answer};
use serde_json::Value;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use types::Timestamp;
use wire::sigv4::{Secret, Signer, payload_hash};

/// A caller of one server's API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) access_key: String,
    pub(crate) secret: String,
    /// Of a role's session.
    pub(crate) token: Option<String>,
}

/// An error answer.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "shown where a test fails")]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// An answer in XML, of which stories read single elements.
#[derive(Debug, Clone)]
pub(crate) struct Xml(pub(crate) String);

impl Xml {
    /// The texts of all innermost elements `name`, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        self.0.split(open.as_str()).skip(1).filter_map(|rest| rest.split(close.as_str()).next()).collect()
    }

    /// The first of them.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_else(|| panic!("the API's answer has no {name}: {}", self.0))
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

impl Api {
    /// The account's root at `address`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, access_key: "test".into(), secret: "test".into(), token: None }
    }

    /// A signed POST to `/`.
    pub(crate) fn post(&self, service: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
        self.post_at(now(), service, "/", headers, body)
    }

    /// A POST signed at another time.
    pub(crate) fn post_at(
        &self,
        at: Timestamp,
        service: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let signed = self.sign(at, service, path, headers, &payload_hash(body));
        self.send(path, &signed, body)
    }

    /// A POST signed for the body `signed` and sent with another.
    pub(crate) fn post_other(
        &self,
        service: &str,
        headers: &[(&str, &str)],
        signed: &[u8],
        sent: &[u8],
    ) -> std::io::Result<Answer> {
        let headers = self.sign(now(), service, "/", headers, &payload_hash(signed));
        self.send("/", &headers, sent)
    }

    fn sign(
        &self,
        at: Timestamp,
        service: &str,
        path: &str,
        headers: &[(&str, &str)],
        hash: &str,
    ) -> ::http::HeaderMap {
        let mut map = ::http::HeaderMap::new();
        map.insert("host", self.address.to_string().parse().unwrap());
        for (name, value) in headers {
            map.insert(::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let signer = Signer {
            access_key: self.access_key.clone(),
            secret: Secret { key: self.secret.clone(), token: self.token.clone() },
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
        };
        signer.sign("POST", path, "", &mut map, hash, at).unwrap();
        map
    }

    fn send(&self, path: &str, headers: &::http::HeaderMap, body: &[u8]) -> std::io::Result<Answer> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        http::request(self.address, "POST", path, &headers, body)
    }

    /// A call of a service that speaks JSON.
    pub(crate) fn try_json(&self, service: &str, operation: &str, input: Value) -> Result<Value, Refused> {
        let (prefix, content_type) = match service {
            "ecs" => ("AmazonEC2ContainerServiceV20141113", "application/x-amz-json-1.1"),
            "ecr" => ("AmazonEC2ContainerRegistry_V20150921", "application/x-amz-json-1.1"),
            "logs" => ("Logs_20140328", "application/x-amz-json-1.1"),
            "secretsmanager" => ("secretsmanager", "application/x-amz-json-1.1"),
            "events" => ("AWSEvents", "application/x-amz-json-1.1"),
            "servicediscovery" => ("Route53AutoNaming_v20170314", "application/x-amz-json-1.1"),
            "ssm" => ("AmazonSSM", "application/x-amz-json-1.1"),
            "application-autoscaling" => ("AnyScaleFrontendService", "application/x-amz-json-1.1"),
            other => panic!("the harness does not know how {other} speaks JSON"),
        };
        let target = format!("{prefix}.{operation}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", content_type)];
        let answer = self.post(service, &headers, input.to_string().as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{service} did not answer {operation}: {error}"));
        if answer.status == 200 {
            return Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null));
        }
        Err(json_error(&answer))
    }

    /// The same where it has to succeed.
    pub(crate) fn json(&self, service: &str, operation: &str, input: Value) -> Value {
        let shown = input.to_string();
        self.try_json(service, operation, input)
            .unwrap_or_else(|refused| panic!("{service} refused {operation} {shown}: {refused:?}"))
    }

    pub(crate) fn ecs(&self, operation: &str, input: Value) -> Value {
        self.json("ecs", operation, input)
    }

    /// A call of a service that speaks query and XML.
    pub(crate) fn try_query(&self, service: &str, operation: &str, fields: &[(&str, &str)]) -> Result<Xml, Refused> {
        let version = match service {
            "autoscaling" => "2011-01-01",
            "ec2" => "2016-11-15",
            "elasticloadbalancing" => "2015-12-01",
            "iam" => "2010-05-08",
            "sts" => "2011-06-15",
            other => panic!("the harness does not know how {other} speaks query"),
        };
        let mut form = format!("Action={operation}&Version={version}");
        for (name, value) in fields {
            let _ = write!(form, "&{name}={}", escape(value));
        }
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.post(service, &headers, form.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{service} did not answer {operation}: {error}"));
        if answer.status == 200 { Ok(Xml(answer.text())) } else { Err(xml_error(&answer)) }
    }

    /// The same where it has to succeed.
    pub(crate) fn query(&self, service: &str, operation: &str, fields: &[(&str, &str)]) -> Xml {
        self.try_query(service, operation, fields)
            .unwrap_or_else(|refused| panic!("{service} refused {operation} {fields:?}: {refused:?}"))
    }

    pub(crate) fn ec2(&self, operation: &str, fields: &[(&str, &str)]) -> Xml {
        self.query("ec2", operation, fields)
    }

    pub(crate) fn elb(&self, operation: &str, fields: &[(&str, &str)]) -> Xml {
        self.query("elasticloadbalancing", operation, fields)
    }
}

/// Code and message of an error in JSON.
pub(crate) fn json_error(answer: &Answer) -> Refused {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let message = text("message").or_else(|| text("Message")).unwrap_or_else(|| answer.text());
    Refused { status: answer.status, code: text("__type").unwrap_or_default(), message }
}

/// Code and message of an error in XML.
pub(crate) fn xml_error(answer: &Answer) -> Refused {
    let xml = Xml(answer.text());
    let first = |name: &str| xml.all(name).first().map(|text| (*text).to_owned());
    let message = first("Message").unwrap_or_else(|| answer.text());
    Refused { status: answer.status, code: first("Code").unwrap_or_default(), message }
}

fn escape(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
