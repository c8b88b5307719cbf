//! What answers DNS in each VPC's router: at the VPC's third address and at 169.254.169.253.

use crate::sockets::{Asked, serve_tcp, serve_udp};
use crate::zone::LINK_LOCAL;
use controller::Key;
use fabric::Fabric;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use store::Store;
use tokio::task::JoinHandle;
use types::Clock;
use vpc::router_sockets::RouterService;
use vpc::rows::Vpc;

/// Where DNS is spoken.
const PORT: u16 = 53;

/// The resolvers of the VPCs.
pub struct Dns {
    store: Store,
    fabric: Arc<Fabric>,
    clock: Arc<dyn Clock>,
}

impl Dns {
    /// Resolvers of what is in `store`.
    pub fn new(store: Store, fabric: Arc<Fabric>, clock: Arc<dyn Clock>) -> Self {
        Self { store, fabric, clock }
    }
}

impl RouterService for Dns {
    type Sockets = Vec<(UdpSocket, TcpListener)>;

    const NAME: &'static str = "resolver";

    fn wanted(&self, vpc: &Vpc) -> bool {
        vpc.dns_support
    }

    fn bind(fabric: &Fabric, router: &str, vpc: &Vpc) -> io::Result<Self::Sockets> {
        let bind = |ip: Ipv4Addr| {
            let place = SocketAddr::from((ip, PORT));
            Ok((fabric.udp_socket(router, place)?, fabric.listen_tcp(router, place)?))
        };
        [vpc::names::resolver(vpc), LINK_LOCAL].into_iter().map(bind).collect()
    }

    fn serve(&self, key: &Key, sockets: Self::Sockets) -> io::Result<Vec<JoinHandle<()>>> {
        let asked = Arc::new(Asked {
            store: self.store.clone(),
            fabric: self.fabric.clone(),
            clock: self.clock.clone(),
            scope: key.scope.clone(),
            vpc: key.id.clone(),
            turn: AtomicUsize::new(0),
        });
        let mut serving = Vec::new();
        for (udp, tcp) in sockets {
            let (udp, tcp) = (tokio::net::UdpSocket::from_std(udp)?, tokio::net::TcpListener::from_std(tcp)?);
            serving.push(tokio::spawn(serve_udp(udp, asked.clone())));
            serving.push(tokio::spawn(serve_tcp(tcp, asked.clone())));
        }
        Ok(serving)
    }
}
