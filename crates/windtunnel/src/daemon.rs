//! The server: everything opened in order, kept running, and taken down in reverse.
//!
//! Start: data directory → store → kernel network → tasks of an earlier life adopted → controllers → API. A clean stop
//! leaves no process, namespace, link, rule, mount or control group; after a crash the next start takes over what runs.

use crate::admin::Admin;
use crate::cli::ServeOptions;
use crate::disturbances;
use crate::doors::Doors;
use crate::outbound::{self, Carrier, Internet, MachineNames};
use crate::output::say;
use crate::paths::Paths;
use crate::rootless::{self, Inside, Outside};
use crate::services::{self, Ground, Layers, Services};
use crate::verdicts::Verdicts;
use blob::BlobStore;
use controller::{Limits, Runner, SystemClock};
use ecs::adapters::LinkLocal;
use elb::LoopbackPorts;
use elb::query::Reach;
use fabric::{Fabric, FabricConfig};
use gateway::{Door, Gateway};
use nix::sys::signal::SigSet;
use proxy::loopback::client::KeeperProcess;
use resolver::{Dns, Upstream};
use runtime::{Native, NativeConfig};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use types::{Clock, Pace};
use vault::Vault;
use vpc::controller::Network;
use vpc::metadata::{Metadata, MetadataService};
use vpc::router_sockets::RouterSockets;

/// How long controllers may take to end what they do.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What a running server writes into its run directory, for `status`, `env` and `demo`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Beacon {
    pub(crate) endpoint: String,
    pub(crate) data_dir: String,
    pub(crate) pid: u32,
    /// Whether this machine has a route to public addresses; else loopback ports alone lead to load balancers.
    pub(crate) routed: bool,
    /// The limits of tasks that nothing enforces here.
    pub(crate) unenforced_limits: Vec<String>,
    /// The program that leads from VPCs into the real internet, if one does.
    #[serde(default)]
    pub(crate) internet: Option<String>,
}

/// What a server is started with.
struct Given {
    paths: Paths,
    /// The API's socket.
    listener: TcpListener,
    pace: Pace,
    outside: Option<Outside>,
    internet: Internet,
    /// Whether load balancers' URLs are printed when they come about.
    announce: bool,
}

impl Given {
    fn of(
        paths: &Paths,
        listener: TcpListener,
        options: &ServeOptions,
        outside: Option<Outside>,
        announce: bool,
    ) -> Self {
        let ServeOptions { pace, internet, .. } = *options;
        Self { paths: paths.clone(), listener, pace, outside, internet, announce }
    }
}

/// A running server.
pub(crate) struct Daemon {
    pub(crate) beacon: Beacon,
    paths: Paths,
    runner: Arc<Runner>,
    pump: JoinHandle<()>,
    disturbances: JoinHandle<()>,
    verdicts: Arc<Verdicts>,
    hearing: JoinHandle<()>,
    link: JoinHandle<()>,
    outbound: Option<JoinHandle<()>>,
    runtime: Native,
    fabric: Arc<Fabric>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

/// `windtunnel serve`.
pub(crate) fn serve(paths: &Paths, options: &ServeOptions) -> Result<(), String> {
    log_to_stderr();
    let listener = listen(options.listen)?;
    hold_end_signals();
    let inside = Inside::enter(paths)?;
    let given = Given::of(paths, listener, options, inside.outside(), true);
    let server = inside.spawn(move || {
        block_on(async {
            let mut end = EndSignals::listen()?;
            let daemon = Daemon::start(given).await?;
            let told = say(daemon.ready_line());
            if told.is_ok() {
                end.wait().await;
            }
            daemon.stop().await?;
            told
        })
    })?;
    rootless::end_of(server)
}

/// The socket of the API, in the network of the user who calls.
fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // As many as tokio's own listeners let wait.
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(1024)?)?;
        std::io::Result::Ok(listener)
    };
    open().map_err(|error| {
        format!("cannot listen on {address}: {error}. Stop what listens there, or choose another with --listen.")
    })
}

/// A server of a command's own, on a thread of its own.
pub(crate) struct Own {
    pub(crate) beacon: Beacon,
    pub(crate) ready_line: String,
    end: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<(), String>>,
}

impl Own {
    /// Starts it inside. The API answers when this returns.
    pub(crate) async fn start(inside: &Inside, paths: &Paths, options: &ServeOptions) -> Result<Self, String> {
        let listener = listen(options.listen)?;
        let given = Given::of(paths, listener, options, inside.outside(), false);
        let (tell, told) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let thread = inside.spawn(move || {
            block_on(async {
                let daemon = Daemon::start(given).await?;
                let _ = tell.send((daemon.beacon.clone(), daemon.ready_line()));
                // Whoever has started it may also just go away.
                let _ = ended.await;
                daemon.stop().await
            })
        })?;
        match told.await {
            Ok((beacon, ready_line)) => Ok(Self { beacon, ready_line, end, thread }),
            Err(_) => Err(rootless::end_of(thread).err().unwrap_or_else(|| "the server ended".to_owned())),
        }
    }

    /// Takes everything down.
    pub(crate) async fn stop(self) -> Result<(), String> {
        drop(self.end);
        let end = tokio::task::spawn_blocking(move || rootless::end_of(self.thread));
        end.await.map_err(|error| error.to_string())?
    }
}

/// Runs `work` on the server's own kind of runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let outcome = runtime.block_on(work);
    // Whoever stops has waited for what may be waited for; what does not come back keeps no process.
    runtime.shutdown_timeout(STOP_GRACE);
    outcome
}

fn end_signals() -> SigSet {
    use nix::sys::signal::Signal;
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// Has what asks the process to end wait until [`EndSignals::listen`].
pub(crate) fn hold_end_signals() {
    let _ = end_signals().thread_block();
}

/// SIGINT, SIGTERM and the end of the terminal, heeded from the moment when this is made: one that comes while the server starts ends it in an
/// orderly way as soon as it has started, and not halfway with things made on the host.
pub(crate) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    /// None under `nohup`, which has the end of the terminal ignored.
    hangup: Option<Signal>,
}

impl EndSignals {
    pub(crate) fn listen() -> Result<Self, String> {
        let handler = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
        let hangup = if ignores_hangup() { None } else { Some(handler(SignalKind::hangup())?) };
        let signals =
            Self { interrupt: handler(SignalKind::interrupt())?, terminate: handler(SignalKind::terminate())?, hangup };
        let _ = end_signals().thread_unblock();
        Ok(signals)
    }

    /// Ends with the first of them that has come since.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

/// Whether whoever started this process has SIGHUP ignored.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits & 1 != 0)
}

/// Logs to standard error, at the level of `WINDTUNNEL_LOG` (default `warn`).
pub(crate) fn log_to_stderr() {
    let level = std::env::var("WINDTUNNEL_LOG").ok().and_then(|text| text.parse().ok());
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_max_level(level.unwrap_or(tracing::Level::WARN))
        .try_init();
}

/// The ports of 127.0.0.1 of load balancers' listeners, in the network of the user.
fn loopback_ports(
    paths: &Paths,
    program: &Path,
    store: &Store,
    runtime: &Native,
    outside: Option<Outside>,
    announce: bool,
) -> LoopbackPorts {
    let network = outside.is_some().then(|| rootless::network(&paths.run));
    let command_line = proxy::loopback::client::argv(program, &paths.run, network.as_deref());
    let runtime = runtime.clone();
    let start = Arc::new(move || match &outside {
        Some(outside) => outside.start(command_line.clone()),
        None => runtime.start_companion(&command_line),
    });
    let told = move |reach: &Reach| {
        if let Some(url) = reach.url().filter(|_| announce) {
            let Reach { load_balancer, protocol, port, .. } = reach;
            // Whoever has stopped listening still finds it by `windtunnel status`.
            let _ =
                say(format_args!("windtunnel load-balancer name={load_balancer} listener={protocol}:{port} url={url}"));
        }
    };
    LoopbackPorts::new(store.clone(), Arc::new(KeeperProcess::new(paths.run.clone(), start)), Box::new(told))
}

/// Has `carrier` lead into the real internet. Without one, an earlier server's leads there no more.
fn carry_out(
    carrier: Option<Carrier>,
    paths: &Paths,
    ground: &Ground,
    runtime: &Native,
    outside: Option<Outside>,
) -> Option<JoinHandle<()>> {
    let Some(carrier) = carrier else {
        outbound::end(&paths.run);
        return None;
    };
    let runtime = runtime.clone();
    let start = move |command_line: Vec<OsString>| match &outside {
        Some(outside) => outside.start(command_line),
        None => runtime.start_companion(&command_line),
    };
    let Ground { store, fabric, clock, .. } = ground;
    let start = Box::new(start);
    Some(tokio::spawn(outbound::keep(carrier, store.clone(), fabric.clone(), paths.run.clone(), start, clock.clone())))
}

impl Daemon {
    /// Opens everything. The API answers when this returns.
    async fn start(given: Given) -> Result<Self, String> {
        let Given { paths, listener, pace, outside, internet, announce } = given;
        let carrier = match Carrier::find(internet) {
            Err(why) if internet == Internet::Auto => {
                tracing::warn!(why, "no internet: tasks reach each other, this machine and the services here");
                None
            }
            found => found.map_err(|why| format!("no internet: {why}. Without --internet the server does without."))?,
        };
        let listen = listener.local_addr().map_err(|error| error.to_string())?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
        let store = Store::open(&paths.data.join("store"), services::tables())
            .map_err(|error| format!("cannot open the data directory {}: {error}", paths.data.display()))?;
        paths.make_run()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let vault = Vault::open(&paths.data).map_err(|error| format!("cannot open the key file: {error}"))?;
        let blobs =
            BlobStore::open(&paths.data, clock.clone()).map_err(|error| format!("cannot open the blobs: {error}"))?;
        let blobs = Arc::new(blobs);
        let config = FabricConfig {
            instance: paths.instance.clone(),
            run_root: paths.run_root.clone(),
            outbound: carrier.is_some(),
        };
        let fabric = Fabric::open(config).map_err(|error| format!("cannot set up the network: {error}"))?;
        let fabric = Arc::new(fabric);
        let program = std::env::current_exe().map_err(|error| format!("cannot find this executable: {error}"))?;
        let runtime = Native::open(NativeConfig {
            run_dir: paths.run.clone(),
            data_dir: paths.data.clone(),
            instance: paths.instance.clone(),
            program: program.clone().into_os_string(),
            layers: Arc::new(Layers(blobs.clone())),
            clock: clock.clone(),
        })
        .await
        .map_err(|error| format!("cannot set up the container runtime: {error}"))?;

        let unenforced = runtime.unenforced_limits();
        if !unenforced.is_empty() {
            tracing::warn!(
                limits = unenforced.join(", "),
                "tasks' limits are not enforced: their control groups may not be written here, or, for ephemeralStorage, \
                 loop devices not be had"
            );
        }

        let ground = Ground {
            store: store.clone(),
            clock: clock.clone(),
            blobs,
            vault,
            fabric: fabric.clone(),
            runtime: Arc::new(runtime.clone()),
            pace,
            traced: Arc::default(),
        };
        let Services { identity, api, mut extras, mut controllers, control, link } =
            services::wire(&ground, &paths.data, listen)?;
        let beacon = Beacon {
            endpoint: format!("http://{listen}"),
            data_dir: paths.data.display().to_string(),
            pid: std::process::id(),
            routed: outside.is_none(),
            unenforced_limits: unenforced.into_iter().map(str::to_owned).collect(),
            internet: carrier.as_ref().map(|carrier| carrier.name().to_owned()),
        };
        let names = carrier.as_ref().map(|_| MachineNames::new(outside.clone(), clock.clone()));
        let outbound = carry_out(carrier, &paths, &ground, &runtime, outside.clone());
        controllers.push(Arc::new(loopback_ports(&paths, &program, &store, &runtime, outside, announce)));
        let verdicts = Verdicts::new(store.clone(), fabric.clone(), clock.clone(), ground.traced.clone());
        let admin =
            Admin::new(beacon.clone(), listen, store.clone(), fabric.clone(), verdicts.clone(), control.clone());
        extras.push(Box::new(admin));
        let instance_roles = (*identity).clone();
        let gateway = Gateway::new(store.clone(), clock.clone(), identity, api, extras, secrets::query::secret_arn);
        let agent = ecs::endpoint::Endpoint::new(control.clone());
        let upstream = names.map(|names| Arc::new(names) as Arc<dyn Upstream>);
        let dns = Dns::new(store.clone(), fabric.clone(), clock.clone(), upstream);
        let metadata = MetadataService::new(Metadata::new(store.clone(), clock.clone(), instance_roles));
        controllers.push(Arc::new(RouterSockets::new(store.clone(), fabric.clone(), LinkLocal::new(agent))));
        controllers.push(Arc::new(RouterSockets::new(store.clone(), fabric.clone(), metadata)));
        controllers.push(Arc::new(RouterSockets::new(store.clone(), fabric.clone(), dns)));
        controllers.push(Arc::new(Doors::new(store.clone(), fabric.clone(), gateway.clone())));
        let runner = Arc::new(Runner::start(&store, clock.clone(), controllers, Limits::default()));
        let pump = tokio::spawn({
            let runner = runner.clone();
            ecs::pump(control, move |controller, key| {
                runner.wake(controller, key);
            })
        });
        let disturbances = tokio::spawn(disturbances::watch(fabric.clone(), runner.clone(), clock));
        let hearing = tokio::spawn({
            let (runner, verdicts) = (runner.clone(), verdicts.clone());
            verdicts.run(move || {
                runner.wake(Network::NAME, Network::key());
            })
        });
        let link = tokio::spawn(link.run(elb::ProxyProcess {
            run_dir: paths.run.clone(),
            start: Arc::new({
                let (runtime, command_line) = (runtime.clone(), proxy::argv(&program, &paths.run));
                move || runtime.start_companion(&command_line)
            }),
        }));
        let (stop, stopped) = watch::channel(false);
        let listeners = vec![tokio::spawn(gateway.serve(listener, Door::Machine, stopped))];
        let text = serde_json::to_string(&beacon).map_err(|error| error.to_string())?;
        fs::write(paths.beacon(), text)
            .map_err(|error| format!("cannot write {}: {error}", paths.beacon().display()))?;
        Ok(Self {
            beacon,
            paths,
            runner,
            pump,
            disturbances,
            verdicts,
            hearing,
            link,
            outbound,
            runtime,
            fabric,
            stop,
            listeners,
        })
    }

    /// What a person or a script waits for.
    pub(crate) fn ready_line(&self) -> String {
        let Beacon { endpoint, data_dir, pid, .. } = &self.beacon;
        format!("windtunnel ready endpoint={endpoint} data-dir={data_dir} pid={pid}")
    }

    /// Takes everything down.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let _ = fs::remove_file(self.paths.beacon());
        self.stop.send_replace(true);
        // Pages that go on end first: listeners wait for open ones.
        self.verdicts.close();
        for listener in self.listeners {
            let _ = listener.await;
        }
        // These hold a handle of the runner.
        for holder in [self.pump, self.disturbances, self.hearing].into_iter().chain(self.outbound) {
            holder.abort();
            let _ = holder.await;
        }
        if let Ok(runner) = Arc::try_unwrap(self.runner)
            && let Err(unfinished) = runner.shutdown(STOP_GRACE).await
        {
            tracing::warn!(%unfinished, "stopped while controllers were at work");
        }
        self.link.abort();
        let _ = self.link.await;
        proxy::client::end(&self.paths.run).await;
        proxy::loopback::client::end(&self.paths.run).await;
        outbound::end(&self.paths.run);
        self.runtime.shutdown().await;
        let outcome = tokio::task::spawn_blocking({
            let run = self.paths.run.clone();
            let fabric = self.fabric;
            move || {
                let destroyed = fabric.destroy().map_err(|error| {
                    format!("cannot take the network down: {error}. `windtunnel reset --host` clears it.")
                });
                rootless::forget(&run);
                let _ = fs::remove_dir_all(&run);
                destroyed
            }
        });
        outcome.await.map_err(|error| error.to_string())?
    }
}

/// The server of `paths` that runs, if one does.
pub(crate) fn running(paths: &Paths) -> Option<Beacon> {
    let beacon: Beacon = serde_json::from_slice(&fs::read(paths.beacon()).ok()?).ok()?;
    // A crashed server leaves its beacon; its port answers no more.
    let address: SocketAddr = beacon.endpoint.strip_prefix("http://")?.parse().ok()?;
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok().then_some(beacon)
}
