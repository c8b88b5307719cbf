//! Has the network put right when somebody else changed it: an administrator, another program.
//!
//! The fabric notices; the network's controller then reads what is there and applies its plan again.

use controller::Runner;
use fabric::Fabric;
use std::{os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::io::{Interest, unix::AsyncFd};
use types::Clock;
use vpc::controller::Network;

/// How long to wait after a change, so that one look is enough for many.
const PAUSE: Duration = Duration::from_millis(100);
/// How often to look for changes that the kernel does not tell of: those of packet filters.
const LOOK: Duration = Duration::from_secs(2);

/// Watches until it is dropped.
pub(crate) async fn watch(fabric: Arc<Fabric>, runner: Arc<Runner>, clock: Arc<dyn Clock>) {
    let changes = fabric.changes().try_clone_to_owned();
    #[allow(
        deprecated,
        reason = "an OwnedFd never answers another descriptor; the new way asks for an unsafe promise of that"
    )]
    let changes = changes.and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE));
    let changes = changes.inspect_err(|error| tracing::warn!(%error, "changes are looked for now and then only")).ok();
    loop {
        if told(changes.as_ref(), &*clock).await {
            clock.sleep(PAUSE).await;
        }
        let asked = fabric.clone();
        if tokio::task::spawn_blocking(move || asked.disturbed()).await.unwrap_or(false) {
            tracing::warn!("the network was changed from outside; it is put right");
            runner.wake(Network::NAME, Network::key());
        }
    }
}

/// Waits until there may have been a change. Returns whether the kernel said so.
async fn told(changes: Option<&AsyncFd<OwnedFd>>, clock: &dyn Clock) -> bool {
    let Some(changes) = changes else {
        clock.sleep(LOOK).await;
        return false;
    };
    tokio::select! {
        guard = changes.readable() => guard.map(|mut guard| guard.clear_ready()).is_ok(),
        () = clock.sleep(LOOK) => false,
    }
}
