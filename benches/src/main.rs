//! What Windtunnel promises of speed and size, measured against a named peer in the same run: `cargo xtask bench`.
//!
//! Each case is a module that gives [`Figures`]. Ours and the peer take turns (A B A B …), so that a busy machine harms
//! both alike; figures are medians with their spread. A ratio is the
//! median of the rounds' ratios. Nothing here passes or fails by time: a missed aim is shown, that is all.
#![allow(clippy::disallowed_methods, reason = "a measuring tool starts processes, waits and reads the time")]

mod alb;
mod api;
mod aws;
mod figures;
mod fleet;
mod network;
mod peers;
mod process;
mod start;
mod stop;
mod task;
mod world;

use figures::Figures;
use std::process::ExitCode;

type Outcome<T = ()> = Result<T, String>;
type Case = (&'static str, fn(&mut Figures) -> Outcome);

const CASES: [Case; 6] = [
    ("start", start::run),
    ("api", api::run),
    ("task", task::run),
    ("fleet", fleet::run),
    ("alb", alb::run),
    ("network", network::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let names: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--json").collect();
    match measure(&names) {
        Ok(figures) if json => println!("{}", figures.json()),
        Ok(figures) => print!("{}", figures.table()),
        Err(message) => {
            eprintln!("bench: {message}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(names: &[&str]) -> Outcome<Figures> {
    let all = matches!(names, [] | ["all"]);
    if let Some(unknown) = names.iter().find(|name| !all && !CASES.iter().any(|(case, _)| case == *name)) {
        return Err(format!("there is no case {unknown}; there are all, start, api, task, fleet, alb and network"));
    }
    let wanted = || CASES.iter().filter(|(name, _)| all || names.contains(name));
    for (name, _) in wanted() {
        peers::check(name)?;
    }
    stop::listen()?;
    let mut figures = Figures::new();
    for (name, run) in wanted() {
        eprintln!("measuring {name} …");
        run(&mut figures).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(figures)
}
