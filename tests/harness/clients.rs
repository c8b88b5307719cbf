//! Clients that are programs: run with a deadline, and their output shown where a story fails.

use std::process::{Command, Output, Stdio};

/// A client that is killed if it takes longer than a minute.
pub(crate) fn client(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=2", "60", program]);
    // What a story speaks with is on this machine.
    command.env("NO_PROXY", "*").env("no_proxy", "*").stdin(Stdio::null());
    command
}

/// What a client that must succeed has printed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(output.status.success(), "expected to succeed: {command:?}; but: {}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both of a client's outputs.
pub(crate) fn both(output: &Output) -> String {
    format!("{} {} {}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// curl, which says nothing but what it is asked for.
pub(crate) fn curl(arguments: &[&str]) -> Command {
    let mut command = client("curl");
    command.args(["--silent", "--show-error", "--max-time", "10"]).args(arguments);
    command
}
