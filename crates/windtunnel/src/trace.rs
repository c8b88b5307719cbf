//! `windtunnel trace`: the network's verdicts as they fall.

use crate::admin::TRACE;
use crate::ask::follow;
use crate::cli::TraceOptions;
use crate::daemon;
use crate::paths::Paths;
use ::explain::trace::{Verdict, Wanted};
use serde_json::{Value, json};
use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;

/// Prints verdicts until it is interrupted, or nobody reads.
pub(crate) fn trace(paths: &Paths, options: &TraceOptions) -> Result<(), String> {
    let TraceOptions { who, vpc, rejected, json: as_json } = options;
    let Some(beacon) = daemon::running(paths) else {
        return Err(format!("no server runs on {}. Start it with: windtunnel serve", paths.data.display()));
    };
    let wanted = Wanted { who: who.clone(), vpc: vpc.clone(), rejected: *rejected };
    // Source: no-color.org.
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let mut out = std::io::stdout();
    if std::io::stderr().is_terminal() {
        eprintln!("Verdicts as they fall; Ctrl-C ends it.");
    }
    follow(&beacon, TRACE, &json!(wanted), |line| {
        let shown = match show(line, *as_json, colours) {
            Ok(Some(shown)) => shown,
            Ok(None) => return ControlFlow::Continue(()),
            Err(text) => return ControlFlow::Break(Err(text)),
        };
        match writeln!(out, "{shown}").and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            // A reader that has gone away, as `head` does, has seen what it wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => ControlFlow::Break(Ok(())),
            Err(error) => ControlFlow::Break(Err(format!("cannot write to the standard output: {error}"))),
        }
    })
}

/// A line of the server's as it is to be printed.
fn show(line: &str, as_json: bool, colours: bool) -> Result<Option<String>, String> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("the server says something else: {error}"))?;
    if as_json {
        return Ok(Some(line.to_owned()));
    }
    if let Some(lost) = value.get("lost") {
        let many = lost.as_u64().map_or_else(|| "some".to_owned(), |lost| lost.to_string());
        eprintln!("{many} verdicts are missing here: too many fell at once");
        return Ok(None);
    }
    let verdict: Verdict =
        serde_json::from_value(value).map_err(|error| format!("the server says something else: {error}"))?;
    Ok(Some(verdict.line(colours)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_verdict_is_an_error_and_losses_are_told_beside() {
        assert!(show("{", true, false).is_err() && show("{}", false, false).is_err());
        assert_eq!(show(r#"{"lost":3}"#, false, false), Ok(None));
        assert_eq!(show(r#"{"lost":3}"#, true, false), Ok(Some(r#"{"lost":3}"#.to_owned())));
    }
}
