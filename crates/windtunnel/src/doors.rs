//! The doors inside the network: where tasks reach AWS's services.
//!
//! The service addresses in the internet namespace, each interface endpoint and each gateway endpoint open onto the gateway,
//! which is told what door it is. One controller opens and closes the doors as the network changes. A door opened too early,
//! before its namespace is there, is tried again; a namespace that went and came anew gets a new one, as the old door would
//! stay in the old namespace.

use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use fabric::Fabric;
use gateway::{Door, Gateway};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::Scope;
use vpc::rows::{InterfaceState, NetworkInterface, VpcEndpoint};

/// After this a namespace that was not there yet is looked for again.
const AGAIN: Duration = Duration::from_millis(50);
/// Where AWS's services listen. Nobody here can prove to be amazonaws.com, so both speak plain HTTP.
const PORTS: [u16; 2] = [80, 443];

/// Where a door stands: a namespace and an address there.
type Place = (String, SocketAddr);

/// Opens and closes the doors.
pub(crate) struct Doors {
    store: Store,
    fabric: Arc<Fabric>,
    gateway: Gateway,
    open: Mutex<BTreeMap<Place, Open>>,
}

/// A door that is open.
struct Open {
    namespace: u64,
    door: Door,
    stop: watch::Sender<bool>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Doors {
    /// Doors onto `gateway`.
    pub(crate) fn new(store: Store, fabric: Arc<Fabric>, gateway: Gateway) -> Self {
        Self { store, fabric, gateway, open: Mutex::default() }
    }

    fn wanted(&self, view: &View) -> BTreeMap<Place, Door> {
        let mut wanted = BTreeMap::new();
        let mut put = |namespace: &str, ip, door: &Door| {
            for port in PORTS {
                wanted.insert((namespace.to_owned(), SocketAddr::from((ip, port))), door.clone());
            }
        };
        let attached = |row: &NetworkInterface| row.state == InterfaceState::Attached;
        let ground = self.fabric.ground();
        let services = ground.gateway_endpoint_address();
        if view.scan_all::<NetworkInterface>().any(|(_, row)| attached(row)) {
            let door = Door::Internet { host: ground.host_address().into() };
            for everyone in [self.fabric.service_address(), services] {
                put(netplan::INTERNET, everyone, &door);
            }
        }
        for (scope, endpoint) in view.scan_all::<VpcEndpoint>() {
            let door = vpc::query::door(scope, endpoint);
            if endpoint.is_gateway() && vpc::query::has_router(view, scope, endpoint.vpc.as_str()) {
                put(endpoint.id.as_str(), services, &door);
            }
            for interface in vpc::query::endpoint_interfaces(view, scope, endpoint) {
                let namespace = interface.attachment.as_ref().and_then(|attachment| attachment.namespace.as_deref());
                if let (true, Some(namespace), Some(ip)) = (attached(&interface), namespace, interface.private_ip()) {
                    put(namespace, ip, &door);
                }
            }
        }
        wanted
    }

    fn open(&self, place: &Place, namespace: u64, door: Door) -> std::io::Result<Open> {
        let listener = self.fabric.listen_tcp(&place.0, place.1)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(self.gateway.clone().serve(listener, door.clone(), stopped));
        Ok(Open { namespace, door, stop })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Controller for Doors {
    fn name(&self) -> &'static str {
        "doors"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[NetworkInterface::TABLE, VpcEndpoint::TABLE]
    }

    fn keys(&self, view: &View, _: &Change) -> Vec<Key> {
        self.all_keys(view)
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), "doors")]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let wanted = self.wanted(&self.store.view());
        let namespace = |place: &Place| self.fabric.netns_identity(&place.0);
        self.lock()
            .retain(|place, open| wanted.get(place) == Some(&open.door) && namespace(place) == Some(open.namespace));
        let (mut failure, mut next) = (None, Next::Done);
        for (place, door) in wanted {
            if self.lock().contains_key(&place) {
                continue;
            }
            let Some(namespace) = namespace(&place) else {
                next = Next::After(AGAIN);
                continue;
            };
            match self.open(&place, namespace, door) {
                Ok(open) => drop(self.lock().insert(place, open)),
                // The namespace or its address is not there yet; or the door just closed is not quite gone.
                Err(error) if comes_right(error.kind()) => next = Next::After(AGAIN),
                Err(error) => failure = Some(Failure::new(format_args!("{} in {}: {error}", place.1, place.0))),
            }
        }
        failure.map_or(Ok(next), Err)
    }
}

/// Not there yet (the second: its file is there, its mount is not), or not quite gone.
fn comes_right(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests;
