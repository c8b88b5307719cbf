//! The long simulation of ECS: random lives of services through the production core and controllers, and a large cluster.

use std::process::Command;

/// How many lives unless told otherwise.
const SEEDS: &str = "10000";

/// Runs what the words ask for; none if they cannot be understood.
pub(crate) fn run(words: &[&str]) -> Option<Result<(), String>> {
    let is_number = |text: &&str| text.parse::<u64>().is_ok();
    Some(match words {
        [] => lives(&[("WINDTUNNEL_SIM_SEEDS", SEEDS)]),
        ["--seeds", seeds] if is_number(seeds) => lives(&[("WINDTUNNEL_SIM_SEEDS", *seeds)]),
        ["--seed", seed] if is_number(seed) => lives(&[("WINDTUNNEL_SIM_SEED", *seed)]),
        ["--scale"] => simulate(&["--ignored", "a_hundred_thousand"], &[]),
        _ => return None,
    })
}

fn lives(environment: &[(&str, &str)]) -> Result<(), String> {
    simulate(&["any_life"], environment)
}

#[expect(clippy::disallowed_methods, reason = "a task of the project, not the product")]
fn simulate(filter: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--release", "--package", "ecs", "--test", "simulation", "--", "--nocapture"]).args(filter);
    cargo.envs(environment.iter().copied());
    let status = cargo.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the simulation found a fault".to_owned()) }
}
