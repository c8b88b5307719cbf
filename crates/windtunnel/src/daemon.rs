//! The server: everything opened in order, kept running, and taken down in reverse.
//!
//! Start: data directory → store → kernel network → tasks of an earlier life adopted → controllers → API. A clean stop
//! leaves no process, namespace, link, rule, mount or control group; after a crash the next start takes over what runs.

use crate::admin::Admin;
use crate::cli::ServeOptions;
use crate::disturbances;
use crate::doors::Doors;
use crate::output::say;
use crate::paths::{Paths, RUN_ROOT, make_private};
use crate::services::{self, Ground, Layers, Services};
use crate::verdicts::Verdicts;
use blob::BlobStore;
use controller::{Limits, Runner, SystemClock};
use ecs::adapters::LinkLocal;
use fabric::{Fabric, FabricConfig};
use gateway::{Door, Gateway};
use resolver::Dns;
use runtime::{Native, NativeConfig};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::Clock;
use vault::Vault;
use vpc::controller::Network;
use vpc::router_sockets::RouterSockets;

/// How long controllers may take to end what they do.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What a running server writes into its run directory, for `status`, `env` and `demo`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Beacon {
    pub(crate) endpoint: String,
    pub(crate) data_dir: String,
    pub(crate) pid: u32,
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
    runtime: Native,
    fabric: Arc<Fabric>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

/// `windtunnel serve`.
pub(crate) fn serve(paths: &Paths, options: &ServeOptions) -> Result<(), String> {
    log_to_stderr();
    block_on(async {
        let mut end = EndSignals::listen()?;
        let daemon = Daemon::start(paths, options).await?;
        let told = say(daemon.ready_line());
        if told.is_ok() {
            end.wait().await;
        }
        daemon.stop().await?;
        told
    })
}

/// Runs `work` on the server's own kind of runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?.block_on(work)
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
        Ok(Self { interrupt: handler(SignalKind::interrupt())?, terminate: handler(SignalKind::terminate())?, hangup })
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

impl Daemon {
    /// Opens everything. The API answers when this returns.
    pub(crate) async fn start(paths: &Paths, options: &ServeOptions) -> Result<Self, String> {
        let listener = TcpListener::bind(options.listen).await.map_err(|error| {
            format!(
                "cannot listen on {}: {error}. Stop what listens there, or choose another with --listen.",
                options.listen
            )
        })?;
        let listen = listener.local_addr().map_err(|error| error.to_string())?;
        let store = Store::open(&paths.data.join("store"), services::tables())
            .map_err(|error| format!("cannot open the data directory {}: {error}", paths.data.display()))?;
        make_private(&paths.run)
            .map_err(|error| format!("cannot make {}: {error}. Windtunnel needs root for now.", paths.run.display()))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let vault = Vault::open(&paths.data).map_err(|error| format!("cannot open the key file: {error}"))?;
        let blobs =
            BlobStore::open(&paths.data, clock.clone()).map_err(|error| format!("cannot open the blobs: {error}"))?;
        let blobs = Arc::new(blobs);
        let fabric = Fabric::open(FabricConfig { instance: paths.instance.clone(), run_root: RUN_ROOT.into() })
            .map_err(|error| format!("cannot set up the network: {error}"))?;
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

        let ground = Ground {
            store: store.clone(),
            clock: clock.clone(),
            blobs,
            vault,
            fabric: fabric.clone(),
            runtime: Arc::new(runtime.clone()),
            pace: options.pace,
            traced: Arc::default(),
        };
        let Services { identity, api, mut extras, mut controllers, control, link } =
            services::wire(&ground, &paths.data, listen)?;
        let beacon = Beacon {
            endpoint: format!("http://{listen}"),
            data_dir: paths.data.display().to_string(),
            pid: std::process::id(),
        };
        let verdicts = Verdicts::new(store.clone(), fabric.clone(), clock.clone(), ground.traced.clone());
        extras.push(Box::new(Admin::new(beacon.clone(), listen, store.clone(), fabric.clone(), verdicts.clone())));
        let gateway = Gateway::new(store.clone(), clock.clone(), identity, api, extras, secrets::query::secret_arn);
        let agent = ecs::endpoint::Endpoint::new(control.clone());
        let dns = Dns::new(store.clone(), fabric.clone(), clock.clone());
        controllers.push(Arc::new(RouterSockets::new(store.clone(), fabric.clone(), LinkLocal::new(agent))));
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
            paths: paths.clone(),
            runner,
            pump,
            disturbances,
            verdicts,
            hearing,
            link,
            runtime,
            fabric,
            stop,
            listeners,
        })
    }

    /// What a person or a script waits for.
    pub(crate) fn ready_line(&self) -> String {
        let Beacon { endpoint, data_dir, pid } = &self.beacon;
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
        for holder in [self.pump, self.disturbances, self.hearing] {
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
        self.runtime.shutdown().await;
        let outcome = tokio::task::spawn_blocking({
            let run = self.paths.run.clone();
            let fabric = self.fabric;
            move || {
                let destroyed = fabric.destroy().map_err(|error| {
                    format!("cannot take the network down: {error}. `windtunnel reset --host` clears it.")
                });
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
