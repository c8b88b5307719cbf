//! The tests that need root, without it: stories are told by an ordinary user, and what makes networks and containers does so in a user
//! namespace. The programs are built as whoever calls, and started as the user by a runner that nextest puts before each.

use crate::test::{say_skipped, skipped_now};
use std::process::Command;

/// What a test of the data plane finds in its namespaces: the user's subordinate ids, and a `/run` of its own.
const NAMESPACES: [&str; 8] = ["unshare", "--user", "--map-auto", "--map-root-user", "--net", "--mount", "sh", "-c"];
const RUN_OF_ITS_OWN: &str = "mount -t tmpfs none /run && exec \"$0\" \"$@\"";

/// Runs them as `user`; `arguments` go on to nextest.
#[expect(clippy::disallowed_methods, reason = "a task of the project, not the product")]
pub(crate) fn run(user: &str, arguments: &[&str]) -> Result<(), String> {
    let target = std::env::current_exe().map_err(|error| error.to_string())?;
    let become_user = |home: &str| -> Vec<String> {
        let words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "env", "-u", "XDG_RUNTIME_DIR"];
        words.into_iter().map(str::to_owned).chain([format!("HOME={home}")]).collect()
    };
    let home = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home = home.lines().find(|line| line.split(':').next() == Some(user)).and_then(|line| line.split(':').nth(5));
    let home = home.ok_or_else(|| format!("there is no user {user}: useradd --create-home {user}"))?;
    let as_user = become_user(home);
    let can = |words: &[&str]| {
        let mut command = Command::new(&as_user[0]);
        command.args(&as_user[1..]).args(words).output().is_ok_and(|output| output.status.success())
    };
    if !can(&["test", "-x", &target.display().to_string()]) {
        eprintln!("SKIPPED tests without root: {user} cannot reach {}", target.display());
        return Ok(());
    }
    if !can(&["unshare", "--user", "--map-root-user", "--net", "--mount", "true"]) {
        eprintln!("SKIPPED tests without root: this machine lets no ordinary user make user namespaces");
        return Ok(());
    }
    let stories = nextest("package(windtunnel) & binary(stories)", &as_user, arguments);
    let inside = as_user.iter().cloned().chain(NAMESPACES.map(str::to_owned)).chain([RUN_OF_ITS_OWN.to_owned()]);
    let inside: Vec<String> = inside.collect();
    let data_plane = if can(&["unshare", "--user", "--map-auto", "--map-root-user", "true"]) {
        nextest("package(fabric) | package(resolver) | package(runtime)", &inside, arguments)
    } else {
        eprintln!(
            "SKIPPED the data plane's tests without root: {user} has no subordinate ids (package uidmap, /etc/subuid)"
        );
        Ok(())
    };
    stories.and(data_plane)
}

#[expect(clippy::disallowed_methods, reason = "a task of the project, not the product")]
fn nextest(what: &str, runner: &[String], arguments: &[&str]) -> Result<(), String> {
    let words: Vec<String> = runner.iter().map(|word| format!("{word:?}")).collect();
    let runner = format!("target.'cfg(all())'.runner=[{}]", words.join(","));
    let status = Command::new(env!("CARGO"))
        // The whole workspace is what `cargo xtask test` builds; some packages of it would be built anew.
        .args(["nextest", "run", "--workspace", "--no-fail-fast", "--config", &runner, "--filterset", what])
        .args(arguments)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    say_skipped(&skipped_now());
    if status.success() { Ok(()) } else { Err("not all tests passed without root".to_owned()) }
}
