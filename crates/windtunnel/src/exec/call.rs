//! `ExecuteCommand`, asked with the user's own keys over plain HTTP.

use crate::cli::ExecOptions;
use controller::SystemClock;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;
use types::Clock;
use types::arn::Arn;
use wire::sigv4::{Secret, Signer, payload_hash};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session that the server holds ready.
pub(super) struct Promise {
    /// Where its data channel is.
    pub(super) url: String,
    /// The host and port in that.
    pub(super) authority: String,
    /// What opens it.
    pub(super) token: String,
}

/// Who calls, and whom.
pub(super) struct Caller {
    authority: String,
    access_key: String,
    secret: Secret,
    region: String,
}

impl Caller {
    /// With the keys and the region of AWS's tools, else with those of the account's root.
    pub(super) fn from_environment(endpoint: &str) -> Result<Self, String> {
        let authority = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = authority.filter(|rest| !rest.is_empty() && !rest.contains('/'));
        let authority =
            authority.ok_or_else(|| format!("{endpoint} is not the address of a server: http://HOST:PORT"))?;
        let authority = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let (access_key, key) = match (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(key)) => (id, key),
            _ => ("test".to_owned(), "test".to_owned()),
        };
        let region =
            text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned());
        Ok(Self { authority, access_key, secret: Secret { key, token: text("AWS_SESSION_TOKEN") }, region })
    }

    /// Asks for the session.
    pub(super) fn execute_command(mut self, options: &ExecOptions) -> Result<Promise, String> {
        let mut cluster = options.cluster.clone();
        // An ARN says it all.
        if let Ok(arn) = options.task.parse::<Arn>() {
            self.region.clone_from(&arn.region);
            let named = arn.resource.strip_prefix("task/").and_then(|rest| rest.split_once('/'));
            cluster = cluster.or_else(|| named.map(|(cluster, _)| cluster.to_owned()));
        }
        let mut input = json!({ "task": options.task, "interactive": true, "command": line(&options.command) });
        for (name, value) in [("cluster", &cluster), ("container", &options.container)] {
            if let Some(value) = value {
                input[name] = json!(value);
            }
        }
        let answer = self.call(&input)?;
        let text = |name: &str| answer["session"][name].as_str().map(str::to_owned);
        let (Some(url), Some(token)) = (text("streamUrl"), text("tokenValue")) else {
            return Err(format!("{} answers something else: {answer}", self.authority));
        };
        let authority = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).map(str::to_owned);
        let authority = authority.ok_or_else(|| format!("{url} is not the address of a Windtunnel server"))?;
        Ok(Promise { url, authority, token })
    }

    fn call(&self, input: &Value) -> Result<Value, String> {
        let unreachable = |error: &dyn std::fmt::Display| format!("http://{} does not answer: {error}", self.authority);
        let body = input.to_string();
        let headers = self.signed(&body).ok_or("the keys in the environment are no keys")?;
        let mut head = "POST / HTTP/1.1\r\nconnection: close\r\n".to_owned();
        for (name, value) in &headers {
            let value = value.to_str().map_err(|error| unreachable(&error))?;
            head = format!("{head}{name}: {value}\r\n");
        }
        let mut addresses = self.authority.to_socket_addrs().map_err(|error| unreachable(&error))?;
        let connect = |address| TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let stream = addresses.find_map(|address| connect(address).ok());
        let mut stream = stream.ok_or_else(|| unreachable(&"nobody listens there"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| unreachable(&error))?;
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).map_err(|error| unreachable(&error))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|error| unreachable(&error))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let document: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        if head.split(' ').nth(1) == Some("200") {
            return Ok(document);
        }
        let text = |name: &str| document[name].as_str();
        match (text("__type"), text("message").or_else(|| text("Message"))) {
            (Some(code), Some(message)) => Err(format!("{code}: {message}")),
            (Some(code), None) => Err(code.to_owned()),
            _ => Err(format!("http://{} answers something else: {}", self.authority, body.trim())),
        }
    }

    fn signed(&self, body: &str) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        let plain = [
            ("host", self.authority.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ExecuteCommand"),
        ];
        for (name, value) in plain {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
        }
        let signer = Signer {
            access_key: self.access_key.clone(),
            secret: Secret { key: self.secret.key.clone(), token: self.secret.token.clone() },
            region: self.region.clone(),
            service: "ecs".to_owned(),
        };
        signer.sign("POST", "/", "", &mut headers, &payload_hash(body.as_bytes()), SystemClock.now())?;
        Some(headers)
    }
}

/// The words as one line which the agent takes apart into the same words.
fn line(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_agent() {
        let of = |words: &[&str]| line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["ls", "-l", "/tmp"]), "ls -l /tmp");
        assert_eq!(of(&["sh", "-c", "echo \"it's\"", ""]), r#"sh -c 'echo "it'\''s"' ''"#);
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        let of = |endpoint| Caller::from_environment(endpoint).map(|caller| caller.authority);
        assert_eq!(of("http://localhost:4566/").as_deref(), Ok("localhost:4566"));
        assert_eq!(of("http://box").as_deref(), Ok("box:80"));
        assert!(
            of("https://ecs.us-east-1.amazonaws.com").is_err() && of("http://").is_err() && of("http://a/b").is_err()
        );
    }
}
