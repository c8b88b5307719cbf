//! The network in the kernel: namespaces, links, routes and packet filters, made so by netlink alone.
//!
//! [`Fabric::apply`] takes a [plan](PlanParts) whole and does what leads there from what the kernel has: nothing, if it has
//! it all. The plan decides everything (crate `netplan`); this crate knows nothing of AWS. What it made outlives it: a
//! daemon that comes back reads the kernel, and goes on from there, without a packet lost.
//!
//! Everything of an instance carries its name: `<run root>/<instance>/netns/` holds its namespaces, `wt-<instance>` is
//! its one device on the host. [`destroy`] and [`reset_host`] need no more than that to remove it.
//!
//! From the internet namespace into the world leads only what a program outside carries: where
//! [`FabricConfig::outbound`] says so, there is a namespace for it to make its device in.

pub mod capture;
mod counters;
mod error;
mod ground;
mod kernel;
mod netlink;
pub mod netns;
mod observe;
pub mod ping;
mod reset;
mod settings;
mod verdicts;
mod watch;

pub use error::Error;
pub use netlink::filter::Counted;
pub use reset::{destroy, reset_host};
pub use verdicts::{Listener, Told};

use counters::Left;
use kernel::Kernel;
use netplan::{Ground, INTERNET, PlanParts, Step};
use nix::fcntl::Flock;
use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};
use watch::Ears;

/// Where run directories are, unless a test wants another place.
pub const RUN_ROOT: &str = "/run/windtunnel";

/// What a fabric is opened with.
#[derive(Debug, Clone)]
pub struct FabricConfig {
    /// Eight hexadecimal digits.
    pub instance: String,
    /// Where instances' run directories are: [`RUN_ROOT`].
    pub run_root: PathBuf,
    /// Whether a program will carry packets from `netplan::OUTBOUND` into the real internet.
    pub outbound: bool,
}

/// An instance's network on this host.
pub struct Fabric {
    run_root: PathBuf,
    netns: PathBuf,
    ground: Ground,
    state: Mutex<State>,
    ears: Ears,
    left: Mutex<Vec<Left>>,
    _held: Flock<File>,
}

struct State {
    kernel: Kernel,
    /// What the kernel has, as far as we made it; none if it must be read.
    current: Option<PlanParts>,
    /// Everything was removed, and nothing may be made any more.
    destroyed: bool,
}

impl Fabric {
    /// Takes hold of the instance's network, in the network namespace of the calling thread.
    pub fn open(config: FabricConfig) -> Result<Self, Error> {
        let FabricConfig { instance, run_root, outbound } = config;
        let directory = run_root.join(&instance);
        let netns = directory.join("netns");
        fs::create_dir_all(&netns).map_err(|e| Error::file(&netns, e))?;
        let held = reset::hold(&directory, &instance)?;
        let ground = ground::take(&run_root, &instance, outbound)?;
        let host = File::open("/proc/thread-self/ns/net").map_err(|e| Error::file("/proc/thread-self/ns/net", e))?;
        let state = State { kernel: Kernel::new(netns.clone(), host), current: None, destroyed: false };
        let ears = Ears::open(&netns).map_err(|e| Error::file(&netns, e))?;
        let state = Mutex::new(state);
        Ok(Self { run_root, netns, ground, state, ears, left: Mutex::default(), _held: held })
    }

    /// The instance's name and public addresses, which plans are made with.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Where AWS's own services answer, in the namespace [`INTERNET`].
    pub fn service_address(&self) -> Ipv4Addr {
        self.ground.service_address()
    }

    /// Makes the kernel hold the plan, and nothing else of ours. Returns how many steps that took: none if it held it
    /// already. Blocks; after an error the next call starts from what the kernel has.
    pub fn apply(&self, plan: impl Into<PlanParts>) -> Result<usize, Error> {
        let plan = plan.into();
        let mut state = self.lock();
        if state.destroyed {
            return Err(Error::Destroyed);
        }
        let State { kernel, current, .. } = &mut *state;
        let host_link = format!("wt-{}", self.ground.instance);
        let work = || {
            kernel.on_new_thread();
            let before = match current.take() {
                Some(before) => before,
                None => PlanParts::from(&observe::observe(kernel, &host_link)?),
            };
            let steps: Vec<Step> = plan.steps_from(&before);
            self.keep_counters(&steps);
            kernel.carry_out(&steps)?;
            kernel.keep_routers(&plan);
            kernel.listen(&self.ears, &host_link)?;
            // Only what was carried out to the end is known.
            *current = Some(plan);
            Ok(steps.len())
        };
        // A thread of its own, since it ends up in another namespace than it started in.
        std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or(Err(Error::Broken))
    }

    /// Readable when something changed in the network, perhaps by us: time to ask [`Fabric::disturbed`].
    pub fn changes(&self) -> BorrowedFd<'_> {
        self.ears.fd()
    }

    /// Whether somebody else changed the network since the last apply: removed links, routes, namespaces or filters. The
    /// next [`Fabric::apply`] then reads what is there, and puts it right. Packet filters are found here only, so ask from time to
    /// time. Blocks while a plan is applied.
    pub fn disturbed(&self) -> bool {
        let mut state = self.lock();
        let State { kernel, current, destroyed } = &mut *state;
        let host_link = format!("wt-{}", self.ground.instance);
        let disturbed = kernel.disturbed(&self.ears, &host_link).unwrap_or(true);
        if *destroyed || current.is_none() || !disturbed {
            return false;
        }
        *current = None;
        kernel.forget();
        true
    }

    /// Whether the kernel holds exactly what the last plan says, read afresh. Filters are not read.
    pub fn verify(&self) -> Result<Vec<Step>, Error> {
        let mut state = self.lock();
        let State { kernel, current, .. } = &mut *state;
        let host_link = format!("wt-{}", self.ground.instance);
        let work = || {
            kernel.on_new_thread();
            let mut found = observe::observe(kernel, &host_link)?;
            let Some(plan) = current.as_ref().map(PlanParts::whole) else { return Ok(Vec::new()) };
            for (name, namespace) in &mut found.namespaces {
                if let Some(planned) = plan.namespaces.get(name) {
                    namespace.filter.clone_from(&planned.filter);
                    namespace.settings.clone_from(&planned.settings);
                }
            }
            Ok(plan.diff(&found))
        };
        std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or(Err(Error::Broken))
    }

    /// The path of a namespace, for those who enter it: a task's launcher, the proxy.
    pub fn netns_path(&self, name: &str) -> PathBuf {
        self.netns.join(name)
    }

    /// A number that tells a namespace from one of its name that is gone but held by a socket. `None` if it does not
    /// stand.
    pub fn netns_identity(&self, name: &str) -> Option<u64> {
        fs::metadata(self.netns_path(name)).ok().map(|file| file.ino())
    }

    /// Whether a namespace has a device of this name. Blocks for a moment.
    pub fn has_device(&self, name: &str, device: &str) -> io::Result<bool> {
        netns::has_device(&self.netns_path(name), device)
    }

    /// A listening socket in a namespace: a VPC's router (`netplan::router_netns`), [`INTERNET`], an attachment's.
    pub fn listen_tcp(&self, name: &str, address: SocketAddr) -> io::Result<TcpListener> {
        netns::listen_tcp(&self.netns_path(name), address)
    }

    /// A listening socket at [`Fabric::service_address`].
    pub fn listen_service(&self, port: u16) -> io::Result<TcpListener> {
        self.listen_tcp(INTERNET, SocketAddr::from((self.service_address(), port)))
    }

    /// A datagram socket in a namespace.
    pub fn udp_socket(&self, name: &str, address: SocketAddr) -> io::Result<UdpSocket> {
        netns::udp_socket(&self.netns_path(name), address)
    }

    /// A connection out of a namespace, begun but not waited for.
    pub fn connect_tcp(&self, name: &str, address: SocketAddr) -> io::Result<TcpStream> {
        netns::connect_tcp(&self.netns_path(name), address)
    }

    /// Removes everything of this instance from the host, for good: whoever still has this handle can make nothing more.
    pub fn destroy(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.destroyed = true;
        state.current = None;
        // Open sockets would keep the routers alive.
        state.kernel.keep_routers(&PlanParts::default());
        reset::clear(&self.run_root, &self.ground.instance)
    }

    /// Where the instance's namespaces are.
    pub fn netns_directory(&self) -> &Path {
        &self.netns
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic within leaves `current` empty, and the next apply reads the kernel.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
