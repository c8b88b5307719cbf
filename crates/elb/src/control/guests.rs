//! What the proxy serves besides load balancers. Whoever has it listen somewhere else says so from rows of its own; here it
//! is put beside the load balancers, whenever one of these rows changes.

use super::LoadBalancers;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use routing::ProxyConfig;
use std::sync::Arc;
use store::{Change, View};

/// Those who have the proxy serve something of theirs.
pub trait Guests: Send + Sync {
    /// The tables that they make it of.
    fn tables(&self) -> &'static [&'static str];
    /// Adds it to what the proxy is told.
    fn add(&self, view: &View, config: &mut ProxyConfig);
}

/// Compiles anew when guests want something else.
pub struct ForGuests(pub(super) Arc<LoadBalancers>);

#[async_trait]
impl Controller for ForGuests {
    fn name(&self) -> &'static str {
        "elb.proxy.guests"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.0.control.guests.tables()
    }

    fn keys(&self, view: &View, _: &Change) -> Vec<Key> {
        self.all_keys(view)
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        self.0.all_keys(view)
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        self.0.send();
        Ok(Next::Done)
    }
}
