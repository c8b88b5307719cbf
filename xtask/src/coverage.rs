//! Which operations of AWS's API are implemented, as a page: `docs/coverage.md`, from the facts in `models/`.
//!
//! `windtunnel coverage` prints the same from the binary. Services that are not here at all are not listed.

use crate::models;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Implemented operations

Written by `cargo xtask coverage`. What is not implemented answers `NotImplemented` with its name;
[fidelity.md](fidelity.md) says where an implemented operation differs from AWS.

| service | implemented | of |
|---|---:|---:|
";

fn page() -> Result<(PathBuf, String), String> {
    let services = models::coverage()?;
    let mut text = HEAD.to_owned();
    for service in &services {
        let _ = writeln!(text, "| {} | {} | {} |", service.name, service.implemented.len(), service.all);
    }
    for service in &services {
        let _ = write!(text, "\n## {}\n\n", service.name);
        let mut names = service.implemented.clone();
        names.sort_unstable();
        let _ = writeln!(text, "{}", names.join(", "));
    }
    Ok((Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage.md"), text))
}

/// Writes the page.
pub(crate) fn write() -> Result<(), String> {
    let (path, text) = page()?;
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Fails if [`write`] would change the page.
pub(crate) fn check() -> Result<(), String> {
    let (path, text) = page()?;
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    Err("docs/coverage.md is not what `cargo xtask coverage` writes".to_owned())
}
