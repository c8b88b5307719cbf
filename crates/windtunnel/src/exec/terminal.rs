//! The user's terminal: its size, and its keys as they are struck.

use datachannel::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The terminal of standard input passes every key on, until this is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    /// Nothing where there is no terminal to be changed.
    pub(super) fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Its size, if it has one.
pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(std::io::stdin())).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| Size { cols: size.ws_col.into(), rows: size.ws_row.into() })
}
