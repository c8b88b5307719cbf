//! Who a container's program runs as: `name`, `uid`, `name:group`, `uid:gid` by the image's own passwd and group files.

/// A resolved user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Finds the user that `wanted` names (nothing: root). A number needs no entry; a name does.
pub(crate) fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (name, group_name) = match wanted.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (wanted, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let entries = || passwd.lines().filter_map(passwd_entry);
    // A numeric name is a name first, as in Docker.
    let number = name.parse::<u32>().ok().filter(|id| i32::try_from(*id).is_ok());
    let found = entries().find(|e| e.name == name).or_else(|| entries().find(|e| Some(e.uid) == number));
    let uid = match (&found, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(format!("unable to find user {name}: no matching entries in passwd file")),
    };
    let home = found.as_ref().map_or("/", |e| e.home).to_owned();
    let groups = || group.lines().filter_map(group_entry);
    if let Some(wanted) = group_name {
        let number = wanted.parse::<u32>().ok().filter(|id| i32::try_from(*id).is_ok());
        let entry = groups().find(|g| g.name == wanted).or_else(|| groups().find(|g| Some(g.gid) == number));
        let gid = entry.map(|g| g.gid).or(number);
        let missing = || format!("unable to find group {wanted}: no matching entries in group file");
        // A group that is asked for replaces the user's others.
        return Ok(User { uid, gid: gid.ok_or_else(missing)?, groups: Vec::new(), home });
    }
    let gid = found.as_ref().map_or(0, |e| e.gid);
    let member = |g: &Group<'_>| found.as_ref().is_some_and(|e| g.members.split(',').any(|m| m == e.name));
    let mut others: Vec<u32> = groups().filter(member).map(|g| g.gid).collect();
    // More than the kernel takes.
    others.truncate(65_536);
    Ok(User { uid, gid, groups: others, home })
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn passwd_entry(line: &str) -> Option<Passwd<'_>> {
    let mut fields = line.split(':');
    let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let home = fields.nth(1).filter(|h| !h.is_empty()).unwrap_or("/");
    Some(Passwd { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
}

fn group_entry(line: &str) -> Option<Group<'_>> {
    let mut fields = line.split(':');
    let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Group { name, gid: gid.parse().ok()?, members: fields.next().unwrap_or("").trim() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nlogs:x:50:other,web\n";

    #[test]
    fn names_come_from_the_image() {
        let web = User { uid: 33, gid: 34, groups: vec![50], home: "/var/www".into() };
        assert_eq!(resolve("web", PASSWD, GROUP), Ok(web));
        let other = User { uid: 33, gid: 50, groups: vec![], home: "/var/www".into() };
        assert_eq!(resolve("web:logs", PASSWD, GROUP), Ok(other));
        assert_eq!(
            resolve("nobody", PASSWD, GROUP),
            Err("unable to find user nobody: no matching entries in passwd file".into())
        );
    }

    #[test]
    fn numbers_need_no_entry() {
        assert_eq!(resolve("1000:2000", "", ""), Ok(User { uid: 1000, gid: 2000, groups: vec![], home: "/".into() }));
        assert_eq!(resolve("", PASSWD, GROUP).unwrap().home, "/root");
        assert_eq!(resolve("33", PASSWD, GROUP).unwrap().gid, 34, "a known number has its entry's group");
        assert!(resolve("4294967295", "", "").is_err(), "-1 would mean no change");
    }
}
