//! What was made of the same input before, so that a plan costs what changed since the last.

use crate::name::Name;
use foldhash::HashMap;

/// Parts by key, each with its name in the plan and the input that it was made of.
pub(super) struct Memo<I, O> {
    made: HashMap<String, Made<I, O>>,
    turn: u64,
}

struct Made<I, O> {
    name: Name,
    input: I,
    output: O,
    /// When it was last asked for.
    turn: u64,
}

impl<I, O> Default for Memo<I, O> {
    fn default() -> Self {
        Self { made: HashMap::default(), turn: 0 }
    }
}

impl<I: PartialEq, O: Clone> Memo<I, O> {
    /// What is under this key: what was made before if the input was this, otherwise a new one.
    pub(super) fn get(
        &mut self,
        key: &str,
        input: I,
        name: impl FnOnce() -> String,
        make: impl FnOnce(&I) -> O,
    ) -> (Name, O) {
        if let Some(made) = self.made.get_mut(key) {
            made.turn = self.turn;
            if made.input != input {
                (made.output, made.input) = (make(&input), input);
            }
            return (made.name.clone(), made.output.clone());
        }
        let made = Made { name: Name::from(name().as_str()), output: make(&input), input, turn: self.turn };
        let result = (made.name.clone(), made.output.clone());
        self.made.insert(key.to_owned(), made);
        result
    }

    /// Forgets what was not asked for since the last call.
    pub(super) fn turn(&mut self) {
        let turn = self.turn;
        self.made.retain(|_, made| made.turn == turn);
        self.turn += 1;
    }
}
