//! All tests, after a look at what they need of the machine.

use std::path::Path;
use std::process::Command;

/// Programs that tests start, and the packages that bring them. The tests themselves say SKIPPED where one is missing.
const NEEDED: [(&str, &str); 9] = [
    ("skopeo", "apt-get install skopeo"),
    ("podman", "apt-get install podman"),
    ("busybox", "apt-get install busybox-static"),
    ("curl", "apt-get install curl"),
    ("openssl", "apt-get install openssl"),
    ("jq", "apt-get install jq"),
    ("ip", "apt-get install iproute2"),
    ("wrk", "apt-get install wrk"),
    ("aws", "pip install awscli"),
];

/// Runs all tests; `arguments` go on to nextest.
#[expect(clippy::disallowed_methods, reason = "a task of the project, not the product")]
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    if !on_path("cargo-nextest") {
        return Err("the tests run under nextest: cargo install --locked cargo-nextest".to_owned());
    }
    for (program, install) in NEEDED.into_iter().filter(|(program, _)| !on_path(program)) {
        eprintln!("note: no {program} here, tests that need it are skipped: {install}");
    }
    let status = Command::new(env!("CARGO"))
        .args(["nextest", "run", "--workspace", "--no-fail-fast"])
        .args(arguments)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("not all tests passed".to_owned()) }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).exists())
}
