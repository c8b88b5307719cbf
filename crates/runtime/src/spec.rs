//! What a task is to be: everything that its containers need, resolved. Plain data.
//!
//! Secrets are in here as values of environment variables, so a spec is never written to disk.

use crate::image::ImageSnapshot;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A task's id: 32 lower-case hexadecimal digits, as ECS writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id in `text`, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let fine = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fine.then(|| Self(text.to_owned()))
    }

    /// A fresh one.
    pub fn generate() -> Self {
        Self(types::id::random_hex(32))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = InvalidSpec;

    fn try_from(text: String) -> Result<Self, InvalidSpec> {
        Self::parse(&text).ok_or_else(|| InvalidSpec(format!("{text:?} is not a task id")))
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

/// Why a spec cannot be run, whatever the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSpec(pub String);

/// A task: containers that share a network namespace and a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its id.
    pub id: TaskId,
    /// The network that all containers share.
    pub network: Network,
    /// The containers share one process namespace, and see and signal each other.
    pub shared_processes: bool,
    /// The containers share one IPC namespace: semaphores, queues, and memory, by `/dev/shm` as well.
    pub shared_ipc: bool,
    /// What all containers together may use.
    pub limits: Limits,
    /// The bytes that fit into their writable layers and the volumes that end with the task, together: then these have a file
    /// system of their own. As much as the host has if unset, or where the host has no loop devices for it.
    pub storage_bytes: Option<u64>,
    /// The containers, in the order in which to start them; their names differ.
    pub containers: Vec<ContainerSpec>,
}

impl TaskSpec {
    /// Refuses what no host could run.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        let fail = |text: String| Err(InvalidSpec(text));
        if self.containers.is_empty() || self.containers.len() > MAX_CONTAINERS {
            return fail(format!("a task has 1 to {MAX_CONTAINERS} containers"));
        }
        let mut names = HashSet::new();
        for container in &self.containers {
            let name = &container.name;
            let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if name.is_empty() || name.len() > 255 || !name.bytes().all(fine) {
                return fail(format!("{name:?} is not a container's name"));
            }
            if !names.insert(name) {
                return fail(format!("two containers are named {name}"));
            }
            let layers = container.image.layers.len();
            if layers == 0 || layers > MAX_LAYERS {
                return fail(format!("the image of {name} has {layers} layers; 1 to {MAX_LAYERS} can be stacked"));
            }
            let texts = container.argv().into_iter().chain(container.environment());
            if texts.into_iter().any(|text| text.contains('\0')) {
                return fail(format!("a NUL byte in the command or environment of {name}"));
            }
            if let Some(mount) = container.mounts.iter().find(|m| !m.target.starts_with('/')) {
                return fail(format!("the mount path {:?} of {name} is not absolute", mount.target));
            }
            if let Some(tmpfs) = container.tmpfs.iter().find(|t| !t.target.starts_with('/')) {
                return fail(format!("the tmpfs path {:?} of {name} is not absolute", tmpfs.target));
            }
            if let Some(tmpfs) = container.tmpfs.iter().find(|t| t.bytes == 0) {
                return fail(format!("the tmpfs {:?} of {name} has no size, which would be no limit", tmpfs.target));
            }
            for mount in &container.mounts {
                if let MountSource::TaskVolume(volume) = &mount.source
                    && (volume.is_empty() || volume.len() > 255 || !volume.bytes().all(fine))
                {
                    return fail(format!("{volume:?} is not a volume's name"));
                }
                if let MountSource::Kept(kept) = &mount.source
                    && !kept.is_valid()
                {
                    return fail(format!("{:?} in {:?} is not a volume's place", kept.path, kept.store));
                }
            }
        }
        Ok(())
    }
}

/// As many as a task definition may have.
pub(crate) const MAX_CONTAINERS: usize = 10;
/// As many as overlayfs is asked to stack; Docker's limit too.
pub(crate) const MAX_LAYERS: usize = 127;

/// The network of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The namespace mounted at this path, which must exist before the start.
    Namespace(PathBuf),
    /// A namespace of its own with a loopback alone (ECS's network mode `none`).
    Isolated,
    /// The host's.
    Host,
}

/// What a group of processes may use. Nothing set: as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// CPU.
    pub cpu: Option<CpuLimit>,
    /// Memory in bytes; more is an out-of-memory kill.
    pub memory_bytes: Option<u64>,
    /// Memory in bytes that it keeps under pressure.
    pub memory_reservation_bytes: Option<u64>,
    /// Swap space in bytes beside a limited memory; none if unset, as on Fargate.
    pub swap_bytes: Option<u64>,
    /// How readily it is swapped out, 0 to 100. Control groups of version 2 have no such setting.
    pub swappiness: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// CPU in ECS's units, 1024 to a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimit {
    /// The units.
    pub units: u32,
    /// Never more than the units (Fargate's tasks), rather than a share of what is wanted (containers).
    pub hard: bool,
}

/// When a container starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartWhen {
    /// With the task.
    #[default]
    Now,
    /// When [`crate::Runtime::start_container`] says so.
    Asked,
}

/// Which ends of a container are followed by another start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Exit codes that end it for good.
    pub ignored_codes: Vec<i32>,
    /// How long it must have run since its last start: one that ends sooner has ended for good.
    pub after: Duration,
}

impl Restart {
    /// Whether a container that ended with `code` after it had run for so long starts again.
    pub fn applies(&self, code: i32, ran: Duration) -> bool {
        ran >= self.after && !self.ignored_codes.contains(&code)
    }
}

/// A container. [`ContainerSpec::new`] has Docker's defaults; set what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name: letters, digits, `-`, `_`.
    pub name: String,
    /// Its image.
    pub image: ImageSnapshot,
    /// When it starts.
    pub start: StartWhen,
    /// Started again when it ends, by its shim, so that this needs no daemon.
    pub restart: Option<Restart>,
    /// In place of the image's entry point, if set; the image's command then is not used either.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's command, if set.
    pub command: Option<Vec<String>>,
    /// Environment, over the image's. A later entry wins.
    pub env: Vec<(String, String)>,
    /// `name`, `uid`, `name:group`, `uid:gid` … in place of the image's.
    pub user: Option<String>,
    /// In place of the image's.
    pub working_dir: Option<String>,
    /// Nothing outside of mounts can be written.
    pub readonly_rootfs: bool,
    /// What this container may use, within the task's limits.
    pub limits: Limits,
    /// Capabilities that differ from Docker's 14.
    pub capabilities: Capabilities,
    /// No gain of privileges by set-user-ID programs.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// Memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// Its host name; the task's id in short if unset.
    pub hostname: Option<String>,
    /// More lines for `/etc/hosts`.
    pub hosts: Vec<HostEntry>,
    /// Name servers for `/etc/resolv.conf`.
    pub dns_servers: Vec<IpAddr>,
    /// Search domains for `/etc/resolv.conf`.
    pub dns_search: Vec<String>,
    /// From the stop signal to SIGKILL.
    pub stop_timeout: Duration,
    /// A small init reaps orphans and passes signals on.
    pub init: bool,
    /// Its standard input stays open, though nobody writes to it. Otherwise it is at its end from the beginning.
    pub stdin: bool,
    /// Its standard streams are a terminal.
    pub terminal: bool,
    /// The size of `/dev/shm`.
    pub shm_bytes: u64,
    /// `net.*` and IPC settings of the container's namespaces.
    pub sysctls: Vec<(String, String)>,
    /// What happens to its output while nobody ships it.
    pub log_buffer: LogBuffer,
}

impl ContainerSpec {
    /// A container of `image` with Docker's defaults.
    pub fn new(name: impl Into<String>, image: ImageSnapshot) -> Self {
        Self {
            name: name.into(),
            image,
            start: StartWhen::Now,
            restart: None,
            entrypoint: None,
            command: None,
            env: Vec::new(),
            user: None,
            working_dir: None,
            readonly_rootfs: false,
            limits: Limits::default(),
            capabilities: Capabilities::default(),
            no_new_privileges: true,
            ulimits: Vec::new(),
            tmpfs: Vec::new(),
            mounts: Vec::new(),
            hostname: None,
            hosts: Vec::new(),
            dns_servers: Vec::new(),
            dns_search: Vec::new(),
            stop_timeout: Duration::from_secs(30),
            init: false,
            stdin: false,
            terminal: false,
            shm_bytes: 64 << 20,
            sysctls: Vec::new(),
            log_buffer: LogBuffer::default(),
        }
    }

    /// The program and its arguments, by Docker's rules: an entry point of the task definition drops the image's command.
    pub fn argv(&self) -> Vec<String> {
        let image = &self.image.config;
        let mut argv = self.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone());
        match (&self.command, &self.entrypoint) {
            (Some(command), _) => argv.extend_from_slice(command),
            (None, None) => argv.extend_from_slice(&image.cmd),
            (None, Some(_)) => {}
        }
        argv
    }

    /// `KEY=value` lines: the image's, overridden by the task definition's, with a `PATH` if neither has one.
    pub fn environment(&self) -> Vec<String> {
        let mut env: Vec<(String, String)> = Vec::new();
        let image = self.image.config.env.iter().map(|line| match line.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (line.clone(), String::new()),
        });
        for (key, value) in image.chain(self.env.iter().cloned()) {
            match env.iter_mut().find(|(k, _)| *k == key) {
                Some(entry) => entry.1 = value,
                None => env.push((key, value)),
            }
        }
        if !env.iter().any(|(key, _)| key == "PATH") {
            env.insert(0, ("PATH".to_owned(), DEFAULT_PATH.to_owned()));
        }
        if self.terminal && !env.iter().any(|(key, _)| key == "TERM") {
            env.insert(1, ("TERM".to_owned(), "xterm".to_owned()));
        }
        env.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

/// Docker's `PATH` where an image has none.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Changes to the default capabilities, by their names without `CAP_`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Added: a default one, or `SYS_PTRACE`. With any other the container does not start.
    pub add: Vec<String>,
    /// Dropped; `ALL` means all. What is both added and dropped by name is added.
    pub drop: Vec<String>,
}

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Of what.
    pub resource: Resource,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit. Where the host does not allow as much, as much as it does.
    pub hard: u64,
}

/// What a resource limit is of; ECS's names in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are setrlimit's own")]
pub enum Resource {
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl Resource {
    /// The resource of ECS's name (`nofile`).
    pub fn parse(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// A memory file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Where, in the container.
    pub target: String,
    /// Its size.
    pub bytes: u64,
    /// mount(8)'s options: `ro`, `noexec`, `mode=1777` …; unknown ones are refused at the start.
    pub options: Vec<String>,
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub source: MountSource,
    /// Where, in the container.
    pub target: String,
    /// Not to be written.
    pub read_only: bool,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A directory that lives as long as the task and that its containers share by this name.
    TaskVolume(String),
    /// Volume number so and so that the image of this container declares; it lives as long as the task.
    ImageVolume(String, usize),
    /// A directory that outlives the task.
    Kept(KeptVolume),
    /// A file or directory of the host; a directory is made if there is none.
    HostPath(PathBuf),
}

/// A directory below the runtime's data that outlives tasks. Nothing in it leads out of it, whatever links a task left there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptVolume {
    /// The store that it is in: names with slashes between them. It is made if there is none.
    pub store: String,
    /// Where in the store, from its top.
    pub path: String,
    /// Make the directory if there is none, rather than fail.
    pub create: bool,
}

impl KeptVolume {
    fn is_valid(&self) -> bool {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        self.store.split('/').all(|part| !part.is_empty() && part.bytes().all(fine)) && !self.path.contains('\0')
    }
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The address.
    pub address: IpAddr,
    /// Its names.
    pub names: Vec<String>,
}

/// What happens when more output waits to be shipped than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogBuffer {
    /// The container waits when it writes more than this many bytes ahead (the log driver's mode `blocking`).
    Blocking {
        /// The bytes.
        bytes: u64,
    },
    /// Lines beyond this many bytes are lost (mode `non-blocking` with `max-buffer-size`).
    Dropping {
        /// The bytes.
        bytes: u64,
    },
}

impl Default for LogBuffer {
    fn default() -> Self {
        Self::Blocking { bytes: 64 << 20 }
    }
}

/// A further process in a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// When to kill it.
    pub timeout: Duration,
}

/// A process in a running container that somebody talks with. It is root there, whoever the container runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its terminal, at this size. Without, it has three pipes.
    pub terminal: Option<TerminalSize>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

impl TerminalSize {
    /// As the kernel has it.
    pub(crate) fn winsize(self) -> rustix::termios::Winsize {
        rustix::termios::Winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageConfig;

    fn container() -> ContainerSpec {
        let config = ImageConfig {
            entrypoint: vec!["/entry".into()],
            cmd: vec!["serve".into()],
            env: vec!["A=image".into(), "B=image".into()],
            ..ImageConfig::default()
        };
        ContainerSpec::new("app", ImageSnapshot { digest: "sha256:0".into(), layers: Vec::new(), config })
    }

    #[test]
    fn an_overridden_entry_point_drops_the_images_command() {
        let mut spec = container();
        assert_eq!(spec.argv(), ["/entry", "serve"]);
        spec.command = Some(vec!["other".into()]);
        assert_eq!(spec.argv(), ["/entry", "other"]);
        spec.entrypoint = Some(vec!["/mine".into()]);
        assert_eq!(spec.argv(), ["/mine", "other"]);
        spec.command = None;
        assert_eq!(spec.argv(), ["/mine"]);
    }

    #[test]
    fn the_task_definitions_environment_wins_and_a_path_is_always_there() {
        let mut spec = container();
        spec.env = vec![("B".into(), "mine".into()), ("C".into(), String::new())];
        assert_eq!(spec.environment(), [&format!("PATH={DEFAULT_PATH}"), "A=image", "B=mine", "C="]);
    }

    #[test]
    fn a_container_that_ran_long_enough_starts_again_unless_its_code_is_ignored() {
        let restart = Restart { ignored_codes: vec![0, 3], after: Duration::from_secs(60) };
        assert!(restart.applies(1, Duration::from_secs(60)));
        assert!(!restart.applies(1, Duration::from_millis(59_999)), "it did not run for the attempt period");
        assert!(!restart.applies(0, Duration::from_hours(1)) && !restart.applies(3, Duration::from_hours(1)));
    }

    #[test]
    fn a_task_id_is_32_lower_case_digits() {
        assert!(TaskId::parse("0123456789abcdef0123456789abcdef").is_some());
        assert!(TaskId::parse("0123456789ABCDEF0123456789abcdef").is_none(), "upper case was taken");
        assert!(TaskId::parse("../../etc").is_none(), "a path was taken for an id");
        assert!(serde_json::from_str::<TaskId>("\"x\"").is_err(), "deserialising goes round the check");
    }
}
