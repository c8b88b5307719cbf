//! The long truth test: random networks in the kernel, every packet's verdict against the walk's and a plain model's.

use std::process::Command;

/// How many networks unless told otherwise.
const SEEDS: &str = "1000";

/// Runs what the words ask for; none if they cannot be understood.
pub(crate) fn run(words: &[&str]) -> Option<Result<(), String>> {
    let (seeds, first) = match words {
        [] => (SEEDS, None),
        ["--seeds", seeds] => (*seeds, None),
        ["--seed", seed] => ("1", Some(*seed)),
        _ => return None,
    };
    (seeds.parse::<u64>().is_ok() && first.is_none_or(|seed| seed.parse::<u64>().is_ok())).then(|| truth(seeds, first))
}

#[expect(clippy::disallowed_methods, reason = "a task of the project, not the product")]
fn truth(seeds: &str, single: Option<&str>) -> Result<(), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--package", "fabric", "--test", "truth", "--", "--nocapture"]);
    cargo.env("WINDTUNNEL_TRUTH_SEEDS", seeds);
    if let Some(seed) = single {
        cargo.env("WINDTUNNEL_TRUTH_SEED", seed);
    }
    let status = cargo.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the kernel, the walk and the model do not agree".to_owned()) }
}
