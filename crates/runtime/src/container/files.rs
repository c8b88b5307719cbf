//! The files of `/etc` that the runtime writes for a container: `hosts`, `hostname`, `resolv.conf`.

use super::Order;
use crate::spec::Network;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Writes them beside the container's root and returns where they are to appear.
pub(super) fn write(order: &Order, index: usize) -> io::Result<Vec<(PathBuf, &'static str)>> {
    let container = order.container(index);
    let directory = order.paths.container(&order.spec.id, &container.name).join("files");
    fs::create_dir_all(&directory)?;
    let hostname = order.hostname(index);
    let mut files =
        vec![("hosts", "/etc/hosts", hosts(order, index)), ("hostname", "/etc/hostname", format!("{hostname}\n"))];
    // In a namespace of its own the image's or the host's file would name servers that mean nothing there.
    let named = !container.dns_servers.is_empty() || !container.dns_search.is_empty();
    if named || matches!(order.spec.network, Network::Namespace(_)) {
        let mut text = String::new();
        if !container.dns_search.is_empty() {
            let _ = writeln!(text, "search {}", container.dns_search.join(" "));
        }
        for server in &container.dns_servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        files.push(("resolv.conf", "/etc/resolv.conf", text));
    } else if order.spec.network == Network::Host {
        files.push(("resolv.conf", "/etc/resolv.conf", fs::read_to_string("/etc/resolv.conf").unwrap_or_default()));
    }
    let mut placed = Vec::new();
    for (name, target, text) in files {
        let path = directory.join(name);
        fs::write(&path, text)?;
        // Whatever the shim's mask: programs of any user read these.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        placed.push((path, target));
    }
    Ok(placed)
}

fn hosts(order: &Order, index: usize) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for entry in &order.container(index).hosts {
        let _ = writeln!(text, "{}\t{}", entry.address, entry.names.join(" "));
    }
    text
}
