//! What stories are told with: a server, clients, an image, steady traffic, and a look at what is on the host.

pub(crate) mod api;
pub(crate) mod channel;
pub(crate) mod clients;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod load;
pub(crate) mod network;
pub(crate) mod server;
pub(crate) mod tasks;

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

/// Whether a story can be told here; says why where it cannot. `programs` are the clients that it needs.
pub(crate) fn possible(programs: &[&str]) -> bool {
    if !rooted() && !may_make_namespaces() {
        println!("SKIPPED: needs root, or user namespaces for ordinary users, which this machine does not allow");
        return false;
    }
    if !Path::new("/bin/busybox").exists() {
        println!("SKIPPED: needs a static /bin/busybox");
        return false;
    }
    for program in programs {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
            println!("SKIPPED: {program} is not installed");
            return false;
        }
    }
    true
}

/// Whether stories are told by root. An ordinary user tells the same ones.
pub(crate) fn rooted() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether an ordinary user may do in a user namespace what the server does in one.
fn may_make_namespaces() -> bool {
    let mut tried = clients::client("unshare");
    tried.args(["--user", "--map-root-user", "--net", "--mount", "true"]);
    tried.output().is_ok_and(|output| output.status.success())
}

/// Asks again and again until `look` is content; `expected` says of whom what was expected.
pub(crate) fn eventually<T, E: Debug>(expected: &str, within: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if begun.elapsed() > within => panic!("expected within {within:?}: {expected}; but: {last:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
