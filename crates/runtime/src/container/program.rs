//! Finding the program to run, with the texts that people know from runc.

use nix::unistd::{AccessFlags, access};
use std::ffi::CString;
use std::path::Path;

/// The path of the program `name`, looked up in `path` unless it has a slash in it.
pub(super) fn find(name: &str, path: &str) -> Result<CString, String> {
    let found = |candidate: &str| CString::new(candidate).map_err(|_| format!("exec: {name:?}: invalid argument"));
    if name.contains('/') {
        return match check(name) {
            Ok(()) => found(name),
            Err(why) => Err(format!("exec: {name:?}: {why}")),
        };
    }
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{name}");
        // What may not be executed is passed over, as Go's search, which runc uses, does.
        if check(&candidate).is_ok() {
            return found(&candidate);
        }
    }
    Err(format!("exec: {name:?}: executable file not found in $PATH"))
}

fn check(candidate: &str) -> Result<(), String> {
    let metadata = std::fs::metadata(Path::new(candidate)).map_err(|error| match error.raw_os_error() {
        Some(code) => format!("stat {candidate}: {}", text(nix::errno::Errno::from_raw(code))),
        None => format!("stat {candidate}: {error}"),
    })?;
    if metadata.is_dir() {
        return Err("is a directory".to_owned());
    }
    access(candidate, AccessFlags::X_OK).map_err(text)
}

/// Go's words for an error number: those of C, in lower case.
pub(super) fn text(errno: nix::errno::Errno) -> String {
    errno.desc().to_lowercase()
}
