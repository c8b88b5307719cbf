//! What packet filters counted: read and set to zero at once, so that no packet is told twice or not at all.
//!
//! A set of counters that a plan takes away is read before it goes, and what it had is told when it is asked for next.

use crate::{
    Fabric,
    netlink::{
        filter::{self, Counted},
        socket::Socket,
    },
    netns,
};
use netplan::{Field, FilterChange, Place, Step, ValueKind, verdicts::COUNTERS};
use std::{
    io::{self, ErrorKind},
    sync::PoisonError,
    time::Instant,
};

/// What a set of counters had when it went.
pub(crate) struct Left {
    namespace: String,
    set: String,
    at: Instant,
    counts: Vec<Counted>,
}

/// A set's name, and what its keys are made of.
type Counters = (&'static str, &'static [Field]);

impl Fabric {
    /// The counters of a set of the namespace's filter, whose keys are made of `fields`, since they were last taken. Empty
    /// if there is no such set.
    pub fn take_counters(&self, name: &str, set: &str, fields: &[Field]) -> io::Result<Vec<Counted>> {
        let standing = self.read_counters(name, set, fields);
        // In this order: what goes in between is among those that are left.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut counts, mut was_there) = (Vec::new(), false);
        for gone in left.extract_if(.., |gone| gone.namespace == name && gone.set == set) {
            was_there = true;
            let since = gone.at.elapsed();
            counts.extend(gone.counts.into_iter().map(|count| Counted { idle: count.idle + since, ..count }));
        }
        match standing {
            Ok(standing) => counts.extend(standing),
            Err(error) if error.kind() == ErrorKind::NotFound && was_there => {}
            Err(error) => return Err(error),
        }
        Ok(counts)
    }

    /// Reads the counters that these steps take away.
    #[expect(clippy::disallowed_methods, reason = "how long ago the kernel counted is the kernel's time")]
    pub(crate) fn keep_counters(&self, steps: &[Step]) {
        for (name, (set, fields)) in steps.iter().flat_map(|step| COUNTERS.iter().filter_map(|of| taken_by(step, of))) {
            let Ok(counts) = self.read_counters(name, set, fields) else { continue };
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody asks for what went long ago.
            left.retain(|gone| gone.at.elapsed() < ValueKind::COUNT_LIFE);
            left.push(Left { namespace: name.to_owned(), set: (*set).to_owned(), at: Instant::now(), counts });
        }
    }

    fn read_counters(&self, name: &str, set: &str, fields: &[Field]) -> io::Result<Vec<Counted>> {
        let mut socket = netns::within(&self.netns_path(name), Socket::filter)?;
        let mut found = Vec::new();
        let asked =
            socket.dump_of(filter::take_counters(set), |answer| found.extend(filter::counters(&answer, fields)));
        match asked {
            // There is the namespace, and no such set.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                Err(io::Error::new(ErrorKind::Unsupported, "this kernel cannot take counters: that needs Linux 6.5"))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(found),
        }
    }
}

/// The namespace in which a step takes a set of counters away, if it does, with the set.
fn taken_by<'s>(step: &'s Step, of: &'static Counters) -> Option<(&'s str, &'static Counters)> {
    match step {
        Step::RemoveNamespace(name) if netplan::is_router(name) => Some((name, of)),
        Step::Filter { place: Place::Namespace(name), changes } => {
            let takes = |change: &FilterChange| match change {
                FilterChange::Reset | FilterChange::Remove => true,
                FilterChange::RemoveSet(set) => set == of.0,
                _ => false,
            };
            (netplan::is_router(name) && changes.iter().any(takes)).then_some((name, of))
        }
        _ => None,
    }
}
