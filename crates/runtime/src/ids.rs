//! Which ids this process can give to files and programs. Root of the host can give all; a server without root has the ones that
//! its user namespace maps, and must be content with less where the kernel trusts it less.

use std::fs;
use std::sync::OnceLock;

/// What the user namespace of this process has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The host's own: the kernel trusts its root with everything.
    pub(crate) whole: bool,
    users: Vec<(u32, u32)>,
    groups: Vec<(u32, u32)>,
    /// Whether supplementary groups may be set.
    pub(crate) groups_can_be_set: bool,
}

impl Ids {
    /// Those of this process, which does not change its namespace once it has asked.
    pub(crate) fn here() -> &'static Self {
        static HERE: OnceLock<Ids> = OnceLock::new();
        HERE.get_or_init(|| {
            let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
            Self::parse(&read("uid_map"), &read("gid_map"), &read("setgroups"))
        })
    }

    fn parse(users: &str, groups: &str, setgroups: &str) -> Self {
        let users = ranges(users);
        Self {
            // Without a map to read there are no user namespaces.
            whole: users.is_empty() || users == [(0, u32::MAX)],
            users,
            groups: ranges(groups),
            groups_can_be_set: setgroups.trim() != "deny",
        }
    }

    /// An owner as files here can have it: one that has no number here is root, as in all that was made without one.
    pub(crate) fn owner(&self, user: u32, group: u32) -> (u32, u32) {
        let or_root = |ranges: &[(u32, u32)], id| if self.whole || holds(ranges, id) { id } else { 0 };
        (or_root(&self.users, user), or_root(&self.groups, group))
    }

    /// Whether a program can run as this user and group.
    pub(crate) fn can_be(&self, user: u32, group: u32) -> bool {
        self.whole || (holds(&self.users, user) && holds(&self.groups, group))
    }
}

fn holds(ranges: &[(u32, u32)], id: u32) -> bool {
    ranges.iter().any(|(first, count)| id >= *first && id - first < *count)
}

/// The first id inside and how many there are, of each line `inside outside count`.
fn ranges(map: &str) -> Vec<(u32, u32)> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().map(str::parse);
        let (first, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
        Some((first, count))
    };
    map.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_own_ids_are_all() {
        let ids = Ids::parse("         0          0 4294967295\n", "0 0 4294967295\n", "allow\n");
        assert!(ids.whole && ids.can_be(70_000, 70_000) && ids.groups_can_be_set);
        assert_eq!(ids.owner(4_000_000_000, 5), (4_000_000_000, 5));
    }

    #[test]
    fn a_user_has_the_ids_that_are_mapped() {
        let map = "0 1000 1\n1 100000 65535\n";
        let ids = Ids::parse(map, map, "allow\n");
        assert!(!ids.whole && ids.can_be(65_535, 0) && !ids.can_be(65_536, 0));
        assert_eq!(ids.owner(70_000, 33), (0, 33));
        let single = Ids::parse("0 1000 1\n", "0 1000 1\n", "deny\n");
        assert!(!single.can_be(33, 0) && single.can_be(0, 0) && !single.groups_can_be_set);
        assert_eq!(single.owner(33, 33), (0, 0));
    }
}
