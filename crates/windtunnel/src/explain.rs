//! `windtunnel explain`: asks the server, and shows its answer.

use crate::admin::EXPLAIN_PATH;
use crate::ask::ask;
use crate::cli::PathOptions;
use crate::daemon;
use crate::output::{print, say};
use crate::paths::Paths;
use ::explain::{Answer, text};
use serde_json::json;
use std::io::IsTerminal;
use std::time::Duration;

/// Real packets that nobody answers take their time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints the way of a packet. Fails where a real packet did otherwise than told.
pub(crate) fn path(paths: &Paths, options: &PathOptions) -> Result<(), String> {
    let PathOptions { from, to, protocol, probe, json } = options;
    let Some(beacon) = daemon::running(paths) else {
        return Err(format!("no server runs on {}. Start it with: windtunnel serve", paths.data.display()));
    };
    let question = json!({ "from": from, "to": to, "protocol": protocol, "probe": probe });
    let found = ask(&beacon, EXPLAIN_PATH, Some(&question), PATIENCE)?;
    if *json {
        say(&found)?;
    }
    let answer: Answer = serde_json::from_value(found)
        .map_err(|error| format!("{} answers something else: {error}", beacon.endpoint))?;
    if !json {
        // Source: no-color.org.
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        print(&text::render(&answer, colours))?;
    }
    if answer.disagrees() { Err("a real packet did otherwise than explained".to_owned()) } else { Ok(()) }
}
