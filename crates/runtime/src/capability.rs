//! The capabilities of a container: Docker's default set, changed by what the task definition adds and drops.
//!
//! Containers have no user namespace: a capability is the host's. So nothing beyond [`GRANTABLE`] is ever given, whoever asks.

use crate::spec::Capabilities;
pub(crate) use rustix::thread::CapabilitySet;
use rustix::thread::CapabilitySets;
use std::io;

/// Docker's defaults.
pub(crate) const DEFAULT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// What a container may have at most: as on Fargate, the defaults and `SYS_PTRACE`, which reaches no further than the container's own processes.
pub(crate) const GRANTABLE: CapabilitySet = DEFAULT.union(CapabilitySet::SYS_PTRACE);

/// The set that a container gets. `ALL` comes first, so that `drop ALL, add NET_BIND_SERVICE` leaves one.
pub(crate) fn resolve(changes: &Capabilities) -> Result<CapabilitySet, String> {
    let mut set = DEFAULT;
    if changes.drop.iter().any(|n| is_all(n)) {
        set = CapabilitySet::empty();
    }
    if let Some(refused) = changes.add.iter().find(|n| parse(n).is_some_and(|c| !GRANTABLE.contains(c)) || is_all(n)) {
        return Err(format!("capability may not be added: {refused:?}"));
    }
    for (names, add) in [(&changes.drop, false), (&changes.add, true)] {
        for name in names.iter().filter(|n| !is_all(n)) {
            set.set(parse(name).ok_or_else(|| format!("invalid capability: {name:?}"))?, add);
        }
    }
    Ok(set)
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL")
}

fn parse(name: &str) -> Option<CapabilitySet> {
    let upper = name.to_ascii_uppercase();
    CapabilitySet::from_name(upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// Gives up for good what is not in `keep`: no program can bring it back.
pub(crate) fn bound(keep: CapabilitySet) -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        if !keep.contains(capability) && rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            rustix::thread::remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

/// Sets the calling process's capabilities. What the host itself does not have is left out.
pub(crate) fn set(keep: CapabilitySet) -> io::Result<()> {
    let keep = keep & rustix::thread::capabilities(None)?.permitted;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    rustix::thread::clear_ambient_capability_set()?;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(add: &[&str], drop: &[&str]) -> Capabilities {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Capabilities { add: own(add), drop: own(drop) }
    }

    #[test]
    fn dropping_all_leaves_what_is_added() {
        let set = resolve(&changes(&["NET_BIND_SERVICE"], &["ALL"])).unwrap();
        assert_eq!(set, CapabilitySet::NET_BIND_SERVICE);
    }

    #[test]
    fn nothing_is_given_that_opens_the_host() {
        for name in ["ALL", "all", "SYS_ADMIN", "CAP_SYS_ADMIN", "sys_module", "NET_ADMIN", "DAC_READ_SEARCH"] {
            assert!(resolve(&changes(&[name], &[])).is_err(), "{name} was given");
            assert!(resolve(&changes(&[name], &["ALL"])).is_err(), "{name} was given");
        }
        assert_eq!(resolve(&changes(&["SYS_PTRACE"], &[])).unwrap(), GRANTABLE);
        assert_eq!(resolve(&changes(&[], &["SYS_ADMIN"])).unwrap(), DEFAULT, "what it does not have may be dropped");
    }

    #[test]
    fn there_are_14_defaults() {
        assert_eq!(resolve(&changes(&[], &[])).unwrap().iter().count(), 14);
        assert_eq!(resolve(&changes(&["SYS_PTRACE"], &["CAP_MKNOD"])).unwrap().iter().count(), 14);
        assert!(resolve(&changes(&["FLY"], &[])).is_err());
    }
}
