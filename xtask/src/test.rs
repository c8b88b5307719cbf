//! All tests, after a look at what they need of the machine.

use std::path::{Path, PathBuf};
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
    say_skipped(&skipped_now());
    if status.success() { Ok(()) } else { Err("not all tests passed".to_owned()) }
}

/// The tests that said in nextest's last run that they were skipped, and why.
pub(crate) fn skipped_now() -> Vec<(String, String)> {
    let report = report().ok().and_then(|path| std::fs::read_to_string(path).ok());
    report.map(|report| skipped(&report)).unwrap_or_default()
}

pub(crate) fn say_skipped(skipped: &[(String, String)]) {
    if !skipped.is_empty() {
        eprintln!("{} tests were SKIPPED here:", skipped.len());
        skipped.iter().for_each(|(test, why)| eprintln!("  {test}: {why}"));
    }
}

/// Where nextest writes its report: beside the folder that this task runs from.
fn report() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = here.parent().and_then(Path::parent).ok_or("this task lies outside of a target folder")?;
    Ok(target.join("nextest/default/junit.xml"))
}

/// The tests that say in a JUnit report that they were skipped, and why.
fn skipped(report: &str) -> Vec<(String, String)> {
    let tests = report.split("<testcase ").skip(1);
    let told = tests.filter_map(|test| {
        let name = test.split_once("name=\"")?.1.split_once('"')?.0;
        let why = test.split_once("SKIPPED: ")?.1.split(['\n', '<']).next()?;
        Some((name.to_owned(), why.trim_end().to_owned()))
    });
    told.collect()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_told_with_the_reason() {
        let report = "<testsuite><testcase name=\"a::b\" classname=\"c\"><system-out>\nSKIPPED: needs root\n</system-out>\
                      </testcase><testcase name=\"d\"><system-out>ok</system-out></testcase></testsuite>";
        assert_eq!(skipped(report), [("a::b".to_owned(), "needs root".to_owned())]);
    }
}
