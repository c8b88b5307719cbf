//! Security groups that refer to each other hold for real packets, and follow membership at once.

use crate::harness::api::Api;
use crate::harness::network::{Source, allow, revoke, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB};
use crate::harness::{eventually, image, possible, seconds};
use std::time::{Duration, Instant};

/// Within this, a change of groups or rules shows in packets and its outcome in the log group.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Asks `target` over and over on connections of its own, and prints a numbered line a try. With nc, because a static
/// busybox's wget needs the C library's shared parts to look up even an address.
fn asks(name: &str, target: &str) -> String {
    format!(
        "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); \
         if printf 'GET /health HTTP/1.0\r\n\r\n' | nc -w 1 {target} 3000 | grep -q ' 200 '; then echo {name} $n through; \
         else echo {name} $n blocked; fi; sleep 0.2; done"
    )
}

/// How `name`'s tries went, in their order.
fn tries(api: &Api, name: &str) -> Vec<(u64, bool)> {
    let mut tries: Vec<(u64, bool)> = tasks::log_lines(api, "groups")
        .iter()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let ours = words.next()? == name;
            let number = words.next()?.parse().ok()?;
            ours.then_some((number, words.next()? == "through"))
        })
        .collect();
    tries.sort_unstable();
    tries
}

/// Waits until the newest try of `name`, and at least one that began after now, went as expected.
fn newest_goes(api: &Api, name: &str, through: bool, expected: &str) {
    let begun = Instant::now();
    let from = tries(api, name).last().map_or(0, |(number, _)| *number);
    eventually(expected, AT_ONCE, || {
        let new: Vec<_> = tries(api, name).into_iter().filter(|(number, _)| *number > from).collect();
        if new.last().is_some_and(|(_, went)| *went == through) { Ok(()) } else { Err(new) }
    });
    println!("{expected}: {:?}", begun.elapsed());
}

/// Expects that the next tries all go as expected.
fn all_go(api: &Api, name: &str, through: bool, expected: &str) {
    let from = tries(api, name).last().map_or(0, |(number, _)| *number);
    let new = eventually(&format!("{name} tries on"), seconds(15), || {
        // The try that was under way when we looked belongs to the time before.
        let new: Vec<_> = tries(api, name).into_iter().filter(|(number, _)| *number > from + 1).collect();
        if new.len() >= 3 { Ok(new) } else { Err(new) }
    });
    assert!(new.iter().all(|(_, went)| *went == through), "{expected}, but: {new:?}");
}

#[test]
fn only_members_of_the_named_group_get_through() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let (sg_alb, sg_ecs) = (vpc.group(&api, "alb"), vpc.group(&api, "ecs"));
    let sg_other = vpc.group(&api, "other");
    allow(&api, &sg_ecs, 3000, Source::Group(&sg_alb));
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "groups");
    let start = |script: &str, groups: &[&str]| {
        let definition = tasks::register(&api, tasks::definition("groups", &role, &image, script));
        tasks::run(&api, &vpc, &definition, groups)
    };
    let web = start(WEB, &[&sg_ecs]);
    let web = tasks::address_of(&tasks::wait_for(&api, &web, "RUNNING", seconds(30)));
    let member = start(&asks("member", &web), &[&sg_alb]);
    let outsider = start(&asks("outsider", &web), &[&sg_other]);
    tasks::wait_for(&api, &member, "RUNNING", seconds(30));
    tasks::wait_for(&api, &outsider, "RUNNING", seconds(30));

    newest_goes(&api, "member", true, "a member of the named group gets through");
    newest_goes(&api, "outsider", false, "one outside of the group does not get through");
    all_go(&api, "member", true, "expected a member to get through each time");
    all_go(&api, "outsider", false, "expected an outsider never to get through");

    // A second group is named, and no longer.
    allow(&api, &sg_ecs, 3000, Source::Group(&sg_other));
    newest_goes(&api, "outsider", true, "members of a group that is named now are let in at once");
    all_go(&api, "outsider", true, "expected members of the second group to get through each time");
    revoke(&api, &sg_ecs, 3000, Source::Group(&sg_other));
    newest_goes(&api, "outsider", false, "members of a group that is no longer named are kept out at once");
    all_go(&api, "member", true, "expected members of the first group not to notice");

    revoke(&api, &sg_ecs, 3000, Source::Group(&sg_alb));
    newest_goes(&api, "member", false, "a revoked rule cuts new connections off at once");
    all_go(&api, "member", false, "expected nobody to get through without a rule");
    allow(&api, &sg_ecs, 3000, Source::Group(&sg_alb));
    newest_goes(&api, "member", true, "a rule lets members in at once");

    // A task that is born into the group is a member from its first packet.
    let newborn = start(&asks("newborn", &web), &[&sg_alb]);
    tasks::wait_for(&api, &newborn, "RUNNING", seconds(30));
    newest_goes(&api, "newborn", true, "a new member gets through");
    assert_eq!(tries(&api, "newborn").first(), Some(&(1, true)), "expected its very first try to get through");
    server.leave();
}
