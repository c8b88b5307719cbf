//! Everything of an instance gone from the host, without a plan.

use crate::{
    Error,
    ground::{give_back, lock_file},
    kernel::remove_mount,
    netlink::{route, socket::Socket},
};
use nix::fcntl::{Flock, FlockArg};
use std::{fs, io, path::Path};

/// The file whose lock says that an instance's network is held.
pub(crate) const LOCK: &str = "fabric.lock";

/// Removes all that the instance has in the kernel: its device on the host with its routes, its namespaces with what is
/// in them, and its block of addresses. Its processes, if any are left, lose their network.
///
/// Must not be called while a [`Fabric`](crate::Fabric) of the instance is open.
pub fn destroy(run_root: &Path, instance: &str) -> Result<(), Error> {
    let directory = run_root.join(instance);
    let _guard = if directory.exists() { Some(hold(&directory, instance)?) } else { None };
    clear(run_root, instance)
}

/// [`destroy`] for whoever holds the instance.
pub(crate) fn clear(run_root: &Path, instance: &str) -> Result<(), Error> {
    let directory = run_root.join(instance);
    let removing = |e| Error::kernel("removing the host's device", "host", e);
    let mut socket = Socket::route().map_err(removing)?;
    let link = format!("wt-{instance}");
    if route::link_index(&mut socket, &link).is_ok() {
        let refused = socket.each(&[route::remove_link(&link)]).map_err(removing)?;
        if let Some(refused) = refused.first() {
            return Err(removing(refused.errno.into()));
        }
    }
    let netns = directory.join("netns");
    match fs::read_dir(&netns) {
        Ok(entries) => {
            for entry in entries {
                remove_mount(&entry.map_err(|e| Error::file(&netns, e))?.path())?;
            }
            fs::remove_dir(&netns).map_err(|e| Error::file(&netns, e))?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::file(&netns, e)),
    }
    give_back(run_root, instance);
    let _ = fs::remove_file(directory.join(LOCK));
    // Others may still have something in it.
    let _ = fs::remove_dir(&directory);
    Ok(())
}

/// [`destroy`]s every instance that nobody holds, and returns their names.
pub fn reset_host(run_root: &Path) -> Result<Vec<String>, Error> {
    let is_instance = |name: &str| name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let mut names: Vec<String> = match fs::read_dir(run_root) {
        Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::file(run_root, e)),
    };
    let mut socket = Socket::route().map_err(|e| Error::kernel("reading the host's devices", "host", e))?;
    let links = route::links(&mut socket).map_err(|e| Error::kernel("reading the host's devices", "host", e))?;
    names.extend(links.iter().filter_map(|link| link.name.strip_prefix("wt-").map(str::to_owned)));
    names.retain(|name| is_instance(name));
    names.sort_unstable();
    names.dedup();
    let mut gone = Vec::new();
    for name in names {
        match destroy(run_root, &name) {
            Ok(()) => gone.push(name),
            Err(Error::Held(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

/// Takes the instance's lock, or says that another has it.
pub(crate) fn hold(directory: &Path, instance: &str) -> Result<Flock<fs::File>, Error> {
    let path = directory.join(LOCK);
    Flock::lock(lock_file(&path)?, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::Held(instance.to_owned()),
        errno => Error::file(path, errno.into()),
    })
}
