//! What must be installed: the peers and the load generator. Checked before anything is measured.

use crate::Outcome;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program, and the package that brings it.
const PROGRAMS: [(&str, &str); 7] = [
    ("wrk", "Debian package wrk"),
    ("taskset", "Debian package util-linux"),
    ("nsenter", "Debian package util-linux"),
    ("podman", "Debian package podman"),
    ("crun", "Debian package crun"),
    ("nginx", "Debian package nginx-light"),
    ("haproxy", "Debian package haproxy"),
];

/// A static busybox: what runs in the containers.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Refuses by name what is missing.
pub(crate) fn check() -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return Err("windtunnel and podman are measured as root; run it as root".to_owned());
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            return Err(format!("{program} is missing; install the {package}"));
        }
    }
    if !std::path::Path::new(BUSYBOX).exists() {
        return Err(format!("{BUSYBOX} is missing; install the Debian package busybox-static"));
    }
    moto().map(drop)
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
        .ok_or("moto_server is missing; pip install 'moto[server]'")?;
    Ok(PathBuf::from(path.trim()))
}
