//! For this crate's tests alone: a binary that can be the launcher, as the product's own binary is.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(first) if first == runtime::launcher::SUBCOMMAND => runtime::launcher::main(args),
        _ => ExitCode::FAILURE,
    }
}
