//! What was made of the same input before, so that a plan costs what changed since the last.

use std::collections::HashMap;

/// Results by name, each with the input that it was made of.
pub(super) struct Memo<I, O> {
    before: HashMap<String, (I, O)>,
    now: HashMap<String, (I, O)>,
}

impl<I, O> Default for Memo<I, O> {
    fn default() -> Self {
        Self { before: HashMap::new(), now: HashMap::new() }
    }
}

impl<I, O: Clone> Memo<I, O> {
    /// The result under this name: the last one if `same` says that its input was this, otherwise a new one.
    pub(super) fn get(&mut self, name: String, same: impl FnOnce(&I) -> bool, make: impl FnOnce() -> (I, O)) -> O {
        let last = self.before.remove(&name).filter(|(input, _)| same(input));
        let (input, output) = last.unwrap_or_else(make);
        let result = output.clone();
        self.now.insert(name, (input, output));
        result
    }

    /// Forgets what was not asked for since the last call.
    pub(super) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}
