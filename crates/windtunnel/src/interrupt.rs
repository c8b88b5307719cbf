//! `windtunnel interrupt`: has Fargate Spot take the capacity of a task back.

use crate::admin::INTERRUPT;
use crate::ask::ask;
use crate::daemon;
use crate::output::print;
use crate::paths::Paths;
use serde_json::json;
use std::time::Duration;

/// It is only written down.
const PATIENCE: Duration = Duration::from_secs(10);

/// Interrupts a task, and says which.
pub(crate) fn interrupt(paths: &Paths, task: &str) -> Result<(), String> {
    let Some(beacon) = daemon::running(paths) else {
        return Err(format!("no server runs on {}. Start it with: windtunnel serve", paths.data.display()));
    };
    let answer = ask(&beacon, INTERRUPT, Some(&json!({ "task": task })), PATIENCE)?;
    print(&format!("{} has been interrupted\n", answer["taskArn"].as_str().unwrap_or(task)))
}
