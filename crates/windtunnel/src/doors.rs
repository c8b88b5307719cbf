//! The doors inside the network: where tasks reach AWS's services.
//!
//! The service addresses in the internet namespace, each interface endpoint and each gateway endpoint open onto the gateway.
//! One controller opens and closes the doors as the network changes. A door opened too early, before its namespace is there, is tried again.

use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use fabric::Fabric;
use gateway::Gateway;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::Scope;
use vpc::rows::{InterfaceState, InterfaceType, NetworkInterface, VpcEndpoint};

/// After this a namespace that was not there yet is looked for again.
const AGAIN: Duration = Duration::from_millis(50);

/// Where a door stands: a namespace and an address there.
type Place = (String, SocketAddr);

/// Opens and closes the doors.
pub(crate) struct Doors {
    store: Store,
    fabric: Arc<Fabric>,
    gateway: Gateway,
    open: Mutex<BTreeMap<Place, watch::Sender<bool>>>,
}

impl Doors {
    /// Doors onto `gateway`.
    pub(crate) fn new(store: Store, fabric: Arc<Fabric>, gateway: Gateway) -> Self {
        Self { store, fabric, gateway, open: Mutex::default() }
    }

    fn wanted(&self, view: &View) -> BTreeSet<Place> {
        let mut wanted = BTreeSet::new();
        let attached = view.scan_all::<NetworkInterface>().filter(|(_, row)| row.state == InterfaceState::Attached);
        let services = self.fabric.ground().gateway_endpoint_address();
        let mut vpcs = BTreeSet::new();
        for (_, interface) in attached {
            vpcs.insert(&interface.vpc);
            for port in [80, 443] {
                for everyone in [self.fabric.service_address(), services] {
                    wanted.insert((netplan::INTERNET.to_owned(), SocketAddr::from((everyone, port))));
                }
                let namespace = interface.attachment.as_ref().and_then(|attachment| attachment.namespace.clone());
                if let (InterfaceType::VpcEndpoint, Some(namespace), Some(ip)) =
                    (interface.kind, namespace, interface.private_ip())
                {
                    wanted.insert((namespace, SocketAddr::from((ip, port))));
                }
            }
        }
        let endpoints = view.scan_all::<VpcEndpoint>().filter(|(_, row)| row.is_gateway() && vpcs.contains(&row.vpc));
        for (_, endpoint) in endpoints {
            wanted.extend([80, 443].map(|port| (endpoint.id.to_string(), SocketAddr::from((services, port)))));
        }
        wanted
    }

    fn open(&self, place: &Place) -> std::io::Result<watch::Sender<bool>> {
        let listener = self.fabric.listen_tcp(&place.0, place.1)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(self.gateway.clone().serve(listener, stopped));
        Ok(stop)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, watch::Sender<bool>>> {
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
        // A closed door's stop signal goes with its sender.
        self.lock().retain(|place, stop| {
            let stays = wanted.contains(place);
            if !stays {
                stop.send_replace(true);
            }
            stays
        });
        let (mut failure, mut next) = (None, Next::Done);
        for place in wanted {
            if self.lock().contains_key(&place) {
                continue;
            }
            match self.open(&place) {
                Ok(stop) => drop(self.lock().insert(place, stop)),
                // The second: its file is there, its mount is not yet.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                    next = Next::After(AGAIN);
                }
                Err(error) => failure = Some(Failure::new(format_args!("{} in {}: {error}", place.1, place.0))),
            }
        }
        failure.map_or(Ok(next), Err)
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        for stop in self.lock().values() {
            stop.send_replace(true);
        }
    }
}
