//! `windtunnel status` and `windtunnel env`: what runs, and how tools reach it.

use crate::ask::ask;
use crate::daemon;
use crate::output::say;
use crate::paths::Paths;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Prints whether a server runs, and what it holds.
pub(crate) fn status(paths: &Paths, as_json: bool) -> Result<(), String> {
    let Some(beacon) = daemon::running(paths) else {
        if as_json {
            return say(json!({ "status": "stopped", "dataDir": paths.data.display().to_string() }));
        }
        say(format_args!("{:<20}{}", "stopped", paths.data.display()))?;
        return say("Start it with: windtunnel serve");
    };
    let found = ask(&beacon, "/_windtunnel/status", None, Duration::from_secs(5))?;
    if as_json {
        return say(found);
    }
    say(format_args!("{:<20}{} (pid {})", "running", beacon.endpoint, beacon.pid))?;
    say(format_args!("{:<20}{}", "data", beacon.data_dir))?;
    let limits: Vec<&str> =
        found["unenforcedLimits"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !limits.is_empty() {
        say(format_args!("{:<20}tasks' limits of {}", "not enforced", limits.join(", ")))?;
    }
    let internet = found["internet"].as_str().map_or_else(|| "none".to_owned(), |carrier| format!("by {carrier}"));
    say(format_args!("{:<20}{internet}", "internet"))?;
    for (name, count) in found["resources"].as_object().into_iter().flatten() {
        say(format_args!("{:<20}{count}", spaced(name)))?;
    }
    for reach in found["reach"].as_array().into_iter().flatten() {
        let text = |name: &str| reach[name].as_str().unwrap_or("-").to_owned();
        say(format_args!("{:<20}{} {}", text("loadBalancer"), text("url"), text("listener")))?;
    }
    Ok(())
}

/// `networkInterfaces` as people write it.
fn spaced(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push(' ');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Prints the environment that points AWS tools at the server.
pub(crate) fn env(paths: &Paths, listen: Option<SocketAddr>, as_json: bool) -> Result<(), String> {
    let endpoint = match (listen, daemon::running(paths)) {
        (Some(listen), _) => format!("http://{listen}"),
        (None, Some(beacon)) => beacon.endpoint,
        (None, None) => "http://127.0.0.1:4566".to_owned(),
    };
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true"),
    ];
    if as_json {
        let object: serde_json::Map<String, Value> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        return say(Value::Object(object));
    }
    variables.iter().try_for_each(|(name, value)| say(format_args!("export {name}={value}")))
}
