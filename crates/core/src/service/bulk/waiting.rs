//! Which operation waits for which: what one names by a bulk id has to be created before.

use std::collections::HashSet;

use super::plan::Verb;
use super::{Run, State};

impl Run<'_> {
    /// Tells whether what a bulk id names is there for an operation. What was begun to cut a circle
    /// is there for the others in the circle alone: it may yet be taken back, or be completed over
    /// what others did to it.
    pub(super) fn has(&self, bulk_id: &str, index: usize) -> bool {
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
            let waits = matches!(state, State::Waiting) && plan.verb == Verb::Create;
            waits.then_some(index)
        });
        // Whatever waits when nothing is ready stands in a circle or behind one; cutting the first
        // creation sets at least its followers free.
        waiting.into_iter().find(|index| self.reaches(*index, *index, &mut HashSet::new()))
    }

    fn reaches(&self, from: usize, wanted: usize, seen: &mut HashSet<usize>) -> bool {
        let plan = self.plans.get(from).and_then(Option::as_ref);
        let needs = plan.into_iter().flat_map(|plan| &plan.needs);
        let next: Vec<usize> =
            needs.filter_map(|id| self.creators.get(id.as_str()).copied()).collect();
        // Depth is bounded by the number of operations, which a limit bounds in turn.
        next.into_iter()
            .any(|next| next == wanted || (seen.insert(next) && self.reaches(next, wanted, seen)))
    }

    /// Returns a creation that waits for nothing and for which an operation waits, directly or not.
    pub(super) fn awaited(&self, from: usize, seen: &mut HashSet<usize>) -> Option<usize> {
        let plan = self.plans.get(from).and_then(Option::as_ref)?;
        let missing = plan.needs.iter().filter(|id| !self.has(id, from));
        let mut creators = missing.filter_map(|id| self.creators.get(id.as_str()).copied());
        if creators.clone().next().is_none() {
            return Some(from);
        }
        creators.find_map(|next| if seen.insert(next) { self.awaited(next, seen) } else { None })
    }
}
