//! `cargo xtask bench`: builds the product and the measuring tool as they are released, and runs the tool.
//!
//! The tool is a package of its own, `benches/`, so that the other tasks need not be built with a web server.

use std::path::PathBuf;
use std::process::Command;

/// Builds and measures; `arguments` are the tool's.
#[expect(clippy::disallowed_methods, reason = "a project task starts cargo and what it built")]
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let must = |command: &mut Command| {
        let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        // It has said why.
        if status.success() { Ok(()) } else { Err("nothing was measured".to_owned()) }
    };
    must(Command::new(cargo).args(["build", "--release", "--package", "windtunnel", "--package", "bench"]))?;
    must(Command::new(tool()?).args(arguments))
}

/// The tool lies where cargo puts release builds: beside the folder that this task runs from.
fn tool() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = here.parent().and_then(std::path::Path::parent).ok_or("this task lies outside of a target folder")?;
    Ok(target.join("release/bench"))
}
