//! Which block of public addresses an instance has on this host.
//!
//! 198.18.0.0/15 is set aside for testing networks and never routed. It holds 32 blocks of 4096 addresses. A file for
//! each taken block names its instance, and with it a part of 3fff::/20 for IPv6, so that an instance keeps its block as long as anything of it is left.

use crate::{
    Error,
    netlink::{route, socket::Socket},
};
use ipnet::{IpNet, Ipv4Net};
use netplan::Ground;
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File, OpenOptions},
    io,
    net::Ipv4Addr,
    path::Path,
};

const BLOCKS: u32 = 32;
const PREFIX: u8 = 20;

fn block(number: u32) -> Ipv4Net {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (number << (32 - u32::from(PREFIX))));
    Ipv4Net::new_assert(address, PREFIX)
}

/// Opens a lock file, making it if need be.
pub(crate) fn lock_file(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path).map_err(|e| Error::file(path, e))
}

/// The instance's block: the one that it has, or else a free one. Must run in the host's namespace.
pub(crate) fn take(run_root: &Path, instance: &str, outbound: bool) -> Result<Ground, Error> {
    let slots = run_root.join("slots");
    fs::create_dir_all(&slots).map_err(|e| Error::file(&slots, e))?;
    let lock = slots.join("lock");
    // Held until the end of this function.
    let _guard = Flock::lock(lock_file(&lock)?, FlockArg::LockExclusive)
        .map_err(|(_, errno)| Error::file(&lock, errno.into()))?;
    let link = format!("wt-{instance}");
    let taken = foreign_routes(&link).map_err(|e| Error::kernel("reading the host's routes", "host", e))?;
    let free = |own: IpNet| !taken.iter().any(|net| net.contains(&own) || own.contains(net));
    let ground = |number| {
        let ground = Ground { instance: instance.to_owned(), pool: block(number), ipv6: false, outbound };
        // Without IPv6 there is still IPv4.
        let ipv6 = speaks_ipv6() && free(ground.ipv6_pool().into());
        Ground { ipv6, ..ground }
    };
    let owner = |number: u32| fs::read_to_string(slots.join(number.to_string())).unwrap_or_default();
    if let Some(number) = (0..BLOCKS).find(|number| owner(*number) == instance) {
        return Ok(ground(number));
    }
    let first = u32::from_str_radix(instance, 16).unwrap_or(0) % BLOCKS;
    for number in (0..BLOCKS).map(|n| (first + n) % BLOCKS) {
        let owner = owner(number);
        let stale = owner.is_empty() || !run_root.join(&owner).exists();
        if stale && free(block(number).into()) {
            let path = slots.join(number.to_string());
            fs::write(&path, instance).map_err(|e| Error::file(&path, e))?;
            return Ok(ground(number));
        }
    }
    Err(Error::NoPool)
}

/// Whether this host's kernel speaks IPv6.
fn speaks_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Gives the instance's block back.
pub(crate) fn give_back(run_root: &Path, instance: &str) {
    for number in 0..BLOCKS {
        let path = run_root.join("slots").join(number.to_string());
        if fs::read_to_string(&path).is_ok_and(|owner| owner == instance) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The host's routes but for its default ones and those over our own link.
fn foreign_routes(own: &str) -> io::Result<Vec<IpNet>> {
    let mut socket = Socket::route()?;
    let own = route::links(&mut socket)?.into_iter().find(|link| link.name == own).map(|link| link.index);
    let routes = route::routes(&mut socket)?.into_iter();
    Ok(routes
        .filter(|route| route.destination.prefix_len() > 8 && (own.is_none() || route.index != own))
        .map(|route| route.destination)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_the_range_for_testing() {
        assert_eq!(block(0).to_string(), "198.18.0.0/20");
        assert_eq!(block(31).to_string(), "198.19.240.0/20");
    }
}
