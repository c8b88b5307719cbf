//! What the proxy serves besides load balancers: Service Connect's mesh. Whoever has it says what is in it, and hears who is served.

use routing::connect::Mesh;
use routing::status::ListenerFailure;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::View;
use tokio::sync::watch;

/// Whoever has a mesh.
pub trait MeshSource: Send + Sync {
    /// The tables that it is made of.
    fn tables(&self) -> &'static [&'static str];
    /// The mesh, from rows alone.
    fn mesh(&self, view: &View) -> Mesh;
}

/// Tells which tasks the proxy serves.
pub type Serving = watch::Sender<Arc<BTreeSet<String>>>;
/// Hears which tasks the proxy serves.
pub type Served = watch::Receiver<Arc<BTreeSet<String>>>;

/// Both ends; nobody is served yet.
pub fn serving() -> (Serving, Served) {
    watch::channel(Arc::default())
}

/// The tasks of a mesh that is in force, but for those whose listeners could not be opened.
pub(super) fn served(mesh: &Mesh, failures: &[ListenerFailure]) -> BTreeSet<String> {
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.listener.as_str()).collect();
    let tasks = mesh.sidecars.iter().map(|sidecar| &sidecar.task);
    tasks.filter(|task| !failed.contains(task.as_str())).cloned().collect()
}
