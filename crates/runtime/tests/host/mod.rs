//! What the tests share: a runtime of their own on this host, an image of busybox, and the promise that nothing of them stays.

#![allow(dead_code, reason = "each test file uses a part")]

use runtime::{
    ContainerSpec, ContainerState, Exit, ImageConfig, ImageSnapshot, LayerRef, Limits, Native, NativeConfig, Network,
    Runtime, TaskId, TaskSpec, TaskStatus, reset_host,
};
use sha2::{Digest, Sha256};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use types::{Clock, Timestamp};

/// How long anything here may take before it counts as never.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The machine's clock.
pub(crate) struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_millis()).unwrap())
    }

    fn sleep(&self, by: Duration) -> types::clock::Sleep {
        Box::pin(tokio::time::sleep(by))
    }
}

/// A runtime with directories and control groups of its own; both are gone when it is dropped.
pub(crate) struct Host {
    pub(crate) instance: String,
    pub(crate) root: tempfile::TempDir,
}

impl Host {
    /// None, and a word why, where this process may not do what a runtime does.
    pub(crate) fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIPPED: needs root");
            return None;
        }
        if !Path::new("/bin/busybox").exists() {
            println!("SKIPPED: needs a static /bin/busybox");
            return None;
        }
        let instance = types::id::random_hex(8);
        let root = tempfile::Builder::new().prefix("wt-").tempdir().unwrap();
        Some(Self { instance, root })
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.root.path().join("run")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) async fn open(&self) -> Native {
        let config = NativeConfig {
            run_dir: self.run_dir(),
            data_dir: self.data_dir(),
            instance: self.instance.clone(),
            program: env!("CARGO_BIN_EXE_runtime-testhost").into(),
            layers: Arc::new(blobs),
            clock: Arc::new(RealClock),
        };
        Native::open(config).await.unwrap()
    }

    /// Whether limits are enforced here; says that they are not.
    pub(crate) fn limits(native: &Native) -> bool {
        let all = native.unenforced_limits().iter().all(|limit| *limit == "ephemeralStorage");
        if !all {
            println!("SKIPPED: needs control groups that it may write");
        }
        all
    }

    /// Control groups that carry this instance.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut stack = vec![PathBuf::from("/sys/fs/cgroup")];
        while let Some(directory) = stack.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    if entry.file_name() == self.instance.as_str() {
                        found.push(entry.path());
                    } else if entry.path().components().count() < 7 {
                        stack.push(entry.path());
                    }
                }
            }
        }
        found
    }

    /// Asserts that the task has left nothing.
    #[expect(clippy::disallowed_methods, reason = "the kernel keeps no clock of ours")]
    pub(crate) fn assert_gone(&self, id: &TaskId) {
        for path in [self.run_dir(), self.data_dir()].map(|d| d.join("tasks").join(id.as_str())) {
            assert!(!path.exists(), "{} was left", path.display());
        }
        for group in self.cgroups() {
            assert!(!group.join(id.as_str()).exists(), "a control group was left below {}", group.display());
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(id.as_str()), "a mount was left in the host's namespace");
        // The kernel takes mounts of dead namespaces apart a moment after their last process.
        for _ in 0..500 {
            if loops(id).is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("loop devices were left: {:?}", loops(id));
    }
}

/// The loop devices with files of the task.
pub(crate) fn loops(id: &TaskId) -> Vec<String> {
    let mut found = Vec::new();
    for device in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = std::fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        if file.contains(id.as_str()) {
            found.push(format!("{}: {}", device.path().display(), file.trim()));
        }
    }
    found
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = reset_host(&self.run_dir(), &self.instance);
    }
}

fn blobs(digest: &str) -> io::Result<Box<dyn Read + Send>> {
    let mut all = std::iter::once(busybox_layer()).chain((0..=MOST_LAYERS).map(word_layer));
    match all.find(|(_, known)| digest == known) {
        Some((blob, _)) => Ok(Box::new(Cursor::new(blob))),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

const MOST_LAYERS: usize = 128;

/// A layer that replaces one file.
fn word_layer(number: usize) -> (Vec<u8>, String) {
    let mut tar = tar::Builder::new(Vec::new());
    let content = format!("layer {number}\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "word", content.as_bytes()).unwrap();
    let bytes = tar.into_inner().unwrap();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    (bytes, digest)
}

/// An image of so many layers; the file `/word` is in all but the lowest.
pub(crate) fn deep_image(layers: usize) -> ImageSnapshot {
    let mut image = image();
    let words = (1..layers).map(|n| word_layer(n).1);
    image.layers.extend(words.map(|digest| LayerRef { diff_id: digest.clone(), digest }));
    image
}

/// A layer with busybox, a few links to it, and accounts.
fn busybox_layer() -> (Vec<u8>, String) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut put = |path: &str, mode: u32, kind: tar::EntryType, link: Option<&str>, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        match link {
            Some(link) => tar.append_link(&mut header, path, link).unwrap(),
            None => tar.append_data(&mut header, path, content).unwrap(),
        }
    };
    let busybox = std::fs::read("/bin/busybox").unwrap();
    for directory in ["bin", "etc", "home/web"] {
        put(directory, 0o755, tar::EntryType::Directory, None, b"");
    }
    put("tmp", 0o1777, tar::EntryType::Directory, None, b"");
    put("bin/busybox", 0o755, tar::EntryType::Regular, None, &busybox);
    let links = [
        "sh", "echo", "cat", "sleep", "id", "env", "pwd", "mount", "unshare", "ip", "hostname", "touch", "ls", "true",
        "sync", "grep", "mkdir", "mknod", "dd", "head", "tr", "seq", "kill", "ps", "stat", "chown", "wc", "nc",
        "ulimit", "rm",
    ];
    for name in links {
        put(&format!("bin/{name}"), 0o777, tar::EntryType::Symlink, Some("busybox"), b"");
    }
    put(
        "etc/passwd",
        0o644,
        tar::EntryType::Regular,
        None,
        b"root:x:0:0::/root:/bin/sh\nweb:x:101:102::/home/web:/bin/sh\n",
    );
    put("etc/group", 0o644, tar::EntryType::Regular, None, b"root:x:0:\nweb:x:102:\nextra:x:103:web\n");
    put("bin/notaprogram", 0o755, tar::EntryType::Regular, None, b"\x01\x02\x03garbage");
    let bytes = tar.into_inner().unwrap();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    (bytes, digest)
}

pub(crate) fn image() -> ImageSnapshot {
    let digest = busybox_layer().1;
    let config = ImageConfig { env: vec!["FROM=image".into()], ..ImageConfig::default() };
    ImageSnapshot { digest: digest.clone(), layers: vec![LayerRef { diff_id: digest.clone(), digest }], config }
}

pub(crate) fn container(name: &str, command: &[&str]) -> ContainerSpec {
    let mut spec = ContainerSpec::new(name, image());
    spec.command = Some(command.iter().map(|part| (*part).to_owned()).collect());
    spec
}

pub(crate) fn shell(script: &str) -> ContainerSpec {
    container("app", &["/bin/sh", "-c", script])
}

pub(crate) fn task(containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec {
        id: TaskId::generate(),
        network: Network::Isolated,
        shared_processes: false,
        shared_ipc: false,
        limits: Limits::default(),
        storage_bytes: None,
        containers,
    }
}

/// Waits until the state of a task is as wanted.
pub(crate) async fn wait_for(native: &Native, id: &TaskId, wanted: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
    let until = async {
        let mut events = native.watch();
        loop {
            let status = native.status(id).await.unwrap();
            if wanted(&status) {
                return status;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), events.recv()).await;
        }
    };
    match tokio::time::timeout(PATIENCE, until).await {
        Ok(status) => status,
        Err(elapsed) => panic!("never came to pass ({elapsed}); the task is {:?}", native.status(id).await),
    }
}

pub(crate) async fn wait_for_exit(native: &Native, id: &TaskId) -> Exit {
    let status = wait_for(native, id, TaskStatus::is_over).await;
    match &status.containers[0].state {
        ContainerState::Exited(exit) => exit.clone(),
        other => panic!("did not exit: {other:?}"),
    }
}

/// All that a container has written, as lines.
pub(crate) async fn output(native: &Native, id: &TaskId, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut offset = 0;
    loop {
        let chunk = native.read_logs(id, name, offset, 1 << 16).await.unwrap();
        if chunk.records.is_empty() {
            return lines;
        }
        offset = chunk.next;
        lines.extend(chunk.records.iter().map(|r| String::from_utf8_lossy(&r.line).into_owned()));
    }
}

/// Runs one container to its end.
pub(crate) async fn run(native: &Native, spec: ContainerSpec) -> (Exit, Vec<String>) {
    let spec = task(vec![spec]);
    let id = spec.id.clone();
    let name = spec.containers[0].name.clone();
    native.start(spec).await.unwrap();
    let exit = wait_for_exit(native, &id).await;
    let lines = output(native, &id, &name).await;
    native.remove(&id).await.unwrap();
    (exit, lines)
}
