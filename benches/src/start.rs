//! From the start of the process to the first answer, and what the process tree has resident when it idles.
//!
//! The first answer is `GetCallerIdentity`, signed, asked for again and again from the start on. "Existing data" is a
//! directory that holds VPCs, a cluster and services, stopped in order before.

use crate::Outcome;
use crate::figures::{Aim, Better, Figures, OURS, Samples};
use crate::process::memory;
use crate::world::{self, MOTO};
use std::path::Path;
use std::time::Duration;

const ROUNDS: usize = 11;
const IDLE_ROUNDS: usize = 3;
/// How long a server idles before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) fn run(figures: &mut Figures) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let filled = folder.path().join("filled");
    let server = world::ours(&filled, None)?;
    world::fill(server.api)?;
    drop(server);

    let (mut fresh, mut existing) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        eprintln!("  first answer: round {} of {ROUNDS}", round + 1);
        fresh.add(OURS, world::ours(&folder.path().join(format!("fresh-{round}")), None)?.start_ms);
        let moto = world::moto(&folder.path().join("moto"), None)?.start_ms;
        fresh.add(MOTO, moto);
        existing.add(OURS, world::ours(&filled, None)?.start_ms);
        existing.add(MOTO, moto);
    }
    figures.add(("start", "first answer, no data", "ms"), Better::Less, &fresh, &[MOTO], Aim::AtMost(50.0));
    figures.add(("start", "first answer, existing data", "ms"), Better::Less, &existing, &[MOTO], Aim::AtMost(50.0));
    idle(figures, folder.path())
}

fn idle(figures: &mut Figures, folder: &Path) -> Outcome {
    let mut samples = [(); 4].map(|()| Samples::default());
    for round in 0..IDLE_ROUNDS {
        eprintln!("  memory: round {} of {IDLE_ROUNDS}", round + 1);
        let ours = world::ours(&folder.join(format!("idle-{round}")), None)?;
        let servers = [(OURS, ours), (MOTO, world::moto(&folder.join("moto"), None)?)];
        std::thread::sleep(IDLE);
        for (who, server) in &servers {
            let found = memory(server.process.pid());
            samples[0].add(who, found.rss_mb);
            samples[1].add(who, found.pss_mb);
            world::fill(server.api)?;
        }
        std::thread::sleep(IDLE);
        for (who, server) in &servers {
            let found = memory(server.process.pid());
            samples[2].add(who, found.rss_mb);
            samples[3].add(who, found.pss_mb);
        }
    }
    let measures = [
        ("idle RSS, no data", Aim::AtMost(30.0)),
        ("idle PSS, no data", Aim::None),
        ("idle RSS, 20 VPCs, 10 services", Aim::None),
        ("idle PSS, 20 VPCs, 10 services", Aim::None),
    ];
    for ((measure, aim), samples) in measures.into_iter().zip(&samples) {
        figures.add(("start", measure, "MiB"), Better::Less, samples, &[MOTO], aim);
    }
    Ok(())
}
