//! Connections that are relayed as they are: of the proxies beside tasks, for ports of which nobody says that they speak HTTP.

use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::shared;
use crate::stream::Stream;
use crate::tunnel;
use crate::upstream::{choose, connect};
use crate::worker::{Ticket, View};
use routing::config::{Action, Protocol};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How many targets are tried.
const ATTEMPTS: usize = 3;

/// Relays one connection to a target of the listener's group; it ends at once where none takes it.
pub(crate) async fn serve(client: TcpStream, view: Rc<View>) {
    let Action::Forward(forward) = &view.listener.config.default_action else { return };
    let Some(group) = forward.groups.first().and_then(|group| view.groups.get(&group.target_group)) else { return };
    let timeout = Duration::from_millis(view.attributes.connect_timeout_ms.max(1));
    let mut tried = Vec::new();
    while tried.len() < ATTEMPTS {
        let Some(target) = choose(group, &tried) else { return };
        let ticket = Ticket::new(target);
        let Ok(mut upstream) = connect(&view.node.namespace, target.address, Protocol::Tcp, timeout).await else {
            shared::add(&group.counters.connection_errors, 1);
            tried.push(target.address);
            continue;
        };
        shared::add(&view.counters.requests, 1);
        let (mut client, mut from_client) = (Stream::Plain(client), Buffer::default());
        let mut deadline = Deadline::new(view.idle());
        let sides = ((&mut client, &mut from_client), (&mut upstream.io, &mut upstream.buffer));
        let bytes = tunnel::run(sides.0, sides.1, Vec::new(), view.idle(), &mut deadline, &ticket).await;
        shared::add(&view.counters.bytes, bytes);
        return;
    }
}
