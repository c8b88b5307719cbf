//! From the wish to a running container: `RunTask` until `DescribeTasks` says RUNNING, against `podman run -d` until the
//! container's process has made a file.
//!
//! Both run the same busybox image, pulled and unpacked before. Our task has what a task has on Fargate: an interface of its
//! own in a subnet, the way to the registry tried from there, roles, limits, and logs with awslogs in one case and without
//! in the other. podman logs to its file, once with its bridge network and once with `--network none`. Our CPU time is that
//! of daemon, launcher, shim and container, the polling included; podman's is that of podman and crun without conmon.

pub(crate) mod ours;
pub(crate) mod podman;

use crate::figures::{Aim, Better, Figures, OURS, Samples};
use crate::{Outcome, world};
use podman::Podman;

const ROUNDS: usize = 10;
/// What the container does: it says that it runs, and ends when told.
const COMMAND: &str = "trap 'exit 0' TERM; test -d /out && : > /out/ready; sleep 60 & wait";
const PODMAN: &str = "podman";
const PODMAN_NONE: &str = "podman --network none";

/// What one start took.
pub(crate) struct Took {
    pub(crate) wall_ms: f64,
    cpu_ms: f64,
}

pub(crate) fn run(figures: &mut Figures) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let podman = Podman::new(folder.path())?;
    let server = world::ours(&folder.path().join("data"), None)?;
    let tasks = ours::Tasks::new(&server, &podman)?;

    let [mut wall, mut cpu, mut wall_logs, mut cpu_logs] = [(); 4].map(|()| Samples::default());
    for round in 0..=ROUNDS {
        eprintln!("  round {round} of {ROUNDS}");
        let plain = tasks.start("plain")?;
        let bridge = podman.start("bridge")?;
        let logs = tasks.start("logs")?;
        let none = podman.start("none")?;
        // The first round fills caches.
        if round == 0 {
            continue;
        }
        for (samples, mine) in [(&mut wall, plain.wall_ms), (&mut wall_logs, logs.wall_ms)] {
            samples.add(OURS, mine);
            samples.add(PODMAN, bridge.wall_ms);
            samples.add(PODMAN_NONE, none.wall_ms);
        }
        for (samples, mine) in [(&mut cpu, plain.cpu_ms), (&mut cpu_logs, logs.cpu_ms)] {
            samples.add(OURS, mine);
            samples.add(PODMAN, bridge.cpu_ms);
            samples.add(PODMAN_NONE, none.cpu_ms);
        }
    }
    let peers = [PODMAN, PODMAN_NONE];
    figures.add(("task", "start, awslogs", "ms"), Better::Less, &wall_logs, &peers, Aim::Times(5.0));
    figures.add(("task", "start, no logs", "ms"), Better::Less, &wall, &peers, Aim::Times(5.0));
    figures.add(("task", "start, awslogs", "CPU ms"), Better::Less, &cpu_logs, &peers, Aim::None);
    figures.add(("task", "start, no logs", "CPU ms"), Better::Less, &cpu, &peers, Aim::None);
    Ok(())
}
