//! Applying again, crashing, and leaving nothing behind.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lab;

use fabric::{Error, Fabric, FabricConfig, RUN_ROOT};
use lab::{Lab, Outcome, eni, from_cidr, from_group, ip, on_a_host, tcp};
use std::{collections::BTreeSet, fs, path::Path};

fn small() -> Lab {
    let mut lab = Lab::new();
    lab.group(1, vec![from_cidr(tcp(80), "0.0.0.0/0")]);
    lab.group(2, vec![from_group(tcp(3000), 1)]);
    let (public, private) = (lab.public.clone(), lab.private.clone());
    lab.interface(1, &public, "10.0.0.10", &[1]);
    let eip = lab.public_address(0);
    lab.interface_mut(1).addresses[0].public = Some(eip);
    lab.interface(2, &private, "10.0.1.10", &[2]);
    lab.nat(9, &public, "10.0.0.200", Some(lab.public_address(1)));
    lab.ipv6();
    lab.egress_only();
    lab.give_ipv6(1);
    lab.give_ipv6(2);
    lab
}

#[test]
fn applying_again_does_nothing() {
    on_a_host(|| {
        let lab = small();
        assert!(lab.apply() > 0);
        assert_eq!(lab.apply(), 0);
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new(), "the kernel has what was planned");
        lab.destroy();
    });
}

#[test]
fn what_was_taken_down_stays_down_whoever_still_has_a_handle() {
    on_a_host(|| {
        let lab = small();
        lab.apply();
        lab.fabric().destroy().unwrap();
        let plan = netplan::compile(&lab.state);
        assert!(matches!(lab.fabric().apply(&plan), Err(Error::Destroyed)));
        assert!(!lab.fabric().netns_directory().exists(), "nothing was made again");
    });
}

#[test]
fn one_more_member_is_one_element_not_a_new_filter() {
    on_a_host(|| {
        let mut lab = small();
        lab.apply();
        let before = netplan::compile(&lab.state);
        let private = lab.private.clone();
        lab.interface(3, &private, "10.0.1.30", &[1]);
        let after = netplan::compile(&lab.state);
        let changes: Vec<_> = after
            .diff(&before)
            .into_iter()
            .filter_map(|step| match step {
                netplan::Step::Filter { changes, .. } => Some(changes),
                _ => None,
            })
            .flatten()
            .collect();
        assert!(
            changes
                .iter()
                .all(|change| matches!(change, netplan::FilterChange::AddElements(_, set) if set.elements.len() == 1)),
            "{changes:?}"
        );
        lab.apply();
        assert_eq!(lab.probe(3, ip("10.0.1.10"), 3000), Outcome::Refused);
        lab.destroy();
    });
}

#[test]
fn after_a_crash_it_goes_on_from_what_the_kernel_has() {
    on_a_host(|| {
        let mut lab = small();
        lab.apply();
        lab.crash();
        let steps = lab.apply();
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        lab.crash();
        // While it was away, things changed: one interface went, one came, one moved to another namespace.
        lab.state.network_interfaces.retain(|interface| interface.id != eni(1));
        let public = lab.public.clone();
        lab.interface(4, &public, "10.0.0.10", &[1]);
        lab.interface_mut(2).attachment.as_mut().unwrap().netns = "n22".to_owned();
        assert!(lab.apply() > 0 && steps > 0);
        assert_eq!(lab.fabric().verify().unwrap(), Vec::new());
        assert!(!lab.fabric().netns_path("n1").exists() && lab.fabric().netns_path("n22").exists());
        assert_eq!(lab.probe(4, ip("10.0.1.10"), 3000), Outcome::Refused);
        lab.destroy();
    });
}

#[test]
fn what_a_crash_cut_short_is_finished() {
    on_a_host(|| {
        let mut lab = small();
        let plan = netplan::compile(&lab.state);
        // Each prefix of the namespaces and links, as if the daemon had died there.
        for kept in 0..plan.cables.len() {
            let mut part = plan.clone();
            let names: Vec<String> = part.cables.keys().skip(kept).cloned().collect();
            part.cables.retain(|name, _| !names.contains(name));
            for namespace in part.namespaces.values_mut().chain([&mut part.host]) {
                namespace.addresses.clear();
                namespace.neighbours.clear();
                namespace.routes.clear();
                namespace.any_source.clear();
            }
            lab.fabric().apply(&part).unwrap();
            lab.crash();
            // A file that never became a namespace, and a device without its alias.
            fs::write(lab.fabric().netns_path("half"), "").unwrap();
            lab.apply();
            assert_eq!(lab.fabric().verify().unwrap(), Vec::new(), "with {kept} links at the crash");
            assert!(!lab.fabric().netns_path("half").exists());
        }
        lab.destroy();
    });
}

#[test]
fn nothing_is_left() {
    on_a_host(|| {
        let before = devices();
        let lab = small();
        lab.apply();
        assert_ne!(devices(), before);
        let instance = lab.instance.clone();
        assert!(mounts(&instance) > 0);
        assert!(matches!(fabric::destroy(Path::new(RUN_ROOT), &instance), Err(Error::Held(_))), "it is in use");
        lab.destroy();
        assert_eq!(devices(), before, "no device on the host");
        assert_eq!(mounts(&instance), 0, "no namespace");
        assert!(!Path::new(RUN_ROOT).join(&instance).exists(), "no run directory");
        assert!(slots().is_disjoint(&BTreeSet::from([instance])), "no block of addresses");
    });
}

#[test]
fn a_dead_instance_is_removed_without_a_plan() {
    on_a_host(|| {
        let mut lab = small();
        lab.apply();
        let instance = lab.instance.clone();
        lab.abandon();
        fabric::destroy(Path::new(RUN_ROOT), &instance).unwrap();
        assert_eq!(mounts(&instance), 0);
        assert!(!devices().contains(&format!("wt-{instance}")));
    });
}

#[test]
fn an_instance_is_held_once_and_keeps_its_addresses() {
    on_a_host(|| {
        let mut lab = small();
        let config = || FabricConfig { instance: lab.instance.clone(), run_root: RUN_ROOT.into(), outbound: false };
        assert!(matches!(Fabric::open(config()), Err(Error::Held(_))));
        let ground = lab.fabric().ground().clone();
        lab.crash();
        assert_eq!(*lab.fabric().ground(), ground);
        lab.destroy();
    });
}

/// The host's devices, by name.
fn devices() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn mounts(instance: &str) -> usize {
    let all = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    all.lines().filter(|line| line.contains(instance)).count()
}

fn slots() -> BTreeSet<String> {
    fs::read_dir(Path::new(RUN_ROOT).join("slots"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .collect()
}

/// Not a test: what it costs. `cargo nextest run -p fabric --run-ignored all --no-capture costs`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "it measures")]
fn costs() {
    on_a_host(|| {
        let mut lab = small();
        lab.apply();
        let private = lab.private.clone();
        let timed = |what: &str, work: &mut dyn FnMut()| {
            let start = std::time::Instant::now();
            work();
            println!("{what}: {:?}", start.elapsed());
        };
        for n in 20..120 {
            lab.interface(n, &private, &format!("10.0.1.{n}"), &[2]);
        }
        timed("a hundred interfaces", &mut || _ = lab.apply());
        lab.interface(120, &private, "10.0.1.120", &[2]);
        timed("one more", &mut || _ = lab.apply());
        lab.interface_mut(120).groups.push(lab::sg(1));
        timed("a member more", &mut || _ = lab.apply());
        timed("nothing", &mut || _ = lab.apply());
        lab.crash();
        timed("after a crash", &mut || _ = lab.apply());
        lab.state.network_interfaces.truncate(3);
        timed("a hundred interfaces less", &mut || _ = lab.apply());
        lab.destroy();
    });
}
