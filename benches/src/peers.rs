//! What must be installed: the peers and the load generator. Checked before anything is measured.

use crate::Outcome;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program, the Debian package that brings it, and the cases that need it.
const PROGRAMS: [(&str, &str, &[&str]); 8] = [
    ("wrk", "wrk", &["api", "alb"]),
    ("taskset", "util-linux", &["api", "alb"]),
    ("nsenter", "util-linux", &["task", "fleet"]),
    ("unshare", "util-linux", &["task", "fleet"]),
    ("podman", "podman", &["task", "fleet"]),
    ("crun", "crun", &["task", "fleet"]),
    ("nginx", "nginx-light", &["alb"]),
    ("haproxy", "haproxy", &["alb"]),
];

/// A static busybox: what runs in the containers.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Refuses by name what is missing for the case.
pub(crate) fn check(case: &str) -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return Err("windtunnel and podman are measured as root; run it as root".to_owned());
    }
    for (program, package, _) in PROGRAMS.iter().filter(|(_, _, cases)| cases.contains(&case)) {
        if find(program).is_none() {
            return Err(format!("{case} needs {program}; install the Debian package {package}"));
        }
    }
    match case {
        "task" | "fleet" if !std::path::Path::new(BUSYBOX).exists() => {
            Err(format!("{case} needs {BUSYBOX}; install the Debian package busybox-static"))
        }
        "start" | "api" => moto().map(drop),
        _ => Ok(()),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps nginx and haproxy where only root's path leads.
    let also = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(also).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The Python that has moto: the interpreter itself, as a version manager's wrapper would be measured too.
pub(crate) fn moto() -> Outcome<PathBuf> {
    let script = "import sys, moto.server; print(sys.executable)";
    let asked = Command::new("python3").args(["-c", script]).stderr(Stdio::null()).output();
    let path = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let path = path
        .and_then(|path| String::from_utf8(path).ok())
        .ok_or("moto, the peer of start and api, is missing; pip install 'moto[server]'")?;
    Ok(PathBuf::from(path.trim()))
}
