//! The `windtunnel` command: the server, and the tools around it.
//!
//! The same executable is also every process that Windtunnel starts: the launcher, the load balancers' proxy, the keeper of their
//! loopback ports, the one that has ids given to a server without root, and the sample service inside the demo's containers. Those are told apart by the first argument before anything else happens,
//! so that they stay small.

mod admin;
mod ask;
mod cli;
mod coverage;
mod daemon;
mod demo;
mod disturbances;
mod doors;
mod exec;
mod explain;
mod interrupt;
mod outbound;
mod output;
mod paths;
mod reset;
mod rootless;
mod services;
mod status;
mod trace;
mod verdicts;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(runtime::launcher::SUBCOMMAND) => return runtime::launcher::main(arguments),
        Some(proxy::client::SUBCOMMAND) => {
            daemon::log_to_stderr();
            return proxy::process::main(std::path::Path::new(&arguments.next().unwrap_or_default()));
        }
        Some(proxy::loopback::SUBCOMMAND) => {
            daemon::log_to_stderr();
            return proxy::loopback::main(arguments);
        }
        Some(rootless::SUBCOMMAND) => return rootless::main(arguments),
        Some("__sample") => sample::main().map_err(|error| error.to_string()),
        _ => cli::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("windtunnel: {text}");
            ExitCode::FAILURE
        }
    }
}
