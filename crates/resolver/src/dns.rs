//! What answers DNS in each VPC's router: at the VPC's third address, at 169.254.169.253, and at fd00:ec2::253 where
//! the VPC has IPv6.

use crate::forward::Upstream;
use crate::sockets::{Asked, serve_tcp, serve_udp};
use crate::zone::{IPV6, LINK_LOCAL};
use controller::Key;
use fabric::Fabric;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
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
    upstream: Option<Arc<dyn Upstream>>,
}

impl Dns {
    /// Resolvers of what is in `store`; for other names they ask `upstream`.
    pub fn new(store: Store, fabric: Arc<Fabric>, clock: Arc<dyn Clock>, upstream: Option<Arc<dyn Upstream>>) -> Self {
        Self { store, fabric, clock, upstream }
    }
}

impl RouterService for Dns {
    type Sockets = Vec<(UdpSocket, TcpListener)>;

    const NAME: &'static str = "resolver";

    fn wanted(&self, vpc: &Vpc) -> bool {
        vpc.dns_support
    }

    fn addresses(vpc: &Vpc) -> Vec<SocketAddr> {
        let ipv6 = (!vpc.ipv6.is_empty()).then_some(IpAddr::V6(IPV6));
        let all = [vpc::names::resolver(vpc).into(), LINK_LOCAL.into()].into_iter().chain(ipv6);
        all.map(|ip| SocketAddr::new(ip, PORT)).collect()
    }

    fn bind(fabric: &Fabric, router: &str, addresses: &[SocketAddr]) -> io::Result<Self::Sockets> {
        let bind = |place: &SocketAddr| Ok((fabric.udp_socket(router, *place)?, fabric.listen_tcp(router, *place)?));
        addresses.iter().map(bind).collect()
    }

    fn serve(&self, key: &Key, sockets: Self::Sockets) -> io::Result<Vec<JoinHandle<()>>> {
        let asked = Arc::new(Asked {
            store: self.store.clone(),
            fabric: self.fabric.clone(),
            clock: self.clock.clone(),
            upstream: self.upstream.clone(),
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
