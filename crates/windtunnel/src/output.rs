//! What the command prints on standard output.
//!
//! `println!` panics where nobody can be told, and a server that panics leaves its network and its tasks on the host. A
//! reader that has gone away, as `head` does, has seen what it wanted; a full disk is an error that is passed on.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Prints `text` and ends the line.
pub(crate) fn say(text: impl Display) -> Result<(), String> {
    write(&mut std::io::stdout().lock(), &format!("{text}\n"))
}

/// Prints `text` as it stands.
pub(crate) fn print(text: &str) -> Result<(), String> {
    write(&mut std::io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> Result<(), String> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to the standard output: {error}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        assert_eq!(write(&mut writer, "seen"), Ok(()));
        drop(reader);
        assert_eq!(write(&mut writer, "unseen"), Ok(()));
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        assert!(write(&mut full, "lost").is_err_and(|text| text.contains("standard output")));
    }
}
