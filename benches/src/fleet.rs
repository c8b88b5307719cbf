//! Many tasks: how long until they all run, what each costs in memory beside its application, how long a rolling update of
//! a service takes, and how near a task's start is to that of a bare process.
//!
//! All run the same busybox image. Waiting times that AWS has and nobody can set (a task counts as healthy 40 s after it
//! has started) are divided by a thousand, so that what is left is work.

mod ours;
mod peers;

use crate::figures::{Aim, Better, Figures, OURS, Samples};
use crate::process::memory_of;
use crate::task::podman::Podman;
use crate::{Outcome, stop, world};
use std::time::Duration;

/// How many tasks run at once.
const TASKS: usize = 300;
/// How many of a peer's containers its memory is divided by; starting as many as ours would take minutes.
const CONTAINERS: usize = 30;
/// The tasks of the service that is updated.
const SERVICE: usize = 20;
/// How often a single start is measured.
const STARTS: usize = 100;
/// What is waited before each round of them.
const REST: Duration = Duration::from_millis(200);
const UPDATES: usize = 3;
const PODMAN: &str = "podman";
const CRUN: &str = "crun";
const BARE: &str = "clone and exec";

pub(crate) fn run(figures: &mut Figures) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let podman = Podman::new(folder.path())?;
    let server = world::ours_at(&folder.path().join("data"), "1000")?;
    let fleet = ours::Fleet::new(&server, &podman)?;

    eprintln!("  single starts");
    let [mut starts, mut slowest] = [(); 2].map(|()| Samples::default());
    let bundle = peers::Bundle::new(folder.path())?;
    let [mut task, mut crun, mut bare, mut with_podman] = [const { Vec::new() }; 4];
    for round in 0..=STARTS {
        stop::check()?;
        // The end of the ones before takes the kernel a moment, in which it makes no namespaces for anybody.
        std::thread::sleep(REST);
        let all = (fleet.start()?, bundle.crun()?, bundle.bare()?);
        // podman takes long, and its spread is small.
        let fourth = if round % 10 == 0 { Some(podman.start("bridge")?.wall_ms) } else { None };
        if round == 0 {
            continue;
        }
        with_podman.extend(fourth);
        for (list, value) in [(&mut task, all.0), (&mut crun, all.1), (&mut bare, all.2)] {
            list.push(value);
        }
    }
    for (who, list) in [(OURS, &task), (BARE, &bare), (CRUN, &crun), (PODMAN, &with_podman)] {
        list.iter().for_each(|value| starts.add(who, *value));
        slowest.add(who, p99(list));
    }
    let others = [BARE, CRUN, PODMAN];
    figures.add(("fleet", "RunTask to RUNNING", "ms"), Better::Less, &starts, &others, Aim::Times(1.0 / 3.0));
    figures.add(("fleet", "RunTask to RUNNING, p99", "ms"), Better::Less, &slowest, &others, Aim::None);

    eprintln!("  rolling updates");
    let mut updates = Samples::default();
    fleet.create_service(SERVICE)?;
    for _ in 0..UPDATES {
        updates.add(OURS, fleet.update_service(SERVICE)?);
        updates.add(PODMAN, podman.roll(SERVICE)?);
    }
    fleet.delete_service()?;
    figures.add(("fleet", "rolling update of 20", "s"), Better::Less, &updates, &[PODMAN], Aim::None);

    eprintln!("  {TASKS} tasks at once");
    let [mut rush, mut memory] = [(); 2].map(|()| Samples::default());
    let before = memory_of(server.process.pid(), is_ours).pss_mb;
    rush.add(OURS, fleet.rush(TASKS)?);
    memory.add(OURS, (memory_of(server.process.pid(), is_ours).pss_mb - before) / TASKS as f64);
    fleet.stop_all()?;
    memory.add(PODMAN, podman.overhead_mb(CONTAINERS)?);
    figures.add(("fleet", "300 tasks RUNNING", "s"), Better::Less, &rush, &[], Aim::None);
    let aim = Aim::AtMost(2.0);
    figures.add(("fleet", "PSS a task beside its application", "MiB"), Better::Less, &memory, &[PODMAN], aim);
    Ok(())
}

/// Whether a process, by what it executes, is the product's and not an application's.
fn is_ours(executable: &str) -> bool {
    executable.ends_with("windtunnel")
}

fn p99(list: &[f64]) -> f64 {
    let mut sorted = list.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
