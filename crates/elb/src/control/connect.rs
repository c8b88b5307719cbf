//! How the proxy is found, started and spoken to.

use async_trait::async_trait;
use proxy::ProxyHandle;
use routing::{ProxyConfig, Status};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A connection to a proxy. It is lost when `statuses` ends.
#[derive(Debug)]
pub struct Channel {
    /// Configurations to put in force.
    pub configs: mpsc::Sender<Arc<ProxyConfig>>,
    /// What the proxy reports.
    pub statuses: mpsc::Receiver<Status>,
}

/// Finds the proxy.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Connects to the proxy that runs; if none does, starts one where `start` says so, and fails otherwise.
    async fn connect(&self, start: bool) -> io::Result<Channel>;
}

/// Starts a proxy process, which must outlive this one: its command line is `proxy::argv`.
pub type Start = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The proxy process of a run directory.
pub struct ProxyProcess {
    /// The run directory.
    pub run_dir: PathBuf,
    /// How one is started.
    pub start: Start,
}

/// How long a proxy may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

#[async_trait]
impl Connector for ProxyProcess {
    async fn connect(&self, start: bool) -> io::Result<Channel> {
        let (mut handle, mut from_proxy) = match ProxyHandle::connect(&self.run_dir).await {
            Ok(connected) => connected,
            Err(_) if start => {
                (self.start)()?;
                ProxyHandle::connect_within(&self.run_dir, PATIENCE).await?
            }
            Err(error) => return Err(error),
        };
        let (configs, mut to_send) = mpsc::channel::<Arc<ProxyConfig>>(1);
        let (told, statuses) = mpsc::channel(1024);
        let listener = tokio::spawn(async move {
            while let Ok(Some(status)) = from_proxy.next().await {
                if told.send(status).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(config) = to_send.recv().await {
                if let Err(error) = handle.apply(ProxyConfig::clone(&config)).await {
                    tracing::warn!(%error, "the load balancers' proxy is gone");
                    break;
                }
            }
            // Ends the statuses too, so that the link learns of it and lets go of the socket.
            listener.abort();
        });
        Ok(Channel { configs, statuses })
    }
}
