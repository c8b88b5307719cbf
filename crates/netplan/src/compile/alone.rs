//! The parts of interfaces that are alone in their namespaces, which nearly all are: a [`Memo`](super::memo::Memo) that finds
//! them by where they lie in memory, since an interface that did not change is the same one as in the last plan.

use super::attachment::{Plug, part_of};
use crate::{FabricPlan, name::Name};
use foldhash::HashMap;
use std::sync::Arc;

/// Parts by the address of their interface.
#[derive(Default)]
pub(super) struct Alone {
    made: HashMap<usize, Made>,
    turn: u64,
}

/// It keeps its interface, so nothing else lies where that is.
struct Made {
    netns: Arc<str>,
    plug: Plug,
    name: Name,
    part: Arc<FabricPlan>,
    /// When it was last asked for.
    turn: u64,
}

impl Alone {
    /// The part of an interface in its namespace and the part's name: what was made before, if it was made of the same.
    pub(super) fn get(&mut self, netns: &str, plug: Plug, scope: &str) -> (Name, Arc<FabricPlan>) {
        let place = Arc::as_ptr(&plug.interface) as usize;
        if let Some(made) = self.made.get_mut(&place).filter(|made| *made.netns == *netns) {
            made.turn = self.turn;
            if made.plug != plug {
                made.part = part_of(std::slice::from_ref(&plug), netns);
                made.plug = plug;
            }
            return (made.name.clone(), made.part.clone());
        }
        let (name, part) = (Name::from(&*format!("{netns}/{scope}")), part_of(std::slice::from_ref(&plug), netns));
        let result = (name.clone(), Arc::clone(&part));
        self.made.insert(place, Made { netns: netns.into(), plug, name, part, turn: self.turn });
        result
    }

    /// Forgets what was not asked for since the last call.
    pub(super) fn turn(&mut self) {
        let turn = self.turn;
        self.made.retain(|_, made| made.turn == turn);
        self.turn += 1;
    }
}
