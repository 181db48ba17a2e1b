//! Dependencies of bulk operations: a resource that an operation names by a bulk id is created before it.

use std::collections::HashSet;

use super::plan::Action;
use super::{Run, State};

impl Run<'_> {
    /// Returns whether an operation can use what a bulk id names.
    ///
    /// A resource that was begun to cut a circle is available only to the operations in the circle: it may
    /// still be removed, and completing it would overwrite what other operations changed.
    pub(super) fn is_available(&self, bulk_id: &str, index: usize) -> bool {
        let creator = self.creators.get(bulk_id).copied();
        let begun = creator
            .filter(|creator| matches!(self.states.get(*creator), Some(State::Begun(_))))
            .filter(|creator| *creator != index);
        self.ids.contains_key(bulk_id)
            && begun.is_none_or(|creator| self.reaches(creator, index, &mut HashSet::new()))
    }

    /// Returns a creation that waits for others which, directly or not, wait for it.
    pub(super) fn circle(&self) -> Option<usize> {
        let waiting = self.states.iter().enumerate().filter_map(|(index, state)| {
            let plan = self.plans.get(index)?.as_ref()?;
            let waits = matches!(state, State::Waiting) && plan.action == Action::Create;
            waits.then_some(index)
        });
        // When nothing is ready, every waiting operation is in a circle or depends on one. Cutting the
        // first creation frees at least the operations that wait for it.
        waiting.into_iter().find(|index| self.reaches(*index, *index, &mut HashSet::new()))
    }

    fn reaches(&self, from: usize, wanted: usize, seen: &mut HashSet<usize>) -> bool {
        let plan = self.plans.get(from).and_then(Option::as_ref);
        let needs = plan.into_iter().flat_map(|plan| &plan.needs);
        let next: Vec<usize> =
            needs.filter_map(|id| self.creators.get(id.as_str()).copied()).collect();
        // The depth is at most the number of operations, which is limited.
        next.into_iter()
            .any(|next| next == wanted || (seen.insert(next) && self.reaches(next, wanted, seen)))
    }

    /// Returns a creation that is ready and that an operation waits for, directly or not.
    pub(super) fn find_blocker(&self, from: usize, seen: &mut HashSet<usize>) -> Option<usize> {
        let plan = self.plans.get(from).and_then(Option::as_ref)?;
        let missing = plan.needs.iter().filter(|id| !self.is_available(id, from));
        let mut creators = missing.filter_map(|id| self.creators.get(id.as_str()).copied());
        if creators.clone().next().is_none() {
            return Some(from);
        }
        creators
            .find_map(|next| if seen.insert(next) { self.find_blocker(next, seen) } else { None })
    }
}
