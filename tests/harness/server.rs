//! A server of the story's own: started, killed, brought back, and gone without a trace when the story ends.

use super::api::Api;
use super::clients::{both, succeed};
use super::host::{Process, Traces};
use super::{eventually, rooted, seconds};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// The built binary.
pub(crate) const WINDTUNNEL: &str = env!("CARGO_BIN_EXE_windtunnel");

/// A server and its data directory.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) traces: Traces,
    before: BTreeSet<String>,
    root: tempfile::TempDir,
    child: Option<Child>,
    /// A runtime directory of its own.
    runtime: Option<PathBuf>,
    /// Held as long as the port is this server's.
    _port: File,
}

impl Server {
    /// A data directory and a port for a server that does not run yet.
    pub(crate) fn prepare() -> Self {
        let root = tempfile::Builder::new().prefix("wt-story-").tempdir().unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        let traces = Traces::of(&root.path().join("data"));
        let before = traces.host();
        let (address, port) = free_address();
        Self { address, traces, before, root, child: None, runtime: None, _port: port }
    }

    /// A server that answers.
    pub(crate) fn start() -> Self {
        let mut server = Self::prepare();
        server.serve();
        server
    }

    /// A server that answers, and that `reset --host` of others does not know; without root, where users have such directories.
    pub(crate) fn start_apart() -> Self {
        let mut server = Self::prepare();
        if !rooted() {
            let runtime = server.root.path().join("run");
            fs::create_dir(&runtime).unwrap();
            server.traces = server.traces.clone().apart(&runtime);
            server.runtime = Some(runtime);
        }
        server.serve();
        server
    }

    /// A server that answers, and waits so many times less than AWS.
    pub(crate) fn start_at_pace(pace: &str) -> Self {
        let mut server = Self::prepare();
        server.begin(&["serve", "--pace", pace]);
        server.await_line("windtunnel serve", "windtunnel ready endpoint=", seconds(20));
        server
    }

    /// A server that answers, and waits a tenth of what AWS waits.
    pub(crate) fn start_brisk() -> Self {
        let mut server = Self::prepare();
        server.serve_brisk();
        server
    }

    /// Starts such a one, for the first time or again.
    pub(crate) fn serve_brisk(&mut self) {
        self.begin(&["serve", "--pace", "10"]);
        self.await_line("windtunnel serve", "windtunnel ready endpoint=", seconds(20));
    }

    /// Starts `windtunnel serve`, for the first time or again.
    pub(crate) fn serve(&mut self) {
        self.begin(&["serve"]);
        self.await_line("windtunnel serve", "windtunnel ready endpoint=", seconds(20));
    }

    /// Starts `windtunnel demo`, which stays.
    pub(crate) fn demo(&mut self) {
        self.begin(&["demo"]);
    }

    /// Starts a command that becomes the server, and does not wait for it.
    pub(crate) fn begin(&mut self, arguments: &[&str]) {
        let stdout = File::create(self.root.path().join("stdout")).unwrap();
        self.begin_to(arguments, stdout.into());
    }

    /// The same where its standard output goes elsewhere.
    pub(crate) fn begin_to(&mut self, arguments: &[&str], stdout: Stdio) {
        let stderr = File::create(self.root.path().join("stderr")).unwrap();
        let mut command = self.command(arguments);
        command.args(["--listen", &self.address.to_string()]);
        // Stories keep to the machine, wherever they are told.
        if !arguments.contains(&"--internet") {
            command.args(["--internet", "none"]);
        }
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until the server has printed a line that begins with `start`, and gives it.
    pub(crate) fn await_line(&mut self, who: &str, start: &str, within: std::time::Duration) -> String {
        eventually(&format!("{who} prints {start:?}"), within, || {
            let found = self.printed().lines().find(|line| line.starts_with(start)).map(str::to_owned);
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            if let (None, Some(status)) = (&found, ended) {
                panic!("expected {who} to print {start:?}, but it ended with {status}");
            }
            found.ok_or_else(|| self.printed())
        })
    }

    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.root.path().join("stdout")).unwrap_or_default()
    }

    /// The command line of this server's instance.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WINDTUNNEL);
        command.arg("--data-dir").arg(self.data()).args(arguments);
        if let Some(runtime) = &self.runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        command
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A directory for the story's own files.
    pub(crate) fn scratch(&self) -> PathBuf {
        let dir = self.root.path().join("scratch");
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.address)
    }

    /// `http://127.0.0.1:…`
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.as_ref().expect("the server runs").id().cast_signed()
    }

    /// SIGKILL, as if the machine had run out of memory: nothing is tidied up.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal that asks it to end, and waits for that.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let ended = eventually(&format!("the server ends at {signal}"), seconds(30), || {
            child.try_wait().unwrap().ok_or("it still runs")
        });
        self.child = None;
        ended
    }

    /// `windtunnel reset --yes`.
    pub(crate) fn reset(&self) {
        succeed(&mut self.command(&["reset", "--yes"]));
    }

    /// Ends the server as a person would, and expects that it says so and leaves nothing.
    pub(crate) fn leave(mut self) {
        let processes = self.traces.processes();
        let status = self.end(Signal::SIGTERM);
        assert!(status.success(), "expected the server to end well at SIGTERM, but: {status}");
        self.assert_host_as_before(&processes);
    }

    /// Expects that nothing of the instance is on the host, and that none of `processes`, seen earlier, lives.
    pub(crate) fn assert_host_as_before(&self, processes: &BTreeSet<Process>) {
        // The kernel takes the mounts of dead namespaces apart a moment after their last process.
        eventually("the server leaves no loop device", seconds(10), || {
            let left = self.traces.loops();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        let left = self.traces.all();
        assert!(left.is_empty(), "expected the server to leave nothing on the host, but there is {left:#?}");
        let alive: Vec<_> = processes.iter().filter(|process| process.is_alive()).collect();
        assert!(alive.is_empty(), "expected the server's processes to be gone, but there is {alive:#?}");
        let after = self.traces.host();
        let new: Vec<_> = after.difference(&self.before).collect();
        assert!(new.is_empty(), "expected the host to be as before, but there is {new:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let errors = fs::read_to_string(self.root.path().join("stderr")).unwrap_or_default();
            println!("--- the server printed:\n{}\n--- and logged:\n{errors}---", self.printed());
        }
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            let _ = child.wait();
        }
        let cleared = self.command(&["reset", "--yes"]).output();
        if let Some(output) = cleared.ok().filter(|output| !output.status.success()) {
            println!("reset failed: {}", both(&output));
        }
    }
}

/// A port of loopback that nobody has, and the lock that keeps it from other stories, whose server may come back to a
/// port after it was killed. Below the range from which the kernel takes ports for connections.
fn free_address() -> (SocketAddr, File) {
    let start = std::process::id() % 8000;
    let ports = (0..8000).map(|at| (20_000 + (start * 37 + at * 13) % 8000) as u16);
    let claim = |port| {
        let lock = std::env::temp_dir().join(format!("wt-story-port-{port}"));
        let lock = File::options().create(true).append(true).open(lock).ok()?;
        lock.try_lock().ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        TcpListener::bind(address).is_ok().then_some((address, lock))
    };
    ports.into_iter().find_map(claim).expect("a free port")
}
