//! Which ids a user namespace has: the user as root, and as many of the user's subordinate ids as `/etc/subuid` and `/etc/subgid` give.
//!
//! Those are given by `newuidmap` and `newgidmap`, which must run outside and before anything runs inside: a small process of this executable
//! is started first, waits until the namespace is there, and has them do it. Where they are not, the namespace has one id.

use nix::unistd::{Gid, Uid, User};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};

/// The hidden subcommand that a binary must pass on to [`main`].
pub(crate) const SUBCOMMAND: &str = "__ids";
/// So many ids are of use: what images name.
const ENOUGH: u32 = 65_535;

/// The process that waits outside.
pub(super) struct Mapper {
    child: Child,
    user: Uid,
    group: Gid,
}

impl Mapper {
    /// Starts it.
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no launcher yet, and it has nothing of a large process to copy"
    )]
    pub(super) fn start() -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this executable: {error}"))?;
        let mut command = Command::new(program);
        command.args([SUBCOMMAND, &std::process::id().to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot start a process: {error}"))?;
        Ok(Self { child, user: Uid::effective(), group: Gid::effective() })
    }

    /// Gives the namespace in which this process is by now its ids.
    pub(super) fn map(mut self) -> Result<(), String> {
        let mut why = String::new();
        if let Some(mut input) = self.child.stdin.take() {
            let _ = input.write_all(b"go\n");
        }
        if let Some(mut output) = self.child.stdout.take() {
            let _ = output.read_to_string(&mut why);
        }
        if self.child.wait().is_ok_and(|status| status.success()) {
            return Ok(());
        }
        let why = why.trim();
        let write = |file: &str, text: String| {
            let path = format!("/proc/self/{file}");
            fs::write(&path, text).map_err(|error| format!("cannot write {path}: {error} ({why})"))
        };
        write("setgroups", "deny".to_owned())?;
        write("uid_map", format!("0 {} 1\n", self.user))?;
        write("gid_map", format!("0 {} 1\n", self.group))?;
        tracing::warn!(
            why,
            "you have no subordinate ids: all files of images belong to root, and no container runs as another user"
        );
        Ok(())
    }
}

/// `__ids <pid>`: waits for a line, then has the ids of the process's namespace set. Says why not, if not.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let pid = arguments.next().and_then(|pid| pid.into_string().ok()).unwrap_or_default();
    // Whoever has started this may fail, and then there is nothing to do.
    let mut go = [0; 3];
    if std::io::stdin().read_exact(&mut go).is_err() {
        return ExitCode::FAILURE;
    }
    match map_all(&pid) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = write!(std::io::stdout(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn map_all(pid: &str) -> Result<(), String> {
    let (user, group) = (Uid::effective(), Gid::effective());
    let name = User::from_uid(user).ok().flatten().map(|user| user.name);
    let subordinate = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        range(&text, name.as_deref(), user.as_raw()).ok_or_else(|| format!("{file} names none for user {user}"))
    };
    // Both are looked up before one is given.
    let (users, groups) = (subordinate("/etc/subuid")?, subordinate("/etc/subgid")?);
    give("newuidmap", pid, user.as_raw(), users)?;
    give("newgidmap", pid, group.as_raw(), groups)
}

#[expect(clippy::disallowed_methods, reason = "only this program may do it, and nothing runs yet that could be copied")]
fn give(program: &str, pid: &str, own: u32, (first, count): (u32, u32)) -> Result<(), String> {
    let numbers = ["0", &own.to_string(), "1", "1", &first.to_string(), &count.min(ENOUGH).to_string()];
    let output = Command::new(program).arg(pid).args(numbers).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The largest range of ids that belongs to a user, of `/etc/subuid`: lines of `name:first:count`.
fn range(text: &str, name: Option<&str>, id: u32) -> Option<(u32, u32)> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let (who, first, count) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let ours = Some(who) == name || who.parse() == Ok(id);
        (ours && count > 0).then_some((first, count))
    };
    text.lines().filter_map(line).max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_name_or_number() {
        let text = "root:1:9\nann:100000:65536\nann:300000:100000\nbroken\n1001:200000:65536\nx:1:\n1002:5:0\n";
        assert_eq!(range(text, Some("ann"), 1000), Some((300_000, 100_000)), "the largest of several");
        assert_eq!(range(text, Some("bob"), 1001), Some((200_000, 65_536)));
        assert_eq!(range(text, None, 1001), Some((200_000, 65_536)));
        assert_eq!(range(text, Some("eve"), 1003), None);
        assert_eq!(range(text, None, 1002), None, "none is none");
    }
}
