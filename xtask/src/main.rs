//! Project tasks: `cargo xtask <task>`.

mod bench;
mod coverage;
mod fuzz;
mod models;
mod rootless;
mod sim;
mod test;
mod truth;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask models [generate]      write crates/model/src from models/*.json
       cargo xtask models --check         fail if that would change anything
       cargo xtask models sync <wheel>    write models/*.json from a botocore wheel, then generate
       cargo xtask coverage [--check]     write docs/coverage.md, or fail if that would change it
       cargo xtask test [<arguments>]     run all tests; the arguments go on to nextest
       cargo xtask rootless <user> [<arguments>]    run as root what needs root as that user, who is not
       cargo xtask fuzz [--seconds N] [<target>…]    fuzz the targets (all of them), N (20) seconds each
       cargo xtask sim [--seeds N | --seed N | --scale]    simulate N (10000) lives of services, or a large cluster
       cargo xtask truth [--seeds N | --seed N]    compare verdicts on the packets of N (1000) random networks
       cargo xtask bench [all] [--json]   measure speed and size against named peers, as root
       cargo xtask bench <case> …         only these: start, api, task, fleet, alb, network";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["models"] | ["models", "generate"] => models::generate(),
        ["models", "--check"] => models::check(),
        ["models", "sync", wheel] => models::sync(wheel.as_ref()).and_then(|()| models::generate()),
        ["coverage"] => coverage::write(),
        ["coverage", "--check"] => coverage::check(),
        ["test", ref arguments @ ..] => test::run(arguments),
        ["rootless", user, ref arguments @ ..] => rootless::run(user, arguments),
        ["fuzz", ref words @ ..] => fuzz::run(words).unwrap_or_else(|| Err(USAGE.to_owned())),
        ["sim", ref words @ ..] => sim::run(words).unwrap_or_else(|| Err(USAGE.to_owned())),
        ["truth", ref words @ ..] => truth::run(words).unwrap_or_else(|| Err(USAGE.to_owned())),
        ["bench", ref arguments @ ..] => bench::run(arguments),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
