//! A client of the AWS API: signs, asks, and reads the answer. One connection a request, as command-line tools do.

use crate::Outcome;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use types::Timestamp;
use wire::sigv4::{Secret, Signer, payload_hash};

/// A JSON service: its signing name and the prefix of its targets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json(&'static str, &'static str);
pub(crate) const ECS: Json = Json("ecs", "AmazonEC2ContainerServiceV20141113");
pub(crate) const ECR: Json = Json("ecr", "AmazonEC2ContainerRegistry_V20150921");
pub(crate) const LOGS: Json = Json("logs", "Logs_20140328");

/// A query service: its signing name and version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query(&'static str, &'static str);
pub(crate) const EC2: Query = Query("ec2", "2016-11-15");
pub(crate) const IAM: Query = Query("iam", "2010-05-08");
pub(crate) const STS: Query = Query("sts", "2011-06-15");

/// A signed `POST /`, to be sent as often as wanted within five minutes.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// The API at an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api(pub(crate) SocketAddr);

impl Api {
    /// Signs an operation of a JSON service.
    pub(crate) fn prepare_json(self, service: Json, operation: &str, input: &Value) -> Outcome<Prepared> {
        let target = format!("{}.{operation}", service.1);
        let kind = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        self.prepare(service.0, &kind, input.to_string())
    }

    /// Signs an operation of a query service.
    pub(crate) fn prepare_query(self, service: Query, operation: &str, form: &[(&str, &str)]) -> Outcome<Prepared> {
        let mut body = format!("Action={operation}&Version={}", service.1);
        for (name, value) in form {
            let _ = write!(body, "&{name}={}", escaped(value));
        }
        self.prepare(service.0, &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")], body)
    }

    fn prepare(self, service: &str, kind: &[(&'static str, &str)], body: String) -> Outcome<Prepared> {
        let signer = Signer {
            access_key: "test".to_owned(),
            secret: Secret { key: "test".to_owned(), token: None },
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
        };
        let host = self.0.to_string();
        let mut headers = HeaderMap::new();
        for (name, value) in kind.iter().chain(&[("host", host.as_str())]) {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        signer
            .sign("POST", "/", "", &mut headers, &payload_hash(body.as_bytes()), now)
            .ok_or("a header cannot be signed")?;
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        Ok(Prepared { headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(), body })
    }

    /// Calls an operation of a JSON service.
    pub(crate) fn json(self, service: Json, operation: &str, input: &Value) -> Outcome<Value> {
        let answer = self.ask(operation, &self.prepare_json(service, operation, input)?)?;
        // Some operations answer with nothing at all.
        let answer = if answer.is_empty() { "null" } else { &answer };
        serde_json::from_str(answer).map_err(|error| format!("{operation} answers no JSON: {error}"))
    }

    /// Calls an operation of a query service and gives the answer's XML.
    pub(crate) fn query(self, service: Query, operation: &str, form: &[(&str, &str)]) -> Outcome<String> {
        self.ask(operation, &self.prepare_query(service, operation, form)?)
    }

    fn ask(self, operation: &str, prepared: &Prepared) -> Outcome<String> {
        let answer = self.send(prepared).map_err(|error| format!("{operation}: {error}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(format!("{operation} is refused: {} {body}", head.lines().next().unwrap_or_default())),
        }
    }

    /// Sends it and gives all that comes back, head and body.
    pub(crate) fn send(self, prepared: &Prepared) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.0)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut request =
            format!("POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", prepared.body.len());
        for (name, value) in &prepared.headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        stream.write_all(format!("{request}\r\n{}", prepared.body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The text of the first element `name`.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Outcome<&'a str> {
    let found = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    found.map(|(text, _)| text).ok_or_else(|| format!("the answer has no {name}"))
}

/// The text at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("the answer has no {pointer}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_escaped_and_an_element_found() {
        assert_eq!(escaped("a b/é~"), "a%20b%2F%C3%A9~");
        assert_eq!(element("<r><vpcId>vpc-1</vpcId><vpcId>2</vpcId></r>", "vpcId"), Ok("vpc-1"));
        assert!(element("<r/>", "vpcId").is_err());
    }
}
