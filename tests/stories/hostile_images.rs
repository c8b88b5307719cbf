//! What an image may try against its host: paths and links that lead out of it, and devices.

use crate::harness::clients::succeed;
use crate::harness::host::names;
use crate::harness::image::{self, Layer, entry};
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks;
use crate::harness::{eventually, possible, seconds};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tar::EntryType;

#[test]
fn a_hostile_image_writes_nothing_outside_of_its_container() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let role = tasks::ground(&api, "hostile");
    let outside = server.scratch().join("outside");
    fs::create_dir(&outside).unwrap();
    let outside_name = outside.to_str().unwrap();
    fs::write(outside.join("secret"), "of this host").unwrap();
    let up = "../".repeat(12);
    let climbing = format!("{up}{}/climbed", outside_name.trim_start_matches('/'));
    let absolute = format!("{outside_name}/absolute");
    let whole = |add: &dyn Fn(&mut Layer)| {
        let mut layer = image::busybox();
        add(&mut layer);
        layer
    };
    let hostile: [(&str, Layer, bool); 6] = [
        ("climbs", whole(&|layer| entry(layer, &climbing, EntryType::Regular, 0o644, "", b"out")), true),
        ("dots", whole(&|layer| entry(layer, "etc/../../dots", EntryType::Regular, 0o644, "", b"out")), true),
        ("device", whole(&|layer| entry(layer, "null", EntryType::Char, 0o666, "", b"")), true),
        ("absolute", whole(&|layer| entry(layer, &absolute, EntryType::Regular, 0o644, "", b"out")), true),
        (
            "link",
            whole(&|layer| {
                entry(layer, "way", EntryType::Symlink, 0o777, outside_name, b"");
                entry(layer, "way/linked", EntryType::Regular, 0o644, "", b"out");
            }),
            false,
        ),
        (
            "hardlink",
            whole(&|layer| {
                entry(layer, "way", EntryType::Symlink, 0o777, outside_name, b"");
                entry(layer, "found", EntryType::Link, 0o644, "way/secret", b"");
            }),
            true,
        ),
    ];
    let tasks: Vec<_> = hostile
        .into_iter()
        .map(|(name, layer, refused)| {
            let image = image::push(&server, name, layer);
            let definition = tasks::register(
                &api,
                tasks::definition("hostile", &role, &image, "echo it runs; cat /found /way/secret; exit 0"),
            );
            (name, refused, tasks::run(&api, &vpc, &definition, &[]))
        })
        .collect();
    for (name, refused, task) in tasks {
        let stopped = eventually(&format!("the task of the image {name} ends"), seconds(30), || {
            let task = tasks::describe(&api, &task);
            if task["lastStatus"] == "STOPPED" { Ok(task) } else { Err(task["lastStatus"].clone()) }
        });
        let reason = stopped["stoppedReason"].as_str().unwrap_or_default();
        if refused {
            assert!(
                reason.starts_with("CannotPullContainerError: ") && stopped["stopCode"] == "TaskFailedToStart",
                "expected ECS to say why the image {name} was refused, but: {stopped}"
            );
        }
        println!("{name}: {reason}");
    }
    let left = BTreeSet::from(["secret".to_owned()]);
    assert_eq!(names(&outside), left, "expected no image to write outside of its container");
    let up_there = ["/dots", "/tmp/dots"].map(|path| Path::new(path).exists());
    assert_eq!(up_there, [false, false], "expected no image to write outside of its container");
    assert_eq!(names(&server.data()).iter().filter(|name| name.contains("dots")).count(), 0);
    let shown = tasks::log_lines(&api, "hostile").join("\n");
    assert!(shown.contains("it runs"), "expected an image that only leads out to run, inside: {shown:?}");
    assert!(!shown.contains("of this host"), "expected no image to read this host's files, but: {shown:?}");

    // Nothing is left of the tasks: no namespace of theirs, no control group, no files.
    eventually("nothing is left of tasks that never began", seconds(10), || {
        let groups = server.traces.cgroups();
        let groups: BTreeSet<String> =
            groups.iter().flat_map(|group| names(group)).filter(|name| name.len() == 32).collect();
        let namespaces = names(&server.traces.run().join("netns"));
        let namespaces: BTreeSet<_> = namespaces.into_iter().filter(|name| name.starts_with("task")).collect();
        let files = names(&server.data().join("tasks"));
        if groups.is_empty() && namespaces.is_empty() && files.is_empty() {
            Ok(())
        } else {
            Err((groups, namespaces, files))
        }
    });
    let devices = succeed(std::process::Command::new("find").arg(server.data()).args(["-type", "c", "-name", "null"]));
    assert_eq!(devices, "", "expected no device node to be made");
    server.leave();
}
