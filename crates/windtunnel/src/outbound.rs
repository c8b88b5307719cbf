//! The way into the real internet: a program that carries packets between a namespace of ours and the machine's own
//! connections, pasta or slirp4netns, where one is installed.
//!
//! Neither needs a right on the machine that its user has not: what a task sends is sent by that program, as if the user
//! did. It is found here, started where there is none (it outlives a server that crashed, as tasks do), and ended. What
//! leads to it is the network's plan (`netplan`, "the way outbound"); private addresses are not led there.

mod names;

pub(crate) use names::MachineNames;

use fabric::Fabric;
use netplan::{OUTBOUND, OUTBOUND_DEVICE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::Clock;

/// How often to see whether the program still carries.
const LOOK: Duration = Duration::from_secs(1);
/// How often to see whether it is needed by now.
const NEEDED: Duration = Duration::from_millis(100);
/// How long it may take until it does.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait at most after it failed again: the machine itself may get its network later.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What leads from VPCs into the real internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Internet {
    /// pasta or slirp4netns, whichever is installed
    Auto,
    /// Nothing: tasks reach this machine's public addresses and the services here
    None,
    /// pasta, of the package passt
    Pasta,
    /// slirp4netns
    Slirp4netns,
}

/// A program that carries packets out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carrier {
    kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pasta,
    Slirp4netns,
}

impl Kind {
    /// In the order of preference: pasta copies less.
    const ALL: [Self; 2] = [Self::Pasta, Self::Slirp4netns];

    fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }
}

/// What both make their devices with.
const TUN: &str = "/dev/net/tun";

impl Carrier {
    /// The one that was asked for, if one was. Says why not where there is none of it; a server that was asked for
    /// [`Internet::Auto`] does without.
    pub(crate) fn find(wanted: Internet) -> Result<Option<Self>, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = |kind: Kind| installed(&path, kind.name()).map(|program| Self { kind, program });
        let (found, what) = match wanted {
            Internet::None => return Ok(None),
            Internet::Auto => {
                (Kind::ALL.into_iter().find_map(installed), "neither pasta (package passt) nor slirp4netns")
            }
            Internet::Pasta => (installed(Kind::Pasta), "no pasta (package passt)"),
            Internet::Slirp4netns => (installed(Kind::Slirp4netns), "no slirp4netns"),
        };
        let found = found.ok_or_else(|| format!("{what} is in PATH"))?;
        let opened = fs::File::options().read(true).write(true).open(TUN);
        let closed = |error| format!("{} cannot use {TUN}: {error}. On most machines everybody may", found.name());
        opened.map_err(closed)?;
        Ok(Some(found))
    }

    /// What people know it by.
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// The command line that has it carry for the namespace bound at `netns`, in the words of its manual page. It must be
    /// started in the network that it is to lead to. What it says goes to `log`.
    fn command_line(&self, netns: &Path, log: &Path, root: bool) -> Vec<OsString> {
        // Neither can be kept from talking, and a shell is everywhere.
        let shell = ["/bin/sh", "-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1 </dev/null", "sh"];
        let mut words: Vec<OsString> = shell.into_iter().map(OsString::from).collect();
        words.extend([log.into(), self.program.clone().into()]);
        let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
        match self.kind {
            Kind::Pasta => {
                // Nothing of the machine's own is reached by it: no port, no loopback.
                add(&["--foreground", "--quiet", "--ipv4-only", "--config-net", "--no-map-gw", "--no-dhcp"]);
                add(&["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
                add(&["--address", "169.254.2.1", "--netmask", "30", "--gateway", "169.254.2.2"]);
                add(&["--ns-ifname", OUTBOUND_DEVICE]);
                if root {
                    // As anybody else it may not enter the namespace. It gives up what it does not need by itself.
                    add(&["--runas", "0:0"]);
                }
                add(&["--netns"]);
                words.push(netns.into());
            }
            Kind::Slirp4netns => {
                add(&["--configure", "--mtu=65520", "--disable-host-loopback", "--disable-dns"]);
                add(&["--cidr=169.254.2.0/24", "--netns-type=path"]);
                words.push(netns.into());
                words.push(OUTBOUND_DEVICE.into());
            }
        }
        words
    }
}

/// Where in `path` a program is.
fn installed(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file())
}

/// Starts a command line that outlives this process.
pub(crate) type Start = Box<dyn Fn(Vec<OsString>) -> io::Result<()> + Send + Sync>;

/// Has `carrier` carry for as long as this is polled, from when a VPC has an internet gateway: starts it whenever there
/// is none.
pub(crate) async fn keep(
    carrier: Carrier,
    store: Store,
    fabric: Arc<Fabric>,
    run: PathBuf,
    start: Start,
    clock: Arc<dyn Clock>,
) {
    while store.view().count::<vpc::rows::InternetGateway>() == 0 {
        clock.sleep(NEEDED).await;
    }
    let log = run.join("outbound.log");
    let command_line = carrier.command_line(&fabric.netns_path(OUTBOUND), &log, nix::unistd::geteuid().is_root());
    let mut failures = 0;
    loop {
        // Before the first plan there is no namespace.
        if carries(&fabric).await == Some(false) {
            let started = start(command_line.clone());
            if started.is_ok() && comes_up(&fabric, &*clock).await {
                failures = 0;
            } else {
                failures += 1;
            }
            if failures == 1 {
                tracing::warn!(
                    carrier = carrier.name(),
                    log = %log.display(),
                    "no internet: the program that leads there does not start; it is tried again"
                );
            }
        }
        let pause = LOOK.saturating_mul(1 << failures.min(6));
        clock.sleep(pause.min(LONGEST_PAUSE)).await;
    }
}

/// Whether the namespace has the carrier's device; none if there is no such namespace.
async fn carries(fabric: &Arc<Fabric>) -> Option<bool> {
    let fabric = fabric.clone();
    let look = move || fabric.has_device(OUTBOUND, OUTBOUND_DEVICE).ok();
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

async fn comes_up(fabric: &Arc<Fabric>, clock: &dyn Clock) -> bool {
    let until = clock.now().plus(PATIENCE);
    while clock.now() < until {
        if carries(fabric).await == Some(true) {
            return true;
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Ends what carries for the instance of this run directory. Nothing happens if there is nothing.
pub(crate) fn end(run: &Path) {
    let netns = run.join("netns").join(OUTBOUND);
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let command_line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid.filter(|_| is_carrier(&command_line, &netns)) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Whether a command line, as the kernel shows it, is that of a carrier for `netns`.
fn is_carrier(command_line: &[u8], netns: &Path) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let program = words.next().and_then(|program| program.rsplit(|byte| *byte == b'/').next());
    // pasta starts itself again by the name of the processor's abilities.
    let known = |program: &[u8]| Kind::ALL.iter().any(|kind| program.starts_with(kind.name().as_bytes()));
    program.is_some_and(known) && words.any(|word| word == netns.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_instances_carrier_is_taken_for_it() {
        let netns = Path::new("/run/windtunnel/0badcafe/netns/outbound");
        for kind in Kind::ALL {
            let carrier = Carrier { kind, program: Path::new("/usr/bin").join(kind.name()) };
            let words = carrier.command_line(netns, Path::new("/run/x/outbound.log"), true);
            // What is left once the shell has made way.
            let seen: Vec<u8> = words[5..].iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
            assert!(is_carrier(&seen, netns), "{words:?}");
            assert!(!is_carrier(&seen, Path::new("/run/windtunnel/0badcaff/netns/outbound")), "{words:?}");
        }
        assert!(!is_carrier(b"vim\0/run/windtunnel/0badcafe/netns/outbound\0", netns));
        assert!(!is_carrier(b"", netns));
    }

    #[test]
    fn a_program_is_looked_for_in_absolute_directories() {
        assert_eq!(installed(OsStr::new("bin:/nowhere:/bin"), "sh"), Some("/bin/sh".into()));
        assert_eq!(installed(OsStr::new("/bin"), "no-such-program"), None);
        assert_eq!(installed(OsStr::new(""), "sh"), None);
    }
}
